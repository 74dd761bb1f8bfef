//! The users of a site, and what they show to be known: passwords, sessions, tokens.
//!
//! Two stand on this: the host itself, which looks at every request before a plugin does (`http/auth.rs`), and the room `identity`. [`SiteUsers`] is one site's; it puts the users of the configuration
//! over those of the database and holds whatever is only of this process. What must be the same on every host of a site lies behind [`Users`], the database, which is asked each time: a session
//! that was ended on one host is at an end on all of them.
//!
//! * **Numbers.** Each user has one, those of the configuration too, from the first time that they are seen. It is never given again.
//! * **A name that was removed and added again is another person**, with another number.
//! * **Passwords** are kept as argon2id hashes, sessions and tokens as their sha256. A session or token has the *stamp* of the password that it was given for, and ends when that is changed.
//! * **Nothing here logs a secret**, nor the name in a failed login unless there is such a user: people type passwords where names belong.

use std::fmt;

use async_trait::async_trait;

mod caller;
mod cookie;
mod identities;
mod issued;
mod password;
mod postgres;
mod site;
mod sqlite;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod text;
mod throttle;
mod verified;

pub(crate) use caller::{Authentication, Caller, Scheme};
pub(crate) use cookie::{cookie_name, read_cookie, set_cookie, without_cookie};
pub(crate) use identities::{Identities, Place, open};
pub(crate) use issued::{LoginError, LoginObserver, LoginOutcome, Session, Token, TokenInfo, TokenRequest};
pub(crate) use password::{Hashed, MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS};
pub(crate) use site::SiteUsers;
pub(crate) use text::{SecretText, Sha256Key};

/// The kind of the tokens that the host accepts as `Authorization: Bearer`.
pub(crate) const ACCESS: &str = "access";

/// The most sessions and tokens of one user; a further one takes the place of the one that would end first.
pub(crate) const MAX_CREDENTIALS: usize = 10_000;

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// From 1 on.
    pub(crate) id: u64,
    pub(crate) name: String,
    /// Sorted.
    pub(crate) roles: Vec<String>,
}

/// A user as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRow {
    /// From 1 on.
    pub(crate) id: u64,
    pub(crate) name: String,
    /// None for one that only the configuration knows: the database has no more than its number.
    pub(crate) password_hash: Option<Hashed>,
    /// Sorted; empty where there is no hash.
    pub(crate) roles: Vec<String>,
}

/// What a credential is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A session, which a cookie names.
    Session,
    /// A token, and its kind.
    Token(String),
}

/// The beginning of the sha256 of a password's hash.
pub(crate) type Stamp = [u8; 16];

/// A session or a token, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) key: Sha256Key,
    pub(crate) purpose: Purpose,
    /// The user's number.
    pub(crate) user: u64,
    pub(crate) stamp: Stamp,
    /// In milliseconds since 1970 (UTC), as all times here.
    pub(crate) began_ms: u64,
    pub(crate) expires_ms: u64,
}

/// Why the database did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsersError {
    /// It did not answer in time.
    #[error("the database of users did not answer in time")]
    Timeout,
    /// It cannot be reached or used.
    #[error("the database of users cannot be used: {0}")]
    Unavailable(String),
    /// The host failed.
    #[error("the database of users failed: {0}")]
    Internal(String),
}

/// Why a user was not removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Removed {
    Done,
    /// There is no such user in the database.
    Unknown,
    /// It is the only one, and that is not to be removed.
    Last,
}

/// The database of one site's users, which all its hosts share: SQLite (`sqlite.rs`) or PostgreSQL (`postgres.rs`).
#[async_trait]
pub(crate) trait Users: Send + Sync {
    /// Whether it has a user with a password.
    async fn any(&self) -> Result<bool, UsersError>;
    /// The user `name`, which the configuration has; added without a password if there was none of this name.
    async fn adopt(&self, name: &str) -> Result<UserRow, UsersError>;
    async fn by_name(&self, name: &str) -> Result<Option<UserRow>, UsersError>;
    /// Those of `ids` that there are, in any order.
    async fn by_ids(&self, ids: &[u64]) -> Result<Vec<UserRow>, UsersError>;
    /// All, in the order of their numbers.
    async fn all(&self) -> Result<Vec<UserRow>, UsersError>;
    /// Adds a user and answers the number; none if there is one of this name with a password. One without is another person, and makes way.
    async fn add(&self, name: &str, password_hash: &Hashed, roles: &[String]) -> Result<Option<u64>, UsersError>;
    /// Takes the user `name` away, with all sessions and tokens. `unless_last`: not if nobody else has a password.
    async fn remove(&self, name: &str, unless_last: bool) -> Result<Removed, UsersError>;
    /// Gives the user `name` another password. False if there is none with a password.
    async fn set_password(&self, name: &str, password_hash: &Hashed) -> Result<bool, UsersError>;
    /// Keeps `credentials`, which are of one user, and sweeps what has expired by `now_ms`. False if the user is gone.
    async fn issue(&self, credentials: &[Credential], now_ms: u64) -> Result<bool, UsersError>;
    /// The credential of `key`, whatever its purpose, and whose it is; none if there is none or it has expired by `now_ms`.
    async fn find(&self, key: &Sha256Key, now_ms: u64) -> Result<Option<(Credential, UserRow)>, UsersError>;
    /// Puts off the end of a credential that has not expired by `now_ms`. False if there is none.
    async fn put_off(&self, key: &Sha256Key, expires_ms: u64, now_ms: u64) -> Result<bool, UsersError>;
    /// Ends a credential. False if there was none.
    async fn end(&self, key: &Sha256Key) -> Result<bool, UsersError>;
}

/// Checks that a user may be called `name`; else says the rule.
pub(crate) fn check_user_name(name: &str) -> Result<(), &'static str> {
    let plain = name.chars().all(|character| !character.is_control() && character != ':');
    if (1..=64).contains(&name.len()) && plain && name.trim() == name {
        return Ok(());
    }
    Err("a name has 1 to 64 bytes, no colon, no control character, and no space at either end")
}

/// Checks that `role` can be one; else says the rule.
pub(crate) fn check_role(role: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=64).contains(&role.len()) && role.bytes().all(allowed) {
        return Ok(());
    }
    Err("a role has 1 to 64 of the characters a-z, A-Z, 0-9, `-`, `_` and `.`")
}

impl Purpose {
    /// As the database has it. No kind of token has a space in it.
    pub(crate) fn word(&self) -> String {
        match self {
            Purpose::Session => "a session".to_owned(),
            Purpose::Token(kind) => kind.clone(),
        }
    }

    pub(crate) fn of_word(word: String) -> Purpose {
        if word == "a session" { Purpose::Session } else { Purpose::Token(word) }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name, self.id)
    }
}
