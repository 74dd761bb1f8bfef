//! Recreating a container: the same specification, another image, and never without a way back.
//!
//! This is one verb of the host's and not a sequence of a plugin's, because only the host is still there when a plugin, a request or the host itself was not: what is done is written down before it is done ([`journal`]), and whoever comes
//! next finishes it or takes it back, by what the engine shows ([`undo`]). And a plugin that may recreate needs no right to create: the specification is the container's own ([`specification`]), and nothing of it comes from a plugin
//! but the image's name.
//!
//! [`prepare`] asks what must be known, [`course`] is the order of the steps, [`create`] makes the new container, [`verify`] says whether the new container is any good, [`locks`] keeps two from one container. One [`EngineRecreations`] for each engine, whichever
//! plugins and sites use it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::backend::clock::now_ms;
use crate::backend::engine::{ContainerId, Engine, EngineAddress};
use crate::backend::operations::{
    Operation, Operations, Pull, Recreating, Recreation, RecreationProgress, RecreationStep, Reserved, new_id,
};
use crate::backend::reference::ImageReference;

mod course;
mod create;
mod error;
mod journal;
mod locks;
mod own;
mod prepare;
mod raw;
mod record;
pub(crate) mod specification;
#[cfg(test)]
mod tests;
mod undo;
mod verify;

use course::{Asked, Course, Stop, Work, digest_of, failed_before};
pub(crate) use error::{FailureWord, RecreateError, RecreationFailure};
use journal::{Journal, JournalError, KnownFailure};
use locks::Locks;
use record::{Phase, Record};
use specification::Target;

/// How long an outcome is told after a restart of the host.
const TOLD_MS: u64 = 600_000;

/// Whether a plugin's grant covers a container of this name and these labels.
pub(crate) type Covers = dyn Fn(&str, &[(String, String)]) -> bool + Send + Sync;

/// A recreation that was asked for.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) container: ContainerId,
    /// The container's name.
    pub(crate) name: String,
    /// Its labels.
    pub(crate) labels: Vec<(String, String)>,
    /// What to recreate it on.
    pub(crate) image: ImageReference,
    /// The same as it will stand in the specification.
    pub(crate) spelling: String,
    pub(crate) options: RecreateOptions,
    /// Which other containers may be recreated too.
    pub(crate) covers: Arc<Covers>,
}

/// How to recreate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecreateOptions {
    /// Whether to pull the image first.
    pub(crate) pull: bool,
    /// How long the new container must run without a restart.
    pub(crate) settle: Duration,
    /// How long it may take to become healthy; none is what its own check allows, and half a minute.
    pub(crate) healthy: Option<Duration>,
    /// Also on an image that has failed for this container before, and on one that it runs already.
    pub(crate) again: bool,
}

/// How long things may take. Tests have less patience.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Between two looks at the engine.
    poll: Duration,
    /// How long an engine may be out of reach before what waits for it gives up.
    patience: Duration,
    /// How long a start may take. The old container is stopped meanwhile.
    start: Duration,
    /// What an engine takes after the grace of a stop.
    stop_margin: Duration,
    /// The longest grace that is waited for when nobody knows whether the engine is still about to stop something, and what is added to it.
    longest_stop: Duration,
    after_stop: Duration,
    /// How long a container may take to appear whose making nobody has heard the end of.
    appears: Duration,
    /// The first pause between two attempts, and the longest.
    pause: Duration,
    longest_pause: Duration,
    /// How often an engine may refuse before it is believed.
    refusals: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            poll: Duration::from_millis(250),
            patience: Duration::from_secs(60),
            start: Duration::from_secs(120),
            stop_margin: Duration::from_secs(60),
            longest_stop: Duration::from_secs(600),
            after_stop: Duration::from_secs(2),
            appears: Duration::from_secs(5),
            pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            refusals: 8,
        }
    }
}

impl Pace {
    fn pauses(&self) -> Pauses {
        Pauses { next: self.pause, longest: self.longest_pause }
    }
}

/// Pauses that grow.
struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = self.longest.min(self.next * 2);
        pause
    }
}

