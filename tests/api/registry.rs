//! The capability `registry` from inside a component: what the grant keeps from it, where the host does not go, and what it hears when a registry is away.
//!
//! No registry runs here: the client's and the room's own tests answer for each function, and `e2e` asks a real registry through every fault. Docker Hub is a stand-in.

use std::fs;

use serde_json::{Value, json};
use wharf_harness::docker_hub::{DockerHub, Provider, Repository};
use wharf_harness::fault_proxy::{Answer, FaultProxy};

use crate::in_process::{InProcess, host, one_plugin};
use wharf_tests::guests::REGISTRY;

const ALL: &str = "allow = [\"digests.read\", \"manifests.read\", \"tags.read\", \"hub.read\", \"catalog.read\", \"catalog.download\"]";

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
    let mistakes = host.reload(&format!("{table}{plugin}"));
    assert!(mistakes.len() == 1 && mistakes[0].contains("wharf.toml:7:11: failed to read `ca_file` "), "{mistakes:?}");
    check_heads(&host, &[&format!("{address}/a")], &["certificate"]);
    drop(listener);
}

#[test]
fn a_registry_is_asked_at_its_endpoint() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let of_mirror = digest.clone();
    let mirror = FaultProxy::answering(move |_| {
        Answer::new(200, "{}").with("content-type", "application/vnd.oci.image.manifest.v1+json").with("docker-content-digest", &of_mirror)
    })
    .unwrap();
    let host = with_grant(ALL, &format!("[registry.\"docker.io\"]\nendpoint = \"http://{}\"", mirror.address()));
    assert_eq!(host.call("/digests-read.heads", &json!({"references": ["redis:7"]})), json!([digest]));
    assert_eq!(mirror.count("HEAD /v2/library/redis/manifests/7"), 1);
}

/// A stand-in with two repositories, and the settings that lead to it.
fn docker_hub(search: &str) -> (DockerHub, String) {
    let official = Repository {
        name: "redis",
        description: "A store in memory.",
        stars: 12,
        official: true,
        tags: ["8", "7", "latest"].map(str::to_owned).to_vec(),
        ..Repository::default()
    };
    let verified = Repository { name: "vendor/redis", stars: 3, verified: true, ..Repository::default() };
    let hub = DockerHub::start(vec![official, verified]).unwrap();
    let url = hub.url();
    let table = format!("[docker_hub]\nsearch = [{search}]\nsearch_v4 = \"{url}\"\nsearch_v2 = \"{url}\"\ntags = \"{url}\"\n");
    (hub, table)
}

#[test]
fn docker_hub_is_searched_by_the_first_provider_that_answers_and_asked_once() {
    let (hub, table) = docker_hub("\"v4\", \"v2\"");
    let host = with_grant(ALL, &table);
    let search = |term: &str| host.call("/hub-read.search", &json!({"term": term, "limit": 25}));
    let found = json!([["redis", "A store in memory.", 12, true, false], ["vendor/redis", "", 3, false, true]]);
    for _ in 0..3 {
        assert_eq!(search("redis"), json!({"provider": "hub-v4", "found": found}));
    }
    assert_eq!(hub.count(Provider::SearchV4), 1);
    hub.fail(Provider::SearchV4, Answer::new(200, "<html>Just a moment...</html>").with("content-type", "text/html"));
    assert_eq!(search("vendor")["provider"], "hub-v2");
    hub.fail(Provider::SearchV2, Answer::new(429, "Too Many Requests").with("retry-after", "60"));
    let answer = search("store");
    assert_eq!(answer["error"], "rate-limited", "{answer}");
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.contains("hub-v4: a web page") && reason.contains("hub-v2: status 429 (Too Many Requests)"), "{reason}");
    assert_eq!(search(" ")["error"], "invalid");
    assert_eq!((hub.count(Provider::SearchV4), hub.count(Provider::SearchV2)), (2, 2), "who cannot be used is left alone");
}

#[test]
fn what_docker_hub_tells_is_narrowed_by_the_grant() {
    let (hub, table) = docker_hub("\"v2\"");
    let host = with_grant(&format!("{ALL}\nrepositories = [\"docker.io/library/*\"]"), &table);
    let found = host.call("/hub-read.search", &json!({"term": "redis", "limit": 25}));
    assert_eq!(found["found"].as_array().unwrap().len(), 1, "{found}");
    let tags = |reference: &str, limit: u32| host.call("/hub-read.tags", &json!({"reference": reference, "limit": limit}));
    assert_eq!((tags("redis", 10), tags("docker.io/redis:7", 2)), (json!(["8", "7", "latest"]), json!(["8", "7"])));
    assert_eq!(tags("vendor/redis", 10)["error"], "denied");
    assert_eq!(tags("postgres", 10)["error"], "not-found");
    assert_eq!(tags("ghcr.io/a/b", 10)["error"], "invalid");
    assert_eq!(hub.count(Provider::Tags), 3, "{:?}", hub.asked());
}

