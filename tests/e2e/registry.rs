//! Registries through every fault that a site meets: the host's binary, a component that asks, and a real registry behind a proxy that breaks things.
//!
//! The faults are a table. Each is the error of its own image and of no other, and none makes the host ask for something that counts as a pull.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::fault_proxy::{Answer, Asked, Fault, FaultProxy};
use wharf_harness::registry::{PASSWORD, Registry, USER};
use wharf_harness::wharf::Wharf;
use wharf_harness::{poll, programs};
use wharf_tests::guests::REGISTRY;

use crate::site::host;

const ONE_HOUR: &str = "3600";

/// What is done to the questions for one image, and the word that comes of it; `found` for none.
struct Row {
    name: &'static str,
    fault: fn(&Asked) -> Fault,
    word: &'static str,
    /// The most requests that the host makes of it.
    most_requests: usize,
}

const fn row(name: &'static str, fault: fn(&Asked) -> Fault, word: &'static str, most_requests: usize) -> Row {
    Row { name, fault, word, most_requests }
}

/// Faults of a `HEAD`. What passes by itself is asked for three times, and nothing else more than once.
const HEADS: [Row; 17] = [
    row("none", |_| Fault::None, "found", 1),
    row("unauthorized-without-challenge", |_| Fault::Instead(Answer::new(401, "")), "unauthorized", 1),
    row("forbidden", |_| Fault::Instead(Answer::new(403, "")), "forbidden", 1),
    row("not-found", |_| Fault::Instead(Answer::new(404, "")), "not-found", 1),
    row("too-many", |_| Fault::Instead(Answer::new(429, "")), "rate-limited", 3),
    row("too-many-for-an-hour", |_| Fault::Instead(Answer::new(429, "").with("retry-after", ONE_HOUR)), "rate-limited", 1),
    row("too-many-for-now", |_| Fault::Instead(Answer::new(429, "").with("retry-after", "1")), "rate-limited", 3),
    row("broken", |_| Fault::Instead(Answer::new(500, "")), "failed", 1),
    row("unavailable", |_| Fault::Instead(Answer::new(503, "")), "unreachable", 3),
    row("page", |_| Fault::Instead(Answer::new(200, "").with("content-type", "text/html")), "not-a-registry", 1),
    row("no-digest", |_| Fault::Altered(|answer| answer.without("docker-content-digest")), "no-digest", 1),
    row("silent", |_| Fault::Silent, "timeout", 1),
    row("cut", |_| Fault::Cut, "unreachable", 6),
    row("circle", |asked| Fault::Instead(Answer::new(307, "").with("location", &asked.target)), "redirected", 6),
    row("to-metadata", |_| Fault::Instead(Answer::new(307, "").with("location", "http://169.254.169.254/")), "refused", 1),
    row("to-a-private-network", |_| Fault::Instead(Answer::new(307, "").with("location", "https://10.0.0.1/")), "refused", 1),
    row("method-not-allowed", |_| Fault::Instead(Answer::new(405, "")), "failed", 1),
];

/// Faults of a `GET` of a manifest, which is a pull: never asked for twice, but where it was refused before it counted.
const MANIFESTS: [Row; 13] = [
    row("none", |_| Fault::None, "found", 2),
    row("not-found", |_| Fault::Instead(Answer::new(404, "")), "not-found", 1),
    row("too-many", |_| Fault::Instead(Answer::new(429, "{}")), "rate-limited", 3),
    row("broken", |_| Fault::Instead(Answer::new(500, "<html>")), "failed", 1),
    row("unavailable", |_| Fault::Instead(Answer::new(503, "")), "unreachable", 1),
    row("page", |_| Fault::Instead(Answer::new(200, "<html>hotel</html>").with("content-type", "text/html")), "not-a-registry", 1),
    row("other-body", |_| Fault::Altered(spoilt), "digest-mismatch", 1),
    row("short-body", |_| Fault::Altered(shortened), "unintelligible", 1),
    row("cut-body", |_| Fault::CutBody, "unreachable", 1),
    row("silent-body", |_| Fault::SilentBody, "timeout", 1),
    row("endless", |_| Fault::Altered(endless), "too-long", 1),
    row("nested", |_| Fault::None, "unintelligible", 1),
    row("no-platform", |_| Fault::None, "no-platform", 1),
];

/// Another manifest of the same length.
fn spoilt(mut answer: Answer) -> Answer {
    answer.body = String::from_utf8_lossy(&answer.body).replace("sha256:", "sha256.").into_bytes();
    answer
}

