//! What recreations say of themselves, and what is decided beside the order of the steps.

use serde_json::json;

use super::model::Behaviour;
use super::*;

/// An engine on which `web` runs an image that has been published anew since, with a volume.
fn world() -> World {
    World::new(|model| drop(model.add("web", "redis:7", json!({}), &["data"], true)))
}

fn id_of(world: &World, name: &str) -> String {
    world.model(|model| model.named(name).unwrap().id.clone())
}

#[test]
fn a_recreation_says_what_it_did() {
    let world = world();
    let old = id_of(&world, "web");
    world.host(async |host| {
        let operation = host.begin(&world, "web", false).await.unwrap();
        assert!(host.recreations.holds("web", "") && host.recreations.holds("", &old));
        assert_eq!(word(&operation.ended().await), "succeeded");
        let now = operation.now();
        let crate::backend::operations::Details::Recreation(details) = now.details else { panic!("{:?}", now.details) };
        let new = id_of(&world, "web");
        assert_eq!((details.container, details.replacement.unwrap()), (old.clone(), new.clone()));
        assert_eq!((details.from.as_str(), details.to.unwrap().as_str(), now.percent), (OLD, NEW, Some(100)));
        assert_eq!((details.changed, details.rolled_back, details.stopped_ms.is_some()), (true, false, true));
        assert_eq!(details.digest.unwrap(), NEW);
        assert_eq!(details.pull.unwrap().status, "Downloading");
        host.operations.finished().await;
        assert!(!host.recreations.holds("web", "") && !host.recreations.holds("", &old));
        assert_ne!(old, new);
    });
    check_nothing_left(&world.journal());
}

#[test]
fn on_the_image_that_it_has_nothing_is_done_unless_that_is_asked_for() {
    let world = world();
    world.model(|model| model.registry.insert("redis:7".to_owned(), OLD.to_owned()));
    let old = id_of(&world, "web");
    world.host(async |host| {
        assert_eq!(word(&host.recreate(&world, "web", false).await.unwrap()), "succeeded");
        assert_eq!(id_of(&world, "web"), old);
        assert_eq!(word(&host.recreate(&world, "web", true).await.unwrap()), "succeeded");
        assert_ne!(id_of(&world, "web"), old);
    });
    assert_eq!(world.model(|model| model.containers.len()), 1);
}

#[track_caller]
fn check_bad(behaviour: Behaviour, reason: &str) {
    let world = world();
    world.model(|model| model.behaviours.insert(NEW.to_owned(), behaviour));
    let old = id_of(&world, "web");
    world.host(async |host| {
        let outcome = word(&host.recreate(&world, "web", false).await.unwrap());
        assert_eq!(outcome, format!("{reason}; the old container is there again"));
        assert_eq!(id_of(&world, "web"), old);
        assert!(world.model(|model| model.named("web").unwrap().running && model.containers.len() == 1));
        // It is not tried again unasked, and not even begun where nothing is to be pulled.
        let known = "this image has failed for this container before, and is not tried again unless that is asked for";
        let second = word(&host.recreate(&world, "web", false).await.unwrap());
        assert!(second.starts_with(known) && second.ends_with("; the old container was not touched"), "{second}");
        let third = host.begin_as(&world, "web", options()).await.map(|operation| operation.id.clone()).unwrap_err();
        assert!(matches!(&third, RecreateError::Refused(text) if text.starts_with(known)), "{third:?}");
    });
    // The next run of the host knows it too, and forgets it when the image has proven itself.
    world.model(|model| model.behaviours.clear());
    world.host(async |host| {
        assert!(host.begin_as(&world, "web", options()).await.is_err());
        assert_eq!(word(&host.recreate(&world, "web", true).await.unwrap()), "succeeded");
        host.operations.finished().await;
    });
    let (journal, _) = Journal::open(&world.journal()).unwrap();
    assert_eq!(journal.failure("web", NEW, None).unwrap(), None);
}

