//! Images on a real engine: which there are, removing their names, removing those without one, and what the engine finds at a registry.

use std::sync::PoisonError;

use serde_json::{Value, json};
use wharf_harness::images::import;
use wharf_harness::registry::{PASSWORD, Registry};

use crate::deployments::push;
use crate::docker::{ask, engine_and_site, guest, word};
use crate::site::{PRUNING, SCRIPT, SERVER, Site, host};

/// What the engine says of the image.
#[track_caller]
fn inspect(site: &Site, reference: &str) -> Value {
    site.docker().get(&format!("/images/{reference}/json")).unwrap().json().unwrap()
}

/// Every function about images, within the grant, outside of it and for what is not there.
pub fn kept(site: &Site) {
    let registry = Registry::start(false).unwrap();
    let repository = format!("{}/team/kept", registry.address());
    push(site, &repository, "1");
    let docker = site.docker();
    import(&docker, "outside/thing:1", &["true"]).unwrap();
    let scope = format!("images = [\"docker.io/wharf/*\", \"{}/team/*\"]", registry.address());
    let host = host(&format!("{}{}", engine_and_site(site), guest("guest", "/", &scope)));
    let guest = host.client();

    let listed = ask(&guest, "images-read.list", &json!({}));
    let find = |tag: &str| listed.as_array().unwrap().iter().find(|image| image["tags"].as_array().unwrap().contains(&json!(tag)));
    let (server, script) = (find(SERVER).unwrap(), find(SCRIPT).unwrap());
    assert_eq!((&server["id"], &server["size"]), (&inspect(site, SERVER)["Id"], &inspect(site, SERVER)["Size"]));
    assert!(find("outside/thing:1").is_none(), "{listed}");
    let digest = digest(&registry, "team/kept", "1");
    assert!(script["digests"].as_array().unwrap().contains(&json!(format!("{repository}@{digest}"))), "{script} {digest}");

    check_distribution(&guest, &repository, &digest);
    check_removal(site, &guest, &repository);
    check_prune(site, &guest);
    docker.delete("/images/outside/thing:1").unwrap().success("removing").unwrap();
}

/// The digest that the registry itself has.
#[track_caller]
fn digest(registry: &Registry, repository: &str, tag: &str) -> String {
    let accept = [("accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json")];
    let head = registry.client(false).send("HEAD", &format!("/v2/{repository}/manifests/{tag}"), &accept, &[]).unwrap();
    head.header("docker-content-digest").unwrap().to_owned()
}

#[track_caller]
fn check_distribution(guest: &wharf_harness::http::Client, repository: &str, digest: &str) {
    let nobody = "127.0.0.1:1/team/x";
    let references = [format!("{repository}:1"), format!("{repository}@{digest}"), format!("{repository}:absent"), nobody.to_owned()];
    let answers = ask(guest, "distribution-read.inspect", &json!({ "names": references }));
    assert_eq!((&answers[0]["digest"], &answers[1]["digest"]), (&json!(digest), &json!(digest)), "{answers}");
    assert!(answers[0]["media_type"].as_str().unwrap().contains("manifest"), "{answers}");
    // The last one is outside of the grant.
    assert_eq!((word(&answers[2]).as_str(), word(&answers[3]).as_str()), ("not-found", "denied"), "{answers}");
}

/// A name is taken away, and the image with the last one; one that a container has stays.
#[track_caller]
fn check_removal(site: &Site, guest: &wharf_harness::http::Client, repository: &str) {
    import(&site.docker(), "wharf/removal:1", &["true"]).unwrap();
    site.create("removal", &json!({ "Image": "wharf/removal:1" }));
    let id = inspect(site, "wharf/removal:1")["Id"].clone();
    let names = json!({ "names": ["wharf/removal:1", "outside/thing:1", "wharf/absent:1", id, format!("{repository}:1")] });
    let answers = ask(guest, "images-remove.remove", &names);
    let words: Vec<String> = answers.as_array().unwrap().iter().map(word).collect();
    assert_eq!(words, ["conflict", "denied", "not-found", "invalid", "done"], "{answers}");
    let container = site.inspect("removal")["Id"].as_str().unwrap().to_owned();
    let reason = answers[0]["reason"].as_str().unwrap();
    assert!(reason.contains("container") && !reason.contains(&container[..12]), "{reason}");
    // The image has another name.
    assert!(answers[4]["untagged"].as_array().unwrap().contains(&json!(format!("{repository}:1"))), "{answers}");
    assert_eq!(answers[4]["deleted"], json!([]));
    let tags = inspect(site, SCRIPT)["RepoTags"].clone();
    let has = |tag: &str| tags.as_array().unwrap().contains(&json!(tag));
    assert!(has(SCRIPT) && !has(&format!("{repository}:1")), "{tags}");

    site.docker().delete("/containers/removal").unwrap().success("removing").unwrap();
    let answers = ask(guest, "images-remove.remove", &json!({ "names": ["wharf/removal:1"] }));
    assert_eq!(answers[0]["untagged"][0], "wharf/removal:1");
    assert!(answers[0]["deleted"].as_array().unwrap().contains(&id), "{answers}");
    assert_eq!(ask(guest, "images-remove.remove", &json!({ "names": ["wharf/removal:1"] }))[0]["error"], "not-found");
}

