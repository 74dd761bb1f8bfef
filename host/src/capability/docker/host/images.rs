//! Images: reading and removing them, and asking registries about them through the engine.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::super::convert;
use super::super::error::Failure;
use super::super::grant::{Absent, AllowedImage, Power, RemovableImage};
use super::super::reference::{ImageName, ImageReference};
use super::super::{CONCURRENT_QUESTIONS, DockerCtxView, DockerRoom};
use crate::backend::engine::EngineError;
use crate::backend::operations::OperationError;
use crate::bindings::wharf::docker::types::Error;
use crate::bindings::wharf::docker::{distribution_read, images_prune, images_read, images_remove};

impl images_read::Host for DockerCtxView<'_> {
    async fn list(&mut self) -> Result<Vec<images_read::ImageSummary>, Error> {
        const FUNCTION: &str = "docker.images-read.list";
        let listed = async {
            self.enter(FUNCTION, Power::ImagesRead)?;
            let mut summaries = convert::image_summaries(&self.room.backend.list_images().await?)?;
            summaries.retain(|image| self.room.grant.lists_image(image.repo_tags.iter().chain(&image.repo_digests)));
            Ok(summaries)
        };
        let listed: Result<_, Failure> = listed.await;
        listed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn inspect(&mut self, references: Vec<String>) -> Vec<Result<images_read::Image, Error>> {
        const FUNCTION: &str = "docker.images-read.inspect";
        if let Err(failure) = self.enter_many(FUNCTION, Power::ImagesRead, references.len()) {
            let error = failure.answer(self.call, FUNCTION);
            return references.iter().map(|_| Err(error.clone())).collect();
        }
        let room = self.room;
        let questions = references.into_iter().map(|reference| async move { room.inspect_image(&reference).await });
        let answers: Vec<Result<images_read::Image, Failure>> = stream::iter(questions).buffered(CONCURRENT_QUESTIONS).collect().await;
        answers.into_iter().map(|answer| answer.map_err(|failure| failure.answer(self.call, FUNCTION))).collect()
    }
}

impl images_remove::Host for DockerCtxView<'_> {
    async fn remove(&mut self, references: Vec<String>) -> Vec<Result<images_remove::Removal, Error>> {
        const FUNCTION: &str = "docker.images-remove.remove";
        if let Err(failure) = self.enter_many(FUNCTION, Power::ImagesRemove, references.len()) {
            let error = failure.answer(self.call, FUNCTION);
            return references.iter().map(|_| Err(error.clone())).collect();
        }
        let checked: Vec<Result<RemovableImage, Failure>> = references.iter().map(|text| self.room.removable_image(text)).collect();
        let images: Vec<RemovableImage> = checked.iter().flatten().cloned().collect();
        for image in &images {
            self.call.permitted(FUNCTION, &format!("image {image}"));
        }
        let mut removed = self.remove_all(images).await.into_iter();
        let outcomes = checked.into_iter().map(|image| {
            // As many outcomes as images, and in their order.
            image.and_then(|_| removed.next().unwrap_or(Err(Failure::Operation(OperationError::Panicked))))
        });
        let outcomes: Vec<Result<images_remove::Removal, Failure>> = outcomes.collect();
        outcomes.into_iter().map(|outcome| outcome.map_err(|failure| failure.answer(self.call, FUNCTION))).collect()
    }
}

impl images_prune::Host for DockerCtxView<'_> {
    async fn prune(&mut self) -> Result<images_prune::Pruned, Error> {
        const FUNCTION: &str = "docker.images-prune.prune";
        let pruned = async {
            self.enter(FUNCTION, Power::ImagesPrune)?;
            self.call.permitted(FUNCTION, "images without a name");
            let body = self.carry_through(|backend| async move { backend.prune_images().await }).await?;
            Ok(convert::pruned(&body)?)
        };
        let pruned: Result<_, Failure> = pruned.await;
        pruned.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl distribution_read::Host for DockerCtxView<'_> {
    async fn inspect(&mut self, references: Vec<String>) -> Vec<Result<distribution_read::Distribution, Error>> {
        const FUNCTION: &str = "docker.distribution-read.inspect";
        if let Err(failure) = self.enter_many(FUNCTION, Power::DistributionRead, references.len()) {
            let error = failure.answer(self.call, FUNCTION);
            return references.iter().map(|_| Err(error.clone())).collect();
        }
        let room = self.room;
        let questions = references.into_iter().map(|reference| async move { room.distribution(&reference).await });
        let answers: Vec<Result<_, Failure>> = stream::iter(questions).buffered(CONCURRENT_QUESTIONS).collect().await;
        answers.into_iter().map(|answer| answer.map_err(|failure| failure.answer(self.call, FUNCTION))).collect()
    }
}

