//! `/images` and `/remote-digests` of the plugin `deployments`, on a real engine and a real registry.

use std::sync::PoisonError;

use serde_json::{Value, json};
use wharf_harness::registry::Registry;

use crate::deployments::push;
use crate::site::{PRUNING, SCRIPT, SERVER, Site, check_empty};

/// `reference` as this API's clients write it into a path.
fn twice_encoded(reference: &str) -> String {
    reference.replace('/', "%252F").replace(':', "%253A").replace('@', "%2540")
}

/// The record of `reference`.
#[track_caller]
fn record(site: &Site, reference: &str) -> Value {
    let answer = site.get(&format!("/images/{}", twice_encoded(reference)));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{reference}");
    answer.json().unwrap()
}

#[track_caller]
fn pull(site: &Site, method: &str, repository: &str, tag: &str) {
    let body = json!({ "repository": repository, "tag": tag }).to_string();
    // As `curl -d` sends it.
    let fields = [("content-type", "application/x-www-form-urlencoded")];
    check_empty(&site.api().send(method, "/images", &fields, body.as_bytes()).unwrap(), 200, &body);
}

/// By POST and as the documentation has it by PATCH; what is there is found by name, by id and by digest.
pub fn listed(site: &Site) {
    let registry = Registry::start(false).unwrap();
    let repository = format!("{}/team/gui", registry.address());
    let reference = format!("{repository}:dev");
    push(site, &repository, "dev");
    for method in ["POST", "PATCH"] {
        site.docker().delete(&format!("/images/{reference}")).unwrap().success("removing the local tag").unwrap();
        check_empty(&site.get(&format!("/images/{}", twice_encoded(&reference))), 404, "before the pull");
        pull(site, method, &repository, "dev");
        let record = record(site, &reference);
        let inspected: Value = site.docker().get(&format!("/images/{reference}/json")).unwrap().json().unwrap();
        assert_eq!(
            record,
            json!({
                "hash": inspected["Id"], "created": inspected["Created"], "size": inspected["Size"], "architecture": inspected["Architecture"],
                "digests": inspected["RepoDigests"],
            })
        );
        assert!(record["size"].as_u64().unwrap() > 100_000, "{record}");
    }
    let found = record(site, &reference);
    let digest = found["digests"][0].as_str().unwrap().to_owned();
    for name in [found["hash"].as_str().unwrap(), &digest, SCRIPT] {
        assert_eq!(record(site, name)["hash"], found["hash"], "{name}");
    }
    assert_eq!(site.get(&format!("/images/{repository}")).status, 404);
    let list: Value = site.get("/images").json().unwrap();
    for tag in [&reference, SERVER, SCRIPT] {
        assert_eq!(list[tag]["hash"], record(site, tag)["hash"], "{tag} in {list}");
    }
    for (body, status) in
        [(json!({ "repository": repository, "tag": "absent" }), 500), (json!({ "repository": repository }), 400), (json!([]), 400)]
    {
        check_empty(&site.api().post_json("/images", &body).unwrap(), status, &body.to_string());
    }
    site.docker().delete(&format!("/images/{reference}")).unwrap().success("removing the tag").unwrap();
}

/// From the registry itself; and from the engine where the host's own way does not lead there.
pub fn digests(site: &Site) {
    let registry = Registry::start(false).unwrap();
    let repository = format!("{}/team/digests", registry.address());
    let reference = format!("{repository}:1");
    push(site, &repository, "1");
    pull(site, "POST", &repository, "1");
    let answer = site.get(&format!("/remote-digests/{}", twice_encoded(&reference)));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let digest = answer.json().unwrap()["digest"].as_str().unwrap().to_owned();
    let local = record(site, &reference);
    assert!(local["digests"].as_array().unwrap().contains(&json!(format!("{repository}@{digest}"))), "{local} {digest}");
    let log = registry.log();
    assert!(log.contains("http.request.method=HEAD") || log.contains("\"HEAD /v2/team/digests/manifests/1"), "{log}");
    for (image, status) in [(format!("{repository}:absent"), 500), ("..%252Fx".to_owned(), 500)] {
        check_empty(&site.get(&format!("/remote-digests/{}", twice_encoded(&image))), status, &image);
    }
    check_empty(&site.get("/remote-digests/team%2Fdigests"), 404, "a slash that is encoded once");
    site.docker().delete(&format!("/images/{reference}")).unwrap().success("removing the tag").unwrap();
}

/// Only what no name leads to.
pub fn pruned(site: &Site) {
    let _turn = PRUNING.lock().unwrap_or_else(PoisonError::into_inner);
    let docker = site.docker();
    let untagged = wharf_harness::images::import(&docker, "wharf/untagged:latest", &["true"]).unwrap();
    let other = wharf_harness::images::import(&docker, "wharf/untagged:latest", &["false"]).unwrap();
    assert_eq!(docker.get(&format!("/images/{untagged}/json")).unwrap().status, 200);
    check_empty(&site.api().send("PATCH", "/images", &[], &[]).unwrap(), 200, "a prune");
    assert_eq!(docker.get(&format!("/images/{untagged}/json")).unwrap().status, 404);
    for image in [&other, SERVER, SCRIPT] {
        assert_eq!(docker.get(&format!("/images/{image}/json")).unwrap().status, 200, "{image}");
    }
    docker.delete("/images/wharf/untagged:latest").unwrap().success("removing").unwrap();
}
