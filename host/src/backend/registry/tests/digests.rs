//! Digests: how many requests they take, and that what goes wrong with one stays with it.

use std::time::Instant;

use super::super::scripted::MANIFEST;
use super::*;

#[tokio::test]
async fn one_head_for_each_image_and_one_question_for_the_registry() {
    let registry = Scripted::start(|asked| if asked.method == "HEAD" { Answer::manifest(&digest('a')) } else { Answer::status(200) }).await;
    let references: Vec<_> = (0..200).map(|number| reference(&registry, &format!("bench/{number}:1"))).collect();
    let heads = client(&[]).heads(&references).await;
    assert!(heads.iter().all(|head| head.as_ref().unwrap().digest == digest('a')));
    assert_eq!((registry.count("HEAD "), registry.count("GET /v2/"), registry.asked().len()), (200, 1, 201));
    assert!(registry.connections() <= CONNECTIONS, "{} connections", registry.connections());
}

#[tokio::test]
async fn answers_are_in_the_order_of_the_references_and_each_is_asked_for_once() {
    let registry = Scripted::start(|asked| Answer::manifest(&digest(asked.target.chars().last().unwrap()))).await;
    let references = ["x:b", "x:a", "x:b"].map(|text| reference(&registry, text));
    let heads = client(&[]).heads(&references).await;
    assert_eq!(words(&heads), [digest('b'), digest('a'), digest('b')]);
    assert_eq!(registry.count("HEAD "), 2);
}

#[tokio::test]
async fn what_goes_wrong_with_one_stays_with_it_and_never_becomes_a_pull() {
    let registry = Scripted::start(|asked| {
        let good = || Answer::manifest(&digest('a'));
        match asked.target.as_str() {
            "/v2/" => Answer::status(200),
            target if target.contains("/unauthorized/") => Answer::status(401),
            target if target.contains("/forbidden/") => Answer::status(403),
            target if target.contains("/gone/") => Answer::status(404),
            target if target.contains("/limited/") => Answer::status(429),
            target if target.contains("/later/") => Answer::status(429).with("retry-after", "3600"),
            target if target.contains("/broken/") => Answer::status(500),
            target if target.contains("/away/") => Answer::status(503),
            target if target.contains("/method/") => Answer::status(405),
            target if target.contains("/page/") => good().with("content-type", "text/html"),
            target if target.contains("/untyped/") => Answer::status(200).with("docker-content-digest", &digest('a')),
            target if target.contains("/nameless/") => Answer::status(200).with("content-type", MANIFEST),
            target if target.contains("/misnamed/") => {
                Answer::status(200).with("content-type", MANIFEST).with("docker-content-digest", "sha256:12")
            }
            target if target.contains("/circle/") => Answer::status(302).with("location", target),
            target if target.contains("/nowhere/") => Answer::status(302),
            target if target.contains("/scheme/") => Answer::status(302).with("location", "file:///etc/passwd"),
            _ => good(),
        }
    })
    .await;
    let cases = [
        ("unauthorized", "unauthorized"),
        ("forbidden", "forbidden"),
        ("gone", "not-found"),
        ("limited", "rate-limited"),
        ("later", "rate-limited"),
        ("broken", "failed"),
        ("away", "unreachable"),
        ("method", "failed"),
        ("untyped", "not-a-registry"),
        ("nameless", "no-digest"),
        ("misnamed", "no-digest"),
        ("circle", "redirected"),
        ("nowhere", "redirected"),
        ("scheme", "refused"),
        ("good", digest('a').as_str()),
    ]
    .map(|(name, expected)| (name, expected.to_owned()));
    let references: Vec<_> = cases.iter().map(|(name, _)| reference(&registry, &format!("{name}/x"))).collect();
    let heads = client(&[]).heads(&references).await;
    assert_eq!(words(&heads), cases.map(|(_, expected)| expected));
    assert_eq!(registry.count("GET "), 1, "only the question how to ask: {:?}", registry.asked());
}

#[tokio::test]
async fn a_registry_that_hangs_slows_no_other_and_fails_as_a_whole() {
    let hanging = Scripted::start(|_| Answer::never()).await;
    let good = Scripted::start(|_| Answer::manifest(&digest('a'))).await;
    let mut references: Vec<_> = (0..100).map(|number| reference(&hanging, &format!("a/{number}"))).collect();
    references.extend((0..100).map(|number| reference(&good, &format!("a/{number}"))));
    let client = client(&[]);
    let started = Instant::now();
    let alone = client.heads(&references[100..]);
    let (heads, alone) = tokio::join!(client.heads(&references), async {
        let heads = alone.await;
        (heads, started.elapsed())
    });
    assert!(alone.1 < PATIENCE.head, "the good registry's images took {:?} beside the hanging one", alone.1);
    assert!(words(&heads[..100]).iter().all(|word| word == "timeout") && words(&heads[100..]).iter().all(|word| *word == digest('a')));
    assert!(alone.0.iter().all(Result::is_ok));
    assert_eq!(hanging.asked().len(), 1, "a registry that does not say how to ask is not asked for each image");
}

