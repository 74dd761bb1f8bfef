//! A connection that was taken from the pool, and goes back only if nothing of its last work is left in it.
//!
//! A request that is given up leaves its connection in the middle of a transaction or of an answer. Such a connection is closed, and the server undoes what was not kept.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Statement as Prepared};
use wharf_sql::Error;

use super::error::{of_pool, of_statement};

/// Statements that the server keeps for a connection, as many as are worth it.
const KEPT_STATEMENTS: usize = 256;
/// How much longer than the server is waited for the server.
const GRACE: Duration = Duration::from_secs(2);

/// A connection.
pub(crate) struct Lease {
    /// None once it was given back.
    object: Option<Object>,
}

impl Lease {
    pub(super) async fn take(pool: &Pool) -> Result<Lease, Error> {
        pool.get().await.map(Lease::of).map_err(|error| of_pool(&error))
    }

    /// A connection that the pool has lent.
    pub(super) fn of(object: Object) -> Lease {
        if object.statement_cache.size() > KEPT_STATEMENTS {
            object.statement_cache.clear();
        }
        Lease { object: Some(object) }
    }

    /// Gives it back to the pool.
    pub(super) fn done(mut self) {
        drop(self.object.take());
    }

    /// Gives it back if `done` leaves it in order: whatever the server has answered to, it has finished.
    pub(crate) fn done_unless_lost<T>(self, done: Result<T, Error>) -> Result<T, Error> {
        if !matches!(done, Err(Error::Unavailable(_))) {
            self.done();
        }
        done
    }

    pub(super) fn client(&self) -> Result<&ClientWrapper, Error> {
        self.object.as_deref().ok_or_else(gone)
    }

    pub(super) fn client_mut(&mut self) -> Result<&mut ClientWrapper, Error> {
        self.object.as_deref_mut().ok_or_else(gone)
    }

    /// Carries out statements without parameters and answers.
    pub(crate) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.client()?.batch_execute(sql).await.map_err(|error| of_statement(&error))
    }

    /// Asks `sql` with `parameters`, whose types are those that it wants.
    pub(crate) async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let prepared = self.prepare(sql, &[]).await?;
        self.client()?.query(&prepared, parameters).await.map_err(|error| of_statement(&error))
    }

    /// As [`Lease::query`]: how many rows it has changed.
    pub(crate) async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        let prepared = self.prepare(sql, &[]).await?;
        self.client()?.execute(&prepared, parameters).await.map_err(|error| of_statement(&error))
    }

    /// Prepares `sql` for parameters of `types`, or finds it prepared.
    pub(super) async fn prepare(&self, sql: &str, types: &[Type]) -> Result<Prepared, Error> {
        self.client()?.prepare_typed_cached(sql, types).await.map_err(|error| of_statement(&error))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            // Not to the pool: this closes it.
            drop(Object::take(object));
        }
    }
}

fn gone() -> Error {
    Error::Internal("the connection is away".to_owned())
}

/// Waits for `work`, which the server ends within `limit` if it is there at all.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let lost = |_elapsed| Err(Error::Unavailable(format!("the database did not answer within {} s", (limit + GRACE).as_secs())));
    tokio::time::timeout(limit + GRACE, work).await.unwrap_or_else(lost)
}