#[test]
fn another_way_to_docker_hub_is_put_into_force_by_a_reload_of_no_plugin() {
    let plugin = one_plugin(REGISTRY, &format!("[site.plugin.grants.registry]\n{ALL}"));
    let search = |host: &InProcess| host.call("/hub-read.search", &json!({"term": "redis", "limit": 25}));
    let host = host(&format!("[docker_hub]\nsearch = []\n{plugin}"));
    assert_eq!(search(&host)["error"], "refused");
    let (_hub, table) = docker_hub("\"v2\"");
    assert_eq!(host.reload(&format!("{table}{plugin}")), [""; 0]);
    assert_eq!(search(&host)["provider"], "hub-v2");
    assert_eq!(host.plugin("subject")["generation"], 1);
    let own = format!("[docker_hub]\nsearch = [\"v4\"]\nsearch_v4 = \"http://{}\"\n{plugin}", host.admin_address());
    assert_eq!(host.reload(&own), [""; 0]);
    assert_eq!(search(&host)["error"], "refused", "the host does not ask itself, whoever says so");
}

/// The site of [`one_plugin`] with its catalogues.
fn with_catalogs(catalogs: &str) -> String {
    one_plugin(REGISTRY, &format!("[site.plugin.grants.registry]\n{ALL}\n{catalogs}"))
}

fn catalog(host: &InProcess, name: &str) -> Value {
    host.call("/catalog-read.list", &json!({ "name": name }))
}

#[test]
fn the_host_has_two_catalogues_without_any_settings() {
    let host = host(&with_catalogs(""));
    let official = catalog(&host, "official");
    let entries = official["entries"].as_array().unwrap();
    assert!(entries.len() >= 100 && official["skipped"] == 0, "{official}");
    assert!(entries.contains(&json!(["Docker", "redis", "latest", "Redis", null])), "{official}");
    let qnap = catalog(&host, "qnap");
    assert!(qnap["entries"].as_array().unwrap().contains(&json!(["Lxc", "ubuntu-trusty", "14.04", "Ubuntu", 275_382_272])), "{qnap}");
    assert_eq!(catalog(&host, "other")["error"], "not-found");
}

#[test]
fn a_catalogue_of_the_site_is_read_again_when_it_changes_and_at_a_reload() {
    let settings = with_catalogs("[site.catalog.official]\nfile = \"ours.json\"\n[site.catalog.absent]\nfile = \"absent.json\"");
    let host = host(&settings);
    assert_eq!(catalog(&host, "official")["error"], "unreachable", "it was never there");
    fs::write(host.folder().join("ours.json"), r#"[{"name": "a"}, {"name": "../b"}, 7]"#).unwrap();
    assert_eq!(catalog(&host, "official"), json!({"entries": [["Docker", "a", "latest", "", null]], "skipped": 2}));
    let mistakes = host.reload(&settings);
    assert!(mistakes.len() == 1 && mistakes[0].contains("wharf.toml:") && mistakes[0].contains("absent.json"), "{mistakes:?}");
    let other = with_catalogs("[site.catalog.ours]\nfile = \"ours.json\"");
    assert_eq!(host.reload(&other), [""; 0]);
    assert_eq!(catalog(&host, "ours")["skipped"], 2);
    assert!(catalog(&host, "official")["entries"].as_array().unwrap().len() >= 100, "the host's own is back");
    assert_eq!(host.plugin("subject")["generation"], 1);
}

#[test]
fn a_catalogue_behind_an_address_is_fetched_when_somebody_asks() {
    let server = FaultProxy::answering(|_| Answer::new(200, r#"[{"name": "a", "type": "lxc", "size": "5"}]"#)).unwrap();
    let host = host(&with_catalogs(&format!("[site.catalog.ours]\nurl = \"http://{}/ours.json\"", server.address())));
    assert_eq!(server.asked().len(), 0);
    for _ in 0..2 {
        assert_eq!(catalog(&host, "ours"), json!({"entries": [["Lxc", "a", "latest", "", 5]], "skipped": 0}));
    }
    assert_eq!(server.asked(), ["GET /ours.json"]);
}

#[test]
fn a_component_is_not_loaded_without_a_grant_for_each_interface() {
    let host = with_grant("allow = [\"digests.read\"]", "");
    let reason = host.admin().get("/plugins").unwrap().json().unwrap()[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("`wharf:registry/manifests-read`") && !reason.contains("digests-read`"), "{reason}");
    let words = ["[site.plugin.grants.registry]", "\"tags.read\"", "\"hub.read\"", "\"catalog.read\"", "\"catalog.download\""];
    assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
}
