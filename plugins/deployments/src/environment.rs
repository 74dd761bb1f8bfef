//! Environment variables, from the engine's list to this API's object and back.
//!
//! A variable without a value is null: the engine hands its own on, or leaves it unset. Values that are no text are written the way the workers' authors know
//! it, as Python's `str` does: `True`, `5`, `['a', 1]`. Numbers are always decimal, without an exponent.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::json::{Json, Object};

/// The engine's list as an object. A value may contain `=` itself; the last of two entries with one name counts.
pub(crate) fn shown(env: Vec<String>) -> Map<String, Value> {
    let entry = |item: String| match item.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.into()),
        None => (item, Value::Null),
    };
    env.into_iter().map(entry).collect()
}

/// The engine's list for `variables`, in their order.
pub(crate) fn list(variables: &Object) -> Vec<String> {
    let item = |(name, value): (&String, &Json)| match value {
        Json::Null => name.clone(),
        Json::Text(text) => format!("{name}={text}"),
        other => {
            let mut item = format!("{name}=");
            write_python(&mut item, other);
            item
        }
    };
    variables.iter().map(item).collect()
}

/// Writes `value` as Python's `repr` does.
fn write_python(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("None"),
        Json::Bool(true) => out.push_str("True"),
        Json::Bool(false) => out.push_str("False"),
        Json::Integer(digits) => out.push_str(digits),
        Json::Float(number) => out.push_str(&decimal(*number)),
        Json::Text(text) => write_quoted(out, text),
        Json::List(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { ", " });
                write_python(out, item);
            }
            out.push(']');
        }
        Json::Object(entries) => {
            out.push('{');
            for (place, (key, item)) in entries.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { ", " });
                write_quoted(out, key);
                out.push_str(": ");
                write_python(out, item);
            }
            out.push('}');
        }
    }
}

/// Single quotes, unless the text has some and no double ones.
fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            character if character == quote => out.extend(['\\', character]),
            character if character.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(character));
            }
            character => out.push(character),
        }
    }
    out.push(quote);
}

/// `number` without an exponent and with a point, since it was no integer in the JSON.
fn decimal(number: f64) -> String {
    let text = number.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}
