//! Manifests, configurations and tags.

use super::super::scripted::{Asked, INDEX, MANIFEST};
use super::*;
use crate::backend::registry::manifest::Hasher;
use serde_json::json;

fn digest_of(bytes: &[u8]) -> String {
    let mut hasher = Hasher::like(None);
    hasher.update(bytes);
    hasher.digest()
}

/// An index with one image for linux/amd64, and where each of its parts is.
struct Image {
    index: String,
    manifest: String,
    config: String,
}

impl Image {
    fn new() -> Image {
        let config = json!({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["sh"]}}).to_string();
        let descriptor =
            json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config.as_bytes()), "size": config.len()});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": []}).to_string();
        let platform = json!({"os": "linux", "architecture": "amd64"});
        let entry = json!({"mediaType": MANIFEST, "digest": digest_of(manifest.as_bytes()), "size": manifest.len(), "platform": platform});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string();
        Image { index, manifest, config }
    }

    /// What a registry answers that has it.
    fn answer(&self, asked: &Asked) -> Answer {
        let path = asked.target.as_str();
        if path.ends_with(&digest_of(self.manifest.as_bytes())) {
            return Answer::status(200).with("content-type", MANIFEST).body(self.manifest.clone());
        }
        if path.ends_with(&digest_of(self.config.as_bytes())) {
            return Answer::status(200).body(self.config.clone());
        }
        if path.contains("/manifests/") {
            return Answer::status(200).with("content-type", INDEX).body(self.index.clone());
        }
        Answer::status(200)
    }
}

fn amd64() -> Platform {
    Platform::parse("linux/amd64").unwrap()
}

#[tokio::test]
async fn a_configuration_is_found_through_the_index_and_what_never_changes_is_asked_for_once() {
    let image = Image::new();
    let config = image.config.clone();
    let registry = Scripted::start(move |asked| image.answer(asked)).await;
    let (client, reference) = (client(&[]), reference(&registry, "a:1"));
    for _ in 0..2 {
        let found = client.config(&reference, &amd64()).await.unwrap();
        assert_eq!((found.bytes.as_ref(), found.digest), (config.as_bytes(), digest_of(config.as_bytes())));
        assert_eq!(found.manifest.media_type, MANIFEST);
    }
    assert_eq!((registry.count("GET /v2/a/manifests/1"), registry.count("GET /v2/a/manifests/sha256:")), (2, 1));
    let arm = Platform::parse("linux/arm/v7").unwrap();
    assert_eq!(client.platform_manifest(&reference, &arm).await.unwrap_err().word(), "no-platform");
}

/// What becomes of the manifest that is `answer`, and that it was asked for once: each is a pull.
#[track_caller]
fn check_manifest(runtime: &tokio::runtime::Runtime, answer: impl Fn() -> Answer + Send + Sync + 'static, expected: &str) {
    let word = runtime.block_on(async {
        let registry = Scripted::start(move |asked| if asked.target == "/v2/" { Answer::status(200) } else { answer() }).await;
        let outcome = client(&[]).platform_manifest(&reference(&registry, "a:1"), &amd64()).await;
        assert_eq!(registry.count("GET /v2/a/manifests"), 1);
        outcome.err().map_or("fine", |error| error.word())
    });
    assert_eq!(word, expected);
}

#[test]
fn what_is_no_manifest_is_named() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let typed = |media_type: &'static str, body: String| move || Answer::status(200).with("content-type", media_type).body(body.clone());
    let manifest = Image::new().manifest;
    check_manifest(&runtime, typed(MANIFEST, manifest.clone()), "fine");
    check_manifest(&runtime, typed(MANIFEST, manifest[..manifest.len() - 9].to_owned()), "unintelligible");
    check_manifest(&runtime, typed("text/html", "<html>".to_owned()), "not-a-registry");
    check_manifest(&runtime, typed(MANIFEST, " ".repeat(5 * 1024 * 1024)), "too-long");
    check_manifest(&runtime, move || typed(MANIFEST, manifest.clone())().with("docker-content-digest", &digest('a')), "digest-mismatch");
    let platform = json!({"os": "linux", "architecture": "amd64"});
    let nested = json!({"mediaType": INDEX, "digest": digest('a'), "size": 1, "platform": platform});
    check_manifest(&runtime, typed(INDEX, json!({"schemaVersion": 2, "manifests": [nested]}).to_string()), "unintelligible");
    check_manifest(&runtime, || Answer::status(500), "failed");
    check_manifest(&runtime, || Answer::status(503), "unreachable");
}

