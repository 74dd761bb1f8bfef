//! The functions of `wharf:registry`.
//!
//! A function is: `enter` (count, power), parse, grant, backend. Its failure becomes the plugin's word in one place, [`Failure::answer`].

use super::error::Failure;
use super::grant::{Power, ReadableImage};
use super::{MAX_REFERENCES, RegistryCtxView, RegistryRoom, convert};
use crate::backend::reference::ImageReference;
use crate::backend::registry::Platform;
use crate::bindings::wharf::registry::types::{self, Error};
use crate::bindings::wharf::registry::{digests_read, manifests_read, references, tags_read};

impl types::Host for RegistryCtxView<'_> {}

impl references::Host for RegistryCtxView<'_> {
    fn resolve(&mut self, reference: String) -> Result<references::Reference, Error> {
        ImageReference::parse(&reference).map(|reference| convert::reference(&reference)).map_err(Error::Invalid)
    }
}

impl digests_read::Host for RegistryCtxView<'_> {
    async fn heads(&mut self, references: Vec<String>) -> Vec<Result<digests_read::Head, Error>> {
        const FUNCTION: &str = "registry.digests-read.heads";
        if let Err(failure) = self.enter_many(FUNCTION, references.len()) {
            let error = failure.answer(self.call, FUNCTION);
            return references.iter().map(|_| Err(error.clone())).collect();
        }
        let readable: Vec<Result<ReadableImage, Failure>> = references.iter().map(|reference| self.room.readable(reference)).collect();
        let images: Vec<ReadableImage> = readable.iter().filter_map(|image| image.as_ref().ok().cloned()).collect();
        let mut heads = self.room.backend.heads(&images).await.into_iter();
        let none = || Err(Failure::Internal("a registry's answer is missing".to_owned()));
        let answers = readable.into_iter().map(|image| match image {
            Ok(_) => heads.next().map_or_else(none, |head| head.map(convert::head).map_err(Failure::from)),
            Err(failure) => Err(failure),
        });
        answers.map(|answer| answer.map_err(|failure| failure.answer(self.call, FUNCTION))).collect()
    }

    fn last_quota(&mut self, reference: String) -> Result<Option<digests_read::Quota>, Error> {
        const FUNCTION: &str = "registry.digests-read.last-quota";
        let said = self.image(FUNCTION, Power::Digests, &reference).map(|image| self.room.backend.quota(&image).map(convert::quota));
        said.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl manifests_read::Host for RegistryCtxView<'_> {
    async fn fetch(&mut self, reference: String) -> Result<manifests_read::Manifest, Error> {
        const FUNCTION: &str = "registry.manifests-read.fetch";
        let fetched = async {
            let image = self.image(FUNCTION, Power::Manifests, &reference)?;
            convert::manifest(self.room.backend.manifest(&image).await?)
        };
        let fetched: Result<_, Failure> = fetched.await;
        fetched.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn fetch_platform(&mut self, reference: String, platform: Option<String>) -> Result<manifests_read::Manifest, Error> {
        const FUNCTION: &str = "registry.manifests-read.fetch-platform";
        let fetched = async {
            let image = self.image(FUNCTION, Power::Manifests, &reference)?;
            let platform = platform_of(platform.as_deref())?;
            convert::manifest(self.room.backend.platform_manifest(&image, &platform).await?)
        };
        let fetched: Result<_, Failure> = fetched.await;
        fetched.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn fetch_config(&mut self, reference: String, platform: Option<String>) -> Result<manifests_read::ImageConfig, Error> {
        const FUNCTION: &str = "registry.manifests-read.fetch-config";
        let fetched = async {
            let image = self.image(FUNCTION, Power::Manifests, &reference)?;
            let platform = platform_of(platform.as_deref())?;
            convert::config(self.room.backend.config(&image, &platform).await?)
        };
        let fetched: Result<_, Failure> = fetched.await;
        fetched.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl tags_read::Host for RegistryCtxView<'_> {
    async fn list(&mut self, reference: String, limit: u32) -> Result<tags_read::TagList, Error> {
        const FUNCTION: &str = "registry.tags-read.list";
        let listed = async {
            let image = self.image(FUNCTION, Power::Tags, &reference)?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Ok(convert::tags(self.room.backend.tags(&image, limit).await?))
        };
        let listed: Result<_, Failure> = listed.await;
        listed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl RegistryCtxView<'_> {
    /// Counts a call that names so many references, and checks that its power was granted.
    fn enter_many(&mut self, function: &'static str, references: usize) -> Result<(), Failure> {
        self.call.begin(function)?;
        self.room.grant.power(Power::Digests)?;
        if references > MAX_REFERENCES {
            return Err(Failure::Invalid(format!("{references} references in one call, at most {MAX_REFERENCES}")));
        }
        Ok(())
    }

    /// Counts a call, and checks that its power was granted and that `reference` is covered.
    fn image(&mut self, function: &'static str, power: Power, reference: &str) -> Result<ReadableImage, Failure> {
        self.call.begin(function)?;
        self.room.grant.power(power)?;
        self.room.readable(reference)
    }
}

impl RegistryRoom {
    fn readable(&self, reference: &str) -> Result<ReadableImage, Failure> {
        let reference = ImageReference::parse(reference).map_err(Failure::Invalid)?;
        Ok(self.grant.readable(reference)?)
    }
}

fn platform_of(text: Option<&str>) -> Result<Platform, Failure> {
    text.map_or_else(|| Ok(Platform::of_host()), Platform::parse).map_err(Failure::Invalid)
}
