//! The storage of the fake host. Tables and values by key are in a SQLite database in memory, behind the gates of the real host; blobs are in a map; what is sealed is marked and not encrypted.
//!
//! There is one connection: a question that is asked beside an open transaction sees what that has done.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};
use wharf_sql::Error as SqlError;
use wharf_sql::sqlite::Connection;

use super::stream;
use crate::error::Error;
use crate::storage::blobs::{Blob, Page as BlobPage, Range};
use crate::storage::keyvalue::Page;
use crate::storage::sql::{Migration, Rows, Statement, Value};
use crate::stream::ByteStream;

mod host;

/// What the plugin keeps.
#[derive(Default)]
pub(super) struct Storage {
    database: Option<Rc<RefCell<Connection>>>,
    pub(super) blobs: Blobs,
}

/// By their names.
pub(super) type Blobs = Rc<RefCell<BTreeMap<String, (Vec<u8>, SystemTime)>>>;

/// How long a statement may take here, however large the plugin's test is.
const STATEMENT: Duration = Duration::from_secs(60);
/// What stands before a text that was sealed.
const SEAL: &[u8] = b"sealed:";

impl Storage {
    fn database(&mut self) -> Result<&Rc<RefCell<Connection>>, Error> {
        match &mut self.database {
            Some(database) => Ok(database),
            empty => Ok(empty.insert(Rc::new(RefCell::new(Connection::in_memory()?)))),
        }
    }

    pub(super) fn migrate(&mut self, migrations: &[Migration]) -> Result<u32, Error> {
        let migration = |migration: &Migration| wharf_sql::Migration {
            version: migration.version,
            name: migration.name.to_owned(),
            statements: migration.statements.iter().map(|&statement| statement.to_owned()).collect(),
        };
        let migrations: Vec<_> = migrations.iter().map(migration).collect();
        Ok(self.database()?.borrow_mut().migrate(&migrations, deadline())?)
    }

    pub(super) fn query(&mut self, statement: &Statement, limit: u32) -> Result<Rows, Error> {
        query(&mut self.database()?.borrow_mut(), statement, limit)
    }