/// The reference that `text` is. An id is none: registries know no ids, and what is removed by its id loses names that nobody asked about.
pub(super) fn by_name(text: &str) -> Result<ImageReference, Failure> {
    match ImageName::parse(text).map_err(Failure::Invalid)? {
        ImageName::Reference(reference) => Ok(reference),
        ImageName::Id(id) => Err(Failure::Invalid(format!("`{id}` is an id, and a name is needed"))),
    }
}

impl DockerCtxView<'_> {
    /// Removes `images` one after the other, even when the request is gone. One outcome for each, in their order.
    async fn remove_all(&mut self, images: Vec<RemovableImage>) -> Vec<Result<images_remove::Removal, Failure>> {
        if images.is_empty() {
            return Vec::new();
        }
        let _paused = self.call.clock.pause();
        let (backend, limit, count) = (Arc::clone(&self.room.backend), self.call.operation_deadline, images.len());
        let work = async move {
            let deadline = Instant::now().checked_add(limit);
            let mut outcomes = Vec::new();
            for image in images {
                let late = || Err(Failure::Operation(OperationError::Deadline { limit }));
                let removed = async { Ok(convert::removal(&backend.remove_image(&image).await?)?) };
                // What was removed before the deadline is told all the same, and after it nothing is begun.
                outcomes.push(match deadline {
                    None => removed.await,
                    Some(deadline) if deadline <= Instant::now() => late(),
                    Some(deadline) => timeout_at(deadline, removed).await.unwrap_or_else(|_elapsed| late()),
                });
            }
            (outcomes, None)
        };
        match self.room.operations.carry_through_with_rest(work).await {
            Ok(outcomes) => outcomes,
            Err(error) => (0..count).map(|_| Err(Failure::Operation(error.clone()))).collect(),
        }
    }
}

impl DockerRoom {
    async fn inspect_image(&self, text: &str) -> Result<images_read::Image, Failure> {
        match ImageName::parse(text).map_err(Failure::Invalid)? {
            ImageName::Reference(reference) => {
                self.grant.image("read", &reference)?;
                Ok(convert::image(&self.backend.inspect_image(&ImageName::Reference(reference)).await?)?)
            }
            name @ ImageName::Id(_) => Ok(self.image_by_id("read", &name).await?.1),
        }
    }

    fn removable_image(&self, text: &str) -> Result<RemovableImage, Failure> {
        Ok(self.grant.removable_image(&by_name(text)?)?)
    }

    async fn distribution(&self, text: &str) -> Result<distribution_read::Distribution, Failure> {
        let image = self.grant.remote_image(&by_name(text)?)?;
        let auth = self.backend.registry_auth(image.registry()).await?;
        Ok(convert::distribution(&self.backend.distribution(&image, auth.as_ref()).await?)?)
    }

    /// The image that a plugin may use under `name`. One that is named by an id is looked up first, and is called by its full id from then on.
    pub(super) async fn usable_image(&self, action: &'static str, name: &ImageName) -> Result<AllowedImage, Failure> {
        match name {
            ImageName::Reference(reference) => Ok(self.grant.image(action, reference)?),
            ImageName::Id(_) => Ok(self.image_by_id(action, name).await?.0),
        }
    }

    /// The image of which `name` is the id or a prefix of it. One outside of the grant looks like one that does not exist.
    async fn image_by_id(&self, action: &'static str, name: &ImageName) -> Result<(AllowedImage, images_read::Image), Failure> {
        let body = match self.backend.inspect_image(name).await {
            // Whatever the engine says of a prefix that several images have, it may say which.
            Err(EngineError::Invalid(_) | EngineError::Conflict(_)) => return Err(Failure::Absent(Absent::NotFound)),
            answer => answer?,
        };
        let image = convert::image(&body)?;
        let allowed = self.grant.image_by_id(action, &convert::image_identity(&image)?);
        Ok((allowed.map_err(|denied| Failure::Hidden(denied, Absent::NotFound))?, image))
    }
}
