//! Blobs from inside a component, kept in a directory: what needs no second process and no S3. The behaviours that both stores share are told in `e2e`.

use serde_json::{Value, json};
use wharf_harness::http::{Response, exchange};
use wharf_tests::guests::BLOBS;

use crate::in_process::{InProcess, eventually, host, one_plugin};

const LIMITS: &str = "limits = { request_mib = 64 }";

/// A host with a component that keeps blobs in a folder of this test's own, and `grant`.
fn keeping(grant: &str) -> (InProcess, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (host(&configuration(folder.path(), grant)), folder)
}

fn configuration(folder: &std::path::Path, grant: &str) -> String {
    let storage = format!("[storage]\nblobs = \"{}\"\n", folder.display());
    storage + &one_plugin(BLOBS, &format!("{LIMITS}\n[site.plugin.grants.storage]\n{grant}"))
}

const BLOBS_ONLY: &str = "allow = [\"blobs\"]";

#[track_caller]
fn put(host: &InProcess, name: &str, body: &[u8]) -> Response {
    host.client().send("PUT", &format!("/blob?name={name}"), &[], body).unwrap()
}

/// `/stat` or `/delete` of blobs.
#[track_caller]
fn ask(host: &InProcess, path: &str, names: &[&str]) -> Response {
    host.client().send("POST", path, &[], names.join("\n").as_bytes()).unwrap()
}

/// The word of the error of `answer`; its text otherwise.
fn word(answer: &Response) -> String {
    let error = answer.json().ok().and_then(|answer| Some(answer.get("error")?.as_str()?.to_owned()));
    error.unwrap_or_else(|| String::from_utf8_lossy(&answer.body).into_owned())
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// How many files with bytes are in the space.
fn files(folder: &tempfile::TempDir) -> usize {
    std::fs::read_dir(folder.path().join("test/subject/bytes")).map_or(0, Iterator::count)
}

#[test]
fn a_body_is_stored_and_answered_as_it_was_sent() {
    let (host, _folder) = keeping(BLOBS_ONLY);
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 5 << 20] {
        let stored = put(&host, "a/b", &bytes(size)).json().unwrap();
        assert_eq!(stored["size"], size);
        assert!(host.get("/blob?name=a/b").body == bytes(size), "{size}");
        let stat = ask(&host, "/stat", &["a/b", "c", ".."]).json().unwrap();
        assert_eq!(stat[0], stored);
        assert_eq!((&stat[1]["error"], &stat[2]["error"]), (&json!("not-found"), &json!("invalid")));
    }
    let part = host.get("/blob?name=a/b&first=250&length=3");
    assert_eq!(part.body, [250, 0, 1]);
    assert_eq!(word(&host.get("/blob?name=a/b&first=5242881")), "invalid");
}

#[test]
fn without_the_power_nothing_is_answered_and_without_the_interface_nothing_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&configuration(folder.path(), "allow = [\"sql\"]"));
    assert_eq!(host.get("/list").status, 503);
    let plugin = host.plugin("subject").to_string();
    assert!(plugin.contains("wharf:storage/blobs"), "{plugin}");
}

#[test]
fn the_quota_holds_while_a_body_arrives_and_nothing_is_left_of_it() {
    let (host, folder) = keeping("allow = [\"blobs\"]\nblobs_quota_mib = 4");
    put(&host, "old", &bytes(3 << 20)).json().unwrap();
    assert_eq!(word(&put(&host, "new", &bytes(2 << 20))), "quota-exceeded");
    assert_eq!(word(&put(&host, "old", &bytes(2 << 20))), "quota-exceeded", "both would be there for a moment");
    eventually("that nothing is left", || files(&folder) == 1);
    assert_eq!(ask(&host, "/delete", &["old", "old", "new"]).json().unwrap(), json!(1));
    assert_eq!(put(&host, "new", &bytes(4 << 20)).json().unwrap()["size"], 4 << 20);
    assert_eq!(word(&host.client().send("PUT", "/written?name=x&chunks=1", &[], b"").unwrap()), "quota-exceeded");
}

#[test]
fn a_client_that_breaks_off_leaves_nothing() {
    let (host, folder) = keeping(BLOBS_ONLY);
    put(&host, "x", b"old").json().unwrap();
    let mut message = b"PUT /blob?name=x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4000000\r\n\r\n".to_vec();
    message.extend_from_slice(&bytes(3_000_000));
    // Our half is closed with the connection, which is dropped as soon as all is written.
    let mut stream = std::net::TcpStream::connect(host.address()).unwrap();
    std::io::Write::write_all(&mut stream, &message).unwrap();
    eventually("that it is being written", || files(&folder) == 2);
    drop(stream);
    eventually("that nothing is left", || files(&folder) == 1);
    assert_eq!(host.get("/blob?name=x").body, b"old");
    let answered = exchange(host.address(), b"GET /list HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    assert!(String::from_utf8_lossy(&answered).contains("\"size\":3,"), "the host goes on");
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_and_one_that_is_finished_a_blob() {
    let (host, folder) = keeping(BLOBS_ONLY);
    let write = |query: &str| host.client().send("PUT", &format!("/written?name=x&{query}"), &[], b"").unwrap();
    assert_eq!(write("chunks=3&size=1000000&drop").json().unwrap(), json!("dropped"));
    eventually("that nothing is left", || files(&folder) == 0);
    assert_eq!(word(&host.get("/blob?name=x")), "not-found");
    assert_eq!(write("chunks=3&size=1048576").json().unwrap()["size"], 3 << 20);
    assert_eq!(word(&write("chunks=1&size=1048577")), "invalid");
    // More pieces than a request may make host calls.
    assert_eq!(write("chunks=5000&size=10").json().unwrap()["size"], 50_000);
}

#[test]
fn one_call_names_no_more_blobs_than_it_may() {
    let (host, _folder) = keeping(BLOBS_ONLY);
    let names = ["x"; 10_001];
    assert_eq!(ask(&host, "/stat", &names).json().unwrap()[0]["error"], "invalid");
    assert_eq!(word(&ask(&host, "/delete", &names)), "invalid");
    assert_eq!(ask(&host, "/delete", &names[1..]).json().unwrap(), json!(0));
    assert_eq!(word(&host.get("/list?limit=0")), "invalid");
    assert_eq!(host.get("/list?limit=4000000000").json().unwrap(), json!({"blobs": [], "cursor": null}));
}

#[test]
fn blobs_outlive_a_reload_and_a_restart() {
    let (host, folder) = keeping(BLOBS_ONLY);
    let stored = put(&host, "x", b"kept").json().unwrap();
    let other_quota = configuration(folder.path(), "allow = [\"blobs\"]\nblobs_quota_mib = 1");
    assert_eq!(host.reload(&other_quota), [""; 0]);
    assert_eq!(ask(&host, "/stat", &["x"]).json().unwrap()[0], stored);
    assert_eq!(word(&put(&host, "y", &bytes(1 << 20))), "quota-exceeded", "the new quota holds, with what was there before");
    drop(host);
    let host = self::host(&other_quota);
    assert_eq!(host.get("/list").json().unwrap(), json!({"blobs": [stored], "cursor": Value::Null}));
    assert_eq!(host.get("/blob?name=x").body, b"kept");
}
