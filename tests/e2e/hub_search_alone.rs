//! What the plugin `hub-search` does without an engine: logging people in and out, and templates for LXC, from their catalogue to their end. Nothing here is ever left out.
//!
//! The place of the archives is a stand-in: a server of the harness on loopback that answers what a web server with files would, and that can be told to send no more than half.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wharf_harness::fault_proxy::{Answer, Fault, FaultProxy};
use wharf_harness::http::{Client, Response};
use wharf_harness::wharf::Wharf;
use wharf_tests::plugins::HUB_SEARCH;

use crate::site::{eventually, host};

/// A site with the plugin, whose list is `qnap.json`, and an engine that is not there.
fn configuration() -> String {
    format!(
        r#"
[engine.default]
url = "unix:///absent/docker.sock"
[[site]]
name = "nas"
[site.catalog.qnap]
file = "qnap.json"
[[site.plugin]]
name = "hub-search"
source = "{HUB_SEARCH}"
mount = "/"
auth = "plugin"
[site.plugin.grants.docker]
allow = ["images.read", "images.pull", "images.remove", "operations.read"]
[site.plugin.grants.registry]
allow = ["manifests.read", "hub.read", "catalog.read", "catalog.download"]
[site.plugin.grants.storage]
allow = ["blobs"]
[site.plugin.grants.identity]
allow = ["principal", "sessions"]
"#
    )
}

#[track_caller]
fn check_failure(answer: &Response, code: u16, message: &str) {
    let envelope: Value = answer.json().unwrap();
    let said = envelope["error"]["message"].as_str().unwrap_or_default();
    assert_eq!((answer.status, &envelope["error"]["code"], said.starts_with(message)), (code, &json!(code), true), "{envelope}");
}

/// Adds the user `name` to the site of `host`, as its operator does.
#[track_caller]
fn add_user(host: &Wharf, name: &str, password: &str, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf-under-test"));
    command.args(["user", "add", name]).args(arguments).current_dir(host.folder()).env_remove("RUST_LOG").env_remove("DOCKER_HOST");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), password.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn login(host: &Wharf, fields: &[(&str, &str)], body: &str) -> Response {
    host.client().send("POST", "/api/v1/login", fields, body.as_bytes()).unwrap()
}

/// A client with the session that `answer` began, as one with a cookie jar.
#[track_caller]
fn with_session(host: &Wharf, answer: &Response) -> Client {
    let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("no session: {answer:?}"));
    host.client().with_header("cookie", cookie.split(';').next().unwrap())
}

