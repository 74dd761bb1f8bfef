//! Building images: the checks, and the work of the operation.
//!
//! The image is built without a name and gets its names when it is done, so that the one that has them now keeps them as long as it is not known whether there is a new one. What cannot be checked without the engine, that
//! the base images are there, is the work's to find out; [`narrator`] hears of its course, and [`undo`] removes what it has made when it does not come to its end.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::super::backend::Backend;
use super::super::convert;
use super::super::dockerfile::{BuildPlan, Dockerfile, MAX_DOCKERFILE_BYTES};
use super::super::error::Failure;
use super::super::grant::{AllowedImage, BuildableName, Power};
use super::super::policy::{BuildContext, BuildMark, BuiltImage, ContextRefusal, check_arguments, check_labels, check_names};
use super::super::reference::ImageId;
use super::super::{DockerCtxView, DockerRoom};
use crate::backend::engine::{BuildObserver, Content, ContextFile, EngineError};
use crate::backend::operations::{Build, BuildProgress, OperationFailure};
use crate::backend::stream::ByteStream;
use crate::bindings::wharf::docker::images_build::{self, BuildOptions};
use crate::bindings::wharf::docker::types::Error;

mod narrator;
mod undo;

use narrator::Narrator;
use undo::{BuildTrace, BuildUndo};

impl images_build::Host for DockerCtxView<'_> {
    async fn begin(&mut self, files: Vec<images_build::ContextFile>, options: BuildOptions) -> Result<String, Error> {
        const FUNCTION: &str = "docker.images-build.begin";
        // First of all: a stream that was handed over is gone for the plugin, whatever comes of it.
        let files: Result<Vec<ContextFile>, wasmtime::component::ResourceTableError> =
            files.into_iter().map(|file| context_file(self.table, file)).collect();
        let begun = async {
            self.enter(FUNCTION, Power::ImagesBuild)?;
            let files = files.map_err(|error| Failure::Invalid(error.to_string()))?;
            let build = self.allowed_build(files, &options).await?;
            let bases = build.bases.iter().map(|base| base.for_engine()).collect::<Vec<_>>().join(", ");
            for name in &build.names {
                self.call.permitted(FUNCTION, &format!("image {} from {bases}", name.reference()));
            }
            self.room.begin_build(build, self.call.operation_deadline)
        };
        begun.await.map_err(|failure: Failure| failure.answer(self.call, FUNCTION))
    }
}

/// The file, with the stream that its handle stands for.
fn context_file(
    table: &mut wasmtime::component::ResourceTable,
    file: images_build::ContextFile,
) -> Result<ContextFile, wasmtime::component::ResourceTableError> {
    let images_build::ContextFile { path, executable, size, content } = file;
    let content = match content {
        images_build::Content::Bytes(bytes) => Content::Bytes(bytes.into()),
        images_build::Content::Stream(stream) => {
            let stream: Resource<ByteStream> = stream;
            Content::Stream(table.delete(stream)?)
        }
    };
    Ok(ContextFile { path, executable, size, content })
}

/// A build that the grant covers.
struct CheckedBuild {
    names: Vec<BuildableName>,
    /// Those of the plan, in its order.
    bases: Vec<AllowedImage>,
    plan: BuildPlan,
    context: BuildContext,
    labels: Vec<(String, String)>,
    arguments: Vec<(String, String)>,
}

