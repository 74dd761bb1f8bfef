//! `/v1/auth`: a pair of tokens for a name and a password, a new access token for a refresh token, and whether a token is valid.

use serde::Deserialize;
use serde_json::{Value, json};
use wharf_sdk::identity::tokens::{self, TokenRequest};
use wharf_sdk::storage::Error;
use wharf_sdk::{Request, Response, config};

use crate::body::Mistakes;
use crate::failure::Failure;
use crate::input;

/// The kind that the host takes as a credential.
const ACCESS: &str = "access";
const REFRESH: &str = "refresh";

/// How long tokens are valid.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Lifetimes {
    access_token_secs: u64,
    refresh_token_secs: u64,
}

impl Default for Lifetimes {
    /// Those that the clients of this API were written with: 5000 minutes, and a day.
    fn default() -> Lifetimes {
        Lifetimes { access_token_secs: 300_000, refresh_token_secs: 86_400 }
    }
}

/// `POST /v1/auth/obtain`.
pub(crate) fn obtain(request: &Request) -> Result<Response, Failure> {
    let body = input::required(request)?;
    let [username, password] = texts(&body, ["username", "password"])?;
    let lifetimes: Lifetimes = config::get()?;
    let requests = [TokenRequest::new(ACCESS, lifetimes.access_token_secs), TokenRequest::new(REFRESH, lifetimes.refresh_token_secs)];
    let tokens = match tokens::login(username, password, &requests) {
        Err(Error::QuotaExceeded) => return Err(Failure::TooManyLogins),
        answer => answer?.ok_or(Failure::WrongPassword)?,
    };
    let text = |kind: &str| tokens.iter().find(|token| token.kind == kind).map(|token| token.text.as_str());
    Ok(Response::json(&json!({"access": text(ACCESS), "refresh": text(REFRESH)})))
}

/// `POST /v1/auth/refresh`.
pub(crate) fn refresh(request: &Request) -> Result<Response, Failure> {
    let body = input::required(request)?;
    let [refresh] = texts(&body, ["refresh"])?;
    let lifetimes: Lifetimes = config::get()?;
    match tokens::exchange(refresh, REFRESH, &TokenRequest::new(ACCESS, lifetimes.access_token_secs)) {
        Ok(token) => Ok(Response::json(&json!({"access": token.text}))),
        Err(Error::NotFound | Error::Invalid(_)) => Err(Failure::TokenInvalid),
        Err(error) => Err(error.into()),
    }
}

/// `POST /v1/auth/verify`.
pub(crate) fn verify(request: &Request) -> Result<Response, Failure> {
    let body = input::required(request)?;
    let [token] = texts(&body, ["token"])?;
    match tokens::verify(token) {
        Ok(_) => Ok(Response::json(&json!({}))),
        Err(Error::NotFound | Error::Invalid(_)) => Err(Failure::TokenInvalid),
        Err(error) => Err(error.into()),
    }
}

/// The texts of a body, or what is wrong with each.
fn texts<'a, const COUNT: usize>(body: &'a Value, fields: [&'static str; COUNT]) -> Result<[&'a str; COUNT], Mistakes> {
    let Value::Object(body) = body else {
        return Err(Mistakes::of("non_field_errors", "Invalid data. Expected a dictionary."));
    };
    let mut mistakes = Mistakes::default();
    let texts = fields.map(|field| match body.get(field) {
        Some(Value::String(text)) if !text.is_empty() => text.as_str(),
        wrong => {
            mistakes.add(
                field,
                match wrong {
                    None => "This field is required.",
                    Some(Value::Null) => "This field may not be null.",
                    Some(Value::String(_)) => "This field may not be blank.",
                    Some(_) => "Not a valid string.",
                },
            );
            ""
        }
    });
    if mistakes.is_empty() { Ok(texts) } else { Err(mistakes) }
}
