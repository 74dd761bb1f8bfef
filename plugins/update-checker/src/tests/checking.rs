//! What a check finds, and how little it asks.

use wharf_sdk::docker::containers_lifecycle;
use wharf_sdk::docker::containers_remove::{self, RemoveOptions};
use wharf_sdk::registry;
use wharf_sdk::storage::keyvalue;

use super::*;

#[test]
fn containers_are_grouped_and_compared() {
    let host = install();
    host.image(image("nginx:latest", '1'));
    host.image(image("redis:7", '3'));
    host.image(image("local/built:1", '9').digest(""));
    publish(&host, "nginx", '2');
    publish(&host, "redis:7", '3');
    for (name, reference) in [("web-2", "nginx"), ("web-1", "nginx:latest"), ("cache", "redis:7"), ("lost", "absent:1")] {
        run(&host, name, reference);
    }
    check();
    assert_eq!(
        statuses(),
        ["absent:1 unknown: lost unknown", "nginx:latest outdated: web-1 outdated, web-2 outdated", "redis:7 uptodate: cache uptodate",]
    );
}

#[test]
fn only_what_runs_is_listed() {
    let host = install();
    host.image(image("nginx:latest", '1'));
    publish(&host, "nginx", '1');
    for state in ["running", "paused", "restarting", "exited", "created", "dead", "removing"] {
        host.container(Container::new(state).image("nginx").state(state));
    }
    check();
    assert_eq!(statuses(), ["nginx:latest uptodate: paused uptodate, restarting uptodate, running uptodate"]);
}

#[test]
fn a_check_is_a_handful_of_calls_however_many_containers_there_are() {
    let host = install();
    for digit in ['1', '2', '3', '4', '5', '6', '7', '8'] {
        let reference = format!("app-{digit}:1");
        host.image(image(&reference, digit));
        publish(&host, &reference, if digit < '5' { digit } else { '9' });
        for place in 0..10 {
            run(&host, &format!("app-{digit}-{place}"), &reference);
        }
    }
    check();
    let before = host.calls().len();
    check();
    let calls: Vec<String> = host.calls()[before..].iter().map(|call| call.function.clone()).collect();
    let of = |prefix: &str| calls.iter().filter(|call| call.starts_with(prefix)).count();
    assert_eq!((of("docker."), of("registry."), images().as_array().unwrap().len()), (2, 1, 8), "{calls:?}");
    assert!(of("storage.") <= 8, "{calls:?}");
}

#[test]
fn a_registry_that_fails_is_unknown_and_says_why() {
    let (host, _) = outdated();
    for (error, reason) in [
        (registry::Error::Unavailable("rate-limited: come again".to_owned()), "rate-limited: come again".to_owned()),
        (registry::Error::NotFound, "not found".to_owned()),
        (registry::Error::Denied, "the operator does not allow it".to_owned()),
        (registry::Error::Timeout, "no answer in time".to_owned()),
        (registry::Error::Unavailable("é".repeat(200)), format!("{}…", "é".repeat(100))),
    ] {
        host.fail("registry.digests-read.heads", error);
        check();
        let list = images();
        let group = &list[0];
        assert_eq!((&group["status"], &group["remote_digest"]), (&json!("unknown"), &json!("unknown")));
        assert_eq!((&group["remote_error"], &group["containers"][0]["status"]), (&json!(reason), &json!("unknown")));
        assert_eq!(group["containers"][0]["local_digest"], shown('1'));
    }
}

#[test]
fn an_engine_that_fails_leaves_what_was_found() {
    let (host, _) = outdated();
    host.fail("docker.containers-read.list", Error::Unavailable("gone".to_owned()));
    assert!(fake::run_job::<UpdateChecker>(&Work::turn("check")).is_err());
    assert_eq!(statuses(), ["nginx:latest outdated: web outdated"]);
}

#[test]
fn a_container_stays_in_its_group_when_its_tag_has_moved() {
    let (host, _) = outdated();
    // Somebody pulls, and starts another one.
    host.image(image("nginx:latest", '2'));
    run(&host, "web-2", "nginx");
    for _ in 0..2 {
        check();
        assert_eq!(statuses(), ["nginx:latest partial: web outdated, web-2 uptodate"]);
    }
    assert_eq!(host.calls_of("docker.containers-read.inspect").len(), 1, "it is asked about once");
}

#[test]
fn a_container_that_was_made_of_an_id_is_left_out() {
    let host = install();
    host.image(image("nginx:latest", '1'));
    publish(&host, "nginx", '1');
    run(&host, "by-id", &image_id('1'));
    host.container(Container::new("by-short-id").image(&image_id('1')[7..19]).details(json!({"Image": image_id('1')})));
    run(&host, "by-name", "nginx");
    check();
    assert_eq!(statuses(), ["nginx:latest uptodate: by-name uptodate"]);
}

