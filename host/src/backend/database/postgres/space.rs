//! One plugin's space in PostgreSQL.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join3;
use tokio::sync::{OnceCell, oneshot};
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::ToSql;
use tokio_util::task::TaskTracker;
use wharf_sql::{Action, Dialect, Error, Migration, Mode, Rows, Statement, migrations, write};

use super::super::held::{Cursor, Cursors, Served, Transaction};
use super::super::{CURSORS, MIGRATION, Migrated, STATEMENT, Space, SpaceName, Times, WAIT};
use super::error::of_statement;
use super::held::PostgresHeld;
use super::lease::{Lease, within};
use super::provision::{Provisioned, provision};
use super::run::{Ready, execute_all, prepare, written};
use super::{PostgresDatabase, Server, keyvalue, values};
use crate::backend::seal::Seals;

/// How long what is known of the space's size is believed.
const SIZE_AGE: Duration = Duration::from_secs(2);
/// How often statements that deadlock with others are tried.
const TRIES: usize = 3;

pub(super) struct PostgresSpace {
    owner: SpaceName,
    quota_bytes: AtomicU64,
    server: Arc<Server>,
    seals: Seals,
    times: Arc<Times>,
    there: OnceCell<Provisioned>,
    size: Mutex<Option<(Instant, u64)>>,
    cursors: Cursors,
    cursor_tasks: TaskTracker,
    migrated: Migrated,
    closed: AtomicBool,
}

impl PostgresSpace {
    pub(super) fn new(owner: SpaceName, quota_bytes: u64, database: &PostgresDatabase) -> PostgresSpace {
        PostgresSpace {
            owner,
            quota_bytes: AtomicU64::new(quota_bytes),
            server: Arc::clone(&database.server),
            seals: database.seals.clone(),
            times: Arc::clone(&database.times),
            there: OnceCell::new(),
            size: Mutex::default(),
            cursors: Cursors::default(),
            cursor_tasks: TaskTracker::new(),
            migrated: Migrated::default(),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn set_quota(&self, bytes: u64) {
        self.quota_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        if let Some(there) = self.there.get() {
            there.pool.close();
        }
    }

    async fn there(&self) -> Result<&Provisioned, Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("the host is stopping".to_owned()));
        }
        self.there.get_or_try_init(|| provision(&self.server, &self.seals, &self.owner)).await
    }

    pub(super) async fn lease(&self) -> Result<Lease, Error> {
        Lease::take(&self.there().await?.pool).await
    }

    /// Takes the space's lock, alone or with others that change one thing each.
    async fn begin_with(&self, alone: bool) -> Result<String, Error> {
        let lock = self.there().await?.lock;
        let shared = if alone { "" } else { "_shared" };
        Ok(format!("BEGIN; SELECT pg_advisory_xact_lock{shared}({lock})"))
    }

    /// Checks that `statements` may make the space larger, or cannot.
    async fn check_quota(&self, lease: &Lease, statements: &[Statement]) -> Result<(), Error> {
        let frees = |statement: &Statement| statement.sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("delete"));
        if statements.iter().all(frees) {
            return Ok(());
        }
        self.check_size(lease).await
    }

    /// Checks that the space is not full. Its size is asked for now and then: it may grow a little beyond its quota.
    pub(super) async fn check_size(&self, lease: &Lease) -> Result<(), Error> {
        let quota = self.quota_bytes.load(Ordering::Relaxed);
        let known = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let size = match known {
            Some((asked, size)) if asked.elapsed() < SIZE_AGE => size,
            _ => {
                let sql = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class \
                           WHERE relkind = 'r' AND relnamespace = to_regnamespace($1)";
                let prepared = lease.prepare(sql, &[]).await?;
                let row = lease.client()?.query_one(&prepared, &[&self.there().await?.name]).await;
                let size = u64::try_from(row.map_err(|error| of_statement(&error))?.get::<_, i64>(0)).unwrap_or_default();
                *self.size.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), size));
                size
            }
        };
        if size >= quota { Err(Error::Quota) } else { Ok(()) }
    }

    /// Runs one statement that changes something, in one round trip with its transaction: what fails makes the server undo at the end.
    async fn change<T>(&self, lease: &Lease, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let begin = self.begin_with(false).await?;
        // Sent in this order, before anything is answered.
        let (begun, done, ended) = join3(lease.batch(&begin), work, lease.batch("COMMIT")).await;
        begun?;
        let done = done?;
        ended?;
        Ok(done)
    }

    async fn execute_once(&self, lease: &Lease, mut statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        self.check_quota(lease, &statements).await?;
        if statements.len() == 1
            && let Some(statement) = statements.pop()
        {
            let ready = prepare(lease, statement, None).await?;
            return Ok(vec![self.change(lease, ready.execute(lease)).await?]);
        }
        lease.batch(&self.begin_with(true).await?).await?;
        match execute_all(lease, statements).await {
            Ok(changed) => lease.batch("COMMIT").await.map(|()| changed),
            Err(error) => {
                lease.batch("ROLLBACK").await?;
                Err(error)
            }
        }
    }

    /// Runs one migration, unless another host has done it meanwhile. Whether it was run.
    async fn run_migration(&self, lease: &Lease, all: &[Migration], migration: &Migration) -> Result<bool, Error> {
        let begin = self.begin_with(true).await?;
        lease.batch(&format!("{begin}; SET LOCAL statement_timeout = {}", MIGRATION.as_millis())).await?;
        let missing = migrations::missing(all, &keyvalue::applied(lease).await?)?;
        if missing.first().map(|missing| missing.version) != Some(migration.version) {
            lease.batch("ROLLBACK").await?;
            return Ok(false);
        }
        for sql in &migration.statements {
            let written = write(sql, &[], Dialect::Postgres, Mode::Migration)?;
            lease.batch(&written.sql).await?;
        }
        keyvalue::record(lease, migration).await?;
        lease.batch("COMMIT").await.map(|()| true)
    }
}

