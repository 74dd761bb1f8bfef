//! The contract's `storage`, in the SDK's words.

use std::time::{Duration, SystemTime};

use super::Imports;
use crate::bindings::wharf::storage::{blobs as wit_blobs, keyvalue as wit_keyvalue, sealed, sql as wit_sql};
use crate::error::Error;
use crate::storage::blobs::{Blob, Page as BlobPage, Range};
use crate::storage::keyvalue::Page;
use crate::storage::sql::{Migration, Rows, Statement, Value};
use crate::stream::ByteStream;

impl Imports {
    pub(crate) fn sql_migrate(&self, migrations: &[Migration]) -> Result<u32, Error> {
        let migration = |migration: &Migration| wit_sql::Migration {
            version: migration.version,
            name: migration.name.to_owned(),
            statements: migration.statements.iter().map(|&statement| statement.to_owned()).collect(),
        };
        Ok(wit_sql::migrate(&migrations.iter().map(migration).collect::<Vec<_>>())?)
    }

    pub(crate) fn sql_query(&self, statement: &Statement, limit: u32) -> Result<Rows, Error> {
        Ok(wit_sql::query(&statement.into(), limit)?.into())
    }

    pub(crate) fn sql_execute(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        Ok(wit_sql::execute(&all(statements))?)
    }

    pub(crate) fn sql_begin(&self) -> Result<Transaction, Error> {
        Ok(Transaction(wit_sql::begin()?))
    }

    pub(crate) fn sql_open(&self, statement: &Statement, limit: u64) -> Result<Cursor, Error> {
        Ok(Cursor(wit_sql::open(&statement.into(), limit)?))
    }

    pub(crate) fn keyvalue_get(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        Ok(wit_keyvalue::get(keys)?)
    }

    pub(crate) fn keyvalue_set(&self, entries: &[(String, Vec<u8>)]) -> Result<(), Error> {
        let entry = |(key, value): &(String, Vec<u8>)| wit_keyvalue::Entry { key: key.clone(), value: value.clone() };
        Ok(wit_keyvalue::set(&entries.iter().map(entry).collect::<Vec<_>>())?)
    }

    pub(crate) fn keyvalue_delete(&self, keys: &[String]) -> Result<u64, Error> {
        Ok(wit_keyvalue::delete(keys)?)
    }

    pub(crate) fn keyvalue_list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, Error> {
        let wit_keyvalue::Page { keys, cursor } = wit_keyvalue::list(prefix, cursor, limit)?;
        Ok(Page { keys, cursor })
    }

    pub(crate) fn keyvalue_compare_and_set(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error> {
        Ok(wit_keyvalue::compare_and_set(key, expected, new)?)
    }

    pub(crate) fn keyvalue_increment(&self, key: &str, by: i64) -> Result<i64, Error> {
        Ok(wit_keyvalue::increment(key, by)?)
    }

    pub(crate) fn blob_write(&self, name: &str) -> Result<BlobWriter, Error> {
        Ok(BlobWriter(wit_blobs::write(name)?))
    }

    pub(crate) fn blob_store(&self, name: &str, content: ByteStream) -> Result<Blob, Error> {
        Ok(wit_blobs::store(name, content.0)?.into())
    }

    pub(crate) fn blob_read(&self, name: &str, range: Option<Range>) -> Result<ByteStream, Error> {
        let range = range.map(|range| wit_blobs::Range { first: range.first, length: range.length });
        Ok(ByteStream(wit_blobs::read(name, range)?))
    }

    pub(crate) fn blob_stat(&self, names: &[String]) -> Vec<Result<Blob, Error>> {
        wit_blobs::stat(names).into_iter().map(|answer| answer.map(Blob::from).map_err(Error::from)).collect()
    }

    pub(crate) fn blob_list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<BlobPage, Error> {
        let wit_blobs::Page { blobs, cursor } = wit_blobs::list(prefix, cursor, limit)?;
        Ok(BlobPage { blobs: blobs.into_iter().map(Blob::from).collect(), cursor })
    }

    pub(crate) fn blob_delete(&self, names: &[String]) -> Result<u64, Error> {
        Ok(wit_blobs::delete(names)?)
    }

    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(sealed::seal(plain)?)
    }

