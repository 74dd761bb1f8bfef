//! `sql`: tables of the plugin's own, in SQLite or PostgreSQL, whichever the operator has.
//!
//! Statements are written in the part of SQL that both have; `SQL.md` beside this crate says which that is. A parameter is `$1`, `$2`, …; there is no other way to put a value into a statement.
//!
//! ```
//! use wharf_sdk::fake;
//! use wharf_sdk::storage::{Error, sql};
//!
//! const TABLES: &[sql::Migration] = &[sql::Migration {
//!     version: 1,
//!     name: "images",
//!     statements: &["CREATE TABLE images (id SERIAL PRIMARY KEY, name TEXT NOT NULL UNIQUE, size BIGINT)"],
//! }];
//!
//! fn add(name: &str, size: Option<i64>) -> Result<i64, Error> {
//!     sql::migrate(TABLES)?;
//!     let row = sql::query_one("INSERT INTO images (name, size) VALUES ($1, $2) RETURNING id", &[&name, &size])?;
//!     row.ok_or(Error::NotFound)?.get(0)
//! }
//!
//! let _host = fake::Host::install();
//! assert_eq!(add("redis", Some(40)), Ok(1));
//! assert_eq!(add("redis", None), Err(Error::Conflict("unique: images.name".to_owned())));
//! ```

use std::fmt;
use std::rc::Rc;

use super::Error;
use crate::host::with;

#[cfg(target_family = "wasm")]
mod handle {
    pub(crate) use crate::imports::storage::{Cursor, Transaction};
}
#[cfg(not(target_family = "wasm"))]
mod handle {
    pub(crate) use crate::fake::storage::{Cursor, Transaction};
}

/// Rows that a cursor fetches at a time.
const FETCH: u32 = 500;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// BOOLEAN. In SQLite what was computed may be an integer that is 0 or 1; reading a `bool` takes both.
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
    fn kind(&self) -> &'static str {
        match self {
            Value::Null => "NULL",
            Value::Boolean(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Real(_) => "a real number",
            Value::Text(_) => "a text",
            Value::Blob(_) => "a blob",
        }
    }
}

/// What can be a parameter. An `Option` that is none is NULL.
pub trait ToValue {
    /// As a value.
    fn to_value(&self) -> Value;
}

macro_rules! to_value {
    ($($of:ty => $value:expr;)*) => {$(
        impl ToValue for $of {
            fn to_value(&self) -> Value {
                let convert: fn(&$of) -> Value = $value;
                convert(self)
            }
        }
    )*};
}

to_value! {
    bool => |value| Value::Boolean(*value);
    i64 => |value| Value::Integer(*value);
    i32 => |value| Value::Integer((*value).into());
    u32 => |value| Value::Integer((*value).into());
    u16 => |value| Value::Integer((*value).into());
    u8 => |value| Value::Integer((*value).into());
    f64 => |value| Value::Real(*value);
    str => |value| Value::Text(value.to_owned());
    String => |value| Value::Text(value.clone());
    [u8] => |value| Value::Blob(value.to_vec());
    Vec<u8> => |value| Value::Blob(value.clone());
    Value => Value::clone;
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

/// What a value of an answer can be read as. `&str` and `&[u8]` are the row's own.
pub trait FromValue<'v>: Sized {
    /// What it is called in an error.
    const NAME: &'static str;

    /// The value as this; none when it is not of its kind.
    fn from_value(value: &'v Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($of:ty, $name:literal, $($pattern:pat => $value:expr),+;)*) => {$(
        impl<'v> FromValue<'v> for $of {
            const NAME: &'static str = $name;

            fn from_value(value: &'v Value) -> Option<$of> {
                match value {
                    $($pattern => $value,)+
                    _ => None,
                }
            }
        }
    )*};
}

