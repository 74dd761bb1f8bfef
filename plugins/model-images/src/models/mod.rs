//! `/models`: sets of artifacts, each with the command that runs them.
//!
//! The bytes of the artifacts are blobs in a folder of the model's own; the row says which they are. A model never changes but for its name, so that an image that was built of it can be built again.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::json;
use wharf_sdk::storage::blobs;
use wharf_sdk::storage::sql::{self, Row, Statement, ToValue};
use wharf_sdk::{Error, Request, Response};

use crate::database;
use crate::failure::Failure;
use crate::kind::Kind;
use crate::query::{self, path_id, switch};
use crate::stored::{self, Stored};
use crate::{removal, time};

mod artifact_name;
mod form;
mod multipart;
mod upload;

pub(crate) use upload::create;

/// A model with its artifacts.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) id: i64,
    pub(crate) task_id: i64,
    author: String,
    creation_date: String,
    pub(crate) run_cmd: String,
    pub(crate) requirements: Vec<String>,
    pub(crate) folder: String,
    /// In the order in which they were posted. [`of`] fills it.
    pub(crate) artifacts: Vec<Artifact>,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Artifact {
    /// Its path in the image, below `/app`.
    pub(crate) name: String,
    /// In bytes.
    pub(crate) size: i64,
    /// `sha256:…` of its bytes.
    pub(crate) digest: String,
    /// The name of the blob.
    pub(crate) stored_as: String,
}

impl Stored for Model {
    const KIND: Kind = Kind::Model;
    const COLUMNS: &'static str = "name, id, task_id, author, creation_date, run_cmd, requirements, folder";

    fn read(row: &Row) -> Result<Model, Error> {
        let requirements = serde_json::from_str(&row.get::<String>("requirements")?);
        Ok(Model {
            name: row.get("name")?,
            id: row.get("id")?,
            task_id: row.get("task_id")?,
            author: row.get("author")?,
            creation_date: row.get("creation_date")?,
            run_cmd: row.get("run_cmd")?,
            requirements: requirements.map_err(|error| Error::Internal(format!("requirements of a model: {error}")))?,
            folder: row.get("folder")?,
            artifacts: Vec::new(),
        })
    }
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let blobs: serde_json::Map<String, serde_json::Value> = self
            .artifacts
            .iter()
            .map(|artifact| (artifact.name.clone(), json!({"size": artifact.size, "digest": artifact.digest})))
            .collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("task_id", &self.task_id)?;
        map.serialize_entry("author", &self.author)?;
        map.serialize_entry("creation_date", &self.creation_date)?;
        map.serialize_entry("requirements", &self.requirements)?;
        map.serialize_entry("params", &json!({"run_cmd": self.run_cmd}))?;
        map.serialize_entry("artifacts", &json!({"type": "blobs", "blobs": blobs}))?;
        map.end()
    }
}

/// The models for which `condition` holds, with their artifacts.
pub(crate) fn of(condition: &str, parameters: &[&dyn ToValue]) -> Result<Vec<Model>, Failure> {
    let mut models: Vec<Model> = stored::all(condition, parameters)?;
    let sql = format!(
        "SELECT model_id, name, size, digest, stored_as FROM artifacts WHERE model_id IN (SELECT id FROM models WHERE {condition}) ORDER BY model_id, place"
    );
    for row in database::rows(&sql, parameters)? {
        let id: i64 = row.get("model_id")?;
        let artifact =
            Artifact { name: row.get("name")?, size: row.get("size")?, digest: row.get("digest")?, stored_as: row.get("stored_as")? };
        if let Ok(place) = models.binary_search_by_key(&id, |model| model.id)
            && let Some(model) = models.get_mut(place)
        {
            model.artifacts.push(artifact);
        }
    }
    Ok(models)
}

/// The model with this id, with its artifacts.
pub(crate) fn one(id: i64) -> Result<Model, Failure> {
    let found = of("id = $1", &[&id])?.into_iter().next();
    found.ok_or_else(|| Failure::NoObject(Kind::Model, id.to_string()))
}

pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    let task = query::id(request, "task_id", Kind::Task)?;
    database::ready()?;
    stored::check(Kind::Task, task)?;
    Ok(Response::json(&of("task_id = $1", &[&task])?))
}

pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Model)?;
    database::ready()?;
    Ok(Response::json(&one(id)?))
}

/// `GET /models/{id}/artifacts/{name}`: the bytes, which the host sends by itself.
pub(crate) fn artifact(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Model)?;
    let name = request.param("name");
    database::ready()?;
    let model = one(id)?;
    let artifact = model.artifacts.iter().find(|artifact| artifact.name == name);
    let artifact = artifact.ok_or_else(|| Failure::NotFound(format!("Artifact with name {name} does not exist")))?;
    let content = blobs::read(&artifact.stored_as, None)?;
    Ok(Response::stream(content).header("content-type", "application/octet-stream").header("content-length", artifact.size.to_string()))
}

pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Model)?;
    let cascade = switch(request, "cascade", false).map_err(Failure::invalid)?;
    database::ready()?;
    removal::model(&stored::one(id)?, cascade)?;
    Ok(Response::new(204))
}

/// The row of a new model, without its id.
struct New<'a> {
    form: &'a form::Form,
    author: &'a str,
    folder: &'a str,
    artifacts: &'a [Artifact],
}

/// Inserts a model and its artifacts, and with that claims its folder: all or nothing.
fn insert(new: &New<'_>) -> Result<Model, Failure> {
    let New { form, author, folder, artifacts } = new;
    let requirements = serde_json::to_string(&form.requirements).unwrap_or_default();
    let mut statements = vec![Statement::new(
        "INSERT INTO models (task_id, name, author, creation_date, run_cmd, requirements, folder) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[&form.task_id, &form.name, author, &time::now(), &form.run_cmd, &requirements, folder],
    )];
    for (place, artifact) in (0_i64..).zip(artifacts.iter()) {
        statements.push(Statement::new(
            "INSERT INTO artifacts (model_id, place, name, size, digest, stored_as) VALUES ((SELECT id FROM models WHERE folder = $1), $2, $3, $4, $5, $6)",
            &[folder, &place, &artifact.name, &artifact.size, &artifact.digest, &artifact.stored_as],
        ));
    }
    statements.push(Statement::new("DELETE FROM leftovers WHERE folder = $1", &[folder]));
    sql::execute_all(&statements).map_err(|error| stored::not_inserted(error, Kind::Model, &form.name, (Kind::Task, form.task_id)))?;
    let inserted = of("folder = $1", &[folder])?.into_iter().next();
    inserted.ok_or_else(|| Error::Unavailable("the model was deleted as soon as it was there".to_owned()).into())
}
