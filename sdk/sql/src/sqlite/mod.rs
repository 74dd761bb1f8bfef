//! One connection to SQLite, as a plugin's statements may use it.
//!
//! Everything blocks. A plugin's statement is written anew by the parser, and then there is a second gate: SQLite asks [`guard`] about each thing that a statement would touch. Nothing here decides when a
//! transaction begins or ends, except for migrations; whoever has the connection does.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashlink::LruCache;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{OpenFlags, Rows as Found, ToSql};

use crate::migrations::{self, Applied};
use crate::parser::{self, Action, Booleans, Dialect, Mode, Written};
use crate::{Error, MAX_ANSWER_BYTES, Migration, Rows, Statement, Value};
use error::database_error;
use guard::{Guard, Trust};
use tables::Tables;

mod error;
mod guard;
mod keyvalue;
mod tables;

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

/// A connection.
pub struct Connection {
    inner: rusqlite::Connection,
    guard: Arc<Guard>,
    tables: Tables,
    written: LruCache<String, Arc<Written>>,
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
        let mut connection = Connection { inner, guard, tables: Tables::default(), written: LruCache::new(KEPT_STATEMENTS) };
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
        self.written.clear();
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
        let mut rows = Rows::default();
        self.walk(statement, |walk| {
            rows.columns = walk.columns().to_vec();
            rows.rows = walk.next(limit, deadline)?;
            rows.more = walk.finish(deadline)?;
            Ok(())
        })?;
        Ok(rows)
    }

    /// What `statement` does, as far as can be told without carrying it out.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`].
    pub fn action(&mut self, statement: &Statement) -> Result<Action, Error> {
        Ok(self.write(&statement.sql, &statement.parameters, Mode::Rows)?.action)
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
        let written = self.write(&statement.sql, &statement.parameters, Mode::Rows)?;
        self.walk(statement, |walk| walk.finish(deadline).map(drop))?;
        Ok(if written.action == Action::Write { self.inner.changes() } else { 0 })
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
        let written = self.write(&statement.sql, &statement.parameters, Mode::Rows)?;
        let guard = Arc::clone(&self.guard);
        let _trust = guard.trust(Trust::Rows);
        let mut compiled = self.inner.prepare_cached(&written.sql).map_err(database_error)?;
        let columns: Vec<String> = compiled.column_names().map(str::to_owned).collect();
        let count = columns.len();
        let declared = compiled.columns().map(|column| column.decl_type().is_some_and(|of_type| of_type == "BOOLEAN"));
        let booleans = declared.enumerate().map(|(index, declared)| declared || Booleans::has(&written.booleans, index, count)).collect();
        let parameters = rusqlite::params_from_iter(statement.parameters.iter());
        let rows = compiled.query(parameters).map_err(database_error)?;
        serve(&mut Walk { rows, columns, booleans, guard: &self.guard, more: None })
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
            let written = self.write(sql, &[], Mode::Migration)?;
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
    fn write(&mut self, sql: &str, parameters: &[Value], mode: Mode) -> Result<Arc<Written>, Error> {
        // Which of the parameters are BOOLEAN decides which columns are.
        let key = format!(
            "{}\0{sql}",
            parameters.iter().map(|value| if matches!(value, Value::Boolean(_)) { 'b' } else { '-' }).collect::<String>()
        );
        if mode == Mode::Rows
            && let Some(written) = self.written.get(&key)
        {
            return Ok(Arc::clone(written));
        }
        self.tables.load(&self.inner).map_err(database_error)?;
        let written = Arc::new(parser::write(sql, parameters, Dialect::Sqlite(&self.tables), mode)?);
        if mode == Mode::Rows {
            self.written.insert(key, Arc::clone(&written));
        }
        Ok(written)
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

/// What a statement answers, while it is read.
pub struct Walk<'r, 'c> {
    rows: Found<'r>,
    columns: Vec<String>,
    booleans: Vec<bool>,
    guard: &'c Guard,
    /// The row that was read to know whether there is one more.
    more: Option<Vec<Value>>,
}

impl Walk<'_, '_> {
    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The next rows, at most `max`; empty at the end.
    ///
    /// # Errors
    ///
    /// All of [`Error`]; [`Error::Quota`] when they hold more than an answer may.
    pub fn next(&mut self, max: usize, deadline: Instant) -> Result<Vec<Vec<Value>>, Error> {
        let mut found: Vec<Vec<Value>> = self.more.take().into_iter().collect();
        let mut size: usize = found.iter().flatten().map(Value::size).sum();
        while found.len() < max {
            let Some(row) = self.row(deadline)? else { break };
            size += row.iter().map(Value::size).sum::<usize>();
            if size > MAX_ANSWER_BYTES {
                return Err(Error::Quota);
            }
            found.push(row);
        }
        Ok(found)
    }

    /// Carries the statement to its end, and answers whether it had more rows. One that only reads is left where it is.
    ///
    /// # Errors
    ///
    /// All of [`Error`].
    pub fn finish(&mut self, deadline: Instant) -> Result<bool, Error> {
        let more = self.row(deadline)?.is_some();
        let reads = self.rows.as_ref().is_none_or(|compiled| compiled.readonly());
        while more && !reads && self.row(deadline)?.is_some() {}
        Ok(more)
    }

    fn row(&mut self, deadline: Instant) -> Result<Option<Vec<Value>>, Error> {
        let Walk { rows, booleans, guard, .. } = self;
        guard.until(deadline, || {
            let Some(row) = rows.next()? else { return Ok(None) };
            let values = booleans.iter().enumerate().map(|(index, boolean)| Ok(value(row.get_ref(index)?, *boolean)));
            values.collect::<rusqlite::Result<_>>().map(Some)
        })
    }
}

fn value(value: ValueRef<'_>, boolean: bool) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) if boolean => Value::Boolean(integer != 0),
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Boolean(boolean) => ValueRef::Integer(i64::from(*boolean)),
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}
