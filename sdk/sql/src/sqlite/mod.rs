//! One connection to SQLite, as a plugin's statements may use it.
//!
//! Everything blocks. A plugin's statement is written anew by the parser, and then there is a second gate: SQLite asks [`guard`] about each thing that a statement would touch. Nothing here decides when a
//! transaction begins or ends, except for migrations; whoever has the connection does.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hashlink::LruCache;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{OpenFlags, ToSql};

use crate::migrations::{self, Applied};
use crate::parser::{self, Action, Dialect, Mode, Written};
use crate::{Error, Migration, Rows, Statement, Value};
use error::database_error;
use guard::{Guard, Trust};
use tables::Tables;
use walk::Columns;
pub use walk::Walk;

mod error;
mod guard;
mod keyvalue;
mod tables;
mod walk;

/// SQLite's own default.
const PAGE_BYTES: u64 = 4096;
/// The longest value. Nothing longer could be answered.
const MAX_VALUE_BYTES: i32 = 16 << 20;
/// The longest pattern of a LIKE: how long a comparison takes, during which nobody looks at the clock, grows with its square.
const MAX_PATTERN_BYTES: i32 = 1_000;
/// How long to wait for another process that has the database. In ours nobody waits: there is one writer.
const BUSY: Duration = Duration::from_secs(5);
/// Statements that are kept, as they were written and as SQLite has compiled them.
const KEPT_STATEMENTS: usize = 128;
/// Beyond this the log is cut again after it was worked off.
const LOG_BYTES: i64 = 16 << 20;
/// How often a question that took long has to be answered quickly before anybody is held up by it again: what it reads may not be in memory.
const QUICK_AGAIN: u8 = 8;

/// A connection.
pub struct Connection {
    inner: rusqlite::Connection,
    guard: Arc<Guard>,
    tables: Tables,
    known: LruCache<String, Arc<Known>>,
    plans_once: bool,
}

/// A statement, and what is known of it. Forgotten when tables change.
struct Known {
    written: Written,
    /// Found when it is asked for the first time.
    columns: OnceLock<Columns>,
    /// How often it has yet to be answered quickly before [`Connection::query_quickly`] asks it.
    untried: AtomicU8,
}