/// An image whose name was given to another goes, and nothing else.
#[track_caller]
fn check_prune(site: &Site, guest: &wharf_harness::http::Client) {
    let _turn = PRUNING.lock().unwrap_or_else(PoisonError::into_inner);
    let docker = site.docker();
    let dangling = import(&docker, "wharf/pruned:1", &["true"]).unwrap();
    docker.post(&format!("/images/{SERVER}/tag?repo=wharf/pruned&tag=1")).unwrap().success("tagging").unwrap();
    let pruned = ask(guest, "images-prune.prune", &json!({}));
    assert!(pruned["deleted"].as_array().unwrap().contains(&json!(dangling)), "{pruned}");
    assert!(pruned["reclaimed"].as_u64().unwrap() > 0, "{pruned}");
    assert_eq!(docker.get(&format!("/images/{dangling}/json")).unwrap().status, 404);
    assert_eq!(inspect(site, "wharf/pruned:1")["Id"], inspect(site, SERVER)["Id"]);
    docker.delete("/images/wharf/pruned:1").unwrap().success("removing").unwrap();
}

/// An engine pulls and asks in the name that `wharf.toml` has for the registry, and nobody else gets to know it.
pub fn in_our_name(site: &Site) {
    let registry = Registry::start(true).unwrap();
    let address = registry.address();
    let repository = format!("{address}/team/closed");
    let docker = site.docker();
    docker.post(&format!("/images/{SERVER}/tag?repo={repository}&tag=1")).unwrap().success("tagging").unwrap();
    // Its JSON in base64 has none of the two signs in which the alphabets differ.
    let auth = [("x-registry-auth", "eyJ1c2VybmFtZSI6IndoYXJmIiwicGFzc3dvcmQiOiJjb3JyZWN0IGhvcnNlIGJhdHRlcnkgc3RhcGxlIn0=")];
    let pushed = docker.send("POST", &format!("/images/{repository}/push?tag=1"), &auth, &[]).unwrap();
    assert!(pushed.text().unwrap().contains("digest: sha256:"), "{}", pushed.text().unwrap());
    docker.delete(&format!("/images/{repository}:1")).unwrap().success("removing").unwrap();

    let plugin = guest("guest", "/", "");
    let reference = format!("{repository}:1");
    let stranger = host(&format!("{}{plugin}", engine_and_site(site)));
    let refused = ask(&stranger.client(), "images-pull.pull", &json!({ "name": reference }));
    assert!(["internal", "not-found"].contains(&word(&refused).as_str()), "{refused}");
    let refused = ask(&stranger.client(), "distribution-read.inspect", &json!({ "names": [reference] }));
    assert!(refused[0]["error"].is_string(), "{refused}");

    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("password");
    std::fs::write(&secret, PASSWORD).unwrap();
    let table = format!("[registry.\"{address}\"]\nusername = \"wharf\"\npassword = {{ secret_file = \"{}\" }}\n", secret.display());
    let known = host(&format!("{table}{}{plugin}", engine_and_site(site)));
    let guest = known.client();
    let found = ask(&guest, "distribution-read.inspect", &json!({ "names": [reference] }));
    assert!(found[0]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{found}");
    let begun = ask(&guest, "images-pull.begin", &json!({ "name": reference }));
    let ended = ask(&guest, "operations-read.wait", &json!({ "name": begun }));
    assert_eq!((&ended["state"], &ended["percent"]), (&json!("succeeded"), &json!(100)), "{ended}");
    assert!(inspect(site, &reference)["Id"].is_string());
    let operations = known.admin().get("/operations").unwrap();
    for text in [ended.to_string(), found.to_string(), operations.text().unwrap().to_owned(), known.log(), stranger.log()] {
        assert!(!text.contains(PASSWORD) && !text.contains(&auth[0].1[..20]), "{text}");
    }

    // A password that cannot be read is the outcome of the pull.
    std::fs::remove_file(&secret).unwrap();
    let late = host(&format!("{table}{}{plugin}", engine_and_site(site)));
    let answer = ask(&late.client(), "images-pull.pull", &json!({ "name": reference }));
    assert_eq!(word(&answer), "internal", "{answer}");
    docker.delete(&format!("/images/{reference}")).unwrap().success("removing").unwrap();
}
