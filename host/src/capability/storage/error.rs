//! Why a call was not carried out: all of it for the operator's log, one word for the plugin.

use super::super::call::{CallContext, Denied, QuotaExceeded};
use crate::backend::blobs::BlobError;
use crate::backend::seal::SealError;
use crate::bindings::wharf::storage::types::Error;

/// Why a call was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The host calls of this request are used up.
    Quota,
    /// The request holds as many handles as it may.
    Handles,
    /// The grant does not cover it.
    Denied(Denied),
    /// The arguments break a rule.
    Invalid(String),
    /// The database, or the way there.
    Database(wharf_sql::Error),
    /// The blobs, or the way there.
    Blobs(BlobError),
    /// The host.
    Internal(String),
}

impl From<QuotaExceeded> for Failure {
    fn from(_: QuotaExceeded) -> Failure {
        Failure::Quota
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Failure {
        Failure::Denied(denied)
    }
}

impl From<wharf_sql::Error> for Failure {
    fn from(error: wharf_sql::Error) -> Failure {
        Failure::Database(error)
    }
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Failure {
        Failure::Blobs(error)
    }
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Failure {
        match error {
            SealError::NotOurs => Failure::Invalid(error.to_string()),
            SealError::Key(reason) => Failure::Internal(reason),
        }
    }
}

impl From<wasmtime::component::ResourceTableError> for Failure {
    fn from(error: wasmtime::component::ResourceTableError) -> Failure {
        match error {
            wasmtime::component::ResourceTableError::Full => Failure::Handles,
            other => Failure::Internal(other.to_string()),
        }
    }
}

impl Failure {
    /// The plugin's word for it. A refusal goes into the audit log first, and what the operator should look at into the log.
    pub(super) fn answer(self, call: &CallContext, function: &'static str) -> Error {
        match self {
            Failure::Quota | Failure::Database(wharf_sql::Error::Quota | wharf_sql::Error::Full) => Error::QuotaExceeded,
            Failure::Handles => {
                if call.lines.admits() {
                    tracing::warn!(function, "a request holds as many handles as it may");
                }
                Error::QuotaExceeded
            }
            Failure::Denied(denied) => {
                call.refused(function, &denied);
                Error::Denied
            }
            Failure::Invalid(rule) | Failure::Database(wharf_sql::Error::Invalid(rule)) => Error::Invalid(rule),
            Failure::Database(wharf_sql::Error::Conflict(reason)) => Error::Conflict(reason),
            Failure::Database(wharf_sql::Error::Timeout) => Error::Timeout,
            Failure::Database(wharf_sql::Error::Unavailable(reason)) => {
                if call.lines.admits() {
                    tracing::warn!(function, reason, "the database cannot be used");
                }
                Error::Unavailable(reason)
            }
            Failure::Blobs(error) => of_blobs(error),
            Failure::Internal(reason) | Failure::Database(wharf_sql::Error::Internal(reason)) => {
                if call.lines.admits() {
                    tracing::error!(function, reason, "storage has failed");
                }
                Error::Internal(reason)
            }
        }
    }
}

/// The word for an error of blobs. The backend has logged what the operator should look at.
fn of_blobs(error: BlobError) -> Error {
    match error {
        BlobError::NotFound => Error::NotFound,
        BlobError::Invalid(rule) => Error::Invalid(rule),
        BlobError::Finished => Error::Conflict("finished: the blob is not being written any more".to_owned()),
        BlobError::QuotaExceeded => Error::QuotaExceeded,
        BlobError::Unavailable(reason) => Error::Unavailable(reason),
        BlobError::Timeout => Error::Timeout,
        BlobError::Internal(reason) => Error::Internal(reason),
    }
}
