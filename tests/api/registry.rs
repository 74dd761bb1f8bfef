//! The capability `registry` from inside a component: what the grant keeps from it, where the host does not go, and what it hears when a registry is away.
//!
//! No registry runs here: the client's and the room's own tests answer for each function, and `e2e` asks a real registry through every fault.

use serde_json::{Value, json};

use crate::in_process::{InProcess, host, one_plugin};
use wharf_tests::guests::REGISTRY;

const ALL: &str = "allow = [\"digests.read\", \"manifests.read\", \"tags.read\"]";

fn with_grant(lines: &str, further: &str) -> InProcess {
    host(&format!("{further}\n{}", one_plugin(REGISTRY, &format!("[site.plugin.grants.registry]\n{lines}"))))
}

/// A port of this machine on which nobody listens.
fn closed() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The word of the error for each of `references`.
#[track_caller]
fn check_heads(host: &InProcess, references: &[&str], words: &[&str]) {
    let answers = host.call("/digests-read.heads", &json!({"references": references}));
    let found: Vec<&str> = answers.as_array().unwrap().iter().map(|answer| answer["error"].as_str().unwrap_or("found")).collect();
    assert_eq!(found, words, "{answers}");
}

#[test]
fn a_registry_that_is_away_is_an_answer() {
    let host = with_grant(ALL, "");
    let reference = format!("{}/a", closed());
    check_heads(&host, &[&reference], &["unreachable"]);
    for function in ["manifests-read.fetch", "manifests-read.fetch-platform", "manifests-read.fetch-config", "tags-read.list"] {
        let answer = host.call(&format!("/{function}"), &json!({"reference": reference, "limit": 1}));
        assert_eq!(answer["error"], "unreachable", "{function}: {answer}");
    }
    assert_eq!(host.call("/digests-read.last-quota", &json!({"reference": reference})), Value::Null);
}

#[test]
fn what_is_no_reference_or_not_granted_is_not_asked_for() {
    let host = with_grant(&format!("{ALL}\nrepositories = [\"127.0.0.1:*/mine/*\"]"), "");
    let (mine, other) = (format!("{}/mine/a", closed()), format!("{}/other/a", closed()));
    check_heads(&host, &["", "../a", "A", &other, "redis", &mine], &["invalid", "invalid", "invalid", "denied", "denied", "unreachable"]);
}

#[test]
fn no_plugin_sends_the_host_to_itself_or_into_a_network_that_the_operator_did_not_name() {
    let host = with_grant(ALL, "");
    let admin = host.admin_address();
    let own = [host.address(), admin].map(|address| format!("{address}/a"));
    let by_name = format!("localhost:{}/a", admin.port());
    let references = [own[0].as_str(), &own[1], &by_name, "169.254.169.254/latest", "10.255.255.1:1/a", "[fe80::1]:5000/a", "0.0.0.0:80/a"];
    check_heads(&host, &references, &["refused"; 7]);
}

#[test]
fn a_reference_is_taken_apart_without_any_grant_for_it() {
    let host = with_grant(&format!("{ALL}\nrepositories = []"), "");
    let parts = json!(["docker.io/library/redis:7", "redis:7", "docker.io", "library/redis", "7", null]);
    assert_eq!(host.call("/references.resolve", &json!({"reference": "redis:7"})), parts);
    assert_eq!(host.call("/references.resolve", &json!({"reference": "Redis"}))["error"], "invalid");
}

#[test]
fn tables_of_registries_are_put_into_force_by_a_reload() {
    let plugin = one_plugin(REGISTRY, &format!("[site.plugin.grants.registry]\n{ALL}"));
    let address = closed();
    let host = host(&plugin);
    check_heads(&host, &[&format!("{address}/a")], &["unreachable"]);
    let table = format!("[registry.\"{address}\"]\nca_file = \"absent.pem\"\n");
    let listener = std::net::TcpListener::bind(&address).unwrap();
    assert!(host.reload(&format!("{table}{plugin}")).is_empty());
    check_heads(&host, &[&format!("{address}/a")], &["certificate"]);
    drop(listener);
}

#[test]
fn a_component_is_not_loaded_without_a_grant_for_each_interface() {
    let host = with_grant("allow = [\"digests.read\"]", "");
    let reason = host.admin().get("/plugins").unwrap().json().unwrap()[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("`wharf:registry/manifests-read`") && !reason.contains("digests-read`"), "{reason}");
    assert!(reason.contains("[site.plugin.grants.registry]") && reason.contains("\"tags.read\""), "{reason}");
}
