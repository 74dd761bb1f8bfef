//! Why the room did not answer: all of it for the operator's log, one word for the plugin.

use super::super::call::{CallContext, Denied, QuotaExceeded};
use crate::backend::users::{LoginError, UsersError};
use crate::bindings::wharf::identity::types::Error;

/// Why the room did not answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The host calls of this request are used up.
    Quota,
    /// The grant does not cover it.
    Denied(Denied),
    /// There is no such session, token or user, or not any more.
    Gone,
    /// The arguments break a rule.
    Invalid(String),
    /// Nobody looked at the password.
    Login(LoginError),
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

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Failure {
        Failure::Login(error)
    }
}

impl From<UsersError> for Failure {
    fn from(error: UsersError) -> Failure {
        Failure::Login(LoginError::Users(error))
    }
}

impl Failure {
    /// The plugin's word for it. A refusal goes into the audit log first.
    pub(super) fn answer(self, call: &CallContext, function: &'static str) -> Error {
        match self {
            Failure::Quota | Failure::Login(LoginError::Throttled(_)) => Error::QuotaExceeded,
            Failure::Denied(denied) => {
                call.refused(function, &denied);
                Error::Denied
            }
            Failure::Gone => Error::NotFound,
            Failure::Invalid(rule) => Error::Invalid(rule),
            Failure::Login(LoginError::Busy) => Error::Unavailable(LoginError::Busy.to_string()),
            Failure::Login(LoginError::Users(error)) => match error {
                UsersError::Timeout => Error::Timeout,
                UsersError::Unavailable(_) => Error::Unavailable(error.to_string()),
                UsersError::Internal(_) => Error::Internal(error.to_string()),
            },
        }
    }
}
