//! The host's own tables of a space: values by key, and which migrations were run.

use std::collections::BTreeMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, types};
use wharf_sql::migrations::{self, Applied};
use wharf_sql::{Error, MAX_ANSWER_BYTES, Migration, keyvalue};

use super::error::of_statement;
use super::lease::Lease;

const GET: &str = "SELECT key, value FROM wharf_keyvalue WHERE key = ANY($1)";
const SIZE: &str = "SELECT coalesce(sum(length(value)), 0)::bigint FROM wharf_keyvalue WHERE key = ANY($1)";
const SET: &str = "INSERT INTO wharf_keyvalue (key, value) SELECT * FROM unnest($1::text[], $2::bytea[]) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM wharf_keyvalue WHERE key = ANY($1)";
const LIST: &str = "SELECT key FROM wharf_keyvalue WHERE key >= $1 AND key > $2 AND ($3::text IS NULL OR key < $3) ORDER BY key LIMIT $4";
const ADD: &str = "INSERT INTO wharf_keyvalue (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const REPLACE: &str = "UPDATE wharf_keyvalue SET value = $3 WHERE key = $1 AND value = $2";
const REMOVE: &str = "DELETE FROM wharf_keyvalue WHERE key = $1 AND value = $2";
/// What is no number in decimal digits is left as it is, and answers no row.
const INCREMENT: &str = "INSERT INTO wharf_keyvalue AS known (key, value) VALUES ($1, convert_to($2::bigint::text, 'UTF8'))
    ON CONFLICT (key) DO UPDATE SET value = convert_to((convert_from(known.value, 'UTF8')::bigint + $2::bigint)::text, 'UTF8')
    WHERE convert_from(known.value, 'UTF8') ~ '^-?[0-9]+$' RETURNING convert_from(value, 'UTF8')::bigint";

pub(super) async fn get(lease: &Lease, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    // One value is within the limit by itself.
    if keys.len() > MAX_ANSWER_BYTES >> 20 {
        let size = query(lease, SIZE, &[Type::TEXT_ARRAY], &[&keys]).await?;
        if size.first().is_some_and(|row| row.get::<_, i64>(0) > i64::try_from(MAX_ANSWER_BYTES).unwrap_or(i64::MAX)) {
            return Err(Error::Quota);
        }
    }
    let rows = query(lease, GET, &[Type::TEXT_ARRAY], &[&keys]).await?;
    let found: BTreeMap<&str, &[u8]> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(keys.iter().map(|key| found.get(key.as_str()).map(|value| value.to_vec())).collect())
}

pub(super) async fn set(lease: &Lease, entries: &[(String, Vec<u8>)]) -> Result<(), Error> {
    // The last of several for one key counts; and hosts that set the same keys do so in the same order.
    let entries: BTreeMap<&str, &[u8]> = entries.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
    let (keys, values): (Vec<&str>, Vec<&[u8]>) = entries.into_iter().unzip();
    execute(lease, SET, &[Type::TEXT_ARRAY, Type::BYTEA_ARRAY], &[&keys, &values]).await.map(drop)
}

pub(super) async fn delete(lease: &Lease, keys: &[String]) -> Result<u64, Error> {
    execute(lease, DELETE, &[Type::TEXT_ARRAY], &[&keys]).await
}

pub(super) async fn list(lease: &Lease, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
    let (end, limit) = (keyvalue::end_of(prefix), i64::try_from(limit).unwrap_or(i64::MAX));
    let types = [Type::TEXT, Type::TEXT, Type::TEXT, Type::INT8];
    let rows = query(lease, LIST, &types, &[&prefix, &after.unwrap_or_default(), &end, &limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) async fn compare_and_set(lease: &Lease, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error> {
    let done = match (expected, new) {
        (None, None) => get(lease, &[key.to_owned()]).await?.first().is_some_and(Option::is_none),
        (None, Some(new)) => execute(lease, ADD, &[Type::TEXT, Type::BYTEA], &[&key, &new]).await? == 1,
        (Some(expected), None) => execute(lease, REMOVE, &[Type::TEXT, Type::BYTEA], &[&key, &expected]).await? == 1,
        (Some(expected), Some(new)) => {
            execute(lease, REPLACE, &[Type::TEXT, Type::BYTEA, Type::BYTEA], &[&key, &expected, &new]).await? == 1
        }
    };
    if done { Ok(()) } else { Err(keyvalue::changed(key)) }
}

pub(super) async fn increment(lease: &Lease, key: &str, by: i64) -> Result<i64, Error> {
    let prepared = lease.prepare(INCREMENT, &[Type::TEXT, Type::INT8]).await?;
    match lease.client()?.query_opt(&prepared, &[&key, &by]).await {
        Ok(Some(row)) => Ok(row.get(0)),
        Ok(None) => Err(Error::Invalid(format!("the value of `{key}` is no number in decimal digits"))),
        Err(error) if error.code() == Some(&SqlState::NUMERIC_VALUE_OUT_OF_RANGE) => {
            Err(Error::Invalid(format!("the sum for `{key}` has no place in 64 bits")))
        }
        Err(error) if error.code() == Some(&SqlState::CHARACTER_NOT_IN_REPERTOIRE) => {
            Err(Error::Invalid(format!("the value of `{key}` is no number in decimal digits")))
        }
        Err(error) => Err(of_statement(&error)),
    }
}

/// The migrations that were run.
pub(super) async fn applied(lease: &Lease) -> Result<Vec<Applied>, Error> {
    let rows = query(lease, "SELECT version, hash FROM wharf_migrations ORDER BY version", &[], &[]).await?;
    let applied = |row: &Row| Applied { version: u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX), hash: row.get(1) };
    Ok(rows.iter().map(applied).collect())
}

/// Notes that `migration` was run.
pub(super) async fn record(lease: &Lease, migration: &Migration) -> Result<(), Error> {
    let sql = "INSERT INTO wharf_migrations (version, name, hash) VALUES ($1, $2, $3)";
    let (version, hash) = (i64::from(migration.version), migrations::hash(migration));
    execute(lease, sql, &[Type::INT8, Type::TEXT, Type::TEXT], &[&version, &migration.name, &hash]).await.map(drop)
}

async fn query(lease: &Lease, sql: &str, types: &[Type], parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
    let prepared = lease.prepare(sql, types).await?;
    lease.client()?.query(&prepared, parameters).await.map_err(|error| of_statement(&error))
}

async fn execute(lease: &Lease, sql: &str, types: &[types::Type], parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
    let prepared = lease.prepare(sql, types).await?;
    lease.client()?.execute(&prepared, parameters).await.map_err(|error| of_statement(&error))
}
