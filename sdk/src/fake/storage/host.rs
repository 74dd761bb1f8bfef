//! What the fake host answers to the functions of `storage`.

use super::super::Host;
use super::{BlobWriter, Cursor, Storage, Transaction, seal, unseal};
use crate::error::Error;
use crate::host;
use crate::storage::{blobs, keyvalue, sql};
use crate::stream::ByteStream;

impl host::Storage for Host {
    fn sql_migrate(&self, migrations: &[sql::Migration]) -> Result<u32, Error> {
        self.keep("storage.sql.migrate", "", |storage| storage.migrate(migrations))
    }

    fn sql_query(&self, statement: &sql::Statement, limit: u32) -> Result<sql::Rows, Error> {
        self.keep("storage.sql.query", &statement.sql, |storage| storage.query(statement, limit))
    }

    fn sql_execute(&self, statements: &[sql::Statement]) -> Result<Vec<u64>, Error> {
        let about: Vec<&str> = statements.iter().map(|statement| statement.sql.as_str()).collect();
        self.keep("storage.sql.execute", &about.join(";"), |storage| storage.execute(statements))
    }

    fn sql_begin(&self) -> Result<Transaction, Error> {
        self.keep("storage.sql.begin", "", Storage::begin)
    }

    fn sql_open(&self, statement: &sql::Statement, limit: u64) -> Result<Cursor, Error> {
        self.keep("storage.sql.open", &statement.sql, |storage| storage.open(statement, limit))
    }

    fn keyvalue_get(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.keep("storage.keyvalue.get", &keys.join(","), |storage| storage.get(keys))
    }

    fn keyvalue_set(&self, entries: &[(String, Vec<u8>)]) -> Result<(), Error> {
        let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        self.keep("storage.keyvalue.set", &keys.join(","), |storage| storage.set(entries))
    }

    fn keyvalue_delete(&self, keys: &[String]) -> Result<u64, Error> {
        self.keep("storage.keyvalue.delete", &keys.join(","), |storage| storage.delete(keys))
    }

    fn keyvalue_list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<keyvalue::Page, Error> {
        self.keep("storage.keyvalue.list", prefix, |storage| storage.list(prefix, cursor, limit))
    }

    fn keyvalue_compare_and_set(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error> {
        self.keep("storage.keyvalue.compare-and-set", key, |storage| storage.compare_and_set(key, expected, new))
    }

    fn keyvalue_increment(&self, key: &str, by: i64) -> Result<i64, Error> {
        self.keep("storage.keyvalue.increment", key, |storage| storage.increment(key, by))
    }

    fn blob_write(&self, name: &str) -> Result<BlobWriter, Error> {
        self.keep("storage.blobs.write", name, |storage| storage.blob_write(name))
    }

    fn blob_store(&self, name: &str, content: ByteStream) -> Result<blobs::Blob, Error> {
        let mut writer = self.keep("storage.blobs.store", name, |storage| storage.blob_write(name))?;
        let bytes = content.read_to_end().map_err(|error| Error::Unavailable(error.to_string()))?;
        bytes.chunks(1 << 20).try_for_each(|chunk| writer.write(chunk))?;
        writer.finish()
    }

    fn blob_read(&self, name: &str, range: Option<blobs::Range>) -> Result<ByteStream, Error> {
        self.keep("storage.blobs.read", name, |storage| storage.blob_read(name, range))
    }

    fn blob_stat(&self, names: &[String]) -> Vec<Result<blobs::Blob, Error>> {
        let answers =
            self.keep("storage.blobs.stat", &names.join(","), |storage| Ok(names.iter().map(|name| storage.blob_stat(name)).collect()));
        answers.unwrap_or_else(|error: Error| names.iter().map(|_| Err(error.clone())).collect())
    }

    fn blob_list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<blobs::Page, Error> {
        self.keep("storage.blobs.list", prefix, |storage| storage.blob_list(prefix, cursor, limit))
    }

    fn blob_delete(&self, names: &[String]) -> Result<u64, Error> {
        self.keep("storage.blobs.delete", &names.join(","), |storage| storage.blob_delete(names))
    }

    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        self.keep("storage.sealed.seal", "", |_| seal(plain))
    }

    fn unseal(&self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        self.keep("storage.sealed.open", "", |_| unseal(sealed))
    }
}
