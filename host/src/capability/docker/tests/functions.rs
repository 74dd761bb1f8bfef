//! Each function: allowed, denied, gone, unreachable; and what is the same for all.

use super::memory::{DB, WEB};
use super::{EVERYTHING, Plugin, owner};
use crate::backend::engine::EngineError;
use crate::backend::operations::Operations;
use crate::bindings::wharf::docker::containers_logs::LogOptions;
use crate::bindings::wharf::docker::containers_read::ContainerFilter;
use crate::bindings::wharf::docker::containers_recreate::RecreateOptions;
use crate::bindings::wharf::docker::containers_remove::RemoveOptions;
use crate::bindings::wharf::docker::types::Error;
use crate::bindings::wharf::docker::{
    containers_create, containers_env, containers_lifecycle, containers_logs, containers_read, containers_recreate, containers_remove,
    distribution_read, images_prune, images_pull, images_read, images_remove, networks_read, system_read, volumes_read,
};

const SPECIFICATION: &str = r#"{"Image":"redis","HostConfig":{"NetworkMode":"lopco-network"}}"#;

pub(super) fn web_only() -> String {
    format!("{EVERYTHING}\ncontainers = {{ names = [\"web-*\"] }}\nimages = [\"docker.io/library/redis\"]\n")
}

fn front_only() -> String {
    format!("{EVERYTHING}\ncontainers = {{ labels = [\"site.owner\", \"tier=front\"] }}\n")
}

/// On the image that it was created with.
pub(super) fn recreation() -> RecreateOptions {
    RecreateOptions { image: None, pull: true, settle_ms: None, healthy_ms: None, again: false }
}

fn no_options() -> LogOptions {
    LogOptions { stdout: true, stderr: true, timestamps: false, follow: false, tail: Some(3), since_ms: None, until_ms: None }
}

/// Calls the function of this name about a container, an image or nothing.
pub(super) async fn call(plugin: &mut Plugin, function: &str, object: &str) -> Result<(), Error> {
    let mut docker = plugin.docker();
    let one = || vec![object.to_owned()];
    match function {
        "containers-read.list" => {
            let filter = ContainerFilter { all: true, labels: Vec::new() };
            containers_read::Host::list(&mut docker, filter).await.map(drop)
        }
        "containers-read.inspect" => containers_read::Host::inspect(&mut docker, one()).await.remove(0).map(drop),
        "containers-env.inspect" => containers_env::Host::inspect(&mut docker, one()).await.remove(0).map(drop),
        "containers-logs.read" => containers_logs::Host::read(&mut docker, object.to_owned(), no_options()).await.map(drop),
        "containers-lifecycle.start" => containers_lifecycle::Host::start(&mut docker, object.to_owned()).await,
        "containers-lifecycle.stop" => containers_lifecycle::Host::stop(&mut docker, object.to_owned(), Some(1_001)).await,
        "containers-create.create" => {
            containers_create::Host::create(&mut docker, object.to_owned(), SPECIFICATION.to_owned()).await.map(drop)
        }
        "containers-create.run" => containers_create::Host::run(&mut docker, object.to_owned(), SPECIFICATION.to_owned()).await.map(drop),
        "containers-remove.remove" => containers_remove::Host::remove(&mut docker, object.to_owned(), RemoveOptions::FORCE).await,
        "containers-recreate.begin" => containers_recreate::Host::begin(&mut docker, object.to_owned(), recreation()).await.map(drop),
        "containers-recreate.preview" => containers_recreate::Host::preview(&mut docker, object.to_owned(), None).await.map(drop),
        "images-read.inspect" => images_read::Host::inspect(&mut docker, one()).await.remove(0).map(drop),
        "images-read.list" => images_read::Host::list(&mut docker).await.map(drop),
        "images-remove.remove" => images_remove::Host::remove(&mut docker, one()).await.remove(0).map(drop),
        "images-prune.prune" => images_prune::Host::prune(&mut docker).await.map(drop),
        "distribution-read.inspect" => distribution_read::Host::inspect(&mut docker, one()).await.remove(0).map(drop),
        "images-pull.pull" => images_pull::Host::pull(&mut docker, object.to_owned()).await,
        "networks-read.list" => networks_read::Host::list(&mut docker).await.map(drop),
        "volumes-read.list" => volumes_read::Host::list(&mut docker).await.map(drop),
        "system-read.version" => system_read::Host::version(&mut docker).await.map(drop),
        other => panic!("no function `{other}`"),
    }
}

