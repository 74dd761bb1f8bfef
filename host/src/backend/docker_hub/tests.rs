//! Docker Hub and an engine as a test writes them down, on loopback: who is asked, how often, and who answers in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::backend::engine::scripted::{Reply, ScriptedEngine};
use crate::backend::registry::scripted::{Answer, Asked, Scripted};

const PATIENCE: Patience = Patience { provider: Duration::from_secs(2), tags: Duration::from_secs(4) };
const V4: &str = r#"{"total": 1, "results": [{"name": "redis", "badge": "official", "star_count": 4}]}"#;
const V2: &str = r#"{"count": 1, "results": [{"repo_name": "library/redis", "star_count": 2}]}"#;
const ENGINE: &str = r#"[{"name": "redis", "star_count": 1}]"#;
const PAGE: &str = "<!DOCTYPE html><title>Just a moment...</title>";

/// A hub whose searches and tags are at `address`.
fn hub(address: &str, further: impl FnOnce(&mut DockerHubSettings)) -> Hub {
    let base = Url::parse(&format!("http://{address}")).unwrap();
    let search = vec![SearchProvider::V4, SearchProvider::V2, SearchProvider::Engine];
    let mut settings = DockerHubSettings { search, search_v4: base.clone(), search_v2: base.clone(), tags: base, engine_index: None };
    further(&mut settings);
    let hub = Hub::with(Registries::for_test(BTreeMap::new()), PATIENCE);
    hub.configure(settings);
    hub
}

fn engine(status: u16, body: &'static str) -> (ScriptedEngine, SearchEngine) {
    let scripted = ScriptedEngine::start(("1.41", "1.12"), move |_, _| Reply::json(status, body));
    let engine = SearchEngine::new(Arc::new(scripted.engine()));
    (scripted, engine)
}

/// What the two searches of the web and the engine answer, and who answers in the end, or the word for it.
#[track_caller]
fn check_row(found: Result<Arc<SearchResults>, HubError>, expected: &str, row: &str) {
    let shown = match found {
        Ok(found) => format!("{} {}", found.provider, found.repositories.iter().map(|found| found.stars).sum::<u64>()),
        Err(HubError::Unavailable { word, .. }) => word.to_owned(),
        Err(HubError::Timeout(_)) => "timeout".to_owned(),
        Err(HubError::NotFound) => "not-found".to_owned(),
    };
    assert_eq!(shown, expected, "{row}");
}

