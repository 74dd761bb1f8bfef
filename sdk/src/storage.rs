//! What the plugin keeps: tables, values by key, blobs, and sealed texts.
//!
//! One module for each interface of the contract, which is also one word of `[site.plugin.grants.storage]`. Each plugin of each site has a space of its own, under the name that `wharf.toml` gives it. What a
//! call has answered to is kept, also when the host is killed in the next moment.
//!
//! On a native target the tables are in a SQLite database in memory, held to the same rules, and everything else is in memory too.

pub use crate::error::Error;

pub mod blobs;
pub mod keyvalue;
pub mod sealed;
pub mod sql;

/// What stands against a call, of an [`Error::Conflict`]: `unique`, `foreign-key`, `not-null`, `check`, `changed` or `finished`.
///
/// ```
/// use wharf_sdk::storage::{Error, conflict};
///
/// assert_eq!(conflict(&Error::Conflict("unique: images.name".to_owned())), Some(("unique", "images.name")));
/// assert_eq!(conflict(&Error::NotFound), None);
/// ```
#[must_use]
pub fn conflict(error: &Error) -> Option<(&str, &str)> {
    match error {
        Error::Conflict(reason) => reason.split_once(": "),
        _ => None,
    }
}
