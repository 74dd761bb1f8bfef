//! New containers.

use std::sync::Arc;
use std::time::Duration;

use super::super::DockerCtxView;
use super::super::backend::Backend;
use super::super::convert;
use super::super::error::Failure;
use super::super::grant::{ControllableContainer, Power, RemovableContainer};
use super::super::policy::{AllowedCreate, CreateRequest};
use crate::backend::engine::{Created, EngineError, Removal};
use crate::backend::operations::OperationError;
use crate::bindings::wharf::docker::containers_create;
use crate::bindings::wharf::docker::types::Error;

/// How much longer than its own limit a `run` may take, to undo what it began.
const UNDO_LIMIT: Duration = Duration::from_secs(300);

impl containers_create::Host for DockerCtxView<'_> {
    async fn create(&mut self, name: String, specification: String) -> Result<containers_create::Created, Error> {
        const FUNCTION: &str = "docker.containers-create.create";
        let created = async {
            let container = self.allowed(FUNCTION, &name, &specification).await?;
            self.carry_through(|backend| async move { backend.create(&container).await }).await
        };
        created.await.map(record).map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn run(&mut self, name: String, specification: String) -> Result<containers_create::Created, Error> {
        const FUNCTION: &str = "docker.containers-create.run";
        let ran = async {
            let container = self.allowed(FUNCTION, &name, &specification).await?;
            let _paused = self.call.clock.pause();
            let limit = self.call.operation_deadline;
            let work = run(Arc::clone(&self.room.backend), container, limit);
            self.room.operations.carry_through(limit.saturating_add(UNDO_LIMIT), work).await?
        };
        ran.await.map(record).map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl DockerCtxView<'_> {
    /// The steps before the act, which `create` and `run` share.
    async fn allowed(&mut self, function: &'static str, name: &str, specification: &str) -> Result<AllowedCreate, Failure> {
        self.enter(function, Power::ContainersCreate)?;
        let request = CreateRequest::parse(name, specification).map_err(Failure::Invalid)?;
        let identity = match self.room.grant.needs_identity_of(request.image()) {
            true => Some(convert::image_identity(&convert::image(&self.room.backend.inspect_image(request.image()).await?)?)),
            false => None,
        };
        let image = self.room.grant.image("create a container of", request.image(), identity.as_ref())?;
        let container = self.room.grant.creation(&request, &image)?;
        self.call.permitted(function, &format!("container {} of image {}", container.name(), image.for_engine()));
        Ok(container)
    }
}

/// Creates and starts `container`, both within `limit`; one that does not start is removed again.
async fn run(backend: Arc<dyn Backend>, container: AllowedCreate, limit: Duration) -> Result<Created, Failure> {
    let deadline = tokio::time::Instant::now().checked_add(limit);
    let created = before(deadline, limit, backend.create(&container)).await??;
    let failure = match before(deadline, limit, backend.start(&ControllableContainer::new_one(&created))).await {
        Ok(Ok(())) => return Ok(created),
        // These say more to a caller than that a start failed: the same call may succeed later, or be a question of time.
        Ok(Err(error @ (EngineError::Unavailable(_) | EngineError::Timeout(_)))) => Failure::Engine(error),
        Ok(Err(error)) => Failure::NotStarted(format!("failed to start the container: {error}")),
        Err(elapsed) => Failure::Operation(elapsed),
    };
    // Anonymous volumes were made for it and go with it. By force, since a start that took too long may still succeed.
    let removal = Removal { force: true, volumes: true };
    match backend.remove(&RemovableContainer::new_one(&created), removal).await {
        Ok(()) | Err(EngineError::NotFound(_)) => Err(failure),
        Err(error) => {
            let id = created.id.as_str();
            tracing::error!(container = container.name(), id, %error, "failed to remove a container that did not start");
            let reason = match failure {
                Failure::NotStarted(reason) => reason,
                Failure::Engine(error) => format!("failed to start the container: {error}"),
                other => format!("failed to start the container: {other:?}"),
            };
            Err(Failure::NotStarted(format!("{reason}; failed to remove it again, container {id} is left behind: {error}")))
        }
    }
}

/// What `work` answers, if it does before `deadline`; none is never.
async fn before<T>(deadline: Option<tokio::time::Instant>, limit: Duration, work: impl Future<Output = T>) -> Result<T, OperationError> {
    match deadline {
        None => Ok(work.await),
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.map_err(|_elapsed| OperationError::Deadline { limit }),
    }
}

fn record(created: Created) -> containers_create::Created {
    containers_create::Created { id: created.id.as_str().to_owned(), warnings: created.warnings }
}
