//! The room on an engine in memory: every function, allowed, denied, gone and unreachable.
//!
//! The engine here knows the rules of a real one that matter to the room: names, ids and unique prefixes of ids find a container; a container that runs is not removed without force; a
//! name is taken once. It writes down what changes it was asked for, so that a test can say that nothing was asked.

mod builds;
mod creates;
mod functions;
mod golden;
mod grants;
mod images;
mod lost;
mod memory;
mod operations;

use std::sync::Arc;

use wasmtime::component::ResourceTable;

use super::super::call::CallContext;
use super::super::call::testing::{self, Denials};
use super::{DockerCtxView, DockerGrant, DockerRoom};
use crate::backend::engine::EngineAddress;
use crate::backend::operations::{Operations, Owner};
use crate::settings::section::read_for_test;
use memory::MemoryEngine;

/// Where the engine listens.
const SOCKET: &str = "/srv/engine/docker.sock";

/// Every power, and nothing about which objects.
const EVERYTHING: &str = r#"
allow = ["containers.read", "containers.env", "containers.logs", "containers.lifecycle", "containers.create", "containers.remove", "containers.recreate",
         "images.read", "images.pull", "images.build", "images.remove", "images.prune", "distribution.read", "operations.read", "operations.cancel", "networks.read", "volumes.read", "system.read"]
networks = ["lopco-network"]
"#;

/// The grant that `text` is, which must have no mistake.
#[track_caller]
fn grant(text: &str) -> DockerGrant {
    let (grant, mistakes) = read_for_test(text, DockerGrant::read);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    grant
}

/// The plugin that calls.
fn owner() -> Owner {
    Owner { site: "plant".to_owned(), plugin: "deployments".to_owned() }
}

/// One plugin, in the middle of one request.
struct Plugin {
    room: DockerRoom,
    call: CallContext,
    table: ResourceTable,
    engine: Arc<MemoryEngine>,
    denials: Arc<Denials>,
    /// Those of all plugins.
    operations: Operations,
}

impl Plugin {
    #[track_caller]
    fn with(text: &str) -> Plugin {
        let operations = Operations::default();
        let plugin = Plugin::in_room(|engine| DockerRoom {
            grant: grant(text).on_engine_at(Some(std::path::Path::new(SOCKET))),
            engine: EngineAddress::Unix(SOCKET.into()),
            backend: engine,
            operations: operations.of_plugin(owner(), 8),
        });
        Plugin { operations, ..plugin }
    }

    fn in_room(room: impl FnOnce(Arc<MemoryEngine>) -> DockerRoom) -> Plugin {
        let engine = Arc::new(MemoryEngine::default());
        let (call, denials) = testing::request("deployments", 100);
        let operations = Operations::default();
        Plugin { room: room(Arc::clone(&engine)), call, table: ResourceTable::new(), engine, denials, operations }
    }

    fn docker(&mut self) -> DockerCtxView<'_> {
        DockerCtxView { room: &self.room, call: &mut self.call, table: &mut self.table }
    }

    /// How many refusals went into the audit log.
    fn denials(&self) -> usize {
        self.denials.count()
    }
}
