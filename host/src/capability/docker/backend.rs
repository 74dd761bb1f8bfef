//! What the room needs of an engine, in the room's own words.
//!
//! What changes something takes a proof of the grant. Looking up what a name stands for comes before the grant can be asked, and takes a name that was parsed. Answers that follow Docker's own
//! schema are the engine's JSON.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::grant::{
    AllowedRecreation, BuildableName, ControllableContainer, LoggedContainer, PullableImage, RemoteImage, RemovableContainer,
    RemovableImage,
};
use super::policy::{AllowedBuild, AllowedCreate, BuildMark, BuiltImage, CreationMark};
use super::reference::{ContainerName, ImageId, ImageName, ImageReference};
use crate::backend::engine::{
    BuildError, BuildObserver, CreateError, Created, Engine, EngineError, EngineVersion, LogRange, PullLine, RegistryAuth, Removal,
};
use crate::backend::operations::{Operation, Pull, Reserved};
use crate::backend::recreate::{EngineRecreations, RecreateError};
use crate::backend::registry::{Registries, RegistryError};
use crate::backend::stream::ByteStream;

/// The grace of an engine for a container that has no stop timeout of its own.
const ENGINE_GRACE_SECS: u64 = 10;
/// What an engine takes after the grace: it kills, unmounts and takes the network down.
const STOP_MARGIN: Duration = Duration::from_secs(60);

/// What hears of each step of a pull.
pub(crate) type Seen<'a> = dyn FnMut(PullLine) + Send + 'a;

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
    /// Begins to recreate a container, for at most `limit`.
    async fn recreate(&self, recreation: AllowedRecreation, reserved: Reserved, limit: Duration) -> Result<Arc<Operation>, RecreateError>;
    /// What a recreation would change: a JSON array.
    async fn preview(&self, recreation: AllowedRecreation) -> Result<String, RecreateError>;
    /// Whether the container of this name or id is being recreated.
    fn is_recreated(&self, name: &str, id: &str) -> bool;
    /// Whether a container has this name only while another one is recreated.
    fn is_aside(&self, name: &str) -> bool;
    /// What `name` stands for: a JSON object.
    async fn inspect_image(&self, name: &ImageName) -> Result<Bytes, EngineError>;
    /// All images but for the intermediate layers of builds: a JSON array.
    async fn list_images(&self) -> Result<Bytes, EngineError>;
    /// Pulls an image and waits for it; `seen` hears of each step. Dropping the future cancels the pull.
    async fn pull(&self, image: &PullableImage, auth: Option<&RegistryAuth>, seen: &mut Seen<'_>) -> Result<(), EngineError>;
    /// Builds an image without a name and answers its id. Dropping the future cancels the build.
    async fn build(&self, build: AllowedBuild, observer: Arc<dyn BuildObserver>) -> Result<String, BuildError>;
    /// The images with the mark of a build, the intermediate ones included: a JSON array.
    async fn images_of_build(&self, mark: &BuildMark) -> Result<Bytes, EngineError>;
    /// Gives a name to an image, which another may have had before.
    async fn name_image(&self, image: &ImageId, name: &BuildableName) -> Result<(), EngineError>;
    /// Takes a name away, and with the last one the image, but nothing on which that stands.
    async fn unname_image(&self, name: &BuildableName) -> Result<(), EngineError>;
    /// Removes an image that a build has made, but nothing on which it stands.
    async fn remove_built(&self, image: &BuiltImage) -> Result<(), EngineError>;
    /// Removes a name, and with the last one the image: a JSON array of what is gone.
    async fn remove_image(&self, image: &RemovableImage) -> Result<Bytes, EngineError>;
    /// Removes the images without a name that no container uses: a JSON object of what is gone.
    async fn prune_images(&self) -> Result<Bytes, EngineError>;
    /// What the engine finds when it asks the image's registry: a JSON object.
    async fn distribution(&self, image: &RemoteImage, auth: Option<&RegistryAuth>) -> Result<Bytes, EngineError>;
    /// In whose name the engine asks `registry`; none if the site has no credential for it.
    async fn registry_auth(&self, registry: &str) -> Result<Option<RegistryAuth>, RegistryError>;
    /// All networks: a JSON array.
    async fn list_networks(&self) -> Result<Bytes, EngineError>;
    /// All volumes: a JSON object with the array `Volumes`.
    async fn list_volumes(&self) -> Result<Bytes, EngineError>;
    /// What engine this is.
    async fn version(&self) -> Result<EngineVersion, EngineError>;
}

