//! The plugin `update-checker` as its clients use it: images are published anew at a real registry, and containers of a real engine follow them or do not.
//!
//! The engine and the host know the registry by the address of a gate in front of it, through which layers come when a test lets them: so an update can be looked at while it is under way. What is published goes to the registry
//! by itself, and the engine's own tags stay where they are. The page of a container says which of the published images it runs.

use serde_json::{Value, json};
use wharf_harness::http::Response;

use crate::site::{Version, eventually, left_out, page};

mod accounts;
mod site;

use site::{NETWORK, Site, VOLUME};

#[test]
fn containers_follow_their_images_on_the_distributions_engine() {
    tell(Version::Installed);
}

#[test]
fn containers_follow_their_images_on_a_newer_engine() {
    tell(Version::Newer);
}

fn tell(version: Version) {
    if left_out() {
        return;
    }
    let mut site = Site::start(version);
    check_lists(&site);
    check_order_of_mistakes(&site);
    check_update(&site);
    check_bad_image(&site);
    check_automatic(&site);
    check_group(&site);
    check_restart(&mut site);
    check_kill(&mut site);
    assert!(site.stop().success());
}

#[track_caller]
fn check_answer(answer: &Response, status: u16, body: &str) {
    assert_eq!((answer.status, answer.text().unwrap()), (status, body));
}

