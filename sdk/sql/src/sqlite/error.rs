//! SQLite's errors in the contract's words.

use rusqlite::ffi::{self, ErrorCode};

use crate::Error;
use crate::definition::{NULL_RULE, TYPE_RULE};

/// What `error` is.
pub(super) fn database_error(error: rusqlite::Error) -> Error {
    let (code, message) = match error {
        rusqlite::Error::SqliteFailure(code, message) => (code, message),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error, Some(msg)),
        other => return Error::Internal(other.to_string()),
    };
    let message = message.unwrap_or_else(|| code.to_string());
    match code.code {
        ErrorCode::ConstraintViolation => constraint(code.extended_code, &message),
        ErrorCode::OperationInterrupted => Error::Timeout,
        ErrorCode::DiskFull => Error::Full,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::CannotOpen | ErrorCode::ReadOnly => Error::Unavailable(message),
        ErrorCode::SystemIoFailure | ErrorCode::PermissionDenied => Error::Unavailable(message),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::InternalMalfunction | ErrorCode::OutOfMemory => {
            Error::Internal(message)
        }
        ErrorCode::TypeMismatch => Error::Invalid("a value is not of the type of its column".to_owned()),
        _ => Error::Invalid(message),
    }
}

fn constraint(extended: i32, message: &str) -> Error {
    let rest = message.split_once("failed: ").map_or("", |(_, rest)| rest);
    match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            Error::Conflict(format!("unique: {rest}"))
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_TRIGGER => {
            Error::Conflict("foreign-key: a row that is referred to is not there, or one that is there is referred to".to_owned())
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => Error::Conflict(format!("not-null: {rest}")),
        ffi::SQLITE_CONSTRAINT_CHECK => match rest.strip_prefix(TYPE_RULE) {
            Some(column) => Error::Invalid(format!("the value of `{column}` is not of its type")),
            None if rest == NULL_RULE => Error::Conflict("not-null: a part of the key".to_owned()),
            None => Error::Conflict(format!("check: {rest}")),
        },
        _ => Error::Invalid(message.to_owned()),
    }
}
