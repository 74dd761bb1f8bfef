//! The capability `docker` from inside a component: what the grant keeps from it, and what it hears when the engine is away.
//!
//! No engine runs here: the room's own tests answer for each function, and `e2e` asks a real engine.

use serde_json::{Value, json};

use crate::in_process::{InProcess, host, one_plugin};
use wharf_tests::guests::DOCKER;

const ALL: [&str; 11] = [
    "containers.read",
    "containers.env",
    "containers.logs",
    "containers.lifecycle",
    "containers.create",
    "containers.remove",
    "images.read",
    "images.pull",
    "networks.read",
    "volumes.read",
    "system.read",
];

/// A host whose plugin has every power within `scope`, and whose engine is away.
fn without_an_engine(scope: &str, limits: &str) -> InProcess {
    let allow = ALL.map(|power| format!("\"{power}\"")).join(", ");
    let grants = format!("{limits}\n[site.plugin.grants.docker]\nallow = [{allow}]\n{scope}");
    host(&format!("[engine.default]\nurl = \"unix:///nowhere/docker.sock\"\n{}", one_plugin(DOCKER, &grants)))
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
    for function in ["containers-read.list", "networks-read.list", "volumes-read.list", "system-read.version"] {
        check(&host, function, &json!({}), "unavailable");
    }
    for function in ["containers-read.inspect", "containers-env.inspect", "images-read.inspect"] {
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