#[test]
fn an_image_that_is_no_good_is_taken_back_and_remembered() {
    check_bad(Behaviour::Dies, "the new container of `web` is no good: it exited with code 1");
    check_bad(Behaviour::IsUnhealthy, "the new container of `web` is no good: it is unhealthy: no answer");
    check_bad(Behaviour::DoesNotStart, "failed to start the new container of `web`: the engine failed: no such command");
}

#[test]
fn a_recreation_that_is_cancelled_is_over_when_it_is_taken_back() {
    let world = world();
    let old = id_of(&world, "web");
    world.host(async |host| {
        let long = RecreateOptions { pull: true, settle: Duration::from_secs(600), ..options() };
        let operation = host.begin_as(&world, "web", long).await.unwrap();
        world_until(&world, |model| model.containers.len() == 2 && model.named("web").is_some_and(|web| web.running && web.image == NEW))
            .await;
        let second = host.begin(&world, "web", false).await.map(|operation| operation.id.clone()).unwrap_err();
        assert!(matches!(&second, RecreateError::Refused(text) if text == "the container `web` is being recreated"), "{second:?}");
        operation.cancel();
        assert_eq!(word(&operation.ended().await), "cancelled");
        let crate::backend::operations::Details::Recreation(details) = operation.now().details else { panic!() };
        assert!(details.rolled_back && !details.changed && details.replacement.is_none());
        assert_eq!((id_of(&world, "web"), world.model(|model| model.containers.len())), (old, 1));
    });
    assert!(world.model(|model| model.named("web").unwrap().running));
}

#[test]
fn a_host_that_ends_while_the_new_container_is_watched_leaves_that_to_the_next() {
    let world = world();
    let id = world.host(async |host| {
        let long = RecreateOptions { pull: true, settle: Duration::from_millis(300), ..options() };
        let operation = host.begin_as(&world, "web", long).await.unwrap();
        world_until(&world, |model| model.named("web").is_some_and(|web| web.running && web.image == NEW)).await;
        host.recreations.leaving.store(true, Ordering::Relaxed);
        host.operations.cancel_all();
        host.operations.finished().await;
        operation.id.clone()
    });
    assert!(world.model(|model| model.named("web").unwrap().running), "nothing is stopped for it");
    world.host(async |host| {
        host.recreations.take_up().await;
        let operation = host.operations.recorded().into_iter().find(|operation| operation.id == id).unwrap();
        assert!(operation.owner == owner() && host.recreations.holds("web", ""));
        assert_eq!(word(&operation.ended().await), "succeeded");
    });
    assert_eq!(world.model(|model| (model.containers.len(), model.named("web").unwrap().image.clone())), (1, NEW.to_owned()));
    // The outcome is told by the run after that, too.
    world.host(async |host| {
        host.recreations.take_up().await;
        let told: Vec<_> = host.operations.recorded().iter().map(|operation| (operation.id.clone(), operation.now().word())).collect();
        assert_eq!(told, [(id.clone(), "succeeded")]);
    });
}

#[test]
fn what_depends_on_it_is_recreated_too_if_the_grant_covers_it() {
    let world = world();
    let web = id_of(&world, "web");
    world.model(|model| model.add("secret", "redis:7", json!({ "PidMode": format!("container:{web}") }), &[], true));
    world.host(async |host| {
        let refused = host.begin(&world, "web", false).await.map(|operation| operation.id.clone()).unwrap_err();
        assert!(matches!(&refused, RecreateError::NotCovered { dependent } if dependent == "secret"), "{refused:?}");
        assert!(!host.recreations.holds("web", ""));
    });
    world.model(|model| model.containers[1].name = "side".to_owned());
    let side = id_of(&world, "side");
    world.host(async |host| {
        let operation = host.begin(&world, "web", false).await.unwrap();
        assert_eq!(word(&operation.ended().await), "succeeded");
        let crate::backend::operations::Details::Recreation(details) = operation.now().details else { panic!() };
        assert_eq!(details.also, ["side"]);
    });
    world.model(|model| {
        let (web, new) = (model.named("web").unwrap().id.clone(), model.named("side").unwrap());
        assert_ne!(new.id, side);
        assert_eq!(new.host["PidMode"], format!("container:{web}"));
        // On its own image, although its name leads to another one since; and known by that name still.
        assert_eq!((new.image.as_str(), &new.config["Image"], model.images["redis:7"].as_str()), (OLD, &json!("redis:7"), NEW));
    });
}

