//! `keyvalue`: small values by key. A key has 1 to 512 bytes, a value at most 1 MiB.

use super::Error;
use crate::host::with;

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their code points.
    pub keys: Vec<String>,
    /// What to ask the next part with; none at the end.
    pub cursor: Option<String>,
}

/// The value of `key`; none if it is not there.
///
/// # Errors
///
/// [`Error::Denied`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::QuotaExceeded`], [`Error::Internal`]. So for all of these functions.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(get_all(&[key])?.into_iter().next().flatten())
}

/// The values of `keys`, in their order. At most 1,000 at a time.
///
/// # Errors
///
/// As [`get`].
pub fn get_all(keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    with(|host| host.keyvalue_get(&owned(keys)))
}

/// Sets `key` to `value`.
///
/// # Errors
///
/// As [`get`].
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    set_all(&[(key, value)])
}

/// Sets all of `entries` or none. At most 1,000 at a time.
///
/// # Errors
///
/// As [`get`].
pub fn set_all(entries: &[(&str, &[u8])]) -> Result<(), Error> {
    let entries: Vec<(String, Vec<u8>)> = entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
    with(|host| host.keyvalue_set(&entries))
}

/// Deletes `key`, and answers whether it was there.
///
/// # Errors
///
/// As [`get`].
pub fn delete(key: &str) -> Result<bool, Error> {
    Ok(delete_all(&[key])? > 0)
}

/// Deletes `keys`, and answers how many of them were there. At most 1,000 at a time.
///
/// # Errors
///
/// As [`get`].
pub fn delete_all(keys: &[&str]) -> Result<u64, Error> {
    with(|host| host.keyvalue_delete(&owned(keys)))
}

/// The keys that begin with `prefix`, at most `limit` and at most 1,000, from `cursor` on. Keys that come or go meanwhile may be seen or not.
///
/// # Errors
///
/// As [`get`].
pub fn list(prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, Error> {
    with(|host| host.keyvalue_list(prefix, cursor, limit))
}

/// Sets `key` to `new` (none deletes it) if it is `expected` (none: not there).
///
/// # Errors
///
/// [`Error::Conflict`] with `changed` if it is not; else as [`get`].
pub fn compare_and_set(key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error> {
    with(|host| host.keyvalue_compare_and_set(key, expected, new))
}

/// Adds `by` to the number in `key`, in decimal digits, and answers the sum; one that is not there is 0.
///
/// # Errors
///
/// [`Error::Invalid`] if the value is no number, or the sum has no place in 64 bits; else as [`get`].
pub fn increment(key: &str, by: i64) -> Result<i64, Error> {
    with(|host| host.keyvalue_increment(key, by))
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}
