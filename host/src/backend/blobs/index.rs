//! The index of a directory of blobs: which names there are, and which file has the bytes of each.
//!
//! A table of SQLite's in the directory itself. A name is there when its row is, so that one transaction makes a blob visible with all that is known of it, and replaces another in one moment. It is not the
//! plugin's database: that may be on another machine, and a plugin can write to it. Every function blocks.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Blob, BlobDigest, BlobName, Page};

/// Marks a database as ours, and its version: one that another version of the host wrote is not read as if it were this one's.
const VERSION: i64 = 1;

/// Texts are compared byte by byte, which is the order of code points. A file has one name, so `file` is unique.
const TABLE: &str = "CREATE TABLE blob (name TEXT PRIMARY KEY NOT NULL, file TEXT UNIQUE NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL, \
                     stored_ms INTEGER NOT NULL) WITHOUT ROWID, STRICT";

/// The index.
pub(super) struct Index {
    writer: Mutex<Connection>,
    /// Does not wait for the disk, as a writer does at each commit.
    reader: Mutex<Connection>,
}

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) blob: Blob,
    /// The name of the file with the bytes.
    pub(super) file: String,
}

impl Index {
    /// Opens the index at `path`, made if it is not there.
    ///
    /// # Errors
    ///
    /// SQLite's; one that another version made is none for us.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Index> {
        let mut writer = connect(path)?;
        let change = writer.transaction()?;
        match change.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
            0 => {
                change.execute(TABLE, ())?;
                change.pragma_update(None, "user_version", VERSION)?;
            }
            VERSION => {}
            version => {
                tracing::error!(path = %path.display(), version, expected = VERSION, "another version of the host made this index of blobs");
                return Err(rusqlite::Error::InvalidQuery);
            }
        }
        change.commit()?;
        Ok(Index { writer: Mutex::new(writer), reader: Mutex::new(connect(path)?) })
    }

    /// The bytes of all blobs.
    pub(super) fn total(&self) -> rusqlite::Result<u64> {
        self.reader().query_row("SELECT coalesce(sum(size), 0) FROM blob", (), |row| row.get(0))
    }

    /// Whether a blob has its bytes in `file`.
    pub(super) fn names(&self, file: &str) -> rusqlite::Result<bool> {
        self.reader().prepare_cached("SELECT 1 FROM blob WHERE file = ?1")?.exists([file])
    }

    /// What is known of `name`.
    pub(super) fn entry(&self, name: &BlobName) -> rusqlite::Result<Option<Entry>> {
        let reader = self.reader();
        let mut query = reader.prepare_cached("SELECT name, file, size, digest, stored_ms FROM blob WHERE name = ?1")?;
        query.query_row([name.as_str()], entry).optional()
    }

    /// Puts `entry` in the place of the one of its name, and answers that.
    pub(super) fn put(&self, entry: &Entry) -> rusqlite::Result<Option<Replaced>> {
        let Entry { blob, file } = entry;
        let mut writer = self.writer();
        let change = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let replaced = change
            .prepare_cached("SELECT file, size FROM blob WHERE name = ?1")?
            .query_row([blob.name.as_str()], |row| Ok(Replaced { file: row.get(0)?, size: row.get(1)? }))
            .optional()?;
        change
            .prepare_cached("INSERT OR REPLACE INTO blob (name, file, size, digest, stored_ms) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![blob.name.as_str(), file, blob.size, blob.digest.0, blob.stored_ms])?;
        change.commit()?;
        Ok(replaced)
    }

    /// Takes `names` out, in one transaction, and answers those that were there.
    pub(super) fn delete(&self, names: &[BlobName]) -> rusqlite::Result<Vec<Replaced>> {
        let mut writer = self.writer();
        let change = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut deleted = Vec::new();
        for name in names {
            let mut delete = change.prepare_cached("DELETE FROM blob WHERE name = ?1 RETURNING file, size")?;
            let found = delete.query_row([name.as_str()], |row| Ok(Replaced { file: row.get(0)?, size: row.get(1)? }));
            deleted.extend(found.optional()?);
        }
        change.commit()?;
        Ok(deleted)
    }

    /// See [`super::BlobSpace::list`].
    pub(super) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> rusqlite::Result<Page> {
        let reader = self.reader();
        // What begins with the prefix stands together, from the prefix on, and ends with the first that does not.
        let mut query = reader.prepare_cached(
            "SELECT name, file, size, digest, stored_ms FROM blob WHERE name >= ?1 AND (?2 IS NULL OR name > ?2) ORDER BY name LIMIT ?3",
        )?;
        let from = after.map_or(prefix, |after| prefix.max(after));
        let rows = query.query_map(params![from, after, limit as u64 + 1], entry)?;
        let mut blobs = Vec::new();
        for row in rows {
            let blob = row?.blob;
            if !blob.name.as_str().starts_with(prefix) {
                break;
            }
            blobs.push(blob);
        }
        let more = blobs.len() > limit;
        blobs.truncate(limit);
        let cursor = blobs.last().filter(|_| more).map(|blob| blob.name.as_str().to_owned());
        Ok(Page { blobs, cursor })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was at a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) file: String,
    pub(super) size: u64,
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // FULL: what was committed is on the disk, also in the write-ahead log.
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let name: String = row.get("name")?;
    let wrong = |rule: String| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, rule.into());
    let name = BlobName::parse(&name).map_err(wrong)?;
    let blob = Blob { name, size: row.get("size")?, digest: BlobDigest(row.get("digest")?), stored_ms: row.get("stored_ms")? };
    Ok(Entry { blob, file: row.get("file")? })
}
