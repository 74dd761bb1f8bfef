//! The queues of all sites of this process, and one site's, as the rooms and the background see it.
//!
//! A queue is opened when it is first needed, in the database that is in force then; after `[storage]` has changed it is another one, and what was begun ends in the one that it was taken from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::store::Filter;
use super::{Content, Job, JobsError, NewJob, NotChanged, NotTaken, ScheduleRow, Store};
use crate::backend::clock::now_ms;
use crate::backend::database::{Databases, SpaceName};

/// What the space of a queue is called among those of plugins, none of which can have this name.
const SPACE: &str = "_jobs";

/// How much a queue may take. What plugins may have waiting is a limit of theirs; this one only keeps a mistake from filling a disk.
const QUOTA_BYTES: u64 = 8 << 30;

/// The queues of all sites.
pub(crate) struct Queues {
    databases: Databases,
    /// What this process is called in them.
    holder: String,
    sites: Mutex<HashMap<String, Arc<SiteJobs>>>,
}

/// One site's queue.
pub(crate) struct SiteJobs {
    pub(crate) site: String,
    databases: Databases,
    holder: String,
    /// The queue, and in which database it is. None before it was needed.
    store: tokio::sync::Mutex<Option<(u64, Arc<Store>)>>,
    /// Told when something may be due sooner than was known.
    pub(crate) changed: Notify,
    /// What ends the jobs that run in this process, by their ids.
    running: Mutex<HashMap<String, Arc<CancellationToken>>>,
}

impl Queues {
    /// Of no site yet, in `databases`.
    pub(crate) fn new(databases: Databases) -> Queues {
        Queues { databases, holder: format!("{:032x}", fastrand::u128(..)), sites: Mutex::default() }
    }

    /// The queue of `site`. Nothing is opened.
    pub(crate) fn site(&self, site: &str) -> Arc<SiteJobs> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(SiteJobs::new(site, self.databases.clone(), self.holder.clone()));
        Arc::clone(sites.entry(site.to_owned()).or_insert_with(new))
    }
}

impl SiteJobs {
    fn new(site: &str, databases: Databases, holder: String) -> SiteJobs {
        let (store, changed, running) = (tokio::sync::Mutex::default(), Notify::new(), Mutex::default());
        SiteJobs { site: site.to_owned(), databases, holder, store, changed, running }
    }

    /// The queue in the database that is in force.
    ///
    /// # Errors
    ///
    /// [`JobsError`].
    pub(crate) async fn store(&self) -> Result<Arc<Store>, JobsError> {
        let mut known = self.store.lock().await;
        let epoch = self.databases.epoch();
        if let Some((of, store)) = &*known
            && *of == epoch
        {
            return Ok(Arc::clone(store));
        }
        let name = SpaceName { site: self.site.clone(), plugin: SPACE.to_owned() };
        let space = self.databases.space(name, QUOTA_BYTES);
        let store = Arc::new(Store::open(space, &self.holder, self.is_shared(), now_ms()).await?);
        *known = Some((epoch, Arc::clone(&store)));
        Ok(store)
    }

    /// What this process is called in the database.
    pub(crate) fn holder(&self) -> &str {
        &self.holder
    }

    /// Whether other hosts may use the database too.
    pub(crate) fn is_shared(&self) -> bool {
        self.databases.is_shared()
    }

    /// As [`Store::enqueue`].
    pub(crate) async fn enqueue(&self, new: &NewJob, quota: u64) -> Result<String, NotTaken> {
        let id = self.store().await?.enqueue(new, quota, now_ms()).await?;
        self.changed.notify_one();
        Ok(id)
    }

    /// As [`Store::get`].
    pub(crate) async fn get(&self, plugin: &str, ids: &[String]) -> Result<Vec<(Job, Content)>, JobsError> {
        self.store().await?.get(plugin, ids).await
    }

    /// As [`Store::find`].
    pub(crate) async fn find(&self, plugin: &str, key: &str) -> Result<Option<(Job, Content)>, JobsError> {
        self.store().await?.find(plugin, key).await
    }

    /// As [`Store::cancel`]. What runs here ends at once, what runs on another host within a few seconds.
    pub(crate) async fn cancel(&self, plugin: Option<&str>, id: &str) -> Result<(), NotChanged> {
        self.store().await?.cancel(plugin, id, now_ms()).await?;
        if let Some(running) = self.running().get(id) {
            running.cancel();
        }
        Ok(())
    }

    /// As [`Store::retry`].
    pub(crate) async fn retry(&self, id: &str) -> Result<(), NotChanged> {
        self.store().await?.retry(id, now_ms()).await?;
        self.changed.notify_one();
        Ok(())
    }

    /// As [`Store::remove`].
    pub(crate) async fn remove(&self, id: &str) -> Result<(), NotChanged> {
        self.store().await?.remove(id).await
    }

    /// As [`Store::list`].
    pub(crate) async fn list(&self, filter: &Filter) -> Result<Vec<Job>, JobsError> {
        self.store().await?.list(filter).await
    }

    /// As [`Store::schedules`].
    pub(crate) async fn schedules(&self) -> Result<Vec<ScheduleRow>, JobsError> {
        self.store().await?.schedules().await
    }

    /// Notes that the job `id` runs here, until the answer is dropped. Its token is cancelled when the job is, and when it runs here once more: then it was cancelled and run again elsewhere, before this host saw that.
    pub(crate) fn run(self: &Arc<Self>, id: &str) -> Running {
        let token = Arc::<CancellationToken>::default();
        if let Some(before) = self.running().insert(id.to_owned(), Arc::clone(&token)) {
            before.cancel();
        }
        Running { jobs: Arc::clone(self), id: id.to_owned(), token }
    }

    /// Ends the jobs that run here and of which `is_own` does not say that they are still this host's.
    pub(crate) fn end_unless(&self, is_own: impl Fn(&str) -> bool) {
        self.running().iter().filter(|(id, _)| !is_own(id)).for_each(|(_, token)| token.cancel());
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Arc<CancellationToken>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that runs here.
pub(crate) struct Running {
    jobs: Arc<SiteJobs>,
    id: String,
    pub(crate) token: Arc<CancellationToken>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.jobs.running();
        if running.get(&self.id).is_some_and(|token| Arc::ptr_eq(token, &self.token)) {
            running.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::site_jobs;

    #[test]
    fn a_job_that_runs_once_more_ends_the_attempt_before_and_keeps_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = site_jobs(folder.path());
        let (first, other) = (jobs.run("a"), jobs.run("b"));
        let second = jobs.run("a");
        assert!(first.token.is_cancelled() && !second.token.is_cancelled());
        drop(first);
        jobs.end_unless(|id| id == "b");
        assert!(second.token.is_cancelled() && !other.token.is_cancelled());
    }
}
