//! The task of one site: look what is due, begin it, sleep until something is.
//!
//! A look ([`Runner::look`]) asks the queue a few short questions and begins what there is room for; it never waits for a job. When the database does not answer, the next look is [`RETRY`] later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::super::generation::Generation;
use super::attempt::{Begun, Means};
use super::{MESSAGES, POLL, Workers};
use crate::backend::clock::now_ms;
use crate::backend::jobs::{BEAT, Fired, JobObserver, JobsError, NextDue, Purpose, Room, Schedule, SiteJobs, State, Store, Watch};
use crate::backend::registry::Registries;

/// The longest sleep: the system's clock, by which things are due, may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How long a database is left alone that did not answer.
const RETRY: Duration = Duration::from_secs(5);

/// How often jobs that ended long ago are looked for.
const PRUNE: Duration = Duration::from_secs(600);

/// How often jobs are counted for the metrics, while anything changes.
const COUNT: Duration = Duration::from_secs(5);

/// Which of a plugin's jobs have room together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    /// Those that the plugin carries out.
    Handler,
    /// Those that the host sends.
    Messages,
}

impl Lane {
    fn purposes(self) -> &'static [Purpose] {
        match self {
            Lane::Handler => &[Purpose::Job, Purpose::Turn],
            Lane::Messages => &[Purpose::Webhook],
        }
    }

    /// How many of `generation` may run at the same time.
    fn room(self, generation: &Generation) -> usize {
        match self {
            Lane::Handler if generation.exports.jobs.is_none() => 0,
            Lane::Handler => usize::try_from(generation.settings.limits.jobs).unwrap_or(usize::MAX),
            Lane::Messages => MESSAGES,
        }
    }
}

/// The background of one site.
pub(super) struct Runner {
    means: Means,
    workers: Arc<ArcSwap<Workers>>,
    stop: watch::Receiver<Option<Instant>>,
    running: JoinSet<()>,
    begun: HashMap<Id, (Begun, Lane)>,
    /// The queue that was looked at last, and what is known of it.
    known: Option<Known>,
    /// Whether the last look failed, so that it is said once.
    is_failing: bool,
}

/// What is known of a queue.
struct Known {
    store: Arc<Store>,
    /// The schedules that were put into force, by plugin and name.
    schedules: HashMap<(String, String), Schedule>,
    watch: Watch,
    /// When it was last shown that this host lives, jobs were removed and counted.
    beat: Option<Instant>,
    pruned: Option<Instant>,
    counted: Option<Instant>,
    /// Whether anything may have changed since they were counted.
    is_stale: bool,
    /// Which series of the metrics were set, so that they can become zero.
    counts: HashMap<(String, &'static str), State>,
}

/// When to look again.
struct Wake(Instant);

impl Wake {
    fn no_later_than(&mut self, moment: Instant) {
        self.0 = self.0.min(moment);
    }

