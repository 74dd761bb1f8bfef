//! JSON as specifications are written in: no key twice, no number that is no integer.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// JSON in which no key occurs twice and every number is an integer.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::capability::docker) enum Json {
    Null,
    Flag(bool),
    Integer(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value under `key`; none if there is none or this is no object.
    pub(in crate::capability::docker) fn get(&self, key: &str) -> Option<&Json> {
        self.entries().iter().find(|(own, _)| own == key).map(|(_, value)| value)
    }

    /// The text under `key`; empty if there is none, as the engine has it.
    pub(in crate::capability::docker) fn text(&self, key: &str) -> &str {
        self.get(key).map_or("", Json::as_text)
    }

    /// The flag under `key`; false if there is none.
    pub(in crate::capability::docker) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Json::Flag(true)))
    }

    /// The integer under `key`.
    pub(in crate::capability::docker) fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Json::Integer(integer)) => Some(*integer),
            _ => None,
        }
    }

    /// The list under `key`; empty if there is none.
    pub(in crate::capability::docker) fn list(&self, key: &str) -> &[Json] {
        match self.get(key) {
            Some(Json::List(items)) => items,
            _ => &[],
        }
    }

    /// The texts in the list under `key`.
    pub(in crate::capability::docker) fn texts(&self, key: &str) -> impl Iterator<Item = &str> {
        self.list(key).iter().map(Json::as_text)
    }

    /// The entries of the object under `key`; none if there is none.
    pub(in crate::capability::docker) fn map(&self, key: &str) -> &[(String, Json)] {
        self.get(key).map_or(&[], Json::entries)
    }

    /// The entries of this object.
    pub(in crate::capability::docker) fn entries(&self) -> &[(String, Json)] {
        match self {
            Json::Object(entries) => entries,
            _ => &[],
        }
    }

    /// This text; empty if it is none.
    pub(in crate::capability::docker) fn as_text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            _ => "",
        }
    }

    /// The items of this list.
    pub(in crate::capability::docker) fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            _ => &[],
        }
    }

    /// Whether this is what an engine takes for the absence of a wish: `false`, zero, an empty text, and whatever holds nothing else.
    pub(super) fn asks_for_nothing(&self) -> bool {
        match self {
            Json::Null => true,
            Json::Flag(flag) => !flag,
            Json::Integer(integer) => *integer == 0,
            Json::Text(text) => text.is_empty(),
            Json::List(items) => items.iter().all(Json::asks_for_nothing),
            Json::Object(entries) => entries.iter().all(|(_, value)| value.asks_for_nothing()),
        }
    }

    /// The JSON text.
    pub(in crate::capability::docker) fn to_text(&self) -> String {
        // The keys are texts and nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Puts `value` under `key` of this object, in place of what is there.
    pub(in crate::capability::docker) fn set(&mut self, key: &str, value: Json) {
        let Json::Object(entries) = self else { return };
        entries.retain(|(own, _)| own != key);
        entries.push((key.to_owned(), value));
    }

    /// What to say it is.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Flag(_) => "a boolean",
            Json::Integer(_) => "an integer",
            Json::Text(_) => "a string",
            Json::List(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Flag(flag) => serializer.serialize_bool(*flag),
            Json::Integer(integer) => serializer.serialize_i64(*integer),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => serializer.collect_seq(items),
            Json::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without fractions and repeated keys")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_i64<E: de::Error>(self, integer: i64) -> Result<Json, E> {
        Ok(Json::Integer(integer))
    }

    fn visit_u64<E: de::Error>(self, integer: u64) -> Result<Json, E> {
        i64::try_from(integer).map(Json::Integer).map_err(|_| E::custom(format!("the number {integer} is too large")))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Json, E> {
        Err(E::custom(format!("the number {number} is no integer of 64 bits")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format!("the key `{key}` occurs twice")));
            }
            entries.push((key, value));
        }
        Ok(Json::Object(entries))
    }
}
