//! Pulls as operations of the host, from inside components: watched, shared, cancelled, and there when the request and the plugin's generation are gone.
//!
//! The engine is a fake one, which stops in the middle of a pull until the test lets it go on; `e2e` pulls with real ones.

use std::io::{BufRead, BufReader, Read};

use serde_json::{Value, json};
use wharf_harness::fake_engine::{Answer, FakeEngine};
use wharf_harness::guest::DOCKER_POWERS;
use wharf_tests::guests::DOCKER;

use crate::in_process::{InProcess, eventually, host, plugin};

const HALF: &[u8] = b"{\"status\":\"Pulling from library/redis\",\"id\":\"7\"}\r\n\
{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"aa\"}\r\n\
{\"status\":\"Downloading\",\"progressDetail\":{\"current\":50,\"total\":100},\"id\":\"aa\"}\r\n";
const REST: &[u8] = b"{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"aa\"}\r\n\
{\"status\":\"Status: Downloaded newer image for redis:7\"}\r\n";

/// An engine that stops in the middle of each pull.
fn engine() -> FakeEngine {
    FakeEngine::start(|line: &str| match line {
        line if line.starts_with("POST /images/create") => Answer::hanging(HALF),
        _ => Answer::json(404, "{}"),
    })
    .unwrap()
}

/// Two plugins, at `/` and `/other`, which may do everything on `engine`; the second only with images of Docker Hub. `limits` are those of the first.
fn configuration(engine: &FakeEngine, limits: &str) -> String {
    let grant = format!("[site.plugin.grants.docker]\nallow = {DOCKER_POWERS:?}");
    let first = plugin("subject", DOCKER, "/", &format!("{limits}\n{grant}"));
    let second = plugin("other", DOCKER, "/other", &format!("{grant}\nimages = [\"docker.io/**\"]"));
    format!("[engine.default]\nurl = \"{}\"\n[[site]]\nname = \"test\"\n{first}{second}", engine.url())
}

fn started() -> (FakeEngine, InProcess) {
    let engine = engine();
    let host = host(&configuration(&engine, ""));
    (engine, host)
}

/// Begins a pull, from the plugin at `mount`, and waits until its progress is known.
#[track_caller]
fn begin(host: &InProcess, mount: &str, reference: &str) -> String {
    let id = host.call(&format!("{mount}/images-pull.begin"), &json!({"name": reference}));
    let id = id.as_str().unwrap_or_else(|| panic!("{id}")).to_owned();
    eventually("progress", || operation(host, mount, &id)["percent"] == 25);
    id
}

/// What the plugin at `mount` sees of the operation.
#[track_caller]
fn operation(host: &InProcess, mount: &str, id: &str) -> Value {
    host.call(&format!("{mount}/operations-read.get"), &json!({"names": [id]}))[0].clone()
}

#[track_caller]
fn wait(host: &InProcess, mount: &str, id: &str) -> Value {
    host.call(&format!("{mount}/operations-read.wait"), &json!({"name": id}))
}

#[test]
fn a_pull_is_watched_to_its_end() {
    let (engine, host) = started();
    let id = begin(&host, "", "redis:7");
    let (status, _, events) = host.client().open("GET", &format!("/operations/{id}/events"), &[], &[]).unwrap();
    assert_eq!(status, 200);
    let mut events = BufReader::new(events);
    let mut first = String::new();
    events.read_line(&mut first).unwrap();
    events.read_line(&mut first).unwrap();
    assert!(first.starts_with("event: running\ndata: {") && first.contains("\"percent\":25"), "{first}");
    engine.go_on(REST);
    let mut rest = String::new();
    events.read_to_string(&mut rest).unwrap();
    let last = rest.trim().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("event: succeeded\ndata: {") && last.contains("\"percent\":100"), "{rest}");
    let lines = host.get(&format!("/operations/{id}/lines"));
    let line: Value = serde_json::from_str(lines.text().unwrap().strip_suffix('\n').unwrap()).unwrap();
    let layer = json!({"id": "aa", "status": "Pull complete", "current": 100, "total": 100});
    assert_eq!((&line["state"], &line["current"], &line["layers"]), (&json!("succeeded"), &json!(100), &json!([layer])));
    assert_eq!(host.get("/operations/unknown/events").status, 404);
}