/// An engine, and in whose name it asks registries.
pub(super) struct SiteEngine {
    pub(super) engine: Engine,
    pub(super) registries: Registries,
    pub(super) recreations: Arc<EngineRecreations>,
}

#[async_trait]
impl Backend for SiteEngine {
    async fn list_containers(&self, all: bool, labels: &[String]) -> Result<Bytes, EngineError> {
        self.engine.list_containers(all, labels).await
    }

    async fn inspect_container(&self, name: &ContainerName) -> Result<Bytes, EngineError> {
        self.engine.inspect_container(name.as_str()).await
    }

    async fn log(&self, container: &LoggedContainer, range: &LogRange) -> Result<ByteStream, EngineError> {
        self.engine.log(container.id(), container.tty(), range).await
    }

    async fn start(&self, container: &ControllableContainer) -> Result<(), EngineError> {
        self.engine.start(container.id()).await
    }

    async fn stop(&self, container: &ControllableContainer, grace_secs: Option<u32>) -> Result<(), EngineError> {
        self.engine.stop(container.id(), grace_secs, stop_limit(grace_secs, container.stop_timeout_secs())).await
    }

    async fn create(&self, container: &AllowedCreate, mark: &CreationMark) -> Result<Created, CreateError> {
        self.engine.create_container(container.name(), container.body(mark), container.requirement()).await
    }

    async fn remove(&self, container: &RemovableContainer, removal: Removal) -> Result<(), EngineError> {
        self.engine.remove(container.id(), removal).await
    }

    async fn recreate(&self, recreation: AllowedRecreation, reserved: Reserved, limit: Duration) -> Result<Arc<Operation>, RecreateError> {
        let request = recreation.into_request();
        let pull = request.options.pull.then(|| self.pull_of(&request.image));
        self.recreations.begin(request, pull, reserved, limit).await
    }

    async fn preview(&self, recreation: AllowedRecreation) -> Result<String, RecreateError> {
        self.recreations.preview(&recreation.into_request()).await
    }

    fn is_recreated(&self, name: &str, id: &str) -> bool {
        self.recreations.holds(name, id)
    }

    fn is_aside(&self, name: &str) -> bool {
        self.recreations.is_aside(name)
    }

    async fn inspect_image(&self, name: &ImageName) -> Result<Bytes, EngineError> {
        self.engine.inspect_image(&name.for_engine()).await
    }

    async fn list_images(&self) -> Result<Bytes, EngineError> {
        self.engine.list_images().await
    }

    async fn pull(&self, image: &PullableImage, auth: Option<&RegistryAuth>, seen: &mut Seen<'_>) -> Result<(), EngineError> {
        self.engine.pull(&image.repository(), image.tag_or_digest(), auth, seen).await
    }

    async fn build(&self, build: AllowedBuild, observer: Arc<dyn BuildObserver>) -> Result<String, BuildError> {
        self.engine.build(&build.request, build.files, observer).await
    }

    async fn images_of_build(&self, mark: &BuildMark) -> Result<Bytes, EngineError> {
        self.engine.list_images_with(&mark.label()).await
    }

    async fn name_image(&self, image: &ImageId, name: &BuildableName) -> Result<(), EngineError> {
        self.engine.tag_image(image.as_str(), &name.reference().repository(), name.reference().tag_or_digest()).await
    }

    async fn unname_image(&self, name: &BuildableName) -> Result<(), EngineError> {
        self.engine.remove_image_alone(&name.reference().familiar()).await
    }

