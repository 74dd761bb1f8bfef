//! The functions of `wharf:registry`.
//!
//! A function is: `enter` (count, power), parse, grant, backend. Its failure becomes the plugin's word in one place, [`Failure::answer`].

use super::super::call::Denied;
use super::error::Failure;
use super::grant::{Power, ReadableImage};
use super::{MAX_REFERENCES, MAX_TERM_BYTES, RegistryCtxView, RegistryRoom, convert};
use crate::backend::blobs::{BlobName, BlobSpace};
use crate::backend::reference::ImageReference;
use crate::backend::registry::Platform;
use crate::bindings::wharf::registry::types::{self, Error};
use crate::bindings::wharf::registry::{catalog_download, catalog_read, digests_read, hub_read, manifests_read, references, tags_read};

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

impl hub_read::Host for RegistryCtxView<'_> {
    async fn search(&mut self, term: String, limit: u32) -> Result<hub_read::SearchResults, Error> {
        const FUNCTION: &str = "registry.hub-read.search";
        let found = async {
            self.enter(FUNCTION, Power::Hub)?;
            let found = self.room.backend.search(term_of(&term)?, limit).await?;
            let shown = found.repositories.iter().filter(|repository| self.room.grant.shows(&repository.name));
            Ok(hub_read::SearchResults { provider: found.provider.to_owned(), repositories: shown.map(convert::hub_repository).collect() })
        };
        let found: Result<_, Failure> = found.await;
        found.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn tags(&mut self, repository: String, limit: u32) -> Result<Vec<String>, Error> {
        const FUNCTION: &str = "registry.hub-read.tags";
        let listed = async {
            self.enter(FUNCTION, Power::Hub)?;
            let image = self.room.grant.readable(on_docker_hub(&repository)?)?;
            Ok(self.room.backend.hub_tags(&image, limit).await?.to_vec())
        };
        let listed: Result<_, Failure> = listed.await;
        listed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl catalog_read::Host for RegistryCtxView<'_> {
    async fn list(&mut self, name: String) -> Result<catalog_read::Catalog, Error> {
        const FUNCTION: &str = "registry.catalog-read.list";
        let listed = async {
            self.enter(FUNCTION, Power::Catalog)?;
            Ok(convert::catalog(&*self.room.backend.catalog(&name).await?))
        };
        let listed: Result<_, Failure> = listed.await;
        listed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl catalog_download::Host for RegistryCtxView<'_> {
    async fn begin(&mut self, catalog: String, name: String, version: Option<String>, blob: String) -> Result<String, Error> {
        const FUNCTION: &str = "registry.catalog-download.begin";
        let begun = async {
            self.enter(FUNCTION, Power::CatalogDownload)?;
            let blob = BlobName::parse(&blob).map_err(Failure::Invalid)?;
            let space = self.room.blobs(&blob)?;
            let template = self.room.backend.template(&catalog, &name, version.as_deref()).await?;
            self.call.permitted(FUNCTION, &format!("template {} into blob {}", template.name, blob.as_str()));
            let limit = self.call.operation_deadline;
            let download = self.room.backend.download(template, space, blob, limit);
            Ok(self.room.store.operations.download(download, limit)?.id.clone())
        };
        let begun: Result<_, Failure> = begun.await;
        begun.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl RegistryCtxView<'_> {
    /// Counts a call, and checks that its power was granted.
    fn enter(&mut self, function: &'static str, power: Power) -> Result<(), Failure> {
        self.call.begin(function)?;
        Ok(self.room.grant.power(power)?)
    }

    /// Counts a call that names so many references, and checks that its power was granted.
    fn enter_many(&mut self, function: &'static str, references: usize) -> Result<(), Failure> {
        self.enter(function, Power::Digests)?;
        if references > MAX_REFERENCES {
            return Err(Failure::Invalid(format!("{references} references in one call, at most {MAX_REFERENCES}")));
        }
        Ok(())
    }

    /// Counts a call, and checks that its power was granted and that `reference` is covered.
    fn image(&mut self, function: &'static str, power: Power, reference: &str) -> Result<ReadableImage, Failure> {
        self.enter(function, power)?;
        self.room.readable(reference)
    }
}

impl RegistryRoom {
    /// The blobs of the plugin, of which `blob` is to become one.
    pub(super) fn blobs(&self, blob: &BlobName) -> Result<BlobSpace, Denied> {
        let remedy = || "grants.storage.allow = [\"blobs\"]".to_owned();
        self.store.blobs.clone().ok_or_else(|| Denied { action: "store", object: format!("blob {}", blob.as_str()), remedy: remedy() })
    }

    fn readable(&self, reference: &str) -> Result<ReadableImage, Failure> {
        let reference = ImageReference::parse(reference).map_err(Failure::Invalid)?;
        Ok(self.grant.readable(reference)?)
    }
}

fn platform_of(text: Option<&str>) -> Result<Platform, Failure> {
    text.map_or_else(|| Ok(Platform::of_host()), Platform::parse).map_err(Failure::Invalid)
}

/// A term that can be searched for, without the space around it.
fn term_of(text: &str) -> Result<&str, Failure> {
    match text.trim() {
        "" => Err(Failure::Invalid("the term is empty".to_owned())),
        term if term.len() > MAX_TERM_BYTES => {
            Err(Failure::Invalid(format!("the term has {} bytes, at most {MAX_TERM_BYTES}", term.len())))
        }
        term => Ok(term),
    }
}

/// A repository that Docker Hub may have: its own have a namespace and a name.
fn on_docker_hub(text: &str) -> Result<ImageReference, Failure> {
    let reference = ImageReference::parse(text).map_err(Failure::Invalid)?;
    if reference.registry() != "docker.io" || reference.path().split('/').count() != 2 {
        return Err(Failure::Invalid(format!("`{text}` is no repository of Docker Hub")));
    }
    Ok(reference)
}
