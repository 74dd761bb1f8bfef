//! What the router answers by itself.

use super::*;

#[track_caller]
fn check(method: &str, path: &str, status: u16, allow: Option<&str>) {
    let host = site();
    let answer = send(fake::request(method, path));
    assert_eq!((answer.status, answer.header("allow"), answer.text().as_str()), (status, allow, ""));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(host.calls(), []);
}

#[test]
fn what_is_not_there_is_an_empty_404() {
    check("GET", "/nope", 404, None);
    check("GET", "/deployments/a/b", 404, None);
    check("GET", "/deployments/..%2F..%2Finfo%3F", 404, None);
    check("GET", "/images/platonam%2Flopco-gui", 404, None);
    check("GET", "/remote-digests/platonam%2Flopco-gui:dev", 404, None);
}

#[test]
fn other_methods_are_refused_and_options_are_listed() {
    check("PUT", "/deployments", 405, Some("GET, POST, OPTIONS"));
    check("HEAD", "/deployments", 405, Some("GET, POST, OPTIONS"));
    check("POST", "/deployments/a", 405, Some("DELETE, GET, PATCH, OPTIONS"));
    check("DELETE", "/deployments/a/log", 405, Some("GET, OPTIONS"));
    check("DELETE", "/images", 405, Some("GET, PATCH, POST, OPTIONS"));
    check("POST", "/images/redis", 405, Some("GET, OPTIONS"));
    check("OPTIONS", "/deployments", 200, Some("GET, POST"));
    check("OPTIONS", "/deployments/a/", 200, Some("DELETE, GET, PATCH"));
}

#[test]
fn one_trailing_slash_does_not_matter() {
    site();
    assert_eq!(get_json("/deployments/"), json!({}));
}

#[test]
fn the_description_names_every_path() {
    let description = fake::describe::<Deployments>();
    let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().filter(|path| !path.ends_with('/')).collect();
    let expected = [
        "/deployments",
        "/deployments/{deployment}",
        "/deployments/{deployment}/log",
        "/images",
        "/images/{image}",
        "/remote-digests/{image}",
    ];
    assert_eq!(paths, expected);
    assert_eq!((&description["name"], &description["version"]), (&json!("deployments"), &json!(env!("CARGO_PKG_VERSION"))));
}