const ON_CONTAINERS: [&str; 8] = [
    "containers-read.inspect",
    "containers-env.inspect",
    "containers-logs.read",
    "containers-lifecycle.start",
    "containers-lifecycle.stop",
    "containers-remove.remove",
    "containers-recreate.begin",
    "containers-recreate.preview",
];

/// Every function with an object that exists, or a name that is free.
pub(super) const FUNCTIONS: [(&str, &str); 20] = [
    ("containers-read.list", ""),
    ("containers-read.inspect", "web-1"),
    ("containers-env.inspect", "web-1"),
    ("containers-logs.read", "web-1"),
    ("containers-lifecycle.start", "web-1"),
    ("containers-lifecycle.stop", "web-1"),
    ("containers-create.create", "web-2"),
    ("containers-create.run", "web-2"),
    ("containers-remove.remove", "web-1"),
    ("containers-recreate.begin", "web-1"),
    ("containers-recreate.preview", "web-1"),
    ("images-read.list", ""),
    ("images-read.inspect", "redis:7"),
    ("images-pull.pull", "redis:7"),
    ("images-remove.remove", "redis:7"),
    ("images-prune.prune", ""),
    ("distribution-read.inspect", "redis:7"),
    ("networks-read.list", ""),
    ("volumes-read.list", ""),
    ("system-read.version", ""),
];

/// What a plugin with this grant gets from a function: for the golden table.
pub(super) async fn outcome(mut plugin: Plugin, function: &str, object: &str) -> Result<(), Error> {
    call(&mut plugin, function, object).await
}

#[track_caller]
pub(super) fn check_same<T: PartialEq + std::fmt::Debug>(function: &str, left: T, right: T) {
    assert_eq!(left, right, "{function}");
}

pub(super) fn word(outcome: &Result<(), Error>) -> &'static str {
    match outcome {
        Ok(()) => "ok",
        Err(Error::Denied) => "denied",
        Err(Error::NotFound) => "not-found",
        Err(Error::Invalid(_)) => "invalid",
        Err(Error::Conflict(_)) => "conflict",
        Err(Error::Unavailable(_)) => "unavailable",
        Err(Error::Timeout) => "timeout",
        Err(Error::QuotaExceeded) => "quota-exceeded",
        Err(Error::Internal(_)) => "internal",
    }
}

#[tokio::test]
async fn each_function_is_allowed_with_its_power() {
    for (function, object) in FUNCTIONS {
        let mut plugin = Plugin::with(EVERYTHING);
        check_same(function, word(&call(&mut plugin, function, object).await), "ok");
        assert_eq!(plugin.denials(), 0);
    }
}

#[tokio::test]
async fn each_function_is_denied_without_its_power() {
    for (function, object) in FUNCTIONS {
        let interface = function.split('.').next().unwrap().replace('-', ".");
        let others = EVERYTHING
            .replace(&format!("\"{interface}\""), "\"system.read\"")
            .replace("\"system.read\"", if interface == "system.read" { "\"images.read\"" } else { "\"system.read\"" });
        let mut plugin = Plugin::with(&others);
        check_same(function, word(&call(&mut plugin, function, object).await), "denied");
        check_same(function, (plugin.denials(), plugin.engine.acts()), (1, Vec::new()));
    }
}

#[tokio::test]
async fn each_function_is_denied_while_a_plugin_describes_itself() {
    for (function, object) in FUNCTIONS {
        let mut plugin = Plugin::in_room(|_| super::DockerRoom::powerless());
        check_same(function, word(&call(&mut plugin, function, object).await), "denied");
    }
}

#[tokio::test]
async fn each_function_reports_an_engine_that_is_gone_or_hangs() {
    for (function, object) in FUNCTIONS {
        let mut plugin = Plugin::with(EVERYTHING);
        plugin.engine.break_down(EngineError::Unavailable("no such file".to_owned()));
        let reason = call(&mut plugin, function, object).await;
        assert!(matches!(reason, Err(Error::Unavailable(reason)) if reason == "no such file"), "{function}");
        plugin.engine.break_down(EngineError::Timeout(std::time::Duration::from_secs(20)));
        check_same(function, word(&call(&mut plugin, function, object).await), "timeout");
    }
}

