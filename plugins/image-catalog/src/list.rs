//! A list as an answer: a bare array of all that was found.
//!
//! What fits into one part is answered whole. What does not is written as it is read, so that a catalogue of any length takes no more memory than one part of it.

use serde::Serialize;
use wharf_sdk::Response;
use wharf_sdk::storage::Error;
use wharf_sdk::storage::sql::{self, Row, Statement};

use crate::failure::Failure;

/// How many entries are written at a time.
const PART: u32 = 500;
/// The end of all lists.
const LIMIT: u64 = 1_000_000;

/// Answers what `statement` finds, each row read by `read`.
pub(crate) fn answer<T: Serialize>(statement: &Statement, read: impl Fn(&Row) -> Result<T, Error>) -> Result<Response, Failure> {
    // Most lists are short, and one question finds all of them.
    let found = sql::run(statement, PART)?;
    if !found.more {
        let entries = found.rows.iter().map(read).collect::<Result<Vec<T>, Error>>()?;
        return Ok(Response::json(&entries));
    }
    drop(found);
    let mut rows = sql::open_statement(statement, LIMIT)?;
    let mut next = |part: &mut Vec<T>| -> Result<(), Error> {
        for row in rows.by_ref().take(PART as usize) {
            part.push(read(&row?)?);
        }
        Ok(())
    };
    let mut part = Vec::new();
    next(&mut part)?;
    let mut body = Response::new(200).header("content-type", "application/json").start()?;
    let mut separator = "[";
    while !part.is_empty() {
        let mut text = String::new();
        for entry in &part {
            text.push_str(separator);
            // Texts and numbers can always be written.
            text.push_str(&serde_json::to_string(entry).unwrap_or_default());
            separator = ",";
        }
        body.write(text.as_bytes())?;
        part.clear();
        next(&mut part)?;
    }
    body.write(b"]")?;
    Ok(body.finish())
}
