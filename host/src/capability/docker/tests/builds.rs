//! Builds: what is refused before the engine is asked, what becomes of names and images, and what is left when one fails.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::functions::{check_same, web_only, word};
use super::memory::{REDIS, TRIGGERS};
use super::{EVERYTHING, Plugin, owner};
use crate::backend::engine::EngineError;
use crate::backend::operations::Operations;
use crate::backend::stream::ByteStream;
use crate::bindings::wharf::docker::images_build::{BuildOptions, Content, ContextFile, Host};
use crate::bindings::wharf::docker::operations_read::{Operation, OperationState};
use crate::bindings::wharf::docker::types::Error;
use crate::bindings::wharf::docker::{operations_cancel, operations_read::Host as _};

/// A Dockerfile that makes three images of its own, and what else.
const THREE: &str = "FROM redis:7\nRUN one\nCOPY a /b\nCMD [\"x\"]\n";

fn file(path: &str, content: &str) -> ContextFile {
    let bytes = content.as_bytes().to_vec();
    ContextFile { path: path.to_owned(), executable: false, size: bytes.len() as u64, content: Content::Bytes(bytes) }
}

fn options(names: &[&str]) -> BuildOptions {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    BuildOptions { dockerfile: "Dockerfile".to_owned(), names, labels: Vec::new(), arguments: Vec::new() }
}

/// Begins to build by `dockerfile` an image with these names.
pub(super) async fn begin(plugin: &mut Plugin, dockerfile: &str, names: &[&str]) -> Result<String, Error> {
    plugin.docker().begin(vec![file("Dockerfile", dockerfile), file("a", "1")], options(names)).await
}

/// The record of a build when it has ended.
async fn ended(plugin: &mut Plugin, id: &str) -> Operation {
    plugin.docker().wait(id.to_owned()).await.unwrap()
}

/// The record of a build by `dockerfile` when it has ended, and its JSON.
async fn built(plugin: &mut Plugin, dockerfile: &str, names: &[&str]) -> (Operation, Value) {
    let id = begin(plugin, dockerfile, names).await.unwrap();
    let ended = ended(plugin, &id).await;
    let document = serde_json::from_str(&ended.json).unwrap();
    (ended, document)
}

