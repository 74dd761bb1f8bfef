//! The catalogues of the host, what is read of others, and when they are read again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::backend::registry::scripted::{Answer, Scripted};
use crate::settings::Location;

const ONE: &str = r#"[{"name": "redis"}]"#;
const TWO: &str = r#"[{"name": "redis"}, {"name": "grafana/grafana", "version": "11"}]"#;
/// Nothing is due by itself.
const STILL: Freshness = Freshness { good: Duration::from_secs(3600), failed: Duration::from_secs(3600) };
/// Everything is due each time.
const ALWAYS: Freshness = Freshness { good: Duration::ZERO, failed: Duration::ZERO };

fn names(catalog: &Catalog) -> Vec<&str> {
    catalog.entries.iter().map(|entry| entry.name.as_str()).collect()
}

/// What `name` is at the moment: how many entries, or the word of the error.
async fn shown(catalogs: &Catalogs, name: &str) -> String {
    match catalogs.list(name).await {
        Ok(catalog) => format!("{} entries", catalog.entries.len()),
        Err(CatalogError::NotFound) => "not-found".to_owned(),
        Err(CatalogError::Timeout(_)) => "timeout".to_owned(),
        Err(CatalogError::Unavailable { word, .. }) => word.to_owned(),
    }
}

/// Settings that say where `mine` is, in line `line`.
fn settings(place: CatalogSource, line: usize) -> BTreeMap<String, Located<CatalogSource>> {
    let at = Location { file: Path::new("wharf.toml").into(), line, column: 8 };
    BTreeMap::from([("mine".to_owned(), Located { value: place, at })])
}

fn catalogs(freshness: Freshness) -> Catalogs {
    Catalogs::with(Registries::for_test(BTreeMap::new()), freshness)
}

async fn at_address(server: &Scripted, freshness: Freshness) -> Catalogs {
    let catalogs = catalogs(freshness);
    let url = format!("http://{}/catalog.json", server.address).parse().unwrap();
    assert_eq!(catalogs.configure(&settings(CatalogSource::Url(url), 1)).await, []);
    catalogs
}

#[tokio::test]
async fn the_catalogues_of_the_host_are_whole_and_in_order() {
    for (name, least, texts) in [("official", 120, include_str!("official.json")), ("qnap", 20, include_str!("qnap.json"))] {
        let catalog = catalogs(STILL).list(name).await.unwrap();
        let reading = read::catalog(texts.as_bytes()).unwrap();
        assert_eq!((catalog.skipped, reading.broken), (0, Vec::new()), "{name}");
        assert!(catalog.entries.len() >= least, "{name} has {} entries", catalog.entries.len());
        let keys: Vec<_> = catalog.entries.iter().map(|entry| (entry.kind == Kind::Docker, entry.name.as_str())).collect();
        assert!(keys.is_sorted(), "{name}: templates first, and each kind by name");
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{name} names something twice");
        for entry in &catalog.entries {
            let is_sentence = entry.description.ends_with('.') && entry.description.len() < 200;
            assert!(!entry.title.is_empty() && is_sentence && entry.icon.is_empty() && entry.architecture == "amd64", "{entry:?}");
        }
    }
    assert_eq!(shown(&catalogs(STILL), "other").await, "not-found");
}

#[tokio::test]
async fn the_official_catalogue_has_what_its_users_know() {
    let catalog = catalogs(STILL).list("official").await.unwrap();
    let known: Vec<_> =
        catalog.entries.iter().map(|entry| format!("{} {} {} {}", entry.name, entry.version, entry.title, entry.location)).collect();
    for expected in [
        "centos 7 CentOS https://registry.hub.docker.com/_/centos/",
        "mongo latest MongoDB https://registry.hub.docker.com/_/mongo/",
        "nginx latest Nginx https://registry.hub.docker.com/_/nginx/",
        "node latest Node.js https://registry.hub.docker.com/_/node/",
        "redis latest Redis https://registry.hub.docker.com/_/redis/",
        "tutum/mysql latest MySQL https://registry.hub.docker.com/u/tutum/mysql/",
        "tutum/wordpress latest WordPress https://registry.hub.docker.com/u/tutum/wordpress/",
        "ubuntu 14.04 Ubuntu https://registry.hub.docker.com/_/ubuntu/",
    ] {
        assert!(known.iter().any(|entry| entry == expected), "{expected}");
    }
}