    pub(super) fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        Ok(self.database()?.borrow_mut().execute_or_undo(&all(statements), deadline())?)
    }

    pub(super) fn begin(&mut self) -> Result<Transaction, Error> {
        let database = self.database()?;
        if database.borrow().is_in_transaction() {
            // The real host waits until the other one is too old.
            return Err(Error::Timeout);
        }
        database.borrow_mut().begin(false)?;
        Ok(Transaction { database: Rc::clone(database), open: true })
    }

    pub(super) fn open(&mut self, statement: &Statement, limit: u64) -> Result<Cursor, Error> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let rows = self.database()?.borrow_mut().query(&statement.into(), limit, deadline())?;
        let mut values: Vec<Vec<Value>> = rows.rows.into_iter().map(|row| row.into_iter().map(Value::from).collect()).collect();
        values.reverse();
        Ok(Cursor { columns: rows.columns, rest: values })
    }

    pub(super) fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        check_keys(keys.iter())?;
        Ok(self.database()?.borrow().get(keys)?)
    }

    pub(super) fn set(&mut self, entries: &[(String, Vec<u8>)]) -> Result<(), Error> {
        check_keys(entries.iter().map(|(key, _)| key))?;
        if entries.iter().any(|(_, value)| value.len() > 1 << 20) {
            return Err(Error::Invalid("a value has more than 1048576 bytes".to_owned()));
        }
        Ok(self.database()?.borrow().set(entries)?)
    }

    pub(super) fn delete(&mut self, keys: &[String]) -> Result<u64, Error> {
        check_keys(keys.iter())?;
        Ok(self.database()?.borrow().delete(keys)?)
    }

    pub(super) fn list(&mut self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, Error> {
        let limit = limit.min(1_000) as usize;
        let mut keys = self.database()?.borrow().list(prefix, cursor, limit + 1)?;
        let more = keys.len() > limit;
        keys.truncate(limit);
        let cursor = if more { keys.last().cloned() } else { None };
        Ok(Page { keys, cursor })
    }

    pub(super) fn compare_and_set(&mut self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error> {
        check_keys([&key.to_owned()].into_iter())?;
        Ok(self.database()?.borrow().compare_and_set(key, expected, new)?)
    }

    pub(super) fn increment(&mut self, key: &str, by: i64) -> Result<i64, Error> {
        check_keys([&key.to_owned()].into_iter())?;
        Ok(self.database()?.borrow().increment(key, by)?)
    }

    pub(super) fn blob_write(&mut self, name: &str) -> Result<BlobWriter, Error> {
        check_blob(name)?;
        Ok(BlobWriter { name: name.to_owned(), written: Vec::new(), blobs: Rc::clone(&self.blobs) })
    }

    pub(super) fn blob_read(&mut self, name: &str, range: Option<Range>) -> Result<ByteStream, Error> {
        check_blob(name)?;
        let blobs = self.blobs.borrow();
        let (bytes, _) = blobs.get(name).ok_or(Error::NotFound)?;
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let Range { first, length } = range.unwrap_or(Range { first: 0, length: None });
        let rest = bytes.get(size(first)..).ok_or_else(|| Error::Invalid(format!("byte {first} is past the end")))?;
        let part = rest.get(..length.map_or(rest.len(), size).min(rest.len())).unwrap_or_default();
        Ok(ByteStream(stream::ByteStream::new([Ok(part.to_vec())])))
    }

    pub(super) fn blob_stat(&mut self, name: &str) -> Result<Blob, Error> {
        check_blob(name)?;
        let blobs = self.blobs.borrow();
        let (bytes, stored) = blobs.get(name).ok_or(Error::NotFound)?;
        Ok(blob(name, bytes, *stored))
    }

    pub(super) fn blob_list(&mut self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<BlobPage, Error> {
        let blobs = self.blobs.borrow();
        let after = cursor.unwrap_or_default();
        let fits = |name: &str| name.starts_with(prefix) && name > after;
        let mut found = blobs.iter().filter(|(name, _)| fits(name)).map(|(name, (bytes, stored))| blob(name, bytes, *stored));
        let blobs: Vec<Blob> = found.by_ref().take(limit.min(1_000) as usize).collect();
        let cursor = found.next().and_then(|_| blobs.last().map(|blob| blob.name.clone()));
        Ok(BlobPage { blobs, cursor })
    }

    pub(super) fn blob_delete(&mut self, names: &[String]) -> Result<u64, Error> {
        names.iter().try_for_each(|name| check_blob(name))?;
        let mut blobs = self.blobs.borrow_mut();
        Ok(names.iter().map(|name| u64::from(blobs.remove(name).is_some())).sum())
    }
}

pub(super) fn seal(plain: &[u8]) -> Result<Vec<u8>, Error> {
    if plain.len() > 64 << 10 {
        return Err(Error::Invalid(format!("{} bytes to seal, at most 65536", plain.len())));
    }
    Ok([SEAL, &plain.iter().map(|byte| !byte).collect::<Vec<u8>>()].concat())
}

pub(super) fn unseal(sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let inner = sealed.strip_prefix(SEAL);
    let inner = inner.ok_or_else(|| Error::Invalid("it was not sealed for this plugin, or it was changed".to_owned()))?;
    Ok(inner.iter().map(|byte| !byte).collect())
}

/// A transaction on the one connection.
pub(crate) struct Transaction {
    database: Rc<RefCell<Connection>>,
    open: bool,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Transaction").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Transaction {
    pub(crate) fn query(&self, statement: &Statement, limit: u32) -> Result<Rows, Error> {
        query(&mut self.database.borrow_mut(), statement, limit)
    }

    pub(crate) fn execute(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        Ok(self.database.borrow_mut().execute_or_undo(&all(statements), deadline())?)
    }

    pub(crate) fn commit(mut self) -> Result<(), Error> {
        self.open = false;
        Ok(self.database.borrow_mut().commit()?)
    }

    #[expect(clippy::unnecessary_wraps, reason = "in a component the host may be away")]
    pub(crate) fn rollback(self) -> Result<(), Error> {
        drop(self);
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            self.database.borrow_mut().rollback();
        }
    }
}

/// Rows that were read already.
#[derive(Debug)]
pub(crate) struct Cursor {
    columns: Vec<String>,
    /// From the last to the next.
    rest: Vec<Vec<Value>>,
}

impl Cursor {
    pub(crate) fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    #[expect(clippy::unnecessary_wraps, reason = "in a component the host may be away")]
    pub(crate) fn next(&mut self, max: u32) -> Result<Vec<Vec<Value>>, Error> {
        let from = self.rest.len().saturating_sub(max as usize);
        Ok(self.rest.drain(from..).rev().collect())
    }
}

/// A blob that is being written.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    name: String,
    written: Vec<u8>,
    blobs: Blobs,
}

