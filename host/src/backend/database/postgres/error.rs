//! PostgreSQL's errors in the contract's words. Its codes are looked at, never its texts, which come in the server's language.

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, SqlState};
use wharf_sql::Error;

use crate::backend::causes::chain;

/// Why no connection was made.
pub(super) fn of_connecting(error: &tokio_postgres::Error) -> Error {
    Error::Unavailable(format!("failed to connect to the database: {}", chain(error)))
}

/// Why the pool has no connection.
pub(super) fn of_pool(error: &PoolError) -> Error {
    match error {
        PoolError::Timeout(_) => Error::Unavailable("no connection to the database was free in time".to_owned()),
        PoolError::Backend(error) => of_connecting(error),
        PoolError::Closed => Error::Unavailable("the host is stopping".to_owned()),
        other => Error::Unavailable(chain(other)),
    }
}

/// What `error` of a statement is.
pub(super) fn of_statement(error: &tokio_postgres::Error) -> Error {
    let Some(database) = error.as_db_error() else {
        return match error.is_closed() || std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>()) {
            true => Error::Unavailable(format!("the connection to the database broke off: {}", chain(error))),
            // What could not be encoded or decoded.
            false => Error::Invalid(chain(error)),
        };
    };
    let code = database.code();
    let message = database.message().to_owned();
    match *code {
        SqlState::UNIQUE_VIOLATION => Error::Conflict(format!("unique: {}", columns(database))),
        SqlState::FOREIGN_KEY_VIOLATION | SqlState::RESTRICT_VIOLATION => {
            Error::Conflict("foreign-key: a row that is referred to is not there, or one that is there is referred to".to_owned())
        }
        SqlState::NOT_NULL_VIOLATION => {
            Error::Conflict(format!("not-null: {}.{}", database.table().unwrap_or_default(), database.column().unwrap_or_default()))
        }
        SqlState::CHECK_VIOLATION => Error::Conflict(format!("check: {}", database.constraint().unwrap_or_default())),
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => Error::Conflict(format!("changed: {message}")),
        SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Error::Timeout,
        SqlState::DISK_FULL | SqlState::TOO_MANY_CONNECTIONS => Error::Unavailable(message),
        _ => match code.code().get(..2) {
            // Data that cannot be, and statements that cannot be.
            Some("0A" | "21" | "22" | "23" | "42" | "54") => Error::Invalid(message),
            Some("08" | "28" | "53" | "57") => Error::Unavailable(message),
            _ => Error::Internal(format!("{}: {message}", code.code())),
        },
    }
}

/// The columns of a violated key, as SQLite names them: `images.name`. What is not told by its columns is by its name.
fn columns(error: &DbError) -> String {
    let (table, name) = (error.table().unwrap_or_default(), error.constraint().unwrap_or_default());
    // The columns stand in the first parentheses, in every language: `Key (name)=(redis) already exists.`
    let listed = error.detail().and_then(|detail| detail.split_once('(')?.1.split_once(")=(")).map(|(columns, _)| columns);
    match listed.filter(|columns| !columns.contains('(')) {
        Some(columns) => columns.split(", ").map(|column| format!("{table}.{}", column.trim_matches('"'))).collect::<Vec<_>>().join(", "),
        None => format!("index '{name}'"),
    }
}
