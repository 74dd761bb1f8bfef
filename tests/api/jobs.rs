//! The capability `jobs` from inside a component, on SQLite: what becomes of a job, in whose hands, when schedules have their turns, and what the operator sees and does.
//!
//! The queue's rules, each by itself, are tested beside `backend/jobs`; what a kill leaves and what hosts share is in `e2e`. A failure is followed by a pause of about ten seconds, which is why some of these take longer
//! than others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::fault_proxy::{Answer, FaultProxy};
use wharf_harness::poll;

use crate::in_process::{InProcess, eventually, host, logged, plugin};
use wharf_tests::guests::{BENCH, JOBS};

const GRANTS: &str = "[site.plugin.grants.jobs]\nallow = [\"queue\", \"schedules.read\", \"webhooks\"]\n[site.plugin.grants.storage]\nallow = [\"keyvalue\"]\n";

/// Longer than the first pause of a job that failed.
const AFTER_A_PAUSE: Duration = Duration::from_secs(40);

/// A name for a site that no other test has: they share a data directory.
fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("jobs-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A site with the guest at `/`, and what its table says before its grants.
fn site(name: &str, lines: &str) -> String {
    format!("[[site]]\nname = \"{name}\"\n{}", plugin("subject", JOBS, "/", &format!("{lines}\n{GRANTS}")))
}

/// A host with one such site.
#[track_caller]
fn host_with(lines: &str) -> InProcess {
    host(&site(&fresh(), lines))
}

/// Takes a job into the queue, and answers its id.
#[track_caller]
fn enqueue(host: &InProcess, options: &Value) -> String {
    let answer = host.call("/queue.enqueue", options);
    answer.as_str().unwrap_or_else(|| panic!("no id: {answer}")).to_owned()
}

#[track_caller]
fn job(host: &InProcess, id: &str) -> Value {
    host.call("/queue.get", &json!({ "ids": [id] }))[0].clone()
}

/// How often what is about `payload` was begun and done, and how many turns were left out before it.
#[track_caller]
fn counts(host: &InProcess, payload: &str) -> [i64; 3] {
    let counts = host.get(&format!("/counts/{payload}")).json().unwrap();
    [0, 1, 2].map(|index| counts[index].as_i64().unwrap_or_else(|| panic!("no counts: {counts}")))
}

#[track_caller]
fn wait_for_state(host: &InProcess, id: &str, state: &str) {
    let found = poll(AFTER_A_PAUSE, || Ok((job(host, id)["state"] == state).then_some(()))).unwrap();
    assert!(found.is_some(), "not {state}: {}", job(host, id));
}

/// Lets the jobs of the kind `wait` about `payload` go on.
#[track_caller]
fn open(host: &InProcess, payload: &str) {
    assert_eq!(host.client().post(&format!("/open/{payload}")).unwrap().status, 204);
}

/// What the admin API lists.
#[track_caller]
fn listed(host: &InProcess, query: &str) -> Vec<Value> {
    let answer = host.admin().get(&format!("/jobs?{query}")).unwrap().json().unwrap();
    answer.as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

/// The status of what the operator asks for, and the reason of a refusal.
#[track_caller]
fn order(host: &InProcess, method: &str, path: &str) -> (u16, String) {
    let answer = host.admin().send(method, path, &[], &[]).unwrap();
    let reason = answer.json().ok().and_then(|problem| problem["detail"].as_str().map(str::to_owned));
    (answer.status, reason.unwrap_or_default())
}

#[test]
fn a_component_is_not_loaded_without_a_grant_for_each_interface() {
    let grant = "[site.plugin.grants.jobs]\nallow = [\"queue\"]\n[site.plugin.grants.storage]\nallow = [\"keyvalue\"]";
    let host = host(&format!("[[site]]\nname = \"{}\"\n{}", fresh(), plugin("one", JOBS, "/", grant)));
    let reason = host.plugin("one")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("without a grant") && reason.contains("[site.plugin.grants.jobs]"), "{reason}");
}

#[track_caller]
fn check_not_loaded(component: &str, lines: &str, expected: &str) {
    let host = host(&format!("[[site]]\nname = \"{}\"\n{}", fresh(), plugin("one", component, "/", lines)));
    let plugin = host.plugin("one");
    assert!(plugin["state"] == "failed" && plugin["reason"].as_str().unwrap().contains(expected), "{plugin}");
}

#[test]
fn what_a_plugin_could_not_carry_out_keeps_it_from_being_loaded() {
    let unable = "its component does not export `wharf:jobs/handler`";
    check_not_loaded(BENCH, "schedules = { check = { every = \"1h\" } }", unable);
    check_not_loaded(BENCH, "[site.plugin.grants.jobs]\nallow = [\"queue\"]", unable);
    check_not_loaded(JOBS, &format!("schedules = {{ ofen = \"off\" }}\n{GRANTS}"), "has no schedule `ofen` that could be off");
}

#[test]
fn a_job_is_carried_out_by_the_plugin_once() {
    let name = fresh();
    let host = host(&site(&name, ""));
    let id = enqueue(&host, &json!({ "kind": "more", "payload": "one", "key": "k" }));
    // The job takes another one about the same into the queue.
    eventually("that both jobs are done", || counts(&host, "one") == [2, 2, 0]);
    wait_for_state(&host, &id, "succeeded");
    let found = job(&host, &id);
    assert_eq!(
        (&found["kind"], &found["payload"], &found["attempts"], &found["reason"]),
        (&json!("more"), &json!("one"), &json!(1), &Value::Null)
    );
    assert_eq!(host.call("/queue.find", &json!({ "key": "k" })), Value::Null);
    let entries = listed(&host, "state=succeeded&plugin=subject");
    assert_eq!(entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["done", "more"], "the newest first");
    let entry = &entries[1];
    assert_eq!((entry["id"].as_str(), entry["site"].as_str(), &entry["purpose"]), (Some(id.as_str()), Some(name.as_str()), &json!("job")));
    assert!(entry["ended_ms"].as_u64() >= entry["created_ms"].as_u64() && entry.get("payload").is_none(), "{entry}");
    let series = format!("wharf_job_attempts_total{{site=\"{name}\",plugin=\"subject\",purpose=\"job\",outcome=\"succeeded\"}}");
    eventually("that both are counted", || (host.metric(&series) - 2.0).abs() < f64::EPSILON);
}

#[test]
fn a_job_that_fails_is_tried_again_and_is_dead_in_the_end() {
    let host = host_with("limits = { job_cpu_ms = 100, jobs = 8 }");
    let new = |kind: &str, attempts: u64| enqueue(&host, &json!({ "kind": kind, "payload": kind, "attempts": attempts }));
    let (second, again) = (new("second", 5), new("again", 2));
    let once = [("never", "not ever"), ("panic", "the plugin trapped"), ("loop", "more processor time than `job_cpu_ms`")];
    let once = once.map(|(kind, reason)| (kind, new(kind, 1), reason));
    for (kind, id, reason) in &once {
        wait_for_state(&host, id, "dead");
        let dead = job(&host, id);
        assert!(dead["attempts"] == 1 && dead["reason"].as_str().unwrap().contains(reason), "{dead}");
        assert_eq!(counts(&host, kind), [1, 0, 0]);
    }
    let waiting = job(&host, &again);
    let pause = waiting["due_ms"].as_u64().unwrap() - waiting["created_ms"].as_u64().unwrap();
    assert!(waiting["state"] == "waiting" && waiting["reason"] == "not now" && pause >= 8_000, "{waiting}");
    wait_for_state(&host, &second, "succeeded");
    assert_eq!((job(&host, &second)["attempts"].as_u64(), counts(&host, "second")), (Some(2), [2, 1, 0]));
    wait_for_state(&host, &again, "dead");
    assert_eq!((job(&host, &again)["attempts"].as_u64(), counts(&host, "again")), (Some(2), [2, 0, 0]));
    let mut dead: Vec<Value> = listed(&host, "state=dead").into_iter().map(|entry| entry["kind"].clone()).collect();
    dead.sort_by_key(Value::to_string);
    assert_eq!(dead, ["again", "loop", "never", "panic"]);
}

#[test]
fn the_operator_runs_a_dead_job_again_and_removes_one() {
    let host = host_with("limits = { job_deadline_ms = 300 }");
    let id = enqueue(&host, &json!({ "kind": "wait", "payload": "late", "attempts": 1 }));
    wait_for_state(&host, &id, "dead");
    assert_eq!(job(&host, &id)["reason"], "it took longer than `job_deadline_ms`");
    open(&host, "late");
    assert_eq!(order(&host, "POST", &format!("/jobs/{id}/retry")), (204, String::new()));
    wait_for_state(&host, &id, "succeeded");
    assert_eq!(counts(&host, "late"), [2, 1, 0]);
    let reason = "it is succeeded; only a job that is dead or cancelled is run again".to_owned();
    assert_eq!(order(&host, "POST", &format!("/jobs/{id}/retry")), (409, reason));
    assert_eq!(order(&host, "DELETE", &format!("/jobs/{id}")), (204, String::new()));
    for (method, path) in [("DELETE", ""), ("POST", "/retry"), ("POST", "/cancel")] {
        assert_eq!(order(&host, method, &format!("/jobs/{id}{path}")), (404, "there is no such job".to_owned()));
    }
    let waiting = enqueue(&host, &json!({ "kind": "done", "payload": "x", "delay_ms": 3_600_000 }));
    assert_eq!(order(&host, "DELETE", &format!("/jobs/{waiting}")), (409, "it has not ended; cancel it first".to_owned()));
    assert_eq!(order(&host, "POST", &format!("/jobs/{waiting}/cancel")), (204, String::new()));
    assert_eq!(job(&host, &waiting)["state"], "cancelled");
    assert_eq!(order(&host, "DELETE", &format!("/jobs/{waiting}")), (204, String::new()));
    assert!(listed(&host, "").is_empty());
    let audited = logged("an operator changed a job", "job");
    assert_eq!(audited.iter().filter(|job| **job == json!(waiting)).count(), 2, "{audited:?}");
}

#[test]
fn a_question_to_the_admin_api_that_is_none_is_said_to_be() {
    let host = host_with("");
    let (status, reason) = order(&host, "GET", "/jobs?state=deaf");
    assert!(status == 400 && reason.starts_with("there is no state `deaf`"), "{reason}");
    assert_eq!(listed(&host, "site=nowhere"), [Value::Null; 0]);
    assert_eq!(order(&host, "POST", "/jobs/%00/retry").0, 404);
}

#[test]
fn a_job_that_is_cancelled_ends_where_it_stands() {
    let host = host_with("");
    let running = enqueue(&host, &json!({ "kind": "wait", "payload": "w", "key": "k" }));
    eventually("that it runs", || counts(&host, "w")[0] == 1);
    let other = host.call("/queue.enqueue", &json!({ "kind": "done", "payload": "x", "key": "k" }));
    assert!(other["error"] == "conflict" && other["reason"].as_str().unwrap().contains(&running), "{other}");
    assert_eq!(host.call("/queue.find", &json!({ "key": "k" }))["id"], json!(running));
    assert_eq!(host.call("/queue.cancel", &json!({ "ids": [running] })), Value::Null);
    assert_eq!(job(&host, &running)["state"], "cancelled");
    let log = || logged("ended a job that was cancelled, or that another host has taken over", "milliseconds");
    eventually("that it ended", || !log().is_empty());
    open(&host, "w");
    let waiting = enqueue(&host, &json!({ "kind": "done", "payload": "x", "delay_ms": 300, "key": "k" }));
    assert_eq!(host.call("/queue.cancel", &json!({ "ids": [waiting] })), Value::Null);
    assert_eq!(host.call("/queue.cancel", &json!({ "ids": [waiting] })), Value::Null, "it has ended already");
    let after = enqueue(&host, &json!({ "kind": "done", "payload": "after", "delay_ms": 600, "key": "k" }));
    wait_for_state(&host, &after, "succeeded");
    assert_eq!((counts(&host, "w"), counts(&host, "x")), ([1, 0, 0], [0, 0, 0]));
    assert_eq!(host.call("/queue.cancel", &json!({ "ids": ["0".repeat(32)] }))["error"], "not-found");
}

#[test]
fn a_plugin_runs_no_more_jobs_at_a_time_than_it_may() {
    let host = host_with("limits = { jobs = 1, jobs_waiting = 2 }");
    let first = enqueue(&host, &json!({ "kind": "wait", "payload": "first" }));
    eventually("that it runs", || counts(&host, "first")[0] == 1);
    let second = enqueue(&host, &json!({ "kind": "done", "payload": "second" }));
    enqueue(&host, &json!({ "kind": "done", "payload": "third", "delay_ms": 3_600_000 }));
    assert_eq!(host.call("/queue.enqueue", &json!({ "kind": "done", "payload": "fourth" }))["error"], "quota-exceeded");
    assert_eq!((job(&host, &second)["state"].clone(), counts(&host, "second")), (json!("waiting"), [0, 0, 0]));
    open(&host, "first");
    wait_for_state(&host, &first, "succeeded");
    wait_for_state(&host, &second, "succeeded");
}

#[test]
fn schedules_are_of_the_description_and_the_configuration_goes_before_it() {
    let name = fresh();
    let lines = "schedules = { often = { every = \"1s\" }, yearly = \"off\", own = { cron = \"0 0 1 1 *\", timezone = \"Asia/Tokyo\", at_start = true } }";
    let host = host(&site(&name, lines));
    eventually("that both have had turns", || counts(&host, "often")[1] >= 2 && counts(&host, "own")[1] == 1);
    let schedules = host.call("/schedules-read.list", &Value::Null);
    let timings: Vec<[Value; 2]> =
        schedules.as_array().unwrap().iter().map(|schedule| ["name", "timing"].map(|key| schedule[key].clone())).collect();
    assert_eq!(json!(timings), json!([["often", "every 1s"], ["own", "cron 0 0 1 1 * Asia/Tokyo"], ["yearly", "off"]]));
    assert!(schedules[1]["next_ms"].as_u64() > schedules[1]["last_ms"].as_u64() && schedules[2]["next_ms"].is_null(), "{schedules}");
    let shown = host.admin().get("/schedules").unwrap().json().unwrap();
    let own = shown.as_array().unwrap().iter().find(|entry| entry["site"] == name.as_str() && entry["name"] == "own").unwrap();
    assert_eq!((&own["plugin"], &own["timing"], &own["last_ms"]), (&json!("subject"), &schedules[1]["timing"], &schedules[1]["last_ms"]));
    let turns = listed(&host, "state=succeeded");
    assert!(turns.iter().all(|turn| turn["purpose"] == "turn" && turn["turn"]["due_ms"].is_u64()), "{turns:?}");

    // What the description says is in force again when the configuration says nothing.
    assert!(host.reload(&site(&name, "")).is_empty());
    let described = |schedules: Value| schedules.as_array().unwrap().iter().map(|schedule| schedule["timing"].clone()).collect::<Value>();
    eventually("that the description's are in force", || {
        let schedules = host.call("/schedules-read.list", &Value::Null);
        schedules[1]["next_ms"].is_u64() && described(schedules) == json!(["every 1h", "cron 0 0 1 1 *"])
    });
    assert_eq!((counts(&host, "yearly"), counts(&host, "own")[0]), ([0, 0, 0], 1));
}

#[test]
fn turns_of_a_schedule_never_overlap_and_what_was_left_out_is_stated() {
    let name = fresh();
    let host = host(&site(&name, "schedules = { wait = { every = \"1s\" } }"));
    let missed = || host.call("/schedules-read.list", &Value::Null)[1]["missed"].as_u64().unwrap();
    eventually("that turns are left out", || missed() >= 2);
    assert_eq!(counts(&host, "wait")[..2], [1, 0], "the first goes on");
    open(&host, "wait");
    eventually("that the next one knows of them", || counts(&host, "wait")[2] >= 2);
    let series = format!("wharf_schedule_turns_missed_total{{site=\"{name}\",plugin=\"subject\"}}");
    assert!(host.metric(&series) >= 2.0);
}

#[test]
fn a_job_ends_on_the_generation_that_began_it_and_the_next_ones_are_of_the_new() {
    let name = fresh();
    let host = host(&site(&name, ""));
    let generation = || host.plugin("subject")["generation"].as_u64().unwrap();
    let before = generation();
    let running = enqueue(&host, &json!({ "kind": "wait", "payload": "w" }));
    eventually("that it runs", || counts(&host, "w")[0] == 1);
    let waiting = enqueue(&host, &json!({ "kind": "wait", "payload": "later", "delay_ms": 2_000 }));
    // The new one has another limit: its jobs end where those of the old may go on.
    assert!(host.reload(&site(&name, "limits = { job_deadline_ms = 200 }")).is_empty());
    assert_eq!(generation(), before + 1);
    let found =
        poll(AFTER_A_PAUSE, || Ok((job(&host, &waiting)["reason"] == "it took longer than `job_deadline_ms`").then_some(()))).unwrap();
    assert!(found.is_some(), "{}", job(&host, &waiting));
    assert_eq!(job(&host, &running)["state"], "running");
    open(&host, "w");
    wait_for_state(&host, &running, "succeeded");
    assert_eq!(counts(&host, "w"), [1, 1, 0]);
}

#[test]
fn jobs_survive_a_stop_of_the_host() {
    let configuration = site(&fresh(), "");
    let first = host(&configuration);
    let running = enqueue(&first, &json!({ "kind": "wait", "payload": "w", "attempts": 1 }));
    let waiting = enqueue(&first, &json!({ "kind": "done", "payload": "later", "delay_ms": 2_000 }));
    eventually("that it runs", || counts(&first, "w")[0] == 1);
    // It is given its time, and then back to the queue.
    assert!(first.stop() >= Duration::from_secs(4));
    let second = host(&configuration);
    eventually("that it runs again", || counts(&second, "w")[0] == 2);
    assert_eq!((&job(&second, &running)["attempts"], &job(&second, &running)["state"]), (&json!(2), &json!("running")));
    open(&second, "w");
    wait_for_state(&second, &running, "succeeded");
    wait_for_state(&second, &waiting, "succeeded");
    assert_eq!(counts(&second, "later"), [1, 1, 0]);
}

#[test]
fn a_message_reaches_its_webhook_and_is_the_same_each_time_it_is_sent() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&asked);
    let receiver = FaultProxy::answering(move |request| {
        let fields = ["webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "content-length"]
            .map(|name| request.header(name).to_owned());
        let mut asked = own.lock().unwrap();
        asked.push((request.target.clone(), fields));
        match (request.target.as_str(), asked.len()) {
            ("/gone", _) => Answer::new(410, ""),
            (_, 1) => Answer::new(503, "not now"),
            _ => Answer::new(204, ""),
        }
    })
    .unwrap();
    let grants = format!(
        "{GRANTS}[site.plugin.grants.jobs.webhooks]\noutcome = {{ url = \"http://{0}/hook\", secret = {{ secret_file = \"secret\" }} }}\ngone = {{ url = \"http://{0}/gone\" }}\n",
        receiver.address()
    );
    let host = host(&format!("[[site]]\nname = \"{}\"\n{}", fresh(), plugin("subject", JOBS, "/", &grants)));
    std::fs::write(host.folder().join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    let post =
        |name: &str| host.call("/webhooks.post", &json!({ "name": name, "content_type": "application/json", "payload": "{\"a\": 1}" }));
    let id = post("outcome").as_str().unwrap().to_owned();
    let sent = poll(AFTER_A_PAUSE, || Ok((asked.lock().unwrap().len() == 2).then_some(()))).unwrap();
    assert!(sent.is_some(), "{:?}", asked.lock().unwrap());
    for (target, [message, timestamp, signature, content_type, length]) in asked.lock().unwrap().iter() {
        assert_eq!((target.as_str(), message, content_type.as_str(), length.as_str()), ("/hook", &id, "application/json", "8"));
        assert!(timestamp.parse::<u64>().is_ok() && signature.starts_with("v1,"), "{timestamp} {signature}");
    }
    let entry = |id: &str| listed(&host, "").into_iter().find(|entry| entry["id"] == id).unwrap();
    eventually("that it is over", || entry(&id)["state"] == "succeeded");
    assert_eq!((&entry(&id)["purpose"], &entry(&id)["kind"], &entry(&id)["attempts"]), (&json!("webhook"), &json!("outcome"), &json!(2)));
    assert_eq!(job(&host, &id)["error"], "not-found", "it is no job of the plugin's");
    let gone = post("gone").as_str().unwrap().to_owned();
    eventually("that it is dead", || entry(&gone)["state"] == "dead");
    assert_eq!(post("none")["error"], "not-found");
}
