//! `POST /images`: builds an image and answers when it is there.
//!
//! The order of steps, and what is left when the request or the host ends after each:
//!
//! 1. The request is looked at as a whole; source, name and tag are looked up, and the artifacts are opened. Nothing is left.
//! 2. The row is inserted with the tag in `building`. Names are UNIQUE in a task and `building` is UNIQUE altogether, so that of two requests at once one stops here. Nobody sees the row yet.
//! 3. The build begins as an operation of the host, and its id goes into the row.
//! 4. The operation ends. If it failed, the row is deleted; a failed build leaves no image. If it succeeded, its log is stored and `building` becomes NULL: from now on there is an image.
//!
//! A request that is gone between 2 and 4 leaves a row that nobody sees. [`settle`](super::settle()) finds it and does what is left of step 4.

use uuid::Uuid;
use wharf_sdk::docker::images_build::ContextFile;
use wharf_sdk::docker::{images_read, operations_cancel};
use wharf_sdk::storage::sql::{self, Statement, ToValue};
use wharf_sdk::tracing::info;
use wharf_sdk::{Error, Request, Response};

use super::{Image, Source};
use crate::body::Fields;
use crate::build::{self, Arguments, Context, Plan};
use crate::database::{self, Obstacle, obstacle};
use crate::failure::{Detail, Failure};
use crate::kind::Kind;
use crate::name::ImageName;
use crate::query::switch;
use crate::settings::Settings;
use crate::stored;
use crate::{leftovers, time};

/// What a client wants.
struct Wanted {
    name: ImageName,
    source: Source,
    arguments: Arguments,
    /// Only the row.
    recorded_only: bool,
}

pub(crate) fn create(request: &Request) -> Result<Response, Failure> {
    let wanted = Wanted::read(request)?;
    let settings = Settings::read()?;
    database::ready()?;
    let context = Context::of(wanted.source)?;
    super::settle()?;
    let reference = wanted.name.to_string();
    check_name(context.task_id, &reference)?;
    if !wanted.recorded_only {
        context.check()?;
        check_tag(&reference, wanted.arguments.force_overwrite)?;
    }
    let plan = Plan::new(&wanted.arguments, &settings)?;
    let files = if wanted.recorded_only { None } else { Some(plan.files(&context)?) };
    let folder = Uuid::new_v4().to_string();
    let image = insert(&wanted, &context, &settings, &folder)?;
    if let Some(files) = files {
        carry_out(&image, files, &plan)?;
    }
    info!(image = image.id, reference, recorded_only = wanted.recorded_only, "made an image");
    Ok(Response::json(&image).with_status(201))
}

impl Wanted {
    fn read(request: &Request) -> Result<Wanted, Failure> {
        let mut fields = Fields::read(request)?;
        let written = fields.text("name");
        let ids = |fields: &mut Fields| (fields.optional_id("model_id"), fields.optional_id("pipeline_id"));
        let (model, pipeline) = ids(&mut fields);
        // The form of later versions. What else it says is how the original served a model.
        let inner = fields.object("buildable", ids).unwrap_or_default();
        let arguments = fields.object("builder_args", Arguments::read).unwrap_or_default();
        let recorded_only = fields.note(switch(request, "skip_build", false));
        let name = if fields.is_right_so_far("name") {
            ImageName::parse(&written).map_err(|message| fields.refuse("name", &message)).ok()
        } else {
            None
        };
        let models = [model, inner.0].into_iter().flatten().map(Source::Model);
        let mut sources = models.chain([pipeline, inner.1].into_iter().flatten().map(Source::Pipeline));
        let source = match (sources.next(), sources.next()) {
            (Some(source), None) => Some(source),
            (source, _) => {
                if fields.is_right_so_far("model_id") && fields.is_right_so_far("pipeline_id") && fields.is_right_so_far("buildable") {
                    let message = if source.is_none() {
                        "one of `model_id` and `pipeline_id` is needed"
                    } else {
                        "`model_id` and `pipeline_id`: only one of them can be"
                    };
                    fields.note::<()>(Err(Detail::value(&["__root__".into()], message)));
                }
                None
            }
        };
        fields.finish()?;
        match (name, source) {
            (Some(name), Some(source)) => Ok(Wanted { name, source, arguments, recorded_only }),
            // Whatever is wrong was told by `finish`.
            _ => Err(Failure::Invalid(Vec::new())),
        }
    }
}

