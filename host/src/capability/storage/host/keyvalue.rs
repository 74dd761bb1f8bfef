//! Small values by key.

use super::super::error::Failure;
use super::super::grant::Power;
use super::super::{MAX_KEY_BYTES, MAX_KEYS, MAX_VALUE_BYTES, StorageCtxView};
use crate::bindings::wharf::storage::keyvalue;
use crate::bindings::wharf::storage::types::Error;

impl keyvalue::Host for StorageCtxView<'_> {
    async fn get(&mut self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, Error> {
        const FUNCTION: &str = "storage.keyvalue.get";
        let found = async {
            let space = self.space(FUNCTION, Power::Keyvalue)?;
            check_keys(keys.iter())?;
            Ok(space.get(keys).await?)
        };
        let found: Result<_, Failure> = found.await;
        found.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn set(&mut self, entries: Vec<keyvalue::Entry>) -> Result<(), Error> {
        const FUNCTION: &str = "storage.keyvalue.set";
        let set = async {
            let space = self.space(FUNCTION, Power::Keyvalue)?;
            check_keys(entries.iter().map(|entry| &entry.key))?;
            entries.iter().try_for_each(|entry| check_value(&entry.value))?;
            Ok(space.set(entries.into_iter().map(|entry| (entry.key, entry.value)).collect()).await?)
        };
        let set: Result<_, Failure> = set.await;
        set.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn delete(&mut self, keys: Vec<String>) -> Result<u64, Error> {
        const FUNCTION: &str = "storage.keyvalue.delete";
        let deleted = async {
            let space = self.space(FUNCTION, Power::Keyvalue)?;
            check_keys(keys.iter())?;
            Ok(space.delete(keys).await?)
        };
        let deleted: Result<_, Failure> = deleted.await;
        deleted.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn list(&mut self, prefix: String, cursor: Option<String>, limit: u32) -> Result<keyvalue::Page, Error> {
        const FUNCTION: &str = "storage.keyvalue.list";
        let listed = async {
            let space = self.space(FUNCTION, Power::Keyvalue)?;
            for text in [Some(&prefix), cursor.as_ref()].into_iter().flatten() {
                check_text(text)?;
            }
            let limit = usize::try_from(limit).unwrap_or(MAX_KEYS).min(MAX_KEYS);
            // One more, to know whether it was the last.
            let mut keys = space.list(prefix, cursor, limit + 1).await?;
            let more = keys.len() > limit;
            keys.truncate(limit);
            let cursor = if more { keys.last().cloned() } else { None };
            Ok(keyvalue::Page { keys, cursor })
        };
        let listed: Result<_, Failure> = listed.await;
        listed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn compare_and_set(&mut self, key: String, expected: Option<Vec<u8>>, new: Option<Vec<u8>>) -> Result<(), Error> {
        const FUNCTION: &str = "storage.keyvalue.compare-and-set";
        let set = async {
            let space = self.space(FUNCTION, Power::Keyvalue)?;
            check_keys([&key].into_iter())?;
            new.iter().try_for_each(|value| check_value(value))?;
            Ok(space.compare_and_set(key, expected, new).await?)
        };
        let set: Result<_, Failure> = set.await;
        set.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn increment(&mut self, key: String, by: i64) -> Result<i64, Error> {
        const FUNCTION: &str = "storage.keyvalue.increment";
        let sum = async {
            let space = self.space(FUNCTION, Power::Keyvalue)?;
            check_keys([&key].into_iter())?;
            Ok(space.increment(key, by).await?)
        };
        let sum: Result<_, Failure> = sum.await;
        sum.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

fn check_keys<'k>(keys: impl ExactSizeIterator<Item = &'k String>) -> Result<(), Failure> {
    if keys.len() > MAX_KEYS {
        return Err(Failure::Invalid(format!("{} keys in one call, at most {MAX_KEYS}", keys.len())));
    }
    for key in keys {
        if key.is_empty() {
            return Err(Failure::Invalid("a key is empty".to_owned()));
        }
        check_text(key)?;
    }
    Ok(())
}

/// Checks what is a key, or may be a part of one.
fn check_text(text: &str) -> Result<(), Failure> {
    if text.len() > MAX_KEY_BYTES {
        return Err(Failure::Invalid(format!("a key has {} bytes, at most {MAX_KEY_BYTES}", text.len())));
    }
    if text.contains('\0') {
        return Err(Failure::Invalid("a key has a NUL in it".to_owned()));
    }
    Ok(())
}

fn check_value(value: &[u8]) -> Result<(), Failure> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(Failure::Invalid(format!("a value has {} bytes, at most {MAX_VALUE_BYTES}", value.len())));
    }
    Ok(())
}
