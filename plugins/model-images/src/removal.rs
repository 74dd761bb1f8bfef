//! Deleting things, and with `cascade` all that belongs to them.
//!
//! From the inside out: containers are stopped and removed first, then tags, then rows. Whatever ends a removal in the middle leaves rows for what is still there and perhaps for what is not, never the other
//! way round; and since what is missing counts as removed, the same call again goes on where it stopped. That nothing is left that refers to a row is for the tables to say.

use wharf_sdk::Error;
use wharf_sdk::docker::images_remove;
use wharf_sdk::storage::sql::{self, Statement, ToValue};
use wharf_sdk::tracing::info;

use crate::database::{Obstacle, obstacle};
use crate::environments::Environment;
use crate::failure::Failure;
use crate::images::{self, Image};
use crate::instances::{self, Instance};
use crate::kind::Kind;
use crate::leftovers;
use crate::models::Model;
use crate::pipelines::Pipeline;
use crate::projects::Project;
use crate::stored;
use crate::tasks::Task;

/// Deletes a row whose kind and name are told if something refers to it.
fn row(kind: Kind, id: i64, name: &str, mut with: Vec<Statement>) -> Result<(), Failure> {
    with.push(Statement::new(format!("DELETE FROM {} WHERE id = $1", kind.table()), &[&id]));
    match sql::execute_all(&with) {
        Ok(_) => Ok(()),
        Err(error) if obstacle(&error) == Some(Obstacle::Reference) => Err(Failure::InUse(kind, name.to_owned())),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn project(project: &Project, cascade: bool) -> Result<(), Failure> {
    if cascade {
        for inner in stored::all::<Task>("project_id = $1", &[&project.id])? {
            task(&inner, true)?;
        }
    }
    row(Kind::Project, project.id, &project.name, Vec::new())
}

pub(crate) fn task(task: &Task, cascade: bool) -> Result<(), Failure> {
    images::settle()?;
    if cascade {
        let of_task: [&dyn ToValue; 1] = [&task.id];
        images_of((Kind::Task, &task.name), "task_id = $1", &of_task)?;
        for inner in stored::all::<Pipeline>("task_id = $1", &of_task)? {
            pipeline(&inner, false)?;
        }
        for inner in stored::all::<Model>("task_id = $1", &of_task)? {
            model(&inner, false)?;
        }
    }
    row(Kind::Task, task.id, &task.name, Vec::new())
}

pub(crate) fn model(model: &Model, cascade: bool) -> Result<(), Failure> {
    images::settle()?;
    if cascade {
        images_of((Kind::Model, &model.name), "model_id = $1", &[&model.id])?;
        for inner in stored::all::<Pipeline>("id IN (SELECT pipeline_id FROM steps WHERE model_id = $1)", &[&model.id])? {
            pipeline(&inner, true)?;
        }
    }
    row(Kind::Model, model.id, &model.name, vec![leftovers::discard(&model.folder)])?;
    leftovers::remove(&model.folder);
    Ok(())
}

pub(crate) fn pipeline(pipeline: &Pipeline, cascade: bool) -> Result<(), Failure> {
    images::settle()?;
    if cascade {
        images_of((Kind::Pipeline, &pipeline.name), "pipeline_id = $1", &[&pipeline.id])?;
    }
    row(Kind::Pipeline, pipeline.id, &pipeline.name, Vec::new())
}

pub(crate) fn environment(environment: &Environment, cascade: bool) -> Result<(), Failure> {
    instances::settle()?;
    if cascade {
        for inner in stored::all::<Instance>("environment_id = $1", &[&environment.id])? {
            instance(&inner, false)?;
        }
    }
    row(Kind::Environment, environment.id, &environment.name, Vec::new())
}

/// Deletes the images of `owner`, for which `condition` holds; none of them if one is being built.
fn images_of(owner: (Kind, &str), condition: &str, parameters: &[&dyn ToValue]) -> Result<(), Failure> {
    let building = format!("SELECT id FROM images WHERE building IS NOT NULL AND {condition}");
    if sql::query_one(&building, parameters)?.is_some() {
        return Err(Failure::InUse(owner.0, owner.1.to_owned()));
    }
    let everything = How { cascade: true, meta_only: false };
    stored::all::<Image>(condition, parameters)?.iter().try_for_each(|inner| image(inner, everything))
}

/// How an image is deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Its instances too.
    pub(crate) cascade: bool,
    /// The rows and nothing of the engine's.
    pub(crate) meta_only: bool,
}

/// Deletes an image. That an instance is recorded, running or not, stands against it unless `cascade` is on.
pub(crate) fn image(image: &Image, how: How) -> Result<(), Failure> {
    instances::settle()?;
    if how.cascade {
        for inner in stored::all::<Instance>("image_id = $1", &[&image.id])? {
            instance(&inner, how.meta_only)?;
        }
    }
    // Those that are being started are among them.
    if sql::query_one("SELECT id FROM instances WHERE image_id = $1", &[&image.id])?.is_some() {
        return Err(Failure::InUse(Kind::Image, image.name.clone()));
    }
    let reference = image.reference();
    if !how.meta_only {
        match images_remove::remove_one(&reference) {
            Ok(removal) => info!(image = reference, layers = removal.deleted.len(), "removed an image"),
            Err(Error::NotFound) => {}
            Err(error) => return Err(Failure::of_engine(error, &reference)),
        }
    }
    row(Kind::Image, image.id, &image.name, vec![leftovers::discard(&image.folder)])?;
    leftovers::remove(&image.folder);
    Ok(())
}

/// Deletes an instance, and unless `meta_only` its container.
pub(crate) fn instance(instance: &Instance, meta_only: bool) -> Result<(), Failure> {
    if !meta_only {
        instances::remove_container(instance)?;
    }
    row(Kind::Instance, instance.id, &instance.name, Vec::new())
}