/// The name must not be in the task, also not of an image that is being built.
fn check_name(task: i64, name: &str) -> Result<(), Failure> {
    match sql::query_one("SELECT id FROM images WHERE task_id = $1 AND name = $2", &[&task, &name])? {
        None => Ok(()),
        Some(_) => Err(Failure::Exists(Kind::Image, name.to_owned())),
    }
}

/// The tag must not be on the engine, unless it may be taken away from what has it.
fn check_tag(reference: &str, force_overwrite: bool) -> Result<(), Failure> {
    match images_read::inspect_one(reference) {
        Err(Error::NotFound) => Ok(()),
        Ok(_) if force_overwrite => Ok(()),
        Ok(_) => Err(Failure::Refused(format!("Image {reference} already exists on the engine, and `force_overwrite` is not true"))),
        Err(error) => Err(Failure::of_engine(error, reference)),
    }
}

fn insert(wanted: &Wanted, context: &Context, settings: &Settings, folder: &str) -> Result<Image, Failure> {
    let reference = wanted.name.to_string();
    let (model, pipeline) = match wanted.source {
        Source::Model(id) => (Some(id), None),
        Source::Pipeline(id) => (None, Some(id)),
    };
    let values: [(&str, &dyn ToValue); 12] = [
        ("task_id", &context.task_id),
        ("model_id", &model),
        ("pipeline_id", &pipeline),
        ("name", &reference),
        ("author", &settings.author),
        ("creation_date", &time::now()),
        ("repository", &wanted.name.repository),
        ("image", &wanted.name.name),
        ("tag", &wanted.name.tag),
        ("folder", &folder),
        ("building", &Some(&reference).filter(|_| !wanted.recorded_only)),
        ("began_ms", &time::now_ms()),
    ];
    stored::insert(&values).map_err(|error| match obstacle(&error) {
        // Either somebody else took the name since it was looked up, or another task has a build of the tag under way.
        Some(Obstacle::Unique) => match check_name(context.task_id, &reference) {
            Ok(()) => Failure::Refused(format!("Image {reference} is being built")),
            Err(failure) => failure,
        },
        Some(Obstacle::Reference) => not_found(wanted.source),
        None => error.into(),
    })
}

/// The source is gone.
pub(crate) fn not_found(source: Source) -> Failure {
    let (kind, id) = match source {
        Source::Model(id) => (Kind::Model, id),
        Source::Pipeline(id) => (Kind::Pipeline, id),
    };
    Failure::NoObject(kind, format!("\"{id}\""))
}

/// Steps 3 and 4.
fn carry_out(image: &Image, files: Vec<ContextFile>, plan: &Plan<'_>) -> Result<(), Failure> {
    let operation = build::begin(image, files, plan).or_else(|failure| {
        abandon(image.id, &image.folder)?;
        Err(failure)
    })?;
    let noted = sql::execute("UPDATE images SET operation = $1 WHERE id = $2", &[&operation, &image.id]);
    let finished = noted.map_err(Failure::from).and_then(|rows| match rows {
        // It took so long to begin that somebody has given the build up.
        0 => Err(Failure::NotDone("the image was not built: its build was given up".to_owned())),
        _ => build::finish(&operation, &image.log()),
    });
    if let Err(failure) = finished {
        // Where it has not ended there might still be an image after it was said that there is none.
        operations_cancel::cancel(&operation)?;
        abandon(image.id, &image.folder)?;
        return Err(failure);
    }
    // If this fails there is an image all the same, and somebody will settle it.
    Ok(keep(image.id)?)
}

/// The image is there.
pub(super) fn keep(id: i64) -> Result<(), Error> {
    sql::execute("UPDATE images SET building = NULL, operation = NULL WHERE id = $1", &[&id]).map(drop)
}

/// There will be no image.
pub(super) fn abandon(id: i64, folder: &str) -> Result<(), Error> {
    let delete = Statement::new("DELETE FROM images WHERE id = $1 AND building IS NOT NULL", &[&id]);
    sql::execute_all(&[leftovers::discard(folder), delete])?;
    leftovers::remove(folder);
    Ok(())
}
