//! Work that changes something outside and is therefore finished whether or not anybody still waits for it.
//!
//! A guest disappears with its request: the client hangs up, the deadline passes, the plugin is swapped. Work that a room
//! has begun on the engine must not disappear halfway with it, so a room hands such work to [`PluginOperations::carry_through`], which
//! runs it in a task of the host. Shutdown waits for these tasks.
//!
//! Since such work outlives its request, the limit on requests does not bound it: clients that begin a pull and hang up would pile up tasks, connections and bodies for as long as the
//! engine is slow. So each plugin has permits for what it may have under way, and a permit belongs to the task and not to the one who waits. Nobody queues for one: whoever is
//! over the limit hears so at once, while it can still tell its client. A plugin that is loaded anew begins with all its permits, which only an operator brings about.
//!
//! **Operations with a record.** What takes so long that its progress is of interest has one, an [`Operation`] that belongs to a plugin of a site and not to the generation that began it. It can
//! be looked at, watched and cancelled by its id; what may be known of it to whom is decided in the rooms. What is known of it beside that is of its kind, see [`details`]: of [pulls](pull),
//! [builds](build), [downloads](download) and [recreations](recreation).

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::backend::blobs::BlobName;
use crate::backend::catalog::ArchiveError;
use crate::backend::engine::{BuildError, ContextError, EngineAddress, EngineError};
use crate::backend::recreate::RecreationFailure;
use crate::backend::reference::ImageReference;
use crate::backend::registry::RegistryError;

mod build;
mod details;
mod download;
mod pull;
mod record;
mod recreation;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use build::{Build, BuildProgress};
pub(crate) use details::Details;
use details::Progress;
pub(crate) use download::{Download, DownloadProgress, TemplateName};
use pull::SharedPulls;
pub(crate) use pull::{Layers, Pull};
pub(crate) use record::{Moment, Operation, Outcome, new_id};
use record::{Records, Unfinished};
pub(crate) use recreation::{Recreated, Recreating, Recreation, RecreationProgress, RecreationStep, Reserved};

/// The operations of one process. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(crate) struct Operations(Arc<Shared>);

struct Shared {
    tasks: TaskTracker,
    records: Records,
    pulls: SharedPulls,
    /// Held by whoever looks whether a download is under way, and begins one if it is not.
    beginning_download: Mutex<()>,
    observer: Arc<dyn OperationObserver>,
}

/// Whose operation it is: a plugin, whichever generation of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The site's name.
    pub(crate) site: String,
    /// The plugin's name on this site.
    pub(crate) plugin: String,
}

/// What is done, and to what.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// `pull`, `build`, `download` or `recreate`.
    pub(crate) kind: &'static str,
    pub(crate) object: Object,
}

/// What something is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    /// An image of an engine.
    Image { image: ImageReference, engine: EngineAddress },
    /// A template, whose archive becomes a blob of the plugin.
    Template { template: TemplateName, blob: BlobName },
    /// A container of an engine.
    Container(Recreated),
}

impl Subject {
    /// The image, and the engine that it concerns; none of what concerns no engine.
    pub(crate) fn image(&self) -> Option<(&ImageReference, &EngineAddress)> {
        match &self.object {
            Object::Image { image, engine } => Some((image, engine)),
            Object::Template { .. } | Object::Container(_) => None,
        }
    }

    /// The container, of what is done to one.
    pub(crate) fn container(&self) -> Option<&Recreated> {
        match &self.object {
            Object::Container(container) => Some(container),
            Object::Image { .. } | Object::Template { .. } => None,
        }
    }

    /// The engine that it concerns; none of what concerns no engine.
    pub(crate) fn engine(&self) -> Option<&EngineAddress> {
        match &self.object {
            Object::Image { engine, .. } => Some(engine),
            Object::Container(container) => Some(&container.engine),
            Object::Template { .. } => None,
        }
    }
}

/// The image's full reference, the template as `catalogue/name:version`, or the container's name.
impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Image { image, .. } => image.fmt(formatter),
            Object::Template { template, .. } => template.fmt(formatter),
            Object::Container(container) => formatter.write_str(&container.name),
        }
    }
}

