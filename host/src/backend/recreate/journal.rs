//! The journal of the recreations on one engine: what was begun and is not at its end, what has ended lately, and which images have failed for which container.
//!
//! It is written **before** each step and is on the disk when the write returns, so that whoever finds it knows at least what may have been done. That is why it is not in the site's database: that may be on another machine, and a plugin
//! can hold it up.
//!
//! **A journal that cannot be trusted is worse than none.** One that is cut short or has a changed byte is refused as a whole, and nothing is recreated on that engine until a person has looked; it is never replaced by an empty one. Three
//! things make that sure: a new journal appears whole, by a rename, so that an empty file is a damaged one; SQLite looks through the file; and each row has a checksum. The rollback journal of SQLite is used and not its write-ahead log,
//! because of a log that was cut short SQLite believes the rest without a word.
//!
//! One process has the file at a time: two that finish the same recreation would undo each other's work. Every function blocks.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::record::{Phase, Record};

/// Marks a database as ours, and its version.
const VERSION: i64 = 1;
const TABLES: &str = "CREATE TABLE recreation (id TEXT PRIMARY KEY NOT NULL, ended_ms INTEGER, document TEXT NOT NULL, checksum TEXT NOT NULL) STRICT; \
                      CREATE TABLE failure (container TEXT NOT NULL, image TEXT NOT NULL, digest TEXT, reason TEXT NOT NULL, at_ms INTEGER NOT NULL, \
                      PRIMARY KEY (container, image)) STRICT;";
/// How many that have ended are kept, and how many images that failed for one container.
const KEPT_ENDED: i64 = 1_000;
const KEPT_FAILURES: i64 = 16;

/// The journal of one engine.
#[derive(Debug)]
pub(super) struct Journal(Mutex<Connection>);

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    /// It is not what was written.
    #[error("the journal `{path}` is damaged: {reason}")]
    Damaged { path: String, reason: String },
    /// Another process has it.
    #[error("the journal `{path}` is in use by another process")]
    InUse { path: String },
    /// Another version of the host made it.
    #[error("the journal `{path}` has version {found}, this host writes {VERSION}")]
    Version { path: String, found: i64 },
    /// The disk does not let us.
    #[error("the journal cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The same.
    #[error("the journal cannot be made: {0}")]
    Io(#[from] io::Error),
    /// Not a mistake of the disk.
    #[error("the journal cannot hold it: {0}")]
    Document(#[from] serde_json::Error),
}

/// An image that failed for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownFailure {
    pub(super) reason: String,
    pub(super) at_ms: i64,
}