#[tokio::test]
async fn a_registry_that_has_had_enough_is_left_alone() {
    let registry = Scripted::start(|asked| match asked.target.as_str() {
        "/v2/" => Answer::status(200),
        _ => Answer::status(429).with("retry-after", "60"),
    })
    .await;
    let references: Vec<_> = (0..500).map(|number| reference(&registry, &format!("a/{number}"))).collect();
    let heads = client(&[]).heads(&references).await;
    assert!(words(&heads).iter().all(|word| word == "rate-limited"));
    assert!(registry.count("HEAD ") <= 8 + CONNECTIONS, "{} requests after it said to wait", registry.count("HEAD "));
}

#[tokio::test]
async fn a_refusal_that_passes_is_waited_for() {
    let refused = std::sync::atomic::AtomicBool::new(false);
    let registry = Scripted::start(move |asked| match asked.method.as_str() {
        "HEAD" if !refused.swap(true, std::sync::atomic::Ordering::SeqCst) => Answer::status(429).with("retry-after", "0"),
        _ => Answer::manifest(&digest('a')),
    })
    .await;
    let heads = client(&[]).heads(&[reference(&registry, "a")]).await;
    assert_eq!(words(&heads), [digest('a')]);
    assert_eq!(registry.count("HEAD "), 2);
}

#[tokio::test]
async fn a_registry_may_say_that_nothing_changed() {
    let registry = Scripted::start(|asked| match asked.header("if-none-match") {
        "\"tag\"" => Answer::status(304),
        _ => Answer::manifest(&digest('a')).with("etag", "\"tag\"").with("content-length", "0"),
    })
    .await;
    let (client, references) = (client(&[]), [reference(&registry, "a")]);
    let first = client.heads(&references).await;
    assert_eq!(client.heads(&references).await, first);
    assert_eq!(words(&first), [digest('a')]);
}

#[tokio::test]
async fn a_digest_that_is_asked_for_is_the_one_that_is_answered() {
    let registry = Scripted::start(|_| Answer::manifest(&digest('a'))).await;
    let references = ['a', 'b'].map(|digit| reference(&registry, &format!("x@{}", digest(digit))));
    assert_eq!(words(&client(&[]).heads(&references).await), [digest('a'), "digest-mismatch".to_owned()]);
}

#[tokio::test]
async fn the_host_does_not_ask_itself() {
    let registry = Scripted::start(|_| Answer::manifest(&digest('a'))).await;
    let own = OwnListeners::default();
    own.add(registry.address);
    let client = Registries::with(BTreeMap::new(), own, Arc::new(Counted::default()), PATIENCE);
    let references = [
        reference(&registry, "a"),
        ImageReference::parse("169.254.169.254/latest/meta-data").unwrap(),
        ImageReference::parse("10.0.0.1/a").unwrap(),
    ];
    assert_eq!(words(&client.heads(&references).await), ["refused", "refused", "refused"]);
    assert_eq!(registry.connections(), 0);
}

#[tokio::test]
async fn what_a_registry_says_of_its_quota_is_kept_and_counted_under_a_name_of_the_configuration() {
    let registry = Scripted::start(|_| {
        Answer::manifest(&digest('a')).with("ratelimit-limit", "100;w=21600").with("ratelimit-remaining", "76;w=21600")
    })
    .await;
    let name = registry.address.to_string();
    let quota = Quota { limit: 100, remaining: 76, window: Some(Duration::from_secs(21600)) };
    for (tables, label) in [(BTreeMap::new(), "other"), (BTreeMap::from([(name.clone(), RegistrySettings::default())]), name.as_str())] {
        let counted = Arc::new(Counted::default());
        let observer: SharedObserver = Arc::clone(&counted) as SharedObserver;
        let client = Registries::with(tables, OwnListeners::default(), observer, PATIENCE);
        assert_eq!(client.quota(&name), None);
        client.heads(&[reference(&registry, "a")]).await;
        assert_eq!(client.quota(&name), Some(quota));
        let events = counted.0.lock().unwrap().clone();
        assert!(events.contains(&(label.to_owned(), RegistryEvent::Quota(quota))), "{events:?}");
        assert!(events.contains(&(label.to_owned(), RegistryEvent::Request { method: "HEAD", status: 200 })), "{events:?}");
        assert!(events.contains(&(String::new(), RegistryEvent::Connection)), "{events:?}");
    }
}