/// All of the log of a build.
async fn log(plugin: &mut Plugin, id: &str) -> String {
    let stream = plugin.docker().log(id.to_owned()).unwrap();
    let stream = plugin.table.get_mut(&stream).unwrap();
    let mut text = Vec::new();
    while let Some(piece) = stream.read(usize::MAX).await.unwrap() {
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

/// Lets the other tasks work until `probe` is true.
#[track_caller]
fn eventually(mut probe: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        for _ in 0..10_000 {
            if probe() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it did not come to pass at {caller}");
    }
}

#[tokio::test]
async fn an_image_is_built_and_gets_its_names_when_it_is_done() {
    let mut plugin = Plugin::with(EVERYTHING);
    let dockerfile = format!("FROM redis:7 AS one\nRUN other\n{THREE}");
    let (ended, document) = built(&mut plugin, &dockerfile, &["model:1", "localhost:5000/team/model"]).await;
    assert_eq!((ended.kind.as_str(), ended.subject.as_str(), ended.percent), ("build", "docker.io/library/model:1", Some(100)));
    assert_eq!((ended.state, ended.failure.is_none(), ended.owned), (OperationState::Succeeded, true, true));
    let image = plugin.engine.image_called("model:1").unwrap();
    assert_eq!(plugin.engine.image_called("localhost:5000/team/model:latest"), Some(image.clone()));
    let expected = json!({
        "id": ended.id, "kind": "build", "subject": "docker.io/library/model:1", "state": "succeeded", "percent": 100, "began_ms": ended.began_ms,
        "ended_ms": ended.ended_ms, "reason": null, "image": image, "step": 6, "steps": 6, "instruction": "CMD [\"x\"]",
    });
    assert_eq!(document, expected);
    // What the last stage stands on, and nothing of the other: two labels of the host's, and three instructions.
    assert_eq!(plugin.engine.built(), 5);
    let told = "Step 1/6 : FROM redis:7 AS one\nStep 2/6 : RUN other\nStep 3/6 : FROM redis:7\nStep 4/6 : RUN one\nStep 5/6 : COPY a /b\n\
                Step 6/6 : CMD [\"x\"]\nSuccessfully built it\nNamed docker.io/library/model:1\nNamed localhost:5000/team/model:latest\n";
    assert_eq!(log(&mut plugin, &ended.id).await, told);
    assert_eq!(plugin.engine.acts(), ["build ", "name model:1", "name localhost:5000/team/model:latest", "remove-built ", "remove-built "]);
}

#[tokio::test]
async fn the_engine_gets_a_dockerfile_of_the_host_and_the_files_of_the_plugin() {
    let mut plugin = Plugin::with(EVERYTHING);
    let mut wanted = options(&["model"]);
    wanted.arguments = vec![("BASE".to_owned(), "redis:7".to_owned())];
    wanted.dockerfile = "build/Dockerfile".to_owned();
    let stream = ByteStream::new(futures_util::stream::iter(["weig", "hts"].map(|piece| Ok(Bytes::from(piece)))));
    let stream = plugin.table.push(stream).unwrap();
    let model = ContextFile { path: "model.bin".to_owned(), executable: true, size: 7, content: Content::Stream(stream) };
    let files = vec![file("build/Dockerfile", "ARG BASE\nFROM $BASE\nCOPY . /m"), file(".dockerignore", "*"), model];
    let id = plugin.docker().begin(files, wanted).await.unwrap();
    assert_eq!(ended(&mut plugin, &id).await.state, OperationState::Succeeded);
    let mut context = plugin.engine.context();
    let (path, own) =
        context.iter().find(|(path, _)| path.starts_with(".wharf-dockerfile-")).map(|(path, text)| (path.clone(), text.clone())).unwrap();
    context.remove(&path);
    let mark = path.strip_prefix(".wharf-dockerfile-").unwrap();
    assert_eq!(own, format!("ARG BASE\nFROM {}\nLABEL wharf.build={mark}\nCOPY . /m\n", REDIS.strip_prefix("sha256:").unwrap()));
    let left: Vec<(&str, &str)> = context.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let ignore = format!(".dockerignore\n{path}\n");
    assert_eq!(
        left,
        [(".dockerignore", ignore.as_str()), ("build/Dockerfile", "ARG BASE\nFROM $BASE\nCOPY . /m"), ("model.bin", "weights")]
    );
}

#[tokio::test]
async fn what_the_grant_does_not_cover_or_breaks_a_rule_is_refused_before_the_engine_is_asked() {
    for (dockerfile, names, expected) in [
        ("FROM redis:7", &["redis:mine"] as &[&str], "ok"),
        ("FROM redis:7", &["nginx"], "denied"),
        ("FROM redis:7", &["redis", "nginx"], "denied"),
        ("FROM nginx", &["redis"], "denied"),
        ("FROM scratch\nCOPY --from=nginx / /", &["redis"], "denied"),
        ("ARG BASE=nginx\nFROM $BASE", &["redis"], "denied"),
        (&format!("FROM {REDIS}"), &["redis"], "ok"),
        ("FROM sha256:c2", &["redis"], "not-found"),
        ("FROM redis\nRUN --mount=type=bind,from=nginx,target=/x true", &["redis"], "invalid"),
        ("FROM redis\nADD https://example.com/x /", &["redis"], "invalid"),
        ("FROM $NOTHING", &["redis"], "invalid"),
        ("FROM redis", &[], "invalid"),
        ("FROM redis", &["Redis"], "invalid"),
        ("", &["redis"], "invalid"),
    ] {
        let mut plugin = Plugin::with(&web_only());
        let begun = begin(&mut plugin, dockerfile, names).await;
        check_same(&format!("{dockerfile} {names:?}"), word(&begun.map(drop)), expected);
        check_same(dockerfile, plugin.denials(), usize::from(expected == "denied"));
    }
    let mut elsewhere = options(&["redis"]);
    elsewhere.dockerfile = "other".to_owned();
    let with_label = BuildOptions { labels: vec![("wharf.build".to_owned(), "x".to_owned())], ..options(&["redis"]) };
    let with_argument = BuildOptions { arguments: vec![("A B".to_owned(), "x".to_owned())], ..options(&["redis"]) };
    for (files, options, expected) in [
        (vec![file("Dockerfile", "FROM redis:7"), file("../../x", "")], options(&["redis"]), "invalid"),
        (vec![file("Dockerfile", "FROM redis:7"), file("/etc/passwd", "")], options(&["redis"]), "invalid"),
        (vec![file("Dockerfile", "FROM redis:7"), file("a", ""), file("a", "")], options(&["redis"]), "invalid"),
        (vec![ContextFile { size: 3, ..file("Dockerfile", "FROM redis:7") }], options(&["redis"]), "invalid"),
        (vec![file("Dockerfile", "FROM redis:7")], elsewhere, "invalid"),
        (vec![file("Dockerfile", "FROM redis:7")], with_label, "invalid"),
        (vec![file("Dockerfile", "FROM redis:7")], with_argument, "invalid"),
        (vec![], options(&["redis"]), "invalid"),
        // The limit of these tests is a thousand bytes.
        (vec![file("Dockerfile", "FROM redis:7"), file("a", &"x".repeat(988))], options(&["redis"]), "ok"),
        (vec![file("Dockerfile", "FROM redis:7"), file("a", &"x".repeat(989))], options(&["redis"]), "quota-exceeded"),
    ] {
        let mut plugin = Plugin::with(EVERYTHING);
        let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        let begun = plugin.docker().begin(files, options).await;
        check_same(&format!("{paths:?}"), word(&begun.map(drop)), expected);
    }
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.room.operations = Operations::default().of_plugin(owner(), 0);
    assert_eq!(word(&begin(&mut plugin, "FROM redis:7", &["a"]).await.map(drop)), "quota-exceeded");
    assert_eq!(plugin.engine.acts(), [""; 0]);
}

#[tokio::test]
async fn a_stream_of_another_length_than_was_announced_ends_the_build() {
    for (path, dockerfile, expected) in
        [("Dockerfile", "FROM redis:7", None), ("a", "FROM redis:7", Some("the file `a` has 12 bytes, 99 were announced"))]
    {
        let mut plugin = Plugin::with(EVERYTHING);
        let stream = plugin.table.push(ByteStream::new(futures_util::stream::iter([Ok(Bytes::from_static(b"FROM redis:7"))]))).unwrap();
        let streamed = ContextFile { path: path.to_owned(), executable: false, size: 99, content: Content::Stream(stream) };
        let files = if path == "a" { vec![file("Dockerfile", dockerfile), streamed] } else { vec![streamed] };
        let begun = plugin.docker().begin(files, options(&["model"])).await;
        // The Dockerfile is read at once.
        let Some(reason) = expected else {
            assert_eq!(word(&begun.map(drop)), "invalid");
            continue;
        };
        let ended = ended(&mut plugin, &begun.unwrap()).await;
        assert!(matches!(&ended.failure, Some(Error::Invalid(found)) if found == reason), "{:?}", ended.failure);
        assert_eq!((plugin.engine.acts(), plugin.engine.image_called("model:latest")), (Vec::new(), None));
    }
}

#[tokio::test]
async fn base_images_are_there_and_have_no_instructions_of_their_own() {
    for (dockerfile, failure, reason) in [
        (
            "FROM redis:8",
            "not-found",
            "step 1 of 1, `FROM redis:8`: the engine does not have it: the base image `docker.io/library/redis:8`",
        ),
        (
            "FROM redis:7\nCOPY --from=nginx / /",
            "not-found",
            "step 2 of 2, `COPY --from=nginx / /`: the engine does not have it: the base image `docker.io/library/nginx:latest`",
        ),
        ("FROM triggers:1", "invalid", "the base image `docker.io/library/triggers:1` has ONBUILD instructions, which are not carried out"),
        (
            "FROM --platform=linux/arm64 redis:7",
            "invalid",
            "the base image `docker.io/library/redis:7` is of linux/amd64, and not of linux/arm64",
        ),
    ] {
        let mut plugin = Plugin::with(EVERYTHING);
        let (ended, document) = built(&mut plugin, dockerfile, &["model"]).await;
        assert_eq!((ended.state, word(&ended.failure.map_or(Ok(()), Err))), (OperationState::Failed, failure), "{dockerfile}");
        assert_eq!(document["reason"], json!(reason));
        assert_eq!(log(&mut plugin, &ended.id).await, format!("{reason}\n"));
        assert_eq!(plugin.engine.acts(), [""; 0]);
    }
    assert_eq!(Plugin::with(EVERYTHING).engine.image_called("triggers:1").as_deref(), Some(TRIGGERS));
    let mut plugin = Plugin::with(EVERYTHING);
    let (ended, _) = built(&mut plugin, "FROM --platform=linux/amd64/v3 redis:7", &["model"]).await;
    assert_eq!(ended.state, OperationState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_fails_leaves_nothing_and_says_where() {
    let mut plugin = Plugin::with(EVERYTHING);
    let (ended, document) = built(&mut plugin, "FROM redis:7\nRUN one\nRUN fail\nRUN two", &["redis:7"]).await;
    let reason = "step 3 of 4, `RUN fail`: the engine failed: it returned 1";
    assert!(matches!(&ended.failure, Some(Error::Internal(found)) if found == reason), "{:?}", ended.failure);
    assert_eq!(
        (&document["step"], &document["steps"], &document["instruction"], &document["image"], &document["percent"]),
        (&json!(3), &json!(4), &json!("RUN fail"), &json!(null), &json!(50))
    );
    // Whoever hears of the end finds nothing of it, and the name leads to where it led.
    assert_eq!((plugin.engine.built(), plugin.engine.image_called("redis:7").as_deref()), (0, Some(REDIS)));
    assert!(log(&mut plugin, &ended.id).await.ends_with(&format!("Step 3/4 : RUN fail\nabout to fail\n{reason}\n")));
    plugin.operations.finished().await;
}

#[tokio::test(start_paused = true)]
async fn a_build_that_is_cancelled_leaves_nothing() {
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.room.operations = plugin.operations.of_plugin(owner(), 1);
    let id = begin(&mut plugin, "FROM redis:7\nRUN one\nRUN hang", &["redis:7"]).await.unwrap();
    let engine = std::sync::Arc::clone(&plugin.engine);
    eventually(|| engine.names().len() == 3).await;
    engine.fail_for(Duration::from_secs(2), "remove-built", EngineError::Unavailable("away".to_owned()));
    operations_cancel::Host::cancel(&mut plugin.docker(), id.clone()).unwrap();
    assert_eq!(ended(&mut plugin, &id).await.state, OperationState::Cancelled);
    // Its permit is kept until it is known that there is nothing more, for which the engine is asked for a while.
    assert_eq!(word(&begin(&mut plugin, "FROM redis:7", &["a"]).await.map(drop)), "quota-exceeded");
    plugin.operations.finished().await;
    assert_eq!((engine.names(), engine.built()), (vec!["web-1".to_owned(), "queue".to_owned()], 0));
    assert_eq!(log(&mut plugin, &id).await, "Step 1/3 : FROM redis:7\nStep 2/3 : RUN one\nStep 3/3 : RUN hang\n");
    begin(&mut plugin, "FROM redis:7", &["a"]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_makes_after_the_connection_broke_is_removed_too() {
    for (dockerfile, watched) in [("FROM redis:7\nRUN one\nRUN lose", 8), ("FROM redis:7\nRUN one\nCOPY lose", 303)] {
        let mut plugin = Plugin::with(EVERYTHING);
        plugin.call.operation_deadline = Duration::from_secs(600);
        let began = tokio::time::Instant::now();
        let id = begin(&mut plugin, dockerfile, &["model"]).await.unwrap();
        let failure = ended(&mut plugin, &id).await.failure;
        assert_eq!(word(&failure.map_or(Ok(()), Err)), "unavailable");
        plugin.operations.finished().await;
        assert_eq!(plugin.engine.built(), 0);
        let took = began.elapsed().as_secs();
        assert!((watched..watched + 30).contains(&took), "{dockerfile}: {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn names_go_back_to_their_images_when_not_all_can_be_given() {
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.engine.fail("name-second", EngineError::Timeout(Duration::ZERO));
    let (ended, _) = built(&mut plugin, THREE, &["redis:7", "first", "second"]).await;
    assert!(matches!(ended.failure, Some(Error::Internal(reason)) if reason == "no space"));
    let called = |name: &str| plugin.engine.image_called(name);
    assert_eq!((called("redis:7").as_deref(), called("first:latest"), called("second:latest")), (Some(REDIS), None, None));
    assert_eq!(plugin.engine.built(), 0);
}

#[tokio::test]
async fn a_log_can_be_followed_and_ends_with_its_build() {
    let mut plugin = Plugin::with(EVERYTHING);
    let id = begin(&mut plugin, "FROM redis:7\nRUN hang", &["model"]).await.unwrap();
    let stream = plugin.docker().log(id.clone()).unwrap();
    let mut stream = plugin.table.delete(stream).unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"RUN hang\n") {
        seen.extend_from_slice(&stream.read(usize::MAX).await.unwrap().unwrap());
    }
    operations_cancel::Host::cancel(&mut plugin.docker(), id).unwrap();
    assert!(stream.read(usize::MAX).await.unwrap().is_none());
}