#[test]
fn two_plugins_that_pull_the_same_share_one_pull_of_the_engine() {
    let (engine, host) = started();
    let first = begin(&host, "", "redis:7");
    let second = begin(&host, "/other", "docker.io/library/redis:7");
    assert_eq!(engine.count("POST /images/create"), 1);
    // Each sees both and owns one.
    let listed = host.call("/other/operations-read.list", &json!({}));
    let listed: Vec<(&str, bool)> =
        listed.as_array().unwrap().iter().map(|found| (found["id"].as_str().unwrap(), found["owned"].as_bool().unwrap())).collect();
    assert_eq!(listed, [(second.as_str(), true), (first.as_str(), false)]);
    assert_eq!(host.call("/other/operations-cancel.cancel", &json!({"name": first}))["error"], "denied");
    // One that the other's grant does not cover.
    let elsewhere = begin(&host, "", "registry.example/a");
    assert_eq!(operation(&host, "/other", &elsewhere)["error"], "not-found");
    assert_eq!(host.call("/operations-cancel.cancel", &json!({"name": elsewhere})), "done");
    eventually("the end of the lonely pull", || engine.listeners() == 1);

    assert_eq!(host.call("/operations-cancel.cancel", &json!({"name": first})), "done");
    assert_eq!(
        (&operation(&host, "", &first)["state"], &operation(&host, "/other", &second)["state"]),
        (&json!("cancelled"), &json!("running"))
    );
    assert_eq!(engine.listeners(), 1, "the other still waits");
    assert_eq!(host.call("/other/operations-cancel.cancel", &json!({"name": second})), "done");
    eventually("the end of the pull in the engine", || engine.listeners() == 0);
    assert_eq!(wait(&host, "", &second)["state"], "cancelled");
}

#[test]
fn a_pull_outlives_its_request_and_the_plugins_generation() {
    let (engine, host) = started();
    // The client hangs up as soon as the engine was asked.
    let body = b"{\"name\":\"redis:7\"}";
    let mut client = std::net::TcpStream::connect(host.address()).unwrap();
    let head = format!("POST /images-pull.pull HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    std::io::Write::write_all(&mut client, &[head.as_bytes(), body].concat()).unwrap();
    eventually("the pull", || engine.was_asked_for("POST /images/create"));
    drop(client);
    eventually("the end of the request", || {
        host.metric(r#"wharf_requests_total{site="test",plugin="subject",route="/{function}",status="499"}"#) > 0.5
    });
    let listed = host.call("/operations-read.list", &json!({}));
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert_eq!((&listed[0]["state"], listed.as_array().unwrap().len()), (&json!("running"), 1));

    assert_eq!(host.reload(&configuration(&engine, "limits = { memory_mib = 32 }")), [""; 0]);
    assert_eq!(host.plugin("subject")["generation"], 2);
    let running = operation(&host, "", &id);
    assert_eq!((&running["state"], &running["owned"], &running["percent"]), (&json!("running"), &json!(true), &json!(25)));
    // Whoever wants it now waits for the same.
    let joined = begin(&host, "", "redis:7");
    assert_eq!(engine.count("POST /images/create"), 1);
    engine.go_on(REST);
    for id in [&id, &joined] {
        let ended = wait(&host, "", id);
        assert_eq!((&ended["state"], &ended["percent"]), (&json!("succeeded"), &json!(100)));
    }
}

#[test]
fn an_operator_sees_all_operations_and_counts_them() {
    let (engine, host) = started();
    let id = begin(&host, "/other", "redis:7");
    let listed = host.admin().get("/operations").unwrap().json().unwrap();
    let seen = &listed[0];
    assert_eq!((&seen["id"], &seen["site"], &seen["plugin"]), (&json!(id), &json!("test"), &json!("other")));
    assert_eq!((&seen["kind"], &seen["subject"], &seen["state"]), (&json!("pull"), &json!("docker.io/library/redis:7"), &json!("running")));
    assert_eq!(
        (&seen["percent"], &seen["current"], &seen["total"], &seen["engine"]),
        (&json!(25), &json!(50), &json!(100), &json!(engine.url()))
    );
    assert!((host.metric(r#"wharf_operations_under_way{kind="pull"}"#) - 1.0).abs() < f64::EPSILON);
    engine.go_on(b"{\"errorDetail\":{\"message\":\"no space\"},\"error\":\"no space\"}\r\n");
    let ended = wait(&host, "/other", &id);
    assert_eq!(
        (&ended["state"], &ended["failure"]["error"], &ended["reason"]),
        (&json!("failed"), &json!("internal"), &json!("the engine failed: no space"))
    );
    assert!((host.metric(r#"wharf_operations_total{kind="pull",outcome="failed"}"#) - 1.0).abs() < f64::EPSILON);
    assert!(host.metric(r#"wharf_operations_under_way{kind="pull"}"#) < 0.5);
    let listed = host.admin().get("/operations").unwrap().json().unwrap();
    assert_eq!((&listed[0]["state"], &listed[0]["reason"]), (&json!("failed"), &json!("the engine failed: no space")));
}
