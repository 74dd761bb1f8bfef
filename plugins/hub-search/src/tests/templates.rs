//! Templates: downloading, listing, inspecting and deleting them.

use wharf_sdk::storage::blobs;

use super::*;

const ARCHIVE: &[u8] = b"an archive";

fn template(name: &str, version: &str) -> CatalogEntry {
    CatalogEntry {
        title: "Ubuntu".to_owned(),
        icon: format!("http://icons.example/{name}.png"),
        size: Some(ARCHIVE.len() as u64),
        archive_url: Some(format!("https://mirror.example/{name}-{version}.tar.xz")),
        ..entry(CatalogKind::Lxc, name, version)
    }
}

/// A host whose list has `ubuntu-trusty` 14.04 and 14.10, `debian-wheezy`, which is nowhere, and the image `jenkins`. Downloads are held.
fn host() -> Host {
    let host = Host::install();
    let nowhere = CatalogEntry { archive_url: None, ..template("debian-wheezy", "7.8") };
    let entries =
        vec![template("ubuntu-trusty", "14.04"), template("ubuntu-trusty", "14.10"), nowhere, entry(CatalogKind::Docker, "jenkins", "1")];
    host.catalog("qnap", Catalog { entries, skipped: 0 });
    host.archive("https://mirror.example/ubuntu-trusty-14.04.tar.xz", ARCHIVE);
    host.hold_downloads();
    host
}

fn download(name: &str, tag: &str) -> RequestBuilder {
    fake::post(&format!("/api/v1/image/qnap/lxc/{name}/{tag}/download"))
}

fn get(path: &str) -> Value {
    send(fake::get(&format!("/api/v1/image/{path}"))).json()
}

/// Of the entry `name` of a list: whether it is installed, and whether it is on its way.
#[track_caller]
fn check_presence(query: &str, name: &str, version: Option<&str>, expected: Option<(bool, bool)>) {
    let list = get(&format!("?{query}"));
    let is_meant = |entry: &&Value| entry["name"] == name && version.is_none_or(|version| entry["version"] == version);
    let found = list["results"].as_array().unwrap().iter().find(is_meant);
    let found = found.map(|entry| (entry["installed"].as_bool().unwrap(), entry["downloading"].as_bool().unwrap()));
    assert_eq!(found, expected, "{query} {name}");
}

