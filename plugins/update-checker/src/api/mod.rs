//! The endpoints, and who may use them.
//!
//! On a site with users everything but a login, a logout, the question whether there are users and `/health` wants to know who asks, before anything else is looked at. On a site without users everyone may, but not a
//! page of another origin that a browser shows to somebody who may: the host refuses such pages where there are users, and here where there are none, since it does not know which requests of an open site change something.

use serde_json::{Map, Value};
use wharf_sdk::identity::principal::{self, Authentication};
use wharf_sdk::{IntoResponse, Request, Response};

use crate::failure::Failure;
use crate::settings::Settings;

pub(crate) mod account;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod images;
mod origin;

/// `handler`, for those who may ask.
pub(crate) fn guarded(handler: fn(&Request) -> Result<Response, Failure>) -> impl Fn(&Request) -> Response + Send + Sync + 'static {
    move |request| match admit(request) {
        Ok(Visitor::User) => hardened(handler(request).into_response()),
        Ok(Visitor::Anyone) => handler(request).into_response(),
        Err(failure @ Failure::Unauthorized) => hardened(failure.into_response()),
        Err(failure) => failure.into_response(),
    }
}

/// Somebody who may ask.
enum Visitor {
    /// The site has no users.
    Anyone,
    User,
}

fn admit(request: &Request) -> Result<Visitor, Failure> {
    match principal::current()? {
        Authentication::Known(_) => return Ok(Visitor::User),
        Authentication::Anonymous if !principal::has_users()? => {}
        Authentication::Anonymous | Authentication::Rejected(_) => return Err(Failure::Unauthorized),
    }
    // Reading changes nothing, and the answer is not shown to the page.
    if !matches!(request.method(), "GET" | "HEAD" | "OPTIONS") && origin::is_cross(request, &Settings::read()?.trusted_origins) {
        return Err(Failure::CrossOrigin);
    }
    Ok(Visitor::Anyone)
}

/// `response` as this API has it where there are users: not to be kept, framed or guessed at.
fn hardened(mut response: Response) -> Response {
    for (name, value) in [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("cache-control", "no-store")] {
        if response.field(name).is_none() {
            response = response.header(name, value);
        }
    }
    response
}

/// Whether the method is `wanted`.
fn check_method(request: &Request, wanted: &'static str) -> Result<(), Failure> {
    if request.method() == wanted { Ok(()) } else { Err(Failure::MethodNotAllowed(wanted)) }
}

/// The texts of the object that the body is, by their keys; one that is absent or null is empty. None if the body is no object, or one of them no text.
fn texts<const COUNT: usize>(request: &Request, keys: [&str; COUNT]) -> Option<[String; COUNT]> {
    let mut body: Map<String, Value> = request.json().ok()?;
    let mut is_wrong = false;
    let texts = keys.map(|key| match body.remove(key) {
        Some(Value::String(text)) => text,
        None | Some(Value::Null) => String::new(),
        Some(_) => {
            is_wrong = true;
            String::new()
        }
    });
    (!is_wrong).then_some(texts)
}
