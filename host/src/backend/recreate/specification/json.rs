//! Reading raw documents of the engine. What is not there, is null or has another type reads as empty: an engine leaves out what has its zero value, or spells it as it likes.

use serde_json::{Map, Value};

/// A JSON object.
pub(super) type Object = Map<String, Value>;

static NOTHING: Value = Value::Null;

/// The value at `pointer` (`/HostConfig/NetworkMode`); null if it is not there.
pub(super) fn at<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    document.pointer(pointer).unwrap_or(&NOTHING)
}

/// The value of `key`; null if it is not there.
pub(super) fn field<'a>(object: &'a Object, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&NOTHING)
}

/// The text of `key`; empty if there is none.
pub(super) fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    field(object, key).as_str().unwrap_or_default()
}

/// The text at `pointer`; empty if there is none.
pub(super) fn text_at<'a>(document: &'a Value, pointer: &str) -> &'a str {
    at(document, pointer).as_str().unwrap_or_default()
}

/// The number of `key`; 0 if there is none.
pub(super) fn number(object: &Object, key: &str) -> i64 {
    field(object, key).as_i64().unwrap_or_default()
}

/// Whether `key` is true.
pub(super) fn flag(object: &Object, key: &str) -> bool {
    field(object, key).as_bool().unwrap_or_default()
}

/// The items of a list; none if it is no list.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The texts in a list.
pub(super) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).iter().filter_map(Value::as_str)
}

/// The entries of an object; none if it is no object.
pub(super) fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A copy of the object; empty if it is none.
pub(super) fn object(value: &Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}

/// Whether this is what the engine takes for "not said": null, false, 0, an empty text, list or object.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    }
}

/// Sets `key`, or removes it if the value is null.
pub(super) fn put(object: &mut Object, key: &str, value: Value) {
    if value.is_null() {
        object.shift_remove(key);
    } else {
        object.insert(key.to_owned(), value);
    }
}

/// Removes all of these keys.
pub(super) fn remove(object: &mut Object, keys: &[&str]) {
    for key in keys {
        object.shift_remove(*key);
    }
}

/// Removes the keys whose value is null, which for the engine are not there.
pub(super) fn without_nulls(mut object: Object) -> Object {
    object.retain(|_, value| !value.is_null());
    object
}

/// One step of a JSON pointer.
pub(super) fn step(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// A path inside a container, as the engine keeps it: without empty and `.` parts, with `..` resolved, without a slash at its end.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
