//! The words of `backend/jobs` in the contract's, and back.

use super::error::Failure;
use super::{MAX_ATTEMPTS, MAX_CONTENT_TYPE_BYTES, MAX_DELAY_MS, MAX_KEY_BYTES, MAX_KIND_BYTES, MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES};
use crate::backend::jobs::{ATTEMPTS, Content, Job, NewJob, Purpose, Schedule, ScheduleRow, State, WEBHOOK_ATTEMPTS};
use crate::bindings::wharf::jobs::{queue, schedules_read, types};

/// A job that `plugin` gives itself.
pub(super) fn new_job(plugin: &str, kind: String, payload: String, options: queue::JobOptions) -> Result<NewJob, Failure> {
    let queue::JobOptions { key, delay_ms, attempts } = options;
    let invalid = |rule: String| Err(Failure::Invalid(rule));
    check_text("a kind", &kind, MAX_KIND_BYTES)?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        return invalid(format!("a payload has at most {MAX_PAYLOAD_BYTES} bytes, not {}", payload.len()));
    }
    if let Some(key) = &key {
        check_text("a key", key, MAX_KEY_BYTES)?;
    }
    if delay_ms > MAX_DELAY_MS {
        return invalid(format!("a job is due within a year, not in {delay_ms} ms"));
    }
    let attempts = attempts.unwrap_or(ATTEMPTS);
    if !(1..=MAX_ATTEMPTS).contains(&attempts) {
        return invalid(format!("a job may be begun 1 to {MAX_ATTEMPTS} times, not {attempts}"));
    }
    let payload = payload.into_bytes();
    Ok(NewJob { plugin: plugin.to_owned(), purpose: Purpose::Job, kind, payload, content_type: None, key, delay_ms, attempts })
}

/// A message of `plugin` to `webhook`.
pub(super) fn new_message(plugin: &str, webhook: String, content_type: String, body: Vec<u8>) -> Result<NewJob, Failure> {
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(Failure::Invalid(format!("a body has at most {MAX_MESSAGE_BYTES} bytes, not {}", body.len())));
    }
    let plain = content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if content_type.is_empty() || content_type.len() > MAX_CONTENT_TYPE_BYTES || !plain {
        return Err(Failure::Invalid(format!("a content type has 1 to {MAX_CONTENT_TYPE_BYTES} characters of ASCII")));
    }
    Ok(NewJob {
        plugin: plugin.to_owned(),
        purpose: Purpose::Webhook,
        kind: webhook,
        payload: body,
        content_type: Some(content_type),
        key: None,
        delay_ms: 0,
        attempts: WEBHOOK_ATTEMPTS,
    })
}

fn check_text(what: &str, text: &str, max_bytes: usize) -> Result<(), Failure> {
    // PostgreSQL has no texts with NUL.
    if (1..=max_bytes).contains(&text.len()) && !text.contains('\0') {
        return Ok(());
    }
    Err(Failure::Invalid(format!("{what} has 1 to {max_bytes} bytes and no NUL, not {}", text.len())))
}

pub(super) fn job((job, content): (Job, Content)) -> types::Job {
    let Job { id, kind, key, state, attempts, created_ms, due_ms, ended_ms, reason, .. } = job;
    let state = match state {
        State::Waiting => types::JobState::Waiting,
        State::Running => types::JobState::Running,
        State::Succeeded => types::JobState::Succeeded,
        State::Dead => types::JobState::Dead,
        State::Cancelled => types::JobState::Cancelled,
    };
    let payload = String::from_utf8_lossy(&content.payload).into_owned();
    types::Job { id, kind, payload, key, state, attempts, created_ms, due_ms, ended_ms, reason }
}

/// A schedule, with what the database has of it; none if it has nothing yet.
pub(super) fn schedule(schedule: &Schedule, row: Option<&ScheduleRow>) -> schedules_read::Schedule {
    schedules_read::Schedule {
        name: schedule.name.clone(),
        timing: schedule.shown(),
        next_ms: row.and_then(|row| row.next_ms).filter(|_| schedule.timing.is_some()),
        last_ms: row.and_then(|row| row.last_ms),
        missed: row.map_or(0, |row| row.missed),
    }
}
