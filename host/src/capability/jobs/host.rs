//! The functions of `wharf:jobs`.
//!
//! A function is: `enter` (count, power), check the arguments, ask. Its failure becomes the plugin's word in one place, [`Failure::answer`].

use std::collections::HashMap;
use std::sync::Arc;

use super::error::Failure;
use super::grant::Power;
use super::{JobsCtxView, MAX_IDS, MAX_KEY_BYTES, convert};
use crate::backend::jobs::SiteJobs;
use crate::bindings::wharf::jobs::types::{self, Error};
use crate::bindings::wharf::jobs::{queue, schedules_read, webhooks};

impl types::Host for JobsCtxView<'_> {}

impl queue::Host for JobsCtxView<'_> {
    async fn enqueue(&mut self, kind: String, payload: String, options: queue::JobOptions) -> Result<String, Error> {
        const FUNCTION: &str = "jobs.queue.enqueue";
        let taken = async {
            let jobs = self.enter(FUNCTION, Power::Queue)?;
            let new = convert::new_job(&self.room.plugin, kind, payload, options)?;
            Ok(jobs.enqueue(&new, self.room.waiting).await?)
        };
        let taken: Result<_, Failure> = taken.await;
        taken.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn get(&mut self, ids: Vec<String>) -> Vec<Result<types::Job, Error>> {
        const FUNCTION: &str = "jobs.queue.get";
        let asked = async {
            let jobs = self.enter(FUNCTION, Power::Queue)?;
            if ids.len() > MAX_IDS {
                return Err(Failure::Invalid(format!("{} ids in one call, at most {MAX_IDS}", ids.len())));
            }
            // What has another form than an id is nobody's, and no database has to look.
            let wanted: Vec<String> = ids.iter().filter(|id| is_id(id)).cloned().collect();
            Ok(jobs.get(&self.room.plugin, &wanted).await?)
        };
        let asked: Result<_, Failure> = asked.await;
        match asked {
            Ok(found) => {
                let found: HashMap<String, types::Job> = found.into_iter().map(|found| (found.0.id.clone(), convert::job(found))).collect();
                ids.iter().map(|id| found.get(id).cloned().ok_or(Error::NotFound)).collect()
            }
            Err(failure) => {
                let error = failure.answer(self.call, FUNCTION);
                ids.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    async fn find(&mut self, key: String) -> Result<Option<types::Job>, Error> {
        const FUNCTION: &str = "jobs.queue.find";
        let found = async {
            let jobs = self.enter(FUNCTION, Power::Queue)?;
            // No job has such a key.
            if key.is_empty() || key.len() > MAX_KEY_BYTES || key.contains('\0') {
                return Ok(None);
            }
            Ok(jobs.find(&self.room.plugin, &key).await?)
        };
        let found: Result<_, Failure> = found.await;
        found.map(|found| found.map(convert::job)).map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn cancel(&mut self, id: String) -> Result<(), Error> {
        const FUNCTION: &str = "jobs.queue.cancel";
        let cancelled = async {
            let jobs = self.enter(FUNCTION, Power::Queue)?;
            if !is_id(&id) {
                return Err(Failure::Gone);
            }
            Ok(jobs.cancel(Some(&self.room.plugin), &id).await?)
        };
        let cancelled: Result<_, Failure> = cancelled.await;
        cancelled.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl schedules_read::Host for JobsCtxView<'_> {
    async fn list(&mut self) -> Result<Vec<schedules_read::Schedule>, Error> {
        const FUNCTION: &str = "jobs.schedules-read.list";
        let listed = async {
            let jobs = self.enter(FUNCTION, Power::SchedulesRead)?;
            if self.room.schedules.is_empty() {
                return Ok(Vec::new());
            }
            let rows = jobs.schedules().await?;
            let row = |name: &str| rows.iter().find(|row| row.plugin == self.room.plugin && row.name == name);
            Ok(self.room.schedules.iter().map(|schedule| convert::schedule(schedule, row(&schedule.name))).collect())
        };
        let listed: Result<_, Failure> = listed.await;
        listed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl webhooks::Host for JobsCtxView<'_> {
    async fn post(&mut self, name: String, content_type: String, body: Vec<u8>) -> Result<String, Error> {
        const FUNCTION: &str = "jobs.webhooks.post";
        let taken = async {
            let jobs = self.enter(FUNCTION, Power::Webhooks)?;
            let webhook = self.room.allowed_webhook(&name).ok_or(Failure::Gone)?;
            let new = convert::new_message(&self.room.plugin, webhook.into_name(), content_type, body)?;
            Ok(jobs.enqueue(&new, self.room.waiting).await?)
        };
        let taken: Result<_, Failure> = taken.await;
        taken.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl JobsCtxView<'_> {
    /// Counts a call, and checks that its power was granted.
    fn enter(&mut self, function: &'static str, power: Power) -> Result<Arc<SiteJobs>, Failure> {
        self.call.begin(function)?;
        Ok(self.room.jobs(power)?)
    }
}

/// Whether `text` has the form of a job's id.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
