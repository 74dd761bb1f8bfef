//! The capability `docker` from inside a component: what the grant keeps from it, and what it hears when the engine is away or fails in the middle of an answer.
//!
//! No engine runs here but a fake one: the room's own tests answer for each function, and `e2e` asks a real engine.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharf_harness::fake_engine::{Answer, FakeEngine};
use wharf_harness::guest::DOCKER_POWERS;

use crate::in_process::{InProcess, eventually, host, logged, one_plugin};
use wharf_tests::guests::DOCKER;

/// A host whose plugin has every power within `scope`, and whose engine is away.
fn without_an_engine(scope: &str, limits: &str) -> InProcess {
    on_engine("unix:///nowhere/docker.sock", scope, limits)
}

/// A host whose plugin has every power within `scope` on the engine at `url`.
fn on_engine(url: &str, scope: &str, limits: &str) -> InProcess {
    let grants = format!("{limits}\n[site.plugin.grants.docker]\nallow = {DOCKER_POWERS:?}\n{scope}");
    host(&format!("[engine.default]\nurl = \"{url}\"\n{}", one_plugin(DOCKER, &grants)))
}

/// An engine with one container, `web`, whose log is answered with `answer`, and so are pulling and pruning.
fn engine_with(answer: Answer) -> FakeEngine {
    let container = format!(r#"{{"Id":"{}","Name":"/web","State":{{"Status":"running"}},"Config":{{"Tty":true}}}}"#, "a".repeat(64));
    let script = move |line: &str| match line {
        "GET /containers/web/json" => Answer::json(200, &container),
        line if ["POST /images/create", "POST /images/prune"].iter().any(|act| line.starts_with(act)) => answer.clone(),
        line if line.contains("/logs?") => answer.clone(),
        _ => Answer::json(404, "{}"),
    };
    FakeEngine::start(script).unwrap()
}

/// The word of the error that `function` answers to `arguments`.
#[track_caller]
fn check(host: &InProcess, function: &str, arguments: &Value, word: &str) {
    let answer = host.call(&format!("/{function}"), arguments);
    let answer = answer.get(0).unwrap_or(&answer);
    assert_eq!(answer["error"], word, "{function} {arguments}: {answer}");
}

#[test]
fn an_engine_that_is_away_is_an_answer() {
    let host = without_an_engine("", "");
    for function in
        ["containers-read.list", "images-read.list", "images-prune.prune", "networks-read.list", "volumes-read.list", "system-read.version"]
    {
        check(&host, function, &json!({}), "unavailable");
    }
    for function in
        ["containers-read.inspect", "containers-env.inspect", "images-read.inspect", "images-remove.remove", "distribution-read.inspect"]
    {
        check(&host, function, &json!({"names": ["web"]}), "unavailable");
    }
    for function in ["containers-lifecycle.start", "containers-lifecycle.stop", "containers-remove.remove", "images-pull.pull"] {
        check(&host, function, &json!({"name": "web"}), "unavailable");
    }
}

#[test]
fn a_name_that_can_be_none_is_not_asked_for() {
    let host = without_an_engine("", "");
    for name in ["../../info?", "", "a/b", "web?x=1", "web#", "-web", "we b", "web\n"] {
        check(&host, "containers-read.inspect", &json!({"names": [name]}), "invalid");
        check(&host, "containers-lifecycle.stop", &json!({"name": name}), "invalid");
    }
    check(&host, "images-pull.pull", &json!({"name": "library/UPPER"}), "invalid");
}

#[test]
fn what_the_grant_does_not_cover_is_denied_without_asking_the_engine() {
    let host = without_an_engine("containers = { names = [\"web-*\"] }\nimages = [\"docker.io/library/*\"]", "");
    let specification = json!({"Image": "example.com/evil", "HostConfig": {"NetworkMode": "none"}});
    check(&host, "containers-create.create", &json!({"name": "web-1", "specification": specification}), "denied");
    let specification = json!({"Image": "redis", "HostConfig": {"NetworkMode": "none", "Privileged": true}});
    check(&host, "containers-create.run", &json!({"name": "web-1", "specification": specification}), "denied");
    check(&host, "images-pull.pull", &json!({"name": "example.com/evil"}), "denied");
}

#[test]
fn a_plugin_over_its_host_calls_hears_of_it() {
    let host = without_an_engine("", "limits = { host_calls = 3 }");
    assert_eq!(host.get("/calls/5").text().unwrap(), "3");
    assert_eq!(host.get("/calls/5").text().unwrap(), "3", "each request has its own");
}

#[test]
fn host_calls_and_denials_are_counted() {
    let host = without_an_engine("images = [\"docker.io/library/*\"]", "");
    check(&host, "images-pull.pull", &json!({"name": "example.com/evil"}), "denied");
    let labels = r#"{site="test",plugin="subject",function="docker.images-pull.pull"}"#;
    assert!((host.metric(&format!("wharf_host_calls_total{labels}")) - 1.0).abs() < f64::EPSILON);
    assert!((host.metric(&format!("wharf_host_call_denials_total{labels}")) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_component_is_not_loaded_without_a_grant_for_each_interface() {
    let host = host(&one_plugin(DOCKER, "[site.plugin.grants.docker]\nallow = [\"containers.read\"]"));
    assert_eq!(host.get("/calls/1").status, 503);
    let reason = host.admin().get("/plugins").unwrap().json().unwrap()[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("`wharf:docker/containers-env`") && !reason.contains("containers-read`"), "{reason}");
    assert!(reason.contains("[site.plugin.grants.docker]") && reason.contains("\"containers.env\""), "{reason}");
}

#[test]
fn an_engine_that_dies_in_the_middle_of_a_log_breaks_it_off() {
    let engine = engine_with(Answer::broken_off(b"first line\n"));
    let host = on_engine(&engine.url(), "", "");
    let (status, _, mut log) = host.client().open("GET", "/log/web", &[], &[]).unwrap();
    let mut seen = Vec::new();
    let outcome = log.read_to_end(&mut seen);
    assert_eq!((status, seen.as_slice()), (200, b"first line\n".as_slice()));
    assert!(outcome.is_err(), "a log that was cut looks like one that ended");
    assert_eq!(host.get("/calls/1").text().unwrap(), "1", "the plugin serves on");
}

#[test]
fn an_engine_that_dies_in_the_middle_of_a_pull_is_an_error_at_once() {
    let engine = engine_with(Answer::broken_off(b"{\"status\":\"Downloading\"}\r\n"));
    let host = on_engine(&engine.url(), "", "");
    let began = Instant::now();
    check(&host, "images-pull.pull", &json!({"name": "redis"}), "unavailable");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_pull_that_hangs_holds_up_a_stop_no_longer_than_the_grace() {
    let engine = engine_with(Answer::hanging(b"{\"status\":\"Downloading\"}\r\n"));
    let host = on_engine(&engine.url(), "", "limits = { operations = 1 }");
    let client = host.client();
    std::thread::scope(|scope| {
        // Whether its client still hears anything is not the point.
        scope.spawn(|| client.post_json("/images-pull.pull", &json!({"name": "redis:stopped"})).ok());
        eventually("the pull", || engine.was_asked_for("POST /images/create"));
        // It is the one operation that the plugin may have under way.
        check(&host, "images-pull.pull", &json!({"name": "redis"}), "quota-exceeded");
        let took = host.stop();
        // 5 s is the grace in these tests.
        assert!((Duration::from_secs(5)..Duration::from_secs(9)).contains(&took), "{took:?}");
    });
    assert!(logged("an operation was cancelled", "subject").contains(&json!("docker.io/library/redis:stopped")));
    assert_eq!(engine.listeners(), 0, "the engine was told");
}

#[test]
fn a_change_that_hangs_is_left_to_the_engine_at_a_stop() {
    let engine = engine_with(Answer::hanging(b"{"));
    let host = on_engine(&engine.url(), "", "");
    let client = host.client();
    std::thread::scope(|scope| {
        scope.spawn(|| client.post_json("/images-prune.prune", &json!({})).ok());
        eventually("the change", || engine.was_asked_for("POST /images/prune"));
        let took = host.stop();
        assert!((Duration::from_secs(5)..Duration::from_secs(15)).contains(&took), "{took:?}");
    });
    assert_eq!(logged("leaving operations to the engine", "under_way"), [json!(1)]);
}
