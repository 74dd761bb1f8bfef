//! Why a call was not carried out: all of it for the operator's log, one word for the plugin.
//!
//! A message of the engine reaches a plugin only after the grant covered the object, or when it concerns the arguments alone. Even then it may name other objects, so that ids are taken out of
//! it, and a name that is taken is told in our own words.

use super::super::call::{CallContext, Denied, QuotaExceeded};
use super::grant::Absent;
use super::policy::Refusal;
use crate::backend::blobs::BlobError;
use crate::backend::catalog::ArchiveError;
use crate::backend::causes::chain;
use crate::backend::engine::EngineError;
use crate::backend::operations::{OperationError, OperationFailure};
use crate::backend::recreate::FailureWord;
use crate::backend::reference::is_hex;
use crate::backend::registry::RegistryError;
use crate::bindings::wharf::docker::types::Error;

/// Why a call was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The host calls of this request are used up.
    Quota,
    /// The grant does not cover it.
    Denied(Denied),
    /// The grant does not cover it, and the plugin is not to learn that it exists.
    Hidden(Denied, Absent),
    /// There is none, or none that the plugin may know of.
    Absent(Absent),
    /// The arguments break a rule.
    Invalid(String),
    /// The engine did not do it.
    Engine(EngineError),
    /// The host has no usable credential for the registry.
    Registry(RegistryError),
    /// The host did not finish it.
    Operation(OperationError),
    /// The files of a build have more bytes than the plugin may send.
    ContextTooLarge { bytes: u64, limit_bytes: u64 },
    /// An archive was not fetched, or not stored.
    Archive(ArchiveError),
    /// An operation was ended before it was done.
    Cancelled,
    /// The container, or its state, does not allow it.
    Refused(String),
    /// The name of a new container is taken, by one that the grant may not cover.
    NameTaken(String),
    /// A new container could not be started. Its id, if it is still there.
    NotStarted { error: EngineError, left_behind: Option<String> },
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

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        Failure::Engine(error)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        Failure::Registry(error)
    }
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Failure {
        Failure::Operation(error)
    }
}

impl From<OperationFailure> for Failure {
    fn from(failure: OperationFailure) -> Failure {
        match failure {
            OperationFailure::Engine(error) => Failure::Engine(error),
            OperationFailure::Registry(error) => Failure::Registry(error),
            OperationFailure::Archive(error) => Failure::Archive(error),
            OperationFailure::Host(error) => Failure::Operation(error),
            OperationFailure::Step { error, .. } => Failure::Engine(error),
            OperationFailure::Context(error) => Failure::Invalid(chain(&error)),
            OperationFailure::Invalid(rule) => Failure::Invalid(rule),
            // Nobody waits for a recreation but by its record, which has its own way.
            OperationFailure::Recreation(failure) => Failure::Refused(failure.reason),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Invalid(rule) => Failure::Invalid(rule),
            Refusal::Denied(denied) => Failure::Denied(denied),
        }
    }
}

impl Failure {
    /// The plugin's word for it. A refusal goes into the audit log first.
    pub(super) fn answer(self, call: &CallContext, function: &'static str) -> Error {
        match self {
            Failure::Quota => Error::QuotaExceeded,
            Failure::Denied(denied) => {
                call.refused(function, &denied);
                Error::Denied
            }
            Failure::Hidden(denied, absent) => {
                call.refused(function, &denied);
                absent.into()
            }
            Failure::Absent(absent) => absent.into(),
            Failure::Invalid(rule) => Error::Invalid(rule),
            Failure::Engine(error) => of_engine(error),
            Failure::Registry(error) => of_registry(&error),
            Failure::Operation(error) => {
                if matches!(error, OperationError::TooMany { .. }) {
                    tracing::warn!(function, %error, "refused an operation");
                }
                of_host(&error)
            }
            Failure::ContextTooLarge { bytes, limit_bytes } => {
                tracing::warn!(function, bytes, limit_bytes, "refused a build with more than the limit `build_context_mib`");
                Error::QuotaExceeded
            }
            Failure::Archive(error) => of_archive(error),
            Failure::Cancelled => Error::Internal("the operation was cancelled".to_owned()),
            Failure::Refused(reason) => Error::Conflict(without_ids(&reason)),
            Failure::NameTaken(name) => Error::Conflict(format!("the name `{name}` is taken")),
            Failure::NotStarted { error, left_behind } => {
                let reason = format!("failed to start the container: {}", without_ids(&error.to_string()));
                Error::Internal(match left_behind {
                    None => reason,
                    Some(id) => format!("{reason}; failed to remove it again so far, container {id} may be left behind"),
                })
            }
        }
    }
}

impl From<Absent> for Error {
    fn from(absent: Absent) -> Error {
        match absent {
            Absent::NotFound => Error::NotFound,
            Absent::Denied => Error::Denied,
        }
    }
}