from_value! {
    bool, "a boolean", Value::Boolean(value) => Some(*value), Value::Integer(0) => Some(false), Value::Integer(1) => Some(true);
    i64, "an integer", Value::Integer(value) => Some(*value);
    i32, "an integer of 32 bits", Value::Integer(value) => i32::try_from(*value).ok();
    u64, "a natural number", Value::Integer(value) => u64::try_from(*value).ok();
    u32, "a natural number of 32 bits", Value::Integer(value) => u32::try_from(*value).ok();
    f64, "a real number", Value::Real(value) => Some(*value);
    String, "a text", Value::Text(value) => Some(value.clone());
    &'v str, "a text", Value::Text(value) => Some(value);
    Vec<u8>, "a blob", Value::Blob(value) => Some(value.clone());
    &'v [u8], "a blob", Value::Blob(value) => Some(value);
}

impl FromValue<'_> for Value {
    const NAME: &'static str = "a value";

    fn from_value(value: &Value) -> Option<Value> {
        Some(value.clone())
    }
}

impl<'v, T: FromValue<'v>> FromValue<'v> for Option<T> {
    const NAME: &'static str = T::NAME;

    fn from_value(value: &'v Value) -> Option<Option<T>> {
        if *value == Value::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

/// One statement with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its text. One statement.
    pub sql: String,
    /// The values of `$1`, `$2`, …
    pub parameters: Vec<Value>,
}

impl Statement {
    /// The statement `sql` with `parameters`.
    #[must_use]
    pub fn new(sql: impl Into<String>, parameters: &[&dyn ToValue]) -> Statement {
        Statement { sql: sql.into(), parameters: parameters.iter().map(|value| value.to_value()).collect() }
    }
}

/// A step in the life of the plugin's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Counted from 1 without a gap.
    pub version: u32,
    /// For people.
    pub name: &'static str,
    /// What it does, in one transaction. It must never change once a host has run it: add another one.
    pub statements: &'static [&'static str],
}

/// What a query found.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    /// Whether there were more than the limit.
    pub more: bool,
}

impl Rows {
    pub(crate) fn new(columns: Vec<String>, rows: Vec<Vec<Value>>, more: bool) -> Rows {
        Rows { rows: Row::all(&columns.into(), rows), more }
    }
}

impl IntoIterator for Rows {
    type Item = Row;
    type IntoIter = std::vec::IntoIter<Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<Value>,
}

/// A column: its number from 0, or its name.
pub trait Column: fmt::Display {
    /// Its number among `columns`.
    fn find(&self, columns: &[String]) -> Option<usize>;
}

impl Column for usize {
    fn find(&self, columns: &[String]) -> Option<usize> {
        (*self < columns.len()).then_some(*self)
    }
}

impl Column for &str {
    fn find(&self, columns: &[String]) -> Option<usize> {
        columns.iter().position(|column| column == self)
    }
}

impl Row {
    fn all(columns: &Rc<[String]>, rows: Vec<Vec<Value>>) -> Vec<Row> {
        rows.into_iter().map(|values| Row { columns: Rc::clone(columns), values }).collect()
    }

