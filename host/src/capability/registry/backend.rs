//! Registries, as the room uses them. The other implementation is in memory, in the room's tests.

use async_trait::async_trait;

use super::grant::ReadableImage;
use crate::backend::reference::ImageReference;
use crate::backend::registry::{Head, ImageConfig, Manifest, Platform, Quota, Registries, RegistryError, Tags};

/// Registries, as the room uses them.
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
}

#[async_trait]
impl Backend for Registries {
    async fn heads(&self, images: &[ReadableImage]) -> Vec<Result<Head, RegistryError>> {
        let references: Vec<ImageReference> = images.iter().map(|image| image.reference().clone()).collect();
        Registries::heads(self, &references).await
    }

    fn quota(&self, image: &ReadableImage) -> Option<Quota> {
        Registries::quota(self, image.reference().registry())
    }

    async fn manifest(&self, image: &ReadableImage) -> Result<Manifest, RegistryError> {
        Registries::manifest(self, image.reference()).await
    }

    async fn platform_manifest(&self, image: &ReadableImage, platform: &Platform) -> Result<Manifest, RegistryError> {
        Registries::platform_manifest(self, image.reference(), platform).await
    }

    async fn config(&self, image: &ReadableImage, platform: &Platform) -> Result<ImageConfig, RegistryError> {
        Registries::config(self, image.reference(), platform).await
    }

    async fn tags(&self, image: &ReadableImage, limit: usize) -> Result<Tags, RegistryError> {
        Registries::tags(self, image.reference(), limit).await
    }
}
