//! Images: by which of their names a grant covers them, and what is answered when one is removed or asked about.

use super::functions::{call, check_same, web_only, word};
use super::memory::{REDIS, WEB};
use super::{EVERYTHING, Plugin, owner};
use crate::backend::engine::EngineError;
use crate::backend::operations::Operations;
use crate::bindings::wharf::docker::types::Error;
use crate::bindings::wharf::docker::{containers_create, distribution_read, images_prune, images_read, images_remove};

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[tokio::test]
async fn images_are_covered_by_their_references() {
    let digits = REDIS.strip_prefix("sha256:").unwrap();
    for (reference, expected) in [
        ("redis:7", "ok"),
        ("docker.io/library/redis:7", "ok"),
        (REDIS, "ok"),
        (digits, "ok"),
        ("sha256:c1", "ok"),
        ("redis:8", "not-found"),
        ("sha256:c2", "not-found"),
        ("nginx", "denied"),
        ("c1cc", "denied"),
        ("Redis", "invalid"),
        ("", "invalid"),
    ] {
        check_same(reference, word(&call(&mut Plugin::with(&web_only()), "images-read.inspect", reference).await), expected);
    }
    // An id outside of the grant looks like one that does not exist.
    let nginx_only = format!("{EVERYTHING}\nimages = [\"docker.io/library/nginx\"]\n");
    let mut plugin = Plugin::with(&nginx_only);
    assert_eq!(word(&call(&mut plugin, "images-read.inspect", REDIS).await), "not-found");
    assert_eq!(plugin.denials(), 1);
    for (reference, expected) in
        [("redis", "ok"), ("redis@sha256:12", "invalid"), ("nginx:1", "denied"), (REDIS, "invalid"), ("evil.example/redis", "denied")]
    {
        check_same(reference, word(&call(&mut Plugin::with(&web_only()), "images-pull.pull", reference).await), expected);
    }
}

