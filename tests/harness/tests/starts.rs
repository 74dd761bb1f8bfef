//! What the harness starts really works here: if these fail, the failures of the other engine tests mean nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail at any line")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use wharf_harness::engine::{Engine, Network, Setup, ensure_network, ensure_volume};
use wharf_harness::http::Client;
use wharf_harness::registry::{PASSWORD, Registry, USER};
use wharf_harness::s3::{BUCKET, S3};
use wharf_harness::{images, newer, poll, process, programs};

#[test]
fn the_installed_engine_publishes_ports_and_has_named_networks() {
    if !programs::skip(programs::ENGINE).unwrap() {
        check_engine(&mut Engine::temporary(Network::Bridge).unwrap());
    }
}

#[test]
fn the_newer_engine_publishes_ports_and_has_named_networks() {
    if !programs::skip(programs::ENGINE).unwrap() {
        check_engine(&mut newer::engine(Network::Bridge).unwrap());
    }
}

/// As on a machine with an engine of its own, or with ufw. In a network namespace, so that this machine's firewall stays as it is.
#[test]
fn containers_reach_each_other_through_a_firewall_that_drops() {
    if programs::skip(programs::ENGINE).unwrap() {
        return;
    }
    let script = "ip link set dev lo up
        iptables -P FORWARD DROP
        echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
        \"$0\" --exact the_installed_engine_publishes_ports_and_has_named_networks
        iptables -S FORWARD";
    let mut inside = Command::new("unshare");
    inside.args(["--net", "sh", "-e", "-c", script]).arg(std::env::current_exe().unwrap());
    let printed = process::output(inside.env("PATH", process::search_path(&[]).unwrap())).unwrap();
    assert!(printed.contains("1 passed"), "{printed}");
    assert!(printed.ends_with("-P FORWARD DROP\n"), "the rules went with the engine: {printed}");
}

#[test]
fn an_engine_that_hangs_still_ends() {
    if !programs::skip(programs::ENGINE).unwrap() {
        Engine::temporary(Network::None).unwrap().pause();
    }
}

#[test]
fn an_engine_that_is_not_wanted_any_more_is_not_waited_for() {
    if programs::skip(programs::ENGINE).unwrap() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let setup = Setup { programs: &[], network: Network::Bridge, data: Some(data.path()), mirror: None };
    let error = Engine::start_unless(&setup, &|| data.path().join("docker").exists()).unwrap_err();
    assert!(error.to_string().contains("not wanted"), "{error:#}");
    let index = std::fs::read_to_string(data.path().join("bridge")).unwrap();
    assert!(!Path::new("/sys/class/net").join(format!("wharf{}", index.trim())).exists());
}

#[test]
fn an_engine_without_a_network_runs_containers() {
    if programs::skip(programs::ENGINE).unwrap() {
        return;
    }
    let engine = Engine::temporary(Network::None).unwrap();
    let client = engine.client();
    images::ensure(&client, "wharf/busybox:latest").unwrap();
    run(&client, "hello", &json!({ "Image": "wharf/busybox", "Cmd": ["echo", "hello"], "HostConfig": { "NetworkMode": "none" } }));
    client.post("/containers/hello/wait").unwrap().success("waiting").unwrap();
    check_log(&client, "hello", "hello");
}

#[test]
fn a_registry_takes_images_from_an_engine() {
    if programs::skip(&[programs::ENGINE, &[programs::REGISTRY]].concat()).unwrap() {
        return;
    }
    let (open, closed) = (Registry::start(false).unwrap(), Registry::start(true).unwrap());
    assert_eq!(Client::tcp(closed.address()).get("/v2/_catalog").unwrap().status, 401);
    let engine = Engine::temporary(Network::None).unwrap();
    let client = engine.client();
    images::ensure(&client, "wharf/busybox:latest").unwrap();
    for registry in [&open, &closed] {
        let repository = format!("{}/team/busybox", registry.address());
        client.post(&format!("/images/wharf/busybox:latest/tag?repo={repository}&tag=1")).unwrap().success("tagging").unwrap();
        let credential = base64(&json!({ "username": USER, "password": PASSWORD }).to_string());
        let answer = client.send("POST", &format!("/images/{repository}/push?tag=1"), &[("x-registry-auth", &credential)], &[]).unwrap();
        let progress = answer.success("pushing").unwrap();
        assert!(progress.text().unwrap().contains("digest: sha256:"), "{}", progress.text().unwrap());
    }
    let tags = Client::tcp(open.address()).get("/v2/team/busybox/tags/list").unwrap().json().unwrap();
    assert_eq!(tags, json!({ "name": "team/busybox", "tags": ["1"] }));
}

