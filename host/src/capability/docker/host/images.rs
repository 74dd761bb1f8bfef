//! Images: reading and pulling them.

use futures_util::stream::{self, StreamExt};

use super::super::convert;
use super::super::error::Failure;
use super::super::grant::{Absent, AllowedImage, Power};
use super::super::reference::ImageName;
use super::super::{CONCURRENT_QUESTIONS, DockerCtxView, DockerRoom};
use crate::backend::engine::EngineError;
use crate::bindings::wharf::docker::types::Error;
use crate::bindings::wharf::docker::{images_pull, images_read};

impl images_read::Host for DockerCtxView<'_> {
    async fn list(&mut self) -> Result<Vec<images_read::ImageSummary>, Error> {
        Err(Error::Internal("to be written".to_owned()))
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

impl images_pull::Host for DockerCtxView<'_> {
    async fn begin(&mut self, _: String) -> Result<String, Error> {
        Err(Error::Internal("to be written".to_owned()))
    }

    async fn pull(&mut self, reference: String) -> Result<(), Error> {
        const FUNCTION: &str = "docker.images-pull.pull";
        let pulled = async {
            self.enter(FUNCTION, Power::ImagesPull)?;
            let reference = match ImageName::parse(&reference).map_err(Failure::Invalid)? {
                ImageName::Reference(reference) => reference,
                ImageName::Id(id) => return Err(Failure::Invalid(format!("`{id}` is an id, and registries know none"))),
            };
            let image = self.room.grant.pullable(&reference)?;
            self.call.permitted(FUNCTION, &format!("image {reference}"));
            self.carry_through(|backend| async move { backend.pull(&image).await }).await
        };
        pulled.await.map_err(|failure| failure.answer(self.call, FUNCTION))
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
