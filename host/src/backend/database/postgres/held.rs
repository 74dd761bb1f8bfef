//! A transaction in PostgreSQL. There a statement that fails spoils all of it, so that each call has a point to go back to.

use std::time::Instant;

use async_trait::async_trait;
use wharf_sql::{Action, Error, Rows, Statement};

use super::super::held::Held;
use super::lease::{Lease, within};
use super::run::{execute_all, prepare, written};

pub(super) struct PostgresHeld {
    lease: Lease,
    /// Whether the space had no room left when it began.
    full: bool,
}

impl PostgresHeld {
    pub(super) fn new(lease: Lease, full: bool) -> PostgresHeld {
        PostgresHeld { lease, full }
    }

    /// Does `work` so that it can be undone by itself, within what is left until `deadline`.
    async fn call<T>(&self, deadline: Instant, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        let call = async {
            let point = format!("SAVEPOINT wharf_call; SET LOCAL statement_timeout = {}", left.as_millis().max(1));
            self.lease.batch(&point).await?;
            match work.await {
                Ok(done) => self.lease.batch("RELEASE SAVEPOINT wharf_call").await.map(|()| done),
                Err(error) => {
                    self.lease.batch("ROLLBACK TO SAVEPOINT wharf_call; RELEASE SAVEPOINT wharf_call").await?;
                    Err(error)
                }
            }
        };
        within(left, call).await
    }

    fn check_quota(&self, action: Action, sql: &str) -> Result<(), Error> {
        let frees = action == Action::Read || sql.starts_with("DELETE");
        if self.full && !frees { Err(Error::Quota) } else { Ok(()) }
    }
}

#[async_trait]
impl Held for PostgresHeld {
    async fn query(&mut self, statement: Statement, limit: usize, deadline: Instant) -> Result<Rows, Error> {
        let known = written(&statement)?;
        self.check_quota(known.action, &known.sql)?;
        let limited = (known.action == Action::Read).then_some(limit);
        self.call(deadline, async { prepare(&self.lease, statement, limited).await?.query(&self.lease, limit).await }).await
    }

    async fn execute(&mut self, statements: Vec<Statement>, deadline: Instant) -> Result<Vec<u64>, Error> {
        for statement in &statements {
            let known = written(statement)?;
            self.check_quota(known.action, &known.sql)?;
        }
        self.call(deadline, execute_all(&self.lease, statements)).await
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        let PostgresHeld { lease, .. } = *self;
        let kept = within(super::super::STATEMENT, lease.batch("COMMIT")).await;
        lease.done_unless_lost(kept)
    }

    async fn rollback(self: Box<Self>) {
        let PostgresHeld { lease, .. } = *self;
        // One that cannot say that it has undone is closed, and the server undoes.
        if within(super::super::WAIT, lease.batch("ROLLBACK")).await.is_ok() {
            lease.done();
        }
    }
}
