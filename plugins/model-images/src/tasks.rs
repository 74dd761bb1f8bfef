//! `/tasks`: what holds models, pipelines and images.

use serde::Serialize;
use wharf_sdk::storage::sql::{Row, ToValue};
use wharf_sdk::{Error, Request, Response};

use crate::body::Fields;
use crate::database;
use crate::failure::Failure;
use crate::kind::Kind;
use crate::query::{self, path_id, switch};
use crate::settings::Settings;
use crate::stored::{self, Stored};
use crate::{removal, time};

#[derive(Debug, Serialize)]
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) id: i64,
    project_id: i64,
    author: String,
    creation_date: String,
}

impl Stored for Task {
    const KIND: Kind = Kind::Task;
    const COLUMNS: &'static str = "name, id, project_id, author, creation_date";

    fn read(row: &Row) -> Result<Task, Error> {
        Ok(Task {
            name: row.get("name")?,
            id: row.get("id")?,
            project_id: row.get("project_id")?,
            author: row.get("author")?,
            creation_date: row.get("creation_date")?,
        })
    }
}

pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    let project = query::id(request, "project_id", Kind::Project)?;
    database::ready()?;
    stored::check(Kind::Project, project)?;
    Ok(Response::json(&stored::all::<Task>("project_id = $1", &[&project])?))
}

pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Task)?;
    database::ready()?;
    Ok(Response::json(&stored::one::<Task>(id)?))
}

pub(crate) fn create(request: &Request) -> Result<Response, Failure> {
    let mut fields = Fields::read(request)?;
    let (name, project) = (fields.name("name"), fields.id("project_id"));
    fields.finish()?;
    database::ready()?;
    stored::check(Kind::Project, project)?;
    let author = Settings::read()?.author;
    let values: [(&str, &dyn ToValue); 4] =
        [("name", &name), ("project_id", &project), ("author", &author), ("creation_date", &time::now())];
    let task: Task = stored::insert(&values).map_err(|error| stored::not_inserted(error, Kind::Task, &name, (Kind::Project, project)))?;
    Ok(Response::json(&task).with_status(201))
}

pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Task)?;
    let cascade = switch(request, "cascade", false).map_err(Failure::invalid)?;
    database::ready()?;
    removal::task(&stored::one(id)?, cascade)?;
    Ok(Response::new(204))
}
