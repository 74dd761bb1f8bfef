//! Why something was not done with a blob: all of it for the operator's log, a sentence without names of hosts and paths for the plugin.

use std::io;

use super::super::causes::chain;

/// Why something was not done with a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlobError {
    /// There is no blob of this name.
    #[error("there is no such blob")]
    NotFound,
    /// An argument breaks this rule.
    #[error("{0}")]
    Invalid(String),
    /// The blob was stored, or its writing has failed, before.
    #[error("the blob is not being written any more")]
    Finished,
    /// It would be more than the space may hold.
    #[error("the space holds as many bytes as it may")]
    QuotaExceeded,
    /// The store, or what was to be stored, is out of reach. The same may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The store did not answer in time.
    #[error("the store did not answer in time")]
    Timeout,
    /// The host or the store failed.
    #[error("{0}")]
    Internal(String),
}

impl BlobError {
    /// Of an operation on files. `doing` is what failed, without the path, which no plugin needs to know; the log has all of it.
    pub(super) fn of_io(doing: &'static str, error: &io::Error) -> BlobError {
        tracing::warn!(error = chain(error), "blobs: failed to {doing}");
        let reason = format!("failed to {doing}: {}", error.kind());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::FileTooLarge => {
                BlobError::Unavailable(reason)
            }
            _ => BlobError::Internal(reason),
        }
    }

    /// Of the index of a directory.
    pub(super) fn of_index(error: &rusqlite::Error) -> BlobError {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly};
        tracing::warn!(error = chain(error), "blobs: the index failed");
        match error.sqlite_error_code() {
            Some(DiskFull | ReadOnly | DatabaseBusy | DatabaseLocked) => {
                BlobError::Unavailable(format!("the index cannot be written: {error}"))
            }
            _ => BlobError::Internal("the index failed".to_owned()),
        }
    }
}