    pub(crate) fn unseal(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(sealed::open(sealed)?)
    }
}

/// A transaction of the host.
#[derive(Debug)]
pub(crate) struct Transaction(wit_sql::Transaction);

impl Transaction {
    pub(crate) fn query(&self, statement: &Statement, limit: u32) -> Result<Rows, Error> {
        Ok(self.0.query(&statement.into(), limit)?.into())
    }

    pub(crate) fn execute(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        Ok(self.0.execute(&all(statements))?)
    }

    pub(crate) fn commit(self) -> Result<(), Error> {
        Ok(self.0.commit()?)
    }

    pub(crate) fn rollback(self) -> Result<(), Error> {
        Ok(self.0.rollback()?)
    }
}

/// A cursor of the host.
#[derive(Debug)]
pub(crate) struct Cursor(wit_sql::Cursor);

impl Cursor {
    pub(crate) fn columns(&self) -> Vec<String> {
        self.0.columns()
    }

    pub(crate) fn next(&mut self, max: u32) -> Result<Vec<Vec<Value>>, Error> {
        Ok(values(self.0.next(max)?))
    }
}

/// A blob that the host is storing.
#[derive(Debug)]
pub(crate) struct BlobWriter(wit_blobs::BlobWriter);

impl BlobWriter {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.0.write(bytes)?)
    }

    pub(crate) fn finish(self) -> Result<Blob, Error> {
        Ok(self.0.finish()?.into())
    }
}

fn all(statements: &[Statement]) -> Vec<wit_sql::Statement> {
    statements.iter().map(wit_sql::Statement::from).collect()
}

fn values(rows: Vec<Vec<wit_sql::Value>>) -> Vec<Vec<Value>> {
    rows.into_iter().map(|row| row.into_iter().map(Value::from).collect()).collect()
}

impl From<&Statement> for wit_sql::Statement {
    fn from(statement: &Statement) -> wit_sql::Statement {
        let parameters = statement.parameters.iter().map(wit_sql::Value::from).collect();
        wit_sql::Statement { sql: statement.sql.clone(), parameters }
    }
}

impl From<wit_sql::Rows> for Rows {
    fn from(rows: wit_sql::Rows) -> Rows {
        Rows::new(rows.columns, values(rows.rows), rows.more)
    }
}

impl From<&Value> for wit_sql::Value {
    fn from(value: &Value) -> wit_sql::Value {
        match value {
            Value::Null => wit_sql::Value::Null,
            Value::Boolean(boolean) => wit_sql::Value::Boolean(*boolean),
            Value::Integer(integer) => wit_sql::Value::Integer(*integer),
            Value::Real(real) => wit_sql::Value::Real(*real),
            Value::Text(text) => wit_sql::Value::Text(text.clone()),
            Value::Blob(blob) => wit_sql::Value::Blob(blob.clone()),
        }
    }
}

impl From<wit_sql::Value> for Value {
    fn from(value: wit_sql::Value) -> Value {
        match value {
            wit_sql::Value::Null => Value::Null,
            wit_sql::Value::Boolean(boolean) => Value::Boolean(boolean),
            wit_sql::Value::Integer(integer) => Value::Integer(integer),
            wit_sql::Value::Real(real) => Value::Real(real),
            wit_sql::Value::Text(text) => Value::Text(text),
            wit_sql::Value::Blob(blob) => Value::Blob(blob),
        }
    }
}

impl From<wit_blobs::Blob> for Blob {
    fn from(blob: wit_blobs::Blob) -> Blob {
        let stored = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(blob.stored_ms)).unwrap_or(SystemTime::UNIX_EPOCH);
        Blob { name: blob.name, size: blob.size, digest: blob.digest, stored }
    }
}