/// What the documentation shows, while everything is as it was published.
#[track_caller]
fn check_lists(site: &Site) {
    site.run("web", &[]);
    eventually("the first check with the container", || site.group()["status"] == "uptodate");
    let answer = site.get("/api/images");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let list: Value = answer.json().unwrap();
    let digest = site.digest();
    let container = json!({
        "container_id": site.id("web"), "container_name": "web", "local_digest": &digest[..17], "status": "uptodate", "auto_update": false,
    });
    let group = json!({ "image": site.reference(), "remote_digest": &digest[..17], "status": "uptodate", "containers": [container] });
    assert_eq!(list, json!([group]));
    check_answer(&site.get("/health"), 200, "");
    assert_eq!(site.api().send("HEAD", "/health", &[], &[]).unwrap().status, 200);
    check_answer(&site.get("/api/auth/status"), 200, r#"{"enabled":false}"#);
    check_answer(&site.get(&format!("/api/images/{}/progress", site.id("web"))), 404, "no progress\n");
}

#[track_caller]
fn check_order_of_mistakes(site: &Site) {
    let id = site.id("web");
    for (method, path, status, text) in [
        ("POST", "/api/images", 405, "method not allowed\n"),
        ("GET", "/api/images/", 400, "bad path: /api/images/{id}/{action}\n"),
        ("POST", "/api/images/x", 400, "bad path: /api/images/{id}/{action}\n"),
        ("GET", "/api/images/x/y/z", 400, "bad path: /api/images/{id}/{action}\n"),
        ("GET", "/api/images/x/unheard-of", 405, "method not allowed\n"),
        ("POST", "/api/images/x/unheard-of", 404, "container not found\n"),
        ("POST", "/api/images/web/update", 404, "container not found\n"),
        ("POST", &format!("/api/images/{id}/unheard-of"), 400, "unknown action\n"),
        ("PUT", &format!("/api/images/{id}/progress"), 405, "method not allowed\n"),
        ("POST", "/api/groups/", 404, "not found\n"),
        ("POST", "/api/groups/elsewhere", 400, "unknown action\n"),
        ("POST", "/api/groups/update", 400, "bad request\n"),
        ("GET", "/api/groups/update", 405, "method not allowed\n"),
        ("POST", "/api/groups/absent:1/update", 200, r#"{"status":"updating"}"#),
        ("PATCH", "/api/logout", 405, "method not allowed\n"),
        ("POST", "/health", 405, "method not allowed\n"),
    ] {
        let answer = site.api().send(method, path, &[], &[]).unwrap();
        assert_eq!((answer.status, answer.text().unwrap()), (status, text), "{method} {path}");
        if status >= 400 {
            let fields = (answer.header("content-type"), answer.header("x-content-type-options"));
            assert_eq!(fields, (Some("text/plain; charset=utf-8"), Some("nosniff")), "{method} {path}");
        }
    }
    let foreign = site.api().send("POST", &format!("/api/images/{id}/update"), &[("origin", "http://evil.example")], &[]).unwrap();
    assert_eq!(foreign.status, 403);
}

/// From the publication to the container that runs it.
#[track_caller]
fn check_update(site: &Site) {
    let (old, before) = (site.id("web"), site.inspect("web"));
    site.publish("second", &["/bin/serve"]);
    eventually("that it is outdated", || site.statuses() == ["outdated", "web outdated"]);
    site.gate.close();
    check_answer(&site.post(&format!("/api/images/{old}/update")), 200, r#"{"status":"updating"}"#);
    let progress = || site.get(&format!("/api/images/{old}/progress"));
    assert_eq!(progress().status, 200, "from the first moment on");
    check_answer(&site.post(&format!("/api/images/{old}/update")), 200, r#"{"status":"updating"}"#);
    eventually("a layer", || site.layer(&old).len() == 12);
    let keys = progress().json().unwrap();
    let keys: Vec<&String> = keys.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["layer", "current", "total", "percent", "status"]);
    site.gate.open();
    let events = site.get(&format!("/api/images/{old}/events"));
    assert_eq!((events.status, events.header("content-type")), (200, Some("text/event-stream")));
    assert!(events.text().unwrap().contains("event: succeeded"), "{}\n{}", events.text().unwrap(), site.log());
    eventually("the end of the update", || progress().status == 404);
    let new = site.id("web");
    assert!(new != old && page(site.port, "/") == "wharf/second:1", "{}", site.log());
    site.check_same(&before, &site.inspect("web"));
    assert_eq!(site.names(), ["web"], "nothing is left over");
    eventually("the check after it", || site.statuses() == ["uptodate", "web uptodate"]);
    let history = site.history();
    let entry = &history[0];
    assert_eq!(history.as_array().unwrap().len(), 1, "it was asked for twice and done once");
    assert_eq!((&entry["container_id"], &entry["new_container_id"], &entry["result"]), (&json!(old), &json!(new), &json!("updated")));
    assert!(entry["stopped_ms"].is_u64(), "{entry}");
    eventually("the webhook", || site.hook.count("POST /updates") == 1);
}

/// One that ends as soon as it is started.
#[track_caller]
fn check_bad_image(site: &Site) {
    let (id, before) = (site.id("web"), site.inspect("web"));
    site.publish("bad", &["false"]);
    eventually("that it is outdated", || site.statuses() == ["outdated", "web outdated"]);
    check_answer(&site.post("/api/groups/update"), 400, "bad request\n");
    let answer = site.api().post_json("/api/groups/update", &json!({ "image": site.reference() })).unwrap();
    check_answer(&answer, 200, r#"{"status":"updating"}"#);
    let progress = || site.get(&format!("/api/images/{id}/progress")).json().ok().unwrap_or_default();
    eventually("its failure", || progress()["status"].as_str().is_some_and(|status| status.starts_with("error: ")));
    assert_eq!((site.id("web"), site.names()), (id.clone(), vec!["web".to_owned()]), "{}", site.log());
    site.check_same(&before, &site.inspect("web"));
    eventually("that the old one serves", || page(site.port, "/") == "wharf/second:1");
    // The operation says that it failed before its job has told of it.
    eventually("that it is told", || site.history()[0]["result"] == "failed");
    assert_eq!(site.history()[0]["rolled_back"], true);
    eventually("that it is outdated still", || site.statuses() == ["outdated", "web outdated"]);
}

/// What is switched on follows its image by itself, but not to one that has failed.
#[track_caller]
fn check_automatic(site: &Site) {
    let old = site.id("web");
    check_answer(&site.post(&format!("/api/images/{old}/auto-update")), 200, r#"{"auto_update":true}"#);
    let checks = site.checks();
    eventually("further checks", || site.checks() > checks + 2);
    assert_eq!((site.id("web"), site.history()[0]["automatic"].clone()), (old.clone(), json!(false)), "{}", site.log());
    site.publish("third", &["/bin/serve"]);
    eventually("the automatic update", || page(site.port, "/") == "wharf/third:1" && site.statuses() == ["uptodate", "web uptodate"]);
    assert_ne!(site.id("web"), old);
    eventually("that it is told", || site.history()[0]["automatic"] == true);
    assert_eq!(site.container("web")["auto_update"], true, "it follows the container");
}

/// Two containers of one image, one of which is ahead for a while.
#[track_caller]
fn check_group(site: &Site) {
    let web = site.id("web");
    check_answer(&site.post(&format!("/api/images/{web}/auto-update")), 200, r#"{"auto_update":false}"#);
    site.run("web-2", &[]);
    eventually("the second container", || site.statuses() == ["uptodate", "web uptodate", "web-2 uptodate"]);
    site.publish("fourth", &["/bin/serve"]);
    eventually("that both are outdated", || site.statuses() == ["outdated", "web outdated", "web-2 outdated"]);
    check_answer(&site.post(&format!("/api/images/{web}/update")), 200, r#"{"status":"updating"}"#);
    // The engine shows an id in the place of the second one's reference from now on.
    eventually("that one is ahead", || site.statuses() == ["partial", "web uptodate", "web-2 outdated"]);
    let path = format!("/api/groups/{}/update", site.reference().replace('/', "%2F"));
    check_answer(&site.post(&path), 200, r#"{"status":"updating"}"#);
    eventually("that both have followed", || site.statuses() == ["uptodate", "web uptodate", "web-2 uptodate"]);
    assert_eq!(site.names(), ["web", "web-2"]);
}

/// Toggles, failures and the list survive a kill of the host.
#[track_caller]
fn check_restart(site: &mut Site) {
    let second = site.id("web-2");
    check_answer(&site.post(&format!("/api/images/{second}/auto-update")), 200, r#"{"auto_update":true}"#);
    let (list, history) = (site.get("/api/images").json().unwrap(), site.history());
    site.kill_and_start_again();
    assert_eq!((site.get("/api/images").json().unwrap(), site.history()), (list, history));
    // A container that is gone is in no list.
    site.remove("web-2");
    eventually("a check without it", || site.statuses() == ["uptodate", "web uptodate"]);
    check_answer(&site.post(&format!("/api/images/{second}/update")), 404, "container not found\n");
    let inspected = site.inspect("web");
    assert_eq!(inspected["Mounts"][0]["Name"], VOLUME);
    assert!(inspected["NetworkSettings"]["Networks"][NETWORK].is_object());
}

/// An update goes on when the host was killed in its midst.
#[track_caller]
fn check_kill(site: &mut Site) {
    let (old, before, told) = (site.id("web"), site.inspect("web"), site.history().as_array().unwrap().len());
    site.publish("fifth", &["/bin/serve"]);
    eventually("that it is outdated", || site.statuses() == ["outdated", "web outdated"]);
    site.gate.close();
    check_answer(&site.post(&format!("/api/images/{old}/update")), 200, r#"{"status":"updating"}"#);
    eventually("a layer", || site.layer(&old).len() == 12);
    site.kill_and_start_again();
    site.gate.open();
    eventually("the end of the update", || site.get(&format!("/api/images/{old}/progress")).status == 404);
    assert_eq!((page(site.port, "/").as_str(), site.names()), ("wharf/fifth:1", vec!["web".to_owned()]), "{}", site.log());
    site.check_same(&before, &site.inspect("web"));
    let history = site.history();
    assert_eq!((history.as_array().unwrap().len(), &history[0]["result"]), (told + 1, &json!("updated")), "{history}");
    eventually("the check after it", || site.statuses() == ["uptodate", "web uptodate"]);
}
