//! `/v1/docker`: listing, loading, creating, changing and deleting images.

use wharf_sdk::storage::Error;
use wharf_sdk::storage::sql::{self, Row, Statement};
use wharf_sdk::tracing::info;
use wharf_sdk::{Request, Response};

use crate::account::{self, Account};
use crate::body::{self, Mistakes, Needed, Posted};
use crate::failure::Failure;
use crate::fields::IMAGE;
use crate::filter::{Filter, statement};
use crate::record::{self, COLUMNS, Image};
use crate::{input, list, tables, time};

/// `POST /v1/docker/list`: those that a filter lets through, all of them.
pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    account::reader()?;
    let filter = Filter::read(IMAGE, &input::optional(request)?).map_err(Failure::Filter)?;
    tables::ensure()?;
    let tail = statement::tail(&filter, Some("images.deletion_time IS NULL"), "images.pk");
    let statement = Statement { sql: format!("SELECT {COLUMNS} FROM images{}", tail.text), parameters: tail.values() };
    list::answer(&statement, |row, list| list.push(&Image::read(row)?))
}

/// `GET /v1/docker/{pk}`: deleted ones too.
pub(crate) fn load(request: &Request) -> Result<Response, Failure> {
    account::reader()?;
    Ok(Response::json(&Image::read(&find(key(request)?)?)?))
}

/// `POST /v1/docker/create`.
pub(crate) fn create(request: &Request) -> Result<Response, Failure> {
    let account = account::administrator()?;
    let posted = body::read(&input::required(request)?, Needed::Required)?;
    check_hardware(posted.min_hardware_generation.flatten(), posted.cpu.unwrap_or(false))?;
    tables::ensure()?;
    let pk = insert(&posted, &account).map_err(duplicate)?;
    info!(pk, name = posted.name, version = posted.version, "created an image");
    Ok(Response::json(&Image::read(&find(pk)?)?).with_status(201))
}

/// Adds the image and its tasks, both or neither.
fn insert(posted: &Posted, account: &Account) -> Result<i64, Error> {
    let insertion = record::insertion(posted, account.key(), &time::now())?;
    sql::transaction(|transaction| {
        let row = transaction.run(&insertion, 1)?.into_iter().next().ok_or(Error::NotFound)?;
        let pk = row.get(0)?;
        let tasks = record::task_rows(pk, posted.tasks.as_deref().unwrap_or_default());
        if !tasks.is_empty() {
            transaction.execute_all(&tasks)?;
        }
        Ok(pk)
    })
}

/// `PUT /v1/docker/{pk}`: every field that has no default must be there; one that has and is left out stays as it is.
pub(crate) fn replace(request: &Request) -> Result<Response, Failure> {
    change(request, Needed::Required)
}

/// `PATCH /v1/docker/{pk}`.
pub(crate) fn update(request: &Request) -> Result<Response, Failure> {
    change(request, Needed::Nothing)
}

fn change(request: &Request, needed: Needed) -> Result<Response, Failure> {
    account::administrator()?;
    let pk = key(request)?;
    if Image::read(&find(pk)?)?.deletion_time.is_some() {
        return Err(Failure::NotFound);
    }
    let posted = body::read(&input::required(request)?, needed)?;
    let changes = record::changes(pk, &posted)?;
    // Looked at when it is changed: another request may have changed it since it was found, or deleted it.
    let response = sql::transaction(|transaction| {
        let changed = transaction.execute_all(&changes).map_err(duplicate)?;
        if changed.first() != Some(&1) {
            return Err(Failure::NotFound);
        }
        let row = transaction.query_one(&by_key(), &[&pk])?.ok_or(Failure::NotFound)?;
        let image = Image::read(&row)?;
        check_hardware(image.min_hardware_generation, image.cpu)?;
        Ok(Response::json(&image))
    })?;
    info!(pk, "changed an image");
    Ok(response)
}

fn by_key() -> String {
    format!("SELECT {COLUMNS} FROM images WHERE pk = $1")
}

/// `DELETE /v1/docker/{pk}`: it stays, marked. The mark of one that was deleted before stays as it is.
pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    account::administrator()?;
    let pk = key(request)?;
    find(pk)?;
    if sql::execute("UPDATE images SET deletion_time = $2 WHERE pk = $1 AND deletion_time IS NULL", &[&pk, &time::now()])? == 1 {
        info!(pk, "deleted an image");
    }
    Ok(Response::new(204))
}

/// The row of an image.
fn find(pk: i64) -> Result<Row, Failure> {
    tables::ensure()?;
    sql::query_one(&by_key(), &[&pk])?.ok_or(Failure::NotFound)
}

/// The key in the path. One that is no number, or too large to be one, is nobody's.
pub(crate) fn key(request: &Request) -> Result<i64, Failure> {
    let text = request.param("pk");
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(Failure::NotFound)
}

/// Without a graphics card an image must run on the processor.
fn check_hardware(min_hardware_generation: Option<i64>, cpu: bool) -> Result<(), Failure> {
    if min_hardware_generation.is_none() && !cpu {
        return Err(Mistakes::of("min_hardware_generation", "This field may be null only if cpu is true.").into());
    }
    Ok(())
}

fn duplicate(error: Error) -> Failure {
    match error {
        Error::Conflict(reason) if reason.starts_with("unique: ") => {
            Mistakes::of("non_field_errors", "The fields name, version must make a unique set.").into()
        }
        other => other.into(),
    }
}