impl BlobWriter {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > 1 << 20 {
            return Err(Error::Invalid(format!("{} bytes at a time, at most 1048576", bytes.len())));
        }
        self.written.extend_from_slice(bytes);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "in a component the host may be away")]
    pub(crate) fn finish(self) -> Result<Blob, Error> {
        let stored = SystemTime::now();
        let blob = blob(&self.name, &self.written, stored);
        self.blobs.borrow_mut().insert(self.name, (self.written, stored));
        Ok(blob)
    }
}

fn blob(name: &str, bytes: &[u8], stored: SystemTime) -> Blob {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Blob { name: name.to_owned(), size: bytes.len() as u64, digest: format!("sha256:{digest}"), stored }
}

fn query(database: &mut Connection, statement: &Statement, limit: u32) -> Result<Rows, Error> {
    let rows = database.query(&statement.into(), limit.min(10_000) as usize, deadline())?;
    let values = rows.rows.into_iter().map(|row| row.into_iter().map(Value::from).collect()).collect();
    Ok(Rows::new(rows.columns, values, rows.more))
}

fn all(statements: &[Statement]) -> Vec<wharf_sql::Statement> {
    statements.iter().map(wharf_sql::Statement::from).collect()
}

fn deadline() -> Instant {
    Instant::now() + STATEMENT
}

fn check_keys<'k>(keys: impl ExactSizeIterator<Item = &'k String>) -> Result<(), Error> {
    if keys.len() > 1_000 {
        return Err(Error::Invalid(format!("{} keys in one call, at most 1000", keys.len())));
    }
    for key in keys {
        if key.is_empty() || key.len() > 512 || key.contains('\0') {
            return Err(Error::Invalid(format!("a key has 1 to 512 bytes and no NUL, and this one {}", key.len())));
        }
    }
    Ok(())
}

pub(super) fn check_blob(name: &str) -> Result<(), Error> {
    let parts = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if name.len() > 512 || !parts || name.contains('\0') {
        return Err(Error::Invalid(format!("`{name}` is no name of a blob")));
    }
    Ok(())
}

impl From<&Statement> for wharf_sql::Statement {
    fn from(statement: &Statement) -> wharf_sql::Statement {
        let value = |value: &Value| match value {
            Value::Null => wharf_sql::Value::Null,
            Value::Boolean(boolean) => wharf_sql::Value::Boolean(*boolean),
            Value::Integer(integer) => wharf_sql::Value::Integer(*integer),
            Value::Real(real) => wharf_sql::Value::Real(*real),
            Value::Text(text) => wharf_sql::Value::Text(text.clone()),
            Value::Blob(blob) => wharf_sql::Value::Blob(blob.clone()),
        };
        wharf_sql::Statement { sql: statement.sql.clone(), parameters: statement.parameters.iter().map(value).collect() }
    }
}

