//! The room `storage`: what a plugin keeps. WIT: `wit/storage`, one interface for each power. Grant: `[site.plugin.grants.storage]`, see [`grant`].
//!
//! Each call goes the same way: count it; is the power granted; are the arguments within their limits; then ask. There is nothing to resolve and no name of a space in any argument: the space is
//! that of the plugin that calls, so that none can name another's.
//!
//! Grant keys: `allow`, `quota_mib` (tables and values), `blobs_quota_mib`. Where everything lies is `[storage]`, which is the operator's alone.
//!
//! Limits: those below; how long a statement and a transaction may take is `backend/database`'s.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};

use super::Interface;
use super::call::CallContext;
use crate::backend::blobs::{BlobSpace, Blobs};
use crate::backend::database::{Databases, Space, SpaceName};
use crate::backend::seal::Seals;
use crate::bindings::wharf::storage::{blobs, keyvalue, sealed, sql, types};
use crate::settings::StorageSettings;

mod convert;
mod error;
mod grant;
mod host;
#[cfg(test)]
mod tests;

use grant::Power;
pub(crate) use grant::StorageGrant;

/// The most rows of one answer.
const MAX_ROWS: u32 = 10_000;
/// The most statements of one call.
const MAX_STATEMENTS: usize = 1_000;
/// The most blobs that one call may name.
const MAX_BLOBS: usize = 10_000;
/// The most keys or entries of one call.
const MAX_KEYS: usize = 1_000;
/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 512;
/// The largest value of a key.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// The most that is sealed at a time.
const MAX_SEALED_BYTES: usize = 64 << 10;

/// What all rooms of this kind stand on. One for the process; its clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Storage {
    pub(crate) blobs: Blobs,
    pub(crate) databases: Databases,
    pub(crate) seals: Seals,
}

impl Storage {
    /// Puts `settings` into force for rooms that are made from now on. What has not changed stays open.
    pub(crate) fn configure(&self, settings: &StorageSettings) {
        self.seals.configure(settings);
        self.databases.configure(settings, &self.seals);
        self.blobs.configure(&settings.blobs);
    }
}

impl Storage {
    /// Which storage is in force: another number for each. A room stands on the one that was in force when it was made.
    pub(crate) fn epoch(&self) -> u64 {
        // Both only grow.
        self.databases.epoch() + self.blobs.epoch()
    }

    /// The blobs of the plugin `owner` that has `grant`, for whatever else stores some in its name; none if the grant does not allow them.
    pub(crate) fn blobs_of(&self, grant: Option<&StorageGrant>, owner: &SpaceName) -> Option<BlobSpace> {
        let grant = grant.filter(|grant| grant.power(Power::Blobs).is_ok())?;
        Some(self.blobs.space(&owner.site, &owner.plugin, grant.blobs_quota_bytes()))
    }

    /// Why the database cannot be used; none if it can.
    pub(crate) async fn problem(&self) -> Option<String> {
        self.databases.problem().await
    }

    /// Closes what is open. Whoever asks after that hears `unavailable`.
    pub(crate) async fn close(&self) {
        self.databases.close().await;
    }
}

/// The room of one plugin.
pub(crate) struct StorageRoom {
    grant: StorageGrant,
    /// Whose it is.
    owner: SpaceName,
    /// None without a grant.
    space: Option<Arc<dyn Space>>,
    /// None without a grant.
    blobs: Option<BlobSpace>,
    seals: Seals,
}

impl StorageRoom {
    /// The room of the plugin `owner` that has `grant`; without one, every function answers `denied`.
    pub(crate) fn new(grant: Option<StorageGrant>, storage: &Storage, owner: SpaceName) -> StorageRoom {
        let space = grant.as_ref().map(|grant| storage.databases.space(owner.clone(), grant.quota_bytes()));
        let blobs = grant.as_ref().map(|grant| storage.blobs.space(&owner.site, &owner.plugin, grant.blobs_quota_bytes()));
        StorageRoom { grant: grant.unwrap_or_default(), owner, space, blobs, seals: storage.seals.clone() }
    }
}

/// What the room needs of the instance that calls it.
pub(crate) trait StorageView: Send {
    /// The room, for one call.
    fn storage(&mut self) -> StorageCtxView<'_>;
}

/// The room as one call sees it.
pub(crate) struct StorageCtxView<'a> {
    pub(crate) room: &'a StorageRoom,
    pub(crate) call: &'a mut CallContext,
    pub(crate) table: &'a mut ResourceTable,
}

struct HasStorage<T>(std::marker::PhantomData<T>);

impl<T: 'static> HasData for HasStorage<T> {
    type Data<'a> = StorageCtxView<'a>;
}

/// The room's interfaces.
pub(crate) fn interfaces<T: StorageView + 'static>() -> Vec<Interface<T>> {
    macro_rules! interface {
        ($module:ident, $name:literal, $power:expr) => {
            Interface {
                name: concat!("wharf:storage/", $name, "@0.1.0"),
                power: $power,
                link: |linker: &mut Linker<T>| $module::add_to_linker::<T, HasStorage<T>>(linker, T::storage),
            }
        };
    }
    vec![
        interface!(types, "types", None),
        interface!(sql, "sql", Some("sql")),
        interface!(keyvalue, "keyvalue", Some("keyvalue")),
        interface!(blobs, "blobs", Some("blobs")),
        interface!(sealed, "sealed", Some("sealed")),
    ]
}