#[test]
fn an_entry_needs_no_more_than_a_name() {
    let reading = read::catalog(br#"[{"name": "redis"}]"#).unwrap();
    let text = |text: &str| text.to_owned();
    let entry = Entry {
        kind: Kind::Docker,
        name: text("redis"),
        version: text("latest"),
        title: String::new(),
        description: String::new(),
        architecture: text("amd64"),
        icon: String::new(),
        location: String::new(),
        size: None,
        archive_url: None,
        archive_digest: None,
    };
    assert_eq!(reading.catalog.entries, [entry]);
}

#[test]
fn the_words_of_the_contract_and_those_of_the_qnap_api_are_understood() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let text = serde_json::json!([
        {"kind": "lxc", "name": "debian-wheezy", "version": "7.8", "architecture": "arm64", "size": 17, "icon": "i", "location": "l",
         "title": "t", "description": "d", "archive_url": "https://mirror.example/x.tar.xz", "archive_digest": digest},
        {"type": "lxc", "name": "ubuntu-trusty", "arch": "arm64", "size": "275382272", "inspect": "{}", "installed": true, "downloading": false},
        {"type": "docker", "name": "jenkins", "size": null, "inspect": "", "repository": "dockerhub", "version": ""},
        {"name": "localhost:5000/a/b", "size": 5},
    ])
    .to_string();
    let catalog = read::catalog(text.as_bytes()).unwrap().catalog;
    let shown: Vec<_> = catalog
        .entries
        .iter()
        .map(|entry| {
            format!(
                "{:?} {} {} {} {:?} {}",
                entry.kind,
                entry.name,
                entry.version,
                entry.architecture,
                entry.size,
                entry.archive_url.is_some()
            )
        })
        .collect();
    let expected = [
        "Lxc debian-wheezy 7.8 arm64 Some(17) true",
        "Lxc ubuntu-trusty latest arm64 Some(275382272) false",
        "Docker jenkins latest amd64 None false",
        "Docker localhost:5000/a/b latest amd64 None false",
    ];
    assert_eq!((shown, catalog.skipped), (expected.map(str::to_owned).to_vec(), 0));
    assert_eq!(catalog.entries[0].archive_digest, Some(digest));
}