#[tokio::test]
async fn each_function_counts_against_the_quota() {
    for (function, object) in FUNCTIONS {
        let mut plugin = Plugin::with(EVERYTHING);
        plugin.call.host_calls_left = 0;
        check_same(function, word(&call(&mut plugin, function, object).await), "quota-exceeded");
        assert_eq!(plugin.engine.acts(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_container_may_be_named_in_four_ways_and_must_exist() {
    for function in ON_CONTAINERS {
        for (name, expected) in [("web-1", "ok"), ("/web-1", "ok"), (WEB, "ok"), ("a1", "ok"), ("web-9", "not-found"), ("f", "not-found")] {
            check_same(&format!("{function} {name}"), word(&call(&mut Plugin::with(EVERYTHING), function, name).await), expected);
        }
        for name in ["", "../../info?", "web 1", "web-1/json", "web%2F1"] {
            let mut plugin = Plugin::with(EVERYTHING);
            plugin.engine.break_down(EngineError::Unavailable("asked".to_owned()));
            check_same(&format!("{function} {name}"), word(&call(&mut plugin, function, name).await), "invalid");
        }
    }
}

#[tokio::test]
async fn a_container_outside_the_grant_looks_like_one_that_does_not_exist() {
    for function in ON_CONTAINERS {
        // By name pattern: a name that is never covered is denied, whether there is such a container or not.
        for (name, expected) in [
            ("web-1", "ok"),
            ("queue", "denied"),
            ("queue-9", "denied"),
            ("web-9", "not-found"),
            (DB, "not-found"),
            ("b1", "not-found"),
            ("b2", "not-found"),
        ] {
            let mut plugin = Plugin::with(&web_only());
            check_same(&format!("{function} {name}"), word(&call(&mut plugin, function, name).await), expected);
            let changed = expected == "ok";
            check_same(function, plugin.engine.acts().iter().all(|act| act.contains("web-1") && changed), true);
        }
        // By label: any name could be covered.
        for (name, expected) in [("web-1", "ok"), ("queue", "not-found"), ("queue-9", "not-found"), ("b1", "not-found")] {
            check_same(&format!("{function} {name}"), word(&call(&mut Plugin::with(&front_only()), function, name).await), expected);
        }
    }
    // To the operator it is a refusal all the same.
    let mut plugin = Plugin::with(&front_only());
    assert_eq!(word(&call(&mut plugin, "containers-lifecycle.start", "queue").await), "not-found");
    assert_eq!(plugin.denials(), 1);
}

#[tokio::test]
async fn a_list_shows_what_the_grant_covers() {
    for (grant, names) in [(EVERYTHING.to_owned(), vec!["web-1", "queue"]), (web_only(), vec!["web-1"]), (front_only(), vec!["web-1"])] {
        let mut plugin = Plugin::with(&grant);
        let listed = containers_read::Host::list(&mut plugin.docker(), ContainerFilter { all: true, labels: Vec::new() }).await.unwrap();
        let seen: Vec<&str> = listed.iter().map(|container| container.names.first().unwrap().as_str()).collect();
        assert_eq!(seen, names);
    }
    let mut plugin = Plugin::with(EVERYTHING);
    let filter = |labels: &[&str]| ContainerFilter { all: true, labels: labels.iter().map(|label| (*label).to_owned()).collect() };
    assert_eq!(containers_read::Host::list(&mut plugin.docker(), filter(&["tier=front"])).await.unwrap().len(), 1);
    assert!(matches!(containers_read::Host::list(&mut plugin.docker(), filter(&["=x"])).await, Err(Error::Invalid(_))));
    assert_eq!(networks_read::Host::list(&mut plugin.docker()).await.unwrap().len(), 1);
    assert_eq!(volumes_read::Host::list(&mut plugin.docker()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn many_containers_are_answered_in_the_order_in_which_they_were_named() {
    let mut plugin = Plugin::with(&web_only());
    let names = ["queue", "web-1", "web-9", "a b", WEB].map(str::to_owned).to_vec();
    let answers = containers_read::Host::inspect(&mut plugin.docker(), names).await;
    let words: Vec<&str> = answers.into_iter().map(|answer| word(&answer.map(drop))).collect();
    assert_eq!(words, ["denied", "ok", "not-found", "invalid", "ok"]);
    let too_many = vec!["web-1".to_owned(); super::super::MAX_NAMES + 1];
    assert!(
        containers_read::Host::inspect(&mut plugin.docker(), too_many).await.iter().all(|answer| matches!(answer, Err(Error::Invalid(_))))
    );
}

#[tokio::test]
async fn the_environment_needs_its_own_power_and_the_rest_survives_word_for_word() {
    let mut plugin = Plugin::with(EVERYTHING);
    let read = containers_read::Host::inspect(&mut plugin.docker(), vec!["web-1".to_owned()]).await.remove(0).unwrap();
    let rest = r#""Future":123456789012345678901234567890,"Name":"/web-1","State":{"Status":"running"},"Config":{"Image":"redis:7","Labels":{"tier":"front"},"Tty":false,"Z":1.50},"A":[]}"#;
    assert_eq!(read.json, format!(r#"{{"Id":"{WEB}",{rest}"#));
    assert_eq!((read.id.as_str(), read.name.as_str(), read.state.as_str()), (WEB, "web-1", "running"));
    let with_environment = containers_env::Host::inspect(&mut plugin.docker(), vec!["web-1".to_owned()]).await.remove(0).unwrap();
    assert!(with_environment.json.contains(r#""Env":["PASSWORD=secret"]"#));
}

#[tokio::test]
async fn acts_are_carried_out_on_the_container_that_was_meant() {
    let mut plugin = Plugin::with(EVERYTHING);
    for (function, object) in [
        ("containers-lifecycle.stop", "a1"),
        ("containers-lifecycle.start", "web-1"),
        ("containers-remove.remove", WEB),
        ("images-pull.pull", "redis"),
    ] {
        call(&mut plugin, function, object).await.unwrap();
    }
    // A grace of 1,001 ms is two of the engine's seconds.
    assert_eq!(plugin.engine.acts(), ["stop web-1 2", "start web-1", "remove web-1 force", "pull docker.io/library/redis latest"]);
    let removed = containers_remove::Host::remove(&mut plugin.docker(), "queue".to_owned(), RemoveOptions::empty()).await;
    assert_eq!(word(&removed), "ok");
    let mut plugin = Plugin::with(EVERYTHING);
    let running = containers_remove::Host::remove(&mut plugin.docker(), "web-1".to_owned(), RemoveOptions::empty()).await;
    assert!(matches!(running, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn a_log_is_a_stream_in_the_table() {
    let mut plugin = Plugin::with(EVERYTHING);
    let stream = containers_logs::Host::read(&mut plugin.docker(), "web-1".to_owned(), no_options()).await.unwrap();
    let stream = plugin.table.get_mut(&stream).unwrap();
    assert_eq!(stream.read(99).await.unwrap().unwrap(), "log, tail Some(3)");
    let neither = LogOptions { stdout: false, stderr: false, ..no_options() };
    let answer = containers_logs::Host::read(&mut plugin.docker(), "web-1".to_owned(), neither).await;
    assert!(matches!(answer, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_container_that_does_not_start_is_removed_again() {
    let mut plugin = Plugin::with(EVERYTHING);
    let taken = EngineError::Failed { status: 500, reason: "port is already allocated".to_owned() };
    plugin.engine.fail("start", taken.clone());
    let answer = call(&mut plugin, "containers-create.run", "web-2").await;
    assert!(matches!(answer, Err(Error::Internal(reason)) if reason.contains("port is already allocated")));
    assert_eq!(plugin.engine.acts(), ["create web-2", "start web-2", "remove web-2 force volumes"]);
    assert_eq!(word(&call(&mut plugin, "containers-read.inspect", "web-2").await), "not-found");

    // A network that is not there is the engine's 404 to a start. The container is there all the same.
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.engine.fail("start", EngineError::NotFound("network lopco-network not found".to_owned()));
    assert_eq!(word(&call(&mut plugin, "containers-create.run", "web-2").await), "internal");

    let mut plugin = Plugin::with(EVERYTHING);
    plugin.engine.fail("start", taken);
    plugin.engine.fail("remove", EngineError::Unavailable("connection refused".to_owned()));
    let answer = call(&mut plugin, "containers-create.run", "web-2").await;
    assert!(matches!(answer, Err(Error::Internal(reason)) if reason.ends_with("may be left behind")));
}

#[tokio::test]
async fn a_start_that_fails_is_no_absent_container() {
    for (error, expected) in [
        (EngineError::NotFound("network gone not found".to_owned()), "internal"),
        (EngineError::Invalid("exec: no such file".to_owned()), "internal"),
        (EngineError::Conflict("it is being removed".to_owned()), "conflict"),
    ] {
        let mut plugin = Plugin::with(EVERYTHING);
        plugin.engine.fail("start", error);
        assert_eq!(word(&call(&mut plugin, "containers-lifecycle.start", "queue").await), expected);
    }
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let mut plugin = Plugin::with(EVERYTHING);
    for function in ["containers-create.create", "containers-create.run"] {
        // Not in the engine's words, which have the id of the container that has the name.
        let answer = call(&mut plugin, function, "queue").await;
        assert!(matches!(&answer, Err(Error::Conflict(reason)) if reason == "the name `queue` is taken"), "{answer:?}");
        assert!(matches!(call(&mut plugin, function, "d").await, Err(Error::Invalid(_))));
        assert!(matches!(call(&mut plugin, function, "../db").await, Err(Error::Invalid(_))));
    }
}

#[tokio::test]
async fn an_act_is_finished_when_its_request_is_gone() {
    let operations = Operations::default();
    let mut plugin = Plugin::with(EVERYTHING);
    plugin.room.operations = operations.of_plugin(owner(), 1);
    // One poll begins the work; the future is dropped before it is done or just after, and both are fine.
    let _ = tokio::time::timeout(std::time::Duration::ZERO, call(&mut plugin, "containers-create.run", "web-2")).await;
    operations.finished().await;
    assert_eq!(plugin.engine.acts(), ["create web-2", "start web-2"]);
    assert!(plugin.call.clock.deadline().is_some());
}

#[tokio::test]
async fn a_prefix_that_several_containers_have_finds_none() {
    // Engine 28 and engine 20.10.
    let reason = || "Multiple IDs found with provided prefix: a".to_owned();
    for error in [EngineError::Invalid(reason()), EngineError::Failed { status: 500, reason: reason() }] {
        for function in ON_CONTAINERS {
            // What can be no prefix has failed: a full id, and a name that is none.
            for (name, expected) in [("a", "not-found"), ("cafe", "not-found"), (WEB, "failed"), ("web-1", "failed")] {
                let mut plugin = Plugin::with(EVERYTHING);
                plugin.engine.break_down(error.clone());
                let word = word(&call(&mut plugin, function, name).await);
                let seen = if matches!(word, "invalid" | "internal") { "failed" } else { word };
                check_same(&format!("{function} {name} {error}"), seen, expected);
            }
        }
    }
}

#[tokio::test]
async fn what_an_old_engine_would_leave_out_is_refused() {
    let mut plugin = Plugin::with(EVERYTHING);
    let mount = r#"{"Type":"volume","Source":"data_cache","Target":"/x","VolumeOptions":{"Subpath":"a"}}"#;
    let specification = format!(r#"{{"Image":"redis","HostConfig":{{"NetworkMode":"none","Mounts":[{mount}]}}}}"#);
    let answer = containers_create::Host::create(&mut plugin.docker(), "web-2".to_owned(), specification).await;
    let reason = "`HostConfig.Mounts.VolumeOptions.Subpath` needs API 1.45 and the engine has 1.41, which ignores it";
    assert!(matches!(&answer, Err(Error::Invalid(text)) if text == reason), "{answer:?}");
    assert_eq!(plugin.engine.names(), ["web-1", "queue"]);
}

#[tokio::test]
async fn a_plugin_has_so_many_operations_and_no_more() {
    for (function, object) in FUNCTIONS {
        let mut plugin = Plugin::with(EVERYTHING);
        plugin.room.operations = Operations::default().of_plugin(owner(), 0);
        let changes = ["lifecycle", "-create.", "recreate.begin", "remove.", "pull.", "prune."].iter().any(|part| function.contains(part));
        check_same(function, word(&call(&mut plugin, function, object).await), if changes { "quota-exceeded" } else { "ok" });
        assert_eq!(plugin.engine.acts(), Vec::<String>::new(), "{function}");
    }
}