    /// The value of `column` as a `T`, which is an `Option` where it may be NULL.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if there is no such column, or its value is of another kind: the plugin's statement and its code do not fit together.
    pub fn get<'v, T: FromValue<'v>>(&'v self, column: impl Column) -> Result<T, Error> {
        let value = column.find(&self.columns).and_then(|index| self.values.get(index));
        let value = value.ok_or_else(|| Error::Internal(format!("the answer has no column {column}")))?;
        T::from_value(value)
            .ok_or_else(|| Error::Internal(format!("column {column} of the answer is {}, and is read as {}", value.kind(), T::NAME)))
    }

    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

/// Runs those of `migrations` that this space has not seen, and answers how many there were. It is cheap when there are none: call it at the beginning of whatever needs a table.
///
/// # Errors
///
/// [`Error::Denied`], [`Error::Invalid`] (also for a version that was run with other statements), [`Error::Conflict`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
pub fn migrate(migrations: &[Migration]) -> Result<u32, Error> {
    with(|host| host.sql_migrate(migrations))
}

/// Asks, and answers at most `limit` rows and at most 10,000.
///
/// # Errors
///
/// [`Error::Denied`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::QuotaExceeded`] (an answer of more than 16 MiB), [`Error::Internal`]; for a statement with RETURNING also
/// [`Error::Conflict`].
pub fn query(sql: &str, parameters: &[&dyn ToValue], limit: u32) -> Result<Rows, Error> {
    run(&Statement::new(sql, parameters), limit)
}

/// As [`query`], with a statement that was put together.
///
/// # Errors
///
/// As [`query`].
pub fn run(statement: &Statement, limit: u32) -> Result<Rows, Error> {
    with(|host| host.sql_query(statement, limit))
}

/// The first row; none if there is none.
///
/// # Errors
///
/// As [`query`].
pub fn query_one(sql: &str, parameters: &[&dyn ToValue]) -> Result<Option<Row>, Error> {
    Ok(query(sql, parameters, 1)?.into_iter().next())
}

/// Carries out one statement, and answers how many rows it has changed.
///
/// # Errors
///
/// [`Error::Denied`], [`Error::Invalid`], [`Error::Conflict`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::QuotaExceeded`], [`Error::Internal`].
pub fn execute(sql: &str, parameters: &[&dyn ToValue]) -> Result<u64, Error> {
    Ok(execute_all(&[Statement::new(sql, parameters)])?.first().copied().unwrap_or_default())
}

/// Carries out statements in one transaction, all or none, and answers how many rows each has changed.
///
/// # Errors
///
/// As [`execute`].
pub fn execute_all(statements: &[Statement]) -> Result<Vec<u64>, Error> {
    with(|host| host.sql_execute(statements))
}

/// Begins a transaction. Waits for its turn; others wait for this one, so do nothing in it that takes time.
///
/// # Errors
///
/// [`Error::Denied`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::QuotaExceeded`].
pub fn begin() -> Result<Transaction, Error> {
    Ok(Transaction(with(|host| host.sql_begin())?))
}

/// Does `work` in a transaction, which is kept when that is well and undone when it fails.
///
/// # Errors
///
/// Those of `work`; as [`begin`] and [`Transaction::commit`].
pub fn transaction<T, E: From<Error>>(work: impl FnOnce(&Transaction) -> Result<T, E>) -> Result<T, E> {
    let transaction = begin()?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// A transaction. One that is dropped is undone, and so is one that lives longer than the operator allows (2 s unless said otherwise).
#[derive(Debug)]
pub struct Transaction(handle::Transaction);

impl Transaction {
    /// As the function of the same name, inside the transaction.
    ///
    /// # Errors
    ///
    /// As the function; [`Error::Timeout`] when the transaction has lived too long.
    pub fn query(&self, sql: &str, parameters: &[&dyn ToValue], limit: u32) -> Result<Rows, Error> {
        self.run(&Statement::new(sql, parameters), limit)
    }

    /// As [`Transaction::query`], with a statement that was put together.
    ///
    /// # Errors
    ///
    /// As [`Transaction::query`].
    pub fn run(&self, statement: &Statement, limit: u32) -> Result<Rows, Error> {
        self.0.query(statement, limit)
    }

    /// As the function of the same name, inside the transaction.
    ///
    /// # Errors
    ///
    /// As [`Transaction::query`].
    pub fn query_one(&self, sql: &str, parameters: &[&dyn ToValue]) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, parameters, 1)?.into_iter().next())
    }

    /// As the function of the same name, inside the transaction: a statement that fails undoes the call, and the transaction can go on.
    ///
    /// # Errors
    ///
    /// As [`execute`]; [`Error::Timeout`] when the transaction has lived too long.
    pub fn execute(&self, sql: &str, parameters: &[&dyn ToValue]) -> Result<u64, Error> {
        Ok(self.execute_all(&[Statement::new(sql, parameters)])?.first().copied().unwrap_or_default())
    }

    /// As the function of the same name, inside the transaction.
    ///
    /// # Errors
    ///
    /// As [`Transaction::execute`].
    pub fn execute_all(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        self.0.execute(statements)
    }

    /// Keeps what was done.
    ///
    /// # Errors
    ///
    /// As [`Transaction::execute`]; nothing was kept then.
    pub fn commit(self) -> Result<(), Error> {
        self.0.commit()
    }

    /// Undoes what was done, as dropping does.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]; it is undone all the same.
    pub fn rollback(self) -> Result<(), Error> {
        self.0.rollback()
    }
}

