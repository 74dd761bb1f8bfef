//! Work that changes something outside and is therefore finished whether or not anybody still waits for it.
//!
//! A guest disappears with its request: the client hangs up, the deadline passes, the plugin is swapped. Work that a room
//! has begun on the engine must not disappear halfway with it, so a room hands such work to [`Operations::carry_through`], which
//! runs it in a task of the host. Shutdown waits for these tasks.

use std::future::Future;
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The operations of one process that are under way.
#[derive(Clone, Default)]
pub(crate) struct Operations {
    tasks: TaskTracker,
}

/// Why the outcome of an operation is not known to the one who waits.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationError {
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
    /// Runs `work` to its end, at most for `limit`, even if the future that this answers is dropped.
    pub(crate) async fn carry_through<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, OperationError> {
        let timed = async move { tokio::time::timeout(limit, work).await };
        match self.tasks.spawn(timed.in_current_span()).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_elapsed)) => Err(OperationError::Deadline { limit }),
            Err(_panic) => Err(OperationError::Panicked),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn work_is_finished_when_nobody_waits_any_more() {
        let operations = Operations::default();
        let done = Arc::new(AtomicBool::new(false));
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let flag = Arc::clone(&done);
        let caller = operations.carry_through(Duration::from_secs(10), async move {
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
        let outcome = Operations::default().carry_through(Duration::from_secs(1), std::future::pending::<()>()).await;
        assert!(matches!(outcome, Err(OperationError::Deadline { .. })));
    }
}
