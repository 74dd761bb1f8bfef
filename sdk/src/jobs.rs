//! Work beside requests: a durable queue, schedules, and webhooks, as far as the operator grants it.
//!
//! Each of [`queue`], [`schedules_read`] and [`webhooks`] is one interface of `wharf:jobs` and one word of the grant: [`schedules_read`] is `"schedules.read"` of `[site.plugin.grants.jobs]`.
//!
//! A plugin with jobs or schedules implements [`Jobs`] beside [`Plugin`](crate::Plugin), and is exported by `wharf_sdk::export!(MyPlugin, jobs);`. The host calls it for one job at a time, each in an instance
//! of its own. A job that the queue has taken survives a kill of the host and is carried out **at least once**: bear to be called twice for one.
//!
//! ```
//! use std::time::Duration;
//! use wharf_sdk::jobs::{self, Failure, Timing, Work, queue, webhooks};
//! use wharf_sdk::{Description, Jobs, Plugin, Request, Response, Router, fake};
//!
//! struct Reports;
//!
//! impl Plugin for Reports {
//!     fn describe() -> Description {
//!         Description::new().wants("jobs", &["queue", "webhooks"]).schedule("daily", &Timing::cron("0 4 * * *"))
//!     }
//!
//!     fn routes() -> Router {
//!         Router::new().post("/reports/{name}", |request: &Request| -> Result<Response, jobs::Error> {
//!             let name = request.param("name");
//!             let options = queue::JobOptions { key: Some(format!("report {name}")), ..Default::default() };
//!             Ok(match queue::enqueue("report", &name, &options) {
//!                 Ok(id) => Response::new(202).body(id.into_bytes()),
//!                 Err(jobs::Error::Conflict(id)) => Response::new(202).body(id.into_bytes()), // it is under way
//!                 Err(error) => return Err(error),
//!             })
//!         })
//!     }
//! }
//!
//! impl Jobs for Reports {
//!     fn run(work: &Work) -> Result<(), Failure> {
//!         match work.kind.as_str() {
//!             "report" => webhooks::post("outcome", "text/plain", work.payload.as_bytes())?,
//!             "daily" => queue::enqueue("report", "today", &queue::JobOptions::default())?,
//!             other => return Err(Failure::Never(format!("there is no kind {other}"))),
//!         };
//!         Ok(())
//!     }
//! }
//!
//! wharf_sdk::export!(Reports, jobs);
//!
//! # fn main() {
//! let host = fake::Host::install();
//! host.webhook("outcome");
//! assert_eq!(fake::call::<Reports>(fake::post("/reports/stock")).status, 202);
//! assert_eq!(host.run_due_jobs::<Reports>(), 1);
//! assert_eq!(host.posts()[0].body, b"stock");
//! assert_eq!(fake::run_job::<Reports>(&Work::turn("daily")), Ok(()));
//! # }
//! ```

use std::time::Duration;

use serde_json::{Map, Value};

pub use crate::error::Error;

/// A plugin that has jobs or schedules.
pub trait Jobs {
    /// Carries out one job. Its limits are `job_deadline_ms` and `job_cpu_ms`; there is no principal. A panic is as [`Failure::Again`].
    ///
    /// # Errors
    ///
    /// [`Failure`]; an [`Error`] of the host turns into one by `?`.
    fn run(work: &Work) -> Result<(), Failure>;
}

/// A job to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The job's id. The same for each attempt.
    pub id: String,
    /// What kind of work it is; of a schedule's job, the schedule's name.
    pub kind: String,
    /// What it is about, as it was given; of a schedule's, empty.
    pub payload: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// There if it comes from a schedule.
    pub turn: Option<Turn>,
}

impl Work {
    /// The first attempt of a job of `kind`, for tests.
    #[must_use]
    pub fn new(kind: &str, payload: &str) -> Work {
        Work { id: "test".to_owned(), kind: kind.to_owned(), payload: payload.to_owned(), attempt: 1, turn: None }
    }

    /// A turn of `schedule` that is due now and before which none was left out, for tests.
    #[must_use]
    pub fn turn(schedule: &str) -> Work {
        Work { turn: Some(Turn { due_ms: 0, missed: 0 }), ..Work::new(schedule, "") }
    }
}

/// What a job of a schedule knows of its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// When it was due, in milliseconds since 1970 (UTC).
    pub due_ms: u64,
    /// How many turns before this one were left out since the last that was run.
    pub missed: u64,
}

/// Why a job was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may succeed later. Of a schedule it is not tried again before the next turn.
    #[error("{0}")]
    Again(String),
    /// Trying again is of no use.
    #[error("{0}")]
    Never(String),
}

impl From<Error> for Failure {
    /// Arguments that break a rule break it again; anything else may be different the next time.
    fn from(error: Error) -> Failure {
        match error {
            Error::Invalid(_) => Failure::Never(error.to_string()),
            _ => Failure::Again(error.to_string()),
        }
    }
}

/// When a schedule has its turns, for [`Description::schedule`](crate::Description::schedule). The operator may set other times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing(Map<String, Value>);

impl Timing {
    /// A turn each `interval`, which is rounded down to seconds: at least 1 second, at most a year.
    #[must_use]
    pub fn every(interval: Duration) -> Timing {
        Timing(Map::from_iter([("every".to_owned(), format!("{}s", interval.as_secs()).into())]))
    }

    /// A turn whenever `expression` says: minute, hour, day of the month, month, day of the week. In UTC, unless the operator names a time zone.
    #[must_use]
    pub fn cron(expression: &str) -> Timing {
        Timing(Map::from_iter([("cron".to_owned(), expression.into())]))
    }

