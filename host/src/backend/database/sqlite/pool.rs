//! Connections to one file, lent to one at a time each.
//!
//! A connection travels to the thread that blocks and back with its work, so that a request that is given up meanwhile takes nothing with it: the work is carried through, and whatever transaction it
//! leaves is undone when the connection goes back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wharf_sql::Error;
use wharf_sql::sqlite::Connection;

use super::Files;

/// Connections of one kind.
pub(super) struct Pool {
    files: Arc<Files>,
    open: fn(&Files) -> Result<Connection, Error>,
    idle: Mutex<Vec<Kept>>,
    turns: Arc<Semaphore>,
}

/// A connection, and what it knows.
struct Kept {
    connection: Connection,
    /// Which change of the tables it has seen.
    changed: u64,
    quota_bytes: u64,
}

impl Pool {
    pub(super) fn new(size: usize, files: Arc<Files>, open: fn(&Files) -> Result<Connection, Error>) -> Arc<Pool> {
        Arc::new(Pool { files, open, idle: Mutex::default(), turns: Arc::new(Semaphore::new(size)) })
    }

    /// A connection, when it is one's turn, which is in the order of the asking.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] when it did not come within `limit`; [`Error::Unavailable`] when the pool is closed.
    pub(super) async fn lend(self: &Arc<Pool>, limit: Duration) -> Result<Lent, Error> {
        let turn = tokio::time::timeout(limit, Arc::clone(&self.turns).acquire_owned()).await.map_err(|_elapsed| Error::Timeout)?;
        let turn = turn.map_err(|_closed| Error::Unavailable("the host is stopping".to_owned()))?;
        let kept = self.idle().pop();
        Ok(Lent(Some(Loan { kept, pool: Arc::clone(self), _turn: turn })))
    }

    /// Does `work` here and now, if a connection is open and free.
    pub(super) fn try_here<T>(self: &Arc<Pool>, work: impl FnOnce(&mut Connection) -> Option<T>) -> Option<T> {
        let turn = Arc::clone(&self.turns).try_acquire_owned().ok()?;
        let kept = self.idle().pop()?;
        let mut lent = Lent(Some(Loan { kept: Some(kept), pool: Arc::clone(self), _turn: turn }));
        work(lent.connection().ok()?)
    }

    /// Closes the connections, and lends none any more. Blocks.
    pub(super) fn close(&self) {
        self.turns.close();
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut *self.idle());
        // The last connection of a file works off its log when it is closed.
        match Handle::try_current() {
            Ok(runtime) if !idle.is_empty() => drop(runtime.spawn_blocking(move || drop(idle))),
            _ => drop(idle),
        }
    }
}

/// A connection that was lent; empty while it is away with its work.
pub(super) struct Lent(Option<Loan>);

struct Loan {
    /// None before it was opened.
    kept: Option<Kept>,
    pool: Arc<Pool>,
    _turn: OwnedSemaphorePermit,
}

impl Lent {
    /// Leaves nothing here.
    pub(super) fn take(&mut self) -> Lent {
        Lent(self.0.take())
    }

    /// Does `work` on a thread that may block. What `work` leaves open of a transaction stays open in the answer.
    pub(super) async fn run<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> (Lent, Result<T, Error>) {
        let done = tokio::task::spawn_blocking(move || {
            let done = self.work(work);
            (self, done)
        });
        done.await.unwrap_or_else(|error| (Lent(None), Err(Error::Internal(format!("the database's thread failed: {error}")))))
    }

    /// Does `work` here, which blocks, and gives the connection back.
    pub(super) fn run_here<T>(mut self, work: impl FnOnce(&mut Connection) -> Result<T, Error>) -> Result<T, Error> {
        self.work(work)
    }

    fn work<T>(&mut self, work: impl FnOnce(&mut Connection) -> Result<T, Error>) -> Result<T, Error> {
        let done = self.connection().and_then(work);
        done.map_err(|error| match &self.0 {
            Some(loan) => loan.pool.files.explain(error),
            None => error,
        })
    }

    fn connection(&mut self) -> Result<&mut Connection, Error> {
        let Some(Loan { kept, pool, .. }) = &mut self.0 else {
            return Err(Error::Internal("the connection is away".to_owned()));
        };
        let files = &pool.files;
        let (changed, quota_bytes) = (files.changed.load(Ordering::Relaxed), files.quota_bytes.load(Ordering::Relaxed));
        let kept = match kept {
            Some(kept) => kept,
            none => none.insert(Kept { connection: (pool.open)(files)?, changed, quota_bytes }),
        };
        if kept.changed != changed {
            kept.connection.forget_tables();
            kept.changed = changed;
        }
        if kept.quota_bytes != quota_bytes {
            kept.connection.set_quota(quota_bytes)?;
            kept.quota_bytes = quota_bytes;
        }
        Ok(&mut kept.connection)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(mut kept) = self.kept.take() else { return };
        // In this mode of SQLite undoing is forgetting: nothing is read or written for it.
        kept.connection.rollback();
        if self.pool.turns.is_closed() || kept.connection.is_in_transaction() {
            return;
        }
        self.pool.idle().push(kept);
    }
}
