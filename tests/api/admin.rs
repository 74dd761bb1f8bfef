//! The admin API: health, plugins, metrics, reload.

use serde_json::json;

use crate::in_process::{host, one_plugin, plugin};
use wharf_tests::guests::BENCH;

#[test]
fn health_names_what_is_not_as_it_should_be() {
    let away = "[engine.default]\nurl = \"unix:///nowhere/docker.sock\"\n";
    let host = host(&format!("{away}{}{}", one_plugin(BENCH, ""), plugin("broken", "nothing.wasm", "/broken", "")));
    let health = host.admin().get("/health").unwrap();
    let said = health.json().unwrap();
    assert_eq!((health.status, &said["status"], &said["plugins_not_loaded"]), (200, &json!("degraded"), &json!(["test/broken"])));
    assert!(said["engines"]["default"].as_str().unwrap().contains("/nowhere/docker.sock"), "{said}");
}

#[test]
fn a_plugin_that_could_not_be_replaced_is_named() {
    let host = host(&one_plugin(BENCH, ""));
    host.reload(&one_plugin("nothing.wasm", ""));
    let health = host.admin().get("/health").unwrap().json().unwrap();
    assert_eq!((&health["status"], &health["plugins_kept_back"]), (&json!("degraded"), &json!(["test/subject"])));
    let plugin = host.plugin("subject");
    assert_eq!((&plugin["state"], &plugin["source"]), (&json!("loaded"), &json!(BENCH)));
    assert!(plugin["reason"].as_str().unwrap().contains("nothing.wasm"), "{plugin}");

    host.reload(&one_plugin(BENCH, ""));
    assert_eq!(host.plugin("subject").get("reason"), None);
}

#[test]
fn plugins_are_listed_with_what_they_import() {
    let host = host(&one_plugin(BENCH, ""));
    let plugins = host.admin().get("/plugins").unwrap().json().unwrap();
    let bench = &plugins[0];
    assert_eq!((bench["state"].as_str(), bench["generation"].as_u64(), bench["mount"].as_str()), (Some("loaded"), Some(1), Some("/")));
    let imports = bench["imports"].as_array().unwrap();
    assert!(imports.iter().all(|import| !import.as_str().unwrap().starts_with("wharf:docker")), "{imports:?}");
}

#[test]
fn requests_are_counted_by_route_and_status() {
    let host = host(&one_plugin(BENCH, ""));
    for path in ["/", "/", "/nothing", "/other"] {
        host.get(path);
    }
    let series =
        |route: &str, status: u16| format!(r#"wharf_requests_total{{site="test",plugin="subject",route="{route}",status="{status}"}}"#);
    assert!((host.metric(&series("/", 200)) - 2.0).abs() < f64::EPSILON);
    assert!((host.metric(&series("*", 404)) - 2.0).abs() < f64::EPSILON, "no client can make a series of its own");
}

#[test]
fn a_reload_by_post_says_what_is_wrong() {
    let host = host(&one_plugin(BENCH, ""));
    assert_eq!(host.admin().post("/reload").unwrap().status, 200);
    std::fs::write(host.folder().join("wharf.toml"), "nonsense").unwrap();
    let answer = host.admin().post("/reload").unwrap();
    assert_eq!(answer.status, 422);
    assert!(answer.json().unwrap()["mistakes"][0].as_str().unwrap().contains("wharf.toml:1:"), "{:?}", answer.text());
    assert_eq!(host.get("/").status, 200);
}
