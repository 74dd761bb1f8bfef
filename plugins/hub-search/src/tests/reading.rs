//! Inspecting, tags, and paths that lead nowhere.

use super::*;

#[test]
fn an_image_is_inspected_in_the_engines_own_words() {
    let host = Host::install();
    host.image(Image::new("lgsd/diamond:latest").details(json!({"Author": "me", "Config": {"Env": null}})));
    let answer = send(fake::get("/api/v1/image/docker/lgsd/diamond/latest/inspect"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let details = answer.json();
    assert_eq!((&details["Author"], &details["RepoTags"]), (&json!("me"), &json!(["lgsd/diamond:latest"])));
    assert_eq!(details.get("Remote"), None);
    assert_eq!(send(fake::get("/api/v1/image/docker/lgsd%2Fdiamond/latest/inspect/")).status, 200);
    check_failure(fake::get("/api/v1/image/docker/lgsd/diamond/1/inspect"), 404, "Image not found: lgsd/diamond:1");
}

#[test]
fn a_remote_image_has_the_shape_of_an_inspect() {
    let host = Host::install();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2015-04-30T21:50:13Z", "author": null, "docker_version": "1.6.0", "config": {"Cmd": ["redis-server"]},
    });
    host.remote_image(RemoteImage::new("redis:latest").config(config));
    let answer = send(fake::get("/api/v1/image/docker/redis/latest/remote_inspect")).json();
    let id = answer["Id"].clone();
    assert!(id.as_str().unwrap().starts_with("sha256:"));
    assert_eq!(
        answer,
        json!({
            "Architecture": "amd64", "Author": "", "Comment": "", "Config": {"Cmd": ["redis-server"]}, "Container": "", "ContainerConfig": null,
            "Created": "2015-04-30T21:50:13Z", "DockerVersion": "1.6.0", "Id": id, "Os": "linux", "Parent": "", "Remote": true, "Size": 0, "VirtualSize": 0,
        })
    );
}

#[track_caller]
fn check_remote_failure(image: &str, error: Option<Error>, code: u16, message: &str) {
    let host = Host::install();
    if let Some(error) = error {
        host.fail("registry.manifests-read.fetch-config", error);
    }
    check_failure(fake::get(&format!("/api/v1/image/docker/{image}/1/remote_inspect")), code, message);
}

#[test]
fn a_registry_that_fails_is_unavailable_and_one_that_has_no_image_says_so() {
    let unavailable = |reason: &str| Some(Error::Unavailable(reason.to_owned()));
    check_remote_failure("redis", None, 404, "Image not found: redis:1");
    check_remote_failure("redis", unavailable("unreachable: no route"), 503, "Service Unavailable: unreachable");
    check_remote_failure("redis", unavailable("refused: 10.0.0.1"), 503, "Service Unavailable: refused");
    check_remote_failure("redis", Some(Error::Timeout), 503, "Service Unavailable");
    check_remote_failure("nobody/nothing", unavailable("unauthorized: 401"), 404, "Image not found: nobody/nothing:1");
    check_remote_failure("ghcr.io/a/b", unavailable("unauthorized: 401"), 503, "Service Unavailable: unauthorized");
    check_remote_failure("redis", Some(Error::Denied), 403, "not allowed here: redis:1");
    check_remote_failure("..", None, 400, "`..:1`");
    check_remote_failure("UPPER", None, 400, "`UPPER:1`");
}

#[test]
fn tags_come_as_docker_hub_has_them_beside_those_that_are_here() {
    let host = Host::install();
    host.hub_tags("redis", &["latest", "7", "6"]);
    host.hub_tags("lgsd/diamond", &["latest"]);
    host.image(Image::new("redis:7").tag("redis:5"));
    check(fake::get("/api/v1/image/dockerhub/docker/1/redis/tags"), &json!({"installed": ["5", "7"], "tags": ["latest", "7", "6"]}));
    check(fake::get("/api/v1/image/dockerhub/docker/0/lgsd/diamond/tags"), &json!({"installed": [], "tags": ["latest"]}));
    check_failure(fake::get("/api/v1/image/dockerhub/docker/1/nothing/tags"), 404, "Image not found: nothing");
    check_failure(fake::get("/api/v1/image/dockerhub/docker/true/redis/tags"), 400, "is_official is `true`");
    check_failure(fake::get("/api/v1/image/dockerhub/docker/0/ghcr.io/a/b/tags"), 400, "`ghcr.io/a/b`");
    host.fail("registry.hub-read.tags", Error::Timeout);
    check_failure(fake::get("/api/v1/image/dockerhub/docker/1/redis/tags"), 503, "Service Unavailable");
}

#[test]
fn paths_that_lead_nowhere_are_named() {
    let _ = Host::install();
    for path in
        ["docker/redis/inspect", "docker/inspect", "docker//7/inspect", "redis", "dockerhub/docker/1/tags", "docker/redis/7/history"]
    {
        check_failure(fake::get(&format!("/api/v1/image/{path}")), 404, &format!("Path not found: /api/v1/image/{path}"));
    }
    check_failure(fake::get("/api/v1/container"), 404, "Path not found: /api/v1/container");
    check_failure(fake::get("/api/v1/image/vm/redis/7/inspect"), 400, "unknown image type `vm`");
    check_failure(fake::get("/api/v1/image/lxc/ubuntu/7/remote_inspect"), 400, "only images of type `docker`");
    check_failure(fake::post("/api/v1/image/dockerhub/docker/redis/download"), 404, "Path not found");
    check_failure(fake::put("/api/v1/image"), 405, "Method Not Allowed");
}
