//! Work beside requests: the durable queue of each site, and the turns of its plugins' schedules.
//!
//! All of it lies in one space of the site's database, as a plugin's tables do: the statements of [`store`] are written once, in the SQL that SQLite and PostgreSQL share, and what a call has answered to is on
//! the disk. Where several hosts share the database, a job is run by the host whose statement took it ([`Store::claim`]), and each turn of a schedule is made in a transaction that one host has alone
//! ([`Store::fire`]). A host that is gone is found by the others ([`holders`]), by their own clocks, so that clocks that differ do no harm.
//!
//! **At least once.** A job is begun when a row says so and is over when a row says so; a host that dies between the two leaves a job that is run again. Whoever ends a job says which of its attempts it was, so
//! that one who was taken for dead changes nothing any more.
//!
//! Nothing here runs a job: `plugin/background.rs` takes what is due and calls the plugin, or sends the message of a webhook ([`webhook`]). Time is a value that is passed in, but for the clocks of [`SiteJobs`].

use wharf_sql::Error;

mod holders;
mod pause;
mod rows;
mod schedules;
mod site;
mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod timing;
pub(crate) mod webhook;

pub(crate) use holders::{BEAT, Watch};
pub(crate) use pause::pause;
pub(crate) use schedules::{Fired, ScheduleRow};
pub(crate) use site::{Queues, SiteJobs};
pub(crate) use store::{Filter, NextDue, Room, Store};
pub(crate) use timing::{Timing, TimingParts};

/// How often a job may be begun unless it says otherwise.
pub(crate) const ATTEMPTS: u32 = 5;

/// How often a message is sent to a webhook: over about three and a half hours.
pub(crate) const WEBHOOK_ATTEMPTS: u32 = 12;

/// How often a job may be begun beyond its attempts because the host ended during it. One that brings the host down must not do so forever.
const INTERRUPTIONS: u32 = 10;

/// How long jobs that have ended are kept.
const KEEP_MS: u64 = 86_400_000;

/// How long dead ones are.
const KEEP_DEAD_MS: u64 = 30 * KEEP_MS;

/// What a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Work that a plugin has given itself.
    Job,
    /// A turn of a schedule.
    Turn,
    /// A message for a webhook.
    Webhook,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Running,
    Succeeded,
    Dead,
    Cancelled,
}

/// A job to take into the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewJob {
    pub(crate) plugin: String,
    pub(crate) purpose: Purpose,
    /// The plugin's word; of a webhook, its name.
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
    /// Of a webhook.
    pub(crate) content_type: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) delay_ms: u64,
    /// How often it may be begun.
    pub(crate) attempts: u32,
}

/// A job as the database has it, without what it is about. Times are in milliseconds since 1970 (UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) plugin: String,
    pub(crate) purpose: Purpose,
    pub(crate) kind: String,
    pub(crate) key: Option<String>,
    pub(crate) state: State,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// How often it may be.
    pub(crate) most_attempts: u32,
    pub(crate) created_ms: u64,
    pub(crate) due_ms: u64,
    pub(crate) ended_ms: Option<u64>,
    /// Why it failed the last time.
    pub(crate) reason: Option<String>,
    /// Of a schedule's job.
    pub(crate) turn: Option<Turn>,
}

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) payload: Vec<u8>,
    /// Of a webhook.
    pub(crate) content_type: Option<String>,
}

/// A turn of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When it was due.
    pub(crate) due_ms: u64,
    /// How many before it were left out since the last that was run.
    pub(crate) missed: u64,
}

/// A schedule of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) name: String,
    /// None: it is off.
    pub(crate) timing: Option<Timing>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    Succeeded,
    /// It may succeed later; and how long to wait at least.
    Again(String, Option<std::time::Duration>),
    /// It will not.
    Never(String),
}

/// What became of a job whose attempt has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Succeeded,
    /// It waits for the next attempt.
    Waiting,
    Dead,
    /// It is not this host's any more: it was cancelled, or another host has it.
    Lost,
}

/// Why the queue did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JobsError {
    /// The database did not answer in time.
    #[error("the queue's database did not answer in time")]
    Timeout,
    /// It cannot be reached or used.
    #[error("the queue's database cannot be used: {0}")]
    Unavailable(String),
    /// It is full.
    #[error("the queue's database is full")]
    Full,
    /// The host failed.
    #[error("the queue failed: {0}")]
    Internal(String),
}

/// Why a job was not taken into the queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// The job of this id waits or runs under the same key.
    #[error("the job {0} has the same key")]
    Key(String),
    /// As many of the plugin's wait as may.
    #[error("as many jobs wait as may")]
    Quota,
    /// The database.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// Why the operator's word about a job has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotChanged {
    /// There is no such job.
    #[error("there is no such job")]
    NotFound,
    /// Its state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The database.
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// How an attempt, or a job, ended, for the metrics.
pub(crate) trait JobObserver: Send + Sync {
    /// An attempt of a job of `plugin` has ended: `succeeded`, `failed` (it is tried again), `dead`, `cancelled`, `interrupted`.
    fn ended(&self, site: &str, plugin: &str, purpose: Purpose, outcome: &'static str);
    /// So many jobs of `plugin` are in `state` now.
    fn counted(&self, site: &str, plugin: &str, state: State, count: u64);
    /// So many turns of schedules of `plugin` were left out.
    fn missed(&self, site: &str, plugin: &str, turns: u64);
}

impl Purpose {
    /// As the database and the metrics have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Purpose::Job => "job",
            Purpose::Turn => "turn",
            Purpose::Webhook => "webhook",
        }
    }

    fn of_word(word: &str) -> Option<Purpose> {
        [Purpose::Job, Purpose::Turn, Purpose::Webhook].into_iter().find(|purpose| purpose.word() == word)
    }
}

impl State {
    pub(crate) const ALL: [State; 5] = [State::Waiting, State::Running, State::Succeeded, State::Dead, State::Cancelled];

    /// As the database and the admin API have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Dead => "dead",
            State::Cancelled => "cancelled",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl From<Error> for JobsError {
    fn from(error: Error) -> JobsError {
        match error {
            Error::Timeout => JobsError::Timeout,
            Error::Unavailable(reason) => JobsError::Unavailable(reason),
            Error::Quota | Error::Full => JobsError::Full,
            Error::Invalid(reason) | Error::Conflict(reason) | Error::Internal(reason) => JobsError::Internal(reason),
        }
    }
}
