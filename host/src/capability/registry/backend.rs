//! Registries, Docker Hub and catalogues, as the room uses them. The other implementation is in memory, in the room's tests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::grant::ReadableImage;
use crate::backend::blobs::{BlobName, BlobSpace};
use crate::backend::catalog::{Catalog, CatalogError, Catalogs, Template};
use crate::backend::docker_hub::{Hub, HubError, SearchEngine, SearchResults};
use crate::backend::engine::Engine;
use crate::backend::operations::Download;
use crate::backend::reference::ImageReference;
use crate::backend::registry::{Head, ImageConfig, Manifest, Platform, Quota, Registries, RegistryError, Tags};

/// All that the room asks.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// The digest of each, in their order.
    async fn heads(&self, images: &[ReadableImage]) -> Vec<Result<Head, RegistryError>>;
    /// What the registry of `image` said last of its limit.
    fn quota(&self, image: &ReadableImage) -> Option<Quota>;
    /// The index or manifest.
    async fn manifest(&self, image: &ReadableImage) -> Result<Manifest, RegistryError>;
    /// The manifest for `platform`.
    async fn platform_manifest(&self, image: &ReadableImage, platform: &Platform) -> Result<Manifest, RegistryError>;
    /// The configuration for `platform`.
    async fn config(&self, image: &ReadableImage, platform: &Platform) -> Result<ImageConfig, RegistryError>;
    /// At most `limit` tags of the repository.
    async fn tags(&self, image: &ReadableImage, limit: usize) -> Result<Tags, RegistryError>;
    /// What a search of Docker Hub finds: at most `limit` repositories, which the grant may not cover.
    async fn search(&self, term: &str, limit: u32) -> Result<Arc<SearchResults>, HubError>;
    /// At most `limit` tags of the repository of `image`, whose registry is Docker Hub, the newest first.
    async fn hub_tags(&self, image: &ReadableImage, limit: u32) -> Result<Arc<Vec<String>>, HubError>;
    /// The catalogue `name` of the plugin's site.
    async fn catalog(&self, name: &str) -> Result<Arc<Catalog>, CatalogError>;
    /// The template `name` of the catalogue `catalog`, in `version` or else the first.
    async fn template(&self, catalog: &str, name: &str, version: Option<&str>) -> Result<Template, CatalogError>;
    /// What makes the blob `blob` of `space` of the template's archive, within `limit`. Nothing has begun yet.
    fn download(&self, template: Template, space: BlobSpace, blob: BlobName, limit: Duration) -> Download;
}

/// What one plugin asks.
pub(crate) struct Sources {
    registries: Registries,
    hub: Hub,
    engine: Option<SearchEngine>,
    catalogs: Catalogs,
}

impl Sources {
    /// The sources of one plugin. `engine` searches where Docker Hub's own searches do not; none: nobody does.
    pub(crate) fn new(registries: Registries, hub: Hub, engine: Option<Arc<Engine>>, catalogs: Catalogs) -> Sources {
        Sources { registries, hub, engine: engine.map(SearchEngine::new), catalogs }
    }
}

#[async_trait]
impl Backend for Sources {
    async fn heads(&self, images: &[ReadableImage]) -> Vec<Result<Head, RegistryError>> {
        let references: Vec<ImageReference> = images.iter().map(|image| image.reference().clone()).collect();
        self.registries.heads(&references).await
    }

    fn quota(&self, image: &ReadableImage) -> Option<Quota> {
        self.registries.quota(image.reference().registry())
    }

    async fn manifest(&self, image: &ReadableImage) -> Result<Manifest, RegistryError> {
        self.registries.manifest(image.reference()).await
    }

    async fn platform_manifest(&self, image: &ReadableImage, platform: &Platform) -> Result<Manifest, RegistryError> {
        self.registries.platform_manifest(image.reference(), platform).await
    }

    async fn config(&self, image: &ReadableImage, platform: &Platform) -> Result<ImageConfig, RegistryError> {
        self.registries.config(image.reference(), platform).await
    }

    async fn tags(&self, image: &ReadableImage, limit: usize) -> Result<Tags, RegistryError> {
        self.registries.tags(image.reference(), limit).await
    }

    async fn search(&self, term: &str, limit: u32) -> Result<Arc<SearchResults>, HubError> {
        self.hub.search(term, limit, self.engine.as_ref()).await
    }

    async fn hub_tags(&self, image: &ReadableImage, limit: u32) -> Result<Arc<Vec<String>>, HubError> {
        self.hub.tags(image.reference(), limit).await
    }

    async fn catalog(&self, name: &str) -> Result<Arc<Catalog>, CatalogError> {
        self.catalogs.list(name).await
    }

    async fn template(&self, catalog: &str, name: &str, version: Option<&str>) -> Result<Template, CatalogError> {
        self.catalogs.template(catalog, name, version).await
    }

    fn download(&self, template: Template, space: BlobSpace, blob: BlobName, limit: Duration) -> Download {
        template.download(&self.registries, space, blob, limit)
    }
}
