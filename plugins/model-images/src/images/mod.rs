//! `/images`: what was built of models and pipelines.
//!
//! An image of this API is a row, and the engine's image is what its `params` name: repository, name and tag, which stay as they were when the image was made, whatever `name` it is given afterwards.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use wharf_sdk::storage::sql::Row;
use wharf_sdk::{Error, Request, Response};

use crate::database;
use crate::failure::Failure;
use crate::kind::Kind;
use crate::name::ImageName;
use crate::query::{self, path_id, switch};
use crate::removal::{self, How};
use crate::stored::{self, Stored};

mod create;
pub(crate) mod log;
mod settle;

pub(crate) use create::{create, not_found};
pub(crate) use settle::settle;

#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) id: i64,
    pub(crate) source: Source,
    pub(crate) task_id: i64,
    author: String,
    creation_date: String,
    params: ImageName,
    /// The label of the engine's image, and where the log is.
    pub(crate) folder: String,
}

/// What an image is built of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Model(i64),
    Pipeline(i64),
}

impl Stored for Image {
    const KIND: Kind = Kind::Image;
    const COLUMNS: &'static str = "name, id, model_id, pipeline_id, task_id, author, creation_date, repository, image, tag, folder";

    fn read(row: &Row) -> Result<Image, Error> {
        let id = row.get("id")?;
        Ok(Image {
            name: row.get("name")?,
            id,
            source: match (row.get("model_id")?, row.get("pipeline_id")?) {
                (Some(model), None) => Source::Model(model),
                (None, Some(pipeline)) => Source::Pipeline(pipeline),
                _ => return Err(Error::Internal(format!("the image {id} is not of one source"))),
            },
            task_id: row.get("task_id")?,
            author: row.get("author")?,
            creation_date: row.get("creation_date")?,
            params: ImageName { repository: row.get("repository")?, name: row.get("image")?, tag: row.get("tag")? },
            folder: row.get("folder")?,
        })
    }
}

impl Image {
    /// What the engine's image is called.
    pub(crate) fn reference(&self) -> String {
        self.params.to_string()
    }

    /// The name of the blob with what the engine said of the build.
    fn log(&self) -> String {
        log_name(&self.folder)
    }
}

fn log_name(folder: &str) -> String {
    format!("{folder}/log")
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Image { name, id, source, task_id, author, creation_date, params, .. } = self;
        let (source_key, source) = match source {
            Source::Model(id) => ("model_id", id),
            Source::Pipeline(id) => ("pipeline_id", id),
        };
        let mut shown = Map::from_iter([
            ("type".to_owned(), json!("ebonite.build.docker.DockerImage")),
            ("name".to_owned(), json!(params.name)),
            ("tag".to_owned(), json!(params.tag)),
        ]);
        if let Some(repository) = &params.repository {
            shown.insert("repository".to_owned(), json!(repository));
        }
        shown.insert("registry".to_owned(), json!({"type": "ebonite.build.docker.DefaultDockerRegistry"}));
        let image: Value = json!({
            "name": name,
            "id": id,
            source_key: source,
            "author": author,
            "creation_date": creation_date,
            "params": shown,
            "task_id": task_id,
        });
        image.serialize(serializer)
    }
}

pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    let task = query::id(request, "task_id", Kind::Task)?;
    database::ready()?;
    stored::check(Kind::Task, task)?;
    settle()?;
    Ok(Response::json(&stored::all::<Image>("task_id = $1", &[&task])?))
}

pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    Ok(Response::json(&find(request)?))
}

fn find(request: &Request) -> Result<Image, Failure> {
    let id = path_id(request, Kind::Image)?;
    database::ready()?;
    stored::one(id)
}

pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Image)?;
    let (cascade, meta_only) = (switch(request, "cascade", false), switch(request, "meta_only", false));
    let wrong: Vec<_> = [&cascade, &meta_only].into_iter().filter_map(|switch| switch.clone().err()).collect();
    let (Ok(cascade), Ok(meta_only)) = (cascade, meta_only) else { return Err(Failure::Invalid(wrong)) };
    database::ready()?;
    removal::image(&stored::one(id)?, How { cascade, meta_only })?;
    Ok(Response::new(204))
}
