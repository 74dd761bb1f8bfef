//! The capability `config`: a plugin's settings, checked before it runs, and its secrets, revealed when it asks.

use serde_json::json;

use crate::in_process::{host, lines_of, one_plugin};
use wharf_tests::guests::CONFIG;

#[test]
fn a_plugin_sees_its_settings_and_not_its_secrets() {
    let host = host(&one_plugin(
        CONFIG,
        "config = { greeting = \"hi\", count = 3, nested = { a = [1, true] }, password = { secret_file = \"p\" } }",
    ));
    assert_eq!(host.get("/document").json().unwrap(), json!({"greeting": "hi", "count": 3, "nested": {"a": [1, true]}}));
}

#[test]
fn a_secret_is_read_when_it_is_revealed_and_each_time() {
    let host = host(&one_plugin(CONFIG, "config = { password = { secret_file = \"p\" } }"));
    assert_eq!(host.get("/reveal/password").status, 503, "the file is not there");
    for secret in ["first", "rotated"] {
        std::fs::write(host.folder().join("p"), format!("{secret}\n")).unwrap();
        assert_eq!(host.get_as("config-reveal", "/reveal/password").text().unwrap(), secret);
    }
    assert_eq!(host.get("/reveal/greeting").status, 404);
    let lines = lines_of("config-reveal");
    assert!(lines.iter().any(|line| line["target"] == "audit" && line["fields"]["object"] == "secret password"));
    assert!(!lines.iter().any(|line| line.to_string().contains("rotated")));
}

#[test]
fn settings_that_do_not_fit_the_schema_are_reported_where_they_stand() {
    let host = host(&one_plugin(CONFIG, ""));
    let wrong = host.reload(&one_plugin(CONFIG, "config = { count = 0, greetin = \"x\" }"));
    let all = wrong.join("\n");
    assert!(all.contains("wharf.toml:12:20: `config.count` of plugin `subject`"), "{all}");
    assert!(all.contains("greetin") && all.contains("`greeting`"), "{all}");
    assert_eq!(host.get("/document").status, 200, "what was loaded goes on");
}