    /// No later than the wall clock shows `due_ms`.
    fn when_due(&mut self, due_ms: u64, now_ms: u64) {
        let wait = Duration::from_millis(due_ms.saturating_sub(now_ms)).min(LONGEST_SLEEP);
        self.no_later_than(Instant::now() + wait);
    }
}

impl Runner {
    pub(super) fn new(
        jobs: Arc<SiteJobs>,
        workers: Arc<ArcSwap<Workers>>,
        registries: Registries,
        observer: Arc<dyn JobObserver>,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Runner {
        let means = Means { jobs, registries, observer };
        Runner { means, workers, stop, running: JoinSet::new(), begun: HashMap::new(), known: None, is_failing: false }
    }

    /// Runs until the host stops, and until what it has begun is over or back in the queue.
    pub(super) async fn run(mut self) {
        let jobs = Arc::clone(&self.means.jobs);
        let mut stop = self.stop.clone();
        while stop.borrow().is_none() {
            let wake = match self.look().await {
                Ok(wake) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!(site = jobs.site, "the queue of jobs can be used again");
                    }
                    wake
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::error!(site = jobs.site, %error, "the queue of jobs cannot be used; looking again every {} s", RETRY.as_secs());
                    }
                    Wake(Instant::now() + RETRY)
                }
            };
            tokio::select! {
                changed = stop.changed() => if changed.is_err() { break },
                () = jobs.changed.notified(), if !self.is_failing => {}
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                () = tokio::time::sleep_until(wake.0) => {}
            }
        }
        let until = stop.borrow().unwrap_or_else(Instant::now);
        self.end(until).await;
    }

    /// Waits for what runs, and gives back what has not ended then.
    async fn end(mut self, until: Instant) {
        while let Ok(Some(ended)) = tokio::time::timeout_at(until, self.running.join_next_with_id()).await {
            self.ended(ended);
        }
        if !self.begun.is_empty() {
            tracing::warn!(site = self.means.jobs.site, jobs = self.begun.len(), "giving jobs back to the queue that are still running");
        }
        self.running.shutdown().await;
        for (Begun { job, store }, _) in self.begun.values() {
            self.means.observer.ended(&self.means.jobs.site, &job.plugin, job.purpose, "interrupted");
            if let Err(error) = store.release(job, now_ms()).await {
                tracing::warn!(site = self.means.jobs.site, job = job.id, %error, "cannot give a job back to the queue; it is run again after a start");
            }
        }
        if let Some(known) = self.known.filter(|_| self.means.jobs.is_shared()) {
            // The others find out by themselves.
            let _ = known.store.leave().await;
        }
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let begun = self.begun.remove(&id);
        if let (Err(error), Some((Begun { job, .. }, _))) = (ended, begun) {
            tracing::error!(site = self.means.jobs.site, job = job.id, %error, "a job failed inside the host");
        }
        if let Some(known) = &mut self.known {
            known.is_stale = true;
        }
    }

    /// Looks at the queue once, and begins what is due.
    async fn look(&mut self) -> Result<Wake, JobsError> {
        let mut wake = Wake(Instant::now() + LONGEST_SLEEP);
        let workers = self.workers.load_full();
        if workers.is_empty() && self.begun.is_empty() {
            return Ok(wake);
        }
        let store = self.means.jobs.store().await?;
        let mut known = self.known.take().filter(|known| Arc::ptr_eq(&known.store, &store)).unwrap_or_else(|| Known::new(store));
        let looked = self.look_at(&mut known, &workers, &mut wake).await;
        self.known = Some(known);
        looked.map(|()| wake)
    }

    async fn look_at(&mut self, known: &mut Known, workers: &Workers, wake: &mut Wake) -> Result<(), JobsError> {
        if self.means.jobs.is_shared() {
            self.show_life(known).await?;
            wake.no_later_than(Instant::now() + POLL);
        }
        self.turns(known, workers, wake).await?;
        let next = known.store.next_due().await?;
        for generation in workers {
            for lane in [Lane::Handler, Lane::Messages] {
                self.begin(known, generation, lane, &next, wake).await?;
            }
        }
        self.tidy(known, wake).await
    }

    /// Shows other hosts that this one lives, takes over what hosts have begun that are gone, and ends what was cancelled elsewhere.
    async fn show_life(&self, known: &mut Known) -> Result<(), JobsError> {
        let now = Instant::now();
        if known.beat.is_some_and(|beat| now.duration_since(beat) < BEAT) {
            return Ok(());
        }
        let (jobs, store) = (&self.means.jobs, &known.store);
        let beats = store.beat().await?;
        known.beat = Some(now);
        for (holder, beat) in known.watch.look(beats, jobs.holder(), now.into_std()) {
            if store.take_over(&holder, beat, now_ms()).await? {
                tracing::warn!(site = jobs.site, host = holder, "took over the jobs of a host that is gone");
            }
        }
        Ok(())
    }

    /// Ends what runs here and is not this host's any more.
    async fn end_what_is_lost(&self, known: &Known) -> Result<(), JobsError> {
        if self.begun.is_empty() {
            return Ok(());
        }
        let own = known.store.own().await?;
        // What was taken from another database ends in that one.
        let is_elsewhere = |id: &str| self.begun.values().any(|(begun, _)| begun.job.id == id && !Arc::ptr_eq(&begun.store, &known.store));
        self.means.jobs.end_unless(|id| own.iter().any(|own| own == id) || is_elsewhere(id));
        Ok(())
    }

    /// Makes the turns that are due.
    async fn turns(&self, known: &mut Known, workers: &Workers, wake: &mut Wake) -> Result<(), JobsError> {
        let site = &self.means.jobs.site;
        for generation in workers {
            let plugin = &generation.settings.name.value;
            for schedule in &generation.schedules {
                let key = (plugin.clone(), schedule.name.clone());
                if known.schedules.get(&key) == Some(schedule) {
                    continue;
                }
                let is_new = !known.schedules.contains_key(&key);
                known.store.set_schedule(plugin, schedule, is_new, now_ms(), fastrand::f64()).await?;
                known.schedules.insert(key, schedule.clone());
            }
        }
        let schedules = workers.iter().flat_map(|generation| {
            let plugin = generation.settings.name.value.as_str();
            generation.schedules.iter().filter_map(move |schedule| Some((plugin, schedule.name.as_str(), schedule.timing.as_ref()?)))
        });
        let schedules: Vec<_> = schedules.collect();
        if schedules.is_empty() {
            return Ok(());
        }
        let rows = known.store.schedules().await?;
        for (plugin, name, timing) in schedules {
            let row = rows.iter().find(|row| row.plugin == plugin && row.name == name);
            let Some(next_ms) = row.and_then(|row| row.next_ms) else { continue };
            let now = now_ms();
            if next_ms > now {
                wake.when_due(next_ms, now);
                continue;
            }
            // When the one after is due is seen at the next look.
            wake.no_later_than(Instant::now());
            match known.store.fire(plugin, name, timing, now, fastrand::f64()).await? {
                Fired::Begun { missed: 0 } | Fired::Gone => {}
                Fired::Begun { missed } => {
                    tracing::warn!(site, plugin, schedule = name, missed, "turns of a schedule were left out; one is made now");
                    self.means.observer.missed(site, plugin, missed);
                }
                Fired::LeftOut { turns } => {
                    tracing::warn!(site, plugin, schedule = name, turns, "left out a turn of a schedule: the one before has not ended");
                    self.means.observer.missed(site, plugin, turns);
                }
            }
        }
        Ok(())
    }

    /// Begins the jobs of one plugin that are due, as many as there is room for.
    async fn begin(
        &mut self,
        known: &mut Known,
        generation: &Arc<Generation>,
        lane: Lane,
        next: &[NextDue],
        wake: &mut Wake,
    ) -> Result<(), JobsError> {
        let plugin = &generation.settings.name.value;
        let running = self.begun.values().filter(|(begun, of)| begun.job.plugin == *plugin && *of == lane).count();
        let count = lane.room(generation).saturating_sub(running);
        let due =
            next.iter().filter(|next| next.plugin == *plugin && lane.purposes().contains(&next.purpose)).map(|next| next.due_ms).min();
        // The end of one that runs is told, and makes room.
        let (Some(due_ms), 1..) = (due, count) else { return Ok(()) };
        let now = now_ms();
        if due_ms > now {
            wake.when_due(due_ms, now);
            return Ok(());
        }
        if lane == Lane::Handler
            && let Err(pause) = generation.circuit.pass(std::time::Instant::now())
        {
            wake.no_later_than(Instant::now() + pause);
            return Ok(());
        }
        let claimed = known.store.claim(Room { plugin, purposes: lane.purposes(), count }, now).await?;
        known.is_stale |= !claimed.is_empty();
        // The first that is due later, unless there was no room for more: then the end of one is waited for.
        if claimed.len() < count {
            wake.no_later_than(Instant::now() + if claimed.is_empty() { POLL } else { Duration::ZERO });
        }
        for (job, content) in claimed {
            let begun = Begun { job, store: Arc::clone(&known.store) };
            let attempt = self.means.clone().carry_out(begun.clone(), content, Arc::clone(generation));
            let task = self.running.spawn(attempt);
            self.begun.insert(task.id(), (begun, lane));
        }
        Ok(())
    }

    /// Removes what ended long ago, and counts what there is.
    async fn tidy(&self, known: &mut Known, wake: &mut Wake) -> Result<(), JobsError> {
        let now = Instant::now();
        if known.pruned.is_none_or(|pruned| now.duration_since(pruned) >= PRUNE) {
            let is_more = known.store.prune(now_ms()).await?;
            known.pruned = Some(now).filter(|_| !is_more);
            if is_more {
                wake.no_later_than(now + POLL);
            }
        }
        let is_due = known.counted.is_none_or(|counted| now.duration_since(counted) >= COUNT);
        if is_due && (known.is_stale || known.counted.is_none()) {
            self.end_what_is_lost(known).await?;
            self.count(known).await?;
            known.counted = Some(now);
            known.is_stale = !self.begun.is_empty();
        }
        if known.is_stale {
            wake.no_later_than(known.counted.unwrap_or(now) + COUNT);
        }
        Ok(())
    }

    async fn count(&self, known: &mut Known) -> Result<(), JobsError> {
        let counts = known.store.counts().await?;
        let site = &self.means.jobs.site;
        let before = std::mem::take(&mut known.counts);
        for (plugin, state, count) in counts {
            self.means.observer.counted(site, &plugin, state, count);
            known.counts.insert((plugin, state.word()), state);
        }
        for ((plugin, _), state) in before.iter().filter(|(key, _)| !known.counts.contains_key(*key)) {
            self.means.observer.counted(site, plugin, *state, 0);
        }
        Ok(())
    }
}

impl Known {
    fn new(store: Arc<Store>) -> Known {
        Known {
            store,
            schedules: HashMap::new(),
            watch: Watch::default(),
            beat: None,
            pruned: None,
            counted: None,
            is_stale: true,
            counts: HashMap::new(),
        }
    }
}