/// A manifest that ends in the middle, with a length that fits and without the digest that would give it away.
fn shortened(mut answer: Answer) -> Answer {
    answer.body.truncate(answer.body.len() / 2);
    let length = answer.body.len().to_string();
    answer.without("docker-content-digest").with("content-length", &length)
}

/// A manifest of five megabytes.
fn endless(mut answer: Answer) -> Answer {
    answer.body.resize(5 * 1024 * 1024, b' ');
    let length = answer.body.len().to_string();
    answer.with("content-length", &length)
}

fn left_out() -> bool {
    programs::skip(&[programs::REGISTRY]).unwrap()
}

/// The repository that `asked` is about: the second component of `/v2/heads/cut/manifests/1`, if the first is `kind`.
fn of<'a>(asked: &'a Asked, kind: &str) -> Option<&'a str> {
    asked.target.strip_prefix("/v2/")?.strip_prefix(kind)?.strip_prefix('/')?.split('/').next()
}

/// A host with a component that may ask every registry, with `tables` of registries.
fn asking(tables: &str) -> Wharf {
    let allow = "allow = [\"digests.read\", \"manifests.read\", \"tags.read\", \"hub.read\", \"catalog.read\", \"catalog.download\"]";
    let plugin =
        format!("[[site.plugin]]\nname = \"asking\"\nsource = \"{REGISTRY}\"\nmount = \"/\"\n[site.plugin.grants.registry]\n{allow}\n");
    host(&format!("{tables}\n[[site]]\nname = \"plant-a\"\n{plugin}"))
}

/// What the component hears of `function`.
#[track_caller]
fn ask(wharf: &Wharf, function: &str, arguments: &Value) -> Value {
    wharf.client().post_json(&format!("/{function}"), arguments).unwrap().json().unwrap()
}

/// The word for `answer`: that of its error, or `found`.
fn word(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or("found")
}

