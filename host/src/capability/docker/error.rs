//! Why a call was not carried out: all of it for the operator's log, one word for the plugin.
//!
//! A message of the engine reaches a plugin only after the grant covered the object, or when it concerns the arguments alone.

use super::super::call::{CallContext, Denied, QuotaExceeded};
use super::grant::Absent;
use super::policy::Refusal;
use crate::backend::engine::EngineError;
use crate::backend::operations::OperationError;
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
    /// The host did not finish it.
    Operation(OperationError),
    /// A new container could not be started; what became of it is in the text.
    NotStarted(String),
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

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Failure {
        Failure::Operation(error)
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
            Failure::Operation(OperationError::Deadline { .. }) => Error::Timeout,
            Failure::Operation(error @ OperationError::Panicked) => Error::Internal(error.to_string()),
            Failure::NotStarted(reason) => Error::Internal(reason),
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

fn of_engine(error: EngineError) -> Error {
    match error {
        EngineError::NotFound(_) => Error::NotFound,
        EngineError::Conflict(reason) => Error::Conflict(reason),
        EngineError::Invalid(reason) => Error::Invalid(reason),
        EngineError::Unavailable(reason) => Error::Unavailable(reason),
        EngineError::Timeout(_) => Error::Timeout,
        EngineError::Failed { reason, .. } => Error::Internal(reason),
        error @ (EngineError::Unintelligible(_) | EngineError::TooLong { .. }) => Error::Internal(error.to_string()),
    }
}