#[track_caller]
fn check_broken(entry: &str, reason: &str) {
    let reading = read::catalog(format!(r#"[{{"name": "good"}}, {entry}, {{"name": "better"}}]"#).as_bytes()).unwrap();
    assert_eq!((reading.broken, reading.catalog.skipped), (vec![format!("1: {reason}")], 1), "{entry}");
    assert_eq!(names(&reading.catalog), ["good", "better"]);
}

#[test]
fn a_broken_entry_is_left_out_and_the_others_stay() {
    check_broken("7", "it is no object");
    check_broken("[\"redis\"]", "it is no object");
    check_broken("null", "it is no object");
    check_broken("{}", "missing field `name`");
    check_broken(r#"{"name": 7}"#, "invalid type: integer `7`, expected a string");
    check_broken(r#"{"name": "a", "title": ["b"]}"#, "invalid type: sequence, expected a string");
    check_broken(r#"{"name": "a", "kind": "vm"}"#, "unknown variant `vm`, expected `docker` or `lxc`");
    check_broken(r#"{"name": "a", "kind": "lxc", "type": "lxc"}"#, "duplicate field `kind`");
    check_broken(r#"{"name": "a", "size": "many"}"#, "\"many\" is no size in bytes");
    check_broken(r#"{"name": "a", "size": -1}"#, "-1 is no size in bytes");
    check_broken(r#"{"name": ""}"#, "`:latest` is no image reference");
    check_broken(r#"{"name": "Redis"}"#, "`Redis:latest` is no image reference");
    check_broken(r#"{"name": "../../etc"}"#, "`../../etc:latest` is no image reference");
    check_broken(r#"{"name": "redis:7"}"#, "`redis:7:latest` is no image reference");
    check_broken(r#"{"name": "redis", "version": "../7"}"#, "`redis:../7` is no image reference");
    check_broken(r#"{"name": "a", "archive_url": "https://x/y"}"#, "it has an archive, and its `kind` is not `lxc`");
    check_broken(r#"{"kind": "lxc", "name": "../etc"}"#, "`../etc` cannot be the name of a template");
    check_broken(r#"{"kind": "lxc", "name": ".."}"#, "`..` cannot be the name of a template");
    check_broken(r#"{"kind": "lxc", "name": "a", "version": "1/2"}"#, "`1/2` cannot be the version of a template");
    check_broken(
        r#"{"kind": "lxc", "name": "a", "archive_url": "file:///etc/passwd"}"#,
        "`file:///etc/passwd` is no address of an archive",
    );
    check_broken(r#"{"kind": "lxc", "name": "a", "archive_digest": "sha256:12"}"#, "`sha256:12` is no digest");
}

#[test]
fn of_many_broken_entries_the_first_are_named() {
    let text = format!(r#"[{}{{"name": "good"}}]"#, "1, ".repeat(100));
    let reading = read::catalog(text.as_bytes()).unwrap();
    assert_eq!((reading.catalog.skipped, reading.broken.len(), reading.catalog.entries.len()), (100, 5, 1));
}

#[test]
fn what_is_no_list_is_no_catalogue() {
    for text in ["", "{}", "null", "[1", "[]]", r#"{"results": []}"#, "<html>"] {
        assert!(read::catalog(text.as_bytes()).unwrap_err().starts_with("it is no JSON array: "), "{text}");
    }
    assert_eq!(read::catalog(b"\xef\xbb\xbf[]").unwrap().catalog, Catalog::default());
}

#[tokio::test]
async fn a_file_replaces_a_catalogue_and_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.json");
    std::fs::write(&path, ONE).unwrap();
    let catalogs = catalogs(STILL);
    let mine = settings(CatalogSource::File(path.clone()), 3);
    assert_eq!(catalogs.configure(&mine).await, []);
    assert_eq!(shown(&catalogs, "mine").await, "1 entries");
    let before = catalogs.list("mine").await.unwrap();
    assert!(Arc::ptr_eq(&before, &catalogs.list("mine").await.unwrap()), "it is not read each time");
    std::fs::write(&path, TWO).unwrap();
    assert_eq!(shown(&catalogs, "mine").await, "2 entries");
    // What cannot be read does not take the place of what was.
    std::fs::write(&path, "{}").unwrap();
    assert_eq!(shown(&catalogs, "mine").await, "2 entries");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(shown(&catalogs, "mine").await, "2 entries");
    let mistakes = catalogs.configure(&mine).await;
    let expected = format!("wharf.toml:3:8: failed to read the catalogue `mine` from `{}`: there is no such file", path.display());
    assert_eq!(mistakes[0].to_string().lines().next().unwrap(), expected);
    assert_eq!(shown(&catalogs, "mine").await, "2 entries");
    assert_eq!(catalogs.configure(&BTreeMap::new()).await, []);
    assert_eq!(shown(&catalogs, "mine").await, "not-found");
}

#[tokio::test]
async fn a_file_that_was_never_read_is_an_error_with_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let rows = [
        (folder.path().join("absent.json"), "unreachable", "there is no such file"),
        (folder.path().to_owned(), "unreachable", "Is a directory"),
        (write("object.json", b"{}"), "unintelligible", "it is no JSON array"),
        (write("long.json", &vec![b' '; read::MAX_CATALOG_BYTES + 1]), "too-long", "longer than 16777216 bytes"),
    ];
    for (path, word, reason) in rows {
        let catalogs = catalogs(STILL);
        let mistakes = catalogs.configure(&settings(CatalogSource::File(path.clone()), 4)).await;
        let text = mistakes[0].to_string();
        assert!(text.starts_with("wharf.toml:4:8: failed to read the catalogue `mine` from ") && text.contains(reason), "{text}");
        assert_eq!(shown(&catalogs, "mine").await, word);
    }
}

#[tokio::test]
async fn a_file_that_comes_later_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.json");
    let catalogs = catalogs(STILL);
    assert_eq!(catalogs.configure(&settings(CatalogSource::File(path.clone()), 1)).await.len(), 1);
    std::fs::write(&path, ONE).unwrap();
    assert_eq!(shown(&catalogs, "mine").await, "1 entries");
}

#[tokio::test]
async fn an_address_is_asked_once_for_a_while() {
    let server = Scripted::start(|_| Answer::status(200).body(TWO)).await;
    let catalogs = at_address(&server, STILL).await;
    assert_eq!(server.asked().len(), 0, "nobody has asked for it");
    let many = (0..20).map(|_| shown(&catalogs, "mine"));
    assert!(futures_util::future::join_all(many).await.iter().all(|shown| shown == "2 entries"));
    assert_eq!(server.asked(), ["GET /catalog.json"]);
    let url = format!("http://{}/catalog.json", server.address).parse().unwrap();
    assert_eq!(catalogs.configure(&settings(CatalogSource::Url(url), 1)).await, []);
    assert_eq!(shown(&catalogs, "mine").await, "2 entries");
    assert_eq!(server.asked().len(), 2, "a reload asks again");
}

#[tokio::test]
async fn an_address_says_that_nothing_has_changed() {
    let server = Scripted::start(|asked| match asked.header("if-none-match") {
        "\"1\"" => Answer::status(304),
        _ => Answer::status(200).with("etag", "\"1\"").body(TWO),
    })
    .await;
    let catalogs = at_address(&server, ALWAYS).await;
    let first = catalogs.list("mine").await.unwrap();
    assert!(Arc::ptr_eq(&first, &catalogs.list("mine").await.unwrap()));
    assert_eq!((names(&first).len(), server.asked().len()), (2, 2));
}

#[tokio::test]
async fn the_last_good_catalogue_of_an_address_is_kept() {
    let turn = AtomicUsize::new(0);
    let server = Scripted::start(move |_| match turn.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::status(200).body(TWO),
        1 => Answer::status(500),
        2 => Answer::status(200).body("<html>"),
        3 => Answer::status(200).body("{}"),
        4 => Answer::status(302).with("location", "http://169.254.169.254/"),
        _ => Answer::status(200).body(ONE),
    })
    .await;
    let catalogs = at_address(&server, ALWAYS).await;
    for expected in ["2 entries", "2 entries", "2 entries", "2 entries", "2 entries", "1 entries"] {
        assert_eq!(shown(&catalogs, "mine").await, expected);
    }
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn an_address_that_never_answered_has_a_word_and_is_left_alone() {
    let rows = [(404, "failed"), (403, "forbidden"), (429, "rate-limited"), (503, "unreachable")];
    for (status, word) in rows {
        let server = Scripted::start(move |_| Answer::status(status)).await;
        let catalogs = at_address(&server, STILL).await;
        assert_eq!([shown(&catalogs, "mine").await, shown(&catalogs, "mine").await], [word, word]);
        assert_eq!(server.asked().len(), 1);
    }
    let page = Scripted::start(|_| Answer::status(200).body(" <html>")).await;
    assert_eq!(shown(&at_address(&page, STILL).await, "mine").await, "not-a-registry");
}

#[tokio::test]
async fn a_template_is_found_by_its_name_and_version() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.json");
    let text = r#"[{"name": "a"}, {"kind": "lxc", "name": "a", "version": "1", "archive_url": "https://mirror.example/1"},
        {"kind": "lxc", "name": "a", "version": "2", "archive_url": "https://mirror.example/2"}, {"kind": "lxc", "name": "b", "version": "1"}]"#;
    std::fs::write(&file, text).unwrap();
    let catalogs = catalogs(STILL);
    assert_eq!(catalogs.configure(&settings(CatalogSource::File(file), 1)).await, []);
    let rows = [
        ("mine", "a", None, "mine/a:1"),
        ("mine", "a", Some("2"), "mine/a:2"),
        ("mine", "a", Some("latest"), "not-found"),
        ("mine", "c", None, "not-found"),
        ("mine", "b", None, "no-archive"),
        ("other", "a", None, "not-found"),
        ("qnap", "ubuntu-trusty", None, "no-archive"),
        ("official", "redis", None, "not-found"),
    ];
    for (catalog, name, version, expected) in rows {
        let found = match catalogs.template(catalog, name, version).await {
            Ok(template) => template.name.to_string(),
            Err(CatalogError::NotFound) => "not-found".to_owned(),
            Err(CatalogError::Timeout(_)) => "timeout".to_owned(),
            Err(CatalogError::Unavailable { word, .. }) => word.to_owned(),
        };
        assert_eq!(found, expected, "{catalog} {name} {version:?}");
    }
}
