//! `wharf check` and `wharf plugin inspect`: what they print, how they end, and that they leave nothing behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::in_process::{file, one_plugin, plugin};
use wharf_tests::examples::HELLO;
use wharf_tests::guests::BENCH;

/// Runs the binary in `folder`: whether it ended well, and all that it wrote.
fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf-under-test"));
    let output = command.args(arguments).current_dir(folder).env("TMPDIR", folder).env_remove("DOCKER_HOST").output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.code().is_some(), "{text}");
    (output.status.success(), text)
}

/// Checks the sites of `configuration`, which begin in line 6 of the file.
#[track_caller]
fn check(configuration: &str, ends_well: bool, lines: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wharf.toml"), file(configuration)).unwrap();
    let (ended_well, text) = run(folder.path(), &["check"]);
    assert_eq!(ended_well, ends_well, "{text}");
    for line in lines {
        assert!(text.contains(line), "`{line}` is missing in:\n{text}");
    }
}

fn granted(allow: &str) -> String {
    one_plugin(HELLO, &format!("[site.plugin.grants.docker]\nallow = [{allow}]"))
}

#[test]
fn a_good_configuration_is_shown_with_imports_beside_grants() {
    let lines = [
        "site test (every other host)\n  plugin subject at /: ",
        "imports wharf:docker/containers-read@0.1.0 ",
        "granted: `containers.read` of grants.docker",
        "wharf.toml: all is well",
    ];
    check(&granted("\"containers.read\""), true, &lines);
}

#[test]
fn a_grant_that_nothing_asks_for_is_a_warning() {
    let lines = [
        "warning: wharf.toml:8:1: `images.pull` of `grants.docker` is granted, and nothing in the component asks for it",
        "help: take it out of `allow`",
        "all is well",
    ];
    check(&granted("\"containers.read\", \"images.pull\""), true, &lines);
}

#[test]
fn a_file_that_the_configuration_names_and_that_cannot_be_used_is_named_with_its_place() {
    let site = one_plugin(HELLO, "[site.plugin.grants.docker]\nallow = [\"containers.read\"]");
    let tables = "[registry.\"registry.local\"]\nca_file = \"ca.pem\"";
    let catalogs = "[site.catalog.official]\nfile = \"official.json\"\n[site.catalog.ours]\nurl = \"https://catalogs.local/ours.json\"";
    let lines = [
        "wharf.toml:7:11: failed to read `ca_file` `ca.pem`: ",
        "help: write the path of a file with certificates in PEM, relative to the file that this stands in",
        "failed to read the catalogue `official` from `official.json`: there is no such file",
        "wharf.toml: 2 mistakes",
    ];
    check(&format!("{tables}\n{site}{catalogs}"), false, &lines);
}

#[test]
fn a_database_that_cannot_be_reached_is_a_warning() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let storage = format!("[storage]\nurl = \"postgres://wharf:secret@{}/wharf\"\n", listener.local_addr().unwrap());
    drop(listener);
    let lines = ["warning: the database of `[storage]` cannot be used: failed to connect", "all is well"];
    check(&format!("{storage}{}", granted("\"containers.read\"")), true, &lines);
}

#[test]
fn every_plugin_that_would_not_be_served_is_named() {
    let configuration = format!(
        "{}{}{}{}",
        one_plugin(BENCH, ""),
        plugin("absent", "nothing.wasm", "/absent", ""),
        plugin("greedy", HELLO, "/greedy", ""),
        plugin("second", BENCH, "/", "")
    );
    let lines = [
        "plugin subject at /: ",
        "plugin absent at /absent: not loaded",
        "wharf.toml:15:10: failed to read `nothing.wasm`: No such file",
        "wharf.toml:18:1: plugin `greedy` imports `wharf:docker/containers-read` without a grant",
        "wharf.toml:26:9: plugin `second` claims the path pattern `/` below `/`, which plugin `subject` claims already",
        "wharf.toml: 3 mistakes",
    ];
    check(&configuration, false, &lines);
}

#[test]
fn a_key_that_is_none_is_named_with_the_one_that_was_meant() {
    check(&one_plugin(BENCH, "isolatoin = \"request\""), false, &["wharf.toml:12:1: ", "`isolatoin`", "`isolation`"]);
}

#[test]
fn settings_of_a_plugin_that_has_none_are_a_mistake() {
    let lines = ["wharf.toml:12:10: plugin `subject` has no settings, and `config` gives it `color`", "help: take `config` out"];
    check(&one_plugin(BENCH, "config = { color = \"red\" }"), false, &lines);
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (ended_well, text) = run(folder.path(), &["check", "--config", "other.toml"]);
    assert!(!ended_well && text.contains("there is no file `other.toml`") && text.contains("help: create"), "{text}");
}

#[test]
fn nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wharf.toml"), one_plugin(BENCH, "")).unwrap();
    for arguments in [&["check"][..], &["plugin", "inspect", BENCH]] {
        let (ended_well, text) = run(folder.path(), arguments);
        assert!(ended_well, "{text}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["wharf.toml"]);
}

#[test]
fn a_component_is_shown_before_anybody_grants_it_anything() {
    let (ended_well, text) = run(Path::new("/"), &["plugin", "inspect", HELLO]);
    assert!(ended_well, "{text}");
    for line in
        ["  wharf:docker/containers-read@0.1.0", "  /hello/{name} GET", "  [site.plugin.grants.docker]\n  allow = [\"containers.read\"]"]
    {
        assert!(text.contains(line), "`{line}` is missing in:\n{text}");
    }
}

/// Inspects a file with this content.
#[track_caller]
fn check_inspect(component: &[u8], problem: &str, remedy: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("subject.wasm"), component).unwrap();
    let (ended_well, text) = run(folder.path(), &["plugin", "inspect", "subject.wasm"]);
    assert!(!ended_well && text.starts_with("wharf: `subject.wasm` ") && text.contains(problem) && text.contains(remedy), "{text}");
}

#[test]
fn a_file_that_cannot_be_inspected_is_called_by_its_name() {
    check_inspect(b"#!/bin/sh\n", "is no WebAssembly component", "help: name a component");
    check_inspect(&wat::parse_str("(module)").unwrap(), "is a core WebAssembly module", "wasm32-wasip2");
    let foreign = wat::parse_str("(component (import \"wharf:docker/containers-read@0.2.0\" (instance)))").unwrap();
    check_inspect(&foreign, "cannot be used: the component imports `wharf:docker/containers-read@0.2.0`", "SDK of the contract 0.1.0");
    check_inspect(&wat::parse_str("(component)").unwrap(), "cannot be used: the component does not export `wharf:", "`wharf_sdk::export!`");
}