impl DockerCtxView<'_> {
    async fn allowed_build(&mut self, files: Vec<ContextFile>, options: &BuildOptions) -> Result<CheckedBuild, Failure> {
        let names = check_names(&options.names).map_err(Failure::Invalid)?;
        let names: Result<Vec<BuildableName>, _> = names.iter().map(|name| self.room.grant.buildable(name)).collect();
        let names = names?;
        check_labels(&options.labels).map_err(Failure::Invalid)?;
        check_arguments(&options.arguments).map_err(Failure::Invalid)?;
        let mut context = BuildContext::check(files, self.call.build_context_bytes).map_err(|refusal| match refusal {
            ContextRefusal::Invalid(rule) => Failure::Invalid(rule),
            ContextRefusal::TooLarge { bytes } => Failure::ContextTooLarge { bytes, limit_bytes: self.call.build_context_bytes },
        })?;
        let absent = || Failure::Invalid(format!("none of the files is the Dockerfile, `{}`", options.dockerfile));
        let text = read(context.file(&options.dockerfile).ok_or_else(absent)?).await.map_err(Failure::Invalid)?;
        let plan = Dockerfile::parse(&text).and_then(|dockerfile| dockerfile.plan(&options.arguments)).map_err(Failure::Invalid)?;
        let mut bases = Vec::new();
        for base in plan.bases() {
            bases.push(self.room.usable_image("build on", &base.name).await?);
        }
        let (labels, arguments) = (options.labels.clone(), options.arguments.clone());
        Ok(CheckedBuild { names, bases, plan, context, labels, arguments })
    }
}

/// All of the Dockerfile, which is in memory from then on.
async fn read(file: &mut ContextFile) -> Result<bytes::Bytes, String> {
    if file.size > MAX_DOCKERFILE_BYTES as u64 {
        return Err(format!("the Dockerfile has {} bytes, at most {MAX_DOCKERFILE_BYTES}", file.size));
    }
    let whole = match &mut file.content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::Stream(stream) => {
            let mut whole = bytes::BytesMut::new();
            while let Some(piece) = stream.read(MAX_DOCKERFILE_BYTES).await.map_err(|error| format!("the Dockerfile: {error}"))? {
                whole.extend_from_slice(&piece);
                if whole.len() as u64 > file.size {
                    break;
                }
            }
            whole.freeze()
        }
    };
    if whole.len() as u64 != file.size {
        return Err(format!("the Dockerfile has another length than the {} bytes that were announced", file.size));
    }
    file.content = Content::Bytes(whole.clone());
    Ok(whole)
}

impl DockerRoom {
    /// Begins a build that nobody needs to wait for, and answers the id of the operation.
    fn begin_build(&self, build: CheckedBuild, limit: std::time::Duration) -> Result<String, Failure> {
        let Some(first) = build.names.first() else { return Err(Failure::Invalid("an image without a name".to_owned())) };
        let image = first.reference().clone();
        let instructions = build.plan.instructions().map(str::to_owned).collect::<Vec<_>>();
        let progress = Arc::new(BuildProgress::of(u32::try_from(instructions.len()).unwrap_or(u32::MAX)));
        // What was made may not be known under this label before it is made, so that it is the build's own from the beginning.
        let (mark, trace) = (BuildMark::new(), Arc::new(BuildTrace::default()));
        let undo = BuildUndo::new(Arc::clone(&self.backend), mark.clone(), Arc::clone(&trace));
        let work = ImageBuild { backend: Arc::clone(&self.backend), build, instructions, progress: Arc::clone(&progress), mark, trace };
        let operation = self.operations.build(
            Build { engine: self.engine.clone(), image, progress, work: Box::pin(work.carry_out()), undo: Box::pin(undo.carry_out()) },
            limit,
        )?;
        Ok(operation.id.clone())
    }
}

/// A build under way.
struct ImageBuild {
    backend: Arc<dyn Backend>,
    build: CheckedBuild,
    /// As the Dockerfile has them.
    instructions: Vec<String>,
    progress: Arc<BuildProgress>,
    mark: BuildMark,
    trace: Arc<BuildTrace>,
}

impl ImageBuild {
    async fn carry_out(self) -> Result<(), OperationFailure> {
        let log = Arc::clone(self.progress.log());
        let done = self.image().await;
        if let Err(failure) = &done {
            let reason = super::super::error::of_operation(failure).1;
            log.add(&format!("{reason}\n"));
        }
        done
    }