impl Journal {
    /// Opens the journal at `path`, made if there is none, and answers what is in it.
    ///
    /// # Errors
    ///
    /// [`JournalError`]. Nothing was changed then.
    pub(super) fn open(path: &Path) -> Result<(Journal, Vec<Record>), JournalError> {
        if !path.try_exists()? {
            create(path)?;
        }
        let shown = path.display().to_string();
        let damaged = |reason: String| JournalError::Damaged { path: shown.clone(), reason };
        if std::fs::metadata(path)?.len() == 0 {
            return Err(damaged("it is empty".to_owned()));
        }
        let of_sqlite = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => damaged(error.to_string()),
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => JournalError::InUse { path: shown.clone() },
            _ => JournalError::Sqlite(error),
        };
        let (journal, records) = Journal::look_through(path).map_err(of_sqlite)?;
        let connection = journal.lock();
        let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map_err(of_sqlite)?;
        drop(connection);
        if version != VERSION {
            return Err(JournalError::Version { path: shown, found: version });
        }
        let records = records.map_err(damaged)?;
        Ok((journal, records))
    }

    /// The journal, and its records, or what is wrong with its content.
    fn look_through(path: &Path) -> rusqlite::Result<(Journal, Result<Vec<Record>, String>)> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(std::time::Duration::ZERO)?;
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL;")?;
        // The lock is taken with the first write, and kept.
        connection.execute_batch("BEGIN EXCLUSIVE; COMMIT;")?;
        let bytes = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        let expected = bytes("page_count")?.saturating_mul(bytes("page_size")?);
        let found = std::fs::metadata(path).map_or(0, |file| file.len());
        if found < expected {
            // SQLite reads what is missing of the last page as zeros.
            let reason = format!("it has {found} bytes, {expected} were written");
            return Ok((Journal(Mutex::new(connection)), Err(reason)));
        }
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
        if verdict != "ok" {
            return Ok((Journal(Mutex::new(connection)), Err(verdict)));
        }
        let records = read(&connection)?;
        Ok((Journal(Mutex::new(connection)), records))
    }

    /// Writes `record` in the place of what was known of it. It is on the disk when this returns.
    pub(super) fn write(&self, record: &Record) -> Result<(), JournalError> {
        let document = serde_json::to_string(record)?;
        let ended =
            (record.phase == Phase::Ended).then(|| record.end.as_ref().map(|end| i64::try_from(end.at_ms).unwrap_or(i64::MAX))).flatten();
        let mut connection = self.lock();
        let change = connection.transaction()?;
        change
            .prepare_cached("INSERT OR REPLACE INTO recreation (id, ended_ms, document, checksum) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![record.id, ended, document, checksum(&record.id, &document)])?;
        if ended.is_some() {
            change.execute(
                "DELETE FROM recreation WHERE ended_ms IS NOT NULL AND id NOT IN \
                 (SELECT id FROM recreation WHERE ended_ms IS NOT NULL ORDER BY ended_ms DESC LIMIT ?1)",
                [KEPT_ENDED],
            )?;
        }
        change.commit()?;
        Ok(())
    }

    /// Remembers that `image` failed for `container`.
    pub(super) fn remember_failure(
        &self,
        container: &str,
        image: &str,
        digest: Option<&str>,
        failure: &KnownFailure,
    ) -> Result<(), JournalError> {
        let mut connection = self.lock();
        let change = connection.transaction()?;
        change.execute(
            "INSERT OR REPLACE INTO failure (container, image, digest, reason, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![container, image, digest, failure.reason, failure.at_ms],
        )?;
        change.execute(
            "DELETE FROM failure WHERE container = ?1 AND image NOT IN (SELECT image FROM failure WHERE container = ?1 ORDER BY at_ms DESC LIMIT ?2)",
            params![container, KEPT_FAILURES],
        )?;
        change.commit()?;
        Ok(())
    }

    /// How `image`, or another with the same digest, failed for `container`; none if it did not.
    pub(super) fn failure(&self, container: &str, image: &str, digest: Option<&str>) -> Result<Option<KnownFailure>, JournalError> {
        let connection = self.lock();
        let mut query = connection.prepare_cached(
            "SELECT reason, at_ms FROM failure WHERE container = ?1 AND (image = ?2 OR digest IS NOT NULL AND digest = ?3) ORDER BY at_ms DESC LIMIT 1",
        )?;
        let found = query.query_row(params![container, image, digest], |row| Ok(KnownFailure { reason: row.get(0)?, at_ms: row.get(1)? }));
        Ok(found.optional()?)
    }

    /// Forgets what failed for `container`, which runs a good image now.
    pub(super) fn forget_failures(&self, container: &str) -> Result<(), JournalError> {
        self.lock().execute("DELETE FROM failure WHERE container = ?1", [container])?;
        Ok(())
    }

    /// Takes no line any more, as on a full disk.
    #[cfg(test)]
    pub(super) fn fill(&self) {
        self.lock().pragma_update(None, "query_only", true).unwrap();
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes an empty journal, which is there as a whole or not at all.
fn create(path: &Path) -> Result<(), JournalError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700).create(folder)?;
    let unfinished = path.with_extension(format!("new-{:08x}", fastrand::u32(..)));
    let made = make(&unfinished).map_err(JournalError::from).and_then(|()| {
        // Never over one that appeared meanwhile.
        std::fs::hard_link(&unfinished, path)?;
        Ok(std::fs::File::open(folder)?.sync_all()?)
    });
    let _gone = std::fs::remove_file(&unfinished);
    made
}

fn make(path: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL;")?;
    let change = connection.transaction()?;
    change.execute_batch(TABLES)?;
    change.pragma_update(None, "user_version", VERSION)?;
    change.commit()?;
    connection.close().map_err(|(_, error)| error)
}

/// All records, or what is wrong with one of them.
fn read(connection: &Connection) -> rusqlite::Result<Result<Vec<Record>, String>> {
    let mut query = connection.prepare("SELECT id, document, checksum FROM recreation ORDER BY rowid")?;
    let mut rows = query.query(())?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, document, sum): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if checksum(&id, &document) != sum {
            return Ok(Err(format!("the record `{id}` is not what was written")));
        }
        match serde_json::from_str(&document) {
            Ok(record) => records.push(record),
            Err(error) => return Ok(Err(format!("the record `{id}` makes no sense: {error}"))),
        }
    }
    Ok(Ok(records))
}

fn checksum(id: &str, document: &str) -> String {
    let sum = Sha256::new().chain_update(id).chain_update([0]).chain_update(document).finalize();
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
