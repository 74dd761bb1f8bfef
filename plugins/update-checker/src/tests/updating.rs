//! Updates that people ask for.

use wharf_sdk::docker::{containers_recreate, containers_remove, operations_read};
use wharf_sdk::jobs::queue::JobState;
use wharf_sdk::storage::keyvalue;

use super::*;

/// Carries out the jobs that are due.
fn work(host: &Host) -> usize {
    host.run_due_jobs::<UpdateChecker>()
}

fn history() -> Value {
    send(fake::get("/api/history")).json()
}

#[test]
fn an_update_replaces_the_container_and_is_followed_by_a_check() {
    let (host, old) = outdated();
    let answer = act(&old, "update");
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.header("content-type")),
        (200, r#"{"status":"updating"}"#, Some("application/json"))
    );
    assert_eq!(progress(&old), "connecting");
    assert_eq!(work(&host), 1);
    let new = id(&host, "web");
    assert_ne!(old, new);
    assert_eq!((progress(&old), progress(&new)), (NO_PROGRESS.to_owned(), NO_PROGRESS.to_owned()));
    assert_eq!(statuses(), ["nginx:latest uptodate: web uptodate"]);
    assert_eq!(images()[0]["containers"][0]["container_id"], new);
    assert_eq!(act(&old, "update").text(), "container not found\n");
    let begun = host.calls_of("docker.containers-recreate.begin");
    assert!(matches!(begun.as_slice(), [id] if id.starts_with(&old) && id.len() == 64), "{begun:?}");
}

#[test]
fn the_history_has_what_came_of_it() {
    let (host, old) = outdated();
    act(&old, "update");
    work(&host);
    let entry = &history()[0];
    let expected = json!({
        "time": entry["time"], "container_id": old, "new_container_id": id(&host, "web"), "container_name": "web", "image": "nginx:latest",
        "from_digest": shown('1'), "to_digest": shown('2'), "result": "updated", "automatic": false, "rolled_back": false,
        "stopped_ms": 1_000, "operation": entry["operation"],
    });
    assert_eq!(*entry, expected);
    assert!(entry["time"].as_str().unwrap().ends_with('Z') && entry["operation"].is_string());
    assert_eq!(send(fake::get("/api/history?limit=0")).text(), "[]\n");
    assert_eq!(send(fake::get("/api/history?limit=x")).text(), "bad request\n");
}

#[test]
fn an_update_that_is_under_way_is_not_begun_twice() {
    let (host, old) = outdated();
    for _ in 0..3 {
        assert_eq!(act(&old, "update").status, 200);
    }
    send(fake::post("/api/groups/nginx:latest/update"));
    assert_eq!(host.jobs_so_far().len(), 1);
    work(&host);
    assert_eq!(host.calls_of("docker.containers-recreate.begin").len(), 1);
}

#[test]
fn an_update_does_not_ask_whether_it_is_needed() {
    let host = install();
    host.image(image("nginx:latest", '1'));
    publish(&host, "nginx", '1');
    let old = run(&host, "web", "nginx");
    check();
    assert_eq!(act(&old, "update").status, 200);
    work(&host);
    assert_eq!((id(&host, "web"), progress(&old)), (old, NO_PROGRESS.to_owned()), "there was nothing to do");
    assert_eq!(history()[0]["result"], "unchanged");
}

/// Begins to recreate `web`, which a job does before it waits, and answers the operation.
fn begin(host: &Host) -> String {
    let full = host.details("web").unwrap()["Id"].as_str().unwrap().to_owned();
    let options = containers_recreate::RecreateOptions { pull: true, ..Default::default() };
    containers_recreate::begin(&full, &options).unwrap()
}

/// Notes, as a job does then, that `operation` is that of the container `id`.
fn note(id: &str, job: &str, operation: &str) {
    let noted = json!({id: {"job": job, "operation": operation}}).to_string();
    keyvalue::set("updates", noted.as_bytes()).unwrap();
}