#[tokio::test]
async fn an_image_named_by_id_is_used_by_its_full_id_and_only_within_the_grant() {
    let specification = |image: &str| format!(r#"{{"Image":"{image}","HostConfig":{{"NetworkMode":"none"}}}}"#);
    let digits = REDIS.strip_prefix("sha256:").unwrap();
    for (grant, image, expected) in [
        (EVERYTHING.to_owned(), "sha256:c1", "ok"),
        (EVERYTHING.to_owned(), digits, "ok"),
        (EVERYTHING.to_owned(), "sha256:c2", "not-found"),
        (web_only(), "sha256:c1", "ok"),
        (web_only(), "sha256:c2", "not-found"),
        // Whether it exists or not: the answer is the same.
        (format!("{EVERYTHING}\nimages = [\"docker.io/library/nginx\"]\n"), "sha256:c1", "not-found"),
        (format!("{EVERYTHING}\nimages = [\"docker.io/library/nginx\"]\n"), "sha256:c2", "not-found"),
    ] {
        for function in ["create", "run"] {
            let mut plugin = Plugin::with(&grant);
            let mut docker = plugin.docker();
            let outcome = match function {
                "create" => containers_create::Host::create(&mut docker, "web-2".to_owned(), specification(image)).await,
                _ => containers_create::Host::run(&mut docker, "web-2".to_owned(), specification(image)).await,
            };
            check_same(&format!("{function} {image}"), word(&outcome.map(drop)), expected);
            if expected == "ok" {
                assert_eq!(plugin.engine.image_of("web-2"), REDIS, "{function} {image}");
            } else {
                assert_eq!(plugin.engine.acts(), Vec::<String>::new());
            }
        }
    }
}

#[tokio::test]
async fn a_list_of_images_shows_those_that_a_name_covers() {
    for (grant, ids) in [
        (EVERYTHING.to_owned(), vec![REDIS, "sha256:d1", "sha256:e1"]),
        (web_only(), vec![REDIS]),
        (format!("{EVERYTHING}\nimages = [\"other.example/**\"]\n"), vec![REDIS]),
        // Nobody knows whose an image without a name is.
        (format!("{EVERYTHING}\nimages = [\"**\"]\n"), vec![REDIS, "sha256:d1"]),
        (format!("{EVERYTHING}\nimages = []\n"), vec![]),
    ] {
        let mut plugin = Plugin::with(&grant);
        let listed = images_read::Host::list(&mut plugin.docker()).await.unwrap();
        let seen: Vec<&str> = listed.iter().map(|image| image.id.as_str()).collect();
        assert_eq!((seen, plugin.denials()), (ids, 0), "{grant}");
    }
    let mut plugin = Plugin::with(&web_only());
    let listed = images_read::Host::list(&mut plugin.docker()).await.unwrap();
    let image = listed.first().unwrap();
    // As inspecting it would: an image that is covered is shown whole.
    assert_eq!(image.repo_tags, ["redis:7", "other.example/redis:7"]);
    assert_eq!((image.created_ms, image.size), (1_600_000_000_000, 5));
}

#[tokio::test]
async fn names_are_removed_one_after_the_other_and_one_that_fails_does_not_end_the_others() {
    let mut plugin = Plugin::with(&web_only());
    let forged = format!("redis:7@{REDIS}");
    let names = texts(["redis:used", "redis:7", "redis:8", "nginx", REDIS, "Redis", &forged]);
    let answers = images_remove::Host::remove(&mut plugin.docker(), names).await;
    let words: Vec<&str> = answers.iter().map(|answer| word(&answer.clone().map(drop))).collect();
    assert_eq!(words, ["conflict", "ok", "not-found", "denied", "invalid", "invalid", "not-found"]);
    let reason = "unable to remove redis:used (must force) - container … is using it";
    assert!(matches!(&answers[0], Err(Error::Conflict(text)) if text == reason && !text.contains(WEB)), "{:?}", answers[0]);
    let removal = answers[1].as_ref().unwrap();
    assert_eq!(
        (removal.untagged.as_slice(), removal.deleted.as_slice()),
        (texts(["redis:7", "redis@sha256:2"]).as_slice(), texts([REDIS]).as_slice())
    );
    // With a digest the tag does not count, neither here nor there.
    let digest = format!("remove-image redis@{REDIS}");
    assert_eq!(plugin.engine.acts(), ["remove-image redis:used", "remove-image redis:7", "remove-image redis:8", digest.as_str()]);
    assert_eq!(plugin.denials(), 1);
}

#[tokio::test]
async fn what_may_not_be_removed_is_no_operation() {
    let mut plugin = Plugin::with(&web_only());
    plugin.room.operations = Operations::default().of_plugin(owner(), 0);
    let answers = images_remove::Host::remove(&mut plugin.docker(), texts(["nginx", "redis:7"])).await;
    let words: Vec<&str> = answers.into_iter().map(|answer| word(&answer.map(drop))).collect();
    assert_eq!(words, ["denied", "quota-exceeded"]);
    assert_eq!(word(&call(&mut plugin, "images-remove.remove", "nginx").await), "denied");
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_takes_too_long_does_not_lose_what_was_done_before() {
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.engine.hang_at("remove-image redis:8");
    let answers = images_remove::Host::remove(&mut plugin.docker(), texts(["redis:7", "redis:8", "redis:9"])).await;
    let words: Vec<&str> = answers.into_iter().map(|answer| word(&answer.map(drop))).collect();
    assert_eq!(words, ["ok", "timeout", "timeout"]);
}

#[tokio::test]
async fn removals_are_finished_when_their_request_is_gone() {
    let operations = Operations::default();
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.room.operations = operations.of_plugin(owner(), 1);
    let mut docker = plugin.docker();
    let removing = images_remove::Host::remove(&mut docker, texts(["redis:7", "redis:8"]));
    let _ = tokio::time::timeout(std::time::Duration::ZERO, removing).await;
    operations.finished().await;
    assert_eq!(plugin.engine.acts(), ["remove-image redis:7", "remove-image redis:8"]);
}

#[tokio::test]
async fn a_prune_says_what_is_free_again_and_is_one_at_a_time() {
    let mut plugin = Plugin::with(&web_only());
    let pruned = images_prune::Host::prune(&mut plugin.docker()).await.unwrap();
    assert_eq!((pruned.deleted, pruned.reclaimed), (texts([REDIS]), 5));
    plugin.engine.fail("prune-images", EngineError::Conflict("a prune operation is already running".to_owned()));
    assert_eq!(word(&call(&mut plugin, "images-prune.prune", "").await), "conflict");
}

#[tokio::test]
async fn the_engine_asks_a_registry_in_the_name_that_the_host_has() {
    let mut plugin = Plugin::with(EVERYTHING);
    let found = distribution_read::Host::inspect(&mut plugin.docker(), texts(["docker.io/library/redis:7"])).await.remove(0).unwrap();
    assert_eq!((found.digest.as_str(), found.media_type.as_str()), (REDIS, "in-a-name"));
    assert!(found.json.contains("\"Platforms\":[]") && !found.json.contains("secret"), "{}", found.json);
    for (reference, expected) in [
        ("redis:7", "ok"),
        ("redis:8", "not-found"),
        ("nginx", "denied"),
        (REDIS, "invalid"),
        ("Redis", "invalid"),
        ("x.example/a", "denied"),
    ] {
        check_same(reference, word(&call(&mut Plugin::with(&web_only()), "distribution-read.inspect", reference).await), expected);
    }
    let unreadable = call(&mut plugin, "distribution-read.inspect", "broken.example/a").await;
    assert!(matches!(unreadable, Err(Error::Internal(reason)) if reason.contains("broken.example")));
}