#[test]
fn a_pinned_container_is_shown_under_its_tag_and_never_outdated() {
    let host = install();
    host.image(image("nginx:latest", '1'));
    publish(&host, "nginx", '2');
    host.container(Container::new("pinned").image(&format!("nginx@{}", digest('1'))));
    run(&host, "web", "nginx");
    check();
    assert_eq!(statuses(), ["nginx:latest partial: pinned uptodate, web outdated"]);
}

#[test]
fn what_was_built_here_is_unknown_and_no_registry_is_asked_about_it() {
    let host = install();
    host.image(Image::new("team/built:1"));
    run(&host, "own", "team/built:1");
    check();
    let list = images();
    assert_eq!(statuses(), ["team/built:1 unknown: own unknown"]);
    assert_eq!((list[0].get("remote_error"), list[0]["containers"][0].get("error")), (None, None));
    assert_eq!(host.calls_of("registry.digests-read.heads"), [""; 0]);
}

#[test]
fn digests_of_other_repositories_do_not_count() {
    let host = install();
    host.image(image("nginx:latest", '1').digest(&format!("mirror.local/nginx@{}", digest('2'))));
    publish(&host, "nginx", '2');
    run(&host, "web", "nginx");
    check();
    assert_eq!(statuses(), ["nginx:latest outdated: web outdated"]);
}

#[test]
fn any_digest_of_its_own_repository_makes_it_up_to_date() {
    let host = install();
    host.image(image("nginx:latest", '1').digest(&format!("nginx@{}", digest('2'))));
    publish(&host, "nginx", '2');
    run(&host, "web", "nginx");
    check();
    assert_eq!(
        (statuses(), &images()[0]["containers"][0]["local_digest"]),
        (vec!["nginx:latest uptodate: web uptodate".to_owned()], &json!(shown('2')))
    );
}

#[test]
fn digests_are_remembered_where_an_engine_forgets_them() {
    let (host, _) = outdated();
    // The old image loses its name, and what registries called it.
    host.image(image("nginx:latest", '2'));
    host.image(Image::new("").id(&image_id('1')));
    check();
    assert_eq!(statuses(), ["nginx:latest outdated: web outdated"]);
}

/// A host on which `web` runs what an index of `nginx` had for its platform; the index is published anew.
fn published_anew(platform: &str, is_same: bool) -> Host {
    let host = install();
    let remote = RemoteImage::new("nginx").digest(&digest('2')).in_index_for(platform);
    let id = if is_same { remote.config_digest() } else { image_id('1') };
    host.image(image("nginx:latest", '1').id(&id));
    host.remote_image(remote);
    run(&host, "web", "nginx");
    check();
    host
}

#[test]
fn an_index_that_was_published_anew_with_the_same_image_is_no_update() {
    let host = published_anew("linux/amd64", true);
    assert_eq!(statuses(), ["nginx:latest uptodate: web uptodate"]);
    assert_eq!(images()[0]["remote_digest"], shown('2'));
    check();
    let looks = host.calls_of("registry.manifests-read.fetch-platform");
    assert_eq!(looks, [format!("nginx@{}", digest('2'))], "it is looked at once");
    assert_eq!(host.calls_of("docker.images-read.inspect").len(), 1);
}

#[test]
fn an_index_with_another_image_is_an_update() {
    let host = published_anew("linux/amd64", false);
    check();
    assert_eq!(statuses(), ["nginx:latest outdated: web outdated"]);
    assert_eq!(host.calls_of("registry.manifests-read.fetch-platform").len(), 1);
}

#[test]
fn an_index_without_the_platform_is_unknown_and_says_so() {
    let _host = published_anew("linux/arm64", false);
    assert_eq!(statuses(), ["nginx:latest unknown: web unknown"]);
    assert_eq!(images()[0]["containers"][0]["error"], "the registry has no image for this platform");
}

#[test]
fn an_index_that_cannot_be_looked_into_is_called_outdated_and_looked_at_again() {
    let host = install();
    host.fail("registry.manifests-read.fetch-platform", registry::Error::Unavailable("rate-limited: x".to_owned()));
    let remote = RemoteImage::new("nginx").digest(&digest('2')).in_index_for("linux/amd64");
    host.image(image("nginx:latest", '1').id(&remote.config_digest()));
    host.remote_image(remote);
    run(&host, "web", "nginx");
    for _ in 0..2 {
        check();
        assert_eq!(statuses(), ["nginx:latest outdated: web outdated"]);
    }
    assert_eq!(host.calls_of("registry.manifests-read.fetch-platform").len(), 2);
}

