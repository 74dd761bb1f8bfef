//! The record of an operation: whose it is, how far it is, how it ended.
//!
//! An outcome is kept for a while after the end, so that whoever began something and lost its answer can ask. A record is small: some hundred bytes, and about a hundred for each layer of an image.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::build::BuildLog;
use super::{Details, OperationError, OperationFailure, OperationObserver, Owner, Progress, Recreating, Subject};
use crate::backend::clock::now_ms;

/// How long the record of an operation is kept after its end.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// How many operations of one plugin are remembered after their end. With the layers of large images that is a megabyte; whoever ends more of them in ten minutes than this is not looking at each.
const KEPT_OF_A_PLUGIN: usize = 128;
/// The same for those with a log, each of which may be a megabyte.
const KEPT_LOGS_OF_A_PLUGIN: usize = 16;

/// How an operation ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It did what it was to do.
    Succeeded,
    /// It did not.
    Failed(OperationFailure),
    /// Its owner, or the end of the host, put an end to it.
    Cancelled,
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed(_) => "failed",
            Outcome::Cancelled => "cancelled",
        }
    }
}

/// An operation, under way or ended.
pub(crate) struct Operation {
    /// 32 hexadecimal digits, at random.
    pub(crate) id: String,
    pub(crate) subject: Subject,
    pub(crate) owner: Owner,
    /// By the clock of the machine, in milliseconds since 1970.
    began_ms: u64,
    began: Instant,
    state: watch::Sender<State>,
    /// What the engine says; none for operations of which that is not kept.
    pub(super) log: Option<Arc<BuildLog>>,
    cancelled: CancellationToken,
    /// Whether it is over only when its work says so, and not with being cancelled.
    ends_itself: bool,
    /// Given back at the end, and not when the record is forgotten. None where the work has it.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    observer: Arc<dyn OperationObserver>,
}

#[derive(Clone)]
pub(super) enum State {
    Running(Progress),
    Ended(Arc<End>),
}

pub(super) struct End {
    outcome: Outcome,
    details: Details,
    at: Instant,
    at_ms: u64,
}

/// How an operation stands at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// How it ended; none while it is under way.
    pub(crate) outcome: Option<Outcome>,
    /// 0 to 100; none as long as nobody can tell.
    pub(crate) percent: Option<u8>,
    /// By the clock of the machine, in milliseconds since 1970.
    pub(crate) began_ms: u64,
    /// The same; none while it is under way.
    pub(crate) ended_ms: Option<u64>,
    /// What is known of operations of its kind.
    pub(crate) details: Details,
}

impl Moment {
    /// `running`, `succeeded`, `failed` or `cancelled`.
    pub(crate) fn word(&self) -> &'static str {
        self.outcome.as_ref().map_or("running", Outcome::word)
    }
}

impl Operation {
    /// The operation `id`, which begins now. It has `permit` until it ends, or else its work has one.
    pub(super) fn new(
        id: String,
        subject: Subject,
        owner: Owner,
        progress: Progress,
        permit: Option<OwnedSemaphorePermit>,
        observer: Arc<dyn OperationObserver>,
    ) -> Operation {
        let operation = Operation {
            id,
            subject,
            owner,
            began_ms: now_ms(),
            began: Instant::now(),
            log: progress.log(),
            state: watch::Sender::new(State::Running(progress)),
            cancelled: CancellationToken::new(),
            ends_itself: false,
            permit: Mutex::new(permit),
            observer,
        };
        let Operation { id, subject, owner, .. } = &operation;
        tracing::info!(operation = id, kind = subject.kind, subject = %subject.object, site = owner.site, plugin = owner.plugin, "an operation began");
        operation.observer.began(subject.kind);
        operation
    }

    /// The same operation, which is over only when its work says so. It began at `began_ms`, if another run of the host began it.
    pub(super) fn ending_itself(mut self, began_ms: Option<u64>) -> Operation {
        self.ends_itself = true;
        self.began_ms = began_ms.unwrap_or(self.began_ms);
        self
    }

    /// A recreation that another run of the host has ended, of which nothing is counted.
    pub(super) fn ended_before(
        id: String,
        subject: Subject,
        owner: Owner,
        (began_ms, ended_ms): (u64, u64),
        (outcome, details): (Outcome, Recreating),
    ) -> Operation {
        let end = End { outcome, details: Details::Recreation(Box::new(details)), at: Instant::now(), at_ms: ended_ms };
        Operation {
            id,
            subject,
            owner,
            began_ms,
            began: Instant::now(),
            log: None,
            state: watch::Sender::new(State::Ended(Arc::new(end))),
            cancelled: CancellationToken::new(),
            ends_itself: true,
            permit: Mutex::default(),
            observer: Arc::new(super::Uncounted),
        }
    }

