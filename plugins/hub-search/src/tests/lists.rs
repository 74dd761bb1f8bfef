//! `GET /api/v1/image/` in all of its categories.

use super::*;

fn list(query: &str) -> Value {
    let answer = send(fake::get(&format!("/api/v1/image/?{query}")));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The names in the answer to `query`, in their order.
#[track_caller]
fn check_names(query: &str, names: &[&str]) {
    let list = list(query);
    let listed: Vec<&str> = list["results"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(listed, names, "{query}");
    assert_eq!(list["total_count"], names.len());
}

#[test]
fn local_images_are_grouped_by_repository_with_tags_and_sizes_side_by_side() {
    let host = Host::install();
    host.image(image("sameersbn/redmine:3.0.3", 617_775_210));
    host.image(image("ubuntu:latest", 188_304_295));
    host.image(image("sameersbn/redmine:3.0.2", 618_160_542));
    host.image(Image::new(""));
    let expected = json!({
        "category": "local",
        "filter_text": "",
        "results": [
            {
                "description": "", "downloading": false, "icon": "", "installed": true, "is_latest": [], "name": "sameersbn/redmine", "repository": "local",
                "size": [618_160_542, 617_775_210], "tags": ["3.0.2", "3.0.3"], "type": "docker",
            },
            {
                "description": "", "downloading": false, "icon": "", "installed": true, "is_latest": ["latest"], "name": "ubuntu", "repository": "local",
                "size": [188_304_295], "tags": ["latest"], "type": "docker",
            },
        ],
        "total_count": 2,
        "type": "",
    });
    for target in ["/api/v1/image/?category=local", "/api/v1/image/", "/api/v1/image", "/api/v1/image?category="] {
        check(fake::get(target), &expected);
    }
    let text = send(fake::get("/api/v1/image/")).text();
    assert!(text.starts_with(r#"{"category":"local","filter_text":"","results":[{"description":"""#), "{text}");
}

#[test]
fn a_registry_is_part_of_the_name_and_docker_hub_is_none() {
    let host = Host::install();
    host.image(image("qnap.dorowu.com/qnap/builder:latest", 1));
    host.image(image("localhost:5000/a:1", 1));
    host.image(image("docker.io/library/busybox:1", 1));
    check_names("", &["busybox", "localhost:5000/a", "qnap.dorowu.com/qnap/builder"]);
}

#[test]
fn the_filter_is_held_against_name_and_description_in_any_case() {
    let host = Host::install();
    host.image(image("Ubuntu-like/x:1", 1));
    host.image(image("redis:1", 1));
    check_names("filter_text=UBUNTU", &["Ubuntu-like/x"]);
    check_names("filter_text=nothing", &[]);
    check_names("type=lxc", &[]);
    check_names("type=docker&filter_text=re", &["redis"]);
    assert_eq!(list("type=docker&filter_text=re")["type"], "docker");
    assert_eq!(list("filter_text=a%20b")["filter_text"], "a b");
    host.catalog("official", Catalog { entries: vec![entry(CatalogKind::Docker, "redis", "7")], skipped: 1 });
    check_names("category=official&filter_text=about+RED", &["redis"]);
}

#[test]
fn unknown_categories_and_types_are_refused() {
    let _ = Host::install();
    check_failure(fake::get("/api/v1/image/?category=private"), 400, "unknown category `private`");
    check_failure(fake::get("/api/v1/image/?type=vm"), 400, "unknown image type `vm`");
}

#[test]
fn qnaps_list_has_templates_first_and_their_own_shapes() {
    let host = Host::install();
    let entries = vec![
        entry(CatalogKind::Docker, "jenkins", "latest"),
        entry(CatalogKind::Lxc, "ubuntu-trusty", "14.04"),
        entry(CatalogKind::Docker, "aostanin/deluge", "latest"),
        entry(CatalogKind::Lxc, "debian-wheezy", "7.8"),
    ];
    host.catalog("qnap", Catalog { entries, skipped: 0 });
    host.image(image("jenkins:latest", 1));
    check_names("category=qnap", &["debian-wheezy", "ubuntu-trusty", "aostanin/deluge", "jenkins"]);
    check_names("category=qnap&type=lxc", &["debian-wheezy", "ubuntu-trusty"]);
    check_names("category=qnap&type=docker", &["aostanin/deluge", "jenkins"]);
    let results = &list("category=qnap")["results"];
    assert_eq!(
        results[0],
        json!({
            "arch": "amd64", "description": "About debian-wheezy.", "downloading": false, "icon": "", "inspect": "{}", "installed": false, "name": "debian-wheezy",
            "repository": "qnap", "size": "173363200", "title": "DEBIAN-WHEEZY", "type": "lxc", "version": "7.8",
        })
    );
    assert_eq!(
        results[3],
        json!({
            "arch": "amd64", "description": "About jenkins.", "downloading": false, "icon": "", "inspect": "", "installed": true, "name": "jenkins",
            "repository": "dockerhub", "size": null, "title": "JENKINS", "type": "docker", "version": "latest",
        })
    );
}

#[test]
fn an_official_image_is_installed_in_the_version_of_the_catalogue_only() {
    let host = Host::install();
    let entries = vec![entry(CatalogKind::Docker, "ubuntu", "14.04"), entry(CatalogKind::Docker, "centos", "7")];
    host.catalog("official", Catalog { entries, skipped: 0 });
    host.image(image("ubuntu:latest", 1));
    check_names("category=official", &["centos", "ubuntu"]);
    let installed = || list("category=official")["results"][1]["installed"].clone();
    assert_eq!(installed(), false);
    host.image(image("ubuntu:14.04", 1));
    assert_eq!(installed(), true);
    assert_eq!(
        list("category=official")["results"][0],
        json!({
            "arch": "amd64", "description": "About centos.", "downloading": false, "icon": "", "installed": false,
            "location": "https://registry.hub.docker.com/_/centos/", "name": "centos", "repository": "dockerhub", "title": "CENTOS", "type": "docker", "version": "7",
        })
    );
}

#[test]
fn a_catalogue_that_cannot_be_read_is_unavailable() {
    let host = Host::install();
    host.fail("registry.catalog-read.list", Error::Unavailable("unreachable: no route".to_owned()));
    check_failure(fake::get("/api/v1/image?category=qnap"), 503, "Service Unavailable: unreachable");
}

#[test]
fn docker_hub_is_searched_and_the_most_liked_come_first() {
    let host = Host::install();
    host.hub_repository(found("dorowu/b", 1));
    host.hub_repository(found("dorowu/a", 12));
    host.hub_repository(found("redis", 5));
    host.image(image("dorowu/b:7", 1));
    check_names("category=dockerhub&filter_text=dorowu", &["dorowu/a", "dorowu/b"]);
    assert_eq!(
        list("category=dockerhub&filter_text=dorowu")["results"][1],
        json!({
            "description": "About dorowu/b", "downloading": false, "installed": true, "is_official": false, "is_trusted": true,
            "location": "https://registry.hub.docker.com/u/dorowu/b", "name": "dorowu/b", "repository": "dockerhub", "star_count": 1, "type": "docker",
        })
    );
    assert_eq!(list("category=dockerhub&filter_text=redis")["results"][0]["location"], "https://registry.hub.docker.com/_/redis/");
}

#[test]
fn docker_hub_is_not_asked_for_nothing() {
    let host = Host::install();
    host.fail("registry.hub-read.search", Error::Unavailable("unreachable: no route".to_owned()));
    for query in [
        "category=dockerhub",
        "category=dockerhub&filter_text=",
        "category=dockerhub&filter_text=+",
        "category=dockerhub&filter_text=a&type=lxc",
    ] {
        check_names(query, &[]);
    }
    check_failure(fake::get("/api/v1/image/?category=dockerhub&filter_text=a"), 503, "Service Unavailable: unreachable");
}

#[test]
fn every_category_says_what_is_being_downloaded() {
    let host = Host::install();
    host.registry_image(Image::new("redis:7"));
    host.hold_pulls();
    check(fake::post("/api/v1/image/dockerhub/docker/redis/7/download"), &json!({}));
    host.image(image("redis:6", 1));
    host.hub_repository(found("redis", 1));
    host.catalog("official", Catalog { entries: vec![entry(CatalogKind::Docker, "redis", "7")], skipped: 0 });
    host.catalog("qnap", Catalog { entries: vec![entry(CatalogKind::Docker, "redis", "6")], skipped: 0 });
    let downloading = |query: &str| list(query)["results"][0]["downloading"].clone();
    for (query, expected) in
        [("", true), ("category=official", true), ("category=qnap", false), ("category=dockerhub&filter_text=redis", true)]
    {
        assert_eq!(downloading(query), expected, "{query}");
    }
    host.finish_pulls();
    assert_eq!(downloading("category=official"), false);
}

#[test]
fn an_engine_that_is_away_is_said_in_the_envelope() {
    let host = Host::install();
    host.fail("docker.images-read.list", Error::Unavailable("no such socket".to_owned()));
    check_failure(fake::get("/api/v1/image/"), 503, "Service Unavailable: no such socket");
    host.fail("docker.images-read.list", Error::Timeout);
    check_failure(fake::get("/api/v1/image/"), 504, "the engine did not answer in time");
}
