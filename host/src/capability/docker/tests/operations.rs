//! Operations: who sees which, what is said of them, and who may end them.

use std::time::Duration;

use serde_json::{Value, json};

use super::builds;
use super::functions::{call, check_same, web_only, word};
use super::{EVERYTHING, Plugin, SOCKET, owner};
use crate::backend::engine::{EngineAddress, EngineError};
use crate::backend::operations::{Operations, Owner, Pull};
use crate::backend::reference::ImageReference;
use crate::bindings::wharf::docker::operations_read::{OperationState, ProgressFormat};
use crate::bindings::wharf::docker::types::Error;
use crate::bindings::wharf::docker::{images_pull, operations_cancel, operations_read};

/// Every function about operations, with whose it is about.
pub(super) const OPERATIONS: [(&str, &str); 13] = [
    ("images-pull.begin", ""),
    ("images-build.begin", ""),
    ("operations-read.list", ""),
    ("operations-read.get", "own"),
    ("operations-read.get", "another's"),
    ("operations-read.wait", "own"),
    ("operations-read.wait", "another's"),
    ("operations-read.log", "own"),
    ("operations-read.log", "another's"),
    ("operations-read.watch", "own"),
    ("operations-read.watch", "another's"),
    ("operations-cancel.cancel", "own"),
    ("operations-cancel.cancel", "another's"),
];

/// Begins a pull of `image` on the engine at `socket`, which succeeds at once, and answers its id.
fn begun(operations: &Operations, owner: Owner, socket: &str, image: &str) -> String {
    let pull = Pull {
        engine: EngineAddress::Unix(socket.into()),
        image: ImageReference::parse(image).unwrap(),
        auth: Box::pin(async { Ok(None) }),
        work: Box::new(|_, _| Box::pin(async { Ok(()) })),
    };
    operations.of_plugin(owner, 8).pull(pull, Duration::from_secs(10)).unwrap().id.clone()
}

fn another() -> Owner {
    Owner { plugin: "hub-search".to_owned(), ..owner() }
}

/// Calls a function about the operation `id`.
async fn about(plugin: &mut Plugin, function: &str, id: &str) -> Result<(), Error> {
    if function == "images-build.begin" {
        return builds::begin(plugin, "FROM redis:7", &["redis:7"]).await.map(drop);
    }
    let mut docker = plugin.docker();
    match function {
        "images-pull.begin" => images_pull::Host::begin(&mut docker, "redis:7".to_owned()).await.map(drop),
        "operations-read.log" => operations_read::Host::log(&mut docker, id.to_owned()).map(drop),
        "operations-read.list" => operations_read::Host::list(&mut docker).map(drop),
        "operations-read.get" => operations_read::Host::get(&mut docker, vec![id.to_owned()]).remove(0).map(drop),
        "operations-read.wait" => operations_read::Host::wait(&mut docker, id.to_owned()).await.map(drop),
        "operations-read.watch" => operations_read::Host::watch(&mut docker, id.to_owned(), ProgressFormat::JsonLines).map(drop),
        "operations-cancel.cancel" => operations_cancel::Host::cancel(&mut docker, id.to_owned()),
        other => panic!("no function `{other}`"),
    }
}

/// Calls a function about an operation of its own or of another plugin, of `redis:7` on its engine.
pub(super) async fn on_operation(plugin: &mut Plugin, function: &str, whose: &str) -> Result<(), Error> {
    let owner = if whose == "own" { owner() } else { another() };
    let id = begun(&plugin.operations, owner, SOCKET, "redis:7");
    about(plugin, function, &id).await
}

/// The record of an operation when it has ended.
async fn wait(plugin: &mut Plugin, id: &str) -> operations_read::Operation {
    operations_read::Host::wait(&mut plugin.docker(), id.to_owned()).await.unwrap()
}

async fn begin(plugin: &mut Plugin, reference: &str) -> String {
    images_pull::Host::begin(&mut plugin.docker(), reference.to_owned()).await.unwrap()
}

