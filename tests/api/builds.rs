//! Building images, from inside a component: what is refused before the engine is asked, and a build as an operation that outlives its request and its plugin's being swapped.
//!
//! The engine is a fake one; the room's own tests have the rules, and `e2e` builds on real engines.

use std::io::Read;

use serde_json::{Value, json};
use wharf_harness::fake_engine::{Answer, FakeEngine};
use wharf_harness::guest::DOCKER_POWERS;
use wharf_tests::guests::DOCKER;

use crate::in_process::{InProcess, eventually, host, one_plugin};

/// The configuration of a plugin that may build `team/…` on `base/…`.
fn configuration(engine: &str, limits: &str) -> String {
    let images = "images = [\"docker.io/team/**\", \"docker.io/base/**\"]";
    let grants = format!("{limits}\n[site.plugin.grants.docker]\nallow = {DOCKER_POWERS:?}\n{images}");
    format!("[engine.default]\nurl = \"{engine}\"\n{}", one_plugin(DOCKER, &grants))
}

/// The arguments of a build by `dockerfile`.
fn build(dockerfile: &str) -> Value {
    json!({ "names": ["team/model:1"], "files": [["Dockerfile", dockerfile]] })
}

/// The word of the error that a build answers, or `ok`.
#[track_caller]
fn check(host: &InProcess, arguments: &Value, word: &str) {
    let answer = host.call("/images-build.begin", arguments);
    assert_eq!(answer["error"].as_str().unwrap_or("ok"), word, "{arguments}: {answer}");
}

