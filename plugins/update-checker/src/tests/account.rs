//! Logging in and out, and who is let in.

use super::*;

/// A host with a user, an outdated container, and that one's short id.
fn host_with_users() -> (Host, String) {
    let (host, id) = outdated();
    host.user("admin", "changeme", &["admin"]);
    (host, id)
}

fn login(body: &str) -> Answer {
    send(fake::post("/api/login").body(body.to_owned()))
}

#[track_caller]
fn check(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.text().as_str(), answer.header("content-type")), (status, body, Some("application/json")));
}

#[test]
fn a_login_answers_with_a_cookie() {
    let _host = host_with_users();
    let answer = login(r#"{"user":"admin","pass":"changeme"}"#);
    check(&answer, 200, r#"{"status":"ok"}"#);
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("HttpOnly")));
    assert_eq!(send(fake::get("/api/images").with_cookie_of(&answer)).status, 200);
}

#[test]
fn what_is_no_login_is_refused() {
    let (host, _) = host_with_users();
    for body in ["", "{", "[]", r#"{"user":1}"#, r#"{"user":"admin","pass":["changeme"]}"#] {
        check(&login(body), 400, r#"{"error":"bad request"}"#);
    }
    for body in ["{}", r#"{"user":"admin"}"#, r#"{"user":"admin","pass":"wrong"}"#, r#"{"user":"eve","pass":"changeme"}"#] {
        let answer = login(body);
        check(&answer, 401, r#"{"error":"invalid credentials"}"#);
        assert_eq!(answer.header("set-cookie"), None);
    }
    host.fail("identity.sessions.login", Error::QuotaExceeded);
    check(&login("{}"), 429, r#"{"error":"too many attempts, try later"}"#);
    host.fail("identity.sessions.login", Error::Denied);
    assert_eq!(login("{}").status, 403);
    let lines = format!("{:?}", host.lines());
    assert!(!lines.contains("changeme") && !lines.contains("wrong"), "{lines}");
}

#[test]
fn nobody_logs_in_where_there_are_no_users() {
    let _host = install();
    check(&login(r#"{"user":"admin","pass":"changeme"}"#), 401, r#"{"error":"invalid credentials"}"#);
}

#[test]
fn a_logout_ends_the_session() {
    let _host = host_with_users();
    let session = login(r#"{"user":"admin","pass":"changeme"}"#);
    let logout = send(fake::post("/api/logout").with_cookie_of(&session));
    check(&logout, 200, r#"{"status":"ok"}"#);
    assert!(logout.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{logout:?}");
    assert_eq!(send(fake::get("/api/images").with_cookie_of(&session)).status, 401, "it has ended at the host");
    let again = send(fake::post("/api/logout"));
    check(&again, 200, r#"{"status":"ok"}"#);
    assert!(again.header("set-cookie").is_some_and(|cookie| cookie.starts_with("session=;") && cookie.contains("Max-Age=0")));
}

#[test]
fn the_status_says_whether_there_are_users() {
    let host = install();
    let status = || send(fake::get("/api/auth/status"));
    check(&status(), 200, r#"{"enabled":false}"#);
    host.user("admin", "changeme", &[]);
    check(&status(), 200, r#"{"enabled":true}"#);
    assert_eq!((send(fake::request("HEAD", "/api/auth/status")).status, status().header("x-frame-options")), (200, None));
}

#[test]
fn a_site_with_users_wants_to_know_who_asks_before_anything_else() {
    let (host, id) = host_with_users();
    for (method, path) in [
        ("GET", "/api/images".to_owned()),
        ("POST", "/api/images".to_owned()),
        ("GET", "/api/images/".to_owned()),
        ("GET", format!("/api/images/{id}/progress")),
        ("GET", format!("/api/images/{id}/events")),
        ("POST", format!("/api/images/{id}/update")),
        ("POST", format!("/api/images/{id}/auto-update")),
        ("DELETE", format!("/api/images/{id}/auto-update")),
        ("POST", "/api/groups/update".to_owned()),
        ("GET", "/api/groups/".to_owned()),
        ("POST", "/api/groups/nginx:latest/update".to_owned()),
        ("GET", "/api/history".to_owned()),
        ("PUT", "/api/history".to_owned()),
    ] {
        let answer = send(fake::request(method, &path));
        assert_eq!((answer.status, answer.text().as_str()), (401, "{\"error\":\"unauthorized\"}\n"), "{method} {path}");
        for (name, value) in [
            ("content-type", "text/plain; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {path}");
        }
        let known = send(fake::request(method, &path).as_user("admin"));
        assert!(known.status != 401 && known.header("x-frame-options") == Some("DENY"), "{method} {path}: {known:?}");
    }
    assert_eq!(send(fake::get("/api/images").header("cookie", "wharf-session-fake=session-0")).status, 401);
    host.fail("identity.principal.current", Error::Timeout);
    assert_eq!(send(fake::get("/api/images")).status, 503);
}

#[test]
fn nothing_is_asked_or_changed_for_who_is_not_known() {
    let (host, id) = host_with_users();
    let before = host.calls().len();
    for path in [format!("/api/images/{id}/update"), format!("/api/images/{id}/auto-update"), "/api/groups/nginx:latest/update".to_owned()]
    {
        assert_eq!(send(fake::post(&path)).status, 401);
    }
    assert!(host.calls()[before..].iter().all(|call| call.function.starts_with("identity.principal.")));
}

#[test]
fn health_and_the_login_are_for_everyone() {
    let _host = host_with_users();
    for path in ["/health", "/api/auth/status"] {
        assert_eq!(send(fake::get(path)).status, 200);
    }
    assert_eq!((login("{").status, send(fake::post("/api/logout")).status), (400, 200));
}