/// Every fault of a `HEAD` in one call.
#[test]
fn a_fault_is_the_error_of_its_own_image_and_never_becomes_a_pull() {
    if left_out() {
        return;
    }
    let registry = Registry::start(false).unwrap();
    for Row { name, .. } in &HEADS {
        registry.push_image(&format!("heads/{name}"), "1", "amd64").unwrap();
    }
    let proxy = FaultProxy::start(registry.address(), |asked| {
        let row = HEADS.iter().find(|row| of(asked, "heads") == Some(row.name));
        row.map_or(Fault::None, |row| (row.fault)(asked))
    });
    let proxy = proxy.unwrap();
    let wharf = asking("");
    let references: Vec<String> = HEADS.iter().map(|row| format!("{}/heads/{}:1", proxy.address(), row.name)).collect();
    let answers = ask(&wharf, "digests-read.heads", &json!({ "references": references }));
    let mut complaints = String::new();
    for (index, row) in HEADS.iter().enumerate() {
        let (found, asked) = (word(&answers[index]), proxy.count(&format!("HEAD /v2/heads/{}/", row.name)));
        if found != row.word || asked == 0 || asked > row.most_requests {
            writeln!(complaints, "{}: {found} after {asked} requests, expected {} after at most {}", row.name, row.word, row.most_requests)
                .unwrap();
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}{answers:#}");
    assert_eq!(proxy.count("GET "), 1, "only the question how to ask: {:?}", proxy.asked());
    let good: Vec<String> = (0..50).map(|_| references[0].clone()).collect();
    assert!(ask(&wharf, "digests-read.heads", &json!({ "references": good })).as_array().unwrap().iter().all(Value::is_string));
}

/// Every fault of a manifest, at the same time as the others.
#[test]
fn a_manifest_that_is_not_what_it_should_be_is_named_and_not_fetched_again() {
    if left_out() {
        return;
    }
    let registry = Registry::start(false).unwrap();
    for Row { name, .. } in &MANIFESTS {
        let repository = format!("gets/{name}");
        let amd64 = registry.push_image(&repository, "amd64", "amd64").unwrap();
        let arm64 = registry.push_image(&repository, "arm64", "arm64").unwrap();
        let index = match *name {
            "no-platform" => registry.push_index(&repository, "1", &[arm64]).unwrap(),
            _ => registry.push_index(&repository, "1", &[amd64, arm64]).unwrap(),
        };
        if *name == "nested" {
            registry.push_index(&repository, "1", &[index]).unwrap();
        }
    }
    let proxy = FaultProxy::start(registry.address(), |asked| {
        let row = MANIFESTS.iter().find(|row| of(asked, "gets") == Some(row.name));
        row.map_or(Fault::None, |row| (row.fault)(asked))
    });
    let (proxy, wharf) = (proxy.unwrap(), asking(""));
    let found = std::thread::scope(|scope| {
        let (proxy, wharf) = (&proxy, &wharf);
        let asked = MANIFESTS.iter().map(|row| {
            scope.spawn(move || {
                let reference = format!("{}/gets/{}:1", proxy.address(), row.name);
                ask(wharf, "manifests-read.fetch-platform", &json!({ "reference": reference, "platform": "linux/amd64" }))
            })
        });
        let asked: Vec<_> = asked.collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut complaints = String::new();
    for (row, answer) in MANIFESTS.iter().zip(&found) {
        let asked = proxy.count(&format!("GET /v2/gets/{}/manifests/", row.name));
        if word(answer) != row.word || asked == 0 || asked > row.most_requests {
            writeln!(
                complaints,
                "{}: {answer} after {asked} requests, expected {} after at most {}",
                row.name, row.word, row.most_requests
            )
            .unwrap();
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// Configuration and tags of a real registry.
#[test]
fn configurations_and_tags_come_from_the_registry() {
    if left_out() {
        return;
    }
    let registry = Registry::start(false).unwrap();
    let mut descriptors = Vec::new();
    for architecture in ["amd64", "arm64"] {
        descriptors.push(registry.push_image("team/app", architecture, architecture).unwrap());
    }
    let index = registry.push_index("team/app", "1", &descriptors).unwrap();
    let wharf = asking("");
    let reference = format!("{}/team/app:1", registry.address());
    let heads = ask(&wharf, "digests-read.heads", &json!({ "references": [reference] }));
    assert_eq!(heads[0], index["digest"]);
    let config = ask(&wharf, "manifests-read.fetch-config", &json!({ "reference": reference, "platform": "linux/arm64" }));
    assert_eq!((&config["manifest"], &config["config"]["architecture"]), (&descriptors[1]["digest"], &json!("arm64")), "{config}");
    for (limit, count, complete) in [(10, 3, true), (2, 2, false)] {
        let list = ask(&wharf, "tags-read.list", &json!({ "reference": reference, "limit": limit }));
        let tags: Vec<&str> = list["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
        let known = tags.iter().all(|tag| ["1", "amd64", "arm64"].contains(tag));
        assert!(known && tags.len() == count && list["complete"] == complete, "{list}");
    }
    let absent = json!({ "reference": format!("{}/team/absent", registry.address()), "limit": 10 });
    assert_eq!(word(&ask(&wharf, "tags-read.list", &absent)), "not-found");
}

/// A registry that wants a password has it from a file that the plugin cannot read.
#[test]
fn a_closed_registry_is_asked_in_the_operators_name() {
    if left_out() {
        return;
    }
    let registry = Registry::start(true).unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), PASSWORD).unwrap();
    let table = format!(
        "[registry.\"{}\"]\nusername = \"{USER}\"\npassword = {{ secret_file = \"{}\" }}",
        registry.address(),
        secret.path().display()
    );
    let references = json!({ "references": [format!("{}/absent", registry.address())] });
    let with_name = ask(&asking(&table), "digests-read.heads", &references);
    let without = ask(&asking(""), "digests-read.heads", &references);
    assert_eq!((word(&with_name[0]), word(&without[0])), ("not-found", "unauthorized"), "{with_name} {without}");
    assert!(!with_name.to_string().contains(PASSWORD));
}

/// Tokens are good for so many requests, and then for none: as when one expires in the middle of a run.
#[test]
fn a_token_that_expires_in_the_middle_costs_no_image() {
    if left_out() {
        return;
    }
    let registry = Registry::start(false).unwrap();
    for number in 0..60 {
        registry.push_image(&format!("run/{number}"), "1", "amd64").unwrap();
    }
    let (given, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let proxy = FaultProxy::start(registry.address(), move |asked| {
        if asked.target.starts_with("/token?") {
            let token = given.fetch_add(1, Ordering::SeqCst);
            return Fault::Instead(Answer::new(200, &format!("{{\"token\":\"t{token}\",\"expires_in\":300}}")));
        }
        let good = match asked.header("authorization") {
            "Bearer t0" => used.fetch_add(1, Ordering::SeqCst) < 20,
            other => other.starts_with("Bearer "),
        };
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"proxy\",error=\"invalid_token\"", asked.header("host"));
        if good { Fault::None } else { Fault::Instead(Answer::new(401, "").with("www-authenticate", &challenge)) }
    });
    let proxy = proxy.unwrap();
    let references: Vec<String> = (0..60).map(|number| format!("{}/run/{number}:1", proxy.address())).collect();
    let answers = ask(&asking(""), "digests-read.heads", &json!({ "references": references }));
    assert!(answers.as_array().unwrap().iter().all(Value::is_string), "{answers:#}");
    assert_eq!(proxy.count("GET /token?"), 2, "one for all images, and another when it ended");
    assert_eq!(proxy.count("GET "), 3);
}

/// A certificate for loopback that is good from `from` to `until`, with its key, as PEM.
fn certificate(from: i32, until: i32) -> (String, String) {
    let mut parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// What a host hears of a registry with this certificate, which it trusts if `trusted`.
#[track_caller]
fn check_certificate(from: i32, until: i32, trusted: bool, expected: &str) {
    let (certificate, key) = certificate(from, until);
    let registry = Registry::start_with_tls(&certificate, &key).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &certificate).unwrap();
    let trust = if trusted { format!("ca_file = \"{}\"", file.path().display()) } else { "plain_http = false".to_owned() };
    let wharf = asking(&format!("[registry.\"{}\"]\n{trust}", registry.address()));
    let references = json!({ "references": [format!("{}/absent", registry.address())] });
    let answers = ask(&wharf, "digests-read.heads", &references);
    assert_eq!(word(&answers[0]), expected, "{answers} {}", registry.log());
}

#[test]
fn a_certificate_must_be_valid_and_known() {
    if left_out() {
        return;
    }
    check_certificate(2020, 4000, true, "not-found");
    check_certificate(2020, 4000, false, "certificate");
    check_certificate(2020, 2021, true, "certificate");
}

/// Many images of one registry, none of which is near.
#[test]
fn many_images_take_one_request_each_over_few_connections() {
    if left_out() {
        return;
    }
    let registry = Registry::start(false).unwrap();
    for number in 0..100 {
        registry.push_image(&format!("many/{number}"), "1", "amd64").unwrap();
    }
    let (proxy, wharf) = (FaultProxy::start(registry.address(), |_| Fault::Late(Duration::from_millis(20))).unwrap(), asking(""));
    let references: Vec<String> = (0..100).map(|number| format!("{}/many/{number}:1", proxy.address())).collect();
    for _ in 0..2 {
        let answers = ask(&wharf, "digests-read.heads", &json!({ "references": references }));
        assert!(answers.as_array().unwrap().iter().all(Value::is_string), "{answers:#}");
    }
    assert_eq!((proxy.count("HEAD "), proxy.count("GET ")), (200, 1));
    assert!(proxy.connections() <= 32, "{} connections", proxy.connections());
}

/// What was asked is counted, and under no name that a plugin made up.
#[test]
fn requests_to_registries_are_counted() {
    if left_out() {
        return;
    }
    let registry = Registry::start(false).unwrap();
    registry.push_image("a", "1", "amd64").unwrap();
    let proxy = FaultProxy::start(registry.address(), |_| {
        Fault::Altered(|answer| answer.with("ratelimit-limit", "100;w=21600").with("ratelimit-remaining", "76;w=21600"))
    });
    let proxy = proxy.unwrap();
    let wharf = asking("");
    let reference = format!("{}/a:1", proxy.address());
    ask(&wharf, "digests-read.heads", &json!({ "references": [reference] }));
    assert_eq!(ask(&wharf, "digests-read.last-quota", &json!({ "reference": reference })), json!([100, 76]));
    let counted = poll(Duration::from_secs(10), || {
        let text = wharf.admin().get("/metrics")?.text()?.to_owned();
        let expected = [
            "wharf_registry_requests_total{registry=\"other\",method=\"HEAD\",status=\"200\"} 1",
            "wharf_registry_quota_remaining{registry=\"other\"} 76",
            "wharf_registry_connections_total 1",
        ];
        Ok(expected.iter().all(|line| text.contains(line)).then_some(()))
    });
    assert!(counted.unwrap().is_some(), "{}", wharf.admin().get("/metrics").unwrap().text().unwrap());
}