#[test]
fn progress_is_that_of_the_operation() {
    let (host, old) = outdated();
    act(&old, "update");
    let job = host.jobs_so_far()[0].clone();
    host.hold_recreations();
    let operation = begin(&host);
    note(&old, &job.id, &operation);
    assert_eq!(progress(&old), "connecting");
    host.advance_recreation_pulls("Downloading", 1, 4);
    assert_eq!(progress(&old), "Downloading");
    for step in ["creating", "stopping", "starting", "verifying", "removing"] {
        host.advance_recreations(step);
        let answer = send(fake::get(&format!("/api/images/{old}/progress"))).json();
        assert_eq!(answer, json!({"layer": "", "current": 0, "total": 0, "percent": 100, "status": "recreating"}), "{step}");
    }
    let events = send(fake::get(&format!("/api/images/{old}/events")));
    assert_eq!((events.status, events.header("content-type"), events.streamed), (200, Some("text/event-stream"), true));
    assert!(events.text().contains("\"step\":\"removing\""), "{}", events.text());
}

#[test]
fn events_say_that_an_update_waits_or_has_failed() {
    let (host, old) = outdated();
    let events = || send(fake::get(&format!("/api/images/{old}/events")));
    assert_eq!(events().text(), "no progress\n");
    act(&old, "update");
    let waiting = events();
    assert_eq!((waiting.status, waiting.header("content-type")), (200, Some("text/event-stream")));
    assert!(waiting.text().starts_with("retry: 1000\nevent: waiting\ndata: {\"layer\":\"...\""), "{}", waiting.text());
    host.fail_recreations(Some(Error::Internal("it died".to_owned())));
    work(&host);
    assert!(events().text().contains("event: failed\n") && events().text().contains("error: it died"), "{}", events().text());
}

#[test]
fn an_update_that_fails_says_why_until_the_next_one() {
    let (host, old) = outdated();
    host.fail_recreations(Some(Error::Internal("it died".to_owned())));
    act(&old, "update");
    work(&host);
    check();
    assert_eq!((progress(&old), id(&host, "web")), ("error: it died".to_owned(), old.clone()));
    assert_eq!(statuses(), ["nginx:latest outdated: web outdated"]);
    let entry = &history()[0];
    assert_eq!((&entry["result"], &entry["error"], &entry["rolled_back"]), (&json!("failed"), &json!("it died"), &json!(true)));
    assert_eq!(host.jobs_so_far()[0].state, JobState::Succeeded, "the job has done what it was to do");
    host.fail_recreations(None);
    act(&old, "update");
    assert_eq!(progress(&old), "connecting");
    work(&host);
    assert_eq!((progress(&old), statuses()), (NO_PROGRESS.to_owned(), vec!["nginx:latest uptodate: web uptodate".to_owned()]));
}

#[test]
fn an_update_that_cannot_begin_says_why() {
    for (error, said) in [
        (Error::Conflict("a task of a swarm".to_owned()), "error: a task of a swarm"),
        (Error::Denied, "error: the operator does not allow it"),
        (Error::Unavailable("no engine".to_owned()), "error: no engine"),
        (Error::Timeout, "error: no answer in time"),
    ] {
        let (host, old) = outdated();
        act(&old, "update");
        host.fail("docker.containers-recreate.begin", error);
        assert_eq!(work(&host), 1);
        assert_eq!((progress(&old).as_str(), &history()[0]["result"]), (said, &json!("failed")));
        assert_eq!(history()[0].get("operation"), None);
    }
}

#[test]
fn a_container_that_went_away_meanwhile_is_not_found() {
    let (host, old) = outdated();
    act(&old, "update");
    host.vanish("web");
    work(&host);
    assert_eq!(progress(&old), "error: not found");
}

#[test]
fn a_container_that_was_replaced_meanwhile_needs_no_update() {
    let (host, old) = outdated();
    act(&old, "update");
    let force = containers_remove::RemoveOptions { force: true, ..Default::default() };
    containers_remove::remove("web", force).unwrap();
    host.container(Container::new("web").image("nginx").id(&"e".repeat(64)));
    work(&host);
    assert_eq!((progress(&old), history()), (NO_PROGRESS.to_owned(), json!([])));
    assert_eq!(images()[0]["containers"][0]["container_id"], "e".repeat(12));
}

