//! Carries out one call of the jobs room for each request, `POST /queue.enqueue` with the arguments as the body, and answers what came back as JSON. Its own jobs end as their kind says, and leave in
//! `keyvalue` how often each was begun and done, which `GET /counts/{payload}` shows; one of the kind `wait` waits until somebody has said `POST /open/{payload}`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use wharf_sdk::jobs::queue::{self, Job, JobOptions, JobState};
use wharf_sdk::jobs::{Error, Failure, Timing, Work, schedules_read, webhooks};
use wharf_sdk::storage::keyvalue;
use wharf_sdk::{Description, Jobs, Plugin, Request, Response, Router};

struct Guest;

impl Plugin for Guest {
    fn describe() -> Description {
        let wanted = ["queue", "schedules.read", "webhooks"];
        let description = Description::new().wants("jobs", &wanted).wants("storage", &["keyvalue"]);
        description.schedule("yearly", &Timing::cron("0 0 1 1 *")).schedule("often", &Timing::every(Duration::from_secs(3_600)))
    }

    fn routes() -> Router {
        Router::new().get("/counts/{payload}", counts).post("/open/{payload}", open).post("/{function}", call)
    }
}

impl Jobs for Guest {
    fn run(work: &Work) -> Result<(), Failure> {
        let about = if work.turn.is_some() { &work.kind } else { &work.payload };
        keyvalue::increment(&format!("begun/{about}"), 1)?;
        if let Some(turn) = work.turn {
            keyvalue::increment(&format!("missed/{about}"), i64::try_from(turn.missed).unwrap_or(i64::MAX))?;
        }
        wharf_sdk::tracing::info!(attempt = work.attempt, "carrying out {about}");
        match work.kind.as_str() {
            "again" => return Err(Failure::Again("not now".to_owned())),
            "never" => return Err(Failure::Never("not ever".to_owned())),
            "second" if work.attempt < 2 => return Err(Failure::Again("only the second time".to_owned())),
            "panic" => panics(),
            "loop" => endless_loop(),
            "wait" => wait(about)?,
            "more" => drop(queue::enqueue("done", about, &JobOptions::default())?),
            _ => {}
        }
        keyvalue::increment(&format!("done/{about}"), 1)?;
        Ok(())
    }
}

#[expect(clippy::panic, reason = "what this job is for")]
fn panics() {
    panic!("this job panics")
}

fn endless_loop() {
    let mut turns: u64 = 0;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

#[expect(clippy::disallowed_methods, reason = "a guest has nothing that it could wait for")]
fn wait(about: &str) -> Result<(), Error> {
    while keyvalue::get(&format!("open/{about}"))?.is_none() {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn open(request: &Request) -> Result<Response, Error> {
    keyvalue::increment(&format!("open/{}", request.param("payload")), 1)?;
    Ok(Response::new(204))
}

/// How often what is about `payload` was begun and done, and how many turns were left out before it.
fn counts(request: &Request) -> Result<Response, Error> {
    let about = request.param("payload");
    let keys: Vec<String> = ["begun", "done", "missed"].iter().map(|what| format!("{what}/{about}")).collect();
    let number =
        |value: Option<Vec<u8>>| -> i64 { value.and_then(|value| String::from_utf8(value).ok()?.parse().ok()).unwrap_or_default() };
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let counts: Vec<i64> = keyvalue::get_all(&keys)?.into_iter().map(number).collect();
    Ok(Response::json(&counts))
}

/// The arguments of every function, each with what it needs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    kind: String,
    payload: String,
    key: Option<String>,
    delay_ms: u64,
    attempts: Option<u32>,
    ids: Vec<String>,
    name: String,
    content_type: String,
    /// How many jobs to take into the queue, each with its number behind the payload; none is one without.
    count: Option<u32>,
}

fn call(request: &Request) -> Response {
    let arguments: Arguments = request.json().unwrap_or_default();
    let answer = carry_out(&request.param("function"), &arguments);
    Response::json(&answer.unwrap_or_else(|error| error_json(&error)))
}

fn carry_out(function: &str, arguments: &Arguments) -> Result<Value, Error> {
    let Arguments { kind, payload, key, delay_ms, attempts, ids, name, content_type, count } = arguments;
    let options = JobOptions { key: key.clone(), delay: Duration::from_millis(*delay_ms), attempts: *attempts };
    let first = ids.first().map(String::as_str).unwrap_or_default();
    Ok(match function {
        "queue.enqueue" => match count {
            None => json!(queue::enqueue(kind, payload, &options)?),
            Some(count) => {
                let ids = (0..*count).map(|number| queue::enqueue(kind, &format!("{payload}{number}"), &options));
                json!(ids.collect::<Result<Vec<_>, _>>()?)
            }
        },
        "queue.get" => queue::get(ids).into_iter().map(|job| job.map_or_else(|error| error_json(&error), job_json)).collect(),
        "queue.find" => json!(queue::find(key.as_deref().unwrap_or_default())?.map(job_json)),
        "queue.cancel" => json!(queue::cancel(first)?),
        "schedules-read.list" => schedules_read::list()?.into_iter().map(schedule_json).collect(),
        "webhooks.post" => json!(webhooks::post(name, content_type, payload.as_bytes())?),
        _ => json!("no such function"),
    })
}

fn schedule_json(schedule: schedules_read::Schedule) -> Value {
    let schedules_read::Schedule { name, timing, next_ms, last_ms, missed } = schedule;
    json!({"name": name, "timing": timing, "next_ms": next_ms, "last_ms": last_ms, "missed": missed})
}

fn job_json(job: Job) -> Value {
    let Job { id, kind, payload, key, state, attempts, created_ms, due_ms, ended_ms, reason } = job;
    let state = match state {
        JobState::Waiting => "waiting",
        JobState::Running => "running",
        JobState::Succeeded => "succeeded",
        JobState::Dead => "dead",
        JobState::Cancelled => "cancelled",
    };
    json!({
        "id": id, "kind": kind, "payload": payload, "key": key, "state": state, "attempts": attempts,
        "created_ms": created_ms, "due_ms": due_ms, "ended_ms": ended_ms, "reason": reason,
    })
}

fn error_json(error: &Error) -> Value {
    let word = match error {
        Error::Denied => "denied",
        Error::NotFound => "not-found",
        Error::Timeout => "timeout",
        Error::QuotaExceeded => "quota-exceeded",
        Error::Invalid(_) => "invalid",
        Error::Conflict(_) => "conflict",
        Error::Unavailable(_) => "unavailable",
        Error::Internal(_) => "internal",
    };
    json!({"error": word, "reason": error.to_string()})
}

wharf_sdk::export!(Guest, jobs);