    /// How it stands.
    pub(crate) fn now(&self) -> Moment {
        let state = self.state.borrow().clone();
        let began_ms = self.began_ms;
        match state {
            State::Running(progress) => {
                let details = progress.now();
                Moment { outcome: None, percent: details.percent(), began_ms, ended_ms: None, details }
            }
            State::Ended(end) => {
                let percent = if matches!(end.outcome, Outcome::Succeeded) { Some(100) } else { end.details.percent() };
                Moment { outcome: Some(end.outcome.clone()), percent, began_ms, ended_ms: Some(end.at_ms), details: end.details.clone() }
            }
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) -> Outcome {
        let mut states = self.changes();
        loop {
            if let State::Ended(end) = &*states.borrow_and_update() {
                return end.outcome.clone();
            }
            // The sender is in `self`.
            if states.changed().await.is_err() {
                return Outcome::Cancelled;
            }
        }
    }

    /// Ends it before it is done, or lets its work end it. Nothing happens to one that has ended.
    pub(crate) fn cancel(&self) {
        if !self.ends_itself {
            self.end(Outcome::Cancelled);
        }
        self.cancelled.cancel();
    }

    /// Wakes at each change. What is seen already is the present state.
    pub(super) fn changes(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Waits until it is cancelled.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// From now on it is as far as `progress`.
    pub(super) fn follow(&self, progress: Progress) {
        self.state.send_if_modified(|state| match state {
            State::Running(followed) => {
                *followed = progress;
                true
            }
            State::Ended(_) => false,
        });
    }

    /// Wakes whoever watches.
    pub(super) fn touch(&self) {
        self.state.send_modify(|_| {});
    }

    /// Ends it, unless it has ended. Whether it was this that ended it.
    pub(super) fn end(&self, outcome: Outcome) -> bool {
        // Whoever hears of the end may begin another, so the permit is back before that. Not needed any more, whether or not this is the end.
        drop(self.permit.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut ended = None;
        self.state.send_if_modified(|state| match state {
            State::Running(progress) => {
                let end = Arc::new(End { outcome, details: progress.now(), at: Instant::now(), at_ms: now_ms() });
                ended = Some(Arc::clone(&end));
                *state = State::Ended(end);
                true
            }
            State::Ended(_) => false,
        });
        if let Some(end) = &ended {
            self.report(end);
        }
        ended.is_some()
    }

    fn report(&self, end: &End) {
        let Operation { id, subject, .. } = self;
        let (bytes, step, secs) = (end.details.bytes(), end.details.step(), self.began.elapsed().as_secs_f64());
        match &end.outcome {
            Outcome::Succeeded => {
                tracing::info!(operation = id, kind = subject.kind, subject = %subject.object, bytes, step, secs, "an operation succeeded")
            }
            Outcome::Failed(error) => {
                tracing::warn!(operation = id, kind = subject.kind, subject = %subject.object, bytes, step, secs, %error, "an operation failed");
            }
            Outcome::Cancelled => {
                tracing::info!(operation = id, kind = subject.kind, subject = %subject.object, bytes, step, secs, "an operation was cancelled")
            }
        }
        self.observer.ended(subject.kind, end.outcome.word());
    }

    /// Whether it has ended. What is seen so far counts as seen.
    pub(super) fn is_over(changes: &mut watch::Receiver<State>) -> bool {
        matches!(&*changes.borrow_and_update(), State::Ended(_))
    }

    /// Since when it has ended; none while it is under way.
    fn ended_at(&self) -> Option<Instant> {
        match &*self.state.borrow() {
            State::Running(_) => None,
            State::Ended(end) => Some(end.at),
        }
    }
}

/// The task of an operation. Should it panic, the operation has failed.
pub(super) struct Unfinished(pub(super) Arc<Operation>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.end(Outcome::Failed(OperationError::Panicked.into()));
    }
}

/// The records, in the order in which their operations began.
#[derive(Default)]
pub(super) struct Records(Mutex<Vec<Arc<Operation>>>);

impl Records {
    /// Adds one, and forgets what has been over for too long or is too much.
    pub(super) fn add(&self, operation: Arc<Operation>) {
        let mut records = self.records();
        records.retain(|known| is_kept(known));
        for (with_log, at_most) in [(false, KEPT_OF_A_PLUGIN), (true, KEPT_LOGS_OF_A_PLUGIN)] {
            let counts =
                |known: &Operation| known.owner == operation.owner && known.ended_at().is_some() && known.log.is_some() == with_log;
            let mut too_many = records.iter().filter(|known| counts(known)).count().saturating_sub(at_most);
            records.retain(|known| {
                let goes = too_many > 0 && counts(known);
                too_many -= usize::from(goes);
                !goes
            });
        }
        records.push(operation);
    }

    /// All, the newest first.
    pub(super) fn all(&self) -> Vec<Arc<Operation>> {
        self.records().iter().rev().filter(|known| is_kept(known)).cloned().collect()
    }

    /// The one of this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Operation>> {
        self.records().iter().find(|known| known.id == id && is_kept(known)).cloned()
    }

    fn records(&self) -> MutexGuard<'_, Vec<Arc<Operation>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_kept(operation: &Operation) -> bool {
    operation.ended_at().is_none_or(|at| at.elapsed() < KEPT_FOR)
}

/// An id that no other operation has or had: 32 hexadecimal digits, at random.
pub(crate) fn new_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}
