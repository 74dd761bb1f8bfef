//! `/pipelines`: models in a row, each with the method that is called.
//!
//! `POST` is an addition of this plugin. A pipeline refers to its models by their ids, however its clients name them, so that a model that is given another name stays in its pipelines.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use uuid::Uuid;
use wharf_sdk::storage::sql::{self, Row, Statement, ToValue};
use wharf_sdk::{Error, Request, Response};

use crate::body::Fields;
use crate::database;
use crate::failure::{Detail, Failure};
use crate::kind::Kind;
use crate::models::{self, Model};
use crate::query::{self, path_id, switch};
use crate::settings::Settings;
use crate::stored::{self, Stored};
use crate::{removal, time};

/// The most steps of one pipeline.
const MAX_STEPS: usize = 100;

#[derive(Debug, Serialize)]
pub(crate) struct Pipeline {
    pub(crate) name: String,
    pub(crate) id: i64,
    pub(crate) task_id: i64,
    creation_date: String,
    author: String,
    steps: Vec<Step>,
    /// By name.
    models: Map<String, Json>,
}

#[derive(Debug, Serialize)]
struct Step {
    model_name: String,
    method_name: String,
}

impl Stored for Pipeline {
    const KIND: Kind = Kind::Pipeline;
    const COLUMNS: &'static str = "name, id, task_id, creation_date, author";

    fn read(row: &Row) -> Result<Pipeline, Error> {
        Ok(Pipeline {
            name: row.get("name")?,
            id: row.get("id")?,
            task_id: row.get("task_id")?,
            creation_date: row.get("creation_date")?,
            author: row.get("author")?,
            steps: Vec::new(),
            models: Map::new(),
        })
    }
}

/// The pipelines for which `condition` holds, with their steps and models.
fn of(condition: &str, parameters: &[&dyn ToValue]) -> Result<Vec<Pipeline>, Failure> {
    let mut pipelines: Vec<Pipeline> = stored::all(condition, parameters)?;
    let chosen = format!("pipeline_id IN (SELECT id FROM pipelines WHERE {condition})");
    let models: BTreeMap<i64, Model> = models::of(&format!("id IN (SELECT model_id FROM steps WHERE {chosen})"), parameters)?
        .into_iter()
        .map(|model| (model.id, model))
        .collect();
    let sql = format!("SELECT pipeline_id, model_id, method_name FROM steps WHERE {chosen} ORDER BY pipeline_id, place");
    for row in database::rows(&sql, parameters)? {
        let (id, method_name): (i64, String) = (row.get("pipeline_id")?, row.get("method_name")?);
        let Some(model) = models.get(&row.get::<i64>("model_id")?) else { continue };
        if let Ok(place) = pipelines.binary_search_by_key(&id, |pipeline| pipeline.id)
            && let Some(pipeline) = pipelines.get_mut(place)
        {
            pipeline.steps.push(Step { model_name: model.name.clone(), method_name });
            pipeline.models.insert(model.name.clone(), serde_json::to_value(model).unwrap_or_default());
        }
    }
    Ok(pipelines)
}

/// The models of the pipeline `id`, each once, in the order of its steps.
pub(crate) fn models_of(id: i64) -> Result<Vec<Model>, Failure> {
    let mut models = models::of("id IN (SELECT model_id FROM steps WHERE pipeline_id = $1)", &[&id])?;
    let mut places = BTreeMap::new();
    for (place, row) in database::rows("SELECT model_id FROM steps WHERE pipeline_id = $1 ORDER BY place", &[&id])?.iter().enumerate() {
        places.entry(row.get::<i64>("model_id")?).or_insert(place);
    }
    models.sort_by_key(|model| places.get(&model.id).copied());
    Ok(models)
}

pub(crate) fn list(request: &Request) -> Result<Response, Failure> {
    let task = query::id(request, "task_id", Kind::Task)?;
    database::ready()?;
    stored::check(Kind::Task, task)?;
    Ok(Response::json(&of("task_id = $1", &[&task])?))
}

pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Pipeline)?;
    database::ready()?;
    let found = of("id = $1", &[&id])?.into_iter().next();
    Ok(Response::json(&found.ok_or_else(|| Failure::NoObject(Kind::Pipeline, id.to_string()))?))
}

pub(crate) fn create(request: &Request) -> Result<Response, Failure> {
    let mut fields = Fields::read(request)?;
    let (name, task) = (fields.name("name"), fields.id("task_id"));
    let steps = fields.objects("steps", |step| Step { model_name: step.text("model_name"), method_name: step.text("method_name") });
    if fields.is_right_so_far("steps") && !(1..=MAX_STEPS).contains(&steps.len()) {
        fields.refuse("steps", &format!("a pipeline has 1 to {MAX_STEPS} steps"));
    }
    fields.finish()?;
    database::ready()?;
    stored::check(Kind::Task, task)?;
    let models = find_models(task, &steps)?;
    let token = Uuid::new_v4().to_string();
    let author = Settings::read()?.author;
    let mut statements = vec![Statement::new(
        "INSERT INTO pipelines (task_id, name, author, creation_date, token) VALUES ($1, $2, $3, $4, $5)",
        &[&task, &name, &author, &time::now(), &token],
    )];
    for (place, (step, model)) in (0_i64..).zip(steps.iter().zip(models)) {
        statements.push(Statement::new(
            "INSERT INTO steps (pipeline_id, place, model_id, method_name) VALUES ((SELECT id FROM pipelines WHERE token = $1), $2, $3, $4)",
            &[&token, &place, &model, &step.method_name],
        ));
    }
    sql::execute_all(&statements).map_err(|error| stored::not_inserted(error, Kind::Pipeline, &name, (Kind::Task, task)))?;
    let inserted = of("token = $1", &[&token])?.into_iter().next();
    let pipeline = inserted.ok_or_else(|| Error::Unavailable("the pipeline was deleted as soon as it was there".to_owned()))?;
    Ok(Response::json(&pipeline).with_status(201))
}

/// The ids of the models of `steps`, all of which must be in the task.
fn find_models(task: i64, steps: &[Step]) -> Result<Vec<i64>, Failure> {
    let places: Vec<String> = (2..steps.len() + 2).map(|place| format!("${place}")).collect();
    let sql = format!("SELECT name, id FROM models WHERE task_id = $1 AND name IN ({})", places.join(", "));
    let mut parameters: Vec<&dyn ToValue> = vec![&task];
    parameters.extend(steps.iter().map(|step| &step.model_name as &dyn ToValue));
    let mut ids = BTreeMap::new();
    for row in database::rows(&sql, &parameters)? {
        ids.insert(row.get::<String>("name")?, row.get::<i64>("id")?);
    }
    let mut wrong = Vec::new();
    let mut found = Vec::new();
    for (place, Step { model_name, .. }) in steps.iter().enumerate() {
        match ids.get(model_name) {
            Some(id) => found.push(*id),
            None => wrong.push(Detail::value(
                &["steps".into(), place.into(), "model_name".into()],
                format!("there is no model `{model_name}` in the task"),
            )),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(Failure::Invalid(wrong)) }
}

pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    let id = path_id(request, Kind::Pipeline)?;
    let cascade = switch(request, "cascade", false).map_err(Failure::invalid)?;
    database::ready()?;
    removal::pipeline(&stored::one(id)?, cascade)?;
    Ok(Response::new(204))
}
