//! A posted document in which integers have no bounds.
//!
//! The API's clients are Python programs: an id of thirty digits goes into a container's environment digit by digit. `serde_json`'s own `Value` would make a
//! float of it. Its feature for numbers of any size would do, but features are shared by all crates of a build, and this one changes for each of them what a
//! number is. So the text of every value is taken and read here.

use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

/// How deep lists and objects may stand in each other, as in `serde_json`: reading them takes the stack.
const DEPTH: usize = 128;

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// Digits, perhaps after a minus; of any length.
    Integer(String),
    /// Always finite: a number that no float can hold is refused.
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// The entries of an object in the order in which their names came first. Of two with one name the last counts.
pub(crate) type Object = IndexMap<String, Json>;

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        read(<&RawValue>::deserialize(deserializer)?, DEPTH).map_err(D::Error::custom)
    }
}

/// Reads a value that may hold others to the given depth.
fn read(raw: &RawValue, depth: usize) -> Result<Json, serde_json::Error> {
    let text = raw.get();
    let deeper = || depth.checked_sub(1).ok_or_else(|| serde_json::Error::custom("lists and objects stand too deep in each other"));
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let depth = deeper()?;
            let entries: IndexMap<String, &RawValue> = serde_json::from_str(text)?;
            Json::Object(
                entries.into_iter().map(|(name, value)| Ok((name, read(value, depth)?))).collect::<Result<_, serde_json::Error>>()?,
            )
        }
        Some(b'[') => {
            let depth = deeper()?;
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            Json::List(items.into_iter().map(|item| read(item, depth)).collect::<Result<_, serde_json::Error>>()?)
        }
        Some(b'"') => Json::Text(serde_json::from_str(text)?),
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'n') => Json::Null,
        _ if text == "-0" => Json::Integer("0".to_owned()),
        _ if !text.contains(['.', 'e', 'E']) => Json::Integer(text.to_owned()),
        _ => Json::Float(serde_json::from_str(text)?),
    })
}