/// All that is watched of an operation.
async fn watched(plugin: &mut Plugin, id: &str, format: ProgressFormat) -> String {
    let stream = operations_read::Host::watch(&mut plugin.docker(), id.to_owned(), format).unwrap();
    let stream = plugin.table.get_mut(&stream).unwrap();
    let mut text = Vec::new();
    while let Some(piece) = stream.read(usize::MAX).await.unwrap() {
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn each_function_is_allowed_with_its_power_and_denied_without() {
    for (function, whose) in OPERATIONS {
        let of_another = function.starts_with("operations-cancel") && whose != "own";
        let mut plugin = Plugin::with(EVERYTHING);
        let expected = if of_another { "denied" } else { "ok" };
        check_same(function, word(&on_operation(&mut plugin, function, whose).await), expected);
        check_same(function, plugin.denials(), usize::from(of_another));

        let power = function.split('.').next().unwrap().replace('-', ".");
        let mut plugin = Plugin::with(&EVERYTHING.replace(&format!("\"{power}\""), "\"system.read\""));
        check_same(function, word(&on_operation(&mut plugin, function, whose).await), "denied");
        check_same(function, (plugin.denials(), plugin.engine.acts()), (1, Vec::new()));

        let mut plugin = Plugin::in_room(|_| super::DockerRoom::powerless());
        check_same(function, word(&on_operation(&mut plugin, function, whose).await), "denied");

        let mut plugin = Plugin::with(EVERYTHING);
        plugin.call.host_calls_left = 0;
        check_same(function, word(&on_operation(&mut plugin, function, whose).await), "quota-exceeded");
    }
}

#[tokio::test]
async fn an_operation_of_another_is_seen_where_it_concerns_an_image_of_the_grant() {
    for (of, socket, image, seen) in [
        (another(), SOCKET, "redis:7", true),
        (Owner { site: "other".to_owned(), ..owner() }, SOCKET, "redis", true),
        (another(), SOCKET, "nginx", false),
        (another(), "/run/other.sock", "redis:7", false),
        // Whatever its grant says by now: it began it.
        (owner(), "/run/other.sock", "nginx", true),
    ] {
        let mut plugin = Plugin::with(&web_only());
        let owned = of == owner();
        let id = begun(&plugin.operations, of, socket, image);
        let listed = operations_read::Host::list(&mut plugin.docker()).unwrap();
        let shown: Vec<_> = listed.iter().map(|operation| (operation.id.as_str(), operation.owned)).collect();
        assert_eq!(shown, if seen { vec![(id.as_str(), owned)] } else { Vec::new() }, "{socket} {image}");
        let expected = if seen { "ok" } else { "not-found" };
        for function in ["operations-read.get", "operations-read.wait", "operations-read.log", "operations-read.watch"] {
            check_same(&format!("{function} {socket} {image}"), word(&about(&mut plugin, function, &id).await), expected);
        }
        let expected = if owned {
            "ok"
        } else if seen {
            "denied"
        } else {
            "not-found"
        };
        check_same(image, word(&about(&mut plugin, "operations-cancel.cancel", &id).await), expected);
    }
    let mut plugin = Plugin::with(EVERYTHING);
    for id in ["", "x", "0123456789abcdef0123456789abcdef"] {
        for (function, _) in OPERATIONS.iter().filter(|(_, whose)| *whose == "own") {
            check_same(function, word(&about(&mut plugin, function, id).await), "not-found");
        }
    }
}

#[tokio::test]
async fn a_pull_that_was_begun_can_be_followed_to_its_end() {
    let mut plugin = Plugin::with(EVERYTHING);
    let id = begin(&mut plugin, "redis:7").await;
    let ended = wait(&mut plugin, &id).await;
    assert_eq!((ended.id.as_str(), ended.kind.as_str(), ended.subject.as_str()), (id.as_str(), "pull", "docker.io/library/redis:7"));
    assert_eq!((ended.owned, ended.state, ended.percent, ended.failure.is_none()), (true, OperationState::Succeeded, Some(100), true));
    let (began, over) = (ended.began_ms, ended.ended_ms.unwrap());
    let layer = json!({ "id": "c1cccccccccc", "status": "Downloading", "current": 5, "total": 10 });
    let expected = json!({
        "id": id, "kind": "pull", "subject": "docker.io/library/redis:7", "state": "succeeded", "percent": 100, "began_ms": began,
        "ended_ms": over, "reason": null, "current": 5, "total": 10, "layers": [layer],
    });
    assert_eq!(serde_json::from_str::<Value>(&ended.json).unwrap(), expected);
    assert_eq!(plugin.engine.acts(), ["pull docker.io/library/redis 7"]);
    let lines = watched(&mut plugin, &id, ProgressFormat::JsonLines).await;
    assert_eq!(lines, format!("{}\n", ended.json));
    let events = watched(&mut plugin, &id, ProgressFormat::ServerSentEvents).await;
    assert_eq!(events, format!("event: succeeded\ndata: {}\n\n", ended.json));
    assert!(plugin.call.clock.deadline().is_some());
}

#[tokio::test]
async fn what_the_engine_says_is_the_outcome() {
    let id = "b1".repeat(32);
    for (error, failure, reason) in [
        (EngineError::Unavailable("no such file".to_owned()), "unavailable", "the engine is not reachable: no such file".to_owned()),
        (EngineError::NotFound("manifest unknown".to_owned()), "not-found", "the engine does not have it: manifest unknown".to_owned()),
        (
            EngineError::Failed { status: 200, reason: format!("layer {id} is broken") },
            "internal",
            "the engine failed: layer … is broken".to_owned(),
        ),
    ] {
        let mut plugin = Plugin::with(EVERYTHING);
        plugin.engine.fail("pull", error);
        let begun = begin(&mut plugin, "redis").await;
        let ended = wait(&mut plugin, &begun).await;
        assert_eq!(word(&ended.failure.map_or(Ok(()), Err)), failure);
        let document: Value = serde_json::from_str(&ended.json).unwrap();
        assert_eq!((&document["state"], &document["reason"]), (&json!("failed"), &json!(reason)));
        // Whoever waits for the pull itself hears the same.
        assert_eq!(word(&call(&mut plugin, "images-pull.pull", "redis").await), failure);
    }
    let mut plugin = Plugin::with(EVERYTHING);
    let begun = begin(&mut plugin, "broken.example/a").await;
    let failure = wait(&mut plugin, &begun).await.failure;
    assert!(matches!(failure, Some(Error::Internal(reason)) if reason.contains("broken.example")));
    for (reference, expected) in [("nginx", "denied"), ("Redis", "invalid"), ("sha256:c1", "invalid")] {
        let begun = images_pull::Host::begin(&mut Plugin::with(&web_only()).docker(), reference.to_owned()).await;
        check_same(reference, word(&begun.map(drop)), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_is_waited_for_is_an_operation_too_and_can_be_cancelled() {
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.engine.hang_at("pull docker.io/library/redis 7");
    // Its request is gone, and it goes on.
    let pulling = tokio::time::timeout(Duration::from_secs(1), call(&mut plugin, "images-pull.pull", "redis:7"));
    assert!(pulling.await.is_err());
    let listed = operations_read::Host::list(&mut plugin.docker()).unwrap();
    let [operation] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((operation.state, operation.percent, operation.ended_ms), (OperationState::Running, Some(25), None));
    let id = operation.id.clone();
    let operations = plugin.operations.clone();
    // A second one that waits for the same.
    let (answer, ()) = tokio::join!(call(&mut plugin, "images-pull.pull", "redis:7"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        operations.cancel_all();
    });
    assert!(matches!(answer, Err(Error::Internal(reason)) if reason == "the operation was cancelled"));
    assert_eq!(word(&about(&mut plugin, "operations-cancel.cancel", &id).await), "ok", "it has ended already");
    assert_eq!(plugin.engine.acts(), ["pull docker.io/library/redis 7"]);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_before_an_operation_that_takes_too_long() {
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.engine.hang_at("pull docker.io/library/redis 7");
    plugin.call.operation_deadline = Duration::from_secs(60);
    let id = begin(&mut plugin, "redis:7").await;
    plugin.call.operation_deadline = Duration::from_secs(1);
    assert_eq!(word(&about(&mut plugin, "operations-read.wait", &id).await), "timeout");
    let running = operations_read::Host::get(&mut plugin.docker(), vec![id.clone()]).remove(0).unwrap();
    assert_eq!((running.state, running.percent), (OperationState::Running, Some(25)));
    plugin.call.operation_deadline = Duration::from_secs(120);
    let ended = wait(&mut plugin, &id).await;
    assert_eq!((ended.state, word(&ended.failure.map_or(Ok(()), Err))), (OperationState::Failed, "timeout"));
}

#[tokio::test]
async fn a_pull_that_is_one_too_many_is_refused_at_once() {
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.room.operations = Operations::default().of_plugin(owner(), 0);
    assert_eq!(word(&about(&mut plugin, "images-pull.begin", "").await), "quota-exceeded");
    assert_eq!(plugin.engine.acts(), [""; 0]);
}
