//! Components that cannot be loaded: each is called by its name, at the line that names it, and everything else is served.

use crate::in_process::{host, one_plugin, plugin};
use wharf_tests::examples::HELLO;
use wharf_tests::guests::BENCH;

/// A component of this text or these bytes beside a good one: what the log and the admin API say of it.
#[track_caller]
fn check(component: &[u8], lines: &str, problems: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("subject.wasm");
    std::fs::write(&path, component).unwrap();
    let path = path.to_str().unwrap();
    let host = host(&format!("{}{}", one_plugin(path, lines), plugin("neighbour", BENCH, "/neighbour", "")));
    assert_eq!((host.get("/").status, host.get("/neighbour").status), (503, 200));
    let reason = host.admin().get("/plugins").unwrap().json().unwrap()[0]["reason"].as_str().unwrap().to_owned();
    for problem in problems.iter().chain(&["wharf.toml:"]) {
        assert!(reason.contains(problem), "{reason}");
    }
}

/// As [`check`], with what `source` says.
#[track_caller]
fn check_source(source: &str, problems: &[&str]) {
    let reason = host(&one_plugin(source, "")).plugin("subject")["reason"].as_str().unwrap().to_owned();
    for problem in problems.iter().chain(&["wharf.toml:10:10"]) {
        assert!(reason.contains(problem), "{reason}");
    }
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_file_that_is_no_component() {
    check(b"", "", &["no WebAssembly component"]);
    check(b"#!/bin/sh\n", "", &["no WebAssembly component"]);
    check(&component("(module)"), "", &["core WebAssembly module", "wasm32-wasip2"]);
    check(b"\0asm\x0d\0\x01\0\xff\xff\xff", "", &["does not compile"]);
}

#[test]
fn a_component_of_another_world() {
    check(&component("(component)"), "", &["does not export `wharf:"]);
    check(
        &component("(component (import \"wharf:docker/containers-read@0.2.0\" (instance)))"),
        "",
        &["containers-read@0.2.0", "offers 0.1.0"],
    );
    check(&component("(component (import \"wharf:teapot/tea@0.1.0\" (instance)))"), "", &["wharf:teapot/tea@0.1.0", "does not have"]);
    check(
        &component("(component (import \"wasi:nn/graph@0.2.0\" (instance (export \"load\" (func)))))"),
        "",
        &["cannot be linked", "wasi:nn/graph"],
    );
}

#[test]
fn a_component_that_is_not_the_pinned_one() {
    let wrong = "0".repeat(64);
    check(&std::fs::read(BENCH).unwrap(), &format!("sha256 = \"{wrong}\""), &["has the sha256", "the configuration pins 000"]);
}

#[test]
fn a_component_that_needs_more_memory_than_it_may_have() {
    check(&std::fs::read(BENCH).unwrap(), "limits = { memory_mib = 1 }", &["cannot describe itself", "memory", "raise `memory_mib`"]);
}

/// A component with the exports of a plugin, of the given versions, that computes for ever when it starts.
fn endless_start(description: &str, handler: &str) -> Vec<u8> {
    component(&format!(
        r#"(component
            (core module $m (func $f (export "f") (loop $again br $again)) (start $f))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $description (export "describe" (func $f)))
            (instance $handler (export "handle" (func $f)))
            (export "wharf:plugin/description@{description}" (instance $description))
            (export "wharf:http/handler@{handler}" (instance $handler)))"#
    ))
}

#[test]
fn a_component_that_does_not_start_is_given_up_within_its_own_limit() {
    let endless = endless_start("0.1.0", "0.1.0");
    check(
        &endless,
        "limits = { start_deadline_ms = 50 }",
        &["cannot describe itself", "50 ms", "raise `memory_mib` or `start_deadline_ms`"],
    );
}

#[test]
fn a_component_for_another_version_of_the_world() {
    let problems = ["does not export `wharf:http/handler@0.1.0`", "it exports `wharf:http/handler@0.2.0`", "SDK of the contract 0.1.0"];
    check(&endless_start("0.1.0", "0.2.0"), "", &problems);
}

#[test]
fn a_component_that_is_not_there() {
    check_source("nothing.wasm", &["failed to read `", "nothing.wasm`: No such file", "help: build it, or correct the path"]);
    check_source("/", &["failed to read `/`: Is a directory", "help: name the component itself"]);
}

#[test]
fn a_component_that_imports_more_than_it_was_granted() {
    let lines = "[site.plugin.grants.docker]\nallow = [\"images.read\"]";
    let hello = std::fs::read(HELLO).unwrap();
    check(
        &hello,
        "",
        &["imports `wharf:docker/containers-read` without a grant", "[site.plugin.grants.docker]\n    allow = [\"containers.read\"]"],
    );
    check(&hello, lines, &["without a grant", "add to `allow` of its [site.plugin.grants.docker]: \"containers.read\""]);
}

#[test]
fn two_plugins_of_one_mount_that_claim_one_pattern() {
    let host = host(&format!("{}{}", one_plugin(BENCH, ""), plugin("second", BENCH, "/", "")));
    assert_eq!(host.get("/").text().unwrap(), "Hello, dock!", "the first keeps it");
    let reason = host.admin().get("/plugins").unwrap().json().unwrap()[1]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("claims the path pattern `/`") && reason.contains("`subject`"), "{reason}");
}
