//! Downloading and deleting.

use super::*;

fn download(path: &str) -> RequestBuilder {
    fake::post(&format!("/api/v1/image/{path}/download"))
}

fn status() -> Value {
    send(fake::get("/api/v1/image/downloadstatus")).json()
}

#[test]
fn a_download_is_seen_until_it_has_ended() {
    let host = Host::install();
    host.registry_image(Image::new("lgsd/diamond:latest"));
    host.hold_pulls();
    assert_eq!(status(), json!([]));
    let body = json!({"description": "I am description.", "location": "https://registry.hub.docker.com/u/lgsd/diamond/", "icon": "http://x/icon.png"});
    // As `curl -d` sends it.
    let form = download("dockerhub/docker/lgsd/diamond/latest").header("content-type", "application/x-www-form-urlencoded");
    check(form.body(body.to_string()), &json!({}));
    assert_eq!(status(), json!([{"name": "lgsd/diamond", "percent": null, "status": "downloading"}]));
    host.advance_pulls(40);
    assert_eq!(status(), json!([{"name": "lgsd/diamond", "percent": 40, "status": "downloading"}]));
    host.finish_pulls();
    assert_eq!(status(), json!([]));
    assert!(host.tags().contains("lgsd/diamond:latest"));
}

#[test]
fn what_is_being_downloaded_already_is_not_downloaded_twice() {
    let host = Host::install();
    host.hold_pulls();
    for path in ["dockerhub/docker/redis/7", "dockerhub/docker/library/redis/7", "qnap/docker/redis/7"] {
        check(download(path), &json!({}));
    }
    assert_eq!(host.calls_of("docker.images-pull.begin"), ["docker.io/library/redis:7"]);
    check(download("dockerhub/docker/redis/6"), &json!({}));
    assert_eq!(status().as_array().unwrap().len(), 2);
}

#[test]
fn a_download_that_cannot_begin_is_refused() {
    let host = Host::install();
    host.catalog("qnap", Catalog { entries: vec![entry(CatalogKind::Lxc, "ubuntu-trusty", "14.04")], skipped: 0 });
    check_failure(download("local/docker/redis/7"), 400, "cannot download from `local`");
    check_failure(download("dockerhub/vm/redis/7"), 400, "unknown image type `vm`");
    check_failure(download("dockerhub/docker/../7"), 400, "`..:7`");
    check_failure(download("dockerhub/docker/redis/%20"), 400, "`redis: `");
    check_failure(download("dockerhub/docker/redis/7").body("{"), 400, "the body cannot be read");
    check_failure(download("dockerhub/docker/redis/7").body("[]"), 400, "the body is no JSON object");
    check_failure(download("qnap/lxc/nothing/1"), 404, "Image not found: nothing");
    check_failure(download("dockerhub/lxc/ubuntu-trusty/14.04"), 404, "Image not found: ubuntu-trusty");
    assert_eq!(host.calls_of("docker.images-pull.begin"), [""; 0]);
    host.fail("docker.images-pull.begin", Error::Denied);
    check_failure(download("dockerhub/docker/redis/7"), 403, "not allowed here: redis:7");
    host.fail("docker.images-pull.begin", Error::QuotaExceeded);
    check_failure(download("dockerhub/docker/redis/7"), 503, "Service Unavailable");
}

#[test]
fn an_image_is_deleted_under_all_of_its_tags() {
    let host = Host::install();
    host.image(Image::new("lgsd/diamond:1").tag("lgsd/diamond:2").tag("other:1"));
    check(
        fake::delete("/api/v1/image/local/docker/lgsd/diamond"),
        &json!({"action": "delete", "name": "lgsd/diamond", "state": "success", "type": "docker"}),
    );
    assert_eq!(host.calls_of("docker.images-remove.remove"), ["lgsd/diamond:1,lgsd/diamond:2"]);
    assert_eq!(host.tags().into_iter().collect::<Vec<_>>(), ["other:1"]);
    check_failure(fake::delete("/api/v1/image/local/docker/lgsd/diamond"), 404, "Image not found: lgsd/diamond");
}

#[test]
fn one_tag_is_deleted_when_it_is_in_the_path() {
    let host = Host::install();
    host.image(Image::new("redis:6"));
    host.image(Image::new("redis:7"));
    check(
        fake::delete("/api/v1/image/local/docker/redis/7"),
        &json!({"action": "delete", "name": "redis/7", "state": "success", "type": "docker"}),
    );
    assert_eq!(host.tags().into_iter().collect::<Vec<_>>(), ["redis:6"]);
    check_failure(fake::delete("/api/v1/image/local/docker/redis/7"), 404, "Image not found: redis/7");
}

#[test]
fn an_image_in_use_stays() {
    let host = Host::install();
    host.image(Image::new("redis:7"));
    host.container(Container::new("cache").image("redis:7"));
    check_failure(fake::delete("/api/v1/image/local/docker/redis"), 409, "unable to remove repository reference \"redis:7\"");
    assert!(host.tags().contains("redis:7"));
}

#[test]
fn only_what_is_local_can_be_deleted() {
    let host = Host::install();
    check_failure(fake::delete("/api/v1/image/dockerhub/docker/redis"), 400, "cannot delete from `dockerhub`");
    check_failure(fake::delete("/api/v1/image/local/vm/redis"), 400, "unknown image type `vm`");
    check_failure(fake::delete("/api/v1/image/local/lxc/ubuntu-trusty"), 404, "Image not found: ubuntu-trusty");
    check_failure(fake::delete("/api/v1/image/local/docker"), 404, "Path not found");
    check_failure(fake::delete("/api/v1/image/local/docker/../x"), 404, "Image not found: ../x");
    assert_eq!(host.calls_of("docker.images-remove.remove"), [""; 0]);
}
