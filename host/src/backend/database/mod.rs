//! Databases: a space of its own for each plugin of each site, in SQLite or PostgreSQL.
//!
//! A [`Space`] is asked in the words of `wharf_sql`; both implementations answer the same to the same question, which one suite of tests asks of both. Nothing here knows grants. A statement is checked
//! and put into the database's words by `wharf_sql` before the database sees it, and each database has a second gate behind that: SQLite a file for each space and a guard that it asks, PostgreSQL a
//! role that can see one schema.
//!
//! Nothing is opened or made before a plugin asks for the first time. A reload keeps what has not changed; what has changed is closed when the last plugin that was loaded with it is gone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use wharf_sql::{Error, Migration, Rows, Statement};

use crate::backend::seal::Seals;
use crate::settings::StorageSettings;
use held::{Cursor, Transaction};
use postgres::PostgresDatabase;
use sqlite::SqliteDatabase;

pub(crate) mod held;
pub(crate) mod postgres;
mod sqlite;

/// How long a question may take. Reverse proxies, and the plugin's own deadline, give up not much later.
const STATEMENT: Duration = Duration::from_secs(10);
/// How long a migration may take: an index over a few million rows.
const MIGRATION: Duration = Duration::from_secs(60);
/// How long somebody waits for a connection, beyond what the one before may take.
const WAIT: Duration = Duration::from_secs(5);
/// Cursors that a space may have open. One more ends the one that was read the longest ago.
const CURSORS: usize = 3;

/// Which space: names that the settings have checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SpaceName {
    /// The site's name.
    pub(crate) site: String,
    /// The plugin's name on this site.
    pub(crate) plugin: String,
}

/// What a database and its spaces have to know of the settings, which may change under them.
#[derive(Debug, Default)]
struct Times {
    transaction_ms: AtomicU64,
}

impl Times {
    /// How long a transaction may live.
    fn transaction(&self) -> Duration {
        Duration::from_millis(self.transaction_ms.load(Ordering::Relaxed))
    }
}

/// The databases of the process. Its clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Databases(Arc<Mutex<State>>);

struct State {
    /// None before anything was configured.
    settings: Option<StorageSettings>,
    times: Arc<Times>,
    database: Database,
    /// Counts the databases that there were.
    epoch: u64,
}

#[derive(Clone)]
enum Database {
    Sqlite(Arc<SqliteDatabase>),
    Postgres(Arc<PostgresDatabase>),
}

impl Default for State {
    fn default() -> State {
        let times = Arc::<Times>::default();
        let database = Database::Sqlite(Arc::new(SqliteDatabase::new(None, Arc::clone(&times))));
        State { settings: None, times, database, epoch: 0 }
    }
}

impl Databases {
    /// Puts `settings` into force. A database whose settings have not changed stays as it is.
    pub(crate) fn configure(&self, settings: &StorageSettings, seals: &Seals) {
        let mut state = self.state();
        state.times.transaction_ms.store(settings.transaction_ms, Ordering::Relaxed);
        let of = |settings: &StorageSettings| {
            let StorageSettings { database, ca_file, blobs: _, seal_key, transaction_ms: _, folder } = settings;
            (database.clone(), ca_file.clone(), seal_key.clone(), folder.clone())
        };
        if state.settings.as_ref().is_some_and(|known| of(known) == of(settings)) {
            return;
        }
        let times = Arc::clone(&state.times);
        state.database = match &settings.database {
            None => Database::Sqlite(Arc::new(SqliteDatabase::new(Some(settings.folder.join("databases")), times))),
            Some(source) => {
                Database::Postgres(Arc::new(PostgresDatabase::new(source.clone(), settings.ca_file.clone(), seals.clone(), times)))
            }
        };
        state.settings = Some(settings.clone());
        state.epoch += 1;
    }

    /// Which database is in force: another number for each.
    pub(crate) fn epoch(&self) -> u64 {
        self.state().epoch
    }

    /// Whether other hosts may use the database too.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.database(), Database::Postgres(_))
    }

    /// The space of `name`, which may hold `quota_bytes`. Nothing is opened or made before it is used.
    pub(crate) fn space(&self, name: SpaceName, quota_bytes: u64) -> Arc<dyn Space> {
        match self.database() {
            Database::Sqlite(database) => database.space(name, quota_bytes),
            Database::Postgres(database) => database.space(name, quota_bytes),
        }
    }

    /// Why the database cannot be used; none if it can, or if nobody knows before it is.
    pub(crate) async fn problem(&self) -> Option<String> {
        match self.database() {
            Database::Sqlite(_) => None,
            Database::Postgres(database) => database.problem().await,
        }
    }

    /// Closes what is open. Whoever asks after that hears `unavailable`.
    pub(crate) async fn close(&self) {
        match self.database() {
            Database::Sqlite(database) => database.close().await,
            Database::Postgres(database) => database.close(),
        }
    }

    fn database(&self) -> Database {
        self.state().database.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one plugin of one site keeps.
#[async_trait]
pub(crate) trait Space: Send + Sync {
    /// Runs those of `migrations` that the space has not seen, and answers how many there were.
    async fn migrate(&self, migrations: Vec<Migration>) -> Result<u32, Error>;
    /// Answers at most `limit` rows.
    async fn query(&self, statement: Statement, limit: usize) -> Result<Rows, Error>;
    /// Carries out `statements` in one transaction, and answers how many rows each has changed.
    async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<u64>, Error>;
    /// Begins a transaction that may change something. Waits for its turn.
    async fn begin(&self) -> Result<Transaction, Error>;
    /// Rows that are read one part after the other, at most `limit` in all.
    async fn open(&self, statement: Statement, limit: u64) -> Result<Cursor, Error>;
    /// The values of `keys`, in their order.
    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, Error>;
    /// Sets all of `entries` or none.
    async fn set(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), Error>;
    /// Deletes `keys`, and answers how many of them were there.
    async fn delete(&self, keys: Vec<String>) -> Result<u64, Error>;
    /// At most `limit` of the keys that begin with `prefix` and come after `after`, in the order of their code points.
    async fn list(&self, prefix: String, after: Option<String>, limit: usize) -> Result<Vec<String>, Error>;
    /// Sets `key` to `new` if it is `expected`; none is no such key in both. [`Error::Conflict`] with `changed` if it is not.
    async fn compare_and_set(&self, key: String, expected: Option<Vec<u8>>, new: Option<Vec<u8>>) -> Result<(), Error>;
    /// Adds `by` to the number in `key`, and answers the sum.
    async fn increment(&self, key: String, by: i64) -> Result<i64, Error>;
}

/// Remembers that all migrations of a list were run, so that asking again costs nothing.
#[derive(Debug, Default)]
struct Migrated(Mutex<Option<Vec<Migration>>>);

impl Migrated {
    fn is(&self, migrations: &[Migration]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(migrations)
    }

    fn remember(&self, migrations: Vec<Migration>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(migrations);
    }
}
