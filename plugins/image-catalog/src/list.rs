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

/// A list that is being written.
#[derive(Default)]
pub(crate) struct List {
    json: Vec<u8>,
    /// Whether it has an entry before the ones in `json`.
    begun: bool,
}

impl List {
    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: &impl Serialize) -> Result<(), Error> {
        self.json.push(if self.begun { b',' } else { b'[' });
        self.begun = true;
        serde_json::to_writer(&mut self.json, entry).map_err(|error| Error::Internal(error.to_string()))
    }

    /// What was written since the last call.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.json)
    }

    /// What is left, with the end of the list.
    fn end(mut self) -> Vec<u8> {
        self.json.extend_from_slice(if self.begun { b"]" } else { b"[]" });
        self.json
    }
}

/// Answers what `statement` finds, each row written by `write`.
pub(crate) fn answer(statement: &Statement, write: impl Fn(&Row, &mut List) -> Result<(), Error>) -> Result<Response, Failure> {
    let response = Response::new(200).header("content-type", "application/json");
    let mut list = List::default();
    // Most lists are short, and one question finds all of them.
    let found = sql::run(statement, PART)?;
    if !found.more {
        found.rows.iter().try_for_each(|row| write(row, &mut list))?;
        return Ok(response.body(list.end()));
    }
    drop(found);
    let mut rows = sql::open_statement(statement, LIMIT)?;
    let mut next = |list: &mut List| rows.by_ref().take(PART as usize).try_for_each(|row| write(&row?, list));
    // What goes wrong with the first part is still an answer of its own.
    next(&mut list)?;
    let mut body = response.start()?;
    while !list.json.is_empty() {
        body.write(&list.take())?;
        next(&mut list)?;
    }
    body.write(&list.end())?;
    Ok(body.finish())
}