/// Where operations with a record are counted.
pub(crate) trait OperationObserver: Send + Sync {
    /// One of `kind` began.
    fn began(&self, kind: &'static str);
    /// One of `kind` ended: `succeeded`, `failed` or `cancelled`.
    fn ended(&self, kind: &'static str, outcome: &'static str);
}

/// Counts nothing.
struct Uncounted;

impl OperationObserver for Uncounted {
    fn began(&self, _: &'static str) {}

    fn ended(&self, _: &'static str, _: &'static str) {}
}

/// The operations of one generation of a plugin.
#[derive(Clone)]
pub(crate) struct PluginOperations {
    all: Operations,
    owner: Owner,
    permits: Arc<Semaphore>,
    at_most: u64,
}

/// What an operation still has to do when its outcome is known.
pub(crate) type Rest = BoxFuture<'static, ()>;

/// Why an operation with a record did not do what it was to do.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum OperationFailure {
    /// The engine did not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The host has no usable credential.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An archive was not fetched, or not stored.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The host ended it.
    #[error(transparent)]
    Host(#[from] OperationError),
    /// A build failed at one of its instructions.
    #[error("step {step} of {steps}, `{instruction}`: {error}")]
    Step {
        /// Which, from 1.
        step: u32,
        /// How many there are.
        steps: u32,
        /// Its text.
        instruction: String,
        /// What the engine said.
        error: EngineError,
    },
    /// The files of a build are not what they were said to be.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A container was not recreated.
    #[error(transparent)]
    Recreation(#[from] RecreationFailure),
    /// What was asked for breaks a rule that could be held against it only now.
    #[error("{0}")]
    Invalid(String),
}

impl From<BuildError> for OperationFailure {
    fn from(error: BuildError) -> OperationFailure {
        match error {
            BuildError::Context(error) => OperationFailure::Context(error),
            BuildError::Engine(error) => OperationFailure::Engine(error),
        }
    }
}

/// Why the outcome of an operation is not known to the one who waits.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum OperationError {
    /// As many are under way as the plugin may have. This one was not begun.
    #[error("{at_most} operations are under way, as many as the limit `operations` allows")]
    TooMany {
        /// The limit.
        at_most: u64,
    },
    /// Something else is becoming the same blob. This one was not begun.
    #[error("`{under_way}` is being downloaded into the blob `{blob}`")]
    Taken {
        /// What is.
        under_way: String,
        /// The blob's name.
        blob: String,
    },
    /// The operation ran longer than its limit and was ended.
    #[error("the operation did not finish within {} s", limit.as_secs())]
    Deadline {
        /// The limit.
        limit: Duration,
    },
    /// The operation panicked: a mistake in the host.
    #[error("the operation failed inside the host")]
    Panicked,
}

impl Default for Operations {
    fn default() -> Operations {
        Operations::new(Arc::new(Uncounted))
    }
}

impl Operations {
    /// None so far; `observer` hears of those with a record.
    pub(crate) fn new(observer: Arc<dyn OperationObserver>) -> Operations {
        let (records, pulls) = (Records::default(), SharedPulls::default());
        Operations(Arc::new(Shared { tasks: TaskTracker::new(), records, pulls, beginning_download: Mutex::default(), observer }))
    }

    /// Those of a plugin that may have `at_most` under way at the same time.
    pub(crate) fn of_plugin(&self, owner: Owner, at_most: u64) -> PluginOperations {
        let permits = usize::try_from(at_most).map_or(Semaphore::MAX_PERMITS, |permits| permits.min(Semaphore::MAX_PERMITS));
        PluginOperations { all: self.clone(), owner, permits: Arc::new(Semaphore::new(permits)), at_most }
    }

    /// Those of a plugin that may have none.
    pub(crate) fn nobodys() -> PluginOperations {
        Operations::default().of_plugin(Owner { site: String::new(), plugin: String::new() }, 0)
    }

    /// How many operations are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.0.tasks.len()
    }

    /// Waits until no operation is under way. New ones may still begin.
    pub(crate) async fn finished(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.tasks.reopen();
    }

    /// Those with a record, the newest first.
    pub(crate) fn recorded(&self) -> Vec<Arc<Operation>> {
        self.0.records.all()
    }

    /// Cancels those with a record that are under way.
    pub(crate) fn cancel_all(&self) {
        for operation in self.recorded() {
            operation.cancel();
        }
    }
}

impl PluginOperations {
    /// Those of all plugins that have a record, the newest first.
    pub(crate) fn recorded(&self) -> Vec<Arc<Operation>> {
        self.all.recorded()
    }

