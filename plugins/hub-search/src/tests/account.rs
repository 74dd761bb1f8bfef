//! Logging in and out, and who is let in.

use std::time::Duration;

use super::*;

const LOGIN: &str = "/api/v1/login";

/// Every endpoint but the login, each with its method.
const ENDPOINTS: [(&str, &str); 11] = [
    ("GET", "/api/v1/login_refresh"),
    ("PUT", "/api/v1/logout"),
    ("GET", "/api/v1/image/"),
    ("GET", "/api/v1/image/?category=qnap"),
    ("GET", "/api/v1/image/downloadstatus"),
    ("GET", "/api/v1/image/docker/redis/7/inspect"),
    ("GET", "/api/v1/image/docker/redis/7/remote_inspect"),
    ("GET", "/api/v1/image/dockerhub/docker/1/redis/tags"),
    ("POST", "/api/v1/image/dockerhub/docker/redis/7/download"),
    ("POST", "/api/v1/image/qnap/lxc/ubuntu/14.04/download"),
    ("DELETE", "/api/v1/image/local/docker/redis"),
];

/// A host whose users are `ann`, an administrator, and `bob`.
fn host_with_users() -> Host {
    let host = Host::install();
    host.user("ann", "ann's & password", &["admin"]);
    host.user("bob", "bob's password", &[]);
    host
}

fn login(body: &str) -> RequestBuilder {
    fake::post(LOGIN).header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())
}

/// The answer to a login that succeeds.
#[track_caller]
fn session(body: &str) -> Answer {
    let answer = send(login(body));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{}", answer.text());
    answer
}

fn ann() -> Answer {
    session("username=ann&password=ann%27s+%26+password")
}

#[test]
fn a_login_is_a_form_or_json_whatever_it_is_called() {
    let _host = host_with_users();
    for body in ["username=ann&password=ann%27s+%26+password", r#" {"username": "ann", "password": "ann's & p\u0061ssword", "x": 1}"#] {
        let answer = session(body);
        // The clock of the fake host stands there.
        let expected = r#"{"anonymous":false,"isAdmin":true,"logintime":"2024-01-01 00:00:00","username":"ann"}"#;
        assert_eq!(answer.text(), expected);
        assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("HttpOnly")));
    }
    assert_eq!(session("password=bob%27s%20password&username=bob").json()["isAdmin"], false);
}

#[test]
fn what_is_no_login_is_refused() {
    let host = host_with_users();
    for body in
        ["", "username=ann", "password=x", "{", "[]", r#"{"username": "ann"}"#, r#"{"username": "ann", "password": 7}"#, r#"{"sid": "x"}"#]
    {
        check_failure(login(body), 400, "expected `username` and `password`");
    }
    for body in ["username=ann&password=", "username=ann&password=wrong", "username=&password=x", "username=eve&password=x"] {
        check_failure(login(body), 401, "wrong user name or password");
        let answer = send(login(body));
        assert_eq!((answer.header("www-authenticate"), answer.header("set-cookie")), (Some("Bearer realm=\"api\""), None));
    }
    for (error, code, message) in [
        (Error::QuotaExceeded, 429, "too many logins have failed"),
        (Error::Denied, 403, "not allowed here: a login from a page of another origin"),
        (Error::Unavailable("no route".to_owned()), 503, "Service Unavailable: no route"),
        (Error::Timeout, 503, "Service Unavailable"),
        (Error::Internal("x".to_owned()), 500, "who asks cannot be found out"),
    ] {
        host.fail("identity.sessions.login", error);
        check_failure(login("username=ann&password=x"), code, message);
    }
    check_failure(fake::get(LOGIN), 405, "Method Not Allowed");
    let lines = format!("{:?}", host.lines());
    assert!(!lines.contains("password=") && !lines.contains("wrong\""), "{lines}");
}

#[test]
fn a_site_with_users_wants_to_know_who_asks() {
    let host = host_with_users();
    for (method, path) in ENDPOINTS {
        check_failure(fake::request(method, path), 401, "not logged in");
        check_failure(fake::request(method, path).header("cookie", "wharf-session-fake=session-0"), 401, "not logged in");
        check_failure(fake::request(method, path).header("authorization", "Bearer x"), 401, "not logged in");
        let (bob, cookie) = (send(fake::request(method, path).as_user("bob")), send(fake::request(method, path).with_cookie_of(&ann())));
        assert!(bob.status != 401 && cookie.status != 401, "{method} {path}: {} {}", bob.status, cookie.status);
    }
    host.fail("identity.principal.current", Error::Timeout);
    check_failure(fake::get("/api/v1/image/"), 503, "Service Unavailable");
}

#[test]
fn nothing_is_asked_or_changed_for_who_is_not_known() {
    let host = host_with_users();
    for (method, path) in ENDPOINTS {
        send(fake::request(method, path));
    }
    let asked: Vec<_> = host.calls().into_iter().filter(|call| !call.function.starts_with("identity.principal.")).collect();
    assert_eq!(asked, []);
}

#[test]
fn a_session_lasts_until_its_logout_or_its_end() {
    let host = host_with_users();
    let session = ann();
    let status = |answer: &Answer| send(fake::get("/api/v1/image/downloadstatus").with_cookie_of(answer)).status;
    host.pass(Duration::from_secs(11 * 3_600));
    let refreshed = send(fake::get("/api/v1/login_refresh").with_cookie_of(&session));
    assert_eq!((refreshed.status, refreshed.json()), (200, session.json()), "the login was when it was");
    host.pass(Duration::from_secs(11 * 3_600));
    assert_eq!(status(&refreshed), 200);
    let logout = send(fake::put("/api/v1/logout").with_cookie_of(&refreshed));
    assert_eq!((logout.status, logout.json()), (200, json!({"username": "ann"})));
    assert_eq!((status(&refreshed), status(&logout)), (401, 401));
    check_failure(fake::put("/api/v1/logout").with_cookie_of(&refreshed), 401, "not logged in");
    let session = ann();
    host.pass(Duration::from_secs(13 * 3_600));
    assert_eq!(status(&session), 401);
    check_failure(fake::get("/api/v1/login_refresh").with_cookie_of(&session), 401, "not logged in");
}

#[test]
fn who_sends_a_password_each_time_has_no_session() {
    let _host = host_with_users();
    let refreshed = send(fake::get("/api/v1/login_refresh").as_user("bob"));
    assert_eq!((refreshed.status, refreshed.header("set-cookie")), (200, None));
    assert_eq!((&refreshed.json()["username"], &refreshed.json()["anonymous"]), (&json!("bob"), &json!(false)));
    let logout = send(fake::put("/api/v1/logout").as_user("bob"));
    assert_eq!((logout.json(), logout.header("set-cookie")), (json!({"username": "bob"}), None));
}

#[test]
fn a_site_without_users_is_open_and_its_visitors_are_nobody() {
    let host = Host::install();
    for request in [login("username=ann&password=x"), fake::post(LOGIN), fake::get("/api/v1/login_refresh")] {
        let answer = send(request);
        let body = answer.json();
        assert_eq!((answer.status, answer.header("set-cookie"), body["logintime"].as_str().unwrap().len()), (200, None, 19));
        assert_eq!((&body["anonymous"], &body["isAdmin"], &body["username"]), (&json!(true), &json!(false), &json!("nobody")));
    }
    assert_eq!(send(fake::put("/api/v1/logout")).json(), json!({"username": "nobody"}));
    assert_eq!(send(fake::get("/api/v1/image/")).status, 200);
    assert_eq!(host.calls_of("identity.sessions.login"), [""; 0]);
}
