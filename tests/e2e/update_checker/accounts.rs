//! Logging in and out, on a site with a user. No engine is needed.

use wharf_harness::wharf::Wharf;
use wharf_tests::plugins::UPDATE_CHECKER;

use super::*;
use crate::site::host;

/// The user's password, and its hash, at little cost.
const PASSWORD: &str = "ann's password";
const HASH: &str = "$argon2id$v=19$m=16,t=1,p=1$nHyWm9qpmoK8JQVs0UNmdw$MGDra0P2YqeHQj1xKGBFYc/mJH6QJJ1rEkABrgUuiV0";

fn site() -> Wharf {
    host(&format!(
        r#"
[engine.default]
url = "unix:///nowhere/docker.sock"
[[site]]
name = "plant-a"
[[site.user]]
name = "admin"
password_hash = "{HASH}"
[[site.plugin]]
name = "update-checker"
source = "{UPDATE_CHECKER}"
mount = "/"
auth = "plugin"
[site.plugin.schedules]
check = "off"
[site.plugin.grants.docker]
allow = ["containers.read", "containers.recreate", "images.read", "operations.read"]
[site.plugin.grants.registry]
allow = ["digests.read", "manifests.read"]
[site.plugin.grants.storage]
allow = ["keyvalue"]
[site.plugin.grants.jobs]
allow = ["queue", "webhooks"]
[site.plugin.grants.identity]
allow = ["principal", "sessions"]
"#
    ))
}

fn login(wharf: &Wharf, password: &str, fields: &[(&str, &str)]) -> Response {
    let body = json!({ "user": "admin", "pass": password }).to_string();
    wharf.client().send("POST", "/api/login", fields, body.as_bytes()).unwrap()
}

#[test]
fn a_site_with_users_lets_nobody_in_who_is_not_logged_in() {
    let wharf = site();
    let client = wharf.client();
    check_answer(&client.get("/api/auth/status").unwrap(), 200, r#"{"enabled":true}"#);
    for path in ["/api/images", "/api/images/x/progress", "/api/history"] {
        let answer = client.get(path).unwrap();
        check_answer(&answer, 401, "{\"error\":\"unauthorized\"}\n");
        for (name, value) in [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("cache-control", "no-store")] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
    }
    check_answer(
        &client.post_json("/api/groups/update", &json!({ "image": "nginx:latest" })).unwrap(),
        401,
        "{\"error\":\"unauthorized\"}\n",
    );
    check_answer(&client.get("/health").unwrap(), 200, "");
    check_answer(&client.get("/api/login").unwrap(), 405, "method not allowed\n");
    check_answer(&client.send("POST", "/api/login", &[], b"{").unwrap(), 400, r#"{"error":"bad request"}"#);

    let answer = login(&wharf, PASSWORD, &[]);
    check_answer(&answer, 200, r#"{"status":"ok"}"#);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(["HttpOnly", "SameSite=", "Path=/"].iter().all(|attribute| cookie.contains(attribute)), "{cookie}");
    let known = client.with_header("cookie", cookie.split(';').next().unwrap());
    check_answer(&known.get("/api/images").unwrap(), 200, "[]\n");
    let foreign = known.send("POST", "/api/groups/update", &[("sec-fetch-site", "cross-site")], br#"{"image":"nginx:latest"}"#).unwrap();
    assert_eq!(foreign.status, 403);
    let own = [("origin", format!("http://{}", wharf.sites()))];
    let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let updated = known.send("POST", "/api/groups/update", &own, br#"{"image":"nginx:latest"}"#).unwrap();
    check_answer(&updated, 200, r#"{"status":"updating"}"#);

    let logout = known.post("/api/logout").unwrap();
    check_answer(&logout, 200, r#"{"status":"ok"}"#);
    assert!(logout.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{logout:?}");
    check_answer(&known.get("/api/images").unwrap(), 401, "{\"error\":\"unauthorized\"}\n");
    assert!(wharf.stop().unwrap().success());
}

#[test]
fn a_login_fails_without_saying_why_and_not_too_often() {
    let wharf = site();
    assert_eq!(login(&wharf, PASSWORD, &[("origin", "http://evil.example")]).status, 403);
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let answer = login(&wharf, "wrong", &[]);
        let body = match answer.status {
            401 => r#"{"error":"invalid credentials"}"#,
            _ => r#"{"error":"too many attempts, try later"}"#,
        };
        assert_eq!(answer.text().unwrap(), body);
        statuses.push(answer.status);
    }
    assert_eq!((statuses[0], statuses[4], statuses[19]), (401, 401, 429), "{statuses:?}");
}
