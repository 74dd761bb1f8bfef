//! Recreations: a container in the place of another one, see `backend/recreate`.
//!
//! A recreation that is cancelled is not over: what it did is taken back first, and then it has ended. So it is the work that ends it, which hears of the cancelling and of its deadline and is never dropped
//! before it has come to a rest. One that a host did not finish is taken up by the next under its own id, see [`Operations::resume`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::pull::Layers;
use super::record::{Records, Unfinished};
use super::{Object, Operation, OperationError, Operations, Outcome, Owner, PluginOperations, Progress, Shared, Subject};
use crate::backend::engine::EngineAddress;

/// A container that is recreated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recreated {
    /// Its name, before and after.
    pub(crate) name: String,
    /// Its labels when it began.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) engine: EngineAddress,
}

/// A recreation that is to begin.
pub(crate) struct Recreation {
    /// See [`new_id`](super::new_id).
    pub(crate) id: String,
    pub(crate) container: Recreated,
    pub(crate) progress: Arc<RecreationProgress>,
    /// Does it, and takes it back where it fails. Called with the operation, by which it hears that it is cancelled.
    pub(crate) work: Box<dyn FnOnce(Arc<Operation>) -> BoxFuture<'static, Outcome> + Send>,
}

/// At which step a recreation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecreationStep {
    Pulling,
    Creating,
    Stopping,
    Starting,
    Verifying,
    Removing,
    Undoing,
}

impl RecreationStep {
    /// The contract's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            RecreationStep::Pulling => "pulling",
            RecreationStep::Creating => "creating",
            RecreationStep::Stopping => "stopping",
            RecreationStep::Starting => "starting",
            RecreationStep::Verifying => "verifying",
            RecreationStep::Removing => "removing",
            RecreationStep::Undoing => "undoing",
        }
    }

    /// How much is done when it begins, if nothing more is known of it; none of one that leads back.
    fn percent(self) -> Option<u8> {
        match self {
            RecreationStep::Pulling => Some(0),
            RecreationStep::Creating => Some(PULLED_PERCENT),
            RecreationStep::Stopping => Some(70),
            RecreationStep::Starting => Some(80),
            RecreationStep::Verifying => Some(85),
            RecreationStep::Removing => Some(95),
            RecreationStep::Undoing => None,
        }
    }
}

/// What a pull is of a whole recreation.
const PULLED_PERCENT: u8 = 60;

/// What is known of a recreation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recreating {
    pub(crate) step: RecreationStep,
    /// How far its pull is, or was; none if nothing is pulled.
    pub(crate) pull: Option<Layers>,
    /// The id of the old container.
    pub(crate) container: String,
    /// The id of the new one; none unless it stays.
    pub(crate) replacement: Option<String>,
    /// The reference of the new image.
    pub(crate) image: String,
    /// The id of the old image.
    pub(crate) from: String,
    /// The id of the new image; none as long as it is not known.
    pub(crate) to: Option<String>,
    /// The digest that the registry has for the new image.
    pub(crate) digest: Option<String>,
    /// Whether there was anything to do.
    pub(crate) changed: bool,
    /// The names of the dependents that were recreated too.
    pub(crate) also: Vec<String>,
    /// How long nothing ran under the name, in milliseconds; none if something did all the time.
    pub(crate) stopped_ms: Option<u64>,
    pub(crate) rolled_back: bool,
    percent: Option<u8>,
}

impl Recreating {
    /// One that has only begun, on a container with the id `container` and the image `from`.
    pub(crate) fn new(container: String, image: String, from: String) -> Recreating {
        Recreating {
            step: RecreationStep::Creating,
            pull: None,
            container,
            replacement: None,
            image,
            from,
            to: None,
            digest: None,
            changed: false,
            also: Vec::new(),
            stopped_ms: None,
            rolled_back: false,
            percent: None,
        }
    }

    /// How much is done, up to 99.
    pub(super) fn percent(&self) -> Option<u8> {
        self.percent
    }

    fn advance(&mut self) {
        let of_pull = || self.pull.as_ref().and_then(|pull| pull.percent).map(|percent| percent / 10 * (PULLED_PERCENT / 10));
        let now = match self.step {
            RecreationStep::Pulling => of_pull(),
            step => step.percent(),
        };
        self.percent = self.percent.max(now);
    }
}

/// How far a recreation is. Written by its work.
#[derive(Debug)]
pub(crate) struct RecreationProgress {
    now: Mutex<Recreating>,
    changed: watch::Sender<()>,
}

impl RecreationProgress {
    /// As far as `now`.
    pub(crate) fn new(now: Recreating) -> RecreationProgress {
        RecreationProgress { now: Mutex::new(now), changed: watch::Sender::new(()) }
    }

    /// Changes what is known of it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Recreating)) {
        {
            let mut now = self.lock();
            change(&mut now);
            now.advance();
        }
        self.changed.send_replace(());
    }

    /// How far it is now.
    pub(crate) fn now(&self) -> Recreating {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Recreating> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to begin one operation.
pub(crate) struct Reserved {
    all: Operations,
    owner: Owner,
    permit: OwnedSemaphorePermit,
}

impl Reserved {
    /// Whose operation it will be.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Begins to recreate. It goes on whether or not anybody looks at what this answers.
    pub(crate) fn recreate(self, recreation: Recreation) -> Arc<Operation> {
        self.all.carry_out(self.owner, recreation, Some(self.permit), None)
    }
}

impl PluginOperations {
    /// The right to begin one operation more.
    ///
    /// # Errors
    ///
    /// [`OperationError::TooMany`].
    pub(crate) fn reserve(&self) -> Result<Reserved, OperationError> {
        Ok(Reserved { all: self.all.clone(), owner: self.owner.clone(), permit: self.permit()? })
    }
}

impl Operations {
    /// Takes up a recreation that another run of the host began at `began_ms` for `owner`.
    pub(crate) fn resume(&self, owner: Owner, began_ms: u64, recreation: Recreation) -> Arc<Operation> {
        self.carry_out(owner, recreation, None, Some(began_ms))
    }

    /// Remembers a recreation that another run of the host has ended. It is not counted.
    pub(crate) fn remember(
        &self,
        owner: Owner,
        (began_ms, ended_ms): (u64, u64),
        container: Recreated,
        id: String,
        end: (Outcome, Recreating),
    ) {
        let subject = Subject { kind: "recreate", object: Object::Container(container) };
        let operation = Operation::ended_before(id, subject, owner, (began_ms, ended_ms), end);
        self.0.records.add(Arc::new(operation));
    }

    fn carry_out(
        &self,
        owner: Owner,
        recreation: Recreation,
        permit: Option<OwnedSemaphorePermit>,
        began_ms: Option<u64>,
    ) -> Arc<Operation> {
        let Recreation { id, container, progress, work } = recreation;
        let subject = Subject { kind: "recreate", object: Object::Container(container) };
        let Shared { tasks, records, observer, .. } = &*self.0;
        let mut changes = progress.changed.subscribe();
        let operation = Operation::new(id, subject, owner, Progress::Recreation(progress), permit, Arc::clone(observer));
        let operation = Arc::new(operation.ending_itself(began_ms));
        Records::add(records, Arc::clone(&operation));
        let unfinished = Unfinished(Arc::clone(&operation));
        let mut work = work(Arc::clone(&operation));
        let task = async move {
            let outcome = loop {
                tokio::select! {
                    outcome = &mut work => break outcome,
                    Ok(()) = changes.changed() => unfinished.0.touch(),
                }
            };
            unfinished.0.end(outcome);
        };
        tasks.spawn(tracing::Instrument::in_current_span(task));
        operation
    }
}
