//! Carries out one call of the storage room for each request, and answers what came back as JSON: `POST /sql.query` with the arguments as the body. Blobs have a guest of their own.
//!
//! `/transaction` takes a list of steps, so that a test can say what happens while a transaction is open.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value as Json, json};
use wharf_sdk::storage::sql::{self, Row, Statement, Value};
use wharf_sdk::storage::{Error, keyvalue, sealed};
use wharf_sdk::{Description, Plugin, Request, Response, Router};

struct Storage;

impl Plugin for Storage {
    fn describe() -> Description {
        Description::new().wants("storage", &["sql", "keyvalue", "sealed"])
    }

    fn routes() -> Router {
        Router::new().post("/{function}", call)
    }
}

/// The arguments of every function, each with what it needs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    sql: String,
    parameters: Vec<Json>,
    limit: u32,
    /// Of `execute`: each a text and its parameters.
    statements: Vec<(String, Vec<Json>)>,
    migrations: Vec<Vec<String>>,
    steps: Vec<Step>,
    /// Rows that a cursor is asked for.
    rows: usize,
    keys: Vec<String>,
    entries: Vec<(String, String)>,
    key: String,
    expected: Option<String>,
    new: Option<String>,
    by: i64,
    prefix: String,
    cursor: Option<String>,
    text: String,
    bytes: Vec<u8>,
    /// How often, how many, or how large.
    times: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Execute(String, Vec<Json>),
    Query(String, Vec<Json>),
    Commit,
    Rollback,
    /// Computes for so many milliseconds.
    Compute(u64),
    /// Asks outside of the transaction.
    Beside(String),
}

fn call(request: &Request) -> Response {
    let arguments: Arguments = match request.json() {
        Ok(arguments) => arguments,
        Err(error) => return Response::json(&json!({"error": "no arguments", "reason": error.to_string()})),
    };
    let answer = carry_out(&request.param("function"), arguments);
    Response::json(&answer.unwrap_or_else(|error| error_json(&error)))
}

fn carry_out(function: &str, arguments: Arguments) -> Result<Json, Error> {
    let text = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
    Ok(match function {
        "sql.migrate" => json!(sql::migrate(&migrations(arguments.migrations))?),
        "sql.query" => rows_json(sql::run(&statement(arguments.sql, &arguments.parameters), arguments.limit)?),
        "sql.execute" => {
            let statements: Vec<Statement> =
                arguments.statements.into_iter().map(|(sql, parameters)| statement(sql, &parameters)).collect();
            json!(sql::execute_all(&statements)?)
        }
        "sql.open" => {
            let mut cursor = sql::open(&arguments.sql, &[], u64::from(arguments.limit))?;
            // After the first part, so that it is seen whether the rest knows of it.
            let first = cursor.next();
            let statements: Vec<Statement> =
                arguments.statements.into_iter().map(|(sql, parameters)| statement(sql, &parameters)).collect();
            if !statements.is_empty() {
                sql::execute_all(&statements)?;
            }
            let rows = first.into_iter().chain(cursor).take(arguments.rows);
            rows.map(|row| Ok(row_json(&row?))).collect::<Result<_, Error>>()?
        }
        // As many cursors at a time, of which each is asked for one row in the end.
        "sql.open-many" => {
            let open = || sql::open(&arguments.sql, &[], u64::from(arguments.limit));
            let cursors = (0..arguments.times).map(|_| open()).collect::<Result<Vec<_>, Error>>()?;
            let first =
                |mut cursor: sql::Cursor| cursor.next().map(|row| row.map_or_else(|error| error_json(&error), |row| row_json(&row)));
            cursors.into_iter().map(first).collect()
        }
        "transaction" => transaction(arguments.steps)?,
        "keyvalue.get" => {
            let keys: Vec<&str> = arguments.keys.iter().map(String::as_str).collect();
            let values = keyvalue::get_all(&keys)?;
            values.iter().map(|value| value.as_ref().map(|value| String::from_utf8_lossy(value))).collect()
        }
        "keyvalue.set" => {
            let entries: Vec<(&str, &[u8])> = arguments.entries.iter().map(|(key, value)| (key.as_str(), value.as_bytes())).collect();
            keyvalue::set_all(&entries)?;
            json!("done")
        }
        "keyvalue.set-large" => {
            keyvalue::set(&arguments.key, &vec![7; arguments.times])?;
            json!("done")
        }
        "keyvalue.delete" => {
            let keys: Vec<&str> = arguments.keys.iter().map(String::as_str).collect();
            json!(keyvalue::delete_all(&keys)?)
        }
        "keyvalue.list" => {
            let page = keyvalue::list(&arguments.prefix, arguments.cursor.as_deref(), arguments.limit)?;
            json!([page.keys, page.cursor])
        }
        "keyvalue.compare-and-set" => {
            keyvalue::compare_and_set(&arguments.key, text(&arguments.expected).as_deref(), text(&arguments.new).as_deref())?;
            json!("done")
        }
        "keyvalue.increment" => {
            let mut sum = 0;
            for _ in 0..arguments.times.max(1) {
                sum = keyvalue::increment(&arguments.key, arguments.by)?;
            }
            json!(sum)
        }
        "sealed.seal" => json!(sealed::seal(arguments.text.as_bytes())?),
        "sealed.open" => json!(String::from_utf8_lossy(&sealed::open(&arguments.bytes)?)),
        _ => json!("no such function"),
    })
}

