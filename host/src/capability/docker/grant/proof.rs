//! What a check of the grant answers: values that only the grant can make.
//!
//! The backend takes them and nothing else, so that nothing reaches an engine unchecked. The fields are visible to the grant alone.

use std::fmt;

use super::super::convert::{ContainerDetails, ContainerIdentity};
use super::super::policy::{BuildMark, CreationMark};
use super::super::reference::{ContainerName, ImageId, ImageName, ImageReference};
use crate::backend::engine::{ContainerId, Created};
use crate::backend::recreate::Request;

/// A container that the plugin may read, and the only way to what the engine says of it.
#[derive(Debug)]
pub(crate) struct ReadableContainer(pub(super) ContainerDetails);

/// A container whose log the plugin may read.
#[derive(Debug, Clone)]
pub(crate) struct LoggedContainer {
    pub(super) id: ContainerId,
    pub(super) tty: bool,
}

/// A container that the plugin may start and stop.
#[derive(Debug, Clone)]
pub(crate) struct ControllableContainer {
    pub(super) id: ContainerId,
    pub(super) stop_timeout_secs: Option<i64>,
}

/// A container that the plugin may remove.
#[derive(Debug, Clone)]
pub(crate) struct RemovableContainer(pub(super) ContainerId);

/// An image of which the plugin may know, or make containers.
#[derive(Debug, Clone)]
pub(crate) struct AllowedImage(pub(super) ImageInUse);

/// What an image is called from the check on.
#[derive(Debug, Clone)]
pub(super) enum ImageInUse {
    /// The grant covers the reference, whichever image has it.
    Reference(ImageReference),
    /// The grant covers this image. The engine said so of a prefix, which could be another's before long.
    Id(ImageId),
}

/// An image that the plugin may pull.
#[derive(Debug, Clone)]
pub(crate) struct PullableImage(pub(super) ImageReference);

/// A container that the plugin may recreate, and on what.
#[derive(Clone)]
pub(crate) struct AllowedRecreation(pub(super) Request);

/// A name that the plugin may give to what it builds. It has a tag and no digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuildableName(pub(super) ImageReference);

/// A name of an image that the plugin may take away. It has a tag or a digest, and not both.
#[derive(Debug, Clone)]
pub(crate) struct RemovableImage(pub(super) ImageReference);

/// An image about which the plugin may let the engine ask its registry.
#[derive(Debug, Clone)]
pub(crate) struct RemoteImage(pub(super) ImageReference);

impl ReadableContainer {
    /// What the engine says of it.
    pub(in crate::capability::docker) fn into_details(self) -> ContainerDetails {
        self.0
    }
}

impl LoggedContainer {
    pub(in crate::capability::docker) fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Whether the container has a terminal, so that its log has no frames.
    pub(in crate::capability::docker) fn tty(&self) -> bool {
        self.tty
    }
}

impl ControllableContainer {
    /// The container that `created` tells of: whoever may create one may start it.
    pub(in crate::capability::docker) fn new_one(created: &Created) -> ControllableContainer {
        ControllableContainer { id: created.id.clone(), stop_timeout_secs: None }
    }

    pub(in crate::capability::docker) fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The container by its id, to look it up once more.
    pub(in crate::capability::docker) fn name(&self) -> ContainerName {
        ContainerName::of(&self.id)
    }

    /// The container's own `StopTimeout`, in seconds; negative waits for ever.
    pub(in crate::capability::docker) fn stop_timeout_secs(&self) -> Option<i64> {
        self.stop_timeout_secs
    }
}

impl RemovableContainer {
    /// The container that `created` tells of: whoever may create one may undo it.
    pub(in crate::capability::docker) fn new_one(created: &Created) -> RemovableContainer {
        RemovableContainer(created.id.clone())
    }

    /// `container`, if it was made by the create that has `mark`.
    pub(in crate::capability::docker) fn made_by(mark: &CreationMark, container: &ContainerIdentity) -> Option<RemovableContainer> {
        mark.is_on(&container.labels).then(|| RemovableContainer(container.id.clone()))
    }

    /// `container`, if a build that has `mark` runs in it, or ran.
    pub(in crate::capability::docker) fn of_build(
        mark: &BuildMark,
        id: &ContainerId,
        labels: &[(String, String)],
    ) -> Option<RemovableContainer> {
        mark.is_on(labels).then(|| RemovableContainer(id.clone()))
    }

    pub(in crate::capability::docker) fn id(&self) -> &ContainerId {
        &self.0
    }
}

impl AllowedRecreation {
    /// What was checked.
    pub(in crate::capability::docker) fn into_request(self) -> Request {
        self.0
    }

    /// The image's full reference.
    pub(in crate::capability::docker) fn image(&self) -> &ImageReference {
        &self.0.image
    }
}

impl AllowedImage {
    /// What the engine is asked for, to look it up.
    pub(in crate::capability::docker) fn name(&self) -> ImageName {
        match &self.0 {
            ImageInUse::Reference(reference) => ImageName::Reference(reference.clone()),
            ImageInUse::Id(id) => ImageName::Id(id.as_str().to_owned()),
        }
    }

    /// What the engine is told.
    pub(in crate::capability::docker) fn for_engine(&self) -> String {
        match &self.0 {
            ImageInUse::Reference(reference) => reference.familiar(),
            ImageInUse::Id(id) => id.as_str().to_owned(),
        }
    }
}

impl BuildableName {
    /// In full form.
    pub(in crate::capability::docker) fn reference(&self) -> &ImageReference {
        &self.0
    }
}

impl RemovableImage {
    /// What the engine is told: never anything that it takes for an id.
    pub(in crate::capability::docker) fn for_engine(&self) -> String {
        self.0.familiar()
    }
}

impl fmt::Display for RemovableImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl RemoteImage {
    /// What the engine is told.
    pub(in crate::capability::docker) fn for_engine(&self) -> String {
        self.0.familiar()
    }

    pub(in crate::capability::docker) fn registry(&self) -> &str {
        self.0.registry()
    }
}

impl PullableImage {
    /// In full form.
    pub(in crate::capability::docker) fn reference(&self) -> &ImageReference {
        &self.0
    }

    /// Registry and repository.
    pub(in crate::capability::docker) fn repository(&self) -> String {
        self.0.repository()
    }

    pub(in crate::capability::docker) fn tag_or_digest(&self) -> &str {
        self.0.tag_or_digest()
    }
}
