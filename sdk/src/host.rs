//! Who a plugin's questions go to.
//!
//! In a component it is the contract's imports, and the calls are direct: a table of functions would keep every import alive, and the imports of a component are
//! its request for permission. On a native target it is whatever host the thread has, behind a trait: normally [`fake::Host`](crate::fake::Host).

use std::borrow::Cow;

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{Host, with};

#[cfg(not(target_family = "wasm"))]
mod native {
    use super::Fields;
    use crate::docker::containers_create::Created;
    use crate::docker::containers_logs::LogOptions;
    use crate::docker::containers_read::{ContainerFilter, ContainerSummary};
    use crate::docker::containers_remove::RemoveOptions;
    use crate::docker::distribution_read::Distribution;
    use crate::docker::images_prune::Pruned;
    use crate::docker::images_read::{Image, ImageSummary};
    use crate::docker::images_remove::Removal;
    use crate::docker::networks_read::Network;
    use crate::docker::operations_read::{Operation, ProgressFormat};
    use crate::docker::system_read::Engine;
    use crate::docker::volumes_read::Volume;
    use crate::docker::{Container, Grace};
    use crate::error::Error;
    use crate::log::Level;
    use crate::registry::catalog_read::Catalog;
    use crate::registry::digests_read::{Head, Quota};
    use crate::registry::hub_read::SearchResults;
    use crate::registry::manifests_read::{ImageConfig, Manifest};
    use crate::registry::references::Reference;
    use crate::registry::tags_read::TagList;
    use crate::stream::{BodyWriter, ByteStream};

    /// The functions of the contract, in its order. What each means is told where plugins call it.
    pub(crate) trait Host {
        fn log(&self, level: Level, message: &str, fields: &[(String, String)]);
        fn config_document(&self) -> String;
        fn config_reveal(&self, name: &str) -> Result<String, Error>;
        fn start(&self, status: u16, headers: Fields) -> Result<BodyWriter, Error>;
        fn containers_list(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, Error>;
        fn containers_inspect(&self, names: &[String]) -> Vec<Result<Container, Error>>;
        fn containers_env_inspect(&self, names: &[String]) -> Vec<Result<Container, Error>>;
        fn containers_log(&self, container: &str, options: &LogOptions) -> Result<ByteStream, Error>;
        fn container_start(&self, container: &str) -> Result<(), Error>;
        fn container_stop(&self, container: &str, grace: Grace) -> Result<(), Error>;
        fn container_create(&self, name: &str, specification: &str) -> Result<Created, Error>;
        fn container_run(&self, name: &str, specification: &str) -> Result<Created, Error>;
        fn container_remove(&self, container: &str, options: RemoveOptions) -> Result<(), Error>;
        fn images_inspect(&self, references: &[String]) -> Vec<Result<Image, Error>>;
        fn images_list(&self) -> Result<Vec<ImageSummary>, Error>;
        fn image_pull(&self, reference: &str) -> Result<(), Error>;
        fn image_pull_begin(&self, reference: &str) -> Result<String, Error>;
        fn images_remove(&self, references: &[String]) -> Vec<Result<Removal, Error>>;
        fn images_prune(&self) -> Result<Pruned, Error>;
        fn distribution_inspect(&self, references: &[String]) -> Vec<Result<Distribution, Error>>;
        fn operations_list(&self) -> Result<Vec<Operation>, Error>;
        fn operations_get(&self, ids: &[String]) -> Vec<Result<Operation, Error>>;
        fn operation_wait(&self, id: &str) -> Result<Operation, Error>;
        fn operation_watch(&self, id: &str, format: ProgressFormat) -> Result<ByteStream, Error>;
        fn operation_cancel(&self, id: &str) -> Result<(), Error>;
        fn networks_list(&self) -> Result<Vec<Network>, Error>;
        fn volumes_list(&self) -> Result<Vec<Volume>, Error>;
        fn engine_version(&self) -> Result<Engine, Error>;
        fn registry_resolve(&self, reference: &str) -> Result<Reference, Error>;
        fn registry_heads(&self, references: &[String]) -> Vec<Result<Head, Error>>;
        fn registry_last_quota(&self, reference: &str) -> Result<Option<Quota>, Error>;
        fn registry_manifest(&self, reference: &str) -> Result<Manifest, Error>;
        fn registry_platform_manifest(&self, reference: &str, platform: Option<&str>) -> Result<Manifest, Error>;
        fn registry_config(&self, reference: &str, platform: Option<&str>) -> Result<ImageConfig, Error>;
        fn registry_tags(&self, reference: &str, limit: u32) -> Result<TagList, Error>;
        fn hub_search(&self, term: &str, limit: u32) -> Result<SearchResults, Error>;
        fn hub_tags(&self, repository: &str, limit: u32) -> Result<Vec<String>, Error>;
        fn catalog_list(&self, name: &str) -> Result<Catalog, Error>;
    }

    /// Asks the host of this thread.
    pub(crate) fn with<R>(ask: impl FnOnce(&dyn Host) -> R) -> R {
        let host = crate::fake::current();
        ask(&*host)
    }
}

/// Header fields of a response.
pub(crate) type Fields = Vec<(Cow<'static, str>, Cow<'static, [u8]>)>;

/// Asks the host of this component.
#[cfg(target_family = "wasm")]
pub(crate) fn with<R>(ask: impl FnOnce(&crate::imports::Imports) -> R) -> R {
    ask(&crate::imports::Imports)
}
