//! Templates that the host downloads for a plugin, from inside a component: what becomes a blob of the plugin, what it costs and what is refused.
//!
//! The place of the archives is a stand-in on loopback. Which component reads a blob does not matter: its space is that of the plugin's name, so a test looks at it with another guest under the same one. The tests share a
//! data directory, so that each has a name of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::fault_proxy::{Answer, Fault, FaultProxy};
use wharf_harness::poll;

use crate::in_process::{InProcess, eventually, host, plugin, whole_log};
use wharf_tests::guests::{BLOBS, REGISTRY};

const DOWNLOADS: &str = "[site.plugin.grants.registry]\nallow = [\"digests.read\", \"manifests.read\", \"tags.read\", \"hub.read\", \"catalog.read\", \"catalog.download\"]";
const STORAGE: &str = "[site.plugin.grants.storage]\nallow = [\"blobs\"]";
const ARCHIVE: &str = "an archive";

/// Where archives are: `/ubuntu` is one, everything else is not there.
fn archives() -> FaultProxy {
    FaultProxy::answering(|asked| match asked.target.as_str() {
        "/ubuntu" => Answer::new(200, ARCHIVE),
        _ => Answer::new(404, "no such file"),
    })
    .unwrap()
}

/// A catalogue with `ubuntu`, `wrong`, whose digest is another, and `gone`, all at `server`.
fn catalog(server: &FaultProxy) -> Value {
    let at = |path: &str| format!("http://{}/{path}", server.address());
    json!([
        {"kind": "lxc", "name": "ubuntu", "version": "14.04", "size": ARCHIVE.len(), "archive_url": at("ubuntu")},
        {"kind": "lxc", "name": "wrong", "version": "1", "archive_url": at("ubuntu"), "archive_digest": format!("sha256:{:064}", 0)},
        {"kind": "lxc", "name": "gone", "version": "1", "archive_url": at("gone")},
    ])
}

fn site(name: &str, component: &str, lines: &str) -> String {
    format!("[[site]]\nname = \"test\"\n{}", plugin(name, component, "/", lines))
}

/// A host with the plugin `name`, whose catalogue `qnap` has the entries of [`catalog`].
#[track_caller]
fn host_with(name: &str, server: &FaultProxy, storage: &str) -> InProcess {
    let settings = site(name, REGISTRY, &format!("{DOWNLOADS}\n{storage}\n[site.catalog.qnap]\nfile = \"qnap.json\""));
    let host = host(&settings);
    std::fs::write(host.folder().join("qnap.json"), catalog(server).to_string()).unwrap();
    host
}

fn begin(host: &InProcess, name: &str) -> Value {
    host.call("/catalog-download.begin", &json!({"catalog": "qnap", "name": name, "blob": "lxc/x"}))
}

fn operations(host: &InProcess) -> Value {
    host.admin().get("/operations").unwrap().json().unwrap()
}

/// The blobs of the plugin. Afterwards there is another component in its place.
#[track_caller]
fn blobs(host: &InProcess, name: &str) -> Value {
    assert_eq!(host.reload(&site(name, BLOBS, STORAGE)), [""; 0]);
    host.get("/list?prefix=&limit=10").json().unwrap()["blobs"].clone()
}

#[test]
fn an_archive_becomes_a_blob_of_the_plugin() {
    let server = archives();
    let host = host_with("archives", &server, STORAGE);
    let id = begin(&host, "ubuntu");
    eventually("the end of the download", || operations(&host)[0]["state"] == "succeeded");
    let operation = operations(&host)[0].clone();
    let expected = json!({
        "id": id, "kind": "download", "subject": "qnap/ubuntu:14.04", "site": "test", "plugin": "archives", "engine": null, "state": "succeeded", "percent": 100,
        "current": 10, "total": 10, "began_ms": operation["began_ms"], "ended_ms": operation["ended_ms"], "reason": null,
    });
    assert_eq!(operation, expected);
    assert!((host.metric("wharf_operations_total{kind=\"download\",outcome=\"succeeded\"}") - 1.0).abs() < f64::EPSILON);
    assert_eq!(server.asked(), ["GET /ubuntu"]);
    let blobs = blobs(&host, "archives");
    assert_eq!((&blobs[0]["name"], &blobs[0]["size"], blobs.as_array().unwrap().len()), (&json!("lxc/x"), &json!(10), 1));
    assert_eq!(host.get("/blob?name=lxc/x").text().unwrap(), ARCHIVE);
}