    /// The operation `id`, of whichever plugin; none if there is no record of it.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Operation>> {
        self.all.0.records.find(id)
    }

    /// Whether this plugin began it.
    pub(crate) fn owns(&self, operation: &Operation) -> bool {
        operation.owner == self.owner
    }

    /// Begins `work` and keeps a record of it, which at first is as far as `progress`. `undo` is for whatever is no success; it has the permit until its end.
    fn begin<W>(
        &self,
        subject: Subject,
        progress: Progress,
        limit: Duration,
        undo: Option<Rest>,
        work: impl FnOnce(Arc<Operation>) -> W,
    ) -> Result<Arc<Operation>, OperationError>
    where
        W: Future<Output = Result<(), OperationFailure>> + Send + 'static,
    {
        let permit = self.permit()?;
        let (of_record, of_task) = if undo.is_none() { (Some(permit), None) } else { (None, Some(permit)) };
        let Shared { tasks, records, observer, .. } = &*self.all.0;
        let operation = Arc::new(Operation::new(new_id(), subject, self.owner.clone(), progress, of_record, Arc::clone(observer)));
        records.add(Arc::clone(&operation));
        let work = work(Arc::clone(&operation));
        let unfinished = Unfinished(Arc::clone(&operation));
        let task = async move {
            let outcome = tokio::select! {
                biased;
                () = unfinished.0.cancelled() => Outcome::Cancelled,
                done = tokio::time::timeout(limit, work) => match done {
                    Ok(Ok(())) => Outcome::Succeeded,
                    Ok(Err(failure)) => Outcome::Failed(failure),
                    Err(_elapsed) => Outcome::Failed(OperationError::Deadline { limit }.into()),
                },
            };
            match undo {
                None => {
                    unfinished.0.end(outcome);
                }
                Some(undo) => end_or_undo(&unfinished.0, outcome, undo, of_task).await,
            }
        };
        tasks.spawn(task.in_current_span());
        Ok(operation)
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, OperationError> {
        let permits = Arc::clone(&self.permits);
        permits.try_acquire_owned().map_err(|_none_left| OperationError::TooMany { at_most: self.at_most })
    }

    /// Runs `work` to its end, at most for `limit`, even if the future that this answers is dropped.
    pub(crate) async fn carry_through<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, OperationError> {
        let timed = async move { (tokio::time::timeout(limit, work).await, None) };
        self.carry_through_with_rest(timed).await?.map_err(|_elapsed| OperationError::Deadline { limit })
    }

    /// As [`Self::carry_through`], for work that has limits of its own, and that may know its outcome before it has done all that it must.
    pub(crate) async fn carry_through_with_rest<T: Send + 'static>(
        &self,
        work: impl Future<Output = (T, Option<Rest>)> + Send + 'static,
    ) -> Result<T, OperationError> {
        let permit = self.permit()?;
        let (answer, outcome) = oneshot::channel();
        let task = async move {
            let (outcome, rest) = work.await;
            // Whoever hears the outcome of the last operation may begin another, so the permit is back before that.
            let permit = rest.is_some().then_some(permit);
            let _nobody_waits = answer.send(outcome);
            if let Some(rest) = rest {
                rest.await;
            }
            drop(permit);
        };
        self.all.0.tasks.spawn(task.in_current_span());
        outcome.await.map_err(|_panic| OperationError::Panicked)
    }
}

/// Ends `operation` with `outcome`, and undoes what was done unless it is a success.
async fn end_or_undo(operation: &Operation, outcome: Outcome, mut undo: Rest, permit: Option<OwnedSemaphorePermit>) {
    if matches!(outcome, Outcome::Succeeded) {
        drop(permit);
        // It may have been cancelled in the moment of its success, and then there must be nothing of it.
        if !operation.end(outcome) {
            undo.await;
        }
        return;
    }
    // Whoever hears of a failure finds nothing left, unless that takes too long.
    if tokio::time::timeout(build::TOLD_AFTER, &mut undo).await.is_ok() {
        drop(permit);
        operation.end(outcome);
        return;
    }
    operation.end(outcome);
    undo.await;
    drop(permit);
}
