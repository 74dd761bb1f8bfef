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
//! **Operations with a record.** What takes so long that its progress is of interest has one, an [`Operation`] that belongs to a plugin of a site and not to the generation that began it: a pull, so far. It can
//! be looked at, watched and cancelled by its id; what may be known of it to whom is decided in the rooms. Pulls of one image in one name on one engine are one pull there, see [`pulls`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::backend::engine::{EngineAddress, EngineError, RegistryAuth};
use crate::backend::reference::ImageReference;
use crate::backend::registry::RegistryError;

mod progress;
mod pulls;
mod record;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use progress::Progress;
use pulls::{Key, SharedPulls};
pub(crate) use record::{Moment, Operation, Outcome};
use record::{Records, Unfinished};

/// The operations of one process. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(crate) struct Operations(Arc<Shared>);

struct Shared {
    tasks: TaskTracker,
    records: Records,
    pulls: SharedPulls,
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

/// What is done, to what, and where.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// `pull`.
    pub(crate) kind: &'static str,
    pub(crate) image: ImageReference,
    pub(crate) engine: EngineAddress,
}

/// Pulls in somebody's name and reports its progress.
pub(crate) type PullWork = dyn FnOnce(Option<RegistryAuth>, Arc<Progress>) -> BoxFuture<'static, Result<(), EngineError>> + Send;

/// A pull that is to begin.
pub(crate) struct Pull {
    pub(crate) engine: EngineAddress,
    pub(crate) image: ImageReference,
    /// Finds out in whose name the registry is asked.
    pub(crate) auth: BoxFuture<'static, Result<Option<RegistryAuth>, RegistryError>>,
    /// Does it, in this name. Not called where somebody else pulls the same already.
    pub(crate) work: Box<PullWork>,
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
    /// The host ended it.
    #[error(transparent)]
    Host(#[from] OperationError),
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
        Operations(Arc::new(Shared { tasks: TaskTracker::new(), records: Records::default(), pulls: SharedPulls::default(), observer }))
    }

    /// Those of a plugin that may have `at_most` under way at the same time.
    pub(crate) fn of_plugin(&self, owner: Owner, at_most: u64) -> PluginOperations {
        let permits = usize::try_from(at_most).map_or(Semaphore::MAX_PERMITS, |permits| permits.min(Semaphore::MAX_PERMITS));
        PluginOperations { all: self.clone(), owner, permits: Arc::new(Semaphore::new(permits)), at_most }
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

    /// Begins to pull, for at most `limit`, or waits for the same pull of another. It goes on whether or not anybody looks at what this answers.
    ///
    /// # Errors
    ///
    /// [`OperationError::TooMany`]. Everything else is the operation's outcome.
    pub(crate) fn pull(&self, pull: Pull, limit: Duration) -> Result<Arc<Operation>, OperationError> {
        let subject = Subject { kind: "pull", image: pull.image.clone(), engine: pull.engine.clone() };
        let pulls = self.all.0.pulls.clone();
        self.begin(subject, limit, |operation| async move {
            let auth = pull.auth.await?;
            let key = Key { engine: pull.engine, image: pull.image.decisive(), auth: auth.clone() };
            let joined = pulls.join(key, |progress| (pull.work)(auth, progress));
            if !joined.began {
                tracing::info!(operation = operation.id, "waits for the same pull of another");
            }
            let (mut work, mut changes) = (joined.work, joined.progress.changes());
            operation.follow(joined.progress);
            loop {
                tokio::select! {
                    outcome = &mut work => return Ok(outcome?),
                    Ok(()) = changes.changed() => operation.touch(),
                }
            }
        })
    }

    /// Begins `work` and keeps a record of it.
    fn begin<W>(&self, subject: Subject, limit: Duration, work: impl FnOnce(Arc<Operation>) -> W) -> Result<Arc<Operation>, OperationError>
    where
        W: Future<Output = Result<(), OperationFailure>> + Send + 'static,
    {
        let permit = self.permit()?;
        let Shared { tasks, records, observer, .. } = &*self.all.0;
        let operation = Arc::new(Operation::new(subject, self.owner.clone(), permit, Arc::clone(observer)));
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
            unfinished.0.end(outcome);
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