#[test]
fn whoever_is_a_user_of_the_site_logs_in_and_out() {
    let host = host(&configuration());
    let status = |client: &Client| client.get("/api/v1/image/downloadstatus").unwrap().status;
    let open: Value = login(&host, &[], "username=x&password=y").json().unwrap();
    assert_eq!((&open["anonymous"], &open["username"], status(&host.client())), (&json!(true), &json!("nobody"), 200));

    add_user(&host, "ann", "a long password", &["--role", "admin"]);
    eventually("that the site is closed", || status(&host.client()) == 401);
    check_failure(&host.client().get("/api/v1/image/?type=lxc").unwrap(), 401, "not logged in");
    check_failure(&host.client().post("/api/v1/image/qnap/lxc/ubuntu/14.04/download").unwrap(), 401, "not logged in");
    check_failure(&login(&host, &[], "username=ann&password=wrong"), 401, "wrong user name or password");
    check_failure(&login(&host, &[], "username=ann"), 400, "expected `username` and `password`");
    for foreign in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        check_failure(&login(&host, &[foreign], "username=ann&password=a+long+password"), 403, "not allowed here");
    }

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = login(&host, &form, "username=ann&password=a%20long+password");
    let said: Value = answer.json().unwrap();
    assert_eq!((answer.status, &said["anonymous"], &said["isAdmin"], &said["username"]), (200, &json!(false), &json!(true), &json!("ann")));
    let time = said["logintime"].as_str().unwrap();
    assert!(time.len() == 19 && time.as_bytes()[10] == b' ' && time > "2024-01-01 00:00:00", "{time}");
    let desk = with_session(&host, &answer);
    assert_eq!(status(&desk), 200);
    let refreshed = desk.get("/api/v1/login_refresh").unwrap();
    assert_eq!((refreshed.status, refreshed.json().unwrap()), (200, said));
    assert_eq!(status(&with_session(&host, &refreshed)), 200);
    check_failure(&desk.get("/api/v1/image/").unwrap(), 503, "Service Unavailable");

    let phone = with_session(&host, &login(&host, &[], r#"{"username": "ann", "password": "a long password"}"#));
    let script = host.client().with_header("authorization", "Basic YW5uOmEgbG9uZyBwYXNzd29yZA==");
    assert_eq!((status(&phone), status(&script)), (200, 200));
    let logout = desk.send("PUT", "/api/v1/logout", &[], &[]).unwrap();
    assert_eq!((logout.status, logout.json().unwrap()), (200, json!({"username": "ann"})));
    assert!(logout.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{logout:?}");
    assert_eq!((status(&desk), status(&with_session(&host, &refreshed)), status(&phone), status(&script)), (401, 401, 200, 200));
    check_failure(&desk.send("PUT", "/api/v1/logout", &[], &[]).unwrap(), 401, "not logged in");
    assert!(!host.log().contains("a long password"));
}

#[test]
fn whoever_guesses_passwords_is_told_to_wait() {
    let host = host(&configuration());
    add_user(&host, "ann", "a long password", &[]);
    eventually("that the site is closed", || host.client().get("/api/v1/image/downloadstatus").unwrap().status == 401);
    let answers: Vec<Response> = (0..30).map(|_| login(&host, &[], "username=ann&password=wrong")).collect();
    assert_eq!(answers[0].status, 401);
    let throttled = answers.iter().find(|answer| answer.status == 429).unwrap();
    check_failure(throttled, 429, "too many logins have failed");
}

/// The stand-in for the place of the archives: `/ubuntu.tar.xz` is one.
struct Archives {
    proxy: FaultProxy,
    _files: FaultProxy,
    /// Whether no more than half of one is sent.
    holds: Arc<AtomicBool>,
}

fn archive() -> String {
    "archive ".repeat(50_000)
}

impl Archives {
    fn start() -> Archives {
        let files = FaultProxy::answering(|asked| match asked.target.as_str() {
            "/ubuntu.tar.xz" => Answer::new(200, &archive()),
            _ => Answer::new(404, "no such file"),
        })
        .unwrap();
        let holds = Arc::new(AtomicBool::new(false));
        let held = Arc::clone(&holds);
        let plan = move |_: &_| if held.load(Ordering::SeqCst) { Fault::SilentBody } else { Fault::None };
        Archives { proxy: FaultProxy::start(files.address(), plan).unwrap(), _files: files, holds }
    }

    /// Writes the list of `host`: `ubuntu-trusty`, as it is; `forged`, which is another archive; `gone`, which is nowhere to be found.
    fn list_at(&self, host: &Wharf) {
        let at = |path: &str| format!("http://{}/{path}", self.proxy.address());
        let digest: String = Sha256::digest(archive()).iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = |name: &str, path: &str, digest: &str| {
            json!({
                "type": "lxc", "name": name, "version": "14.04", "title": "Ubuntu", "description": "A system.", "arch": "amd64",
                "size": archive().len().to_string(), "archive_url": at(path), "archive_digest": format!("sha256:{digest}"),
            })
        };
        let forged = "0".repeat(64);
        let list = json!([
            entry("ubuntu-trusty", "ubuntu.tar.xz", &digest),
            entry("forged", "ubuntu.tar.xz", &forged),
            entry("gone", "gone.tar.xz", &digest),
        ]);
        std::fs::write(host.folder().join("qnap.json"), list.to_string()).unwrap();
    }
}

fn get(host: &Wharf, path: &str) -> Value {
    let answer = host.client().get(&format!("/api/v1/image/{path}")).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}\n{}", answer.text().unwrap(), host.log());
    answer.json().unwrap()
}

/// Asks for a download, which begins.
#[track_caller]
fn download(host: &Wharf, name: &str) {
    let answer = host.client().post(&format!("/api/v1/image/qnap/lxc/{name}/14.04/download")).unwrap();
    assert_eq!((answer.status, answer.text().unwrap()), (200, "{}"));
}

fn is_installed(host: &Wharf, name: &str) -> Value {
    let list = get(host, "?category=qnap&type=lxc");
    let found = list["results"].as_array().unwrap().iter().find(|entry| entry["name"] == name).cloned().unwrap_or_default();
    json!([found["installed"], found["downloading"]])
}

#[test]
fn a_template_is_downloaded_and_listed_and_deleted() {
    let (host, archives) = (host(&configuration()), Archives::start());
    archives.list_at(&host);
    assert_eq!((get(&host, "?type=lxc")["results"].clone(), is_installed(&host, "ubuntu-trusty")), (json!([]), json!([false, false])));
    archives.holds.store(true, Ordering::SeqCst);
    download(&host, "ubuntu-trusty");
    download(&host, "ubuntu-trusty");
    let half = json!([{"name": "ubuntu-trusty", "percent": 50, "status": "downloading"}]);
    eventually("that half is there", || get(&host, "downloadstatus") == half);
    assert_eq!((is_installed(&host, "ubuntu-trusty"), archives.proxy.asked().len()), (json!([false, true]), 1));
    let operations: Value = host.admin().get("/operations").unwrap().json().unwrap();
    assert_eq!(
        (&operations[0]["kind"], &operations[0]["current"], &operations[0]["total"]),
        (&json!("download"), &json!(200_000), &json!(400_000))
    );
    // The server goes silent, which the host does not bear for long.
    archives.holds.store(false, Ordering::SeqCst);
    eventually("the end of the download", || get(&host, "downloadstatus") == json!([]));
    assert_eq!((get(&host, "?type=lxc")["total_count"].clone(), is_installed(&host, "ubuntu-trusty")), (json!(0), json!([false, false])));
    eventually("its line in the log", || host.log().contains("an operation failed"));

    download(&host, "ubuntu-trusty");
    eventually("that it is there", || is_installed(&host, "ubuntu-trusty") == json!([true, false]));
    let expected = json!({
        "description": "Ubuntu 14.04", "downloading": false, "icon": "", "installed": true, "name": "ubuntu-trusty", "repository": "local", "size": ["400000"],
        "tags": ["latest"], "type": "lxc",
    });
    assert_eq!(get(&host, "?category=local&type=lxc&filter_text=TRUSTY")["results"], json!([expected]));
    assert_eq!(get(&host, "lxc/ubuntu-trusty/latest/inspect")["Size"], 400_000);
    for name in ["forged", "gone"] {
        download(&host, name);
        eventually("the end of the download", || get(&host, "downloadstatus") == json!([]));
        assert_eq!(is_installed(&host, name), json!([false, false]));
    }
    check_failure(&host.client().post("/api/v1/image/qnap/lxc/nothing/1/download").unwrap(), 404, "Image not found: nothing");

    let removed = host.client().delete("/api/v1/image/local/lxc/ubuntu-trusty").unwrap();
    assert_eq!(
        (removed.status, removed.json().unwrap()),
        (200, json!({"action": "delete", "name": "ubuntu-trusty", "state": "success", "type": "lxc"}))
    );
    check_failure(&host.client().delete("/api/v1/image/local/lxc/ubuntu-trusty").unwrap(), 404, "Image not found: ubuntu-trusty");
    assert_eq!(is_installed(&host, "ubuntu-trusty"), json!([false, false]));
    assert!(host.stop().unwrap().success());
}

#[test]
fn a_download_that_the_host_did_not_survive_is_gone() {
    let (mut host, archives) = (host(&configuration()), Archives::start());
    archives.list_at(&host);
    archives.holds.store(true, Ordering::SeqCst);
    download(&host, "ubuntu-trusty");
    eventually("that half is there", || get(&host, "downloadstatus")[0]["percent"] == 50);
    host.kill_and_start_again(Path::new(env!("CARGO_BIN_EXE_wharf-under-test"))).unwrap();
    assert_eq!(get(&host, "downloadstatus"), json!([]));
    assert_eq!((get(&host, "?type=lxc")["total_count"].clone(), is_installed(&host, "ubuntu-trusty")), (json!(0), json!([false, false])));
    let files = || std::fs::read_dir(host.folder().join("data/storage/blobs/nas/hub-search/bytes")).map_or(0, Iterator::count);
    eventually("that nothing of it is on the disk", || files() == 0);
    archives.holds.store(false, Ordering::SeqCst);
    download(&host, "ubuntu-trusty");
    eventually("that it is there", || is_installed(&host, "ubuntu-trusty") == json!([true, false]));
    host.kill_and_start_again(Path::new(env!("CARGO_BIN_EXE_wharf-under-test"))).unwrap();
    assert_eq!(is_installed(&host, "ubuntu-trusty"), json!([true, false]), "what is there stays");
}
