//! What a login comes to: a session, tokens, or why there is none.

use std::time::Duration;

use super::{Principal, SecretText, UsersError};

/// How a login ended, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginOutcome {
    Succeeded,
    /// No such user, or another password.
    Failed,
    /// Refused without a look, after too many failures.
    Throttled,
    /// Refused without a look, since too many are being looked at.
    Busy,
}

/// Where logins are counted.
pub(crate) trait LoginObserver: Send + Sync {
    fn login(&self, site: &str, outcome: LoginOutcome);
}

/// Why nobody looked at a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    /// Too many failures; try again after so long.
    #[error("too many logins have failed")]
    Throttled(Duration),
    /// Too many logins at once.
    #[error("too many logins at once")]
    Busy,
    /// The database.
    #[error(transparent)]
    Users(#[from] UsersError),
}

/// A session with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) principal: Principal,
    pub(crate) text: SecretText,
    pub(crate) began_ms: u64,
    pub(crate) expires_ms: u64,
}

/// What token to issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRequest {
    pub(crate) kind: String,
    pub(crate) lifetime: Duration,
}

/// A token with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: SecretText,
    pub(crate) kind: String,
    pub(crate) expires_ms: u64,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenInfo {
    pub(crate) principal: Principal,
    pub(crate) kind: String,
    pub(crate) expires_ms: u64,
}