#[async_trait]
impl Space for PostgresSpace {
    async fn migrate(&self, all: Vec<Migration>) -> Result<u32, Error> {
        if self.migrated.is(&all) {
            return Ok(0);
        }
        let lease = self.lease().await?;
        let work = async {
            let applied = keyvalue::applied(&lease).await?;
            let mut run = 0;
            for migration in migrations::missing(&all, &applied)? {
                match self.run_migration(&lease, &all, migration).await {
                    Ok(was_run) => run += u32::from(was_run),
                    Err(error) => {
                        lease.batch("ROLLBACK").await?;
                        return Err(migrations::in_migration(migration, error));
                    }
                }
            }
            Ok(run)
        };
        let run = within(MIGRATION * 2, work).await;
        let run = lease.done_unless_lost(run)?;
        self.migrated.remember(all);
        Ok(run)
    }

    async fn query(&self, statement: Statement, limit: usize) -> Result<Rows, Error> {
        // What cannot be asked needs no connection to find that out.
        let action = written(&statement)?.action;
        let lease = self.lease().await?;
        let work = async {
            if action == Action::Read {
                return prepare(&lease, statement, Some(limit)).await?.query(&lease, limit).await;
            }
            self.check_quota(&lease, std::slice::from_ref(&statement)).await?;
            let ready = prepare(&lease, statement, None).await?;
            self.change(&lease, ready.query(&lease, limit)).await
        };
        let rows = within(STATEMENT, work).await;
        lease.done_unless_lost(rows)
    }