#[test]
fn a_group_is_updated_one_after_another_and_one_that_fails_does_not_end_it() {
    let host = install();
    host.image(image("nginx:latest", '1'));
    publish(&host, "nginx", '2');
    let ids: Vec<String> = ["a", "b", "c"].iter().map(|name| run(&host, name, "nginx")).collect();
    check();
    host.vanish("b");
    send(fake::post("/api/groups/update").json(&json!({"image": "nginx:latest"})));
    assert!(ids.iter().all(|id| progress(id) == "connecting"));
    assert_eq!(work(&host), 1);
    assert_eq!(host.calls_of("docker.containers-recreate.begin").len(), 3);
    assert_eq!(progress(&ids[1]), "error: not found");
    let told = history();
    let told: Vec<&str> = told.as_array().unwrap().iter().map(|entry| entry["container_name"].as_str().unwrap()).collect();
    assert_eq!(told, ["c", "b", "a"]);
}

#[test]
fn a_group_is_updated_whole_whether_or_not_a_container_is_outdated() {
    let (host, _) = outdated();
    host.image(image("nginx:latest", '2'));
    run(&host, "web-2", "nginx");
    check();
    assert_eq!(statuses(), ["nginx:latest partial: web outdated, web-2 uptodate"]);
    send(fake::post("/api/groups/nginx:latest/update"));
    work(&host);
    assert_eq!(host.calls_of("docker.containers-recreate.begin").len(), 2);
    assert_eq!(statuses(), ["nginx:latest uptodate: web uptodate, web-2 uptodate"]);
}

#[test]
fn a_job_that_is_run_again_does_nothing_twice() {
    let (host, old) = outdated();
    act(&old, "update");
    let job = host.jobs_so_far()[0].clone();
    let again = Work { id: job.id.clone(), attempt: 2, ..Work::new(&job.kind, &job.payload) };
    work(&host);
    let new = id(&host, "web");
    assert_eq!(fake::run_job::<UpdateChecker>(&again), Ok(()));
    assert_eq!((id(&host, "web"), progress(&old), history().as_array().unwrap().len()), (new, NO_PROGRESS.to_owned(), 1));
}

#[test]
fn what_was_begun_and_not_noted_is_found_again() {
    let (host, old) = outdated();
    act(&old, "update");
    let job = host.jobs_so_far()[0].clone();
    host.hold_recreations();
    let operation = begin(&host);
    let again = Work { id: job.id.clone(), attempt: 2, ..Work::new(&job.kind, &job.payload) };
    assert_eq!(fake::run_job::<UpdateChecker>(&again), Ok(()));
    assert_eq!(host.calls_of("docker.containers-recreate.begin").len(), 1, "only that of the first attempt");
    assert_eq!(history()[0]["operation"], operation);
    assert_eq!(operations_read::list().unwrap().len(), 1);
    assert_eq!((progress(&old), statuses()), (NO_PROGRESS.to_owned(), vec!["nginx:latest uptodate: web uptodate".to_owned()]));
}

#[test]
fn what_the_host_took_back_when_it_was_stopped_is_begun_anew() {
    let (host, old) = outdated();
    act(&old, "update");
    let job = host.jobs_so_far()[0].clone();
    host.hold_recreations();
    let operation = begin(&host);
    note(&old, &job.id, &operation);
    wharf_sdk::docker::operations_cancel::cancel(&operation).unwrap();
    assert_eq!(progress(&old), "connecting");
    let again = Work { id: job.id.clone(), attempt: 2, ..Work::new(&job.kind, &job.payload) };
    assert_eq!(fake::run_job::<UpdateChecker>(&again), Ok(()));
    assert_eq!(host.calls_of("docker.containers-recreate.begin").len(), 2);
    assert_eq!((progress(&old), statuses()), (NO_PROGRESS.to_owned(), vec!["nginx:latest uptodate: web uptodate".to_owned()]));
    let told = history();
    assert_eq!((told.as_array().unwrap().len(), &told[0]["result"]), (1, &json!("updated")));
}

