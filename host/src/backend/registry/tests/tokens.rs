//! Registries that want a password or a token: how often a token server is asked, and who sees a secret.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A registry whose token server is itself. Tokens are numbered; `accepts` says which token is good for which target, `grants` what the server does for a query.
async fn with_tokens(
    grants: impl Fn(&str) -> Answer + Send + Sync + 'static,
    accepts: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
) -> Scripted {
    Scripted::start(move |asked| {
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"reg\"", asked.header("host"));
        if let Some(query) = asked.target.strip_prefix("/token?") {
            return grants(query);
        }
        if asked.header("authorization").strip_prefix("Bearer ").is_some_and(|token| accepts(token, &asked.target)) {
            return Answer::manifest(&digest('a'));
        }
        Answer::status(401).with("www-authenticate", &challenge).body("{}")
    })
    .await
}

fn token(text: &str) -> Answer {
    Answer::status(200).body(format!("{{\"token\":\"{text}\",\"expires_in\":300}}"))
}

fn images(registry: &Scripted, count: usize) -> Vec<ImageReference> {
    (0..count).map(|number| reference(registry, &format!("bench/{number}:1"))).collect()
}

#[tokio::test]
async fn one_token_serves_all_repositories_of_a_registry() {
    let registry = with_tokens(|_| token("t"), |_, _| true).await;
    let client = client(&[]);
    for _ in 0..2 {
        assert!(client.heads(&images(&registry, 500)).await.iter().all(Result::is_ok));
    }
    assert_eq!((registry.count("GET /token"), registry.count("GET /v2/"), registry.count("HEAD ")), (1, 1, 1_000));
}

