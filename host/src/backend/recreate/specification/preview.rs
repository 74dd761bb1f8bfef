//! What a recreation would change, for whoever is to agree to it.

use serde::Serialize;
use serde_json::{Value, json};

use super::json::{Object, entries, field, object, step, text_at, texts};
use super::merge::variable;
use super::{Refusal, Specification, Subject, Target, effective_config, specify};

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Change {
    /// A JSON pointer into the specification, with a name instead of a place in `Env`.
    pub(crate) path: String,
    /// Null for what is not there. Of an environment variable only `NAME=`.
    pub(crate) from: Value,
    /// As `from`.
    pub(crate) to: Value,
}

/// What recreating `subject` on `target` would change; empty if nothing would.
///
/// Both sides are what a container of its specification has, so what an engine fills in by itself is on neither. Where the reference stays and leads to another image, `/Image` has the ids.
///
/// # Errors
///
/// As [`specify`].
pub(crate) fn preview(subject: &Subject<'_>, target: &Target<'_>) -> Result<Vec<Change>, Refusal> {
    let reference = text_at(subject.container, "/Config/Image");
    let now = Target { reference, image: subject.image };
    let mut before = effective(&specify(subject, &now)?, subject.image);
    let mut after = effective(&specify(subject, target)?, target.image);
    let (from, to) = (text_at(subject.container, "/Image"), text_at(target.image, "/Id"));
    if reference == target.reference && from != to {
        before.insert("Image".to_owned(), json!(from));
        after.insert("Image".to_owned(), json!(to));
    }
    let mut changes = Vec::new();
    compare("", &Value::Object(before), &Value::Object(after), &mut changes);
    Ok(changes)
}

/// What a container of `specification` on `image` has, in the shape of a specification, with the environment by name.
fn effective(specification: &Specification, image: &Value) -> Object {
    let mut effective = effective_config(specification, image);
    effective.insert("Env".to_owned(), environment(field(&effective, "Env")));
    for key in ["HostConfig", "NetworkingConfig"] {
        if let Some(part) = specification.body.get(key) {
            effective.insert(key.to_owned(), part.clone());
        }
    }
    effective
}

/// The list as an object: a name that stands there twice has its last value, as in the container.
pub(super) fn environment(list: &Value) -> Value {
    texts(list).map(|entry| (variable(entry).to_owned(), json!(entry))).collect::<Object>().into()
}

/// `entry` of the environment without its value.
pub(super) fn without_value(entry: &Value) -> Value {
    entry.as_str().map_or(Value::Null, |entry| json!(format!("{}=", variable(entry))))
}

fn compare(path: &str, from: &Value, to: &Value, changes: &mut Vec<Change>) {
    if from == to {
        return;
    }
    if from.is_object() && to.is_object() {
        let (before, after) = (object(from), object(to));
        let added = entries(to).filter(|(key, _)| !before.contains_key(key.as_str()));
        for (key, _) in entries(from).chain(added) {
            compare(&step(path, key), field(&before, key), field(&after, key), changes);
        }
        return;
    }
    let (from, to) = match path.starts_with("/Env/") {
        true => (without_value(from), without_value(to)),
        false => (from.clone(), to.clone()),
    };
    changes.push(Change { path: path.to_owned(), from, to });
}
