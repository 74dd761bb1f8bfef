//! Values by key, in a table of the host's own.

use rusqlite::OptionalExtension;

use super::Connection;
use super::error::database_error;
use crate::{Error, MAX_ANSWER_BYTES, keyvalue};

const GET: &str = "SELECT value FROM wharf_keyvalue WHERE key = ?1";
const SET: &str = "INSERT INTO wharf_keyvalue (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM wharf_keyvalue WHERE key = ?1";
const LIST: &str = "SELECT key FROM wharf_keyvalue WHERE key >= ?1 AND key > ?2 AND (?3 IS NULL OR key < ?3) ORDER BY key LIMIT ?4";

impl Connection {
    /// The values of `keys`, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Quota`] when they are more than an answer may hold; [`Error::Unavailable`], [`Error::Internal`].
    pub fn get(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut size = 0;
        keys.iter()
            .map(|key| {
                let value = self.get_one(key)?;
                size += value.as_ref().map_or(0, Vec::len);
                if size > MAX_ANSWER_BYTES { Err(Error::Quota) } else { Ok(value) }
            })
            .collect()
    }

    fn get_one(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let read = || self.inner.prepare_cached(GET)?.query_row([key], |row| row.get(0)).optional();
        read().map_err(database_error)
    }

    /// Sets all of `entries`, inside a transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Full`], [`Error::Unavailable`], [`Error::Internal`].
    pub fn set(&self, entries: &[(String, Vec<u8>)]) -> Result<(), Error> {
        entries.iter().try_for_each(|(key, value)| self.set_one(key, value))
    }

    fn set_one(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let write = || self.inner.prepare_cached(SET)?.execute((key, value));
        write().map(drop).map_err(database_error)
    }

    /// Deletes `keys`, inside a transaction, and answers how many of them were there.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub fn delete(&self, keys: &[String]) -> Result<u64, Error> {
        let delete = |key: &String| self.inner.prepare_cached(DELETE)?.execute([key]);
        let mut deleted = 0;
        for key in keys {
            deleted += u64::from(delete(key).map_err(database_error)? > 0);
        }
        Ok(deleted)
    }

    /// At most `limit` of the keys that begin with `prefix` and come after `after`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = || {
            let mut compiled = self.inner.prepare_cached(LIST)?;
            let keys = compiled.query_map((prefix, after.unwrap_or_default(), keyvalue::end_of(prefix), limit), |row| row.get(0))?;
            keys.collect::<rusqlite::Result<_>>()
        };
        read().map_err(database_error)
    }

    /// Sets `key` to `new` if it is `expected`, inside a transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] with `changed`; as [`Connection::set`].
    pub fn compare_and_set(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error> {
        if self.get_one(key)?.as_deref() != expected {
            return Err(keyvalue::changed(key));
        }
        match new {
            Some(value) => self.set_one(key, value),
            None => self.delete(&[key.to_owned()]).map(drop),
        }
    }

    /// Adds `by` to the number in `key`, inside a transaction, and answers the sum.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is no number or the sum is none of 64 bits; as [`Connection::set`].
    pub fn increment(&self, key: &str, by: i64) -> Result<i64, Error> {
        let sum = keyvalue::sum(key, self.get_one(key)?.as_deref(), by)?;
        self.set_one(key, sum.to_string().as_bytes())?;
        Ok(sum)
    }
}