#[tokio::test]
async fn providers_are_asked_in_turn_until_one_answers() {
    let answer = |what: &str| match what {
        "v4" => Answer::status(200).body(V4),
        "v2" => Answer::status(200).body(V2),
        "nothing" => Answer::status(200).body(r#"{"results": []}"#),
        "page" => Answer::status(200).with("content-type", "text/html").body(PAGE),
        "text" => Answer::status(200).body("hello"),
        "other" => Answer::status(200).body(r#"{"message": "moved"}"#),
        "hangs" => Answer::never(),
        "metadata" => Answer::status(302).with("location", "http://169.254.169.254/latest"),
        "long" => Answer::status(200).body(vec![b' '; MAX_LIST_BYTES + 1]),
        status => Answer::status(status.parse().unwrap()).body(PAGE),
    };
    let rows = [
        ("v4", "v2", Some((200, ENGINE)), "hub-v4 4"),
        ("nothing", "v2", Some((200, ENGINE)), "hub-v4 0"),
        ("page", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("403", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("404", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("429", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("500", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("text", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("other", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("hangs", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("metadata", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("long", "v2", Some((200, ENGINE)), "hub-v2 2"),
        ("400", "404", Some((200, ENGINE)), "engine 1"),
        ("page", "page", Some((200, "[]")), "engine 0"),
        ("page", "page", Some((200, "null")), "engine 0"),
        ("403", "404", Some((500, "{\"message\": \"no route\"}")), "failed"),
        ("403", "404", Some((200, "{}")), "unintelligible"),
        ("403", "429", None, "rate-limited"),
        ("429", "403", None, "forbidden"),
        ("429", "404", None, "failed"),
        ("v2", "page", None, "not-a-registry"),
        ("404", "503", None, "unreachable"),
        ("404", "metadata", None, "refused"),
        ("404", "long", None, "too-long"),
        ("404", "hangs", None, "timeout"),
    ];
    for (v4, v2, engine_answer, expected) in rows {
        let row = format!("{v4}, {v2}, {engine_answer:?}");
        let server = Scripted::start(move |asked| answer(if asked.target.starts_with("/api/search/v4") { v4 } else { v2 })).await;
        let engine = engine_answer.map(|(status, body)| engine(status, body));
        let found = hub(&server.address.to_string(), |_| {}).search("redis", 25, engine.as_ref().map(|(_, engine)| engine)).await;
        check_row(found, expected, &row);
    }
}

#[tokio::test]
async fn the_reason_names_each_provider() {
    let server = Scripted::start(|asked| match asked.target.starts_with("/api") {
        true => Answer::status(429).with("retry-after", "7").body("Too Many Requests"),
        false => Answer::status(200).body(PAGE),
    })
    .await;
    let hub = hub(&server.address.to_string(), |_| {});
    let Err(HubError::Unavailable { word, reason }) = hub.search("redis", 25, None).await else { panic!("somebody answered") };
    let expected = "no provider of Docker Hub's search can be used: \
                    hub-v4: status 429 (Too Many Requests), and says to come again in 7 s; hub-v2: a web page where data was expected";
    assert_eq!((word, reason.as_str()), ("not-a-registry", expected));
}

#[tokio::test]
async fn a_search_goes_only_where_the_settings_say() {
    let server = Scripted::start(|asked| Answer::status(200).body(if asked.target.starts_with("/api") { V4 } else { V2 })).await;
    let address = server.address.to_string();
    let (scripted, engine) = engine(200, ENGINE);
    for (search, expected) in [
        (vec![SearchProvider::V2, SearchProvider::V4], "hub-v2 2"),
        (vec![SearchProvider::Engine, SearchProvider::V4], "engine 1"),
        (Vec::new(), "refused"),
    ] {
        let row = format!("{search:?}");
        let found = hub(&address, |settings| settings.search = search).search("redis", 25, Some(&engine)).await;
        check_row(found, expected, &row);
    }
    let nobody = Hub::with(Registries::for_test(BTreeMap::new()), PATIENCE);
    check_row(nobody.search("redis", 25, Some(&engine)).await, "refused", "before there are settings");
    let alone = hub(&address, |settings| settings.search = vec![SearchProvider::Engine]);
    check_row(alone.search("redis", 25, None).await, "refused", "without an engine");
    assert_eq!(server.asked(), ["GET /v2/search/repositories/?query=redis&page=1&page_size=25"]);
    assert_eq!(scripted.seen().len(), 1);
}

/// An engine goes to what stands before the first slash of a term; so no term stands there.
#[tokio::test]
async fn no_term_sends_an_engine_to_another_index() {
    for (index, term, line) in [
        (None, "redis", "GET /v1.41/images/search?term=docker.io%2Fredis&limit=25"),
        (None, "10.0.0.1:5000/a", "GET /v1.41/images/search?term=docker.io%2F10.0.0.1%3A5000%2Fa&limit=25"),
        (
            Some("127.0.0.1:5099"),
            "localhost/a&limit=1",
            "GET /v1.41/images/search?term=127.0.0.1%3A5099%2Flocalhost%2Fa%26limit%3D1&limit=25",
        ),
    ] {
        let (scripted, engine) = engine(200, ENGINE);
        let hub = hub("127.0.0.1:1", |settings| {
            settings.search = vec![SearchProvider::Engine];
            settings.engine_index = index.map(str::to_owned);
        });
        check_row(hub.search(term, 25, Some(&engine)).await, "engine 1", term);
        assert_eq!(scripted.seen().iter().map(|seen| seen.line.as_str()).collect::<Vec<_>>(), [line]);
    }
}

#[tokio::test]
async fn the_same_question_is_asked_once() {
    let server = Scripted::start(|_| Answer::status(200).body(V4)).await;
    let hub = hub(&server.address.to_string(), |_| {});
    let many = (0..50).map(|_| hub.search("redis", 25, None));
    assert!(futures_util::future::join_all(many).await.iter().all(Result::is_ok));
    assert!(hub.search("redis", 25, None).await.is_ok());
    assert_eq!(server.asked().len(), 1, "however many ask");
    for (term, limit) in [("redis", 24), ("postgres", 25), ("redis", 1_000), ("redis", 100)] {
        assert!(hub.search(term, limit, None).await.is_ok());
    }
    assert_eq!(server.asked().len(), 4, "a hundred is all that is asked for: {:?}", server.asked());
}

#[tokio::test]
async fn no_more_is_answered_than_was_asked_for() {
    let server = Scripted::start(|_| Answer::status(200).body(r#"{"results": [{"name": "a/b"}, {"name": "c/d"}]}"#)).await;
    let hub = hub(&server.address.to_string(), |_| {});
    for (limit, count) in [(0, 0), (1, 1), (2, 2), (50, 2)] {
        assert_eq!(hub.search("a", limit, None).await.unwrap().repositories.len(), count);
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_used_is_left_alone_and_an_error_is_not_kept() {
    let recovered = Arc::new(AtomicBool::new(false));
    let works = Arc::clone(&recovered);
    let server = Scripted::start(move |asked| match (asked.target.starts_with("/api"), works.load(Ordering::SeqCst)) {
        (false, true) => Answer::status(200).body(V2),
        (false, false) => Answer::status(400),
        (true, _) => Answer::status(429).with("x-retry-after", "99999999999"),
    })
    .await;
    let hub = hub(&server.address.to_string(), |_| {});
    check_row(hub.search("redis", 25, None).await, "failed", "at first");
    // What was wrong with one question is no reason not to ask another, or the same again.
    recovered.store(true, Ordering::SeqCst);
    check_row(hub.search("redis", 25, None).await, "hub-v2 2", "then");
    check_row(hub.search("postgres", 25, None).await, "hub-v2 2", "then");
    assert_eq!((server.count("GET /api"), server.count("GET /v2")), (1, 3));
}

#[tokio::test]
async fn other_settings_are_asked_anew() {
    let server = Scripted::start(|_| Answer::status(403)).await;
    let hub = hub(&server.address.to_string(), |_| {});
    let mut settings = hub.0.state.load().settings.clone().unwrap();
    for (search, count) in [(vec![SearchProvider::V4], 1), (vec![SearchProvider::V4], 1), (vec![SearchProvider::V4, SearchProvider::V2], 3)]
    {
        settings.search = search;
        hub.configure(settings.clone());
        check_row(hub.search("redis", 25, None).await, "forbidden", "");
        assert_eq!(server.asked().len(), count);
    }
}

/// Pages of `all` tags, in the shape of Docker Hub, whose `next` leads to another place.
fn tags_of(asked: &Asked, all: usize) -> Answer {
    let query: BTreeMap<String, usize> = url::form_urlencoded::parse(asked.target.split_once('?').unwrap().1.as_bytes())
        .map(|(key, value)| (key.into_owned(), value.parse().unwrap()))
        .collect();
    let first = (query["page"] - 1) * query["page_size"];
    let results: Vec<_> = (first..all.min(first + query["page_size"])).map(|tag| serde_json::json!({"name": tag.to_string()})).collect();
    let next = (first + query["page_size"] < all).then_some("https://elsewhere.example/page");
    Answer::status(200).body(serde_json::json!({"count": all, "next": next, "results": results}).to_string())
}

async fn tags(server: &Scripted, repository: &str, limit: u32) -> Result<Vec<String>, HubError> {
    let reference = ImageReference::parse(repository).unwrap();
    hub(&server.address.to_string(), |_| {}).tags(&reference, limit).await.map(|tags| tags.to_vec())
}

#[tokio::test]
async fn tags_come_page_by_page_in_the_order_of_docker_hub() {
    let server = Scripted::start(|asked| tags_of(asked, 1_234)).await;
    for (limit, pages) in [(0, 1), (100, 1), (250, 3), (5_000, 10)] {
        let before = server.asked().len();
        let found = tags(&server, "redis", limit).await.unwrap();
        let expected: Vec<String> = (0..limit.min(1_000)).map(|tag| tag.to_string()).collect();
        assert_eq!((found, server.asked().len() - before), (expected, pages), "{limit}");
    }
    let first = "GET /v2/namespaces/library/repositories/redis/tags?page_size=100&page=1";
    assert_eq!(server.asked()[0], first);
    let few = Scripted::start(|asked| tags_of(asked, 7)).await;
    assert_eq!(tags(&few, "grafana/grafana:1", 100).await.unwrap().len(), 7);
    assert_eq!(few.asked(), ["GET /v2/namespaces/grafana/repositories/grafana/tags?page_size=100&page=1"]);
}

#[tokio::test]
async fn tags_are_asked_for_once() {
    let server = Scripted::start(|asked| tags_of(asked, 7)).await;
    let hub = hub(&server.address.to_string(), |_| {});
    let reference = ImageReference::parse("redis").unwrap();
    for _ in 0..3 {
        assert_eq!(hub.tags(&reference, 100).await.unwrap().len(), 7);
    }
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn what_docker_hub_does_not_say_of_tags_has_a_word() {
    let rows = [
        (404, "{\"message\": \"object not found\"}", "not-found"),
        (200, PAGE, "not-a-registry"),
        (200, "{}", "unintelligible"),
        (200, "{\"results\": null}", "0 tags"),
        (401, "", "unauthorized"),
        (429, "", "rate-limited"),
        (500, "", "failed"),
        (503, "", "unreachable"),
    ];
    for (status, body, expected) in rows {
        let server = Scripted::start(move |_| Answer::status(status).body(body)).await;
        let shown = match tags(&server, "redis", 10).await {
            Ok(tags) => format!("{} tags", tags.len()),
            Err(HubError::NotFound) => "not-found".to_owned(),
            Err(HubError::Timeout(_)) => "timeout".to_owned(),
            Err(HubError::Unavailable { word, .. }) => word.to_owned(),
        };
        assert_eq!(shown, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn one_repository_without_tags_is_no_reason_not_to_ask_about_others() {
    let server = Scripted::start(|asked| match asked.target.split('/').nth(5) {
        Some("gone") => Answer::status(404),
        Some("secret") => Answer::status(403),
        Some("busy") => Answer::status(429).with("retry-after", "60"),
        _ => tags_of(asked, 1),
    })
    .await;
    let hub = hub(&server.address.to_string(), |_| {});
    let asked = async |name: &str| hub.tags(&ImageReference::parse(&format!("a/{name}")).unwrap(), 10).await.is_ok();
    let mut answered = Vec::new();
    for name in ["gone", "secret", "good", "busy", "other", "good"] {
        answered.push(asked(name).await);
    }
    assert_eq!(answered, [false, false, true, false, false, true], "the last is kept");
    assert_eq!(server.asked().len(), 4, "after `busy` nobody is asked");
}
