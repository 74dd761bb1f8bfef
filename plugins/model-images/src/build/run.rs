//! A build as an operation of the host: begun, waited for, and told about.

use wharf_sdk::docker::images_build::{self, BuildDetails, BuildOptions, ContextFile};
use wharf_sdk::docker::operations_read::{self, Operation, OperationState};
use wharf_sdk::storage::blobs;
use wharf_sdk::tracing::{info, warn};
use wharf_sdk::{ByteStream, Error};

use super::dockerfile::Dockerfile;
use super::{Arguments, Context};
use crate::failure::Failure;
use crate::images::{Image, Source};
use crate::settings::Settings;

/// The label that says which build an image is of.
pub(crate) const BUILD_LABEL: &str = "wharf.model-images.build";

/// Its path in the context.
pub(super) const DOCKERFILE: &str = "Dockerfile";

/// How much of a failed build's log its error shows, in bytes.
const SHOWN_BYTES: usize = 4096;

/// How an image is built, as far as it is not a matter of its files.
pub(crate) struct Plan<'a> {
    base_image: String,
    arguments: &'a Arguments,
}

impl<'a> Plan<'a> {
    /// # Errors
    ///
    /// [`Failure::Invalid`] for what cannot be done on this site.
    pub(crate) fn new(arguments: &'a Arguments, settings: &Settings) -> Result<Plan<'a>, Failure> {
        Ok(Plan { base_image: arguments.base_image(settings)?, arguments })
    }
}

impl Plan<'_> {
    /// All that an image of `context` is built of.
    pub(crate) fn files(&self, context: &Context) -> Result<Vec<ContextFile>, Failure> {
        let Plan { base_image, arguments } = self;
        let dockerfile = Dockerfile {
            base_image,
            has_requirements: !context.requirements().is_empty(),
            package_install_cmd: arguments.package_install_cmd.as_deref(),
            run_cmd: arguments.run_cmd.as_deref(),
        };
        context.files(dockerfile.text())
    }
}

/// Begins to build `image` of `files` and answers the id of the operation.
pub(crate) fn begin(image: &Image, files: Vec<ContextFile>, plan: &Plan<'_>) -> Result<String, Failure> {
    let base_image = &plan.base_image;
    let options =
        BuildOptions { dockerfile: DOCKERFILE.to_owned(), names: vec![image.reference()], labels: labels(image), arguments: Vec::new() };
    let operation = images_build::begin(files, &options).map_err(|error| match error {
        // The host does not say which of the two it was.
        Error::Denied => Failure::Refused(format!("`{}` built on `{base_image}` is not allowed on this site", image.reference())),
        Error::NotFound => Failure::Refused(format!("the engine does not hold `{base_image}`, and a build pulls nothing")),
        Error::QuotaExceeded => {
            Failure::Refused("the files are more than one build may have on this site, or too many builds are under way".to_owned())
        }
        other => Failure::of_engine(other, base_image),
    })?;
    info!(image = image.id, reference = image.reference(), operation, base_image, "began to build an image");
    Ok(operation)
}

/// Where an image comes from, for whoever finds it on the engine.
fn labels(image: &Image) -> Vec<(String, String)> {
    let (source, id) = match image.source {
        Source::Model(id) => ("model", id),
        Source::Pipeline(id) => ("pipeline", id),
    };
    let label = |name: &str, value: String| (format!("wharf.model-images.{name}"), value);
    vec![
        ("wharf.plugin".to_owned(), env!("CARGO_PKG_NAME").to_owned()),
        label("task", image.task_id.to_string()),
        label(source, id.to_string()),
        label("image", image.id.to_string()),
        (BUILD_LABEL.to_owned(), image.folder.clone()),
    ]
}

/// Waits for the end of `operation`, and keeps its log as the blob `log` if it succeeded.
///
/// # Errors
///
/// [`Failure::NotDone`] with the step that failed and the end of the log.
pub(crate) fn finish(operation: &str, log: &str) -> Result<(), Failure> {
    let ended = match operations_read::wait(operation) {
        Ok(ended) => ended,
        Err(Error::Timeout) => {
            return Err(Failure::NotDone("the image was not built in the time that this site gives to a build".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    if ended.state == OperationState::Succeeded {
        keep_log(operation, log);
        return Ok(());
    }
    Err(told(&ended, &end_of_log(operation)))
}

/// Keeps what the engine said as the blob `name`. A log that cannot be kept is no reason to have no image.
pub(crate) fn keep_log(operation: &str, name: &str) {
    if let Err(error) = operations_read::log(operation).and_then(|log| blobs::store(name, log)) {
        warn!(operation, %error, "the log of a build could not be kept");
    }
}

/// What a client hears of a build that failed: the host says at which step, the log what the step wrote.
fn told(ended: &Operation, log: &str) -> Failure {
    if ended.state == OperationState::Cancelled {
        return Failure::NotDone("the image was not built: the build was cancelled".to_owned());
    }
    let details: BuildDetails = ended.details().unwrap_or_default();
    let failure = ended.failure.as_ref().map(ToString::to_string);
    let reason = details.reason.or(failure).unwrap_or_else(|| "nobody says why".to_owned());
    match ended.failure {
        // The base image went away since the build began, or was never there.
        Some(Error::NotFound) => Failure::Refused(format!("the image was not built: {reason}")),
        _ => Failure::NotDone(format!("the image was not built: {reason}\n{log}").trim_end().to_owned()),
    }
}

/// The last lines of the log; empty if it cannot be read.
fn end_of_log(operation: &str) -> String {
    let read = |mut log: ByteStream| {
        let mut end = Vec::new();
        while let Some(chunk) = log.read(64 * 1024)? {
            end.extend_from_slice(&chunk);
            let excess = end.len().saturating_sub(SHOWN_BYTES);
            end.drain(..excess);
        }
        Ok(end)
    };
    let end: Vec<u8> = operations_read::log(operation).and_then(read).unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    // The first line is whole only if the log is shorter than what is shown.
    let whole = if end.len() < SHOWN_BYTES { &text[..] } else { text.split_once('\n').map_or(&text[..], |(_, rest)| rest) };
    whole.trim_end().to_owned()
}
