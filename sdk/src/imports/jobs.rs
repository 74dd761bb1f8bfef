//! The imports of `wharf:jobs`.

use super::Imports;
use crate::bindings::wharf::jobs::{queue, schedules_read, types, webhooks};
use crate::error::Error;
use crate::jobs::queue::{Job, JobOptions, JobState};
use crate::jobs::schedules_read::Schedule;

impl Imports {
    pub(crate) fn job_enqueue(&self, kind: &str, payload: &str, options: &JobOptions) -> Result<String, Error> {
        let JobOptions { key, delay, attempts } = options;
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Ok(queue::enqueue(kind, payload, &queue::JobOptions { key: key.clone(), delay_ms, attempts: *attempts })?)
    }

    pub(crate) fn jobs_get(&self, ids: &[String]) -> Vec<Result<Job, Error>> {
        queue::get(ids).into_iter().map(|job| job.map(Job::from).map_err(Error::from)).collect()
    }

    pub(crate) fn job_find(&self, key: &str) -> Result<Option<Job>, Error> {
        Ok(queue::find(key)?.map(Job::from))
    }

    pub(crate) fn job_cancel(&self, id: &str) -> Result<(), Error> {
        Ok(queue::cancel(id)?)
    }

    pub(crate) fn schedules_list(&self) -> Result<Vec<Schedule>, Error> {
        let schedule = |schedule: schedules_read::Schedule| {
            let schedules_read::Schedule { name, timing, next_ms, last_ms, missed } = schedule;
            Schedule { name, timing, next_ms, last_ms, missed }
        };
        Ok(schedules_read::list()?.into_iter().map(schedule).collect())
    }

    pub(crate) fn webhook_post(&self, name: &str, content_type: &str, body: &[u8]) -> Result<String, Error> {
        Ok(webhooks::post(name, content_type, body)?)
    }
}

impl From<types::Job> for Job {
    fn from(job: types::Job) -> Job {
        let types::Job { id, kind, payload, key, state, attempts, created_ms, due_ms, ended_ms, reason } = job;
        let state = match state {
            types::JobState::Waiting => JobState::Waiting,
            types::JobState::Running => JobState::Running,
            types::JobState::Succeeded => JobState::Succeeded,
            types::JobState::Dead => JobState::Dead,
            types::JobState::Cancelled => JobState::Cancelled,
        };
        Job { id, kind, payload, key, state, attempts, created_ms, due_ms, ended_ms, reason }
    }
}
