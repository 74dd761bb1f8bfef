//! Automatic updates: what is switched on, and what then happens by itself.

use std::time::Duration;

use super::*;

/// Carries out the jobs that are due.
fn work(host: &Host) -> usize {
    host.run_due_jobs::<UpdateChecker>()
}

fn is_automatic(name: &str) -> Value {
    let list = images();
    let mut items = list.as_array().unwrap().iter().flat_map(|group| group["containers"].as_array().unwrap());
    items.find(|item| item["container_name"] == name).unwrap()["auto_update"].clone()
}

#[test]
fn a_toggle_is_kept_before_it_is_answered() {
    let (host, web) = outdated();
    for expected in [true, false, true] {
        let answer = act(&web, "auto-update");
        let body = format!(r#"{{"auto_update":{expected}}}"#);
        assert_eq!((answer.status, answer.text(), answer.header("content-type")), (200, body, Some("application/json")));
        assert_eq!(is_automatic("web"), expected);
    }
    host.fail("storage.keyvalue.compare-and-set", Error::Unavailable("no disk".to_owned()));
    assert_eq!(act(&web, "auto-update").text(), "unavailable: no disk\n");
    assert_eq!(is_automatic("web"), true);
}

#[test]
fn a_check_updates_what_is_outdated_and_switched_on() {
    let (host, web) = outdated();
    let other = run(&host, "other", "nginx");
    act(&web, "auto-update");
    assert_eq!(work(&host), 0);
    check();
    assert_eq!(work(&host), 1);
    assert_ne!(id(&host, "web"), web);
    assert_eq!(id(&host, "other"), other);
    assert_eq!((is_automatic("web"), is_automatic("other")), (json!(true), json!(false)), "it follows the container");
    assert_eq!(statuses(), ["nginx:latest partial: other outdated, web uptodate"]);
    assert_eq!(send(fake::get("/api/history")).json()[0]["automatic"], true);
}

#[test]
fn the_next_automatic_update_of_a_container_has_to_wait() {
    let (host, web) = outdated();
    act(&web, "auto-update");
    check();
    work(&host);
    let second = id(&host, "web");
    publish(&host, "nginx", '3');
    check();
    assert_eq!((work(&host), id(&host, "web")), (0, second.clone()));
    clock::set(NOW + 299_999);
    check();
    assert_eq!(work(&host), 0);
    clock::set(NOW + 300_000);
    check();
    assert_eq!(work(&host), 1);
    assert_ne!(id(&host, "web"), second);
}

#[test]
fn what_people_ask_for_does_not_wait_and_makes_nothing_wait() {
    let (host, web) = outdated();
    act(&web, "auto-update");
    act(&web, "update");
    work(&host);
    publish(&host, "nginx", '3');
    check();
    assert_eq!(work(&host), 1, "no pause after an update that somebody asked for");
    publish(&host, "nginx", '4');
    check();
    let web = id(&host, "web");
    act(&web, "update");
    assert_eq!(work(&host), 1, "and none before one");
    assert_ne!(id(&host, "web"), web);
}

#[test]
fn an_image_that_did_not_work_is_not_tried_again_automatically() {
    let (host, web) = outdated();
    act(&web, "auto-update");
    host.fail_recreations(Some(Error::Internal("it died".to_owned())));
    check();
    work(&host);
    assert_eq!(progress(&web), "error: it died");
    host.fail_recreations(None);
    clock::set(NOW + 365 * 86_400_000);
    check();
    assert_eq!((work(&host), id(&host, "web")), (0, web.clone()));
    publish(&host, "nginx", '3');
    check();
    work(&host);
    assert_ne!(id(&host, "web"), web);
}

#[test]
fn a_container_that_the_host_refuses_is_left_alone_for_a_day() {
    let (host, web) = outdated();
    act(&web, "auto-update");
    host.fail("docker.containers-recreate.begin", Error::Conflict("systemd manages it".to_owned()));
    let tries = |days: u64| {
        clock::set(NOW + days * 86_400_000);
        check();
        work(&host);
        host.calls_of("docker.containers-recreate.begin").len()
    };
    assert_eq!((tries(0), tries(0)), (1, 1));
    clock::set(NOW + 3_600_000);
    check();
    assert_eq!((work(&host), tries(1)), (0, 2));
}

#[test]
fn a_registry_that_does_not_answer_is_asked_again_after_the_pause() {
    let (host, web) = outdated();
    act(&web, "auto-update");
    host.fail("docker.containers-recreate.begin", Error::Unavailable("unreachable: no route".to_owned()));
    check();
    work(&host);
    clock::set(NOW + 300_000);
    check();
    assert_eq!(work(&host), 1);
}

#[test]
fn a_new_image_waits_until_it_is_old_enough() {
    let (host, web) = outdated();
    host.config(json!({"minimum_image_age_secs": 3_600}));
    act(&web, "auto-update");
    let at = |milliseconds: u64| {
        clock::set(NOW + milliseconds);
        check();
        work(&host)
    };
    assert_eq!((at(0), at(3_599_999)), (0, 0));
    // Published anew, it has to wait from the beginning.
    publish(&host, "nginx", '3');
    assert_eq!((at(3_600_000), at(7_199_999)), (0, 0));
    // A registry that was away has not published anything.
    host.fail("registry.digests-read.heads", Error::Timeout);
    assert_eq!((at(7_199_999), at(7_200_000)), (0, 0));
    host.mend("registry.digests-read.heads");
    assert_eq!(at(7_200_000), 1);
    publish(&host, "nginx", '4');
    assert_eq!(at(7_200_001), 0);
    assert_eq!(act(&id(&host, "web"), "update").status, 200, "people need not wait");
    assert_eq!(work(&host), 1);
}

#[test]
fn a_closed_window_keeps_automatic_updates_back_and_no_others() {
    let (host, web) = outdated();
    // It is midnight, a Monday.
    host.config(json!({"windows": [{"days": ["mon"], "from": "02:00", "to": "03:00"}]}));
    act(&web, "auto-update");
    check();
    assert_eq!(work(&host), 0);
    clock::set(NOW + 2 * 3_600_000);
    check();
    host.config(json!({"windows": [{"days": ["tue"], "from": "02:00", "to": "03:00"}]}));
    assert_eq!((work(&host), id(&host, "web")), (1, web.clone()), "it closed before the turn came");
    host.config(json!({"windows": [{"days": ["tue"], "from": "02:00", "to": "03:00"}], "time_zone": "Nowhere"}));
    check();
    assert_eq!(work(&host), 0);
    assert!(host.lines().iter().any(|line| line.message.contains("time_zone")));
    act(&web, "update");
    work(&host);
    assert_ne!(id(&host, "web"), web);
}

#[test]
fn what_was_switched_off_before_its_turn_is_not_updated() {
    let (host, web) = outdated();
    act(&web, "auto-update");
    check();
    act(&web, "auto-update");
    assert_eq!((work(&host), id(&host, "web"), progress(&web)), (1, web.clone(), NO_PROGRESS.to_owned()));
    assert_eq!(send(fake::get("/api/history")).json(), json!([]));
}

#[test]
fn labels_and_the_default_say_what_is_automatic() {
    let (host, _) = outdated();
    host.config(json!({"auto_update_default": true}));
    host.container(Container::new("monitored").image("nginx").label("com.centurylinklabs.watchtower.monitor-only", "true"));
    host.container(Container::new("paused").image("nginx").state("paused"));
    check();
    work(&host);
    assert_eq!(statuses(), ["nginx:latest partial: monitored outdated, paused outdated, web uptodate"]);
    assert_eq!(is_automatic("monitored"), true);
}

#[test]
fn automatic_updates_are_one_job_at_a_time() {
    let (host, web) = outdated();
    let other = run(&host, "other", "nginx");
    act(&web, "auto-update");
    check();
    act(&other, "auto-update");
    check();
    assert_eq!(host.jobs_so_far().len(), 1);
    work(&host);
    clock::set(NOW + 1);
    host.pass(Duration::from_secs(1));
    check();
    work(&host);
    assert_eq!(statuses(), ["nginx:latest uptodate: other uptodate, web uptodate"]);
}

#[test]
fn a_toggle_made_while_the_update_ends_is_kept() {
    let (host, web) = outdated();
    act(&web, "auto-update");
    act(&web, "update");
    work(&host);
    let new = id(&host, "web");
    assert_eq!(act(&new, "auto-update").json(), json!({"auto_update": false}));
    // The job is run again, as after a kill at its very end.
    let job = host.jobs_so_far()[0].clone();
    let again = Work { id: job.id, attempt: 2, ..Work::new(&job.kind, &job.payload) };
    assert_eq!(fake::run_job::<UpdateChecker>(&again), Ok(()));
    assert_eq!(is_automatic("web"), false);
}
