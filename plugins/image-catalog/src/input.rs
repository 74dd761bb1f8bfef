//! The body of a request: JSON, or a form whose fields are read as if they were.

use std::borrow::Cow;

use serde_json::{Map, Value};
use wharf_sdk::Request;

use crate::failure::Failure;

/// The body; null when there is none.
pub(crate) fn optional(request: &Request) -> Result<Value, Failure> {
    let bytes = request.bytes()?.trim_ascii();
    let media_type = request.media_type();
    match media_type.as_str() {
        _ if bytes.is_empty() => Ok(Value::Null),
        "application/json" | "" => json(bytes),
        // `curl -d` says this whatever it sends.
        "application/x-www-form-urlencoded" if matches!(bytes.first(), Some(b'{' | b'[')) => json(bytes),
        "application/x-www-form-urlencoded" => Ok(form(bytes)),
        _ => Err(Failure::MediaType(media_type)),
    }
}

/// The body; an empty object when there is none.
pub(crate) fn required(request: &Request) -> Result<Value, Failure> {
    match optional(request)? {
        Value::Null if request.bytes()?.trim_ascii().is_empty() => Ok(Value::Object(Map::new())),
        body => Ok(body),
    }
}

fn json(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::NotJson(error.to_string()))
}

/// The fields of a form. `tasks` is a list, of as many as there are fields of that name.
fn form(bytes: &[u8]) -> Value {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        let value = Value::String(Cow::into_owned(value));
        match (&*name, fields.get_mut("tasks")) {
            ("tasks", Some(Value::Array(tasks))) => tasks.push(value),
            ("tasks", _) => drop(fields.insert("tasks".to_owned(), Value::Array(vec![value]))),
            (name, _) => drop(fields.insert(name.to_owned(), value)),
        }
    }
    Value::Object(fields)
}
