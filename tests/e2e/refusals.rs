//! The plugin `deployments` when a request is wrong, or right and the engine cannot do it: a status, an empty body, and nothing left behind.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharf_harness::http::Client;

use crate::site::{Site, check_empty, free_port, scripted};

/// The port is taken, the image cannot be had, the network is not there: 500, and no container more than before.
pub fn failures(site: &Site) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener.local_addr().unwrap().port();
    check_failure(site, "/deployments", "ports", json!({ "80/tcp": { "host_interface": null, "host_ports": taken } }));
    let half_taken = json!({ "80/tcp": { "host_interface": "127.0.0.1", "host_ports": [free_port(), taken] } });
    check_failure(site, "/deployments", "ports", half_taken);
    // No registry answers there.
    check_failure(site, "/deployments", "image", json!("127.0.0.1:1/team/absent:1"));
    check_failure(site, "/deployments", "image", json!("Not an image"));
    check_failure(site, "/elsewhere/deployments", "name", json!("in a network that is missing"));
    check_failure(site, "/deployments", "data_cache_path", json!("no/absolute/path"));
    check_failure(site, "/deployments", "ports", json!({ "80/tcp": { "host_ports": 80 } }));
    check_failure(site, "/deployments", "ports", json!({ "80/tcp": { "host_ports": 70000 } }));
    check_failure(site, "/deployments", "configs", json!({ "": "a variable without a name" }));
}

/// Posts a good body with one field exchanged.
#[track_caller]
fn check_failure(site: &Site, path: &str, field: &str, value: Value) {
    let what = format!("{path} {field} {value}");
    let mut body = scripted("protocol-adapter", "failures", "exec serve");
    body[field] = value;
    let began = Instant::now();
    check_empty(&site.api().post_json(path, &body).unwrap(), 500, &what);
    assert!(began.elapsed() < Duration::from_secs(20), "{what} took {:?}", began.elapsed());
    assert_eq!(site.containers_for("failures"), [] as [Value; 0], "{what}");
}

