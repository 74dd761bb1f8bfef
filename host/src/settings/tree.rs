//! What a configuration file says, as a tree of our own: every key and value with its offset, keys in the order of the file.
//!
//! The parser's own tree borrows the text and sorts its keys, and cannot be turned into one that does neither. This one can be kept, and is all that
//! the code which reads settings has to know of TOML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and the offset of its first byte.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) start: usize,
    pub(crate) value: Value,
}

/// A value of TOML.
#[derive(Debug)]
pub(crate) enum Value {
    String(String),
    Integer(Integer),
    Float(f64),
    Boolean(bool),
    /// A date, a time or both, as it was written.
    Datetime(String),
    List(Vec<Node>),
    Table(Table),
}

/// An integer, however large.
#[derive(Debug)]
pub(crate) struct Integer {
    /// None when it has more than 127 bits.
    pub(crate) number: Option<i128>,
    /// As it was written, but for underscores.
    pub(crate) written: String,
}

/// A table. No key occurs twice.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

/// One key of a table and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// The offset of the key's first byte.
    pub(crate) key_start: usize,
    pub(crate) node: Node,
}

impl Table {
    /// The value at `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Takes over what the parser made of a table. As deep as the parser lets text be, which is a few hundred.
    pub(crate) fn from_parsed(parsed: DeTable<'_>) -> Table {
        let mut entries: Vec<Entry> = parsed
            .into_iter()
            .map(|(key, value)| Entry { key_start: key.span().start, key: key.into_inner().into_owned(), node: Node::from_parsed(value) })
            .collect();
        entries.sort_by_key(|entry| entry.key_start);
        Table { entries }
    }
}

impl Node {
    fn from_parsed(parsed: Spanned<DeValue<'_>>) -> Node {
        let start = parsed.span().start;
        let value = match parsed.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Integer(integer) => {
                let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
                Value::Integer(Integer { number, written: integer.to_string() })
            }
            // The parser has checked the digits, so only what is infinite on purpose or by its size is infinite.
            DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Boolean(flag),
            DeValue::Datetime(time) => Value::Datetime(time.to_string()),
            DeValue::Array(items) => Value::List(items.into_iter().map(Node::from_parsed).collect()),
            DeValue::Table(table) => Value::Table(Table::from_parsed(table)),
        };
        Node { start, value }
    }
}

impl Value {
    /// The table that this is, if it is one.
    pub(crate) fn as_table(&self) -> Option<&Table> {
        match self {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// What this is, for messages: `a string`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date or time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}
