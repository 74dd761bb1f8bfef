//! Images: reading and pulling them.

use futures_util::stream::{self, StreamExt};

use super::super::convert;
use super::super::error::Failure;
use super::super::grant::{Absent, Power};
use super::super::reference::ImageName;
use super::super::{CONCURRENT_QUESTIONS, DockerCtxView, DockerRoom};
use crate::bindings::wharf::docker::types::Error;
use crate::bindings::wharf::docker::{images_pull, images_read};

impl images_read::Host for DockerCtxView<'_> {
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
        let name = ImageName::parse(text).map_err(Failure::Invalid)?;
        if !self.grant.needs_identity_of(&name) {
            self.grant.image("read", &name, None)?;
            return Ok(convert::image(&self.backend.inspect_image(&name).await?)?);
        }
        let image = convert::image(&self.backend.inspect_image(&name).await?)?;
        // An id outside the grant looks like one that does not exist.
        let granted = self.grant.image("read", &name, Some(&convert::image_identity(&image)));
        granted.map_err(|denied| Failure::Hidden(denied, Absent::NotFound))?;
        Ok(image)
    }
}
