//! The words of `backend/users` in the contract's, and back.

use std::time::Duration;

use super::error::Failure;
use crate::backend::users::{self, Authentication, TokenRequest, set_cookie};
use crate::bindings::wharf::identity::{principal, sessions, tokens, types};

/// How long a token may live, in seconds.
const LIFETIME_SECS: std::ops::RangeInclusive<u64> = 1..=366 * 86_400;

pub(super) fn principal(principal: users::Principal) -> types::Principal {
    types::Principal { id: principal.id, name: principal.name, roles: principal.roles }
}

pub(super) fn authentication(authentication: &Authentication) -> principal::Authentication {
    match authentication {
        Authentication::Anonymous => principal::Authentication::Anonymous,
        Authentication::Known(known) => principal::Authentication::Known(self::principal(known.clone())),
        Authentication::Rejected(scheme) => principal::Authentication::Rejected(scheme.word().to_owned()),
    }
}

/// A session with the field that hands it to the client, who keeps it as long as the host does.
pub(super) fn session(session: users::Session, site: &str, is_secure: bool, now_ms: u64) -> sessions::Session {
    // Whole seconds: a moment after its beginning a session has not lost one yet.
    let left = Duration::from_secs(session.expires_ms.saturating_sub(now_ms).div_ceil(1_000));
    let set_cookie = set_cookie(site, is_secure, Some((&session.text, left)));
    sessions::Session { set_cookie, ..ended_session(session, site, is_secure) }
}

/// A session with the field that takes it from the client.
pub(super) fn ended_session(session: users::Session, site: &str, is_secure: bool) -> sessions::Session {
    let users::Session { principal, text: _, began_ms, expires_ms } = session;
    sessions::Session { principal: self::principal(principal), set_cookie: set_cookie(site, is_secure, None), began_ms, expires_ms }
}

/// What is asked for, if it can be.
pub(super) fn token_request(request: tokens::TokenRequest) -> Result<TokenRequest, Failure> {
    let tokens::TokenRequest { kind, lifetime_secs } = request;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=32).contains(&kind.len()) || !kind.bytes().all(allowed) {
        return Err(Failure::Invalid("a kind has 1 to 32 of the characters a-z, 0-9 and `-`".to_owned()));
    }
    if !LIFETIME_SECS.contains(&lifetime_secs) {
        return Err(Failure::Invalid(format!("a token is valid for 1 second to a year, not for {lifetime_secs} seconds")));
    }
    Ok(TokenRequest { kind, lifetime: Duration::from_secs(lifetime_secs) })
}

pub(super) fn token(token: users::Token) -> tokens::Token {
    tokens::Token { text: token.text.expose().to_owned(), kind: token.kind, expires_ms: token.expires_ms }
}

pub(super) fn token_info(info: users::TokenInfo) -> tokens::TokenInfo {
    tokens::TokenInfo { principal: principal(info.principal), kind: info.kind, expires_ms: info.expires_ms }
}
