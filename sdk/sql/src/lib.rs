//! The SQL that plugins for Wharf may write: checked, and put into the words of SQLite and PostgreSQL.
//!
//! The host and the SDK's fake host both stand on this crate, so that a plugin's unit tests hear the same refusals as the plugin will. `sdk/SQL.md` tells plugin authors what is written here.

mod definition;
mod expression;
mod functions;
pub mod keyvalue;
mod lexer;
pub mod migrations;
mod names;
mod parser;
mod select;
pub mod sqlite;
#[cfg(test)]
mod tests;

pub use parser::{Action, Booleans, Dialect, Mode, Schema, Written, write};

/// The most that an answer may hold, in bytes.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A value of a statement or an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// BIGINT.
    Integer(i64),
    /// DOUBLE PRECISION. Never a NaN.
    Real(f64),
    /// TEXT, without NUL.
    Text(String),
    /// BYTEA.
    Blob(Vec<u8>),
}

impl Value {
    /// About how much it takes in an answer.
    #[must_use]
    pub fn size(&self) -> usize {
        16 + match self {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Real(_) => 0,
        }
    }
}

/// One statement, as a plugin has written it.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its text.
    pub sql: String,
    /// The values of `$1`, `$2`, …
    pub parameters: Vec<Value>,
}

/// What a query found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// A value for each column.
    pub rows: Vec<Vec<Value>>,
    /// Whether there were more than the limit.
    pub more: bool,
}

/// A step in the life of a plugin's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Counted from 1 without a gap.
    pub version: u32,
    /// For people.
    pub name: String,
    /// What it does, in one transaction.
    pub statements: Vec<String>,
}

/// Why a statement was not carried out. The words are those of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It breaks a rule, which the text names.
    #[error("{0}")]
    Invalid(String),
    /// Something in the database stands against it; the text begins with `unique`, `foreign-key`, `not-null`, `check`, `changed` or `finished` and a colon.
    #[error("{0}")]
    Conflict(String),
    /// The database cannot be reached, or is too busy.
    #[error("{0}")]
    Unavailable(String),
    /// It took longer than it may. It changed nothing.
    #[error("it took longer than it may")]
    Timeout,
    /// The space is full, or the answer too large.
    #[error("a quota is used up")]
    Quota,
    /// The space has as many pages as it may, or its disk has no room: SQLite has one word for both. Whoever knows the disk says which.
    #[error("the database or its disk is full")]
    Full,
    /// The database failed.
    #[error("{0}")]
    Internal(String),
}
