//! What the room needs of an engine, in the room's own words.
//!
//! What changes something takes a proof of the grant. Looking up what a name stands for comes before the grant can be asked, and takes a name that was parsed. Answers that follow Docker's own
//! schema are the engine's JSON.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::grant::{ControllableContainer, LoggedContainer, PullableImage, RemovableContainer};
use super::policy::{AllowedCreate, CreationMark};
use super::reference::{ContainerName, ImageName};
use crate::backend::engine::{CreateError, Created, Engine, EngineError, EngineVersion, LogRange, Removal};
use crate::backend::stream::ByteStream;

/// The grace of an engine for a container that has no stop timeout of its own.
const ENGINE_GRACE_SECS: u64 = 10;
/// What an engine takes after the grace: it kills, unmounts and takes the network down.
const STOP_MARGIN: Duration = Duration::from_secs(60);

/// An engine, as the room uses it.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// All containers or those that run, with all of `labels`, the newest first: a JSON array.
    async fn list_containers(&self, all: bool, labels: &[String]) -> Result<Bytes, EngineError>;
    /// What `name` stands for: a JSON object.
    async fn inspect_container(&self, name: &ContainerName) -> Result<Bytes, EngineError>;
    /// Opens a log, without frames.
    async fn log(&self, container: &LoggedContainer, range: &LogRange) -> Result<ByteStream, EngineError>;
    /// Starts a container; one that runs already is no error.
    async fn start(&self, container: &ControllableContainer) -> Result<(), EngineError>;
    /// Stops a container and waits for it; one that is stopped already is no error. No grace is the container's own.
    async fn stop(&self, container: &ControllableContainer, grace_secs: Option<u32>) -> Result<(), EngineError>;
    /// Creates a container that carries `mark`.
    async fn create(&self, container: &AllowedCreate, mark: &CreationMark) -> Result<Created, CreateError>;
    /// Removes a container.
    async fn remove(&self, container: &RemovableContainer, removal: Removal) -> Result<(), EngineError>;
    /// What `name` stands for: a JSON object.
    async fn inspect_image(&self, name: &ImageName) -> Result<Bytes, EngineError>;
    /// Pulls an image and waits for it.
    async fn pull(&self, image: &PullableImage) -> Result<(), EngineError>;
    /// All networks: a JSON array.
    async fn list_networks(&self) -> Result<Bytes, EngineError>;
    /// All volumes: a JSON object with the array `Volumes`.
    async fn list_volumes(&self) -> Result<Bytes, EngineError>;
    /// What engine this is.
    async fn version(&self) -> Result<EngineVersion, EngineError>;
}

#[async_trait]
impl Backend for Engine {
    async fn list_containers(&self, all: bool, labels: &[String]) -> Result<Bytes, EngineError> {
        Engine::list_containers(self, all, labels).await
    }

    async fn inspect_container(&self, name: &ContainerName) -> Result<Bytes, EngineError> {
        Engine::inspect_container(self, name.as_str()).await
    }

    async fn log(&self, container: &LoggedContainer, range: &LogRange) -> Result<ByteStream, EngineError> {
        Engine::log(self, container.id(), container.tty(), range).await
    }

    async fn start(&self, container: &ControllableContainer) -> Result<(), EngineError> {
        Engine::start(self, container.id()).await
    }

    async fn stop(&self, container: &ControllableContainer, grace_secs: Option<u32>) -> Result<(), EngineError> {
        Engine::stop(self, container.id(), grace_secs, stop_limit(grace_secs, container.stop_timeout_secs())).await
    }

    async fn create(&self, container: &AllowedCreate, mark: &CreationMark) -> Result<Created, CreateError> {
        Engine::create_container(self, container.name(), container.body(mark), container.requirement()).await
    }

    async fn remove(&self, container: &RemovableContainer, removal: Removal) -> Result<(), EngineError> {
        Engine::remove(self, container.id(), removal).await
    }

    async fn inspect_image(&self, name: &ImageName) -> Result<Bytes, EngineError> {
        Engine::inspect_image(self, &name.for_engine()).await
    }

    async fn pull(&self, image: &PullableImage) -> Result<(), EngineError> {
        Engine::pull(self, &image.repository(), image.tag_or_digest()).await
    }

    async fn list_networks(&self) -> Result<Bytes, EngineError> {
        Engine::list_networks(self).await
    }

    async fn list_volumes(&self) -> Result<Bytes, EngineError> {
        Engine::list_volumes(self).await
    }

    async fn version(&self) -> Result<EngineVersion, EngineError> {
        Engine::version(self).await
    }
}

/// How long to wait for the answer to a stop. A container that may take for ever (a negative timeout) is waited for as long as the operation may take.
fn stop_limit(grace_secs: Option<u32>, own_secs: Option<i64>) -> Duration {
    let grace = match (grace_secs, own_secs) {
        (Some(asked), _) => Some(u64::from(asked)),
        (None, Some(own)) => u64::try_from(own).ok(),
        (None, None) => Some(ENGINE_GRACE_SECS),
    };
    grace.map_or(Duration::MAX, |secs| Duration::from_secs(secs).saturating_add(STOP_MARGIN))
}

/// The backend of a room that describes itself: nothing is granted there, so nothing reaches it.
pub(super) struct NoEngine;

fn none<T>() -> Result<T, EngineError> {
    Err(EngineError::Unavailable("no engine".to_owned()))
}

#[async_trait]
impl Backend for NoEngine {
    async fn list_containers(&self, _: bool, _: &[String]) -> Result<Bytes, EngineError> {
        none()
    }

    async fn inspect_container(&self, _: &ContainerName) -> Result<Bytes, EngineError> {
        none()
    }

    async fn log(&self, _: &LoggedContainer, _: &LogRange) -> Result<ByteStream, EngineError> {
        none()
    }

    async fn start(&self, _: &ControllableContainer) -> Result<(), EngineError> {
        none()
    }

    async fn stop(&self, _: &ControllableContainer, _: Option<u32>) -> Result<(), EngineError> {
        none()
    }

    async fn create(&self, _: &AllowedCreate, _: &CreationMark) -> Result<Created, CreateError> {
        none().map_err(CreateError::Refused)
    }

    async fn remove(&self, _: &RemovableContainer, _: Removal) -> Result<(), EngineError> {
        none()
    }

    async fn inspect_image(&self, _: &ImageName) -> Result<Bytes, EngineError> {
        none()
    }

    async fn pull(&self, _: &PullableImage) -> Result<(), EngineError> {
        none()
    }

    async fn list_networks(&self) -> Result<Bytes, EngineError> {
        none()
    }

    async fn list_volumes(&self) -> Result<Bytes, EngineError> {
        none()
    }

    async fn version(&self) -> Result<EngineVersion, EngineError> {
        none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_waited_for_longer_than_its_grace() {
        assert_eq!(stop_limit(Some(600), Some(5)), Duration::from_secs(660));
        assert_eq!(stop_limit(None, Some(120)), Duration::from_secs(180));
        assert_eq!(stop_limit(None, None), Duration::from_secs(70));
        assert_eq!(stop_limit(None, Some(-1)), Duration::MAX);
    }
}
