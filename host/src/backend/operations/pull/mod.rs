//! Pulls. Those of one image in one name on one engine are one pull there, see [`shared`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Object, Operation, OperationError, OperationFailure, Operations, PluginOperations, Progress, Subject};
use crate::backend::engine::{EngineAddress, EngineError, RegistryAuth};
use crate::backend::reference::ImageReference;
use crate::backend::registry::RegistryError;

mod progress;
mod shared;

pub(crate) use progress::{Layers, PullProgress};
use shared::Key;
pub(super) use shared::SharedPulls;

/// Pulls in somebody's name and reports its progress.
pub(crate) type PullWork = dyn FnOnce(Option<RegistryAuth>, Arc<PullProgress>) -> BoxFuture<'static, Result<(), EngineError>> + Send;

/// A pull that is to begin.
pub(crate) struct Pull {
    pub(crate) engine: EngineAddress,
    pub(crate) image: ImageReference,
    /// Finds out in whose name the registry is asked.
    pub(crate) auth: BoxFuture<'static, Result<Option<RegistryAuth>, RegistryError>>,
    /// Pulls in this name and reports its progress. Not called where somebody else pulls the same already.
    pub(crate) work: Box<PullWork>,
}

impl PluginOperations {
    /// Begins to pull, for at most `limit`, or waits for the same pull of another. It goes on whether or not anybody looks at what this answers.
    ///
    /// # Errors
    ///
    /// [`OperationError::TooMany`]. Everything else is the operation's outcome.
    pub(crate) fn pull(&self, pull: Pull, limit: Duration) -> Result<Arc<Operation>, OperationError> {
        let object = Object::Image { image: pull.image.clone(), engine: pull.engine.clone() };
        let subject = Subject { kind: "pull", object };
        let pulls = self.all.0.pulls.clone();
        self.begin(subject, Progress::Pull(Arc::default()), limit, None, |operation| async move {
            let auth = pull.auth.await?;
            let key = Key { engine: pull.engine, image: pull.image.decisive(), auth: auth.clone() };
            let joined = pulls.join(key, |progress| (pull.work)(auth, progress));
            if !joined.began {
                tracing::info!(operation = operation.id, "waits for the same pull of another");
            }
            let (mut work, mut changes) = (joined.work, joined.progress.changes());
            operation.follow(Progress::Pull(joined.progress));
            loop {
                tokio::select! {
                    outcome = &mut work => return Ok(outcome?),
                    Ok(()) = changes.changed() => operation.touch(),
                }
            }
        })
    }
}

impl Operations {
    /// Pulls, or waits for the same pull of another. `seen` hears how far it is.
    ///
    /// # Errors
    ///
    /// What the registry, the engine or the host's credential was not good for.
    pub(crate) async fn pull_within(&self, pull: Pull, seen: impl Fn(Layers) + Send) -> Result<(), OperationFailure> {
        let auth = pull.auth.await?;
        let key = Key { engine: pull.engine, image: pull.image.decisive(), auth: auth.clone() };
        let joined = self.0.pulls.join(key, |progress| (pull.work)(auth, progress));
        let (mut work, mut changes) = (joined.work, joined.progress.changes());
        loop {
            tokio::select! {
                outcome = &mut work => {
                    seen(joined.progress.now());
                    return Ok(outcome?);
                }
                Ok(()) = changes.changed() => seen(joined.progress.now()),
            }
        }
    }
}