/// The recreations of one process.
pub(crate) struct Recreations {
    operations: Operations,
    /// Where the journals are; none before anything was configured.
    folder: Mutex<Option<PathBuf>>,
    engines: Mutex<HashMap<EngineAddress, Arc<EngineRecreations>>>,
}

impl Recreations {
    /// Those that are among `operations`.
    pub(crate) fn new(operations: Operations) -> Recreations {
        Recreations { operations, folder: Mutex::default(), engines: Mutex::default() }
    }

    /// Keeps journals in `folder` from now on.
    pub(crate) fn configure(&self, folder: PathBuf) {
        *lock(&self.folder) = Some(folder);
    }

    /// Those on `engine`.
    pub(crate) fn on(&self, engine: &Engine) -> Arc<EngineRecreations> {
        let mut engines = lock(&self.engines);
        let known = engines.entry(engine.address().clone()).or_insert_with(|| {
            let path = lock(&self.folder).as_ref().map(|folder| folder.join(file_name(engine.address())));
            Arc::new(EngineRecreations::new(engine.clone(), self.operations.clone(), path, Pace::default()))
        });
        Arc::clone(known)
    }

    /// Takes up what another run of the host has left on `engine`, if it has left anything. Before anything is served: what it locks is locked when this returns.
    pub(crate) async fn take_up(&self, engine: &Engine) {
        self.on(engine).take_up().await;
    }

    /// Why nothing can be recreated on an engine, by its address; none where it can.
    pub(crate) fn problem(&self, engine: &EngineAddress) -> Option<String> {
        lock(&self.engines).get(engine).and_then(|known| lock(&known.problem).clone())
    }

    /// Lets those that are under way come to a rest: the host is about to end.
    pub(crate) fn leave(&self) {
        for engine in lock(&self.engines).values() {
            engine.leaving.store(true, Ordering::Relaxed);
        }
    }
}

/// The recreations on one engine.
pub(crate) struct EngineRecreations {
    engine: Engine,
    operations: Operations,
    path: Option<PathBuf>,
    /// None as long as it was not opened. Held while it is.
    journal: tokio::sync::Mutex<Option<Arc<Journal>>>,
    /// Why the journal cannot be used.
    problem: Mutex<Option<String>>,
    locks: Arc<Locks>,
    /// What does not change of containers, by their ids.
    known: Mutex<HashMap<String, Value>>,
    leaving: AtomicBool,
    pace: Pace,
}

impl EngineRecreations {
    fn new(engine: Engine, operations: Operations, path: Option<PathBuf>, pace: Pace) -> EngineRecreations {
        EngineRecreations {
            engine,
            operations,
            path,
            journal: tokio::sync::Mutex::default(),
            problem: Mutex::default(),
            locks: Arc::default(),
            known: Mutex::default(),
            leaving: AtomicBool::new(false),
            pace,
        }
    }

    /// Whether the container of this name and id is being recreated, so that nobody else is to change it.
    pub(crate) fn holds(&self, name: &str, id: &str) -> bool {
        self.locks.holds(name) || self.locks.holds(id) || self.locks.is_aside(name)
    }

    /// Whether a container has this name only while another one is recreated.
    pub(crate) fn is_aside(&self, name: &str) -> bool {
        self.locks.is_aside(name)
    }