/// What each step answered, up to the first that ended the transaction.
fn transaction(steps: Vec<Step>) -> Result<Json, Error> {
    let mut transaction = Some(sql::begin()?);
    let mut answers = Vec::new();
    for step in steps {
        let Some(open) = &transaction else { break };
        let answer = match step {
            Step::Execute(text, parameters) => open.execute_all(&[statement(text, &parameters)]).map(|changed| json!(changed)),
            Step::Query(text, parameters) => {
                let parameters: Vec<Value> = parameters.iter().map(value).collect();
                let parameters: Vec<&dyn sql::ToValue> = parameters.iter().map(|value| value as &dyn sql::ToValue).collect();
                open.query(&text, &parameters, 100).map(rows_json)
            }
            Step::Beside(text) => sql::query(&text, &[], 100).map(rows_json),
            Step::Compute(milliseconds) => {
                let end = Instant::now() + Duration::from_millis(milliseconds);
                while Instant::now() < end {}
                Ok(json!("computed"))
            }
            Step::Commit => transaction.take().map_or(Ok(()), sql::Transaction::commit).map(|()| json!("kept")),
            Step::Rollback => transaction.take().map_or(Ok(()), sql::Transaction::rollback).map(|()| json!("undone")),
        };
        answers.push(answer.unwrap_or_else(|error| error_json(&error)));
    }
    Ok(Json::Array(answers))
}

/// The texts live as long as the instance, as those of a real plugin do.
fn migrations(all: Vec<Vec<String>>) -> Vec<sql::Migration> {
    let migration = |(version, statements): (u32, Vec<String>)| {
        let statements: Vec<&'static str> = statements.into_iter().map(|statement| &*statement.leak()).collect();
        sql::Migration { version, name: "test", statements: statements.leak() }
    };
    (1..).zip(all).map(migration).collect()
}

fn statement(sql: String, parameters: &[Json]) -> Statement {
    Statement { sql, parameters: parameters.iter().map(value).collect() }
}

/// A blob is `{"blob": [1, 2]}`, and a long text `{"long": 1000}`.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(boolean) => Value::Boolean(*boolean),
        Json::Number(number) => number.as_i64().map_or_else(|| Value::Real(number.as_f64().unwrap_or_default()), Value::Integer),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) => Value::Null,
        Json::Object(fields) => match (fields.get("long").and_then(Json::as_u64), fields.get("blob")) {
            (Some(length), _) => Value::Text("x".repeat(usize::try_from(length).unwrap_or_default())),
            (None, Some(Json::Array(bytes))) => {
                Value::Blob(bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()).unwrap_or_default()).collect())
            }
            _ => Value::Null,
        },
    }
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(boolean) => json!(boolean),
        Value::Integer(integer) => json!(integer),
        Value::Real(real) => json!(real),
        Value::Text(text) => json!(text),
        Value::Blob(blob) => json!({"blob": blob}),
    }
}

fn row_json(row: &Row) -> Json {
    row.values().iter().map(value_json).collect()
}

/// The rows; and a word behind them if there are more.
fn rows_json(rows: sql::Rows) -> Json {
    let more = rows.more.then(|| json!("more"));
    rows.rows.iter().map(row_json).chain(more).collect()
}

/// The word of the error, and what it says.
fn error_json(error: &Error) -> Json {
    let (word, reason) = match error {
        Error::Denied => ("denied", ""),
        Error::NotFound => ("not-found", ""),
        Error::Timeout => ("timeout", ""),
        Error::QuotaExceeded => ("quota-exceeded", ""),
        Error::Invalid(reason) => ("invalid", reason.as_str()),
        Error::Conflict(reason) => ("conflict", reason.as_str()),
        Error::Unavailable(reason) => ("unavailable", reason.as_str()),
        Error::Internal(reason) => ("internal", reason.as_str()),
    };
    json!({"error": word, "reason": reason})
}

wharf_sdk::export!(Storage);