/// An engine that has the image `base/busybox` and answers builds with `answer`.
fn engine_with(answer: Answer) -> FakeEngine {
    let image = format!(r#"{{"Id":"sha256:{}","Os":"linux","Architecture":"amd64","Config":null}}"#, "a".repeat(64));
    let script = move |line: &str| match line {
        "GET /images/base/busybox:latest/json" => Answer::json(200, &image),
        line if line.starts_with("POST /build?version=1&") => answer.clone(),
        line if line.starts_with("GET /images/json?") || line.starts_with("GET /containers/json?") => Answer::json(200, "[]"),
        _ => Answer::json(404, r#"{"message":"no such thing"}"#),
    };
    FakeEngine::start(script).unwrap()
}

#[test]
fn what_the_grant_does_not_cover_or_breaks_a_rule_is_refused_without_asking_the_engine() {
    let host = host(&configuration("unix:///nowhere/docker.sock", "limits = { build_context_mib = 1 }"));
    let dockerfile = "FROM base/busybox";
    check(&host, &json!({ "names": ["other/model"], "files": [["Dockerfile", dockerfile]] }), "denied");
    check(&host, &json!({ "names": ["team/model", "other/model"], "files": [["Dockerfile", dockerfile]] }), "denied");
    check(&host, &build("FROM other/secrets"), "denied");
    check(&host, &build("FROM scratch\nCOPY --from=other/secrets / /"), "denied");
    for text in
        ["", "FROM $BASE", "FROM base/busybox\nADD https://example.com/x /x", "FROM base/busybox\nRUN --mount=type=secret,id=x true"]
    {
        check(&host, &build(text), "invalid");
    }
    for path in ["../../x", "/etc/passwd", "a//b", "a\u{0}b", "Dockerfile"] {
        check(&host, &json!({ "names": ["team/model"], "files": [["Dockerfile", dockerfile], [path, "x"]] }), "invalid");
    }
    check(&host, &json!({ "names": [], "files": [["Dockerfile", dockerfile]] }), "invalid");
    check(&host, &json!({ "names": ["team/model"], "files": [["other", dockerfile]] }), "invalid");
    let large = "x".repeat(1 << 20);
    check(&host, &json!({ "names": ["team/model"], "files": [["Dockerfile", dockerfile], ["large", large]] }), "quota-exceeded");
    // What an engine that is away has to say is the operation's outcome.
    let id = host.call("/images-build.begin", &build(dockerfile));
    let ended = host.call("/operations-read.wait", &json!({ "name": id }));
    assert_eq!((&ended["state"], &ended["failure"]["error"], &ended["step"]), (&json!("failed"), &json!("unavailable"), &json!(1)));
}

#[test]
fn a_build_outlives_its_request_and_its_plugins_being_swapped_and_is_cancelled() {
    let said = concat!(
        r#"{"stream":"Step 1/4 : FROM aaaa"}"#,
        "\n{\"stream\":\"\\n\"}\n",
        r#"{"stream":"Step 2/4 : LABEL wharf.build=1"}"#,
        "\n",
        r#"{"stream":"Step 3/4 : RUN sleep 1000"}"#,
        "\n{\"stream\":\"\\n\"}\n",
        r#"{"stream":"going to sleep\n"}"#,
        "\n"
    );
    let engine = engine_with(Answer::hanging(said.as_bytes()));
    let host = host(&configuration(&engine.url(), "limits = { operations = 1 }"));
    let id = host.call("/images-build.begin", &build("FROM base/busybox\nRUN sleep 1000"));
    let id = id.as_str().unwrap();
    let record = || host.call("/operations-read.get", &json!({ "names": [id] }))[0].clone();
    eventually("the second step", || record()["step"] == 2);
    let running = record();
    assert_eq!(
        (&running["kind"], &running["subject"], &running["state"], &running["percent"], &running["steps"], &running["instruction"]),
        (&json!("build"), &json!("docker.io/team/model:1"), &json!("running"), &json!(50), &json!(2), &json!("RUN sleep 1000"))
    );
    let entry = host.admin().get("/operations").unwrap().json().unwrap()[0].clone();
    assert_eq!(
        (&entry["kind"], &entry["step"], &entry["steps"], &entry["plugin"]),
        (&json!("build"), &json!(2), &json!(2), &json!("subject"))
    );
    assert!((host.metric("wharf_operations_under_way{kind=\"build\"}") - 1.0).abs() < f64::EPSILON);
    check(&host, &build("FROM base/busybox"), "quota-exceeded");

    let (status, _, mut log) = host.client().open("GET", &format!("/operation-log/{id}"), &[], &[]).unwrap();
    let told = "Step 1/2 : FROM base/busybox\nStep 2/2 : RUN sleep 1000\ngoing to sleep\n";
    let mut seen = vec![0; told.len()];
    log.read_exact(&mut seen).unwrap();
    assert_eq!((status, String::from_utf8(seen).unwrap().as_str()), (200, told));

    let mistakes = host.reload(&configuration(&engine.url(), "limits = { operations = 2 }"));
    assert!(mistakes.is_empty(), "{mistakes:?}");
    assert_eq!((&record()["state"], host.plugin("subject")["generation"].as_u64()), (&json!("running"), Some(2)));
    assert_eq!(host.call("/operations-cancel.cancel", &json!({ "name": id })), "done");
    let ended = host.call("/operations-read.wait", &json!({ "name": id }));
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("cancelled"), &json!(null)));
    // The log ends with it.
    let mut rest = Vec::new();
    log.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    assert!((host.metric("wharf_operations_total{kind=\"build\",outcome=\"cancelled\"}") - 1.0).abs() < f64::EPSILON);
    eventually("the search for what it has left", || engine.was_asked_for("GET /images/json?all=true&filters="));
}

#[test]
fn an_engine_that_dies_in_the_middle_of_a_build_is_an_error() {
    let engine = engine_with(Answer::broken_off(b"{\"stream\":\"Step 1/3 : FROM aaaa\"}\n"));
    let host = host(&configuration(&engine.url(), ""));
    let id = host.call("/images-build.begin", &build("FROM base/busybox"));
    let ended = host.call("/operations-read.wait", &json!({ "name": id }));
    assert_eq!((&ended["state"], &ended["failure"]["error"], &ended["image"]), (&json!("failed"), &json!("unavailable"), &json!(null)));
}
