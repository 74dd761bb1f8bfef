//! The room `registry`: image registries, asked by the host in the operator's name. WIT: `wit/registry`, one interface for each power. Grant: `[site.plugin.grants.registry]`, see [`grant`].
//!
//! Each call goes the same way: count it; is the power granted; parse the reference (`invalid`, and nobody is asked); does the grant cover its repository; then ask. What wants no grant is
//! `references`, which asks nobody. Where the host itself may go is not a plugin's grant: it is checked on every connection in `backend/registry/outbound.rs`.
//!
//! Grant keys: `allow`, `repositories`.
//!
//! `catalog-download` begins an operation, as a pull is one, which puts an archive into the plugin's own blobs: so it needs the grant for these too, and its quota is theirs. Both are handed to the room when it is made, since no room knows another.
//!
//! `hub-read` and `catalog-read` ask Docker Hub and the site's catalogues, whose ways are those of the operator's settings; a plugin chooses neither. The engine that searches, where Docker Hub's own searches
//! do not, is that of the plugin's docker grant, or else the one called `default`.
//!
//! Limits: [`MAX_REFERENCES`] in one call; [`MAX_TERM_BYTES`] of a term; the times, sizes and numbers of connections are those of `backend/registry`, `backend/docker_hub` and `backend/catalog`.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

use super::Interface;
use super::call::CallContext;
use crate::backend::blobs::BlobSpace;
use crate::backend::operations::PluginOperations;
use crate::bindings::wharf::registry::{
    catalog_download, catalog_read, digests_read, hub_read, manifests_read, references, tags_read, types,
};

mod backend;
mod convert;
mod error;
mod grant;
mod host;
#[cfg(test)]
mod tests;

use backend::Backend;
pub(crate) use backend::Sources;
pub(crate) use grant::RegistryGrant;

/// The most references of one call. Their answers are held until all are there.
pub(crate) const MAX_REFERENCES: usize = 10_000;

/// The longest term of a search.
pub(crate) const MAX_TERM_BYTES: usize = 256;

/// The room of one plugin.
pub(crate) struct RegistryRoom {
    grant: RegistryGrant,
    backend: Arc<dyn Backend>,
    store: Store,
}

/// What a room has for downloads.
pub(crate) struct Store {
    pub(crate) operations: PluginOperations,
    /// The plugin's blobs; none if its grants do not have them.
    pub(crate) blobs: Option<BlobSpace>,
}

impl RegistryRoom {
    /// The room of a plugin that has `grant`; without one, every function answers `denied`.
    pub(crate) fn new(grant: Option<RegistryGrant>, sources: Sources, store: Store) -> RegistryRoom {
        RegistryRoom { grant: grant.unwrap_or_default(), backend: Arc::new(sources), store }
    }
}

/// What the room needs of the instance that calls it.
pub(crate) trait RegistryView: Send {
    /// The room, for one call.
    fn registry(&mut self) -> RegistryCtxView<'_>;
}

/// The room as one call sees it.
pub(crate) struct RegistryCtxView<'a> {
    pub(crate) room: &'a RegistryRoom,
    pub(crate) call: &'a mut CallContext,
}

struct HasRegistry<T>(std::marker::PhantomData<T>);

impl<T: 'static> HasData for HasRegistry<T> {
    type Data<'a> = RegistryCtxView<'a>;
}

/// The room's interfaces.
pub(crate) fn interfaces<T: RegistryView + 'static>() -> Vec<Interface<T>> {
    macro_rules! interface {
        ($module:ident, $name:literal, $power:expr) => {
            Interface {
                name: concat!("wharf:registry/", $name, "@0.1.0"),
                power: $power,
                link: |linker: &mut Linker<T>| $module::add_to_linker::<T, HasRegistry<T>>(linker, T::registry),
            }
        };
    }
    vec![
        interface!(types, "types", None),
        interface!(references, "references", None),
        interface!(digests_read, "digests-read", Some("digests.read")),
        interface!(manifests_read, "manifests-read", Some("manifests.read")),
        interface!(tags_read, "tags-read", Some("tags.read")),
        interface!(hub_read, "hub-read", Some("hub.read")),
        interface!(catalog_read, "catalog-read", Some("catalog.read")),
        interface!(catalog_download, "catalog-download", Some("catalog.download")),
    ]
}
