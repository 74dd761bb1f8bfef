//! Changing plugins under a running host.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::in_process::{InProcess, eventually, file, host, one_plugin, plugin};
use crate::pipe::Pipe;
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

/// The component `source` with a grant on the engine at `socket`.
fn on_engine(source: &str, socket: &str) -> String {
    let grant = "[site.plugin.grants.docker]\nallow = [\"containers.read\"]";
    format!("[engine.default]\nurl = \"unix:///nowhere/{socket}\"\n{}", one_plugin(source, grant))
}

fn generation(host: &InProcess) -> u64 {
    host.plugin("subject")["generation"].as_u64().unwrap()
}

#[test]
fn a_plugin_moves_with_its_engine() {
    let host = host(&on_engine(HELLO, "a.sock"));
    assert_eq!((host.reload(&on_engine(HELLO, "a.sock")), generation(&host)), (Vec::new(), 1));
    assert_eq!((host.reload(&on_engine(HELLO, "b.sock")), generation(&host)), (Vec::new(), 2));
}

#[test]
fn a_plugin_that_could_not_move_with_its_engine_does_so_when_it_can() {
    let host = host(&on_engine(HELLO, "a.sock"));
    assert!(!host.reload(&on_engine("nothing.wasm", "b.sock")).is_empty());
    assert_eq!(generation(&host), 1);
    assert_eq!((host.reload(&on_engine(HELLO, "b.sock")), generation(&host)), (Vec::new(), 2));
}

#[test]
fn a_grant_that_moves_in_the_file_is_the_same_grant() {
    let host = host(&on_engine(HELLO, "a.sock"));
    let moved = format!("# a comment\n{}", on_engine(HELLO, "a.sock"));
    assert_eq!((host.reload(&moved), generation(&host)), (Vec::new(), 1));
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
fn a_plugin_that_cannot_be_loaded_keeps_its_mount() {
    let host = host(&one_plugin(BENCH, ""));
    let moved = format!("[[site]]\nname = \"test\"\n{}", plugin("subject", "nothing.wasm", "/moved", ""));
    assert_eq!(host.reload(&moved).len(), 1);
    assert_eq!((host.get("/").status, host.get("/moved").status), (200, 404));
    assert_eq!(host.plugin("subject")["mount"], "/");
}

/// One site with these plugins: name, component, mount and further lines.
fn site(plugins: &[(&str, &str, &str, &str)]) -> String {
    let plugins: String = plugins.iter().map(|(name, component, mount, lines)| plugin(name, component, mount, lines)).collect();
    format!("[[site]]\nname = \"test\"\n{plugins}")
}

/// Reloads from `before` to `after`: the one mistake, and then each plugin's state, generation and mount.
#[track_caller]
fn check(
    before: &[(&str, &str, &str, &str)],
    after: &[(&str, &str, &str, &str)],
    mistake: &str,
    states: &[(&str, &str, Option<u64>, &str)],
) {
    let host = host(&site(before));
    let mistakes = host.reload(&site(after)).join("\n");
    assert!(mistakes.contains(mistake), "{mistakes}");
    let found: Vec<_> = states.iter().map(|(name, ..)| host.plugin(name)).collect();
    let found: Vec<_> = found
        .iter()
        .map(|plugin| {
            let text = |key: &str| plugin[key].as_str().unwrap();
            (text("name"), text("state"), plugin["generation"].as_u64(), text("mount"))
        })
        .collect();
    assert_eq!(found, states);
}

#[test]
fn a_newcomer_does_not_take_a_running_plugin_out() {
    let running = ("running", BENCH, "/", "");
    let newcomer = ("newcomer", BENCH, "/", "");
    let mistake = "plugin `newcomer` claims the path pattern `/` below `/`, which plugin `running` claims already";
    check(&[running], &[newcomer, running], mistake, &[("running", "loaded", Some(1), "/"), ("newcomer", "failed", None, "/")]);
    let changed = ("running", BENCH, "/", "limits = { queue = 1 }");
    check(&[running], &[newcomer, changed], mistake, &[("running", "loaded", Some(2), "/"), ("newcomer", "failed", None, "/")]);
}

#[test]
fn a_plugin_that_would_take_anothers_patterns_stays_as_it_was() {
    let before = [("a", MISBEHAVE, "/a", ""), ("b", BENCH, "/b", "")];
    let after = [("a", BENCH, "/b", ""), ("b", BENCH, "/b", "")];
    check(&before, &after, "plugin `a` claims", &[("a", "loaded", Some(1), "/a"), ("b", "loaded", Some(1), "/b")]);
}

#[test]
fn a_plugin_that_stays_takes_its_patterns_back_from_one_that_was_to_follow_it() {
    // `a` wants the mount that `b` leaves, but `b` cannot leave, since `c` stays where `b` wants to go.
    let before = [("a", BENCH, "/a", ""), ("b", BENCH, "/b", ""), ("c", BENCH, "/c", "")];
    let after = [("a", BENCH, "/b", ""), ("b", BENCH, "/c", ""), ("c", BENCH, "/c", "")];
    let states = [("a", "loaded", Some(1), "/a"), ("b", "loaded", Some(1), "/b"), ("c", "loaded", Some(1), "/c")];
    check(&before, &after, "plugin `a` claims the path pattern `/` below `/b`, which plugin `b` claims already", &states);
}

#[test]
fn plugins_can_change_places() {
    let before = [("a", BENCH, "/a", ""), ("b", BENCH, "/b", "")];
    let after = [("a", BENCH, "/b", ""), ("b", BENCH, "/a", "")];
    check(&before, &after, "", &[("a", "loaded", Some(2), "/b"), ("b", "loaded", Some(2), "/a")]);
}

#[test]
fn a_reload_is_carried_through_when_nobody_waits_for_it_and_holds_nobody_up() {
    let host = host(&one_plugin(BENCH, ""));
    let component = Pipe::new(&host.folder().join("slow.wasm"));
    let reader = component.reader();
    host.reload_and_leave(&format!("{}{}", one_plugin(BENCH, ""), plugin("slow", "slow.wasm", "/slow", "")), move || reader.is_there());
    assert_eq!((host.admin().get("/health").unwrap().status, host.get("/").status, host.get("/slow").status), (200, 200, 404));
    component.write(&fs::read(BENCH).unwrap());
    eventually("the end of the reload", || host.get("/slow").status == 200);
}

#[test]
fn what_the_file_said_last_is_in_force_at_the_end() {
    let host = host(&one_plugin(BENCH, ""));
    let path = host.folder().join("wharf.toml");
    fs::remove_file(&path).unwrap();
    let slow = Pipe::new(&path);
    let reload = || host.admin().post("/reload").unwrap().status;
    thread::scope(|scope| {
        let first = scope.spawn(reload);
        eventually("the first reload", || slow.reader().is_there());
        let next = host.folder().join("next.toml");
        fs::write(&next, file(&one_plugin(MISBEHAVE, ""))).unwrap();
        fs::rename(&next, &path).unwrap();
        let second = scope.spawn(reload);
        let overtook = wharf_harness::poll(Duration::from_millis(300), || Ok(second.is_finished().then_some(()))).unwrap();
        assert_eq!(overtook, None, "the second reload did not wait for the first");
        slow.write(file(&one_plugin(BENCH, "limits = { queue = 1 }")).as_bytes());
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (200, 200));
    });
    assert_eq!((host.get("/").status, host.get("/served").status), (404, 200));
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
