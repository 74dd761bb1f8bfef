//! The jobs of the fake host: what a plugin has given itself to do, the schedules that it is told of, and what it has sent to webhooks.
//!
//! Nothing runs by itself: a test says when, with [`Host::run_due_jobs`]. Time is that of [`Host::pass`]. A job that fails is tried again as by the host, without the element of chance in its pauses.

use std::collections::BTreeSet;

use super::world::Host;
use crate::error::Error;
use crate::host;
use crate::jobs::queue::{Job, JobOptions, JobState};
use crate::jobs::schedules_read::Schedule;
use crate::jobs::{Failure, Jobs as Plugin, Work};

/// How often a job may be begun unless it says otherwise.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE_MS: u64 = 10_000;
const LONGEST_PAUSE_MS: u64 = 3_600_000;
const YEAR_MS: u128 = 366 * 86_400_000;

/// A message that a plugin has sent to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The webhook's name in the grant.
    pub webhook: String,
    /// Its `content-type`.
    pub content_type: String,
    /// What was sent.
    pub body: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Jobs {
    /// In the order in which they came.
    jobs: Vec<Entry>,
    schedules: Vec<Schedule>,
    webhooks: BTreeSet<String>,
    posts: Vec<Post>,
    /// How many ids were given.
    given: u64,
}

struct Entry {
    job: Job,
    attempts: u32,
}

impl Jobs {
    fn id(&mut self) -> String {
        self.given += 1;
        format!("job-{}", self.given)
    }

    fn enqueue(&mut self, kind: &str, payload: &str, options: &JobOptions, now_ms: u64) -> Result<String, Error> {
        let JobOptions { key, delay, attempts } = options;
        let attempts = attempts.unwrap_or(ATTEMPTS);
        if !(1..=100).contains(&kind.len()) {
            return Err(Error::Invalid(format!("a kind has 1 to 100 bytes, not {}", kind.len())));
        }
        if payload.len() > 64 << 10 {
            return Err(Error::Invalid(format!("a payload has at most 65536 bytes, not {}", payload.len())));
        }
        if key.as_ref().is_some_and(|key| !(1..=255).contains(&key.len())) {
            return Err(Error::Invalid("a key has 1 to 255 bytes".to_owned()));
        }
        if delay.as_millis() > YEAR_MS || !(1..=100).contains(&attempts) {
            return Err(Error::Invalid("a job is due within a year, and is begun 1 to 100 times".to_owned()));
        }
        if let Some(other) = key.as_deref().and_then(|key| self.holder(key)) {
            return Err(Error::Conflict(other.id.clone()));
        }
        let id = self.id();
        let due_ms = now_ms.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        let job = Job {
            id: id.clone(),
            kind: kind.to_owned(),
            payload: payload.to_owned(),
            key: key.clone(),
            state: JobState::Waiting,
            attempts: 0,
            created_ms: now_ms,
            due_ms,
            ended_ms: None,
            reason: None,
        };
        self.jobs.push(Entry { job, attempts });
        Ok(id)
    }

    fn holder(&self, key: &str) -> Option<&Job> {
        let jobs = self.jobs.iter().map(|entry| &entry.job);
        jobs.into_iter().find(|job| !job.state.is_over() && job.key.as_deref() == Some(key))
    }

    fn entry(&mut self, id: &str) -> Option<&mut Entry> {
        self.jobs.iter_mut().find(|entry| entry.job.id == id)
    }

    fn end(&mut self, id: &str, state: JobState, now_ms: u64) -> Result<(), Error> {
        let entry = self.entry(id).ok_or(Error::NotFound)?;
        if !entry.job.state.is_over() {
            entry.job.state = state;
            entry.job.ended_ms = state.is_over().then_some(now_ms);
        }
        Ok(())
    }

    /// Begins the job that is due first.
    fn begin(&mut self, now_ms: u64) -> Option<Work> {
        let due = self.jobs.iter_mut().map(|entry| &mut entry.job);
        let job = due.filter(|job| job.state == JobState::Waiting && job.due_ms <= now_ms).min_by_key(|job| job.due_ms)?;
        job.state = JobState::Running;
        job.attempts += 1;
        Some(Work { id: job.id.clone(), kind: job.kind.clone(), payload: job.payload.clone(), attempt: job.attempts, turn: None })
    }