impl From<wharf_sql::Value> for Value {
    fn from(value: wharf_sql::Value) -> Value {
        match value {
            wharf_sql::Value::Null => Value::Null,
            wharf_sql::Value::Boolean(boolean) => Value::Boolean(boolean),
            wharf_sql::Value::Integer(integer) => Value::Integer(integer),
            wharf_sql::Value::Real(real) => Value::Real(real),
            wharf_sql::Value::Text(text) => Value::Text(text),
            wharf_sql::Value::Blob(blob) => Value::Blob(blob),
        }
    }
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Error {
        match error {
            SqlError::Invalid(rule) => Error::Invalid(rule),
            SqlError::Conflict(reason) => Error::Conflict(reason),
            SqlError::Unavailable(reason) => Error::Unavailable(reason),
            SqlError::Timeout => Error::Timeout,
            SqlError::Quota | SqlError::Full => Error::QuotaExceeded,
            SqlError::Internal(reason) => Error::Internal(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Host;
    use crate::storage::{Error, blobs, conflict, keyvalue, sealed, sql};
    use crate::stream::ByteStream;

    const TABLES: &[sql::Migration] = &[sql::Migration {
        version: 1,
        name: "things",
        statements: &["CREATE TABLE things (id SERIAL PRIMARY KEY, name TEXT NOT NULL UNIQUE, on_shelf BOOLEAN NOT NULL DEFAULT TRUE)"],
    }];

    fn count() -> i64 {
        sql::query_one("SELECT count(*) FROM things", &[]).unwrap().unwrap().get(0).unwrap()
    }

    #[test]
    fn a_plugins_tests_run_real_sql() {
        let host = Host::install();
        assert_eq!((sql::migrate(TABLES), sql::migrate(TABLES)), (Ok(1), Ok(0)));
        assert_eq!(sql::execute("INSERT INTO things (name) VALUES ($1), ($2)", &[&"a", &"b".to_owned()]), Ok(2));
        let rows = sql::query("SELECT id, name, on_shelf FROM things WHERE name > $1 ORDER BY id", &[&"a"], 10).unwrap();
        let row = rows.into_iter().next().unwrap();
        assert_eq!((row.get(0), row.get("name"), row.get("on_shelf")), (Ok(2_i64), Ok("b".to_owned()), Ok(true)));
        let twice = sql::execute("INSERT INTO things (name) VALUES ('a')", &[]).unwrap_err();
        assert_eq!(conflict(&twice), Some(("unique", "things.name")));
        assert!(matches!(sql::query("SELECT pg_sleep(1)", &[], 1), Err(Error::Invalid(_))));
        assert_eq!(host.calls_of("storage.sql.migrate").len(), 2);
    }

    #[test]
    fn a_transaction_is_kept_or_undone() {
        let _host = Host::install();
        sql::migrate(TABLES).unwrap();
        let kept = sql::transaction(|transaction| transaction.execute("INSERT INTO things (name) VALUES ('a')", &[]));
        assert_eq!((kept, count()), (Ok(1), 1));
        let transaction = sql::begin().unwrap();
        transaction.execute("DELETE FROM things", &[]).unwrap();
        assert!(transaction.execute("INSERT INTO things (name) VALUES (NULL)", &[]).is_err());
        assert_eq!(transaction.query_one("SELECT id FROM things", &[]), Ok(None), "it goes on");
        assert_eq!(sql::begin().err(), Some(Error::Timeout));
        drop(transaction);
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_cursor_reads_all_rows() {
        let _host = Host::install();
        let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) SELECT i FROM n";
        let read: Vec<i64> = sql::open(numbers, &[], 1_100).unwrap().map(|row| row.unwrap().get("i").unwrap()).collect();
        assert_eq!(read, (1..=1_100).collect::<Vec<_>>());
    }

    #[test]
    fn values_are_kept_by_key() {
        let _host = Host::install();
        keyvalue::set_all(&[("a/1", b"x"), ("a/2", b"y"), ("b", b"z")]).unwrap();
        assert_eq!(keyvalue::get_all(&["a/2", "c"]), Ok(vec![Some(b"y".to_vec()), None]));
        let page = keyvalue::list("a/", None, 1).unwrap();
        assert_eq!((page.keys, page.cursor.clone()), (vec!["a/1".to_owned()], Some("a/1".to_owned())));
        assert_eq!(keyvalue::list("a/", page.cursor.as_deref(), 1), Ok(keyvalue::Page { keys: vec!["a/2".to_owned()], cursor: None }));
        assert_eq!(keyvalue::compare_and_set("b", Some(b"z"), None), Ok(()));
        assert_eq!(conflict(&keyvalue::compare_and_set("b", Some(b"z"), Some(b"q")).unwrap_err()).unwrap().0, "changed");
        assert_eq!((keyvalue::increment("n", 5), keyvalue::increment("n", -7)), (Ok(5), Ok(-2)));
        assert!(matches!(keyvalue::increment("a/1", 1), Err(Error::Invalid(_))));
        assert_eq!(keyvalue::delete("a/1"), Ok(true));
    }

    #[test]
    fn blobs_are_stored_read_and_listed() {
        let _host = Host::install();
        let mut writer = blobs::write("d/1").unwrap();
        writer.write(b"hello").unwrap();
        assert_eq!(blobs::stat("d/1"), Err(Error::NotFound), "not before it is finished");
        let stored = writer.finish().unwrap();
        assert!(stored.size == 5 && stored.digest.starts_with("sha256:2cf24dba"), "{stored:?}");
        let again = blobs::store("d/2", blobs::read("d/1", Some(blobs::Range { first: 1, length: Some(3) })).unwrap()).unwrap();
        let bytes = blobs::read(&again.name, None).and_then(ByteStream::read_to_end);
        assert_eq!(bytes, Ok(b"ell".to_vec()));
        assert!(matches!(blobs::read("d/1", Some(blobs::Range { first: 6, length: None })), Err(Error::Invalid(_))));
        assert!(matches!(blobs::write("../x").err(), Some(Error::Invalid(_))));
        assert_eq!(blobs::list("d/", None, 1).unwrap().cursor.as_deref(), Some("d/1"));
        assert_eq!(blobs::delete_all(&["d/1", "d/3"]), Ok(1));
    }

    #[test]
    fn what_was_sealed_is_opened() {
        let _host = Host::install();
        let sealed = sealed::seal(b"secret").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(sealed::open(&sealed), Ok(b"secret".to_vec()));
        assert!(matches!(sealed::open(b"secret"), Err(Error::Invalid(_))));
    }
}
