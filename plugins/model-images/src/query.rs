//! Ids and switches in paths and queries.

use wharf_sdk::Request;

use crate::failure::{Detail, Failure};
use crate::kind::Kind;

/// The id in the path.
///
/// # Errors
///
/// [`Failure::NoPath`] for what is no number, as if there were no such path; [`Failure::NoObject`] for a number that no id can be.
pub(crate) fn path_id(request: &Request, kind: Kind) -> Result<i64, Failure> {
    let text = request.param("id");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::NoPath);
    }
    text.parse().map_err(|_| Failure::NoObject(kind, text.into_owned()))
}

/// The id that the query has under `key`; none if it has none.
///
/// # Errors
///
/// [`Failure::Invalid`] for what is no integer, [`Failure::NoObject`] for one that no id can be.
pub(crate) fn optional_id(request: &Request, key: &str, kind: Kind) -> Result<Option<i64>, Failure> {
    let Some(text) = request.query().get(key) else { return Ok(None) };
    match integer(&text) {
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(digits)) => Err(Failure::NoObject(kind, digits)),
        None => Err(Failure::invalid(not_integer(key))),
    }
}

/// As [`optional_id`]; one that is not there is [`Failure::Invalid`] too.
pub(crate) fn id(request: &Request, key: &str, kind: Kind) -> Result<i64, Failure> {
    optional_id(request, key, kind)?.ok_or_else(|| missing(key))
}

/// The text that the query has under `key`.
///
/// # Errors
///
/// [`Failure::Invalid`] if it has none.
pub(crate) fn text(request: &Request, key: &str) -> Result<String, Failure> {
    request.query().get(key).map(std::borrow::Cow::into_owned).ok_or_else(|| missing(key))
}

fn missing(key: &str) -> Failure {
    Failure::invalid(Detail { place: vec![key.into()], message: "field required".to_owned(), word: "value_error.missing" })
}

/// Whether the switch `key` of the query is on: an integer that is not 0. Absent or empty it is `default`.
pub(crate) fn switch(request: &Request, key: &str, default: bool) -> Result<bool, Detail> {
    match request.query().get(key) {
        None => Ok(default),
        Some(text) if text.is_empty() => Ok(default),
        Some(text) => match integer(&text) {
            Some(number) => Ok(number != Ok(0)),
            None => Err(not_integer(key)),
        },
    }
}

fn not_integer(key: &str) -> Detail {
    Detail { place: vec![key.into()], message: "value is not a valid integer".to_owned(), word: "type_error.integer" }
}

/// The integer that `text` is; none if it is none, and its text if it has no place in 64 bits.
pub(crate) fn integer(text: &str) -> Option<Result<i64, String>> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().map_err(|_| text.to_owned()))
}
