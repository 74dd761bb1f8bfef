//! What a store holds: one instance's WASI, handles, memory count, and the call that it serves.
//!
//! WASI and the rooms have separate tables of handles: a guest keeps its standard output for life, but a handle of a room that is left after a request is a leak, and the
//! instance is retired for it. All that belongs to a request is in [`CallContext`] and [`Outgoing`] and is set for each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::sync::mpsc;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::meter::CpuMeter;
use super::stdio::Stdio;
use crate::backend::lines::LineMeter;
use crate::capability::call::CallContext;
use crate::capability::config::{ConfigCtxView, ConfigView, PluginSettingsText};
use crate::capability::docker::{DockerCtxView, DockerRoom, DockerView};
use crate::capability::identity::{IdentityCtxView, IdentityRoom, IdentityView};
use crate::capability::jobs::{JobsCtxView, JobsRoom, JobsView};
use crate::capability::log::{LogCtxView, LogView};
use crate::capability::registry::{RegistryCtxView, RegistryRoom, RegistryView};
use crate::capability::storage::{StorageCtxView, StorageRoom, StorageView};

/// The rooms as one plugin has them, shared by all its instances.
pub(crate) struct PluginRooms {
    pub(crate) docker: DockerRoom,
    pub(crate) registry: RegistryRoom,
    pub(crate) storage: StorageRoom,
    pub(crate) identity: IdentityRoom,
    pub(crate) jobs: JobsRoom,
    pub(crate) config: PluginSettingsText,
    pub(crate) lines: Arc<LineMeter>,
}

/// What a store holds.
pub(crate) struct InstanceState {
    pub(crate) wasi: WasiCtx,
    pub(crate) wasi_table: ResourceTable,
    /// Handles of rooms and of the request's streams.
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryCount,
    pub(crate) cpu: Arc<CpuMeter>,
    pub(crate) stdio: Arc<Stdio>,
    pub(crate) rooms: Arc<PluginRooms>,
    pub(crate) call: CallContext,
    pub(crate) outgoing: Outgoing,
}

/// A response that the guest has begun with `outgoing.start`.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: mpsc::Receiver<Bytes>,
}

/// Where `outgoing.start` leaves a started response for the one who drives the call.
#[derive(Clone, Default)]
pub(crate) struct Outgoing {
    slot: Arc<Mutex<OutgoingSlot>>,
}

#[derive(Default)]
enum OutgoingSlot {
    /// There is no request.
    #[default]
    NoRequest,
    /// Nothing was started yet.
    Open,
    /// It was started and not yet picked up.
    Started(Started),
    /// It was started and picked up.
    PickedUp,
}

/// Why no response can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// There is no request to answer: the guest describes itself.
    NoRequest,
    /// The request's response was started before.
    Twice,
}

impl Outgoing {
    /// A request begins: one response may be started.
    pub(crate) fn open(&self) {
        *self.slot() = OutgoingSlot::Open;
    }

    /// Leaves `started`.
    ///
    /// # Errors
    ///
    /// [`NotStarted`].
    pub(crate) fn start(&self, started: Started) -> Result<(), NotStarted> {
        let mut slot = self.slot();
        match *slot {
            OutgoingSlot::NoRequest => Err(NotStarted::NoRequest),
            OutgoingSlot::Started(_) | OutgoingSlot::PickedUp => Err(NotStarted::Twice),
            OutgoingSlot::Open => {
                *slot = OutgoingSlot::Started(started);
                Ok(())
            }
        }
    }

    /// The started response, once.
    pub(crate) fn take(&self) -> Option<Started> {
        let mut slot = self.slot();
        match std::mem::replace(&mut *slot, OutgoingSlot::PickedUp) {
            OutgoingSlot::Started(started) => Some(started),
            other => {
                *slot = other;
                None
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, OutgoingSlot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory of one whole instance: wasmtime's own limits are for each memory, and a component may have many.
#[derive(Debug)]
pub(crate) struct MemoryCount {
    limit_bytes: usize,
    used_bytes: usize,
    /// Whether a request for more was refused. It stays: what the guest does then, it does for want of memory.
    pub(crate) refused: bool,
}

/// What one element of a table takes: a pointer.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

impl MemoryCount {
    /// Nothing used of `limit_bytes`.
    pub(crate) fn new(limit_bytes: usize) -> MemoryCount {
        MemoryCount { limit_bytes, used_bytes: 0, refused: false }
    }

    /// What the instance uses, which is also the most that it has used: wasm memory never shrinks.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// What it may still use.
    pub(crate) fn left_bytes(&self) -> usize {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }

    fn grow(&mut self, by_bytes: usize) -> bool {
        let wanted = self.used_bytes.saturating_add(by_bytes);
        if wanted > self.limit_bytes {
            self.refused = true;
            return false;
        }
        self.used_bytes = wanted;
        true
    }
}

impl ResourceLimiter for MemoryCount {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES)))
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.wasi_table }
    }
}

impl LogView for InstanceState {
    fn log(&mut self) -> LogCtxView<'_> {
        LogCtxView { meter: &self.rooms.lines }
    }
}

impl ConfigView for InstanceState {
    fn config(&mut self) -> ConfigCtxView<'_> {
        ConfigCtxView { settings: &self.rooms.config, call: &mut self.call }
    }
}

impl DockerView for InstanceState {
    fn docker(&mut self) -> DockerCtxView<'_> {
        DockerCtxView { room: &self.rooms.docker, call: &mut self.call, table: &mut self.table }
    }
}

impl RegistryView for InstanceState {
    fn registry(&mut self) -> RegistryCtxView<'_> {
        RegistryCtxView { room: &self.rooms.registry, call: &mut self.call }
    }
}

impl StorageView for InstanceState {
    fn storage(&mut self) -> StorageCtxView<'_> {
        StorageCtxView { room: &self.rooms.storage, call: &mut self.call, table: &mut self.table }
    }
}

impl IdentityView for InstanceState {
    fn identity(&mut self) -> IdentityCtxView<'_> {
        IdentityCtxView { room: &self.rooms.identity, call: &mut self.call }
    }
}

impl JobsView for InstanceState {
    fn jobs(&mut self) -> JobsCtxView<'_> {
        JobsCtxView { room: &self.rooms.jobs, call: &mut self.call }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_of_an_instance_share_one_limit() {
        let mut memory = MemoryCount::new(1000);
        assert!(memory.memory_growing(0, 600, None).unwrap());
        assert!(!memory.memory_growing(0, 500, None).unwrap(), "a second memory counts too");
        assert!(memory.table_growing(0, 50, None).unwrap());
        assert!(!memory.table_growing(50, 51, None).unwrap());
        assert_eq!((memory.used_bytes(), memory.refused), (1000, true));
    }

    #[test]
    fn one_response_may_be_started_for_each_request() {
        let started = || Started { status: StatusCode::OK, headers: HeaderMap::new(), body: mpsc::channel(1).1 };
        let outgoing = Outgoing::default();
        assert_eq!(outgoing.start(started()), Err(NotStarted::NoRequest));
        outgoing.open();
        assert!(outgoing.take().is_none());
        assert_eq!(outgoing.start(started()), Ok(()));
        assert_eq!(outgoing.start(started()), Err(NotStarted::Twice));
        assert!(outgoing.take().is_some());
        assert_eq!(outgoing.start(started()), Err(NotStarted::Twice), "it was picked up");
    }
}