#[test]
fn a_template_is_seen_on_its_way_and_is_local_when_it_is_there() {
    let host = host();
    let body = json!({"description": "mine", "location": "here", "icon": "http://x/icon.png"}).to_string();
    check(download("ubuntu-trusty", "14.04").body(body), &json!({}));
    let status = |percent: Value| json!([{"name": "ubuntu-trusty", "percent": percent, "status": "downloading"}]);
    assert_eq!(get("downloadstatus"), status(Value::Null));
    host.advance_downloads(40);
    assert_eq!(get("downloadstatus"), status(json!(40)));
    check_presence("category=qnap", "ubuntu-trusty", Some("14.04"), Some((false, true)));
    check_presence("category=qnap", "ubuntu-trusty", Some("14.10"), Some((false, false)));
    check_presence("", "ubuntu-trusty", None, None);
    host.finish_downloads();
    assert_eq!(get("downloadstatus"), json!([]));
    check_presence("category=qnap", "ubuntu-trusty", Some("14.04"), Some((true, false)));
    check_presence("category=qnap", "ubuntu-trusty", Some("14.10"), Some((true, false)));
    check_presence("category=qnap", "debian-wheezy", None, Some((false, false)));
    assert_eq!(host.calls_of("registry.catalog-download.begin"), ["qnap,ubuntu-trusty,14.04,lxc/ubuntu-trusty"]);
    host.image(image("redis:7", 1));
    let list = get("?category=local");
    let expected = json!({
        "description": "Ubuntu 14.04", "downloading": false, "icon": "http://icons.example/ubuntu-trusty.png", "installed": true, "name": "ubuntu-trusty",
        "repository": "local", "size": ["10"], "tags": ["latest"], "type": "lxc",
    });
    assert_eq!((&list["results"][0], &list["results"][1]["name"], &list["total_count"]), (&expected, &json!("redis"), &json!(2)));
    let text = send(fake::get("/api/v1/image/?type=lxc")).text().to_owned();
    assert!(text.contains(r#""results":[{"description":"Ubuntu 14.04","downloading":false,"icon":"#), "{text}");
}

#[test]
fn what_is_downloading_is_not_downloaded_twice_and_not_in_two_versions() {
    let host = host();
    for tag in ["14.04", "latest", "14.04"] {
        check(download("ubuntu-trusty", tag), &json!({}));
    }
    assert_eq!(host.calls_of("registry.catalog-download.begin").len(), 1);
    check_failure(download("ubuntu-trusty", "14.10"), 409, "`qnap/ubuntu-trusty:14.04` is being downloaded");
    host.finish_downloads();
    check(download("ubuntu-trusty", "latest"), &json!({}));
    check_presence("type=lxc", "ubuntu-trusty", None, Some((true, true)));
}

#[test]
fn a_template_that_cannot_be_downloaded_is_refused() {
    let host = host();
    check_failure(download("nothing", "1"), 404, "Image not found: nothing");
    check_failure(download("jenkins", "1"), 404, "Image not found: jenkins");
    check_failure(download("ubuntu-trusty", "99"), 404, "Image not found: ubuntu-trusty:99");
    check_failure(download("../ubuntu-trusty", "14.04"), 404, "Image not found: ../ubuntu-trusty");
    check_failure(download("debian-wheezy", "7.8"), 503, "Service Unavailable: no-archive");
    check_failure(download("ubuntu-trusty", "14.04").body("[]"), 400, "the body is no JSON object");
    for (error, code, message) in [
        (Error::Denied, 403, "not allowed here: ubuntu-trusty"),
        (Error::QuotaExceeded, 503, "Service Unavailable: too much is under way"),
        (Error::Timeout, 503, "Service Unavailable"),
    ] {
        host.fail("registry.catalog-download.begin", error);
        check_failure(download("ubuntu-trusty", "14.04"), code, message);
    }
    assert_eq!(get("downloadstatus"), json!([]));
}

#[test]
fn a_download_that_fails_leaves_nothing() {
    let host = host();
    check(download("ubuntu-trusty", "14.10"), &json!({}));
    host.finish_downloads();
    assert_eq!(get("downloadstatus"), json!([]));
    check_presence("", "ubuntu-trusty", None, None);
    check_presence("category=qnap", "ubuntu-trusty", Some("14.10"), Some((false, false)));
}

/// A stored template is described by `description` while the catalogue has `entries`.
#[track_caller]
fn check_description(entries: Vec<CatalogEntry>, description: &str) {
    let host = host();
    send(download("ubuntu-trusty", "14.04"));
    host.finish_downloads();
    host.catalog("qnap", Catalog { entries, skipped: 0 });
    assert_eq!(get("?type=lxc")["results"][0]["description"], description);
}

#[test]
fn a_template_is_described_as_long_as_the_catalogue_has_this_very_archive() {
    let digest = |digest: &str| CatalogEntry { archive_digest: Some(digest.to_owned()), ..template("ubuntu-trusty", "14.04") };
    check_description(vec![template("ubuntu-trusty", "14.04")], "Ubuntu 14.04");
    check_description(vec![CatalogEntry { size: Some(7), ..template("ubuntu-trusty", "16.04") }], "");
    check_description(vec![CatalogEntry { size: None, ..template("ubuntu-trusty", "14.04") }], "");
    check_description(vec![digest(&format!("sha256:{:064}", 0))], "");
    check_description(vec![template("debian", "7")], "");
    check_description(Vec::new(), "");
}

#[test]
fn the_list_needs_no_catalogue_and_no_engine_for_templates() {
    let host = host();
    send(download("ubuntu-trusty", "14.04"));
    host.finish_downloads();
    host.fail("registry.catalog-read.list", Error::Unavailable("unreachable: no route".to_owned()));
    host.fail("docker.images-read.list", Error::Unavailable("no such socket".to_owned()));
    let list = get("?type=lxc");
    assert_eq!((&list["total_count"], &list["results"][0]["description"]), (&json!(1), &json!("")));
    assert_eq!(get("?type=lxc&filter_text=TRUSTY")["total_count"], 1);
    assert_eq!(get("?type=lxc&filter_text=debian")["total_count"], 0);
    check_failure(fake::get("/api/v1/image/"), 503, "Service Unavailable: no such socket");
    host.fail("storage.blobs.list", Error::Unavailable("the disk is gone".to_owned()));
    check_failure(fake::get("/api/v1/image/?type=lxc"), 503, "Service Unavailable: the disk is gone");
}

#[test]
fn more_templates_than_fit_on_a_page_are_listed() {
    let _host = host();
    for number in 0..1_001 {
        blobs::write(&format!("lxc/t{number:04}")).and_then(blobs::BlobWriter::finish).unwrap();
    }
    blobs::write("other").and_then(blobs::BlobWriter::finish).unwrap();
    assert_eq!(get("?type=lxc")["total_count"], 1_001);
}

#[test]
fn a_stored_template_is_inspected() {
    let host = host();
    send(download("ubuntu-trusty", "14.04"));
    let inspect = |path: &str| fake::get(&format!("/api/v1/image/lxc/{path}/inspect"));
    check_failure(inspect("ubuntu-trusty/latest"), 404, "Image not found: ubuntu-trusty:latest");
    host.finish_downloads();
    let found = send(inspect("ubuntu-trusty/latest")).json();
    assert_eq!((&found["RepoTags"], &found["Size"]), (&json!(["ubuntu-trusty:latest"]), &json!(10)));
    assert!(found["Id"].as_str().unwrap().starts_with("sha256:") && found["Created"].as_str().unwrap().ends_with('Z'), "{found}");
    check_failure(inspect("ubuntu-trusty/14.10"), 404, "Image not found: ubuntu-trusty:14.10");
    check_failure(inspect("../latest"), 404, "Image not found: ..:latest");
}

#[test]
fn a_stored_template_is_deleted_by_its_name_with_and_without_its_tag() {
    let host = host();
    for path in ["ubuntu-trusty", "ubuntu-trusty/latest"] {
        send(download("ubuntu-trusty", "14.04"));
        let delete = |path: &str| fake::delete(&format!("/api/v1/image/local/lxc/{path}"));
        check_failure(delete(path), 404, &format!("Image not found: {path}"));
        host.finish_downloads();
        check_failure(delete("ubuntu-trusty/14.10"), 404, "Image not found: ubuntu-trusty/14.10");
        check_failure(delete("../lxc/ubuntu-trusty"), 404, "Image not found: ../lxc/ubuntu-trusty");
        check(delete(path), &json!({"action": "delete", "name": path, "state": "success", "type": "lxc"}));
        check_failure(delete(path), 404, &format!("Image not found: {path}"));
        check_presence("category=qnap", "ubuntu-trusty", Some("14.04"), Some((false, false)));
    }
}