/// Its port was taken by somebody else while it was stopped.
pub fn failed_start(site: &Site) {
    let port = free_port();
    let mut body = scripted("protocol-adapter", "failed-start", "exec serve");
    body["ports"] = json!({ "80/tcp": { "host_interface": null, "host_ports": port } });
    let name = site.deploy(&body);
    site.set(&name, "stopped");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let path = format!("/deployments/{name}");
    let fields = [("content-type", "application/json")];
    check_empty(&site.api().send("PATCH", &path, &fields, br#"{"status":"running"}"#).unwrap(), 500, "a start on a port that is taken");
    assert_eq!(site.record(&name)["status"], "stopped");
    drop(listener);
    site.set(&name, "running");
    assert_eq!(site.record(&name)["status"], "running");
    site.delete(&name);
}

/// What is wrong in itself, and containers that are not there.
pub fn bad_input(site: &Site) {
    check_without_engine(&site.api());
    let name = site.deploy(&scripted("worker", "bad-input", "true"));
    let path = format!("/deployments/{name}");
    let patch = br#"{"status":"stopped"}"#;
    for (content_type, status) in [("application/json", 200), ("application/json; charset=utf-8", 200), ("text/plain", 415)] {
        let answer = site.api().send("PATCH", &path, &[("content-type", content_type)], patch).unwrap();
        check_empty(&answer, status, content_type);
    }
    for unknown in ["unknown", &"0".repeat(64), "a%20b", "%00", "..", "%2E%2E", "-", &"x".repeat(300)] {
        let path = format!("/deployments/{unknown}");
        check_empty(&site.get(&path), 404, &path);
        check_empty(&site.get(&format!("{path}/log")), 404, &path);
        check_empty(&site.api().delete(&path).unwrap(), 404, &path);
        check_empty(&site.api().send("PATCH", &path, &[("content-type", "application/json")], patch).unwrap(), 404, &path);
    }
    site.delete(&name);
    assert_eq!(site.containers_for("bad-input"), [] as [Value; 0]);
}

/// Whatever is answered without asking the engine, and therefore is answered all the same when there is none.
#[track_caller]
pub fn check_without_engine(api: &Client) {
    let good = scripted("worker", "bad-input", "true");
    let without = |field: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        body.to_string()
    };
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body.to_string()
    };
    let mut bodies = vec![String::new(), "{".to_owned(), "[]".to_owned(), "null".to_owned(), "\"text\"".to_owned(), format!("{good}x")];
    bodies.extend(["id", "image", "data_cache_path", "type"].map(without));
    bodies.extend(["id", "image", "data_cache_path", "type", "name"].map(|field| with(field, json!(5))));
    bodies.extend(["configs", "inputs", "ports"].map(|field| with(field, json!(["a list"]))));
    bodies.extend(["core", "", "Worker"].map(|kind| with("type", json!(kind))));
    for port in [
        json!(80),
        json!({}),
        json!({ "host_ports": true }),
        json!({ "host_ports": 1.5 }),
        json!({ "host_interface": 1, "host_ports": 6000 }),
    ] {
        bodies.push(with("ports", json!({ "80/tcp": port })));
    }
    for body in bodies {
        // No content type is asked for.
        check_empty(&api.send("POST", "/deployments", &[], body.as_bytes()).unwrap(), 400, &body);
    }
    for body in ["", "{", "[]", "{}", r#"{"status":"paused"}"#, r#"{"status":true}"#] {
        let answer = api.send("PATCH", "/deployments/web", &[("content-type", "application/json")], body.as_bytes()).unwrap();
        check_empty(&answer, 400, body);
    }
    for fields in [&[][..], &[("content-type", "text/plain")]] {
        check_empty(&api.send("PATCH", "/deployments/web", fields, br#"{"status":"stopped"}"#).unwrap(), 415, "PATCH without JSON");
    }
    for query in ["type=", "type=adapter", "type", "other=1", "type=core&type=core"] {
        check_empty(&api.get(&format!("/deployments?{query}")).unwrap(), 400, query);
    }
    for query in [
        "lines=ten",
        "lines=",
        "lines=1&lines=2",
        "lines=1&since=2020-11-20T09:55:26Z",
        "since=yesterday",
        "since=2020-11-20T09:55:26",
        "until=2020-02-30T09:55:26Z",
        "line=5",
    ] {
        check_empty(&api.get(&format!("/deployments/web/log?{query}")).unwrap(), 400, query);
    }
    for path in [
        "/",
        "/deployment",
        "/deployments/..%2F..%2Finfo%3F",
        "/deployments/web/log/more",
        "/deployments/web%2Flog%2Fmore",
        "/images/team%2Fapp",
        "//deployments",
    ] {
        check_empty(&api.get(path).unwrap(), 404, path);
    }
    for (method, path, allowed) in [
        ("PUT", "/deployments", "GET, POST, OPTIONS"),
        ("DELETE", "/deployments/", "GET, POST, OPTIONS"),
        ("POST", "/deployments/web", "DELETE, GET, PATCH, OPTIONS"),
        ("POST", "/deployments/web/log", "GET, OPTIONS"),
    ] {
        let answer = api.send(method, path, &[], &[]).unwrap();
        check_empty(&answer, 405, path);
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
    let options = api.send("OPTIONS", "/deployments/web", &[], &[]).unwrap();
    check_empty(&options, 200, "OPTIONS");
    assert_eq!(options.header("allow"), Some("DELETE, GET, PATCH"));
    // 8 MiB is the default of `request_mib`.
    let long = with("id", json!("x".repeat(9 * 1024 * 1024)));
    assert_eq!(api.send("POST", "/deployments", &[("content-type", "application/json")], long.as_bytes()).unwrap().status, 413);
}
