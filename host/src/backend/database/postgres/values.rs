//! Values as PostgreSQL has them on the wire.

use bytes::BytesMut;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use wharf_sql::{Error, Value};

/// A parameter. It goes out as what it is: the statement was prepared for its type.
#[derive(Debug)]
pub(super) struct Parameter<'v>(pub(super) &'v Value);

/// The type that a statement is prepared with for `value`. That of NULL is found by the server.
pub(super) fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::UNKNOWN,
        Value::Boolean(_) => Type::BOOL,
        Value::Integer(_) => Type::INT8,
        Value::Real(_) => Type::FLOAT8,
        Value::Text(_) => Type::TEXT,
        Value::Blob(_) => Type::BYTEA,
    }
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Boolean(boolean) => boolean.to_sql(of, out),
            Value::Integer(integer) => integer.to_sql(of, out),
            Value::Real(real) => real.to_sql(of, out),
            Value::Text(text) => text.to_sql(of, out),
            Value::Blob(blob) => blob.to_sql(of, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The values of `row`.
pub(super) fn row(row: &Row) -> Result<Vec<Value>, Error> {
    (0..row.len()).map(|index| value(row, index)).collect()
}

fn value(row: &Row, index: usize) -> Result<Value, Error> {
    let Some(column) = row.columns().get(index) else { return Err(Error::Internal("a column is missing".to_owned())) };
    let of = column.type_();
    let found = if *of == Type::BOOL {
        get(row, index, Value::Boolean)
    } else if *of == Type::INT8 {
        get(row, index, Value::Integer)
    } else if *of == Type::INT4 {
        get(row, index, |integer: i32| Value::Integer(integer.into()))
    } else if *of == Type::INT2 {
        get(row, index, |integer: i16| Value::Integer(integer.into()))
    } else if *of == Type::FLOAT8 {
        get(row, index, real)
    } else if *of == Type::FLOAT4 {
        get(row, index, |single: f32| real(single.into()))
    } else if *of == Type::TEXT || *of == Type::VARCHAR || *of == Type::UNKNOWN {
        get(row, index, Value::Text)
    } else if *of == Type::BYTEA {
        get(row, index, Value::Blob)
    } else {
        return Err(Error::Invalid(format!(
            "the column `{}` of the answer is of the type `{of}`, which plugins do not have",
            column.name()
        )));
    };
    found.map_err(|error| Error::Internal(error.to_string()))
}

fn get<'r, T: FromSql<'r>>(row: &'r Row, index: usize, of: impl FnOnce(T) -> Value) -> Result<Value, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<T>>(index)?.map_or(Value::Null, of))
}

/// SQLite has no NaN, and makes NULL of what would be one.
fn real(real: f64) -> Value {
    if real.is_nan() { Value::Null } else { Value::Real(real) }
}
