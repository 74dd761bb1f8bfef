//! Changing plugins under a running host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::in_process::{host, one_plugin};
use wharf_tests::examples::HELLO;
use wharf_tests::guests::{BENCH, MISBEHAVE};

#[test]
fn one_line_changes_what_answers_a_mount() {
    let host = host(&one_plugin(BENCH, ""));
    assert_eq!(host.get("/").text().unwrap(), "Hello, dock!");
    assert_eq!(host.reload(&one_plugin(MISBEHAVE, "")), [""; 0]);
    assert_eq!((host.get("/").status, host.get("/served").status), (404, 200));
    assert_eq!(host.admin().get("/plugins").unwrap().json().unwrap()[0]["generation"], 2);
}

#[test]
fn what_did_not_change_is_not_loaded_again() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    host.get("/served");
    assert_eq!(host.reload(&format!("# a comment\n{}", one_plugin(MISBEHAVE, ""))), [""; 0]);
    assert_eq!(host.get("/served").text().unwrap(), "1", "the same instance goes on");
}

#[test]
fn a_plugin_moves_with_its_engine() {
    let with_engine = |socket: &str| {
        let grant = "[site.plugin.grants.docker]\nallow = [\"containers.read\"]";
        format!("[engine.default]\nurl = \"unix:///nowhere/{socket}\"\n{}", one_plugin(HELLO, grant))
    };
    let host = host(&with_engine("a.sock"));
    let generation = || host.admin().get("/plugins").unwrap().json().unwrap()[0]["generation"].as_u64().unwrap();
    assert_eq!((host.reload(&with_engine("a.sock")), generation()), (Vec::new(), 1));
    assert_eq!((host.reload(&with_engine("b.sock")), generation()), (Vec::new(), 2));
}

#[test]
fn what_needs_a_restart_is_said() {
    let host = host(&one_plugin(BENCH, ""));
    let text = std::fs::read_to_string(host.folder().join("wharf.toml")).unwrap();
    std::fs::write(host.folder().join("wharf.toml"), text.replace("shutdown_grace_secs = 5", "shutdown_grace_secs = 6")).unwrap();
    let answer = host.admin().post("/reload").unwrap();
    assert_eq!(answer.status, 422);
    assert!(answer.text().unwrap().contains("restart `wharf serve`"), "{:?}", answer.text());
}

#[test]
fn a_change_that_fails_leaves_what_was_there() {
    let host = host(&one_plugin(BENCH, ""));
    let wrong = host.reload(&one_plugin("nothing.wasm", ""));
    assert!(wrong.join("").contains("failed to read"), "{wrong:?}");
    assert_eq!(host.get("/").status, 200);
}

#[test]
fn no_request_fails_while_plugins_are_swapped() {
    let host = host(&one_plugin(BENCH, ""));
    let stop = AtomicBool::new(false);
    let client = host.client();
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.get("/").unwrap().status, 200);
                count += 1;
            }
            count
        });
        for concurrency in 1..10 {
            assert_eq!(host.reload(&one_plugin(BENCH, &format!("limits = {{ concurrency = {concurrency} }}"))), [""; 0]);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asked.join().unwrap() > 0);
    });
}