#[test]
fn what_is_not_as_the_catalogue_says_leaves_nothing() {
    let server = archives();
    let host = host_with("forged", &server, STORAGE);
    for (name, reason) in [("wrong", "the archive has the digest sha256:"), ("gone", "failed to fetch the archive from `http://127.0.0.1:")]
    {
        assert!(begin(&host, name).is_string());
        eventually("the end of the download", || operations(&host)[0]["state"] == "failed");
        let operation = operations(&host)[0].clone();
        assert!(
            operation["reason"].as_str().unwrap().starts_with(reason) && operation["subject"] == format!("qnap/{name}:1"),
            "{operation}"
        );
    }
    assert!((host.metric("wharf_operations_total{kind=\"download\",outcome=\"failed\"}") - 2.0).abs() < f64::EPSILON);
    assert_eq!(blobs(&host, "forged"), json!([]));
}

#[test]
fn what_cannot_begin_is_said_at_once() {
    let server = archives();
    let host = host_with("refused", &server, STORAGE);
    let words = |name: &str, blob: &str| {
        let arguments = json!({"catalog": "qnap", "name": name, "version": "99", "blob": blob});
        host.call("/catalog-download.begin", &arguments)["error"].clone()
    };
    assert_eq!((words("ubuntu", "lxc/x"), words("ubuntu", "../x")), (json!("not-found"), json!("invalid")));
    let of_others = host.call("/catalog-download.begin", &json!({"catalog": "official", "name": "redis", "blob": "x"}));
    assert_eq!((of_others["error"].clone(), operations(&host), server.asked().len()), (json!("not-found"), json!([]), 0));
}

#[test]
fn a_plugin_without_blobs_has_nowhere_to_put_an_archive() {
    let server = archives();
    for storage in ["", "[site.plugin.grants.storage]\nallow = [\"sql\"]"] {
        let host = host_with("poor", &server, storage);
        assert_eq!(begin(&host, "ubuntu")["error"], "denied");
        assert_eq!((operations(&host), server.asked().len()), (json!([]), 0));
    }
    let log = whole_log();
    let line = log.lines().find(|line| line.contains("blob lxc/x") && line.contains("denied")).unwrap_or_default();
    assert!(line.contains("grants.storage.allow = [\\\"blobs\\\"]") && line.contains("registry.catalog-download.begin"), "{line}");
}

#[test]
fn an_archive_that_does_not_fit_is_not_stored() {
    let server = FaultProxy::answering(|_| Answer::new(200, &"x".repeat((1 << 20) + 1))).unwrap();
    let host = host_with("large", &server, &format!("{STORAGE}\nblobs_quota_mib = 1"));
    let url = format!("http://{}/large", server.address());
    std::fs::write(host.folder().join("qnap.json"), json!([{"kind": "lxc", "name": "large", "archive_url": url}]).to_string()).unwrap();
    assert!(begin(&host, "large").is_string());
    eventually("the end of the download", || operations(&host)[0]["state"] == "failed");
    let reason = operations(&host)[0]["reason"].clone();
    assert_eq!(reason, "failed to store the archive: the space holds as many bytes as it may");
    assert_eq!(blobs(&host, "large"), json!([]));
}

#[test]
fn two_who_want_the_same_wait_for_one_download() {
    let (server, is_open) = (archives(), Arc::new(AtomicBool::new(false)));
    let gate = Arc::clone(&is_open);
    let slow = FaultProxy::start(server.address(), move |_| {
        let _open = poll(Duration::from_secs(60), || Ok(gate.load(Ordering::SeqCst).then_some(())));
        Fault::None
    })
    .unwrap();
    let host = host_with("shared", &slow, STORAGE);
    let first = begin(&host, "ubuntu");
    assert_eq!(begin(&host, "ubuntu"), first);
    assert_eq!(begin(&host, "wrong")["error"], "conflict");
    assert!((host.metric("wharf_operations_under_way{kind=\"download\"}") - 1.0).abs() < f64::EPSILON);
    is_open.store(true, Ordering::SeqCst);
    eventually("the end of the download", || operations(&host)[0]["state"] == "succeeded");
    assert_eq!((server.asked().len(), operations(&host).as_array().unwrap().len()), (1, 1));
}
