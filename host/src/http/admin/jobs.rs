//! The admin API's view of the queues: jobs, those that are dead above all, and schedules. A job can be run again, cancelled, and removed when it has ended.
//!
//! What a job is about is the plugin's and is not shown. Who may ask is decided by where the admin API listens, as for `/reload`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::backend::jobs::{self, Filter, Job, JobsError, NotChanged, ScheduleRow, SiteJobs};
use crate::serve::Host;

/// How many jobs are listed of each site unless it is said, and at the most.
const LISTED: usize = 100;
const MOST_LISTED: usize = 1_000;

/// `?state=dead&plugin=update-checker&site=plant-a&limit=10`, each of which may be absent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    state: Option<jobs::State>,
    plugin: Option<String>,
    site: Option<String>,
    limit: Option<usize>,
}

impl Wanted {
    fn parse(query: &str) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "state" => {
                    let words = || jobs::State::ALL.map(jobs::State::word).join(", ");
                    let state =
                        jobs::State::of_word(&value).ok_or_else(|| format!("there is no state `{value}`; known states: {}", words()))?;
                    wanted.state = Some(state);
                }
                "plugin" => wanted.plugin = Some(value.into_owned()),
                "site" => wanted.site = Some(value.into_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST_LISTED).contains(limit));
                    wanted.limit = Some(limit.ok_or_else(|| format!("`limit` may be from 1 to {MOST_LISTED}"))?);
                }
                other => return Err(format!("there is no parameter `{other}`; known parameters: limit, plugin, site, state")),
            }
        }
        // No database takes it, and nothing is called so.
        let has_nul = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\0'));
        if has_nul(&wanted.plugin) || has_nul(&wanted.site) { Err("there is a NUL in a name".to_owned()) } else { Ok(wanted) }
    }
}

#[derive(Serialize)]
struct JobEntry<'a> {
    id: String,
    site: &'a str,
    plugin: String,
    /// `job`, `turn` of a schedule or `webhook`.
    purpose: &'static str,
    /// Of a turn the schedule, of a webhook its name.
    kind: String,
    key: Option<String>,
    state: &'static str,
    attempts: u32,
    most_attempts: u32,
    created_ms: u64,
    due_ms: u64,
    ended_ms: Option<u64>,
    /// Why it failed the last time.
    reason: Option<String>,
    /// Of a turn: when it was due, and how many before it were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<TurnEntry>,
}

#[derive(Serialize)]
struct TurnEntry {
    due_ms: u64,
    missed: u64,
}

#[derive(Serialize)]
struct ScheduleEntry<'a> {
    site: &'a str,
    plugin: &'a str,
    name: &'a str,
    timing: String,
    next_ms: Option<u64>,
    last_ms: Option<u64>,
    missed: u64,
}

/// The jobs of all sites, those of each the newest first. 400 for a question that is none, 503 while a database does not answer.
pub(super) async fn list(State(host): State<Arc<Host>>, RawQuery(query): RawQuery) -> Response {
    let wanted = match Wanted::parse(&query.unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(reason) => return problem(StatusCode::BAD_REQUEST, &reason),
    };
    let filter = Filter { state: wanted.state, plugin: wanted.plugin, limit: wanted.limit.unwrap_or(LISTED) };
    let queues = host.background.queues();
    let mut entries = Vec::new();
    for queue in queues.iter().filter(|queue| wanted.site.as_ref().is_none_or(|site| *site == queue.site)) {
        match queue.list(&filter).await {
            Ok(found) => entries.extend(found.into_iter().map(|job| entry(&queue.site, job))),
            Err(error) => return unavailable(queue, &error),
        }
    }
    Json(entries).into_response()
}

fn entry(site: &str, job: Job) -> JobEntry<'_> {
    let Job { id, plugin, purpose, kind, key, state, attempts, most_attempts, created_ms, due_ms, ended_ms, reason, turn } = job;
    let turn = turn.map(|turn| TurnEntry { due_ms: turn.due_ms, missed: turn.missed });
    let (purpose, state) = (purpose.word(), state.word());
    JobEntry { id, site, plugin, purpose, kind, key, state, attempts, most_attempts, created_ms, due_ms, ended_ms, reason, turn }
}

