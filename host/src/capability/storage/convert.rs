//! The database's words in the contract's, and the other way round.

use wharf_sql::{Migration, Rows, Statement, Value};

use super::error::Failure;
use crate::bindings::wharf::storage::sql;

pub(super) fn statement(statement: sql::Statement) -> Result<Statement, Failure> {
    let parameters: Result<Vec<Value>, Failure> = statement.parameters.into_iter().map(value).collect();
    Ok(Statement { sql: statement.sql, parameters: parameters? })
}

fn value(value: sql::Value) -> Result<Value, Failure> {
    Ok(match value {
        sql::Value::Null => Value::Null,
        sql::Value::Boolean(boolean) => Value::Boolean(boolean),
        sql::Value::Integer(integer) => Value::Integer(integer),
        sql::Value::Real(real) if real.is_nan() => return Err(Failure::Invalid("a parameter is not a number".to_owned())),
        sql::Value::Real(real) => Value::Real(real),
        sql::Value::Text(text) if text.contains('\0') => return Err(Failure::Invalid("a text has a NUL in it".to_owned())),
        sql::Value::Text(text) => Value::Text(text),
        sql::Value::Blob(blob) => Value::Blob(blob),
    })
}

fn value_record(value: Value) -> sql::Value {
    match value {
        Value::Null => sql::Value::Null,
        Value::Boolean(boolean) => sql::Value::Boolean(boolean),
        Value::Integer(integer) => sql::Value::Integer(integer),
        Value::Real(real) => sql::Value::Real(real),
        Value::Text(text) => sql::Value::Text(text),
        Value::Blob(blob) => sql::Value::Blob(blob),
    }
}

pub(super) fn row_records(rows: Vec<Vec<Value>>) -> Vec<Vec<sql::Value>> {
    rows.into_iter().map(|row| row.into_iter().map(value_record).collect()).collect()
}

pub(super) fn rows_record(rows: Rows) -> sql::Rows {
    sql::Rows { columns: rows.columns, rows: row_records(rows.rows), more: rows.more }
}

pub(super) fn migration(migration: sql::Migration) -> Migration {
    Migration { version: migration.version, name: migration.name, statements: migration.statements }
}
