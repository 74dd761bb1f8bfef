//! What each endpoint answers, to the byte, and in which order it looks at what is wrong.

use super::*;

#[track_caller]
fn check_text(request: RequestBuilder, status: u16, text: &str) {
    let asked = format!("{request:?}");
    let answer = send(request);
    assert_eq!((answer.status, answer.text().as_str()), (status, text), "{asked}");
    if status >= 400 {
        let fields = (answer.header("content-type"), answer.header("x-content-type-options"));
        assert_eq!(fields, (Some("text/plain; charset=utf-8"), Some("nosniff")), "{asked}");
    }
}

#[test]
fn the_list_is_empty_before_the_first_check() {
    let _host = install();
    let answer = send(fake::get("/api/images"));
    assert_eq!((answer.status, answer.text().as_str(), answer.header("content-type")), (200, "[]\n", Some("application/json")));
}

#[test]
fn the_list_is_as_documented() {
    let (host, id) = outdated();
    let answer = send(fake::get("/api/images"));
    let (local, remote) = (shown('1'), shown('2'));
    let expected = format!(
        r#"[{{"image":"nginx:latest","remote_digest":"{remote}","status":"outdated","containers":[{{"container_id":"{id}","container_name":"web","local_digest":"{local}","status":"outdated","auto_update":false}}]}}]"#
    ) + "\n";
    assert_eq!((answer.status, answer.text(), answer.header("content-type")), (200, expected, Some("application/json")));
    let reads = host.calls_of("storage.keyvalue.get");
    assert_eq!(reads.last().map(String::as_str), Some("snapshot,containers"), "one read answers a list");
}

#[test]
fn what_is_wrong_is_said_in_the_order_of_this_api() {
    let (_host, id) = outdated();
    let bad_path = "bad path: /api/images/{id}/{action}\n";
    for path in ["", "x", "x/", "/update", "x/update/", "x/y/z", "x%2Fy/update", "//"] {
        for method in ["GET", "POST", "PUT", "HEAD", "OPTIONS"] {
            let expected = if method == "HEAD" { "" } else { bad_path };
            check_text(fake::request(method, &format!("/api/images/{path}")), 400, expected);
        }
    }
    for (method, item, action, status, text) in [
        ("GET", "x", "progress", 404, "no progress\n"),
        ("POST", "x", "progress", 405, "method not allowed\n"),
        ("GET", "x", "events", 404, "no progress\n"),
        ("DELETE", "x", "events", 405, "method not allowed\n"),
        ("GET", id.as_str(), "update", 405, "method not allowed\n"),
        ("PUT", id.as_str(), "auto-update", 405, "method not allowed\n"),
        ("GET", "x", "unheard-of", 405, "method not allowed\n"),
        ("OPTIONS", "x", "unheard-of", 405, "method not allowed\n"),
        ("POST", "x", "update", 404, "container not found\n"),
        ("POST", "x", "auto-update", 404, "container not found\n"),
        ("POST", "x", "unheard-of", 404, "container not found\n"),
        ("POST", id.as_str(), "unheard-of", 400, "unknown action\n"),
        ("POST", "web", "update", 404, "container not found\n"),
    ] {
        check_text(fake::request(method, &format!("/api/images/{item}/{action}")), status, text);
    }
}

#[test]
fn a_container_is_named_by_its_short_id_alone() {
    let (host, id) = outdated();
    let full = host.details("web").unwrap()["Id"].as_str().unwrap().to_owned();
    for other in [full.as_str(), "web", &id[..11], &id.to_uppercase()] {
        assert_eq!(act(other, "update").status, 404, "{other}");
    }
}