#[test]
fn the_stand_in_for_s3_has_a_bucket_and_says_what_is_in_it() {
    if programs::skip(&[programs::PYTHON]).unwrap() {
        return;
    }
    let s3 = S3::start().unwrap();
    s3.put("a/b", b"bytes").unwrap();
    s3.begin("a/c").unwrap();
    assert_eq!(s3.keys("a/").unwrap(), ["a/b"]);
    assert_eq!(s3.keys("b").unwrap(), [""; 0]);
    assert_eq!(s3.unfinished().unwrap(), ["a/c"]);
    let unsigned = Client::tcp(s3.address()).get(&format!("/{BUCKET}/a/b")).unwrap();
    assert_eq!(unsigned.status, 403);
    assert!(!s3.access_key_id().is_empty() && !s3.secret_access_key().is_empty());
}

#[track_caller]
fn check_engine(engine: &mut Engine) {
    let client = engine.client();
    images::ensure(&client, "wharf/busybox:latest").unwrap();
    ensure_network(&client, "lopco-network").unwrap();
    ensure_network(&client, "lopco-network").unwrap();
    ensure_volume(&client, "data_cache").unwrap();
    let host = json!({
        "NetworkMode": "lopco-network",
        "PortBindings": { "80/tcp": [{ "HostPort": "" }] },
        "Mounts": [{ "Type": "volume", "Source": "data_cache", "Target": "/data" }],
    });
    run(&client, "server", &json!({ "Image": "wharf/busybox", "ExposedPorts": { "80/tcp": {} }, "HostConfig": host }));
    let default = json!({ "PortBindings": { "80/tcp": [{ "HostPort": "" }] } });
    run(&client, "default", &json!({ "Image": "wharf/busybox", "ExposedPorts": { "80/tcp": {} }, "HostConfig": default }));
    for name in ["server", "default"] {
        let page = poll(Duration::from_secs(10), || Ok(Client::tcp(published(&client, name)).get("/").ok())).unwrap().unwrap();
        assert_eq!(page.text().unwrap(), "wharf/busybox:latest");
    }
    // By name over the named network.
    let fetch = json!(["wget", "-qO-", "http://server/"]);
    run(&client, "asker", &json!({ "Image": "wharf/busybox", "Cmd": fetch, "HostConfig": { "NetworkMode": "lopco-network" } }));
    client.post("/containers/asker/wait").unwrap().success("waiting").unwrap();
    check_log(&client, "asker", "wharf/busybox:latest");
    // The image listens to SIGTERM: nobody waits for ten seconds.
    let began = std::time::Instant::now();
    assert_eq!(client.post("/containers/server/stop").unwrap().status, 204);
    assert!(began.elapsed() < Duration::from_secs(5));
    // Away and back, with what it had.
    engine.take_away().unwrap();
    assert!(client.get("/_ping").is_err());
    engine.return_to_service().unwrap();
    assert_eq!(client.get("/containers/json?all=1").unwrap().json().unwrap().as_array().unwrap().len(), 3);
    engine.stop().unwrap();
}

#[track_caller]
fn run(client: &Client, name: &str, container: &serde_json::Value) {
    client.post_json(&format!("/containers/create?name={name}"), container).unwrap().success("creating").unwrap();
    client.post(&format!("/containers/{name}/start")).unwrap().success("starting").unwrap();
}

#[track_caller]
fn check_log(client: &Client, name: &str, expected: &str) {
    let log = client.get(&format!("/containers/{name}/logs?stdout=1&stderr=1")).unwrap();
    assert!(String::from_utf8_lossy(&log.body).contains(expected), "{:?}", String::from_utf8_lossy(&log.body));
}

#[track_caller]
fn published(client: &Client, name: &str) -> SocketAddr {
    let container = client.get(&format!("/containers/{name}/json")).unwrap().json().unwrap();
    let binding = &container["NetworkSettings"]["Ports"]["80/tcp"][0];
    assert_eq!(binding["HostIp"], "127.0.0.1");
    (Ipv4Addr::LOCALHOST, binding["HostPort"].as_str().unwrap().parse().unwrap()).into()
}

/// The alphabet that the engine wants in a header: with `-` and `_`.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |bytes: &[u8]| {
        let bits = bytes.iter().chain([&0; 2]).take(3).fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |place: usize| char::from(ALPHABET[bits >> (18 - 6 * place) & 63]);
        (0..4).map(|place| if place <= bytes.len() { digit(place) } else { '=' }).collect::<String>()
    };
    text.as_bytes().chunks(3).map(group).collect()
}
