//! `cargo xtask run` as far as it gets before it builds: what it refuses, and how it ends when it is told to in the middle of something.
//!
//! Each run has a configuration and a data directory of its own. The directory looks as if an earlier run had started a private engine in it, so that one is started
//! on a machine with an engine too. No test lets the build begin.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail at any line")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use wharf_harness::process::{Process, find_line};
use wharf_harness::{poll, programs};

/// A port that nobody listens on, of a loopback address that no other test here uses: a port that is let go is soon another's.
fn free() -> SocketAddr {
    static NUMBERS: AtomicU8 = AtomicU8::new(1);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    TcpListener::bind((Ipv4Addr::new(127, high, low, number), 0)).unwrap().local_addr().unwrap()
}

/// A folder with `wharf.toml`, whose addresses are `taken` or free, and `data`.
fn folder(taken: Option<&TcpListener>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let address = taken.map_or_else(free, |taken| taken.local_addr().unwrap());
    std::fs::write(folder.path().join("wharf.toml"), format!("[server]\nlisten = \"{address}\"\nadmin = false\n")).unwrap();
    std::fs::create_dir_all(folder.path().join("data/engine/docker")).unwrap();
    folder
}

/// Starts a run there, with its output going to the file `log`.
fn run(folder: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("run").arg("--config").arg(folder.join("wharf.toml")).arg("--data-dir").arg(folder.join("data")).env_remove("DOCKER_HOST");
    // What a build would call, should it come so far.
    command.env("CARGO", "false");
    Process::start(command, folder.join("log")).unwrap()
}

/// The processes that have `text` in their arguments, but for us.
fn processes(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(text) && !line.starts_with(env!("CARGO_BIN_EXE_xtask"))).collect()
}

/// Interrupts a run as soon as `moment` has come, and checks that nothing of it is left.
#[track_caller]
fn check_interrupted(moment: impl Fn(&Path) -> bool) {
    if programs::skip(programs::ENGINE).unwrap() {
        return;
    }
    let folder = folder(None);
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let mut run = run(folder.path());
    run.wait_until(Duration::from_secs(60), "at the moment", || moment(folder.path()).then_some(())).unwrap();
    assert_ne!(processes(data.to_str().unwrap()), [] as [String; 0], "there is something to end");
    run.interrupt();
    let status = poll(Duration::from_secs(30), || run.ended()).unwrap().unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.ends_with("==> stopped\n") && !said.contains("error:"), "{said}");
    assert_eq!(processes(data.to_str().unwrap()), [] as [String; 0]);
    let index = std::fs::read_to_string(data.join("engine/bridge")).unwrap();
    assert!(!Path::new("/sys/class/net").join(format!("wharf{}", index.trim())).exists(), "its bridge is gone");
}

#[test]
fn a_run_that_is_interrupted_while_its_engine_starts_leaves_nothing() {
    check_interrupted(|folder| !processes(&format!("--data-root {}", folder.join("data/engine/docker").display())).is_empty());
}

#[test]
fn a_run_that_is_interrupted_when_its_engine_has_started_stops_it() {
    check_interrupted(|folder| find_line(&folder.join("log"), |line| line.contains("the private engine is").then_some(())).is_some());
}

#[test]
fn an_address_that_is_taken_ends_a_run_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = folder(Some(&taken));
    let mut run = run(folder.path());
    let status = poll(Duration::from_secs(30), || run.ended()).unwrap().unwrap();
    let said = run.log_text();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: nobody can listen on ") && said.contains("`listen` of `[server]`"), "{said}");
}

#[test]
fn an_engine_that_is_named_is_meant() {
    let folder = folder(None);
    let configuration = folder.path().join("wharf.toml");
    let text = std::fs::read_to_string(&configuration).unwrap();
    for (url, problem) in [
        ("ssh://engine", "`ssh://engine` has the unknown scheme `ssh`"),
        ("unix:///nowhere/docker.sock", "no Docker engine is at unix:///nowhere/docker.sock"),
    ] {
        std::fs::write(&configuration, format!("{text}[engine.default]\nurl = \"{url}\"\n")).unwrap();
        let mut run = run(folder.path());
        let status = poll(Duration::from_secs(30), || run.ended()).unwrap().unwrap();
        let said = run.log_text();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("error: `url` of `[engine.default]`: {problem}")), "{said}");
    }
}
