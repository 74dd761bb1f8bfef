//! Creates whose answer is lost: nothing that nobody was told of stays on the engine, and nothing of anybody else is removed.
//!
//! On the engine in memory the clock is tokio's and stands still while there is work, so that minutes of looking take no time; the last test is on the wire.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::memory::Lost;
use super::{DockerRoom, EVERYTHING, Plugin, grant, owner};
use crate::backend::engine::EngineError;
use crate::backend::engine::scripted::{Reply, ScriptedEngine, socket_path};
use crate::backend::operations::Operations;
use crate::backend::recreate::Recreations;
use crate::backend::registry::Registries;
use crate::bindings::wharf::docker::containers_create::Host;
use crate::bindings::wharf::docker::types::Error;
use crate::metrics::Metrics;

const SPECIFICATION: &str = r#"{"Image":"redis","Labels":{"wharf.create":"forged"},"HostConfig":{"NetworkMode":"lopco-network"}}"#;

/// What a plugin hears of a create or a run, how long it waited, and what is on the engine when all is over.
async fn outcome(function: &str, prepare: impl FnOnce(&Plugin)) -> (Result<(), Error>, Duration, Plugin) {
    let operations = Operations::default();
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.room.operations = operations.of_plugin(owner(), 1);
    prepare(&plugin);
    let began = tokio::time::Instant::now();
    let mut docker = plugin.docker();
    let answer = match function {
        "create" => docker.create("web-2".to_owned(), SPECIFICATION.to_owned()).await,
        _ => docker.run("web-2".to_owned(), SPECIFICATION.to_owned()).await,
    };
    let waited = began.elapsed();
    operations.finished().await;
    (answer.map(drop), waited, plugin)
}

#[tokio::test(start_paused = true)]
async fn a_container_that_nobody_was_told_of_is_removed() {
    for function in ["create", "run"] {
        for (lost, left, acts) in [
            (Lost::Made, vec!["web-1", "queue"], vec!["create web-2", "remove web-2 force volumes"]),
            (Lost::MadeAfter(8), vec!["web-1", "queue"], vec!["create web-2", "remove web-2 force volumes"]),
            (Lost::NotMade, vec!["web-1", "queue"], vec!["create web-2"]),
            (Lost::MadeByOther, vec!["web-1", "queue", "web-2"], vec!["create web-2"]),
        ] {
            let (answer, waited, plugin) = outcome(function, |plugin| plugin.engine.lose(lost)).await;
            assert!(matches!(&answer, Err(Error::Unavailable(reason)) if reason == "connection reset"), "{function} {lost:?}: {answer:?}");
            assert_eq!(
                (plugin.engine.names(), plugin.engine.acts()),
                (left.iter().map(|name| (*name).to_owned()).collect(), acts.iter().map(|act| (*act).to_owned()).collect()),
                "{function} {lost:?}"
            );
            assert!(waited <= Duration::from_secs(2), "{function} {lost:?}: the plugin waited {waited:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_is_removed_when_the_engine_is_back() {
    let away = || EngineError::Unavailable("connection refused".to_owned());
    let restart = Duration::from_secs(240);
    for (function, lost_start) in [("create", false), ("run", false), ("run", true)] {
        let (answer, waited, plugin) = outcome(function, |plugin| {
            plugin.engine.fail_for(restart, "remove", away());
            match lost_start {
                false => plugin.engine.lose(Lost::Made),
                // It was made, and what is lost is the answer to its start.
                true => plugin.engine.fail("start", EngineError::Lost("connection reset".to_owned())),
            }
        })
        .await;
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{function}");
        assert!(waited <= Duration::from_secs(2), "{function}: the plugin waited {waited:?}");
        assert_eq!(plugin.engine.names(), ["web-1", "queue"], "{function}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stays_away_is_given_up() {
    let began = tokio::time::Instant::now();
    let (answer, ..) = outcome("create", |plugin| {
        plugin.engine.lose(Lost::Made);
        plugin.engine.fail("remove", EngineError::Unavailable("connection refused".to_owned()));
    })
    .await;
    assert!(matches!(answer, Err(Error::Unavailable(_))));
    assert!((Duration::from_secs(600)..Duration::from_secs(660)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_mark_is_the_hosts_and_differs_from_create_to_create() {
    let mark = |plugin: &Plugin| plugin.engine.label_of("web-2", "wharf.create");
    let (_, _, first) = outcome("create", |_| {}).await;
    let (_, _, second) = outcome("create", |_| {}).await;
    assert_eq!(mark(&first).len(), 32);
    assert_ne!(mark(&first), mark(&second));
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_engine_made_the_container_leaves_nothing() {
    let id = "c".repeat(64);
    let labels = Mutex::new(String::new());
    let scripted = ScriptedEngine::start_reading(&socket_path(), ("1.41", "1.12"), move |seen, _| {
        let mut labels = labels.lock().unwrap();
        match seen.line.split(['?', ' ']).next().unwrap() {
            // It makes the container, and the connection breaks.
            "POST" => {
                let specification: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
                *labels = specification["Labels"].to_string();
                Reply::nothing()
            }
            "GET" if labels.is_empty() => Reply::json(404, "{}"),
            "GET" => Reply::json(
                200,
                &format!(r#"{{"Id":"{id}","Name":"/web-2","State":{{"Status":"created"}},"Config":{{"Labels":{labels}}}}}"#),
            ),
            _ => Reply::empty(204),
        }
    });
    let (operations, registries) = (Operations::default(), Registries::new(Arc::new(Metrics::new())));
    let engine = scripted.engine();
    let recreations = Recreations::new(operations.clone()).on(&engine);
    let mut plugin =
        Plugin::in_room(|_| DockerRoom::new(grant(EVERYTHING), &engine, &registries, recreations, operations.of_plugin(owner(), 1)));
    let answer = plugin.docker().create("web-2".to_owned(), SPECIFICATION.to_owned()).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    let lines: Vec<String> = scripted.seen().into_iter().map(|seen| seen.line).collect();
    let long = "c".repeat(64);
    assert_eq!(
        lines,
        [
            "POST /v1.41/containers/create?name=web-2".to_owned(),
            "GET /v1.41/containers/web-2/json".to_owned(),
            format!("DELETE /v1.41/containers/{long}?v=true&force=true&link=false"),
        ]
    );
    assert_eq!(operations.under_way(), 0);
}
