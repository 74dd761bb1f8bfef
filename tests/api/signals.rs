//! What an operator tells the process while it is busy.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::in_process::eventually;
use crate::pipe::Pipe;
use wharf_harness::wharf::Wharf;

fn send(signal: &str, wharf: &Wharf) {
    assert!(Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", wharf.id())).status().unwrap().success());
}

/// A host that reads its configuration again and does not come to an end with it.
fn reloading() -> (Wharf, Pipe) {
    let wharf = Wharf::start(Path::new(env!("CARGO_BIN_EXE_wharf-under-test")), "[[site]]\nname = \"test\"\n").unwrap();
    let path = wharf.folder().join("wharf.toml");
    fs::remove_file(&path).unwrap();
    let pipe = Pipe::new(&path);
    send("HUP", &wharf);
    eventually("the reload", || pipe.reader().is_there());
    (wharf, pipe)
}

#[test]
fn a_host_that_reloads_stops_when_it_is_told_and_at_once_when_it_is_told_again() {
    let (wharf, _pipe) = reloading();
    send("TERM", &wharf);
    eventually("the stop", || wharf.log().contains("\"stopping\""));
    eventually("the end of the listener", || wharf.client().get("/").is_err());
    send("INT", &wharf);
    eventually("the end", || wharf.log().contains("stopping at once, at a second signal"));
    assert_eq!(wharf.stop().unwrap().code(), Some(1));
}

#[test]
fn a_host_that_stops_finishes_its_reload() {
    let (wharf, pipe) = reloading();
    send("TERM", &wharf);
    eventually("the stop", || wharf.log().contains("\"stopping\""));
    pipe.write(b"nonsense");
    eventually("the end", || wharf.log().contains("\"stopped\""));
    assert!(wharf.log().contains("\"reloaded\""), "{}", wharf.log());
    assert_eq!(wharf.stop().unwrap().code(), Some(0));
}