#[tokio::test]
async fn many_who_come_one_by_one_wait_for_one_token() {
    let registry = with_tokens(|_| token("t"), |_, _| true).await;
    let (client, same) = (client(&[]), [reference(&registry, "a:1")]);
    let heads = futures_util::future::join_all((0..50).map(|_| client.heads(&same))).await;
    assert!(heads.iter().all(|heads| heads[0].is_ok()));
    assert_eq!(registry.count("GET /token"), 1);
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_renewed_once() {
    let (given, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let registry = with_tokens(
        move |_| token(&given.fetch_add(1, Ordering::SeqCst).to_string()),
        move |token, _| token != "0" || used.fetch_add(1, Ordering::SeqCst) < 50,
    )
    .await;
    assert!(client(&[]).heads(&images(&registry, 200)).await.iter().all(Result::is_ok));
    assert_eq!(registry.count("GET /token"), 2, "one for all, and another for all");
    let again = registry.count("HEAD ") - 200;
    assert!((1..=CONNECTIONS).contains(&again), "{again} were under way and asked once more");
}

#[tokio::test]
async fn a_token_that_lacks_one_repository_stays_good_for_the_others() {
    let registry = Scripted::start(|asked| {
        let challenge = format!("Bearer realm=\"http://{}/token\",error=\"insufficient_scope\"", asked.header("host"));
        if let Some(query) = asked.target.strip_prefix("/token?") {
            return token(if query.matches("scope=").count() > 1 { "all" } else { "one" });
        }
        match asked.header("authorization") {
            "Bearer all" if !asked.target.contains("bench/7/") => Answer::manifest(&digest('a')),
            _ => Answer::status(401).with("www-authenticate", &challenge),
        }
    })
    .await;
    let heads = client(&[]).heads(&images(&registry, 100)).await;
    let failed: Vec<usize> = heads.iter().enumerate().filter(|(_, head)| head.is_err()).map(|(number, _)| number).collect();
    assert_eq!((failed, registry.count("GET /token"), registry.count("HEAD ")), (vec![7], 2, 101));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let given = AtomicUsize::new(0);
    let registry = with_tokens(
        move |_| {
            let text = given.fetch_add(1, Ordering::SeqCst).to_string();
            let life = if text == "0" { 1 } else { 300 };
            Answer::status(200).body(format!("{{\"access_token\":\"{text}\",\"expires_in\":{life}}}"))
        },
        |_, _| true,
    )
    .await;
    let (client, same) = (client(&[]), [reference(&registry, "a:1")]);
    let started = Instant::now();
    while registry.count("GET /token") < 2 {
        assert!(client.heads(&same).await[0].is_ok());
        assert!(started.elapsed() < Duration::from_secs(10), "the token was not renewed");
        tokio::task::yield_now().await;
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_repository_that_the_token_server_refuses_costs_no_other_its_token() {
    let registry = with_tokens(
        |query| {
            if query.contains("repository:bench/7:") {
                Answer::status(403).body("{\"errors\":[{\"code\":\"DENIED\"}]}")
            } else {
                token("t")
            }
        },
        |_, _| true,
    )
    .await;
    let heads = client(&[]).heads(&images(&registry, 100)).await;
    let failed: Vec<usize> = heads.iter().enumerate().filter(|(_, head)| head.is_err()).map(|(number, _)| number).collect();
    assert_eq!(failed, [7]);
    assert_eq!(words(&heads[7..8]), ["forbidden"]);
    assert!(registry.count("GET /token") <= 1 + 2 * 7, "halving finds it: {}", registry.count("GET /token"));
}

#[tokio::test]
async fn a_token_that_fits_into_no_header_is_not_taken() {
    let registry = with_tokens(|query| token(&"x".repeat(query.matches("scope=").count() * 500)), |token, _| token.len() < 9_000).await;
    assert!(client(&[]).heads(&images(&registry, 40)).await.iter().all(Result::is_ok));
    assert_eq!(registry.count("GET /token"), 7, "40, 20, 20, and four of 10");
}

#[tokio::test]
async fn a_token_server_that_is_down_is_not_asked_for_each_image() {
    let registry = with_tokens(|_| Answer::status(500), |_, _| true).await;
    let heads = client(&[]).heads(&images(&registry, 100)).await;
    assert!(words(&heads).iter().all(|word| word == "failed"));
    assert!(registry.count("GET /token") <= 2, "{}", registry.count("GET /token"));
}

#[tokio::test]
async fn a_token_that_is_never_accepted_is_asked_for_twice() {
    let registry = with_tokens(|_| token("t"), |_, _| false).await;
    assert_eq!(words(&client(&[]).heads(&[reference(&registry, "a")]).await), ["unauthorized"]);
    assert_eq!((registry.count("GET /token"), registry.count("HEAD ")), (2, 2));
}

#[tokio::test]
async fn a_password_is_read_from_its_file_and_again_when_it_was_refused() {
    let registry = Scripted::start(|asked| match asked.header("authorization") {
        // ci:new
        "Basic Y2k6bmV3" => Answer::manifest(&digest('a')),
        _ => Answer::status(401).with("www-authenticate", "Basic realm=\"x\""),
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old\n").unwrap();
    let client = client(&[(&registry.address.to_string(), with_password("ci", file.path()))]);
    let same = [reference(&registry, "a")];
    assert_eq!(words(&client.heads(&same).await), ["unauthorized"]);
    std::fs::write(file.path(), "new\n").unwrap();
    assert_eq!(words(&client.heads(&same).await), [digest('a')]);
    std::fs::remove_file(file.path()).unwrap();
    assert_eq!(words(&client.heads(&same).await), [digest('a')], "it is kept for a while");
}

#[tokio::test]
async fn without_a_password_a_registry_that_wants_one_is_not_asked_further() {
    let registry = Scripted::start(|_| Answer::status(401).with("www-authenticate", "Basic realm=\"x\"")).await;
    assert_eq!(words(&client(&[]).heads(&images(&registry, 3)).await), ["unauthorized", "unauthorized", "unauthorized"]);
    assert_eq!(registry.asked(), ["GET /v2/"]);
}

#[tokio::test]
async fn an_identity_token_is_exchanged_and_a_secret_that_cannot_be_read_is_said() {
    let registry = Scripted::start(|asked| {
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"reg\"", asked.header("host"));
        match (asked.method.as_str(), asked.header("authorization")) {
            ("POST", "") if asked.header("content-type") == "application/x-www-form-urlencoded" => token("fresh"),
            (_, "Bearer fresh") => Answer::manifest(&digest('a')),
            _ => Answer::status(401).with("www-authenticate", &challenge),
        }
    })
    .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "refresh").unwrap();
    let table = |path: &std::path::Path| {
        let credentials = Some(CredentialSource::IdentityToken(SecretSource::File(path.to_owned())));
        RegistrySettings { credentials, ..RegistrySettings::default() }
    };
    let name = registry.address.to_string();
    assert_eq!(words(&client(&[(&name, table(file.path()))]).heads(&[reference(&registry, "a")]).await), [digest('a')]);
    let absent = client(&[(&name, table(std::path::Path::new("/nowhere")))]);
    assert_eq!(words(&absent.heads(&[reference(&registry, "a")]).await), ["credentials"]);
}

#[tokio::test]
async fn an_engine_pulls_in_the_same_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "pw").unwrap();
    let client = client(&[("localhost:5000", with_password("ci", file.path()))]);
    assert!(client.engine_auth("localhost:5000").await.unwrap().is_some());
    assert_eq!(client.engine_auth("localhost:5001").await, Ok(None));
}
