//! New containers.

use std::sync::Arc;
use std::time::Duration;

use super::super::DockerCtxView;
use super::super::backend::Backend;
use super::super::error::Failure;
use super::super::grant::{ControllableContainer, Power, RemovableContainer};
use super::super::policy::{AllowedCreate, CreateRequest, CreationMark};
use super::undo::{Undo, begun};
use crate::backend::engine::{CreateError, Created, EngineError, Removal};
use crate::backend::operations::{OperationError, Rest};
use crate::bindings::wharf::docker::containers_create;
use crate::bindings::wharf::docker::types::Error;

impl containers_create::Host for DockerCtxView<'_> {
    async fn create(&mut self, name: String, specification: String) -> Result<containers_create::Created, Error> {
        self.make("docker.containers-create.create", &name, &specification, create).await
    }

    async fn run(&mut self, name: String, specification: String) -> Result<containers_create::Created, Error> {
        self.make("docker.containers-create.run", &name, &specification, run).await
    }
}

/// What became of a new container, and what is still to be done about it.
type Made = (Result<Created, Failure>, Option<Rest>);

impl DockerCtxView<'_> {
    async fn make<W>(
        &mut self,
        function: &'static str,
        name: &str,
        specification: &str,
        work: impl FnOnce(NewContainer) -> W,
    ) -> Result<containers_create::Created, Error>
    where
        W: Future<Output = Made> + Send + 'static,
    {
        let made = async {
            let container = self.allowed(function, name, specification).await?;
            let _paused = self.call.clock.pause();
            let work = work(NewContainer::new(Arc::clone(&self.room.backend), container, self.call.operation_deadline));
            self.room.operations.carry_through_with_rest(work).await?
        };
        made.await.map(record).map_err(|failure: Failure| failure.answer(self.call, function))
    }

    /// The steps before the act, which `create` and `run` share.
    async fn allowed(&mut self, function: &'static str, name: &str, specification: &str) -> Result<AllowedCreate, Failure> {
        self.enter(function, Power::ContainersCreate)?;
        let request = CreateRequest::parse(name, specification).map_err(Failure::Invalid)?;
        let image = self.room.usable_image("create a container of", request.image()).await?;
        let container = self.room.grant.creation(&request, &image)?;
        // While a container is recreated its name is free for a moment.
        if self.room.backend.is_recreated(container.name(), "") {
            return Err(Failure::NameTaken(container.name().to_owned()));
        }
        self.call.permitted(function, &format!("container {} of image {}", container.name(), image.for_engine()));
        Ok(container)
    }
}

/// A container that is being made.
struct NewContainer {
    backend: Arc<dyn Backend>,
    container: AllowedCreate,
    mark: CreationMark,
    /// How long making it may take, and when that is over; none is never.
    limit: Duration,
    deadline: Option<tokio::time::Instant>,
}

async fn create(new: NewContainer) -> Made {
    match new.create().await {
        Ok(created) => (Ok(created), None),
        Err(failed) => failed,
    }
}

async fn run(new: NewContainer) -> Made {
    let created = match new.create().await {
        Ok(created) => created,
        Err(failed) => return failed,
    };
    let failure = match new.within_limit(new.backend.start(&ControllableContainer::new_one(&created))).await {
        Ok(Ok(())) => return (Ok(created), None),
        // These say more to a caller than that a start failed: the same call may succeed later, or be a question of time.
        Ok(Err(error @ (EngineError::Unavailable(_) | EngineError::Lost(_) | EngineError::Timeout(_)))) => Failure::Engine(error),
        Ok(Err(error)) => Failure::NotStarted { error, left_behind: None },
        Err(elapsed) => Failure::Operation(elapsed),
    };
    // Anonymous volumes were made for it and go with it. By force, since a start that took too long may still succeed.
    let removal = Removal { force: true, volumes: true };
    match new.backend.remove(&RemovableContainer::new_one(&created), removal).await {
        Ok(()) | Err(EngineError::NotFound(_)) => (Err(failure), None),
        Err(error) => {
            let id = created.id.as_str().to_owned();
            tracing::error!(container = new.container.name(), id, %error, "failed to remove a container that did not start; trying again");
            let failure = match failure {
                Failure::NotStarted { error, .. } => Failure::NotStarted { error, left_behind: Some(id) },
                other => other,
            };
            (Err(failure), Some(Box::pin(new.undo(true).carry_out())))
        }
    }
}

impl NewContainer {
    fn new(backend: Arc<dyn Backend>, container: AllowedCreate, limit: Duration) -> NewContainer {
        let deadline = tokio::time::Instant::now().checked_add(limit);
        NewContainer { backend, container, mark: CreationMark::new(), limit, deadline }
    }

    /// Creates it. When it is not known whether the engine did, it is removed, or is going to be.
    async fn create(&self) -> Result<Created, Made> {
        let failure = match self.within_limit(self.backend.create(&self.container, &self.mark)).await {
            Ok(Ok(created)) => return Ok(created),
            // The engine's own words name the container that has the name, which the grant may not cover.
            Ok(Err(CreateError::Refused(EngineError::Conflict(reason)))) => {
                tracing::debug!(container = self.container.name(), reason, "the name of a new container is taken");
                return Err((Err(Failure::NameTaken(self.container.name().to_owned())), None));
            }
            Ok(Err(CreateError::Refused(error))) => return Err((Err(error.into()), None)),
            Ok(Err(CreateError::Unknown(error))) => Failure::Engine(error),
            Err(elapsed) => Failure::Operation(elapsed),
        };
        tracing::warn!(container = self.container.name(), ?failure, "the answer to a create was lost");
        Err((Err(failure), begun(self.undo(false).carry_out()).await))
    }

    /// How to remove it again; `seen` if it is known to have been made.
    fn undo(&self, seen: bool) -> Undo {
        Undo { backend: Arc::clone(&self.backend), name: self.container.container_name(), mark: self.mark.clone(), seen }
    }

    /// What `work` answers, if it does before the deadline.
    async fn within_limit<T>(&self, work: impl Future<Output = T>) -> Result<T, OperationError> {
        match self.deadline {
            None => Ok(work.await),
            Some(deadline) => {
                tokio::time::timeout_at(deadline, work).await.map_err(|_elapsed| OperationError::Deadline { limit: self.limit })
            }
        }
    }
}

fn record(created: Created) -> containers_create::Created {
    containers_create::Created { id: created.id.as_str().to_owned(), warnings: created.warnings }
}