#[test]
fn what_was_done_and_is_not_known_any_more_is_taken_for_done() {
    let (host, old) = outdated();
    act(&old, "auto-update");
    act(&old, "update");
    let job = host.jobs_so_far()[0].clone();
    note(&old, &job.id, "long-ago");
    containers_remove::remove("web", containers_remove::RemoveOptions { force: true, ..Default::default() }).unwrap();
    host.image(image("nginx:latest", '2'));
    host.container(Container::new("web").image("nginx").id(&"e".repeat(64)));
    let again = Work { id: job.id.clone(), attempt: 2, ..Work::new(&job.kind, &job.payload) };
    assert_eq!(fake::run_job::<UpdateChecker>(&again), Ok(()));
    let list = images();
    let container = &list[0]["containers"][0];
    assert_eq!((&container["container_id"], &container["auto_update"]), (&json!("e".repeat(12)), &json!(true)));
    assert_eq!((&history()[0]["result"], &history()[0]["new_container_id"]), (&json!("updated"), &json!("e".repeat(12))));
}

#[test]
fn a_job_goes_on_when_it_could_not_be_seen_to_its_end() {
    let (host, old) = outdated();
    act(&old, "update");
    host.fail("docker.operations-read.wait", Error::Timeout);
    work(&host);
    assert_eq!(host.jobs_so_far()[0].state, JobState::Waiting);
    assert_ne!(progress(&old), NO_PROGRESS, "it is under way");
}

#[test]
fn an_update_whose_job_was_given_up_has_failed() {
    let (host, old) = outdated();
    act(&old, "update");
    let job = host.jobs_so_far()[0].id.clone();
    wharf_sdk::jobs::queue::cancel(&job).unwrap();
    check();
    assert_eq!(progress(&old), "error: cancelled");
    act(&old, "update");
    assert_eq!(host.jobs_so_far().len(), 2);
}

#[test]
fn what_a_job_has_left_behind_does_not_keep_the_next_one_away() {
    let (host, old) = outdated();
    let stale = json!({&*old: {"job": "job-0"}}).to_string();
    keyvalue::set("updates", stale.as_bytes()).unwrap();
    act(&old, "update");
    work(&host);
    assert_eq!(progress(&old), NO_PROGRESS);
    assert_eq!(statuses(), ["nginx:latest uptodate: web uptodate"]);
}

#[test]
fn an_update_that_cannot_be_ordered_is_refused() {
    let (host, old) = outdated();
    for (error, text) in [
        (Error::QuotaExceeded, "unavailable: too much is waiting or under way\n"),
        (Error::Unavailable("no database".to_owned()), "unavailable: no database\n"),
    ] {
        host.fail("jobs.queue.enqueue", error);
        let answer = act(&old, "update");
        assert_eq!((answer.status, answer.text().as_str(), progress(&old).as_str()), (503, text, NO_PROGRESS));
    }
}

#[test]
fn who_asks_again_for_what_has_failed_means_it() {
    let (host, old) = outdated();
    host.fail_recreations(Some(Error::Internal("it died".to_owned())));
    act(&old, "update");
    work(&host);
    host.fail_recreations(None);
    // What the registry has is what runs: without the word there would be nothing to do.
    publish(&host, "nginx", '1');
    act(&old, "update");
    work(&host);
    assert_ne!(id(&host, "web"), old);
}

#[test]
fn a_webhook_is_told_of_each_update() {
    let (host, old) = outdated();
    host.webhook("ops");
    host.config(json!({"webhook": "ops"}));
    act(&old, "update");
    work(&host);
    let posts = host.posts();
    let body: Value = serde_json::from_slice(&posts[0].body).unwrap();
    assert_eq!((posts.len(), &body["type"], &body["data"]["container_name"]), (1, &json!("update.updated"), &json!("web")));
}

#[test]
fn an_order_that_cannot_be_read_is_given_up() {
    let _host = install();
    for (kind, payload) in [("update", "{"), ("update", "{}"), ("unheard-of", "")] {
        let done = fake::run_job::<UpdateChecker>(&Work::new(kind, payload));
        assert!(matches!(done, Err(wharf_sdk::jobs::Failure::Never(_))), "{kind} {payload}: {done:?}");
    }
}
