//! Why the room did not answer: all of it for the operator's log, one word for the plugin.

use super::super::call::{CallContext, Denied, QuotaExceeded};
use crate::backend::jobs::{JobsError, NotChanged, NotTaken};
use crate::bindings::wharf::jobs::types::Error;

/// Why the room did not answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The host calls of this request are used up, or as many jobs wait as may.
    Quota,
    /// The grant does not cover it.
    Denied(Denied),
    /// There is no such job of this plugin, or no such webhook in its grant.
    Gone,
    /// The arguments break a rule.
    Invalid(String),
    /// The job of this id has the key.
    Taken(String),
    /// The database.
    Jobs(JobsError),
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

impl From<JobsError> for Failure {
    fn from(error: JobsError) -> Failure {
        Failure::Jobs(error)
    }
}

impl From<NotTaken> for Failure {
    fn from(error: NotTaken) -> Failure {
        match error {
            NotTaken::Key(id) => Failure::Taken(id),
            NotTaken::Quota => Failure::Quota,
            NotTaken::Jobs(error) => Failure::Jobs(error),
        }
    }
}

impl From<NotChanged> for Failure {
    fn from(error: NotChanged) -> Failure {
        match error {
            NotChanged::NotFound => Failure::Gone,
            NotChanged::Conflict(reason) => Failure::Jobs(JobsError::Internal(reason)),
            NotChanged::Jobs(error) => Failure::Jobs(error),
        }
    }
}

impl Failure {
    /// The plugin's word for it. A refusal goes into the audit log first.
    pub(super) fn answer(self, call: &CallContext, function: &'static str) -> Error {
        match self {
            Failure::Quota | Failure::Jobs(JobsError::Full) => Error::QuotaExceeded,
            Failure::Denied(denied) => {
                call.refused(function, &denied);
                Error::Denied
            }
            Failure::Gone => Error::NotFound,
            Failure::Invalid(rule) => Error::Invalid(rule),
            Failure::Taken(id) => Error::Conflict(id),
            Failure::Jobs(JobsError::Timeout) => Error::Timeout,
            Failure::Jobs(error @ JobsError::Unavailable(_)) => Error::Unavailable(error.to_string()),
            Failure::Jobs(error @ JobsError::Internal(_)) => Error::Internal(error.to_string()),
        }
    }
}
