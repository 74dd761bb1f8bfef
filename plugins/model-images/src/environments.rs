//! `/environments`: engines. The one that this plugin has is `docker_localhost`, which is there from the first time that somebody looks; others are only recorded.

use serde::Serialize;
use serde_json::json;
use wharf_sdk::storage::sql::{Row, ToValue};
use wharf_sdk::{Error, Request, Response};

use crate::body::Fields;
use crate::database::{self, Obstacle, obstacle};
use crate::failure::Failure;
use crate::kind::Kind;
use crate::query::{path_id, switch};
use crate::settings::Settings;
use crate::stored::{self, Stored};
use crate::{removal, time};

const DEFAULT: &str = "docker_localhost";
const HOST_TYPE: &str = "ebonite.build.docker.DockerHost";

#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) name: String,
    pub(crate) id: i64,
    author: String,
    creation_date: String,
    /// Where the engine is; empty is that of this site.
    pub(crate) host: String,
}

impl Stored for Environment {
    const KIND: Kind = Kind::Environment;
    const COLUMNS: &'static str = "name, id, author, creation_date, host";

    fn read(row: &Row) -> Result<Environment, Error> {
        Ok(Environment {
            name: row.get("name")?,
            id: row.get("id")?,
            author: row.get("author")?,
            creation_date: row.get("creation_date")?,
            host: row.get("host")?,
        })
    }
}

impl Serialize for Environment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Environment { name, id, author, creation_date, host } = self;
        let params = json!({"host": host, "type": HOST_TYPE});
        json!({"name": name, "id": id, "author": author, "creation_date": creation_date, "params": params}).serialize(serializer)
    }
}

/// The environment of this site's own engine, which is made if it is not there.
pub(crate) fn default() -> Result<Environment, Failure> {
    let find = || stored::all::<Environment>("name = $1", &[&DEFAULT]).map(|found| found.into_iter().next());
    if let Some(environment) = find()? {
        return Ok(environment);
    }
    match insert(DEFAULT, "") {
        Ok(environment) => Ok(environment),
        // Somebody else was faster.
        Err(error) if obstacle(&error) == Some(Obstacle::Unique) => {
            find()?.ok_or_else(|| Error::Unavailable(format!("`{DEFAULT}` comes and goes")).into())
        }
        Err(error) => Err(error.into()),
    }
}

fn insert(name: &str, host: &str) -> Result<Environment, Error> {
    let author = Settings::read()?.author;
    let values: [(&str, &dyn ToValue); 4] = [("name", &name), ("author", &author), ("creation_date", &time::now()), ("host", &host)];
    stored::insert(&values)
}

pub(crate) fn list(_: &Request) -> Result<Response, Failure> {
    database::ready()?;
    default()?;
    Ok(Response::json(&stored::all::<Environment>("id > 0", &[])?))
}

pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Environment)?;
    database::ready()?;
    default()?;
    Ok(Response::json(&stored::one::<Environment>(id)?))
}

pub(crate) fn create(request: &Request) -> Result<Response, Failure> {
    let mut fields = Fields::read(request)?;
    let name = fields.name("name");
    let host = fields.required_object("params", |params| {
        let kind = params.text("type");
        if !kind.is_empty() && kind != HOST_TYPE {
            params.refuse("type", &format!("`{kind}` is no type of an environment: expected `{HOST_TYPE}`"));
        }
        params.optional_text("host").unwrap_or_default()
    });
    fields.finish()?;
    database::ready()?;
    if name == DEFAULT {
        default()?;
    }
    let environment = insert(&name, &host.unwrap_or_default())
        .map_err(|error| stored::not_inserted(error, Kind::Environment, &name, (Kind::Environment, 0)))?;
    Ok(Response::json(&environment).with_status(201))
}

pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Environment)?;
    let cascade = switch(request, "cascade", false).map_err(Failure::invalid)?;
    database::ready()?;
    removal::environment(&stored::one(id)?, cascade)?;
    Ok(Response::new(204))
}
