//! What runs beside requests: takes due jobs from the queue of each site and has its plugins carry them out, makes the turns of their schedules, and sends messages to webhooks.
//!
//! A site has one task ([`Runner`]) once a plugin of it has jobs, schedules or webhooks. It sleeps until something is due, is told when something may be due sooner, and where other hosts share the database looks
//! each [`POLL`]. Each job is a task below it, so that a guest which computes holds nobody up; how many there are is bounded for each plugin, by `jobs` of its limits and by [`MESSAGES`].
//!
//! A job is called in an instance of its own, of the generation that is in force when it is begun, and ends on that one. When the host stops, what runs has the grace of requests and then goes back to the queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::generation::SharedGeneration;
use crate::backend::jobs::{JobObserver, Queues, SiteJobs};
use crate::backend::registry::Registries;
use crate::capability::jobs::JobsGrant;
use runner::Runner;

mod attempt;
mod runner;

/// How often a queue is looked at that other hosts may put something into.
const POLL: Duration = Duration::from_secs(1);

/// Messages of one plugin that are on their way at the same time: a receiver that hangs holds up those of one plugin.
const MESSAGES: usize = 4;

/// The background of all sites.
pub(crate) struct Background {
    registries: Registries,
    observer: Arc<dyn JobObserver>,
    sites: Mutex<HashMap<String, Site>>,
    tasks: TaskTracker,
    /// Until when what runs may go on, once nothing more is to be begun.
    stop: watch::Sender<Option<Instant>>,
}

/// One site's.
struct Site {
    jobs: Arc<SiteJobs>,
    workers: Arc<ArcSwap<Workers>>,
}

/// The plugins of a site that have something to carry out or to send.
pub(super) type Workers = Vec<SharedGeneration>;

impl Background {
    /// Of no site yet.
    pub(crate) fn new(registries: Registries, observer: Arc<dyn JobObserver>) -> Background {
        Background { registries, observer, sites: Mutex::default(), tasks: TaskTracker::new(), stop: watch::Sender::default() }
    }

    /// Puts into force which plugins the sites have. What is begun from now on is begun by these; must be called in an async runtime.
    pub(crate) fn publish<'a>(&self, queues: &Queues, sites: impl Iterator<Item = (&'a str, Workers)>) {
        let mut published: HashMap<&str, Workers> = sites.collect();
        published.values_mut().for_each(|workers| workers.retain(has_work));
        let mut known = self.sites();
        for (name, site) in known.iter() {
            site.workers.store(Arc::new(published.remove(name.as_str()).unwrap_or_default()));
            site.jobs.changed.notify_one();
        }
        for (name, workers) in published.into_iter().filter(|(_, workers)| !workers.is_empty()) {
            let jobs = queues.site(name);
            let workers = Arc::new(ArcSwap::from_pointee(workers));
            let site = Site { jobs: Arc::clone(&jobs), workers: Arc::clone(&workers) };
            known.insert(name.to_owned(), site);
            let runner = Runner::new(jobs, workers, self.registries.clone(), Arc::clone(&self.observer), self.stop.subscribe());
            self.tasks.spawn(runner.run());
        }
    }

    /// The queues of the sites that have one in use, by name.
    pub(crate) fn queues(&self) -> Vec<Arc<SiteJobs>> {
        let mut queues: Vec<Arc<SiteJobs>> = self.sites().values().map(|site| Arc::clone(&site.jobs)).collect();
        queues.sort_by(|one, other| one.site.cmp(&other.site));
        queues
    }

    /// Begins nothing more, gives what runs `grace` to end, and gives the rest back to the queue.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.tasks.close();
        self.stop.send_replace(Some(Instant::now() + grace));
        self.tasks.wait().await;
    }

    fn sites(&self) -> MutexGuard<'_, HashMap<String, Site>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the host has anything to do for the plugin beside its requests.
fn has_work(generation: &SharedGeneration) -> bool {
    generation.exports.jobs.is_some() || generation.settings.grants.jobs.as_ref().is_some_and(JobsGrant::has_webhooks)
}