/// The schedules of all plugins that are loaded, by site, plugin and name.
pub(super) async fn schedules(State(host): State<Arc<Host>>) -> Response {
    let table = host.table.load_full();
    let queues = host.background.queues();
    let mut entries = Vec::new();
    for site in &table.sites {
        let generations = site.generations();
        if generations.iter().all(|generation| generation.schedules.is_empty()) {
            continue;
        }
        let Some(queue) = queues.iter().find(|queue| queue.site == site.name) else { continue };
        let rows = match queue.schedules().await {
            Ok(rows) => rows,
            Err(error) => return unavailable(queue, &error),
        };
        for generation in &generations {
            let plugin = &generation.settings.name.value;
            for schedule in &generation.schedules {
                let row: Option<&ScheduleRow> = rows.iter().find(|row| row.plugin == *plugin && row.name == schedule.name);
                let entry = ScheduleEntry {
                    site: &site.name,
                    plugin,
                    name: &schedule.name,
                    timing: schedule.shown(),
                    next_ms: row.and_then(|row| row.next_ms).filter(|_| schedule.timing.is_some()),
                    last_ms: row.and_then(|row| row.last_ms),
                    missed: row.map_or(0, |row| row.missed),
                };
                entries.push(serde_json::json!(entry));
            }
        }
    }
    Json(entries).into_response()
}

/// Runs a job again that is dead or was cancelled. 204; 404 if there is none, 409 if its state does not allow it.
pub(super) async fn retry(State(host): State<Arc<Host>>, Path(id): Path<String>) -> Response {
    change(&host, &id, Change::Retry).await
}

/// Cancels a job. 204, also when it has ended already; 404 if there is none.
pub(super) async fn cancel(State(host): State<Arc<Host>>, Path(id): Path<String>) -> Response {
    change(&host, &id, Change::Cancel).await
}

/// Removes a job that has ended. 204; 404 if there is none, 409 if it waits or runs.
pub(super) async fn remove(State(host): State<Arc<Host>>, Path(id): Path<String>) -> Response {
    change(&host, &id, Change::Remove).await
}

/// What an operator can do with a job.
#[derive(Debug, Clone, Copy)]
enum Change {
    Retry,
    Cancel,
    Remove,
}

/// Changes the job `id` in the queue that has it.
async fn change(host: &Host, id: &str, change: Change) -> Response {
    // No database takes it.
    let queues = if id.contains('\0') { Vec::new() } else { host.background.queues() };
    for queue in &queues {
        let changed = match change {
            Change::Retry => queue.retry(id).await,
            Change::Cancel => queue.cancel(None, id).await,
            Change::Remove => queue.remove(id).await,
        };
        match changed {
            Ok(()) => {
                tracing::info!(target: "audit", site = queue.site, job = id, ?change, "an operator changed a job");
                return StatusCode::NO_CONTENT.into_response();
            }
            Err(NotChanged::NotFound) => {}
            Err(NotChanged::Conflict(reason)) => return problem(StatusCode::CONFLICT, &reason),
            Err(NotChanged::Jobs(error)) => return unavailable(queue, &error),
        }
    }
    problem(StatusCode::NOT_FOUND, "there is no such job")
}

fn unavailable(queue: &SiteJobs, error: &JobsError) -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, &format!("site `{}`: {error}", queue.site))
}

/// Why it was not done: a problem document (RFC 9457).
fn problem(status: StatusCode, reason: &str) -> Response {
    let document =
        serde_json::json!({ "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(), "detail": reason });
    (status, [(CONTENT_TYPE, "application/problem+json")], document.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_a_form_and_what_is_none_is_said() {
        let wanted = Wanted { state: Some(jobs::State::Dead), plugin: Some("a b".to_owned()), site: None, limit: Some(5) };
        assert_eq!(Wanted::parse("state=dead&plugin=a+b&limit=5"), Ok(wanted));
        assert_eq!(Wanted::parse(""), Ok(Wanted::default()));
        for (query, expected) in [
            ("state=deaf", "there is no state `deaf`; known states: waiting, running, succeeded, dead, cancelled"),
            ("limit=0", "`limit` may be from 1 to 1000"),
            ("limit=1e9", "`limit` may be from 1 to 1000"),
            ("stat=dead", "there is no parameter `stat`; known parameters: limit, plugin, site, state"),
            ("plugin=%00", "there is a NUL in a name"),
        ] {
            assert_eq!(Wanted::parse(query), Err(expected.to_owned()));
        }
    }
}
