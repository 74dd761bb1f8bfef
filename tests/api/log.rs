//! The capability `log`: every line of a plugin is in the host's log, and says whose it is.

use serde_json::Value;
use wharf_harness::guest::DOCKER_POWERS;

use crate::in_process::{InProcess, host, lines_of, one_plugin};
use wharf_tests::guests::{DOCKER, LOG, MISBEHAVE};

/// Level and message of the plugin's own lines of the request `id`.
fn plugin_lines(id: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = lines_of(id).into_iter().filter(|line| line["target"] == "plugin");
    lines.map(|line| (text(&line["level"]), text(&line["fields"]["message"]))).collect()
}

#[test]
fn a_line_has_its_level_fields_and_origin() {
    let host = host(&one_plugin(LOG, ""));
    host.get_as("log-levels", "/levels");
    let levels: Vec<String> = plugin_lines("log-levels").into_iter().map(|(level, _)| level).collect();
    assert_eq!(levels, ["ERROR", "WARN", "INFO", "DEBUG"], "trace is below this test's filter");

    let lines = lines_of("log-levels");
    let with_fields = lines.iter().find(|line| line["fields"]["message"] == "with fields").unwrap();
    let fields: Value = serde_json::from_str(with_fields["fields"]["fields"].as_str().unwrap()).unwrap();
    assert_eq!(fields, serde_json::json!({"container": "web-1", "count": "3"}));
    let span = &with_fields["span"];
    assert_eq!((span["site"].as_str(), span["plugin"].as_str(), span["generation"].as_u64()), (Some("test"), Some("subject"), Some(1)));
}

#[test]
fn a_plugin_cannot_forge_a_line() {
    let host = host(&one_plugin(LOG, ""));
    host.get_as("log-forge", "/forge");
    assert_eq!(plugin_lines("log-forge"), [("INFO".to_owned(), "first\\n2026-01-01T00:00:00Z ERROR forged".to_owned())]);
}

#[test]
fn what_is_printed_is_logged_line_by_line() {
    let host = host(&one_plugin(LOG, ""));
    host.get_as("log-print", "/print");
    let expected = [("INFO", "printed to stdout"), ("WARN", "printed to stderr without an end")];
    assert_eq!(plugin_lines("log-print"), expected.map(|(level, line)| (level.to_owned(), line.to_owned())));
}

#[test]
fn every_request_has_a_line_of_its_own() {
    let host = host(&one_plugin(LOG, ""));
    host.get_as("log-request", "/print");
    let lines = lines_of("log-request");
    let line = lines.iter().find(|line| line["fields"]["message"] == "request").unwrap();
    assert_eq!((line["fields"]["status"].as_u64(), line["fields"]["route"].as_str()), (Some(200), Some("/print")));
}

#[test]
fn a_line_is_cut_where_its_budget_ends() {
    let host = host(&one_plugin(MISBEHAVE, ""));
    host.get_as("log-long", "/push/1024");
    let lines = plugin_lines("log-long");
    let (_, line) = &lines[0];
    assert!(line.len() < 9_000 && line.ends_with('…'), "{} bytes", line.len());
}

/// A host whose plugin may do everything with the engine, which is away, but use images that are not of the library.
fn restricted(limits: &str) -> InProcess {
    let grants = format!("{limits}\n[site.plugin.grants.docker]\nallow = {DOCKER_POWERS:?}\nimages = [\"docker.io/library/*\"]\n");
    host(&format!("[engine.default]\nurl = \"unix:///nowhere/docker.sock\"\n{}", one_plugin(DOCKER, &grants)))
}

#[test]
fn calls_over_the_quota_are_one_line_however_many_there_are() {
    let host = restricted("limits = { host_calls = 3 }");
    assert_eq!(host.get_as("log-quota", "/calls/100").text().unwrap(), "3");
    let lines = lines_of("log-quota");
    let refused: Vec<_> = lines.iter().filter_map(|line| line["fields"]["refused"].as_u64()).collect();
    assert_eq!(refused, [97]);
}

#[test]
fn refusals_count_among_the_lines_of_the_plugin() {
    for (limit, lines) in [(0, 0), (9, 1)] {
        let host = restricted(&format!("limits = {{ log_lines_per_second = {limit} }}"));
        let (id, body) = (format!("log-denied-{limit}"), br#"{"name": "example.com/evil"}"#);
        let fields = [("x-request-id", id.as_str()), ("content-type", "application/json")];
        let answer = host.client().send("POST", "/images-pull.pull", &fields, body).unwrap();
        assert_eq!(answer.json().unwrap()["error"], "denied");
        let denied = lines_of(&id).into_iter().filter(|line| line["fields"]["message"] == "denied").count();
        assert_eq!(denied, lines, "of {limit} a second");
        let series = r#"wharf_host_call_denials_total{site="test",plugin="subject",function="docker.images-pull.pull"}"#;
        assert!((host.metric(series) - 1.0).abs() < f64::EPSILON, "it is counted all the same");
    }
}
