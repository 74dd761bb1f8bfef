//! The binary as an operator meets it: what its commands print, where, and with which exit code. No engine is needed, so nothing here is ever left out.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use wharf_tests::guests::MISBEHAVE;
use wharf_tests::plugins::{DEPLOYMENTS, HUB_SEARCH, IMAGE_CATALOG, MODEL_IMAGES, UPDATE_CHECKER};

use crate::site::host;

/// What `wharf check` makes of a configuration.
struct Checked {
    code: Option<i32>,
    /// The report.
    out: String,
    /// What kept it from making one.
    error: String,
}

/// Writes `configuration` to a folder of its own and checks it there. It is called `wharf.toml`.
#[track_caller]
fn check(configuration: &str) -> Checked {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("wharf.toml"), configuration).unwrap();
    let mut wharf = Command::new(env!("CARGO_BIN_EXE_wharf-under-test"));
    let done = wharf.arg("check").current_dir(folder.path()).env_remove("DOCKER_HOST").env_remove("RUST_LOG").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Checked { code: done.status.code(), out: text(done.stdout), error: text(done.stderr) }
}

/// The configuration that a clone has, with the plugins that were built for the tests.
fn default_configuration() -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wharf.toml")).unwrap();
    let components = [
        ("deployments", DEPLOYMENTS),
        ("hub-search", HUB_SEARCH),
        ("image-catalog", IMAGE_CATALOG),
        ("model-images", MODEL_IMAGES),
        ("update-checker", UPDATE_CHECKER),
    ];
    let of_tests = components.iter().fold(text, |text, (name, component)| {
        let built = format!("target/wharf/plugins/{name}.wasm");
        assert!(text.contains(&built), "{built}");
        text.replace(&built, component)
    });
    of_tests.replace("target/wharf/data", "data")
}

#[test]
fn the_default_configuration_is_checked_and_found_well() {
    let Checked { code, out, error } = check(&default_configuration());
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    for line in [
        "site local (every other host)",
        "  plugin deployments at /: deployments 0.1.0 (sha256 ",
        "  plugin hub-search at /: hub-search 0.1.0 (sha256 ",
        "  plugin image-catalog at /: image-catalog 0.1.0 (sha256 ",
        "  plugin model-images at /ebonite: model-images 0.1.0 (sha256 ",
        "  plugin update-checker at /: update-checker 0.1.0 (sha256 ",
        "wharf.toml: all is well",
    ] {
        assert!(out.lines().any(|found| found.starts_with(line)), "no `{line}` in\n{out}");
    }
    for (import, power) in [("containers-read", "containers.read"), ("containers-create", "containers.create")] {
        let line = out.lines().find(|line| line.contains(&format!("imports wharf:docker/{import}@"))).unwrap_or_default();
        assert!(line.ends_with(&format!("granted: `{power}` of grants.docker")), "{import}: `{line}` in\n{out}");
    }
}

#[test]
fn a_missing_grant_is_one_mistake_of_a_configuration_that_can_be_read() {
    let configuration = default_configuration().replacen("    \"containers.remove\",\n", "", 1);
    let Checked { code, out, error } = check(&configuration);
    assert_eq!((code, error.as_str()), (Some(1), ""), "{out}");
    let line = 1 + configuration.lines().position(|line| line == "[[site.plugin]]").unwrap();
    let place = format!("wharf.toml:{line}:");
    for part in [
        "  plugin deployments at /: not loaded",
        &place,
        "add to `allow` of its [site.plugin.grants.docker]: \"containers.remove\"",
        "wharf.toml: 1 mistake\n",
    ] {
        assert!(out.contains(part), "no `{part}` in\n{out}");
    }
}

#[test]
fn every_mistake_of_a_configuration_is_said_at_once_with_its_place() {
    let configuration = default_configuration().replace("[server]\n", "[server]\nlisten_on = 1\n").replace("mount = \"/\"", "mount = 7");
    let Checked { code, out, error } = check(&configuration);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{error}");
    for wrong in ["listen_on = 1", "mount = 7"] {
        let line = 1 + configuration.lines().position(|line| line == wrong).unwrap();
        assert!(error.contains(&format!("wharf.toml:{line}:")), "nothing of line {line}, `{wrong}`, in\n{error}");
    }
}

#[test]
fn a_configuration_that_is_not_there_is_called_by_its_name() {
    let wharf = Command::new(env!("CARGO_BIN_EXE_wharf-under-test")).args(["check", "--config", "/nowhere/wharf.toml"]).output().unwrap();
    let error = String::from_utf8(wharf.stderr).unwrap();
    assert!(wharf.status.code() == Some(1) && error.contains("/nowhere/wharf.toml"), "{error}");
}

/// A client that reads no further, and one whose plugin computes for minutes.
#[test]
fn a_host_that_is_told_to_stop_waits_for_slow_requests_no_longer_than_its_grace() {
    let wharf = host(&format!(
        "shutdown_grace_secs = 1
[[site]]
name = \"plant-a\"
[[site.plugin]]
name = \"slow\"
source = \"{MISBEHAVE}\"
mount = \"/\"
limits = {{ cpu_ms = 600000, deadline_ms = 600000, stream_deadline_ms = 600000 }}
"
    ));
    let client = wharf.client();
    let (status, _, mut unread) = client.open("GET", "/started-endless", &[], &[]).unwrap();
    unread.read_exact(&mut [0; 16]).unwrap();
    assert_eq!(status, 200);
    let began = Instant::now();
    let (status, log) = std::thread::scope(|scope| {
        let computing = scope.spawn(|| client.get("/burn/300000").is_ok());
        let ended = wharf.end().unwrap();
        assert!(!computing.join().unwrap(), "its request was cut off");
        ended
    });
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(15), "{took:?}");
    assert_eq!(status.code(), Some(0), "{log}");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let said = |message: &str| lines.iter().find(|line| line["fields"]["message"] == message);
    let cut = said("cutting off the requests still under way").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&cut["level"], &cut["fields"]["grace_secs"]), (&Value::from("WARN"), &Value::from(1)));
    assert!(said("stopping").is_some() && said("stopped").is_some(), "{log}");
}
