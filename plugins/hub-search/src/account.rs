//! Who asks: `login`, `login_refresh`, `logout`, and what everything else wants to know.
//!
//! A site without users is open, and its visitors are `nobody`, as this API has always called them. Where there are users, whoever is one may do everything: by the session of a login, or by what programs send with each
//! request, which the host has looked at before.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wharf_sdk::identity::principal::{self, Authentication};
use wharf_sdk::identity::sessions;
use wharf_sdk::identity::{Error, Principal};
use wharf_sdk::{Request, Response};

use crate::failure::Failure;

/// Who a visitor of an open site is.
const NOBODY: &str = "nobody";
/// The role that `isAdmin` is about.
const ADMINISTRATOR: &str = "admin";

/// Somebody who may ask.
enum Visitor {
    /// Anybody: the site has no users.
    Nobody,
    User(Principal),
}

impl Visitor {
    /// Who sent this request.
    fn current() -> Result<Visitor, Failure> {
        match principal::current().map_err(Failure::of_identity)? {
            Authentication::Known(user) => Ok(Visitor::User(user)),
            Authentication::Anonymous if !has_users()? => Ok(Visitor::Nobody),
            Authentication::Anonymous | Authentication::Rejected(_) => Err(Failure::NotLoggedIn),
        }
    }
}

fn has_users() -> Result<bool, Failure> {
    principal::has_users().map_err(Failure::of_identity)
}

/// What a login answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Login<'a> {
    anonymous: bool,
    is_admin: bool,
    /// When the session began.
    #[serde(rename = "logintime")]
    login_time: String,
    username: &'a str,
}

/// `handler`, for those who may ask.
pub(crate) fn known(handler: fn(&Request) -> Result<Response, Failure>) -> impl Fn(&Request) -> Result<Response, Failure> {
    move |request| {
        Visitor::current()?;
        handler(request)
    }
}

/// `POST /api/v1/login`.
pub(crate) fn login(request: &Request) -> Result<Response, Failure> {
    if !has_users()? {
        return Ok(nobody());
    }
    let Credentials { username, password } = credentials(request)?;
    let session = sessions::login(&username, &password).map_err(|error| match error {
        Error::QuotaExceeded => Failure::TooManyLogins,
        Error::Denied => Failure::NotAllowed("a login from a page of another origin".to_owned()),
        error => Failure::of_identity(error),
    })?;
    let session = session.ok_or(Failure::WrongPassword)?;
    Ok(user(&session.principal, session.began_ms).header("set-cookie", session.set_cookie))
}

/// `GET /api/v1/login_refresh`.
pub(crate) fn refresh(_: &Request) -> Result<Response, Failure> {
    let Visitor::User(principal) = Visitor::current()? else { return Ok(nobody()) };
    match sessions::refresh() {
        Ok(session) => Ok(user(&session.principal, session.began_ms).header("set-cookie", session.set_cookie)),
        // Who sends a password or a token with each request has no session, and logs in each time.
        Err(Error::NotFound) => Ok(user(&principal, now_ms())),
        Err(error) => Err(Failure::of_identity(error)),
    }
}

/// `PUT /api/v1/logout`.
pub(crate) fn logout(_: &Request) -> Result<Response, Failure> {
    let farewell = |name: &str| Response::json(&json!({"username": name}));
    let Visitor::User(principal) = Visitor::current()? else { return Ok(farewell(NOBODY)) };
    match sessions::logout() {
        Ok(session) => Ok(farewell(&session.principal.name).header("set-cookie", session.set_cookie)),
        Err(Error::NotFound) => Ok(farewell(&principal.name)),
        Err(error) => Err(Failure::of_identity(error)),
    }
}

fn user(principal: &Principal, since_ms: u64) -> Response {
    let is_admin = principal.has_role(ADMINISTRATOR);
    Response::json(&Login { anonymous: false, is_admin, login_time: written(since_ms), username: &principal.name })
}

fn nobody() -> Response {
    Response::json(&Login { anonymous: true, is_admin: false, login_time: written(now_ms()), username: NOBODY })
}

/// A time as this API writes it, in UTC.
fn written(time_ms: u64) -> String {
    let time = i64::try_from(time_ms).ok().and_then(|time_ms| Timestamp::from_millisecond(time_ms).ok()).unwrap_or_default();
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What a login is asked with.
#[derive(Deserialize)]
struct Credentials<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    password: Cow<'a, str>,
}

/// The name and the password of the body: an object, or a form. `curl -d` says of both that they are a form.
fn credentials(request: &Request) -> Result<Credentials<'_>, Failure> {
    let body = request.bytes()?;
    if body.trim_ascii_start().first() == Some(&b'{') {
        // Not the parser's words, which could have a part of the password in them.
        return request.json().map_err(|_| missing());
    }
    let field = |wanted: &str| form_urlencoded::parse(body).find(|(name, _)| name == wanted).map(|(_, value)| value).ok_or_else(missing);
    Ok(Credentials { username: field("username")?, password: field("password")? })
}

fn missing() -> Failure {
    Failure::Malformed("expected `username` and `password`, as a form or as a JSON object of two texts".to_owned())
}
