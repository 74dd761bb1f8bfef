//! `/projects`: what holds tasks.

use serde::Serialize;
use wharf_sdk::storage::sql::{Row, ToValue};
use wharf_sdk::{Error, Request, Response};

use crate::body::Fields;
use crate::database;
use crate::failure::Failure;
use crate::kind::Kind;
use crate::query::{path_id, switch};
use crate::settings::Settings;
use crate::stored::{self, Stored};
use crate::{removal, time};

#[derive(Debug, Serialize)]
pub(crate) struct Project {
    pub(crate) name: String,
    pub(crate) id: i64,
    author: String,
    creation_date: String,
}

impl Stored for Project {
    const KIND: Kind = Kind::Project;
    const COLUMNS: &'static str = "name, id, author, creation_date";

    fn read(row: &Row) -> Result<Project, Error> {
        Ok(Project { name: row.get("name")?, id: row.get("id")?, author: row.get("author")?, creation_date: row.get("creation_date")? })
    }
}

pub(crate) fn list(_: &Request) -> Result<Response, Failure> {
    database::ready()?;
    Ok(Response::json(&stored::all::<Project>("id > 0", &[])?))
}

pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Project)?;
    database::ready()?;
    Ok(Response::json(&stored::one::<Project>(id)?))
}

pub(crate) fn create(request: &Request) -> Result<Response, Failure> {
    let mut fields = Fields::read(request)?;
    let name = fields.name("name");
    fields.finish()?;
    database::ready()?;
    let author = Settings::read()?.author;
    let values: [(&str, &dyn ToValue); 3] = [("name", &name), ("author", &author), ("creation_date", &time::now())];
    let project: Project =
        stored::insert(&values).map_err(|error| stored::not_inserted(error, Kind::Project, &name, (Kind::Project, 0)))?;
    Ok(Response::json(&project).with_status(201))
}

pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Project)?;
    let cascade = switch(request, "cascade", false).map_err(Failure::invalid)?;
    database::ready()?;
    removal::project(&stored::one(id)?, cascade)?;
    Ok(Response::new(204))
}