    /// Begins to recreate, for at most `limit`. `pull` pulls the image first.
    ///
    /// # Errors
    ///
    /// What keeps the container from being recreated, as far as it can be told before anything was begun.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        request: Request,
        pull: Option<Pull>,
        reserved: Reserved,
        limit: Duration,
    ) -> Result<Arc<Operation>, RecreateError> {
        let journal = self.journal().await.map_err(RecreateError::Refused)?;
        let id = new_id();
        let lock = self.locks.take(&id, &[&request.name, request.container.as_str()]).map_err(RecreateError::Refused)?;
        let prepared = self.prepare(&request).await?;
        let members: Vec<_> = prepared.members.iter().map(|member| member.member.clone()).collect();
        lock.extend(&members).map_err(RecreateError::Refused)?;
        if pull.is_none() && !request.options.again {
            self.refuse_known_failure(&journal, &request).await?;
        }
        let owner = reserved.owner().clone();
        let from = members.first().map(|member| raw::text(&member.inspected, "/Image").to_owned()).unwrap_or_default();
        let record = Record {
            id: id.clone(),
            site: owner.site,
            plugin: owner.plugin,
            began_ms: now_ms(),
            engine: prepared.engine,
            name: request.name.clone(),
            labels: request.labels.clone(),
            image: request.image.to_string(),
            from,
            to: String::new(),
            digest: None,
            settle_ms: u64::try_from(request.options.settle.as_millis()).unwrap_or(u64::MAX),
            healthy_ms: request.options.healthy.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            phase: Phase::Begun,
            members,
            lent: None,
            stopping_ms: None,
            stopped_ms: None,
            end: None,
        };
        let mut now: Recreating = record.progress();
        now.step = if pull.is_some() { RecreationStep::Pulling } else { RecreationStep::Creating };
        let progress = Arc::new(RecreationProgress::new(now));
        let container = record.container(self.engine.address());
        let (written, was_written) = oneshot::channel();
        let asked = Asked { request, pull, limit, written };
        let course =
            Course { home: Arc::clone(self), journal, record, progress: Arc::clone(&progress), lock, writing: None, stop_pending: false };
        let work = Box::new(move |operation| Box::pin(course.run(asked, operation)) as Work);
        let operation = reserved.recreate(Recreation { id, container, progress, work });
        match was_written.await {
            Ok(Ok(())) => Ok(operation),
            Ok(Err(reason)) => Err(RecreateError::Refused(reason)),
            Err(_panic) => Err(RecreateError::Refused("the host failed to begin it".to_owned())),
        }
    }

    /// What a recreation would change: a JSON array of changes.
    ///
    /// # Errors
    ///
    /// What keeps the container from being recreated; an image that the engine does not have.
    pub(crate) async fn preview(&self, request: &Request) -> Result<String, RecreateError> {
        let prepared = self.prepare(request).await?;
        let image = self.engine.image(&request.image.familiar()).await?;
        let Some(main) = prepared.members.first() else { return Ok("[]".to_owned()) };
        let replaced = std::collections::BTreeMap::new();
        let target = Target { reference: &request.spelling, image: &image };
        let changes = specification::preview(&prepared.subject(main, &replaced), &target);
        let changes = changes.map_err(|refusal| prepare::refused(true, &request.name, &refusal.to_string()))?;
        // Texts, which cannot fail.
        Ok(serde_json::to_string(&changes).unwrap_or_default())
    }

    /// Refuses at once what can be known to have failed before.
    async fn refuse_known_failure(&self, journal: &Arc<Journal>, request: &Request) -> Result<(), RecreateError> {
        // An image that is not there is told of when it is needed.
        let Ok(image) = self.engine.image(&request.image.familiar()).await else { return Ok(()) };
        let digest = digest_of(&image, &request.image);
        match self.known_failure(journal, &request.name, raw::text(&image, "/Id"), digest.as_deref()).await {
            Ok(None) => Ok(()),
            Ok(Some(failure)) => Err(RecreateError::Refused(failed_before(&failure))),
            Err(error) => Err(RecreateError::Refused(error.to_string())),
        }
    }

    async fn known_failure(
        &self,
        journal: &Arc<Journal>,
        container: &str,
        image: &str,
        digest: Option<&str>,
    ) -> Result<Option<KnownFailure>, JournalError> {
        let journal = Arc::clone(journal);
        let (container, image, digest) = (container.to_owned(), image.to_owned(), digest.map(str::to_owned));
        let asked = tokio::task::spawn_blocking(move || journal.failure(&container, &image, digest.as_deref()));
        asked.await.unwrap_or_else(|panic| Err(JournalError::Io(std::io::Error::other(panic))))
    }

    /// The journal, opened if it was not, with what another run of the host has left taken up.
    async fn journal(self: &Arc<Self>) -> Result<Arc<Journal>, String> {
        let mut opened = self.journal.lock().await;
        if let Some(journal) = &*opened {
            return Ok(Arc::clone(journal));
        }
        let path = self.path.clone().ok_or_else(|| "there is no data directory for a journal".to_owned())?;
        let found = tokio::task::spawn_blocking(move || Journal::open(&path)).await;
        let found = found.unwrap_or_else(|panic| Err(JournalError::Io(std::io::Error::other(panic))));
        let (journal, records) = match found {
            Ok((journal, records)) => (Arc::new(journal), records),
            Err(error) => {
                let reason = format!("nothing is recreated on this engine: {error}");
                tracing::error!(engine = %self.engine.address(), reason, "the journal of recreations cannot be used");
                *lock(&self.problem) = Some(reason.clone());
                return Err(reason);
            }
        };
        *lock(&self.problem) = None;
        for record in records {
            self.take_up_record(&journal, record);
        }
        *opened = Some(Arc::clone(&journal));
        Ok(journal)
    }

    async fn take_up(self: &Arc<Self>) {
        // One that is not there is made when it is needed.
        let there = match &self.path {
            Some(path) => tokio::fs::try_exists(path).await.unwrap_or(true),
            None => false,
        };
        if there {
            // What is wrong with it has been told.
            let _told = self.journal().await;
        }
    }

    fn take_up_record(self: &Arc<Self>, journal: &Arc<Journal>, record: Record) {
        let container = record.container(self.engine.address());
        let progress = record.progress();
        if let Some(end) = record.end.as_ref().filter(|_| record.phase == Phase::Ended) {
            if now_ms().saturating_sub(end.at_ms) < TOLD_MS {
                let times = (record.began_ms, end.at_ms);
                self.operations.remember(record.owner(), times, container, record.id.clone(), (end.how.outcome(), progress));
            }
            return;
        }
        let mut keys = vec![record.name.as_str()];
        keys.extend(record.members.iter().flat_map(|member| [member.name.as_str(), member.old.as_str()]));
        let lock = match self.locks.take(&record.id, &keys) {
            Ok(lock) => lock,
            Err(reason) => return tracing::error!(operation = record.id, reason, "two unfinished recreations are of one container"),
        };
        lock.set_aside(record.names_aside());
        tracing::warn!(operation = record.id, container = record.name, phase = ?record.phase, "taking up a recreation that another run of the host did not finish");
        let (owner, began_ms, id) = (record.owner(), record.began_ms, record.id.clone());
        let progress = Arc::new(RecreationProgress::new(progress));
        let course = Course {
            home: Arc::clone(self),
            journal: Arc::clone(journal),
            record,
            progress: Arc::clone(&progress),
            lock,
            writing: None,
            // A stop that was asked for goes on in the engine whoever asked for it.
            stop_pending: true,
        };
        let work = Box::new(move |operation| Box::pin(course.resume(operation)) as Work);
        self.operations.resume(owner, began_ms, Recreation { id, container, progress, work });
    }

    /// Waits until the engine that calls itself `id` answers.
    async fn wait_for(&self, id: &str) {
        let mut pauses = self.pace.pauses();
        let mut told = false;
        loop {
            let reason = match self.engine.info().await {
                Ok(info) if id.is_empty() || raw::text(&info, "/ID") == id => return,
                Ok(_) => "another engine answers at its address".to_owned(),
                Err(error) => error.to_string(),
            };
            if !told {
                tracing::warn!(engine = %self.engine.address(), reason, "an unfinished recreation waits for its engine");
                told = true;
            }
            sleep(pauses.next()).await;
        }
    }

    /// Why an operation was cancelled: by its owner, or because the host is about to end.
    fn why_cancelled(&self) -> Stop {
        if self.leaving.load(Ordering::Relaxed) { Stop::Leaving } else { Stop::Cancelled }
    }
}

/// What the journal of an engine is called: by where that listens.
fn file_name(engine: &EngineAddress) -> String {
    let sum = Sha256::digest(engine.to_string());
    let digits: String = sum.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{digits}.sqlite")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