    async fn remove_built(&self, image: &BuiltImage) -> Result<(), EngineError> {
        self.engine.remove_image_alone(image.id().as_str()).await
    }

    async fn remove_image(&self, image: &RemovableImage) -> Result<Bytes, EngineError> {
        self.engine.remove_image(&image.for_engine()).await
    }

    async fn prune_images(&self) -> Result<Bytes, EngineError> {
        self.engine.prune_images().await
    }

    async fn distribution(&self, image: &RemoteImage, auth: Option<&RegistryAuth>) -> Result<Bytes, EngineError> {
        self.engine.distribution(&image.for_engine(), auth).await
    }

    async fn registry_auth(&self, registry: &str) -> Result<Option<RegistryAuth>, RegistryError> {
        Ok(self.registries.engine_auth(registry).await?.map(RegistryAuth::new))
    }

    async fn list_networks(&self) -> Result<Bytes, EngineError> {
        self.engine.list_networks().await
    }

    async fn list_volumes(&self) -> Result<Bytes, EngineError> {
        self.engine.list_volumes().await
    }

    async fn version(&self) -> Result<EngineVersion, EngineError> {
        self.engine.version().await
    }
}

impl SiteEngine {
    /// Pulls `image` in the host's name for its registry.
    fn pull_of(&self, image: &ImageReference) -> Pull {
        let (registries, registry) = (self.registries.clone(), image.registry().to_owned());
        let (engine, reference) = (self.engine.clone(), image.clone());
        Pull {
            engine: self.engine.address().clone(),
            image: image.clone(),
            auth: Box::pin(async move { Ok(registries.engine_auth(&registry).await?.map(RegistryAuth::new)) }),
            work: Box::new(move |auth, progress| {
                Box::pin(async move {
                    let (repository, tag) = (reference.repository(), reference.tag_or_digest());
                    engine.pull(&repository, tag, auth.as_ref(), &mut |line| progress.take(line)).await
                })
            }),
        }
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

    async fn recreate(&self, _: AllowedRecreation, _: Reserved, _: Duration) -> Result<Arc<Operation>, RecreateError> {
        Ok(none()?)
    }

    async fn preview(&self, _: AllowedRecreation) -> Result<String, RecreateError> {
        Ok(none()?)
    }

    fn is_recreated(&self, _: &str, _: &str) -> bool {
        false
    }

    fn is_aside(&self, _: &str) -> bool {
        false
    }

    async fn inspect_image(&self, _: &ImageName) -> Result<Bytes, EngineError> {
        none()
    }

    async fn list_images(&self) -> Result<Bytes, EngineError> {
        none()
    }

    async fn pull(&self, _: &PullableImage, _: Option<&RegistryAuth>, _: &mut Seen<'_>) -> Result<(), EngineError> {
        none()
    }

    async fn build(&self, _: AllowedBuild, _: Arc<dyn BuildObserver>) -> Result<String, BuildError> {
        Ok(none()?)
    }

    async fn images_of_build(&self, _: &BuildMark) -> Result<Bytes, EngineError> {
        none()
    }

    async fn name_image(&self, _: &ImageId, _: &BuildableName) -> Result<(), EngineError> {
        none()
    }

    async fn unname_image(&self, _: &BuildableName) -> Result<(), EngineError> {
        none()
    }

    async fn remove_built(&self, _: &BuiltImage) -> Result<(), EngineError> {
        none()
    }

    async fn remove_image(&self, _: &RemovableImage) -> Result<Bytes, EngineError> {
        none()
    }

    async fn prune_images(&self) -> Result<Bytes, EngineError> {
        none()
    }

    async fn distribution(&self, _: &RemoteImage, _: Option<&RegistryAuth>) -> Result<Bytes, EngineError> {
        none()
    }

    async fn registry_auth(&self, _: &str) -> Result<Option<RegistryAuth>, RegistryError> {
        Ok(None)
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