    async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        for statement in &statements {
            written(statement)?;
        }
        let lease = self.lease().await?;
        let work = async {
            let mut tries = TRIES;
            loop {
                tries -= 1;
                match self.execute_once(&lease, statements.clone()).await {
                    Err(Error::Conflict(reason)) if tries > 0 && reason.starts_with("changed: ") => {}
                    done => return done,
                }
            }
        };
        let done = within(STATEMENT, work).await;
        lease.done_unless_lost(done)
    }

    async fn begin(&self) -> Result<Transaction, Error> {
        let limit = self.times.transaction();
        let lease = self.lease().await?;
        let wait = WAIT + limit;
        let begin = self.begin_with(true).await?.replacen(';', &format!("; SET LOCAL statement_timeout = {};", wait.as_millis()), 1);
        let idle = format!("SET LOCAL idle_in_transaction_session_timeout = {}", (limit + WAIT).as_millis());
        let begun = within(wait, async {
            self.check_size(&lease).await.or_else(|error| if error == Error::Quota { Ok(()) } else { Err(error) })?;
            lease.batch(&format!("{begin}; {idle}")).await
        });
        if let Err(error) = begun.await {
            // Dropped in the middle of a transaction, it is closed.
            drop(lease);
            return Err(error);
        }
        let full = self
            .size
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|(_, size)| size >= self.quota_bytes.load(Ordering::Relaxed));
        Ok(Transaction::new(Box::new(PostgresHeld::new(lease, full)), limit))
    }

    async fn open(&self, statement: Statement, limit: u64) -> Result<Cursor, Error> {
        if written(&statement)?.action != Action::Read {
            return Err(Error::Invalid("a cursor is for a statement that only reads".to_owned()));
        }
        let (served, cursor) = self.cursors.begin(limit, CURSORS);
        let lease = self.lease().await?;
        let (opened, columns) = oneshot::channel();
        let serving = self.cursor_tasks.spawn(serve(lease, statement, served, opened));
        match columns.await {
            Ok(columns) => Ok(cursor(columns)),
            Err(_closed) => match serving.await {
                Ok(ended) => Err(ended.err().unwrap_or(Error::Timeout)),
                Err(error) => Err(Error::Internal(error.to_string())),
            },
        }
    }

    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let lease = self.lease().await?;
        let found = within(STATEMENT, keyvalue::get(&lease, &keys)).await;
        lease.done_unless_lost(found)
    }

    async fn set(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let lease = self.lease().await?;
        let work = async {
            self.check_size(&lease).await?;
            keyvalue::set(&lease, &entries).await
        };
        let done = within(STATEMENT, work).await;
        lease.done_unless_lost(done)
    }

    async fn delete(&self, keys: Vec<String>) -> Result<u64, Error> {
        let lease = self.lease().await?;
        let deleted = within(STATEMENT, keyvalue::delete(&lease, &keys)).await;
        lease.done_unless_lost(deleted)
    }

    async fn list(&self, prefix: String, after: Option<String>, limit: usize) -> Result<Vec<String>, Error> {
        let lease = self.lease().await?;
        let keys = within(STATEMENT, keyvalue::list(&lease, &prefix, after.as_deref(), limit)).await;
        lease.done_unless_lost(keys)
    }

    async fn compare_and_set(&self, key: String, expected: Option<Vec<u8>>, new: Option<Vec<u8>>) -> Result<(), Error> {
        let lease = self.lease().await?;
        let work = async {
            if new.is_some() {
                self.check_size(&lease).await?;
            }
            keyvalue::compare_and_set(&lease, &key, expected.as_deref(), new.as_deref()).await
        };
        let done = within(STATEMENT, work).await;
        lease.done_unless_lost(done)
    }

    async fn increment(&self, key: String, by: i64) -> Result<i64, Error> {
        let lease = self.lease().await?;
        let work = async {
            self.check_size(&lease).await?;
            keyvalue::increment(&lease, &key, by).await
        };
        let sum = within(STATEMENT, work).await;
        lease.done_unless_lost(sum)
    }
}

/// Serves a cursor until it is over.
async fn serve(mut lease: Lease, statement: Statement, served: Served, opened: oneshot::Sender<Vec<String>>) -> Result<(), Error> {
    let ready = prepare(&lease, statement, None).await;
    let done = match ready {
        Ok(ready) => fetch(&mut lease, &ready, served, opened).await,
        Err(error) => Err(error),
    };
    lease.done_unless_lost(done)
}

async fn fetch(lease: &mut Lease, ready: &Ready, mut served: Served, opened: oneshot::Sender<Vec<String>>) -> Result<(), Error> {
    let failed = |error: tokio_postgres::Error| of_statement(&error);
    let begin = tokio_postgres::Client::build_transaction(lease.client_mut()?);
    let transaction = begin.isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await.map_err(failed)?;
    // It ends by itself, and not by the server's patience.
    transaction.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 0").await.map_err(failed)?;
    let parameters = ready.parameters();
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect();
    let portal = transaction.bind(ready.prepared(), &parameters).await.map_err(failed)?;
    let _ = opened.send(ready.columns());
    while let Some(ask) = served.ask().await {
        // Of no rows the server makes all.
        let max = i32::try_from(ask.max).unwrap_or(i32::MAX);
        let rows = if max == 0 {
            Ok(Vec::new())
        } else {
            let found = within(STATEMENT, async { transaction.query_portal(&portal, max).await.map_err(failed) }).await;
            found.and_then(|found| found.iter().map(values::row).collect::<Result<Vec<_>, Error>>()).and_then(fits)
        };
        served.left -= rows.as_ref().map_or(0, Vec::len) as u64;
        let over = rows.is_err();
        let _ = ask.answer.send(rows);
        if over {
            break;
        }
    }
    transaction.rollback().await.map_err(failed)
}

/// Whether an answer holds no more than it may.
fn fits(rows: Vec<Vec<wharf_sql::Value>>) -> Result<Vec<Vec<wharf_sql::Value>>, Error> {
    let size: usize = rows.iter().flatten().map(wharf_sql::Value::size).sum();
    if size > wharf_sql::MAX_ANSWER_BYTES { Err(Error::Quota) } else { Ok(rows) }
}