impl Connection {
    /// Opens the database at `path` for writing, and makes it if it is not there. It may grow to `quota_bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub fn open(path: &Path, quota_bytes: u64) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let inner = rusqlite::Connection::open_with_flags(path, flags).map_err(database_error)?;
        let mut connection = Connection::prepare(inner)?;
        connection.set_quota(quota_bytes)?;
        connection.make_own_tables()?;
        Ok(connection)
    }

    /// Opens the database at `path`, which is there, for reading.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub fn open_reader(path: &Path) -> Result<Connection, Error> {
        // In this mode of SQLite readers write to what they share with the writer.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let inner = rusqlite::Connection::open_with_flags(path, flags).map_err(database_error)?;
        let connection = Connection::prepare(inner)?;
        connection.pragma("query_only", "ON")?;
        Ok(connection)
    }

    /// A database in memory.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`].
    pub fn in_memory() -> Result<Connection, Error> {
        let inner = rusqlite::Connection::open_in_memory().map_err(database_error)?;
        let mut connection = Connection::prepare(inner)?;
        connection.make_own_tables()?;
        Ok(connection)
    }

    fn prepare(inner: rusqlite::Connection) -> Result<Connection, Error> {
        inner.busy_timeout(BUSY).map_err(database_error)?;
        inner.set_prepared_statement_cache_capacity(KEPT_STATEMENTS);
        let switches = [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
            // A name that is no column would be a text.
            (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
            (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        ];
        for (switch, on) in switches {
            inner.set_db_config(switch, on).map_err(database_error)?;
        }
        let limits = [
            (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN_BYTES),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
        ];
        for (limit, value) in limits {
            inner.set_limit(limit, value).map_err(database_error)?;
        }
        let guard = Arc::new(Guard::default());
        let mut connection =
            Connection { inner, guard, tables: Tables::default(), known: LruCache::new(KEPT_STATEMENTS), plans_once: false };
        // FULL: what a commit has answered to is on the disk, also when the machine loses its power.
        let settings = [("journal_mode", "WAL"), ("synchronous", "FULL"), ("foreign_keys", "ON"), ("case_sensitive_like", "ON")];
        for (name, value) in settings {
            connection.pragma(name, value)?;
        }
        connection.pragma("journal_size_limit", LOG_BYTES)?;
        connection.guard.watch(&mut connection.inner).map_err(database_error)?;
        Ok(connection)
    }

    /// How much the database may take from now on. What is there already stays.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`].
    pub fn set_quota(&mut self, bytes: u64) -> Result<(), Error> {
        self.pragma("max_page_count", i64::try_from(bytes / PAGE_BYTES).unwrap_or(i64::MAX))
    }

    /// Forgets which tables there are, since another connection has changed them.
    pub fn forget_tables(&mut self) {
        self.tables = Tables::default();
        self.known.clear();
    }

    /// Begins a transaction that may write, or `reading` one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when another process has the database.
    pub fn begin(&mut self, reading: bool) -> Result<(), Error> {
        self.control(if reading { "BEGIN DEFERRED" } else { "BEGIN IMMEDIATE" })
    }

    /// Keeps what was done.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] with `foreign-key`, [`Error::Full`], [`Error::Unavailable`]. The transaction is undone then.
    pub fn commit(&mut self) -> Result<(), Error> {
        self.control("COMMIT").inspect_err(|_| self.rollback())
    }

    /// Undoes what was done; nothing if there is no transaction.
    pub fn rollback(&mut self) {
        if !self.inner.is_autocommit() {
            // What cannot be undone is undone when the connection is closed.
            let _ = self.control("ROLLBACK");
        }
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        !self.inner.is_autocommit()
    }

    /// Answers at most `limit` rows of a statement, which may also change something and answer with it.
    ///
    /// # Errors
    ///
    /// All of [`Error`].
    pub fn query(&mut self, statement: &Statement, limit: usize, deadline: Instant) -> Result<Rows, Error> {
        let known = self.write(&statement.sql, &statement.parameters, Mode::Rows)?;
        self.query_known(&known, statement, limit, deadline)
    }

    fn query_known(&mut self, known: &Known, statement: &Statement, limit: usize, deadline: Instant) -> Result<Rows, Error> {
        let mut rows = Rows::default();
        self.walk_known(known, statement, |walk| {
            rows.rows = walk.next(limit, deadline)?;
            rows.more = walk.finish(deadline)?;
            rows.columns = walk.columns().to_vec();
            Ok(())
        })?;
        Ok(rows)
    }

    /// As [`Connection::query`], of a statement that changes nothing. How long that took decides whether [`Connection::query_quickly`] answers it the next time: `quick` at most.
    ///
    /// # Errors
    ///
    /// All of [`Error`].
    pub fn query_timed(&mut self, statement: &Statement, limit: usize, deadline: Instant, quick: Duration) -> Result<Rows, Error> {
        let known = self.write(&statement.sql, &statement.parameters, Mode::Rows)?;
        self.query_known_timed(&known, statement, limit, deadline, quick)
    }

    fn query_known_timed(
        &mut self,
        known: &Known,
        statement: &Statement,
        limit: usize,
        deadline: Instant,
        quick: Duration,
    ) -> Result<Rows, Error> {
        let began = Instant::now();
        let found = self.query_known(known, statement, limit, deadline);
        let untried = if began.elapsed() <= quick { known.untried.load(Ordering::Relaxed).saturating_sub(1) } else { QUICK_AGAIN };
        known.untried.store(untried, Ordering::Relaxed);
        found
    }

    /// As [`Connection::query_timed`], on a thread that must not be held up: only what was answered within `quick` before is asked, and for no longer than that; nobody else's lock is waited for.
    ///
    /// None if there is no answer in this way, which includes every error: whoever asks again where it may block hears the same or better.
    pub fn query_quickly(&mut self, statement: &Statement, limit: usize, quick: Duration) -> Option<Rows> {
        let known = Arc::clone(self.known.get(&key(&statement.sql, &statement.parameters))?);
        if known.untried.load(Ordering::Relaxed) > 0 || known.written.action != Action::Read {
            return None;
        }
        self.inner.busy_timeout(Duration::ZERO).ok()?;
        let found = self.query_known_timed(&known, statement, limit, Instant::now() + quick, quick);
        self.inner.busy_timeout(BUSY).ok()?;
        found.ok()
    }

    /// What `statement` does, as far as can be told without carrying it out.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`].
    pub fn action(&mut self, statement: &Statement) -> Result<Action, Error> {
        Ok(self.write(&statement.sql, &statement.parameters, Mode::Rows)?.written.action)
    }

    /// Carries out `statements`, and answers how many rows each has changed. After an error those before it have been carried out.
    ///
    /// # Errors
    ///
    /// All of [`Error`].
    pub fn execute(&mut self, statements: &[Statement], deadline: Instant) -> Result<Vec<u64>, Error> {
        statements.iter().map(|statement| self.execute_one(statement, deadline)).collect()
    }

    fn execute_one(&mut self, statement: &Statement, deadline: Instant) -> Result<u64, Error> {
        let known = self.write(&statement.sql, &statement.parameters, Mode::Rows)?;
        self.walk_known(&known, statement, |walk| walk.finish(deadline).map(drop))?;
        Ok(if known.written.action == Action::Write { self.inner.changes() } else { 0 })
    }

    /// As [`Connection::execute`], all or nothing, inside a transaction that goes on.
    ///
    /// # Errors
    ///
    /// All of [`Error`].
    pub fn execute_or_undo(&mut self, statements: &[Statement], deadline: Instant) -> Result<Vec<u64>, Error> {
        self.control("SAVEPOINT wharf_call")?;
        let done = self.execute(statements, deadline);
        if done.is_err() && self.is_in_transaction() {
            self.control("ROLLBACK TO wharf_call")?;
        }
        if self.is_in_transaction() {
            self.control("RELEASE wharf_call")?;
        }
        done
    }

    /// Lets `serve` read what `statement` answers.
    ///
    /// # Errors
    ///
    /// Those of `serve`, and all of [`Error`].
    pub fn walk(&mut self, statement: &Statement, serve: impl FnOnce(&mut Walk<'_, '_>) -> Result<(), Error>) -> Result<(), Error> {
        let known = self.write(&statement.sql, &statement.parameters, Mode::Rows)?;
        self.walk_known(&known, statement, serve)
    }

    fn walk_known(
        &mut self,
        known: &Known,
        statement: &Statement,
        serve: impl FnOnce(&mut Walk<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Known { written, columns, .. } = known;
        self.plan_once(!written.has_like)?;
        let guard = Arc::clone(&self.guard);
        let _trust = guard.trust(Trust::Rows);
        let mut compiled = self.inner.prepare_cached(&written.sql).map_err(database_error)?;
        let columns = columns.get_or_init(|| Columns::of(&compiled, written));
        let parameters = rusqlite::params_from_iter(statement.parameters.iter());
        let rows = compiled.query(parameters).map_err(database_error)?;
        serve(&mut Walk::new(rows, columns, &self.guard))
    }

    /// Runs those of `migrations` that the database has not seen, each in a transaction of its own, and answers how many there were.
    ///
    /// # Errors
    ///
    /// All of [`Error`] but [`Error::Conflict`] with `changed`.
    pub fn migrate(&mut self, migrations: &[Migration], deadline: Instant) -> Result<u32, Error> {
        let applied = self.applied()?;
        let missing = migrations::missing(migrations, &applied)?;
        for migration in missing {
            self.begin(false)?;
            let run = self.run_migration(migration, deadline).and_then(|()| self.control("COMMIT"));
            self.forget_tables();
            if let Err(error) = run {
                self.rollback();
                return Err(migrations::in_migration(migration, error));
            }
        }
        Ok(u32::try_from(missing.len()).unwrap_or(u32::MAX))
    }

    fn run_migration(&mut self, migration: &Migration, deadline: Instant) -> Result<(), Error> {
        let guard = Arc::clone(&self.guard);
        for sql in &migration.statements {
            let known = self.write(sql, &[], Mode::Migration)?;
            let written = &known.written;
            let _trust = guard.trust(if written.action == Action::Define { Trust::Tables } else { Trust::Rows });
            guard.until(deadline, || -> rusqlite::Result<()> {
                let mut compiled = self.inner.prepare(&written.sql)?;
                let mut rows = compiled.query([])?;
                while rows.next()?.is_some() {}
                Ok(())
            })?;
            self.forget_tables();
        }
        let insert = "INSERT INTO wharf_migrations (version, name, hash) VALUES (?1, ?2, ?3)";
        let parameters = (migration.version, &migration.name, migrations::hash(migration));
        self.inner.execute(insert, parameters).map(drop).map_err(database_error)
    }

    fn applied(&self) -> Result<Vec<Applied>, Error> {
        let read = || {
            let mut compiled = self.inner.prepare_cached("SELECT version, hash FROM wharf_migrations ORDER BY version")?;
            let applied = compiled.query_map([], |row| Ok(Applied { version: row.get(0)?, hash: row.get(1)? }))?;
            applied.collect::<rusqlite::Result<_>>()
        };
        read().map_err(database_error)
    }

    fn make_own_tables(&mut self) -> Result<(), Error> {
        let tables = "CREATE TABLE IF NOT EXISTS wharf_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS wharf_keyvalue (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL);";
        self.inner.execute_batch(tables).map_err(database_error)
    }

    /// `sql` in SQLite's words.
    fn write(&mut self, sql: &str, parameters: &[Value], mode: Mode) -> Result<Arc<Known>, Error> {
        let key = key(sql, parameters);
        if mode == Mode::Rows
            && let Some(known) = self.known.get(&key)
        {
            return Ok(Arc::clone(known));
        }
        self.tables.load(&self.inner).map_err(database_error)?;
        let written = parser::write(sql, parameters, Dialect::Sqlite(&self.tables), mode)?;
        let known = Arc::new(Known { written, columns: OnceLock::new(), untried: AtomicU8::new(1) });
        if mode == Mode::Rows {
            self.known.insert(key, Arc::clone(&known));
        }
        Ok(known)
    }

    /// Whether SQLite plans a statement once and for all.
    ///
    /// Otherwise it does so anew whenever the statement gets parameters: each that is compared with a column might be served better in another way. That takes longer than what most statements do. A pattern
    /// needs it, since an index is of use only for one that is known. Every change lets SQLite forget all plans.
    fn plan_once(&mut self, once: bool) -> Result<(), Error> {
        if self.plans_once != once {
            self.inner.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, once).map_err(database_error)?;
            self.plans_once = once;
        }
        Ok(())
    }

    fn control(&self, sql: &str) -> Result<(), Error> {
        let run = || self.inner.prepare_cached(sql)?.execute([]);
        run().map(drop).map_err(database_error)
    }

    fn pragma(&self, name: &str, value: impl ToSql) -> Result<(), Error> {
        // Some answer with a row.
        self.inner.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            error => Err(database_error(error)),
        })
    }
}

