//! The room on an engine in memory: every function, allowed, denied, gone and unreachable.
//!
//! The engine here knows the rules of a real one that matter to the room: names, ids and unique prefixes of ids find a container; a container that runs is not removed without force; a
//! name is taken once. It writes down what changes it was asked for, so that a test can say that nothing was asked.

mod creates;
mod functions;
mod golden;
mod grants;
mod lost;
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wasmtime::component::ResourceTable;

use super::super::call::{CallContext, HostCallObserver, PluginIdentity, WallClock};
use super::{DockerCtxView, DockerGrant, DockerRoom};
use crate::backend::lines::LineMeter;
use crate::backend::operations::Operations;
use crate::settings::section::read_for_test;
use memory::MemoryEngine;

/// Every power, and nothing about which objects.
const EVERYTHING: &str = r#"
allow = ["containers.read", "containers.env", "containers.logs", "containers.lifecycle", "containers.create", "containers.remove",
         "images.read", "images.pull", "networks.read", "volumes.read", "system.read"]
networks = ["lopco-network"]
"#;

/// The grant that `text` is, which must have no mistake.
#[track_caller]
fn grant(text: &str) -> DockerGrant {
    let (grant, mistakes) = read_for_test(text, DockerGrant::read);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    grant
}

/// One plugin, in the middle of one request.
struct Plugin {
    room: DockerRoom,
    call: CallContext,
    table: ResourceTable,
    engine: Arc<MemoryEngine>,
    denials: Arc<Denials>,
}

#[derive(Default)]
struct Denials(AtomicUsize);

impl HostCallObserver for Denials {
    fn called(&self, _: &PluginIdentity, _: &'static str) {}

    fn denied(&self, _: &PluginIdentity, _: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Plugin {
    #[track_caller]
    fn with(text: &str) -> Plugin {
        Plugin::in_room(|engine| DockerRoom {
            grant: grant(text).on_engine_at(Some(std::path::Path::new("/srv/engine/docker.sock"))),
            backend: engine,
            operations: Operations::default().of_plugin(8),
        })
    }

    fn in_room(room: impl FnOnce(Arc<MemoryEngine>) -> DockerRoom) -> Plugin {
        let engine = Arc::new(MemoryEngine::default());
        let denials = Arc::new(Denials::default());
        let identity = PluginIdentity { site: "plant".to_owned(), plugin: "deployments".to_owned(), generation: 1 };
        let call = CallContext {
            identity: Arc::new(identity),
            host_calls_left: 100,
            clock: Arc::new(WallClock::new(Duration::from_secs(30))),
            operation_deadline: Duration::from_secs(10),
            observer: Arc::clone(&denials) as Arc<dyn HostCallObserver>,
            lines: Arc::new(LineMeter::new(100)),
            over_quota: None,
        };
        Plugin { room: room(Arc::clone(&engine)), call, table: ResourceTable::new(), engine, denials }
    }

    fn docker(&mut self) -> DockerCtxView<'_> {
        DockerCtxView { room: &self.room, call: &mut self.call, table: &mut self.table }
    }

    /// How many refusals went into the audit log.
    fn denials(&self) -> usize {
        self.denials.0.load(Ordering::Relaxed)
    }
}