#[test]
fn groups_are_named_in_the_body_or_in_the_path() {
    let (host, id) = outdated();
    let updating = r#"{"status":"updating"}"#;
    for (method, path, body, status, text) in [
        ("POST", "", "", 404, "not found\n"),
        ("GET", "", "", 404, "not found\n"),
        ("POST", "elsewhere", "", 400, "unknown action\n"),
        ("GET", "nginx:latest", "", 400, "unknown action\n"),
        ("POST", "/update", "", 400, "unknown action\n"),
        ("GET", "update", "", 405, "method not allowed\n"),
        ("PUT", "update", r#"{"image":"nginx:latest"}"#, 405, "method not allowed\n"),
        ("GET", "nginx:latest/update", "", 405, "method not allowed\n"),
        ("POST", "update", "", 400, "bad request\n"),
        ("POST", "update", "{", 400, "bad request\n"),
        ("POST", "update", "{}", 400, "bad request\n"),
        ("POST", "update", r#"{"image":""}"#, 400, "bad request\n"),
        ("POST", "update", r#"{"image":7}"#, 400, "bad request\n"),
        ("POST", "update", r#"["nginx:latest"]"#, 400, "bad request\n"),
        ("POST", "update", r#"{"image":"absent:1"}"#, 200, updating),
        ("POST", "absent:1/update", "{", 200, updating),
        ("POST", "registry:5000/a/b:1/update", "", 200, updating),
    ] {
        check_text(fake::request(method, &format!("/api/groups/{path}")).body(body), status, text);
    }
    assert_eq!(host.jobs_so_far(), []);
    let answer = send(fake::post("/api/groups/update").json(&json!({"image": "nginx:latest"})));
    assert_eq!((answer.status, answer.text().as_str(), answer.header("content-type")), (200, updating, Some("application/json")));
    assert_eq!(progress(&id), "connecting");
}

#[test]
fn an_image_of_a_path_may_have_slashes_and_be_encoded() {
    for path in ["registry.local:5000/team/app:1.2", "registry.local%3A5000%2Fteam%2Fapp%3A1.2"] {
        let host = install();
        host.image(image("registry.local:5000/team/app:1.2", '1'));
        publish(&host, "registry.local:5000/team/app:1.2", '2');
        let id = run(&host, "app", "registry.local:5000/team/app:1.2");
        check();
        check_text(fake::post(&format!("/api/groups/{path}/update")), 200, r#"{"status":"updating"}"#);
        assert_eq!(progress(&id), "connecting", "{path}");
    }
}

#[test]
fn other_methods_are_refused() {
    let _host = install();
    for (method, path) in [
        ("POST", "/api/images"),
        ("HEAD", "/api/images"),
        ("OPTIONS", "/api/images"),
        ("GET", "/api/login"),
        ("PUT", "/api/logout"),
        ("GET", "/api/logout"),
        ("POST", "/api/auth/status"),
        ("POST", "/health"),
        ("OPTIONS", "/health"),
        ("DELETE", "/api/history"),
    ] {
        check_text(fake::request(method, path), 405, if method == "HEAD" { "" } else { "method not allowed\n" });
        assert!(send(fake::request(method, path)).header("allow").is_some(), "{method} {path}");
    }
}

#[test]
fn health_is_an_empty_answer() {
    let host = install();
    for method in ["GET", "HEAD"] {
        let answer = send(fake::request(method, "/health"));
        assert_eq!((answer.status, answer.text().as_str(), answer.headers.len()), (200, "", 0));
    }
    assert_eq!(host.calls(), [], "nobody is asked");
}

#[test]
fn progress_has_all_five_keys() {
    let (host, id) = outdated();
    assert_eq!(act(&id, "update").status, 200);
    let answer = send(fake::get(&format!("/api/images/{id}/progress")));
    let expected = r#"{"layer":"...","current":0,"total":0,"percent":0,"status":"connecting"}"#;
    assert_eq!((answer.status, answer.text().as_str(), answer.header("content-type")), (200, expected, Some("application/json")));
    host.fail("storage.keyvalue.get", Error::Timeout);
    check_text(fake::get(&format!("/api/images/{id}/progress")), 503, "unavailable: no answer in time\n");
}

#[test]
fn an_open_site_takes_no_changes_from_pages_of_other_origins() {
    let (host, id) = outdated();
    let update = || fake::post(&format!("/api/images/{id}/update")).header("origin", "http://evil.example");
    check_text(update(), 403, "a page of another origin may not change anything here\n");
    check_text(
        fake::post("/api/groups/update").header("sec-fetch-site", "cross-site").body(r#"{"image":"nginx:latest"}"#),
        403,
        "a page of another origin may not change anything here\n",
    );
    assert_eq!(host.jobs_so_far(), []);
    assert_eq!(send(fake::get("/api/images").header("origin", "http://evil.example")).status, 200);
    assert_eq!(send(fake::post(&format!("/api/images/{id}/auto-update")).header("origin", "http://localhost")).status, 200);
    host.config(json!({"trusted_origins": ["http://evil.example"]}));
    check_text(update(), 200, r#"{"status":"updating"}"#);
}

#[test]
fn a_description_has_every_path_and_the_schedule() {
    let described = fake::describe::<UpdateChecker>();
    // Whether a map of `serde_json` keeps its order is decided by what else is built.
    let mut paths: Vec<&String> = described["paths"].as_object().unwrap().keys().collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/api/auth/status",
            "/api/groups/",
            "/api/groups/{*path}",
            "/api/history",
            "/api/images",
            "/api/images/",
            "/api/images/{*path}",
            "/api/login",
            "/api/logout",
            "/health"
        ]
    );
    assert_eq!(described["schedules"], json!({"check": {"every": "600s", "at_start": true}}));
    assert!(described["grants"]["docker"].as_array().unwrap().iter().all(|power| power != "containers.create"));
}
