//! `config` of a plugin: TOML to the JSON that the plugin will see, with the place of each value, and without the secrets.
//!
//! A secret is a table at the top level with the one key `secret_file` or `secret_env`. Only where it is kept is read here; its value is read when
//! the plugin asks for it. Those two keys mean nothing else: anywhere else they are a mistake, or what was meant as a secret would be an ordinary value.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

use super::secret::{self, SECRET_KEYS};
use crate::settings::PluginConfig;
use crate::settings::location::Location;
use crate::settings::report::quoted;
use crate::settings::section::Section;
use crate::settings::tree::{Entry, Node, Table, Value};

/// Reads `config`.
pub(super) fn read(section: &mut Section<'_>) -> PluginConfig {
    let mut places = BTreeMap::from([(String::new(), section.at())]);
    let mut values = Map::new();
    let mut secrets = BTreeMap::new();
    for Entry { key, node, .. } in section.entries() {
        let pointer = pointer_below("", key);
        if let Some(table) = node.value.as_table().filter(|table| secret::is_secret(table)) {
            places.insert(pointer, section.locate(node));
            secrets.extend(secret::read(section, table).map(|source| (key.clone(), source)));
            continue;
        }
        if SECRET_KEYS.contains(&key.as_str()) {
            misplaced_secret(section, key, node);
        }
        let json = Converter { section, places: &mut places }.node(node, pointer);
        values.insert(key.clone(), json);
    }
    PluginConfig { values, secrets, places }
}

fn misplaced_secret(section: &Section<'_>, key: &str, node: &Node) {
    let message = format!("{} is in no table of its own at the top level of `config`", quoted(key));
    let remedy = format!("a secret is written as `config.NAME = {{ {key} = \"…\" }}`, with nothing else in the braces");
    section.mistake(&section.locate(node), message, Some(remedy));
}

struct Converter<'s, 'a> {
    section: &'s Section<'a>,
    places: &'s mut BTreeMap<String, Location>,
}

impl Converter<'_, '_> {
    /// `node` as JSON; what JSON does not have is reported and becomes null. Its depth is bounded by the parser's.
    fn node(&mut self, node: &Node, pointer: String) -> Json {
        let at = self.section.locate(node);
        let json = match &node.value {
            Value::String(text) | Value::Datetime(text) => Json::from(text.as_str()),
            Value::Boolean(flag) => Json::from(*flag),
            Value::Integer(integer) => {
                let number = integer.number.and_then(Number::from_i128).filter(|number| number.is_i64() || number.is_u64());
                number.map_or_else(|| self.unfit(&quoted(&integer.written), "has more than 64 bits", &at), Json::Number)
            }
            Value::Float(float) => Number::from_f64(*float)
                .map_or_else(|| self.unfit(&quoted(&float.to_string()), "is no number that JSON has", &at), Json::Number),
            Value::List(items) => {
                Json::Array(items.iter().enumerate().map(|(index, item)| self.node(item, format!("{pointer}/{index}"))).collect())
            }
            Value::Table(table) => Json::Object(self.table(table, &pointer)),
        };
        self.places.insert(pointer, at);
        json
    }

    fn table(&mut self, table: &Table, pointer: &str) -> Map<String, Json> {
        let mut values = Map::new();
        for Entry { key, node, .. } in &table.entries {
            if SECRET_KEYS.contains(&key.as_str()) {
                misplaced_secret(self.section, key, node);
            }
            let json = self.node(node, pointer_below(pointer, key));
            values.insert(key.clone(), json);
        }
        values
    }

    fn unfit(&self, shown: &str, reason: &str, at: &Location) -> Json {
        self.section.mistake(at, format!("`config`: {shown} {reason}"), Some("write it as a string".to_owned()));
        Json::Null
    }
}

/// The JSON pointer (RFC 6901) of `key` in the object at `pointer`.
fn pointer_below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