    fn ended(&mut self, id: &str, done: Result<(), Failure>, now_ms: u64) {
        let Some(Entry { job, attempts }) = self.entry(id) else { return };
        if job.state.is_over() {
            return;
        }
        job.reason = done.as_ref().err().map(ToString::to_string);
        job.state = match done {
            Ok(()) => JobState::Succeeded,
            Err(Failure::Again(_)) if job.attempts < *attempts => JobState::Waiting,
            Err(_) => JobState::Dead,
        };
        if job.state.is_over() {
            job.ended_ms = Some(now_ms);
        } else {
            let pause = FIRST_PAUSE_MS.checked_shl(job.attempts - 1).unwrap_or(LONGEST_PAUSE_MS).min(LONGEST_PAUSE_MS);
            job.due_ms = now_ms.saturating_add(pause);
        }
    }
}

impl Host {
    /// Lets the plugin have the webhook `name`. Without this there is none.
    pub fn webhook(&self, name: &str) {
        self.jobs().webhooks.insert(name.to_owned());
    }

    /// What was sent to webhooks, in its order.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        self.jobs().posts.clone()
    }

    /// Adds a schedule that the plugin is told of. It has no turns by itself: see [`run_job`](super::run_job).
    pub fn schedule(&self, schedule: Schedule) {
        let mut jobs = self.jobs();
        jobs.schedules.push(schedule);
        jobs.schedules.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// Every job that the plugin has given itself, in the order in which they came.
    #[must_use]
    pub fn jobs_so_far(&self) -> Vec<Job> {
        self.jobs().jobs.iter().map(|entry| entry.job.clone()).collect()
    }

    /// Lets the job `id`, which waits, be one that runs: for what a plugin says of its jobs meanwhile.
    pub fn begin_job(&self, id: &str) {
        if let Some(entry) = self.jobs().entry(id) {
            entry.job.state = JobState::Running;
            entry.job.attempts += 1;
        }
    }

    /// Lets `P` carry out the jobs that are due, each once, those included that they give the plugin meanwhile. Answers how many there were.
    pub fn run_due_jobs<P: Plugin>(&self) -> usize {
        let mut run = 0;
        loop {
            let now_ms = self.identity().now_ms();
            // Not in the condition: the plugin asks the host too.
            let Some(work) = self.jobs().begin(now_ms) else { return run };
            let done = P::run(&work);
            let now_ms = self.identity().now_ms();
            self.jobs().ended(&work.id, done, now_ms);
            run += 1;
        }
    }

    fn call_jobs<R>(&self, function: &str, about: &str, answer: impl FnOnce(&mut Jobs, u64) -> Result<R, Error>) -> Result<R, Error> {
        self.call(function, about, |_| Ok(()))?;
        let now_ms = self.identity().now_ms();
        answer(&mut self.jobs(), now_ms)
    }
}

impl host::Jobs for Host {
    fn job_enqueue(&self, kind: &str, payload: &str, options: &JobOptions) -> Result<String, Error> {
        self.call_jobs("jobs.queue.enqueue", kind, |jobs, now_ms| jobs.enqueue(kind, payload, options, now_ms))
    }

    fn jobs_get(&self, ids: &[String]) -> Vec<Result<Job, Error>> {
        let found = self.call_jobs("jobs.queue.get", &ids.join(","), |jobs, _| {
            let mut job = |id: &String| jobs.entry(id).map(|entry| entry.job.clone()).ok_or(Error::NotFound);
            Ok(ids.iter().map(&mut job).collect())
        });
        found.unwrap_or_else(|error| ids.iter().map(|_| Err(error.clone())).collect())
    }

    fn job_find(&self, key: &str) -> Result<Option<Job>, Error> {
        self.call_jobs("jobs.queue.find", key, |jobs, _| Ok(jobs.holder(key).cloned()))
    }

    fn job_cancel(&self, id: &str) -> Result<(), Error> {
        self.call_jobs("jobs.queue.cancel", id, |jobs, now_ms| jobs.end(id, JobState::Cancelled, now_ms))
    }