#[test]
fn what_has_not_all_that_it_needs_is_refused_before_anything_is_done() {
    let refusal = |fill: &dyn Fn(&mut Model)| {
        let world = world();
        world.model(fill);
        let refused = world.host(async |host| host.begin(&world, "web", false).await.map(|operation| operation.id.clone()).unwrap_err());
        let changed = world.model(|model| model.requests.iter().any(|line| line.starts_with("POST")));
        assert!(!changed, "{refused}");
        refused.to_string()
    };
    let reason = |rest: &str| format!("the container `web` cannot be recreated: {rest}");
    assert_eq!(refusal(&|model| assert!(model.volumes.remove("data"))), reason("its volume `data` is not there any more"));
    let paused = |model: &mut Model| model.containers[0].host["NetworkMode"] = json!("container:gone");
    assert!(refusal(&paused).contains("`NetworkMode` leads to the container `gone`, which is not there any more"));
    let swarm = |model: &mut Model| model.containers[0].config["Labels"] = json!({ "com.docker.swarm.task.id": "x" });
    assert!(refusal(&swarm).contains("it is a task of Swarm"));
}

#[test]
fn an_image_that_is_not_there_or_of_another_platform_is_an_outcome() {
    let world = world();
    world.model(|model| model.registry.clear());
    world.host(async |host| {
        let outcome = word(&host.recreate(&world, "web", false).await.unwrap());
        assert!(outcome.starts_with("failed to pull the image") && outcome.ends_with("the old container was not touched"), "{outcome}");
    });
    assert!(world.model(|model| model.named("web").unwrap().running && model.containers.len() == 1));
}

#[test]
fn a_container_that_somebody_removes_meanwhile_is_replaced_all_the_same() {
    let world = world();
    let old = id_of(&world, "web");
    world.model(|model| model.behaviours.insert(NEW.to_owned(), Behaviour::Runs));
    world.host(async |host| {
        let long = RecreateOptions { pull: true, settle: Duration::from_secs(600), ..options() };
        let operation = host.begin_as(&world, "web", long).await.unwrap();
        world_until(&world, |model| model.named("web").is_some_and(|web| web.running && web.image == NEW)).await;
        world.model(|model| model.containers.retain(|container| container.id != old));
        operation.cancel();
        operation.ended().await;
    });
    world.model(|model| assert!(model.containers.len() == 1 && model.named("web").unwrap().running));
}

#[test]
fn another_engine_at_the_same_address_is_not_asked() {
    let world = world();
    world.host(async |host| {
        let long = RecreateOptions { pull: true, settle: Duration::from_secs(600), ..options() };
        host.begin_as(&world, "web", long).await.unwrap();
        world_until(&world, |model| model.named("web").is_some_and(|web| web.running && web.image == NEW)).await;
    });
    world.model(|model| model.identity = "another".to_owned());
    let before = world.model(|model| model.requests.len());
    world.host(async |host| {
        host.recreations.take_up().await;
        world_until(&world, |model| model.requests.len() > before + 2).await;
        assert!(host.recreations.holds("web", ""));
    });
    world.model(|model| {
        let asked: Vec<_> = model.requests[before..].iter().filter(|line| *line != "GET /info" && *line != "GET /version").collect();
        assert!(asked.is_empty(), "{asked:?}");
        model.identity = "engine".to_owned();
    });
    world.host(async |host| {
        host.recreations.take_up().await;
        host.operations.cancel_all();
        host.operations.finished().await;
    });
    assert_eq!(world.model(|model| (model.containers.len(), model.named("web").unwrap().running)), (1, true));
}
