//! Recreating containers. How it is done, and taken back, is below the room: `backend/recreate`.
//!
//! Two things are held against the grant here, the container and the image. A third, the containers that depend on it and have to be recreated too, is known only when the engine was asked about all of its containers.

use std::time::Duration;

use super::super::error::Failure;
use super::super::grant::{AllowedRecreation, Power};
use super::super::{DockerCtxView, DockerRoom};
use super::images::by_name;
use crate::backend::recreate::{RecreateError, RecreateOptions};
use crate::backend::reference::{ImageReference, image_id};
use crate::bindings::wharf::docker::containers_recreate;
use crate::bindings::wharf::docker::types::Error;

const SETTLE: Duration = Duration::from_secs(10);
const LONGEST_SETTLE: Duration = Duration::from_secs(600);
const LONGEST_HEALTHY: Duration = Duration::from_secs(3600);

impl containers_recreate::Host for DockerCtxView<'_> {
    async fn begin(&mut self, container: String, options: containers_recreate::RecreateOptions) -> Result<String, Error> {
        const FUNCTION: &str = "docker.containers-recreate.begin";
        let begun = async {
            self.enter(FUNCTION, Power::ContainersRecreate)?;
            let checked = checked(&options)?;
            let (allowed, object) = self.room.recreation(&container, options.image.as_deref(), checked).await?;
            let reserved = self.room.operations.reserve()?;
            self.call.permitted(FUNCTION, &object);
            let begun = self.room.backend.recreate(allowed, reserved, self.call.operation_deadline).await;
            Ok(begun.map_err(|error| self.room.refused(error))?.id.clone())
        };
        let begun: Result<_, Failure> = begun.await;
        begun.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn preview(&mut self, container: String, image: Option<String>) -> Result<String, Error> {
        const FUNCTION: &str = "docker.containers-recreate.preview";
        let seen = async {
            self.enter(FUNCTION, Power::ContainersRecreate)?;
            let options = RecreateOptions { pull: false, settle: SETTLE, healthy: None, again: true };
            let (allowed, _) = self.room.recreation(&container, image.as_deref(), options).await?;
            self.room.backend.preview(allowed).await.map_err(|error| self.room.refused(error))
        };
        let seen: Result<_, Failure> = seen.await;
        seen.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl DockerRoom {
    /// The recreation of `name` on `image`, or on what it was created with, if the grant covers both; and what it is, for the audit log.
    async fn recreation(&self, name: &str, image: Option<&str>, options: RecreateOptions) -> Result<(AllowedRecreation, String), Failure> {
        let named = image.map(by_name).transpose()?;
        let found = self.find("recreate", name).await?;
        let covered = found.granted(|identity| self.grant.covered(identity).map(|()| identity.image.clone()))?;
        let image = named.map_or_else(|| created_with(&covered), Ok)?;
        let allowed = found.with_identity(|identity| self.grant.recreation(identity, &image, options))?;
        let object = format!("{} on image {}", found.object(), allowed.image());
        Ok((allowed, object))
    }

    fn refused(&self, error: RecreateError) -> Failure {
        match error {
            RecreateError::Refused(reason) => Failure::Refused(reason),
            RecreateError::NotCovered { dependent } => Failure::Denied(self.grant.outside_dependent(&dependent)),
            RecreateError::Engine(error) => Failure::Engine(error),
            RecreateError::Host(error) => Failure::Operation(error),
        }
    }
}

/// The options, if they are within their bounds.
fn checked(options: &containers_recreate::RecreateOptions) -> Result<RecreateOptions, Failure> {
    let limit = |what: &str, ms: Option<u32>, most: Duration| match ms.map(|ms| Duration::from_millis(ms.into())) {
        Some(asked) if asked > most => Err(Failure::Invalid(format!("`{what}` is {} ms, at most {}", asked.as_millis(), most.as_millis()))),
        asked => Ok(asked),
    };
    Ok(RecreateOptions {
        pull: options.pull,
        settle: limit("settle-ms", options.settle_ms, LONGEST_SETTLE)?.unwrap_or(SETTLE),
        healthy: limit("healthy-ms", options.healthy_ms, LONGEST_HEALTHY)?,
        again: options.again,
    })
}

/// The reference that a container was created with.
fn created_with(image: &str) -> Result<ImageReference, Failure> {
    let nameless =
        || Failure::Refused(format!("the container was created from `{image}`, which is no name: say on which image to recreate it"));
    if image.is_empty() || image_id(image).is_some() {
        return Err(nameless());
    }
    ImageReference::parse(image).map_err(|_| nameless())
}
