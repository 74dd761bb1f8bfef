//! Builds: how far one is, and what the engine has said of it.
//!
//! What a build has made when it fails or is cancelled has to go again, so that it has an [`undo`](Build::undo), which takes as long as it takes; the plugin hears of a failure when that is done, or after [`TOLD_AFTER`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Object, Operation, OperationError, OperationFailure, PluginOperations, Progress, Rest, Subject};
use crate::backend::engine::EngineAddress;
use crate::backend::reference::ImageReference;

mod log;
mod progress;

pub(crate) use log::BuildLog;
pub(crate) use progress::{BuildProgress, Steps};

/// How long the end of a build that failed waits for its undoing. With an engine that answers this is enough.
pub(super) const TOLD_AFTER: Duration = Duration::from_secs(10);

/// A build that is to begin.
pub(crate) struct Build {
    pub(crate) engine: EngineAddress,
    /// What the image will be called.
    pub(crate) image: ImageReference,
    pub(crate) progress: Arc<BuildProgress>,
    pub(crate) work: BoxFuture<'static, Result<(), OperationFailure>>,
    /// Removes what `work` has made. Called for when that failed, or was dropped before its end; the permit of the build is kept until it has ended.
    pub(crate) undo: Rest,
}

impl PluginOperations {
    /// Begins to build, for at most `limit`. It goes on whether or not anybody looks at what this answers.
    ///
    /// # Errors
    ///
    /// [`OperationError::TooMany`]. Everything else is the operation's outcome.
    pub(crate) fn build(&self, build: Build, limit: Duration) -> Result<Arc<Operation>, OperationError> {
        let Build { engine, image, progress, mut work, undo } = build;
        let subject = Subject { kind: "build", object: Object::Image { image, engine } };
        let mut changes = progress.changes();
        self.begin(subject, Progress::Build(progress), limit, Some(undo), |operation| async move {
            loop {
                tokio::select! {
                    outcome = &mut work => return outcome,
                    Ok(()) = changes.changed() => operation.touch(),
                }
            }
        })
    }
}
