//! Rows of the queue's tables, and the values of statements. The names of the columns stand here and in the migration, and nowhere else.

use wharf_sql::{Statement, Value};

use super::{Content, Job, JobsError, Purpose, State, Turn};

/// The columns of [`job`], in its order.
pub(super) const JOB: &str =
    "id, plugin, purpose, kind, lock_key, state, attempts, most_attempts, created_ms, due_ms, ended_ms, reason, turn_ms, turn_missed";

/// Those of [`job`] and then those of [`content`].
pub(super) const JOB_AND_CONTENT: &str = "id, plugin, purpose, kind, lock_key, state, attempts, most_attempts, created_ms, due_ms, ended_ms, reason, turn_ms, turn_missed, payload, content_type";

/// A statement.
pub(super) fn statement(sql: impl Into<String>, parameters: Vec<Value>) -> Statement {
    Statement { sql: sql.into(), parameters }
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(super) fn optional_text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, self::text)
}

/// A number that the databases do not have is the largest that they have: a time that never comes.
pub(super) fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn optional_number(number: Option<u64>) -> Value {
    number.map_or(Value::Null, self::number)
}

/// A row that is taken apart from its front.
pub(super) struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    pub(super) fn of(row: Vec<Value>) -> Columns {
        Columns(row.into_iter())
    }

    pub(super) fn text(&mut self) -> Result<String, JobsError> {
        self.optional_text()?.ok_or_else(wrong)
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>, JobsError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(wrong()),
        }
    }

    pub(super) fn integer(&mut self) -> Result<i64, JobsError> {
        match self.0.next() {
            Some(Value::Integer(number)) => Ok(number),
            _ => Err(wrong()),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, JobsError> {
        self.optional_number()?.ok_or_else(wrong)
    }

    pub(super) fn optional_number(&mut self) -> Result<Option<u64>, JobsError> {
        match self.0.next() {
            Some(Value::Integer(number)) => u64::try_from(number).map(Some).map_err(|_| wrong()),
            Some(Value::Null) => Ok(None),
            _ => Err(wrong()),
        }
    }

    fn count(&mut self) -> Result<u32, JobsError> {
        u32::try_from(self.number()?).map_err(|_| wrong())
    }

    fn bytes(&mut self) -> Result<Vec<u8>, JobsError> {
        match self.0.next() {
            Some(Value::Blob(bytes)) => Ok(bytes),
            _ => Err(wrong()),
        }
    }
}

fn wrong() -> JobsError {
    JobsError::Internal("a row is not as it was written".to_owned())
}

/// The job in the columns of [`JOB`].
pub(super) fn job(columns: &mut Columns) -> Result<Job, JobsError> {
    Ok(Job {
        id: columns.text()?,
        plugin: columns.text()?,
        purpose: Purpose::of_word(&columns.text()?).ok_or_else(wrong)?,
        kind: columns.text()?,
        key: columns.optional_text()?,
        state: State::of_word(&columns.text()?).ok_or_else(wrong)?,
        attempts: columns.count()?,
        most_attempts: columns.count()?,
        created_ms: columns.number()?,
        due_ms: columns.number()?,
        ended_ms: columns.optional_number()?,
        reason: columns.optional_text()?,
        turn: {
            let (due_ms, missed) = (columns.optional_number()?, columns.optional_number()?);
            due_ms.zip(missed).map(|(due_ms, missed)| Turn { due_ms, missed })
        },
    })
}

/// What the job of the columns before is about.
pub(super) fn content(columns: &mut Columns) -> Result<Content, JobsError> {
    Ok(Content { payload: columns.bytes()?, content_type: columns.optional_text()? })
}

/// The job and what it is about, in the columns of [`JOB_AND_CONTENT`].
pub(super) fn job_and_content(row: Vec<Value>) -> Result<(Job, Content), JobsError> {
    let mut columns = Columns::of(row);
    Ok((job(&mut columns)?, content(&mut columns)?))
}