/// The word for what an operation ended with, and its reason for people.
pub(super) fn of_operation(failure: &OperationFailure) -> (Error, String) {
    let reason = match failure {
        OperationFailure::Context(error) => chain(error),
        failure => without_ids(&failure.to_string()),
    };
    let word = match failure {
        OperationFailure::Engine(error) => of_engine(error.clone()),
        OperationFailure::Registry(error) => of_registry(error),
        OperationFailure::Archive(error) => of_archive(error.clone()),
        OperationFailure::Host(error) => of_host(error),
        // Whoever asked for it needs to know where it failed.
        OperationFailure::Step { error, .. } => match of_engine(error.clone()) {
            Error::Internal(_) => Error::Internal(reason.clone()),
            Error::Conflict(_) => Error::Conflict(reason.clone()),
            Error::Invalid(_) => Error::Invalid(reason.clone()),
            word => word,
        },
        OperationFailure::Context(_) | OperationFailure::Invalid(_) => Error::Invalid(reason.clone()),
        OperationFailure::Recreation(failure) => match failure.word {
            FailureWord::NotFound => Error::NotFound,
            FailureWord::Invalid => Error::Invalid(reason.clone()),
            FailureWord::Conflict => Error::Conflict(reason.clone()),
            FailureWord::Unavailable => Error::Unavailable(reason.clone()),
            FailureWord::Timeout => Error::Timeout,
            FailureWord::Internal => Error::Internal(reason.clone()),
        },
    };
    (word, reason)
}

fn of_registry(error: &RegistryError) -> Error {
    Error::Internal(error.to_string())
}

fn of_host(error: &OperationError) -> Error {
    match error {
        OperationError::Deadline { .. } => Error::Timeout,
        OperationError::TooMany { .. } => Error::QuotaExceeded,
        OperationError::Taken { .. } => Error::Conflict(error.to_string()),
        OperationError::Panicked => Error::Internal(error.to_string()),
    }
}

/// The words are those of what is not available at registries.
fn of_archive(error: ArchiveError) -> Error {
    match error {
        ArchiveError::Fetch { error, .. } if error.is_not_found() => Error::NotFound,
        ArchiveError::Fetch { .. } if error.word() == "timeout" => Error::Timeout,
        ArchiveError::Fetch { .. } | ArchiveError::Size { .. } | ArchiveError::Digest { .. } => {
            Error::Unavailable(format!("{}: {error}", error.word()))
        }
        ArchiveError::Store(BlobError::QuotaExceeded) => Error::QuotaExceeded,
        ArchiveError::Store(BlobError::Unavailable(reason)) => Error::Unavailable(reason),
        ArchiveError::Store(BlobError::Timeout) => Error::Timeout,
        ArchiveError::Store(error) => Error::Internal(error.to_string()),
    }
}

fn of_engine(error: EngineError) -> Error {
    match error {
        EngineError::NotFound(_) => Error::NotFound,
        EngineError::Conflict(reason) => Error::Conflict(without_ids(&reason)),
        EngineError::Invalid(reason) => Error::Invalid(without_ids(&reason)),
        EngineError::Unavailable(reason) | EngineError::Lost(reason) => Error::Unavailable(reason),
        EngineError::Timeout(_) => Error::Timeout,
        EngineError::Failed { reason, .. } => Error::Internal(without_ids(&reason)),
        error @ EngineError::TooOld { .. } => Error::Invalid(error.to_string()),
        error @ (EngineError::Unintelligible(_) | EngineError::TooLong { .. }) => Error::Internal(error.to_string()),
    }
}

/// `reason` with an ellipsis for each word that may be the id of something, in full or in the short form of 12 digits.
///
/// The engine's reasons name whatever stands in the way: the container that has the name, the one that uses the volume. Whoever may know it can ask for it.
fn without_ids(reason: &str) -> String {
    let mut shown = String::with_capacity(reason.len());
    let mut rest = reason;
    while let Some(start) = rest.find(|character: char| character.is_ascii_alphanumeric()) {
        let (between, word_and_rest) = rest.split_at(start);
        let end = word_and_rest.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(word_and_rest.len());
        let (word, after) = word_and_rest.split_at(end);
        shown.push_str(between);
        shown.push_str(if matches!(word.len(), 12 | 64) && is_hex(word) { "…" } else { word });
        rest = after;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_other_objects_stay_with_the_host() {
        let id = "b1".repeat(32);
        for (reason, shown) in [
            (
                format!("The container name \"/web\" is already in use by container \"{id}\"."),
                "The container name \"/web\" is already in use by container \"…\".",
            ),
            (format!("volume is in use - [{id}, {id}]"), "volume is in use - […, …]"),
            (format!("/var/lib/docker/overlay2/{id}/merged/x: sha256:{id}"), "/var/lib/docker/overlay2/…/merged/x: sha256:…"),
            ("endpoint web-1 (0123456789ab): port 8080 is allocated".to_owned(), "endpoint web-1 (…): port 8080 is allocated"),
            ("123456789012 bytes, größer".to_owned(), "… bytes, größer"),
            ("no such image: cafe:1, deadbeef".to_owned(), "no such image: cafe:1, deadbeef"),
            (String::new(), ""),
        ] {
            assert_eq!(without_ids(&reason), shown);
        }
    }
}