/// What a statement is known by: which of its parameters are BOOLEAN decides which columns are.
fn key(sql: &str, parameters: &[Value]) -> String {
    let mut key: String = parameters.iter().map(|value| if matches!(value, Value::Boolean(_)) { 'b' } else { '-' }).collect();
    key.push('\0');
    key.push_str(sql);
    key
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    /// How often SQLite planned `sql` again after the first time, and whether it looked at every row of a table, when it was asked for each of `values`.
    fn plans(sql: &str, values: &[Value]) -> (i32, bool) {
        let mut connection = Connection::in_memory().unwrap();
        let tables = ["CREATE TABLE t (x TEXT PRIMARY KEY, y BIGINT)", "CREATE INDEX t_y ON t (y)"].map(str::to_owned).to_vec();
        let later = Instant::now() + Duration::from_secs(60);
        connection.migrate(&[Migration { version: 1, name: "t".to_owned(), statements: tables }], later).unwrap();
        let row = |i: i64| Statement {
            sql: "INSERT INTO t (x, y) VALUES ($1, $2)".to_owned(),
            parameters: vec![Value::Text(format!("x{i}")), Value::Integer(i)],
        };
        connection.execute(&(0..100).map(row).collect::<Vec<_>>(), later).unwrap();
        for value in values {
            let statement = Statement { sql: sql.to_owned(), parameters: vec![value.clone()] };
            connection.query(&statement, 9, later).unwrap();
        }
        let known = connection.write(sql, &values[..1], Mode::Rows).unwrap();
        let compiled = connection.inner.prepare_cached(&known.written.sql).unwrap();
        (compiled.get_status(StatementStatus::RePrepare), compiled.get_status(StatementStatus::FullscanStep) > 0)
    }

    #[test]
    fn a_statement_is_planned_once_but_for_a_pattern() {
        let numbers = [1, 0, 1, 7].map(Value::Integer);
        assert_eq!(plans("SELECT a.x FROM t a JOIN t b ON b.x = a.x WHERE a.y = $1", &numbers), (0, false));
        let patterns = ["x1%", "x2%"].map(|pattern| Value::Text(pattern.to_owned()));
        let (_, reads_all) = plans("SELECT y FROM t WHERE x LIKE $1", &patterns);
        assert!(!reads_all, "the index is of use");
    }
}