#[tokio::test]
async fn a_redirect_to_another_server_carries_no_secret() {
    let image = Image::new();
    let (config, path) = (image.config.clone(), format!("/v2/a/blobs/{}", digest_of(image.config.as_bytes())));
    let body = config.clone();
    let store = Scripted::start(move |asked| {
        if asked.header("authorization").is_empty() { Answer::status(200).body(body.clone()) } else { Answer::status(400) }
    })
    .await;
    let target = format!("http://{}/elsewhere?signature=1", store.address);
    let registry = Scripted::start(move |asked| match asked.header("authorization") {
        "" => Answer::status(401).with("www-authenticate", "Basic realm=\"x\""),
        _ if asked.target == path => Answer::status(307).with("location", "/here"),
        _ if asked.target == "/here" => Answer::status(307).with("location", &target),
        _ => image.answer(asked),
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "pw").unwrap();
    let client = client(&[(&registry.address.to_string(), with_password("ci", file.path()))]);
    let found = client.config(&reference(&registry, "a:1"), &amd64()).await.unwrap();
    assert_eq!(found.bytes.as_ref(), config.as_bytes());
    assert_eq!((store.asked(), registry.count("GET /here")), (vec!["GET /elsewhere?signature=1".to_owned()], 1));
}

#[tokio::test]
async fn a_server_behind_a_redirect_cannot_ask_for_the_registrys_password() {
    let thief = Scripted::start(|asked| match asked.target.as_str() {
        "/token" => Answer::status(200).body("{\"token\":\"t\"}"),
        _ => Answer::status(401).with("www-authenticate", &format!("Bearer realm=\"http://{}/token\"", asked.header("host"))),
    })
    .await;
    let target = format!("http://{}/x", thief.address);
    let registry = Scripted::start(move |asked| match asked.header("authorization") {
        "" => Answer::status(401).with("www-authenticate", "Basic realm=\"x\""),
        _ => Answer::status(307).with("location", &target),
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "pw").unwrap();
    let client = client(&[(&registry.address.to_string(), with_password("ci", file.path()))]);
    assert_eq!(words(&client.heads(&[reference(&registry, "a")]).await), ["unauthorized"]);
    assert_eq!(thief.asked(), ["HEAD /x"], "no token was asked for, and so no password sent");
}

#[tokio::test]
async fn a_configuration_that_is_another_is_refused() {
    let image = Image::new();
    let (path, other) = (digest_of(image.config.as_bytes()), "x".repeat(image.config.len()));
    let registry =
        Scripted::start(
            move |asked| if asked.target.ends_with(&path) { Answer::status(200).body(other.clone()) } else { image.answer(asked) },
        )
        .await;
    let error = client(&[]).config(&reference(&registry, "a:1"), &amd64()).await.unwrap_err();
    assert_eq!(error.word(), "digest-mismatch");
}

/// A repository with the tags 0 to 9 on pages of three.
async fn with_tags() -> Scripted {
    Scripted::start(|asked| {
        let Some((_, query)) = asked.target.split_once("/v2/a/tags/list?") else { return Answer::status(200) };
        let last =
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "last").map(|(_, value)| value.parse::<usize>().unwrap());
        let first = last.map_or(0, |last| last + 1);
        let tags: Vec<String> = (first..(first + 3).min(10)).map(|number| number.to_string()).collect();
        let answer = Answer::status(200).body(json!({"name": "a", "tags": tags}).to_string());
        if first + 3 < 10 { answer.with("link", &format!("</v2/a/tags/list?last={}&n=3>; rel=\"next\"", first + 2)) } else { answer }
    })
    .await
}

#[tokio::test]
async fn tags_are_read_page_by_page_up_to_the_limit() {
    let registry = with_tags().await;
    let (client, reference) = (client(&[]), reference(&registry, "a"));
    let all = client.tags(&reference, 100).await.unwrap();
    assert_eq!((all.tags.join(""), all.complete), ("0123456789".to_owned(), true));
    let some = client.tags(&reference, 4).await.unwrap();
    assert_eq!((some.tags.join(""), some.complete), ("0123".to_owned(), false));
    let exact = client.tags(&reference, 10).await.unwrap();
    assert_eq!((exact.tags.len(), exact.complete), (10, true));
}

#[tokio::test]
async fn pages_that_lead_elsewhere_or_never_end_are_left() {
    let elsewhere =
        Scripted::start(|_| Answer::status(200).body("{\"tags\":null}").with("link", "<http://10.0.0.1/v2/a/tags/list>; rel=next")).await;
    assert_eq!(client(&[]).tags(&reference(&elsewhere, "a"), 100).await.unwrap_err().word(), "unintelligible");
    let pages = std::sync::atomic::AtomicUsize::new(0);
    let endless = Scripted::start(move |_| {
        let page = pages.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Answer::status(200).body("{\"tags\":[]}").with("link", &format!("<?n={page}>; rel=next"))
    })
    .await;
    let tags = client(&[]).tags(&reference(&endless, "a"), 100).await.unwrap();
    assert_eq!((tags.tags.len(), tags.complete), (0, false));
    assert_eq!(endless.count("GET /v2/a/tags"), 100);
}