/// As [`query`], for more rows than fit into one answer, at most `limit` in all. What it shows is of the moment when it was opened.
///
/// # Errors
///
/// As [`query`].
pub fn open(sql: &str, parameters: &[&dyn ToValue], limit: u64) -> Result<Cursor, Error> {
    open_statement(&Statement::new(sql, parameters), limit)
}

/// As [`open`], with a statement that was put together.
///
/// # Errors
///
/// As [`query`].
pub fn open_statement(statement: &Statement, limit: u64) -> Result<Cursor, Error> {
    let handle = with(|host| host.sql_open(statement, limit))?;
    Ok(Cursor { columns: handle.columns().into(), handle: Some(handle), fetched: Vec::new().into_iter() })
}

/// Rows that are read one after the other. One that is not read for 30 s ends, and so does one of which others have to wait: an [`Error::Timeout`] is its last item then.
#[derive(Debug)]
pub struct Cursor {
    columns: Rc<[String]>,
    /// None when it has ended.
    handle: Option<handle::Cursor>,
    fetched: std::vec::IntoIter<Row>,
}

impl Iterator for Cursor {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Result<Row, Error>> {
        if let Some(row) = self.fetched.next() {
            return Some(Ok(row));
        }
        let fetched = self.handle.as_mut()?.next(FETCH);
        match fetched {
            Ok(rows) if !rows.is_empty() => self.fetched = Row::all(&self.columns, rows).into_iter(),
            ended => {
                self.handle = None;
                return ended.err().map(Err);
            }
        }
        self.fetched.next().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: Value) -> Row {
        Row { columns: vec!["x".to_owned()].into(), values: vec![value] }
    }

    #[test]
    fn a_value_is_read_as_what_it_is() {
        assert_eq!(row(Value::Integer(1)).get::<i64>("x"), Ok(1));
        assert_eq!(row(Value::Integer(1)).get::<bool>(0), Ok(true));
        assert_eq!(row(Value::Null).get::<Option<String>>("x"), Ok(None));
        assert_eq!(row(Value::Text("a".to_owned())).get::<Option<String>>("x"), Ok(Some("a".to_owned())));
        assert_eq!(row(Value::Text("a".to_owned())).get::<&str>("x"), Ok("a"));
        assert_eq!(row(Value::Blob(vec![1])).get::<Option<&[u8]>>("x"), Ok(Some([1].as_slice())));
    }

    #[track_caller]
    fn check_misread<T: for<'v> FromValue<'v> + fmt::Debug + PartialEq>(value: Value, column: impl Column, expected: &str) {
        assert_eq!(row(value).get::<T>(column), Err(Error::Internal(expected.to_owned())));
    }

    #[test]
    fn a_value_that_is_misread_says_so() {
        check_misread::<i64>(Value::Null, "x", "column x of the answer is NULL, and is read as an integer");
        check_misread::<u32>(Value::Integer(-1), 0, "column 0 of the answer is an integer, and is read as a natural number of 32 bits");
        check_misread::<bool>(Value::Integer(2), "x", "column x of the answer is an integer, and is read as a boolean");
        check_misread::<i64>(Value::Null, "y", "the answer has no column y");
    }
}