    async fn image(self) -> Result<(), OperationFailure> {
        let ImageBuild { backend, build, instructions, progress, mark, trace } = self;
        let CheckedBuild { names, bases, plan, context, labels, arguments } = build;
        let ids = base_images(&*backend, &plan, &bases, &instructions, &progress).await?;
        let rendered = plan.render(&ids, &mark.label());
        // The label of the host's own is an instruction too.
        let steps = rendered.places.len() + labels.len() + 1;
        let allowed = context.with_dockerfile(rendered.text, &mark, &labels, &arguments).map_err(OperationFailure::Invalid)?;
        let narrator = Narrator::new(instructions, rendered.places, steps, Arc::clone(&progress), Arc::clone(&trace));
        let built = backend.build(allowed, Arc::new(narrator) as Arc<dyn BuildObserver>).await;
        let id = built.map_err(|error| {
            let failure = at_step(&progress, error.into());
            trace.over(!is_uncertain(&failure));
            failure
        })?;
        trace.over(true);
        let image = built_image(&*backend, &mark, &id).await?;
        for name in &names {
            undo::name(&*backend, &trace, &image, name).await?;
            progress.log().add(&format!("Named {}\n", name.reference()));
        }
        // The other stages.
        if let Err(error) = undo::remove_all_but(&*backend, &mark, Some(&image)).await {
            tracing::warn!(%error, "failed to remove the stages of a build");
        }
        progress.built(image.id().as_str());
        Ok(())
    }
}

/// The images that the base images are now.
async fn base_images(
    backend: &dyn Backend,
    plan: &BuildPlan,
    allowed: &[AllowedImage],
    instructions: &[String],
    progress: &BuildProgress,
) -> Result<Vec<ImageId>, OperationFailure> {
    let mut ids = Vec::new();
    for (base, allowed) in plan.bases().iter().zip(allowed) {
        let found = async { convert::base_identity(&backend.inspect_image(&allowed.name()).await?) };
        let found = found.await.map_err(|error| {
            let instruction = usize::try_from(base.step).ok().and_then(|step| instructions.get(step.checked_sub(1)?));
            progress.begin(base.step, instruction.map_or("", String::as_str));
            at_step(
                progress,
                match error {
                    EngineError::NotFound(_) => EngineError::NotFound(format!("the base image `{}`", base.name)).into(),
                    error => error.into(),
                },
            )
        })?;
        if found.has_triggers {
            let rule = format!("the base image `{}` has ONBUILD instructions, which are not carried out", base.name);
            return Err(OperationFailure::Invalid(rule));
        }
        if let Some(wanted) = &base.platform
            && !is_of_platform(&found.platform, wanted)
        {
            let rule = format!("the base image `{}` is of {}, and not of {wanted}", base.name, found.platform);
            return Err(OperationFailure::Invalid(rule));
        }
        ids.push(found.id);
    }
    Ok(ids)
}

/// The failure, with the instruction at which it happened.
fn at_step(progress: &BuildProgress, failure: OperationFailure) -> OperationFailure {
    let now = progress.now();
    match failure {
        OperationFailure::Engine(error) if now.step > 0 => {
            OperationFailure::Step { step: now.step, steps: now.steps, instruction: now.instruction, error }
        }
        failure => failure,
    }
}

/// Whether the engine may still be at it. What broke off because of the host's own files has not begun.
fn is_uncertain(failure: &OperationFailure) -> bool {
    match failure {
        OperationFailure::Engine(error) | OperationFailure::Step { error, .. } => error.is_uncertain(),
        _ => false,
    }
}

/// Whether `found` is `wanted`, which may have a variant that nobody compares.
fn is_of_platform(found: &str, wanted: &str) -> bool {
    let mut parts = wanted.splitn(3, '/');
    let wanted = [parts.next().unwrap_or_default(), parts.next().unwrap_or_default()].join("/");
    found == wanted
}

/// The image of this id, which must be the build's.
async fn built_image(backend: &dyn Backend, mark: &BuildMark, id: &str) -> Result<BuiltImage, EngineError> {
    let made = convert::marked_images(&backend.images_of_build(mark).await?)?;
    let image = made.iter().find(|image| image.id.as_str() == id);
    let image = image.and_then(|image| BuiltImage::made_by(mark, &image.id, &image.labels));
    image.ok_or_else(|| EngineError::Unintelligible(format!("`{id}` is no image of this build")))
}
