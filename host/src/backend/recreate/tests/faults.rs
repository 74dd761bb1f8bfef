//! Each request in turn, and each way in which it can go wrong.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::model::{Behaviour, Fault};
use super::*;

const ANONYMOUS: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

const THREADS: usize = 8;

/// A situation before a recreation.
#[derive(Debug, Clone, Copy)]
enum Situation {
    /// A container with a restart policy and volumes, and another in its network.
    Plain,
    /// The same, on an image that dies.
    Bad,
    /// One that the engine removes when it stops, and another in its network.
    Vanishing,
    /// The same, on an image that dies.
    VanishingBad,
    /// One that does not run.
    Stopped,
}

fn world(situation: Situation) -> World {
    World::new(|model| {
        let (host, running) = match situation {
            Situation::Plain | Situation::Bad => (json!({ "RestartPolicy": { "Name": "always", "MaximumRetryCount": 0 } }), true),
            Situation::Vanishing | Situation::VanishingBad => (json!({ "AutoRemove": true }), true),
            Situation::Stopped => (json!({}), false),
        };
        let id = model.add("web", "redis:7", host, &["data", ANONYMOUS], running);
        if running {
            model.images.insert("side:1".to_owned(), "sha256:0000000000000000000000000000000000000000000000000000000000000009".to_owned());
            model.add(
                "side",
                "side:1",
                json!({ "NetworkMode": format!("container:{id}"), "RestartPolicy": { "Name": "always" } }),
                &[],
                true,
            );
        }
        model.add("other", "redis:7", json!({ "RestartPolicy": { "Name": "always" } }), &["others"], true);
        if matches!(situation, Situation::Bad | Situation::VanishingBad) {
            model.behaviours.insert(NEW.to_owned(), Behaviour::Dies);
        }
    })
}

/// What must hold whatever happened: each name once, running as it did, with its volumes and its policy, and nothing beside it.
#[track_caller]
fn check(world: &World, before: &[(String, bool, Value)], context: &str) {
    world.model(|model| {
        let seen = &model
            .containers
            .iter()
            .map(|container| (container.name.clone(), container.running, container.image.clone()))
            .collect::<Vec<_>>();
        let names: BTreeSet<&str> = model.containers.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(model.containers.len(), before.len(), "{context}: {seen:?}\n{:#?}", model.requests);
        assert_eq!(names, before.iter().map(|(name, ..)| name.as_str()).collect(), "{context}: {seen:?}\n{:#?}", model.requests);
        for (name, running, host) in before {
            let container = model.named(name).unwrap();
            assert_eq!(container.running, *running, "{context}: {name} {seen:?}\n{:#?}", model.requests);
            let policy = |host: &Value| host.pointer("/RestartPolicy/Name").and_then(Value::as_str).unwrap_or("no").to_owned();
            assert_eq!(policy(&container.host), policy(host), "{context}: {name}\n{:#?}", model.requests);
            if let Some(shared) = container.host["NetworkMode"].as_str().and_then(|mode| mode.strip_prefix("container:")) {
                assert!(model.containers.iter().any(|other| other.id == shared), "{context}: {name} shares the network of nobody");
            }
            assert!(container.image == OLD || container.image == NEW || name == "side", "{context}: {name}");
        }
        let web = model.named("web").unwrap();
        let fresh = model.volumes.iter().filter(|name| name.contains("feed")).count();
        let expected = usize::from(web.image == NEW);
        assert_eq!(fresh, expected, "{context}: volumes {:?}\n{:#?}", model.volumes, model.requests);
        for volume in ["data", ANONYMOUS, "others"] {
            assert!(model.volumes.contains(volume), "{context}: the volume {volume} is gone\n{:#?}", model.requests);
        }
        assert!(model.images["redis:7"] == OLD || model.images["redis:7"] == NEW, "{context}");
    });
    check_nothing_left(&world.journal());
}

fn state(world: &World) -> Vec<(String, bool, Value)> {
    world.model(|model| {
        model.containers.iter().map(|container| (container.name.clone(), container.running, container.host.clone())).collect()
    })
}

/// How many requests one recreation makes when nothing goes wrong.
fn requests(situation: Situation) -> usize {
    let world = world(situation);
    world.host(async |host| drop(host.recreate(&world, "web", false).await.unwrap()));
    world.model(|model| model.requests.len())
}

/// One fault at one request; the host goes on, or another one follows it.
fn run(situation: Situation, at: usize, fault: Fault) {
    let mut world = world(situation);
    if matches!(fault, Fault::HangsBefore | Fault::HangsAfter) {
        world.patience = IMPATIENCE;
    }
    let before = state(&world);
    world.model(|model| model.fault = Some((at, fault)));
    let context = format!("{situation:?}, {fault:?} at {at}");
    world.host(async |host| {
        let mut killed = world.engine.killed.clone();
        let life = async {
            let _refused = host.recreate(&world, "web", false).await;
            host.operations.finished().await;
        };
        tokio::select! {
            () = life => {}
            _ = killed.wait_for(|killed| *killed) => {}
        }
    });
    world.host(async |host| host.take_up().await);
    check(&world, &before, &context);
    drop(world.runtime);
}

fn matrix(situation: Situation, faults: &[Fault]) {
    let count = requests(situation);
    assert!(count > 15, "{situation:?}: {count}");
    let cases: Vec<(usize, Fault)> = (0..count).flat_map(|at| faults.iter().map(move |fault| (at, *fault))).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    // Most of the time each of them waits.
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((at, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(situation, *at, *fault);
                }
            });
        }
    });
}

const FAILURES: [Fault; 5] = [Fault::Refused, Fault::CutBefore, Fault::CutAfter, Fault::HangsBefore, Fault::HangsAfter];
const KILLS: [Fault; 2] = [Fault::KilledBefore, Fault::KilledAfter];

#[test]
fn a_request_that_fails_leaves_one_container() {
    matrix(Situation::Plain, &FAILURES);
}

#[test]
fn a_request_that_fails_while_a_bad_image_is_taken_back_leaves_one_container() {
    matrix(Situation::Bad, &FAILURES);
}

#[test]
fn a_request_that_fails_leaves_one_of_a_container_that_vanishes() {
    matrix(Situation::Vanishing, &FAILURES);
    matrix(Situation::VanishingBad, &[Fault::Refused, Fault::CutAfter]);
}

#[test]
fn a_request_that_fails_leaves_one_of_a_container_that_does_not_run() {
    matrix(Situation::Stopped, &FAILURES);
}

#[test]
fn a_host_that_is_killed_leaves_one_container_to_the_next() {
    matrix(Situation::Plain, &KILLS);
    matrix(Situation::Bad, &KILLS);
}

#[test]
fn a_host_that_is_killed_leaves_one_of_a_container_that_vanishes_or_does_not_run() {
    matrix(Situation::Vanishing, &KILLS);
    matrix(Situation::VanishingBad, &KILLS);
    matrix(Situation::Stopped, &KILLS);
}

#[test]
fn an_engine_that_is_restarted_leaves_one_container() {
    matrix(Situation::Plain, &[Fault::Restarted]);
    matrix(Situation::Bad, &[Fault::Restarted]);
}
