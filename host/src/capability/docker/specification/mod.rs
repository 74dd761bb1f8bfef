//! The specification of a new container: from a plugin's text to a tree of known keys.
//!
//! An engine reads this JSON with rules of its own: it matches keys without regard to case, takes the last of several that it thinks equal, ignores what it does not know, and
//! old ones read the keys of `HostConfig` at the top level too. A check that reads the text by other rules can be walked around. So there is one form: each key in the
//! engine's exact spelling, once, and known here; `null` is the same as absent and is taken out; and the tree that results is what is checked and what is sent, never the text.
//!
//! A new field of a new engine is therefore `invalid` until it is written down here, together with what it means for the policy.

mod json;
mod keys;

pub(super) use json::Json;
use keys::{CONFIG, Key, Shape};

use crate::backend::engine::Requirement;

/// The longest specification: 1 MiB, far more than the longest environment that a kernel takes.
const MAX_SPECIFICATION_BYTES: usize = 1024 * 1024;
/// The place of the whole in messages.
const SPECIFICATION: &str = "the specification";

/// Reads a specification into its one form.
///
/// # Errors
///
/// The first rule that it breaks, with the place.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    if text.len() > MAX_SPECIFICATION_BYTES {
        return Err(format!("the specification is longer than {MAX_SPECIFICATION_BYTES} bytes"));
    }
    let json: Json = serde_json::from_str(text).map_err(|error| format!("the specification is not acceptable JSON: {error}"))?;
    match fit(json, Shape::Object(CONFIG), SPECIFICATION)? {
        Some(tree) => Ok(tree),
        None => Err("the specification is `null`, expected an object".to_owned()),
    }
}

/// `json` if it has `shape`, without nulls; none if it is null itself.
fn fit(json: Json, shape: Shape, place: &str) -> Result<Option<Json>, String> {
    if let Shape::Refused(reason) = shape {
        return Err(format!("`{place}` is not taken: {reason}"));
    }
    if let Shape::Since(_, shape) = shape {
        return fit(json, *shape, place);
    }
    let fitting = match (shape, json) {
        (_, Json::Null) => return Ok(None),
        (Shape::Text | Shape::Command, text @ Json::Text(_)) => text,
        (Shape::Flag, flag @ Json::Flag(_)) => flag,
        (Shape::Integer, integer @ Json::Integer(_)) => integer,
        (Shape::Texts | Shape::Command, Json::List(items)) => fit_all(items, Shape::Text, place)?,
        (Shape::Integers, Json::List(items)) => fit_all(items, Shape::Integer, place)?,
        (Shape::TextLists, Json::List(items)) => fit_all(items, Shape::Texts, place)?,
        (Shape::Objects(keys), Json::List(items)) => fit_all(items, Shape::Object(keys), place)?,
        (Shape::TextMap, Json::Object(entries)) => fit_values(entries, Shape::Text, &Json::Text(String::new()), place)?,
        (Shape::Set, Json::Object(entries)) => fit_values(entries, Shape::Object(&[]), &Json::Object(Vec::new()), place)?,
        (Shape::ObjectMap(keys), Json::Object(entries)) => fit_values(entries, Shape::Object(keys), &Json::Object(Vec::new()), place)?,
        (Shape::ObjectListMap(keys), Json::Object(entries)) => fit_values(entries, Shape::Objects(keys), &Json::List(Vec::new()), place)?,
        (Shape::Object(keys), Json::Object(entries)) => fit_object(entries, keys, place)?,
        (shape, other) => return Err(format!("`{place}` is {}, expected {}", other.kind(), shape.kind())),
    };
    Ok(Some(fitting))
}

/// The items of a list, none of which may be null: an engine would read it as an empty value, which is rarely meant.
fn fit_all(items: Vec<Json>, shape: Shape, place: &str) -> Result<Json, String> {
    let mut fitting = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        fitting.push(fit(item, shape, &place)?.ok_or_else(|| format!("`{place}` is null, expected {}", shape.kind()))?);
    }
    Ok(Json::List(fitting))
}

/// The values of an object with free keys; null is `empty`, as the engine has it.
fn fit_values(entries: Vec<(String, Json)>, shape: Shape, empty: &Json, place: &str) -> Result<Json, String> {
    let mut fitting = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let value = fit(value, shape, &format!("{place}.{key}"))?;
        fitting.push((key, value.unwrap_or_else(|| empty.clone())));
    }
    Ok(Json::Object(fitting))
}

fn fit_object(entries: Vec<(String, Json)>, keys: &[Key], place: &str) -> Result<Json, String> {
    let mut fitting = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Some((_, shape)) = keys.iter().find(|(known, _)| *known == key) else {
            let meant = keys.iter().find(|(known, _)| known.to_lowercase() == key.to_lowercase());
            let hint = meant.map(|(known, _)| format!("; write `{known}`")).unwrap_or_default();
            return Err(format!("{place} has the unknown key `{key}`{hint}"));
        };
        let place = below(place, &key);
        if let Some(value) = fit(value, *shape, &place)? {
            fitting.push((key, value));
        }
    }
    Ok(Json::Object(fitting))
}

/// Of all that `tree` asks for, what the newest engines alone know; none if every engine knows it all.
///
/// A value that asks for nothing (`false`, zero, nothing in it) is none that could be missed.
pub(super) fn requirement(tree: &Json) -> Option<Requirement> {
    newest(tree, Shape::Object(CONFIG), SPECIFICATION)
}

fn newest(json: &Json, shape: Shape, place: &str) -> Option<Requirement> {
    let of_keys = |keys: &[Key]| {
        let shapes = json.entries().iter().filter_map(|(key, value)| Some((key, value, keys.iter().find(|(known, _)| known == key)?.1)));
        shapes.filter_map(|(key, value, shape)| newest(value, shape, &below(place, key))).max_by_key(|requirement| requirement.since)
    };
    let of_values = |keys| {
        let values = json.items().iter().chain(json.entries().iter().map(|(_, value)| value));
        values.filter_map(|value| newest(value, Shape::Object(keys), place)).max_by_key(|requirement| requirement.since)
    };
    match shape {
        Shape::Since(since, shape) if !json.asks_for_nothing() => {
            let inside = newest(json, *shape, place).filter(|inside| inside.since > since);
            inside.or_else(|| Some(Requirement { key: place.to_owned(), since }))
        }
        Shape::Object(keys) => of_keys(keys),
        Shape::Objects(keys) | Shape::ObjectMap(keys) => of_values(keys),
        _ => None,
    }
}

fn below(place: &str, key: &str) -> String {
    if place == SPECIFICATION { key.to_owned() } else { format!("{place}.{key}") }
}
