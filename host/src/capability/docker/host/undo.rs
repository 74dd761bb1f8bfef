//! Removing a container of which nobody knows whether it was made.
//!
//! The connection broke, or the engine took too long, after the request for a container was sent. The engine may have made it, may still be at it, or may never have read the request,
//! and it may be out of reach now. So it is looked for by its name, again and again, and removed if it carries the mark of that one create; see [`super::super::policy`] for why nothing less is
//! proof. The plugin hears of its failure as soon as the first moments have passed: an engine that is being restarted is away for longer than a client waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::super::backend::Backend;
use super::super::convert::ContainerDetails;
use super::super::grant::RemovableContainer;
use super::super::policy::CreationMark;
use super::super::reference::ContainerName;
use crate::backend::engine::{EngineError, Removal};
use crate::backend::operations::Rest;

/// How long an engine that answers may take to make a container after its client has gone: it copies what the image has where volumes are mounted.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);
/// How long to go on trying. An engine that is away for longer is one that somebody has stopped.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
/// How long the plugin waits for it. When the engine answers at all this is enough, and then the name is free when the plugin hears that its call failed.
const TOLD_AFTER: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What to remove, and where.
pub(super) struct Undo {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) name: ContainerName,
    pub(super) mark: CreationMark,
    /// Whether it is known to have been made. Then it is gone when nothing has the name any more.
    pub(super) seen: bool,
}

/// What is under the name.
enum Found {
    /// Nothing, so far.
    Nothing,
    /// A container that somebody else made: the create was refused, or its container is gone already.
    Other,
    /// The container, which is removed now.
    Removed,
}

/// Begins `work` and answers what is left of it after [`TOLD_AFTER`].
pub(super) async fn begun(work: impl Future<Output = ()> + Send + 'static) -> Option<Rest> {
    let mut work: Rest = Box::pin(work);
    timeout(TOLD_AFTER, &mut work).await.is_err().then_some(work)
}

impl Undo {
    /// Removes the container as soon as it is found to be there.
    pub(super) async fn carry_out(mut self) {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let found = self.attempt().await;
            let container = self.name.as_str();
            match found {
                Ok(Found::Removed) => return tracing::info!(container, "removed a container that nobody was told of"),
                Ok(Found::Other) => return,
                Ok(Found::Nothing) if self.seen || began.elapsed() >= APPEARS_WITHIN => return,
                Err(error) if began.elapsed() >= GIVE_UP_AFTER => {
                    return tracing::error!(container, %error, "gave up removing a container that may be left behind");
                }
                Ok(Found::Nothing) | Err(_) => {}
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn attempt(&mut self) -> Result<Found, EngineError> {
        let body = match self.backend.inspect_container(&self.name).await {
            Err(EngineError::NotFound(_)) => return Ok(Found::Nothing),
            // No container has the name, and several ids begin like it.
            Err(EngineError::Invalid(_) | EngineError::Failed { status: 500, .. }) if self.name.may_be_prefix() => {
                return Ok(Found::Nothing);
            }
            answer => answer?,
        };
        let Some(container) = RemovableContainer::made_by(&self.mark, &ContainerDetails::parse(&body)?.identity) else {
            return Ok(Found::Other);
        };
        self.seen = true;
        match self.backend.remove(&container, Removal { force: true, volumes: true }).await {
            Ok(()) | Err(EngineError::NotFound(_)) => Ok(Found::Removed),
            Err(error) => Err(error),
        }
    }
}