#[test]
fn labels_leave_containers_out() {
    let host = install();
    host.image(image("nginx:latest", '1'));
    publish(&host, "nginx", '2');
    run(&host, "plain", "nginx");
    for (name, label, value) in [
        ("watchtower-off", "com.centurylinklabs.watchtower.enable", "false"),
        ("watchtower-on", "com.centurylinklabs.watchtower.enable", "true"),
        ("monitored", "com.centurylinklabs.watchtower.monitor-only", "true"),
        ("wud-off", "wud.watch", "false"),
        ("diun-off", "diun.enable", "false"),
        ("own", "wharf.self", "true"),
    ] {
        host.container(Container::new(name).image("nginx").label(label, value));
    }
    let listed = |labels: &str| {
        host.config(json!({"labels": labels, "own_container": "plain"}));
        check();
        let list = images();
        let containers = list[0]["containers"].as_array().unwrap().iter();
        containers.map(|item| item["container_name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed("opt-out"), "monitored watchtower-on");
    assert_eq!(listed("opt-in"), "watchtower-on");
    assert_eq!(listed("ignore"), "diun-off monitored watchtower-off watchtower-on wud-off");
    host.config(json!({}));
    check();
    assert_eq!(statuses(), ["nginx:latest outdated: monitored outdated, plain outdated, watchtower-on outdated"]);
}

#[test]
fn what_is_remembered_of_a_container_goes_with_it() {
    let (host, web) = outdated();
    let other = run(&host, "other", "nginx");
    check();
    act(&web, "auto-update");
    let records = || {
        let text = keyvalue::get("containers").unwrap().unwrap();
        serde_json::from_slice::<Value>(&text).unwrap().as_object().unwrap().len()
    };
    containers_remove::remove("web", RemoveOptions { force: true, ..RemoveOptions::default() }).unwrap();
    // An update may be about to put another one in its place.
    act(&other, "update");
    check();
    assert_eq!(records(), 1);
    host.run_due_jobs::<UpdateChecker>();
    assert_eq!(records(), 0);
    host.container(Container::new("web").image("nginx").id(&"e".repeat(64)));
    check();
    assert_eq!(records(), 0, "another container of the name is another container");
}

#[test]
fn what_stops_for_a_while_is_not_forgotten() {
    let (host, web) = outdated();
    act(&web, "auto-update");
    containers_lifecycle::stop("web", None).unwrap();
    check();
    assert_eq!((statuses().len(), act(&web, "update").status), (0, 404));
    containers_lifecycle::start("web").unwrap();
    check();
    assert_eq!(images()[0]["containers"][0]["auto_update"], true);
    drop(host);
}

#[test]
fn a_failure_is_told_as_long_as_its_container_is_there() {
    let (host, web) = outdated();
    host.fail_recreations(Some(Error::Internal("it died".to_owned())));
    act(&web, "update");
    host.run_due_jobs::<UpdateChecker>();
    check();
    assert_eq!(progress(&web), "error: it died");
    containers_remove::remove("web", RemoveOptions { force: true, ..RemoveOptions::default() }).unwrap();
    check();
    assert_eq!(progress(&web), NO_PROGRESS);
}

#[test]
fn who_asks_while_a_container_is_replaced_is_told_of_the_one_that_was_there() {
    let (host, old) = outdated();
    act(&old, "update");
    let job = host.jobs_so_far()[0].id.clone();
    let under_way = json!({&*old: {"job": job, "operation": "1"}}).to_string();
    keyvalue::set("updates", under_way.as_bytes()).unwrap();
    // Between the stop of the one and the start of the other, and while the other has to prove itself.
    containers_lifecycle::stop("web", None).unwrap();
    let listed = || (statuses(), images()[0]["containers"][0]["container_id"].as_str().unwrap().to_owned());
    let expected = (vec!["nginx:latest outdated: web outdated".to_owned()], old.clone());
    check();
    assert_eq!(listed(), expected);
    containers_remove::remove("web", RemoveOptions::default()).unwrap();
    host.image(image("nginx:latest", '2'));
    host.container(Container::new("web").image("nginx").id(&"e".repeat(64)));
    check();
    assert_eq!(listed(), expected);
    keyvalue::delete("updates").unwrap();
    check();
    assert_eq!(listed(), (vec!["nginx:latest uptodate: web uptodate".to_owned()], "e".repeat(12)));
}

#[test]
fn what_is_known_of_an_index_is_kept_while_its_registry_is_silent() {
    let host = published_anew("linux/amd64", true);
    host.fail("registry.digests-read.heads", registry::Error::Unavailable("rate-limited: x".to_owned()));
    check();
    assert_eq!(statuses(), ["nginx:latest unknown: web unknown"]);
    host.mend("registry.digests-read.heads");
    check();
    assert_eq!(statuses(), ["nginx:latest uptodate: web uptodate"]);
    assert_eq!(host.calls_of("registry.manifests-read.fetch-platform").len(), 1);
}

#[test]
fn a_list_that_cannot_be_read_is_found_out_again() {
    let (_host, _) = outdated();
    keyvalue::set("snapshot", b"[").unwrap();
    assert_eq!(send(fake::get("/api/images")).status, 500);
    check();
    assert_eq!(statuses(), ["nginx:latest outdated: web outdated"]);
}
