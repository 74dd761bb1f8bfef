//! Work that changes something outside and is therefore finished whether or not anybody still waits for it.
//!
//! A guest disappears with its request: the client hangs up, the deadline passes, the plugin is swapped. Work that a room
//! has begun on the engine must not disappear halfway with it, so a room hands such work to [`PluginOperations::carry_through`], which
//! runs it in a task of the host. Shutdown waits for these tasks.
//!
//! Since such work outlives its request, the limit on requests does not bound it: clients that begin a pull and hang up would pile up tasks, connections and bodies for as long as the
//! engine is slow. So each plugin has permits for what it may have under way, and a permit belongs to the task and not to the one who waits. Nobody queues for one: whoever is
//! over the limit hears so at once, while it can still tell its client. A plugin that is loaded anew begins with all its permits, which only an operator brings about.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The operations of one process that are under way.
#[derive(Clone, Default)]
pub(crate) struct Operations {
    tasks: TaskTracker,
}

/// The operations of one plugin.
#[derive(Clone)]
pub(crate) struct PluginOperations {
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    at_most: u64,
}

/// What an operation still has to do when its outcome is known.
pub(crate) type Rest = BoxFuture<'static, ()>;

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

impl Operations {
    /// Those of a plugin that may have `at_most` under way at the same time.
    pub(crate) fn of_plugin(&self, at_most: u64) -> PluginOperations {
        let permits = usize::try_from(at_most).map_or(Semaphore::MAX_PERMITS, |permits| permits.min(Semaphore::MAX_PERMITS));
        PluginOperations { tasks: self.tasks.clone(), permits: Arc::new(Semaphore::new(permits)), at_most }
    }

    /// How many operations are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until no operation is under way. New ones may still begin.
    pub(crate) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

impl PluginOperations {
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
        let permits = Arc::clone(&self.permits);
        let permit = permits.try_acquire_owned().map_err(|_none_left| OperationError::TooMany { at_most: self.at_most })?;
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
        self.tasks.spawn(task.in_current_span());
        outcome.await.map_err(|_panic| OperationError::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn work_is_finished_when_nobody_waits_any_more() {
        let operations = Operations::default();
        let done = Arc::new(AtomicBool::new(false));
        let (go, wait) = oneshot::channel::<()>();
        let flag = Arc::clone(&done);
        let of_plugin = operations.of_plugin(1);
        let caller = of_plugin.carry_through(Duration::from_secs(10), async move {
            let _ = wait.await;
            flag.store(true, Ordering::SeqCst);
        });
        // The caller polls once, so that the work begins, and goes away.
        assert!(tokio::time::timeout(Duration::from_millis(1), caller).await.is_err());
        assert_eq!(operations.under_way(), 1);
        go.send(()).unwrap();
        operations.finished().await;
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn work_has_a_limit() {
        let operations = Operations::default().of_plugin(1);
        let outcome = operations.carry_through(Duration::from_secs(1), std::future::pending::<()>()).await;
        assert!(matches!(outcome, Err(OperationError::Deadline { .. })));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_counts_until_it_ends() {
        let all = Operations::default();
        let operations = all.of_plugin(2);
        let neighbour = all.of_plugin(1);
        let mut ends = Vec::new();
        for _ in 0..2 {
            let (end, wait) = oneshot::channel::<()>();
            ends.push(end);
            let caller = operations.carry_through(Duration::from_secs(10), wait);
            assert!(tokio::time::timeout(Duration::from_millis(1), caller).await.is_err());
        }
        let quick = || async { 1 };
        let refused = operations.carry_through(Duration::from_secs(10), quick()).await;
        assert!(matches!(refused, Err(OperationError::TooMany { at_most: 2 })));
        // One after the other is never too many.
        for _ in 0..100 {
            assert_eq!(neighbour.carry_through(Duration::from_secs(10), quick()).await.unwrap(), 1);
        }
        drop(ends);
        all.finished().await;
        assert_eq!(operations.carry_through(Duration::from_secs(10), quick()).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn the_outcome_does_not_wait_for_the_rest_and_the_rest_keeps_its_permit() {
        let all = Operations::default();
        let operations = all.of_plugin(1);
        let (end, wait) = oneshot::channel::<()>();
        let rest: Rest = Box::pin(async move {
            let _ = wait.await;
        });
        assert_eq!(operations.carry_through_with_rest(async move { (1, Some(rest)) }).await.unwrap(), 1);
        assert_eq!(all.under_way(), 1);
        let refused = operations.carry_through(Duration::from_secs(10), async { 2 }).await;
        assert!(matches!(refused, Err(OperationError::TooMany { .. })));
        end.send(()).unwrap();
        all.finished().await;
        assert_eq!(operations.carry_through(Duration::from_secs(10), async { 2 }).await.unwrap(), 2);
    }
}
