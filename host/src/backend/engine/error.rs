//! What can go wrong between the host and an engine.
//!
//! Sorted by status code and by where the wire broke, never by the text of a message: texts change with every version of the engine. The engine's own
//! words travel as the reason, for people.

use std::time::Duration;

use super::super::causes::chain;
use super::version::{ApiVersion, Requirement};
use super::wire::Undelivered;

/// Why an engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    /// 404: the object, or something that it needs, is not there.
    #[error("the engine does not have it: {0}")]
    NotFound(String),
    /// 409: the object's state does not allow it.
    #[error("the engine refused because of a conflict: {0}")]
    Conflict(String),
    /// 400: the engine does not accept the arguments.
    #[error("the engine refused the arguments: {0}")]
    Invalid(String),
    /// No connection, or a 503 of something between us and the engine. Nothing was carried out.
    #[error("the engine is not reachable: {0}")]
    Unavailable(String),
    /// A connection that broke with the request on it, or a 502 or 504 of something between us and the engine. The request may have been carried out, or may still be.
    #[error("the engine's answer was lost: {0}")]
    Lost(String),
    /// Nothing arrived for as long as we wait.
    #[error("the engine did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// Any other status, or an error inside a stream that began well.
    #[error("the engine failed: {reason}")]
    Failed {
        /// The status; 200 for an error inside a stream.
        status: u16,
        /// The engine's words.
        reason: String,
    },
    /// The engine is older than something in the request, which it would leave out without a word. It was not asked.
    #[error("`{}` needs API {} and the engine has {spoken}, which ignores it", requirement.key, requirement.since)]
    TooOld {
        /// What the request needs.
        requirement: Requirement,
        /// What is spoken with the engine.
        spoken: ApiVersion,
    },
    /// The engine answered what we do not understand.
    #[error("the engine's answer makes no sense: {0}")]
    Unintelligible(String),
    /// The answer is longer than the host holds.
    #[error("the engine's answer is longer than {limit_bytes} bytes")]
    TooLong {
        /// The most that the host holds.
        limit_bytes: usize,
    },
}

impl EngineError {
    /// The error that `status` stands for. `reason` is what the engine said.
    pub(super) fn of_status(status: u16, reason: String) -> EngineError {
        match status {
            400 => EngineError::Invalid(reason),
            404 => EngineError::NotFound(reason),
            409 => EngineError::Conflict(reason),
            502 | 504 => EngineError::Lost(reason),
            503 => EngineError::Unavailable(reason),
            _ => EngineError::Failed { status, reason },
        }
    }

    /// The error as it went through bollard, or what bollard itself found.
    pub(super) fn of_bollard(error: bollard::errors::Error) -> EngineError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => EngineError::of_status(status_code, message),
            Error::IOError { err } => match err.downcast::<EngineError>() {
                Ok(ours) => ours,
                Err(other) => EngineError::Unavailable(other.to_string()),
            },
            Error::HyperResponseError { err } => EngineError::Lost(chain(&err)),
            other => EngineError::Unintelligible(other.to_string()),
        }
    }

    /// Whether what was asked for may have been done, or may still be done, after the request was sent.
    pub(crate) fn is_uncertain(&self) -> bool {
        matches!(self, EngineError::Lost(_) | EngineError::Timeout(_) | EngineError::Unintelligible(_) | EngineError::TooLong { .. })
    }

    /// Whether the engine may be another one when it is reached again.
    pub(super) fn lost_contact(&self) -> bool {
        matches!(self, EngineError::Unavailable(_) | EngineError::Lost(_))
    }
}

/// Why a create did not answer with a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CreateError {
    /// None was made.
    Refused(EngineError),
    /// The engine may have made one, or may still make it: the request was sent, and its answer was lost or makes no sense.
    Unknown(EngineError),
}

impl CreateError {
    /// What became of a create that was not answered.
    pub(super) fn of_undelivered(undelivered: Undelivered) -> CreateError {
        if undelivered.sent { CreateError::of_sent(undelivered.error) } else { CreateError::Refused(undelivered.error) }
    }

    /// What became of a create that was sent and failed with `error`.
    pub(super) fn of_sent(error: EngineError) -> CreateError {
        if error.is_uncertain() { CreateError::Unknown(error) } else { CreateError::Refused(error) }
    }
}