    /// Puts each turn off by a random time up to `most`, which is rounded down to seconds, so that not all hosts ask at the same moment.
    #[must_use]
    pub fn jitter(mut self, most: Duration) -> Timing {
        self.0.insert("jitter".to_owned(), format!("{}s", most.as_secs()).into());
        self
    }

    /// Has a turn when the host starts, too.
    #[must_use]
    pub fn at_start(mut self) -> Timing {
        self.0.insert("at_start".to_owned(), true.into());
        self
    }

    /// As it stands in a description.
    pub(crate) fn document(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// `queue`: work that the plugin gives itself.
pub mod queue {
    use std::time::Duration;

    use super::Error;
    use crate::host::with;

    /// How far a job is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum JobState {
        /// It waits for its time, for its turn, or after a failure to be tried again.
        Waiting,
        /// It is being run, or was when the host was killed.
        Running,
        /// It was carried out.
        Succeeded,
        /// It failed as often as it may, or said that trying again is of no use.
        Dead,
        /// It was cancelled.
        Cancelled,
    }

    impl JobState {
        /// Whether the job is over.
        #[must_use]
        pub fn is_over(self) -> bool {
            matches!(self, JobState::Succeeded | JobState::Dead | JobState::Cancelled)
        }
    }

    /// A job.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Job {
        /// Its id, which no other job has or had.
        pub id: String,
        /// What kind of work it is, in the plugin's own word; of a schedule's, the schedule's name.
        pub kind: String,
        /// What the work is about, as it was given; of a schedule's, empty.
        pub payload: String,
        /// The key that it has to itself while it waits or runs.
        pub key: Option<String>,
        /// How far it is.
        pub state: JobState,
        /// How often it was begun.
        pub attempts: u32,
        /// When it was taken into the queue, in milliseconds since 1970 (UTC).
        pub created_ms: u64,
        /// When it is or was to be run next.
        pub due_ms: u64,
        /// When it ended; none while it waits or runs.
        pub ended_ms: Option<u64>,
        /// Why it failed the last time; none if it has not.
        pub reason: Option<String>,
    }

    /// How a job is to be run. The default is at once, without a key, and at most five times.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct JobOptions {
        /// A key, 1 to 255 bytes, that no other job of the plugin may have while this one waits or runs.
        pub key: Option<String>,
        /// In how long it is due, at most a year. Rounded down to milliseconds.
        pub delay: Duration,
        /// How often it may be begun until it is dead, 1 to 100; none is 5. After a failure it waits, about 10 seconds the first time and then twice as long each time, up to an hour.
        pub attempts: Option<u32>,
    }

    /// Takes a job into the queue and answers its id when it is on the disk. `kind` has 1 to 100 bytes, `payload` at most 64 KiB.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when a job with the same key waits or runs, with that job's id as the payload; [`Error::Denied`], [`Error::Invalid`], [`Error::QuotaExceeded`], [`Error::Unavailable`],
    /// [`Error::Timeout`].
    pub fn enqueue(kind: &str, payload: &str, options: &JobOptions) -> Result<String, Error> {
        with(|host| host.job_enqueue(kind, payload, options))
    }

    /// Jobs of this plugin by id, in the order of `ids`, at most 1,000. Jobs that have ended are kept for a day, dead ones for 30.
    ///
    /// # Errors
    ///
    /// Of each: [`Error::NotFound`], [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    #[must_use]
    pub fn get(ids: &[String]) -> Vec<Result<Job, Error>> {
        with(|host| host.jobs_get(ids))
    }

    /// The job of this plugin that has `key` to itself, waiting or running.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn find(key: &str) -> Result<Option<Job>, Error> {
        with(|host| host.job_find(key))
    }

    /// Cancels a job: one that waits is not run any more, one that runs is ended where it stands, as a request is whose client has gone. Succeeds if it has ended already.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn cancel(id: &str) -> Result<(), Error> {
        with(|host| host.job_cancel(id))
    }
}

/// `schedules.read`: when the plugin's schedules run.
pub mod schedules_read {
    use super::Error;
    use crate::host::with;

    /// A schedule, from the plugin's description or from the configuration, which goes before it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Schedule {
        /// Its name, and the kind of its jobs.
        pub name: String,
        /// When it runs: `every 10m`, `cron 0 4 * * *`; `off` if the operator turned it off.
        pub timing: String,
        /// When it runs next, in milliseconds since 1970 (UTC); none if it is off.
        pub next_ms: Option<u64>,
        /// When it was begun last; none if never.
        pub last_ms: Option<u64>,
        /// How many of its turns were left out since the database is there, because no host ran or because the turn before had not ended.
        pub missed: u64,
    }

    /// The plugin's schedules by name.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn list() -> Result<Vec<Schedule>, Error> {
        with(|host| host.schedules_list())
    }
}

/// `webhooks`: telling others. A plugin names a webhook of its grant and never an address.
pub mod webhooks {
    use super::Error;
    use crate::host::with;

    /// Takes a message for the webhook `name` into the queue and answers its id when it is on the disk. The host sends it as a `POST` of `content_type`, signed by the rules of Standard Webhooks where the
    /// grant has a secret, and tries again until the receiver answers 2xx. `body` has at most 256 KiB.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for a webhook that the grant does not have; [`Error::Denied`], [`Error::Invalid`], [`Error::QuotaExceeded`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn post(name: &str, content_type: &str, body: &[u8]) -> Result<String, Error> {
        with(|host| host.webhook_post(name, content_type, body))
    }
}
