//! The rows that a statement answers with, one after the other.

use std::time::Instant;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Rows as Found, ToSql};

use super::guard::Guard;
use crate::parser::Written;
use crate::{Error, MAX_ANSWER_BYTES, Value};

/// The columns of an answer.
pub(super) struct Columns {
    names: Vec<String>,
    are_boolean: Vec<bool>,
}

impl Columns {
    pub(super) fn of(compiled: &rusqlite::Statement<'_>, written: &Written) -> Columns {
        let names: Vec<String> = compiled.column_names().map(str::to_owned).collect();
        let declared = compiled.columns().map(|column| column.decl_type().is_some_and(|of_type| of_type == "BOOLEAN"));
        let are_boolean = declared.enumerate().map(|(index, declared)| declared || written.booleans.has(index, names.len())).collect();
        Columns { names, are_boolean }
    }
}

/// What a statement answers, while it is read.
pub struct Walk<'r, 'c> {
    rows: Found<'r>,
    columns: &'c Columns,
    guard: &'c Guard,
    /// The row that was read to know whether there is one more.
    more: Option<Vec<Value>>,
}

impl<'r, 'c> Walk<'r, 'c> {
    pub(super) fn new(rows: Found<'r>, columns: &'c Columns, guard: &'c Guard) -> Walk<'r, 'c> {
        Walk { rows, columns, guard, more: None }
    }

    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns.names
    }

    /// The next rows, at most `max`; empty at the end.
    ///
    /// # Errors
    ///
    /// All of [`Error`]; [`Error::Quota`] when they hold more than an answer may.
    pub fn next(&mut self, max: usize, deadline: Instant) -> Result<Vec<Vec<Value>>, Error> {
        let mut found: Vec<Vec<Value>> = self.more.take().into_iter().collect();
        let mut size: usize = found.iter().flatten().map(Value::size).sum();
        while found.len() < max {
            let Some(row) = self.row(deadline)? else { break };
            size += row.iter().map(Value::size).sum::<usize>();
            if size > MAX_ANSWER_BYTES {
                return Err(Error::Quota);
            }
            found.push(row);
        }
        Ok(found)
    }

    /// Carries the statement to its end, and answers whether it had more rows. One that only reads is left where it is.
    ///
    /// # Errors
    ///
    /// All of [`Error`].
    pub fn finish(&mut self, deadline: Instant) -> Result<bool, Error> {
        let more = self.row(deadline)?.is_some();
        let reads = self.rows.as_ref().is_none_or(|compiled| compiled.readonly());
        while more && !reads && self.row(deadline)?.is_some() {}
        Ok(more)
    }

    fn row(&mut self, deadline: Instant) -> Result<Option<Vec<Value>>, Error> {
        let Walk { rows, columns: Columns { are_boolean, .. }, guard, .. } = self;
        guard.until(deadline, || {
            let Some(row) = rows.next()? else { return Ok(None) };
            let mut values = Vec::with_capacity(are_boolean.len());
            for (index, boolean) in are_boolean.iter().enumerate() {
                values.push(value(row.get_ref(index)?, *boolean));
            }
            Ok(Some(values))
        })
    }
}

fn value(value: ValueRef<'_>, boolean: bool) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) if boolean => Value::Boolean(integer != 0),
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => {
            Value::Text(str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text).into_owned(), str::to_owned))
        }
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Boolean(boolean) => ValueRef::Integer(i64::from(*boolean)),
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}
