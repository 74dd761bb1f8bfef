//! The plugin `deployments` as its clients use it, when all goes well.

use serde_json::{Value, json};
use wharf_harness::images;
use wharf_harness::registry::Registry;

use crate::site::{NETWORK, SCRIPT, SERVER, Site, VOLUME, check_empty, eventually, free_port, page, scripted};

/// Deployed, found in every way, reached, read, stopped, started, deleted.
pub fn adapter(site: &Site) {
    let port = free_port();
    let script = "echo first; sleep 2; echo second >&2; sleep 1; exec serve";
    let mut body = scripted("protocol-adapter", "adapter", script);
    body["configs"]["CONF_LOGGER_LEVEL"] = json!("debug");
    body["configs"]["FORMULA"] = json!("a=b=c");
    body["configs"]["COUNT"] = json!(5);
    body["configs"]["STRICT"] = json!(true);
    body["ports"] = json!({ "80/tcp": { "host_interface": null, "host_ports": port } });
    let name = site.deploy(&body);

    let engine = site.inspect(&name);
    let expected = json!({
        "id": engine["Id"],
        "labels": { "lopco-type": "protocol-adapter", "lopco-id": "adapter" },
        "status": "running",
        "image": { "name": "wharf/script:latest", "hash": engine["Image"] },
        "ports": { "80/tcp": { "host_interface": "127.0.0.1", "host_ports": port } },
        "created": engine["Created"],
        "started": engine["State"]["StartedAt"],
        "restarts": 0,
        "environment": {
            "DEP_INSTANCE": name, "SCRIPT": script, "CONF_LOGGER_LEVEL": "debug", "FORMULA": "a=b=c", "COUNT": "5", "STRICT": "True",
        },
    });
    let mut record = site.record(&name);
    // An image without a search path gets the engine's.
    record["environment"].as_object_mut().unwrap().remove("PATH");
    assert_eq!(record, expected);
    let id = engine["Id"].as_str().unwrap();
    for other in [id, &id[..12], &format!("{name}/")] {
        assert_eq!(site.record(other)["id"], id, "{other}");
    }
    assert!(listed(site, "").contains(&name) && listed(site, "?type=protocol-adapter").contains(&name));
    assert!(!listed(site, "?type=worker").contains(&name) && !listed(site, "?type=core").contains(&name));

    let mounts = engine["Mounts"].as_array().unwrap();
    let [mount] = mounts.as_slice() else { panic!("{mounts:?}") };
    let found = (&mount["Type"], &mount["Name"], &mount["Destination"], &mount["RW"]);
    assert_eq!(found, (&json!("volume"), &json!(VOLUME), &json!("/data_cache"), &json!(true)));
    let networks = engine["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), [NETWORK]);
    assert_eq!(engine["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");

    // The server starts when both lines are written.
    eventually("an answer of the adapter", || page(port, "/") == "wharf/script:latest");
    let second = time_of(site, &name, "second");
    check_log(site, &name, "", "first\nsecond\nready\n");
    check_log(site, &name, "?lines=2", "second\nready\n");
    check_log(site, &name, "?lines=0", "");
    check_log(site, &name, "?lines=-1", "first\nsecond\nready\n");
    check_log(site, &name, &format!("?since={second}"), "second\nready\n");
    check_log(site, &name, &format!("?until={second}"), "first\n");
    check_log(site, &name, &format!("?since=2020-11-20T9:55:26Z&until={second}"), "first\n");

    for _ in 0..2 {
        site.set(&name, "stopped");
        assert_eq!((&site.record(&name)["status"], &site.record(&name)["ports"]), (&json!("stopped"), &Value::Null));
    }
    assert_eq!(page(port, "/"), "");
    assert!(listed(site, "?type=protocol-adapter").contains(&name), "a stopped container is still deployed");
    for _ in 0..2 {
        site.set(&name, "running");
        assert_eq!(site.record(&name)["status"], "running");
    }
    eventually("an answer of the adapter that was started again", || page(port, "/") == "wharf/script:latest");
    site.delete(&name);
    check_empty(&site.get(&format!("/deployments/{name}/log")), 404, "the log of a container that is gone");
    check_empty(&site.api().delete(&format!("/deployments/{name}")).unwrap(), 404, "a second deletion");
    assert!(!listed(site, "").contains(&name));
}

/// A worker leaves a file in the data cache, the next one reads it, at another place, and asks an adapter by name over the network.
pub fn workers(site: &Site) {
    let mut adapter = scripted("protocol-adapter", "workers", "exec serve");
    adapter["image"] = json!(SERVER);
    let adapter = site.deploy(&adapter);
    let first = site.deploy(&scripted("worker", "workers", "echo words > /data_cache/$DEP_INSTANCE; echo written; exit 3"));
    site.wait_for_end(&first);
    let record = site.record(&first);
    assert_eq!((&record["restarts"], &record["ports"], &record["labels"]["lopco-type"]), (&json!(0), &Value::Null, &json!("worker")));
    assert_eq!(site.inspect(&first)["HostConfig"]["RestartPolicy"]["Name"], "no");
    check_log(site, &first, "", "written\n");

    let mut second = scripted("worker", "workers", "cat /elsewhere/$SOURCE; wget -qO- http://$ADAPTER/");
    second["data_cache_path"] = json!("/elsewhere");
    second["configs"]["SOURCE"] = json!("overridden");
    second["inputs"] = json!({ "SOURCE": first, "ADAPTER": adapter });
    second["name"] = json!("Read words");
    let second = site.deploy(&second);
    site.wait_for_end(&second);
    check_log(site, &second, "", "words\nwharf/busybox:latest");
    for name in [first, second, adapter] {
        site.delete(&name);
    }
}

/// What an updater does: reads a record, deletes the deployment, posts ports and environment again as they were.
pub fn round_trip(site: &Site) {
    let mut pair = [free_port(), free_port()];
    let ports = json!({
        "80/tcp": { "host_interface": null, "host_ports": null },
        "81/tcp": null,
        "82/tcp": { "host_interface": "127.0.0.1", "host_ports": pair },
        "83/udp": { "host_interface": "", "host_ports": free_port() },
    });
    let mut body = scripted("protocol-adapter", "round-trip", "exec serve");
    body["configs"]["EMPTY"] = json!("");
    body["configs"]["NULL"] = Value::Null;
    body["configs"]["FORMULA"] = json!("a=b=c");
    body["ports"] = ports.clone();
    let first = site.deploy(&body);
    let before = site.record(&first);
    assert!(before["ports"]["80/tcp"]["host_ports"].is_u64(), "{before}");
    assert_eq!(before["ports"]["81/tcp"], Value::Null);
    assert_eq!(sorted(&before["ports"]["82/tcp"]["host_ports"]), {
        pair.sort_unstable();
        pair
    });
    assert_eq!(before["ports"]["82/tcp"]["host_interface"], "127.0.0.1");
    assert_eq!(before["ports"]["83/udp"], json!({ "host_interface": "127.0.0.1", "host_ports": ports["83/udp"]["host_ports"] }));
    site.delete(&first);

    body["configs"] = before["environment"].clone();
    body["ports"] = before["ports"].clone();
    let second = site.deploy(&body);
    let after = site.record(&second);
    assert_eq!(after["environment"], before["environment"]);
    for port in ["80/tcp", "81/tcp", "83/udp"] {
        assert_eq!(after["ports"][port], before["ports"][port], "{port}");
    }
    assert_eq!(sorted(&after["ports"]["82/tcp"]["host_ports"]), pair);
    let port = u16::try_from(after["ports"]["80/tcp"]["host_ports"].as_u64().unwrap()).unwrap();
    eventually("an answer of the adapter that was posted again", || page(port, "/") == "wharf/script:latest");
    site.delete(&second);
}

/// A port of all interfaces, which the engine reports once for IPv4 and once for IPv6. Nothing listens behind it.
pub fn two_families(site: &Site) {
    let network = json!({ "Name": "open-network", "CheckDuplicate": true, "Driver": "bridge" });
    site.docker().post_json("/networks/create", &network).unwrap().success("making a network").unwrap();
    let port = free_port();
    let specification = json!({
        "Image": SERVER, "Cmd": ["sleep", "1000"], "Labels": { "lopco-type": "core" }, "ExposedPorts": { "80/tcp": {} },
        "HostConfig": { "NetworkMode": "open-network", "PortBindings": { "80/tcp": [{ "HostPort": port.to_string() }] } },
    });
    site.create("open", &specification);
    site.set("open", "running");
    let bindings = site.inspect("open")["NetworkSettings"]["Ports"]["80/tcp"].clone();
    assert_eq!(site.record("open")["ports"], json!({ "80/tcp": { "host_interface": "0.0.0.0", "host_ports": port } }), "{bindings}");
    if std::path::Path::new("/proc/net/if_inet6").exists() {
        assert_eq!(bindings.as_array().unwrap().len(), 2, "{bindings}");
    }
    // It does not listen to SIGTERM, and a deletion would wait for ten seconds.
    site.docker().post("/containers/open/kill").unwrap().success("killing").unwrap();
    site.delete("open");
}

/// Containers that others made: with the label they are listed, without it they are found by name.
pub fn others(site: &Site) {
    site.create("gui", &json!({ "Image": SERVER, "Labels": { "lopco-type": "core", "other": "label" } }));
    site.create("stranger", &json!({ "Image": SERVER, "Labels": { "other": "label" } }));
    assert!(listed(site, "?type=core").contains(&"gui".to_owned()) && listed(site, "").contains(&"gui".to_owned()));
    assert!(!listed(site, "?type=worker").contains(&"gui".to_owned()));
    assert!(!listed(site, "").contains(&"stranger".to_owned()));
    let record = site.record("gui");
    assert_eq!((&record["status"], &record["started"]), (&json!("stopped"), &json!("0001-01-01T00:00:00Z")));
    assert_eq!(record["labels"], json!({ "lopco-type": "core" }));
    assert_eq!((&site.record("stranger")["labels"], &site.record("stranger")["ports"]), (&json!({}), &Value::Null));
    for name in ["gui", "stranger"] {
        site.delete(name);
    }
}

/// From a registry, with the tag that is the default.
pub fn pulled(site: &Site) {
    let registry = Registry::start(false).unwrap();
    let repository = format!("{}/team/adapter", registry.address());
    push(site, &repository, "latest");
    let client = site.docker();
    client.delete(&format!("/images/{repository}:latest")).unwrap().success("removing the local tag").unwrap();
    let mut body = scripted("worker", "pulled", "true");
    body["image"] = json!(repository);
    let name = site.deploy(&body);
    assert_eq!(site.record(&name)["image"]["name"], format!("{repository}:latest"));
    // A tag that moves on to another image leaves the container with the image it has.
    client.post(&format!("/images/{SERVER}/tag?repo={repository}&tag=latest")).unwrap().success("tagging").unwrap();
    let renamed = site.record(&name);
    let hash = renamed["image"]["hash"].as_str().unwrap();
    assert_eq!(renamed["image"]["name"], SCRIPT, "{hash}");
    site.delete(&name);
    client.delete(&format!("/images/{repository}:latest")).unwrap().success("removing the tag").unwrap();
}

/// Pushes the image of scripts to a registry as `repository:tag`.
#[track_caller]
pub fn push(site: &Site, repository: &str, tag: &str) {
    images::push(&site.docker(), SCRIPT, repository, tag).unwrap();
}

/// The names in a list.
#[track_caller]
fn listed(site: &Site, query: &str) -> Vec<String> {
    let list = site.get(&format!("/deployments{query}"));
    assert_eq!((list.status, list.header("content-type")), (200, Some("application/json")));
    list.json().unwrap().as_object().unwrap().keys().cloned().collect()
}

/// Several ports, which an engine reports in any order.
#[track_caller]
fn sorted(ports: &Value) -> [u16; 2] {
    let mut ports: [u16; 2] = serde_json::from_value(ports.clone()).unwrap();
    ports.sort_unstable();
    ports
}

#[track_caller]
fn check_log(site: &Site, name: &str, query: &str, expected: &str) {
    let log = site.get(&format!("/deployments/{name}/log{query}"));
    assert_eq!((log.status, log.header("content-type")), (200, Some("text/plain; charset=utf-8")), "{query}");
    assert_eq!(log.text().unwrap(), expected, "{query}");
}

/// The second in which `line` was written, by the engine's clock.
#[track_caller]
fn time_of(site: &Site, name: &str, line: &str) -> String {
    let log = site.docker().get(&format!("/containers/{name}/logs?stdout=1&stderr=1&timestamps=1")).unwrap();
    let log = String::from_utf8_lossy(&log.body).into_owned();
    let stamped = log.lines().find_map(|found| found.strip_suffix(line)).unwrap().trim_end();
    // In front of the time, which always has nine decimals, is the engine's frame.
    let time = &stamped[stamped.len() - "2020-11-20T09:55:26.000000000Z".len()..];
    format!("{}Z", &time[.."2020-11-20T09:55:26".len()])
}
