//! Logging in and out. The users are the site's; the host counts failures, makes the cookie and ends the session.

use wharf_sdk::identity::Error;
use wharf_sdk::identity::{principal, sessions};
use wharf_sdk::{Request, Response};

use super::texts;
use crate::failure::Failure;

/// What takes a cookie away that is none of a session of this site: one of a server that spoke this API before.
const NO_SESSION: &str = "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";

/// `POST /api/login`. On a site without users nobody can log in.
pub(crate) fn login(request: &Request) -> Result<Response, Failure> {
    // What the parser says could have a part of the password in it.
    let Some([user, pass]) = texts(request, ["user", "pass"]) else { return Ok(refusal(400, r#"{"error":"bad request"}"#)) };
    match sessions::login(&user, &pass) {
        Ok(Some(session)) => Ok(ok().header("set-cookie", session.set_cookie)),
        Ok(None) => Ok(refusal(401, r#"{"error":"invalid credentials"}"#)),
        Err(Error::QuotaExceeded) => Ok(refusal(429, r#"{"error":"too many attempts, try later"}"#)),
        Err(Error::Denied) => Err(Failure::CrossOrigin),
        // A name that can be none.
        Err(Error::Invalid(_)) => Ok(refusal(401, r#"{"error":"invalid credentials"}"#)),
        Err(error) => Err(error.into()),
    }
}

/// `POST /api/logout`. Succeeds without a session too.
pub(crate) fn logout(_: &Request) -> Result<Response, Failure> {
    match sessions::logout() {
        Ok(session) => Ok(ok().header("set-cookie", session.set_cookie)),
        Err(Error::NotFound) => Ok(ok().header("set-cookie", NO_SESSION)),
        Err(error) => Err(error.into()),
    }
}

/// `GET /api/auth/status`.
pub(crate) fn status(_: &Request) -> Result<Response, Failure> {
    let body: &[u8] = if principal::has_users()? { br#"{"enabled":true}"# } else { br#"{"enabled":false}"# };
    Ok(json(200, body))
}

fn ok() -> Response {
    json(200, br#"{"status":"ok"}"#)
}

fn refusal(status: u16, body: &'static str) -> Response {
    json(status, body.as_bytes()).header("x-content-type-options", "nosniff")
}

fn json(status: u16, body: &'static [u8]) -> Response {
    Response::new(status).header("content-type", "application/json").body(body).header("cache-control", "no-store")
}