    fn schedules_list(&self) -> Result<Vec<Schedule>, Error> {
        self.call_jobs("jobs.schedules-read.list", "", |jobs, _| Ok(jobs.schedules.clone()))
    }

    fn webhook_post(&self, name: &str, content_type: &str, body: &[u8]) -> Result<String, Error> {
        self.call_jobs("jobs.webhooks.post", name, |jobs, _| {
            if !jobs.webhooks.contains(name) {
                return Err(Error::NotFound);
            }
            if body.len() > 256 << 10 {
                return Err(Error::Invalid(format!("a body has at most 262144 bytes, not {}", body.len())));
            }
            jobs.posts.push(Post { webhook: name.to_owned(), content_type: content_type.to_owned(), body: body.to_vec() });
            Ok(jobs.id())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::jobs::{queue, webhooks};

    struct Moody;

    impl Plugin for Moody {
        fn run(work: &Work) -> Result<(), Failure> {
            match work.payload.as_str() {
                "again" => Err(Failure::Again("not now".to_owned())),
                "never" => Err(Failure::Never("not ever".to_owned())),
                "more" => queue::enqueue("x", "", &JobOptions::default()).map(drop).map_err(Failure::from),
                _ => Ok(()),
            }
        }
    }

    fn with_key(key: &str) -> JobOptions {
        JobOptions { key: Some(key.to_owned()), ..JobOptions::default() }
    }

    #[test]
    fn a_key_belongs_to_one_job_until_that_is_over() {
        let host = Host::install();
        let first = queue::enqueue("x", "", &with_key("k")).unwrap();
        assert_eq!(queue::enqueue("x", "", &with_key("k")), Err(Error::Conflict(first.clone())));
        assert_eq!(queue::find("k").unwrap().map(|job| job.id), Some(first.clone()));
        host.begin_job(&first);
        assert_eq!(queue::get(std::slice::from_ref(&first)).remove(0).unwrap().state, JobState::Running);
        assert_eq!(queue::cancel(&first), Ok(()));
        assert_eq!(queue::find("k"), Ok(None));
        assert!(queue::enqueue("x", "", &with_key("k")).is_ok());
        assert_eq!(queue::cancel("none"), Err(Error::NotFound));
    }

    #[test]
    fn jobs_run_when_they_are_due_and_again_after_a_failure() {
        let host = Host::install();
        let later = JobOptions { delay: Duration::from_secs(60), ..JobOptions::default() };
        queue::enqueue("x", "later", &later).unwrap();
        queue::enqueue("x", "more", &JobOptions::default()).unwrap();
        queue::enqueue("x", "never", &JobOptions::default()).unwrap();
        queue::enqueue("x", "again", &JobOptions { attempts: Some(2), ..JobOptions::default() }).unwrap();
        assert_eq!(host.run_due_jobs::<Moody>(), 4);
        let states = |host: &Host| host.jobs_so_far().iter().map(|job| job.state).collect::<Vec<_>>();
        use JobState::{Dead, Succeeded, Waiting};
        assert_eq!(states(&host), [Waiting, Succeeded, Dead, Waiting, Succeeded]);
        host.pass(Duration::from_secs(60));
        assert_eq!(host.run_due_jobs::<Moody>(), 2);
        assert_eq!(states(&host), [Succeeded, Succeeded, Dead, Dead, Succeeded]);
        assert_eq!(host.jobs_so_far()[3].reason.as_deref(), Some("not now"));
    }

    #[test]
    fn arguments_that_the_host_refuses_are_refused() {
        let _host = Host::install();
        let refused = |kind: &str, options: JobOptions| matches!(queue::enqueue(kind, "", &options), Err(Error::Invalid(_)));
        assert!(refused("", JobOptions::default()) && refused("x", with_key("")));
        assert!(refused("x", JobOptions { attempts: Some(0), ..JobOptions::default() }));
        assert!(refused("x", JobOptions { delay: Duration::from_secs(400 * 86_400), ..JobOptions::default() }));
        assert_eq!(webhooks::post("none", "text/plain", b""), Err(Error::NotFound));
    }
}
