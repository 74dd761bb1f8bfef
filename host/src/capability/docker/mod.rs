//! The room `docker`: the engine of a plugin's site. WIT: `wit/docker`, one interface for each power. Grant: `[site.plugin.grants.docker]`, see [`grant`].
//!
//! Each call goes the same way: count it; is the power granted; parse what the plugin named (`invalid`, and the engine is not asked); ask the engine what that is; does the grant
//! cover what it is; then, and only by the full id, do it. What a plugin may put into a new container is in [`policy`].
//!
//! Grant keys: `engine`, `allow`, `containers.{names, labels}`, `images`, `networks`, `volumes`, `create.{privileged, host_paths, namespaces, devices, device_requests,
//! capabilities, security_options, cgroup_parents, runtimes, sysctls, lowest_port}`.
//!
//! Units: times in milliseconds in the WIT, whole seconds at the engine (a grace is rounded up). Limits: [`MAX_NAMES`] objects in one call, [`CONCURRENT_QUESTIONS`] of them asked at
//! once; what changes something has the plugin's `operation_deadline_ms`, is one of its `operations`, stops the call's clock, and is finished even when the request is gone. A pull and a build are operations with a
//! record, which others may see whose `images` cover their image. What a build is made of is written anew, see [`dockerfile`]; its files are at most `build_context_mib`.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};

use super::Interface;
use super::call::CallContext;
use crate::backend::engine::{Engine, EngineAddress};
use crate::backend::operations::{Operations, PluginOperations};
use crate::backend::recreate::EngineRecreations;
use crate::backend::registry::Registries;
use crate::bindings::wharf::docker::{
    containers_create, containers_env, containers_lifecycle, containers_logs, containers_read, containers_recreate, containers_remove,
    distribution_read, images_build, images_prune, images_pull, images_read, images_remove, networks_read, operations_cancel,
    operations_read, system_read, types, volumes_read,
};

mod backend;
mod convert;
mod dockerfile;
mod error;
mod grant;
mod host;
mod policy;
mod reference;
mod specification;
#[cfg(test)]
mod tests;

use backend::{Backend, NoEngine, SiteEngine};
pub(crate) use grant::DockerGrant;

/// The most objects that one call may name. Their answers are held until all are there, and a plugin has no more memory than for these.
pub(crate) const MAX_NAMES: usize = 10_000;
/// How many questions of one call the engine is asked at once. It answers about as many per second with 32 as with more, and other callers want an answer too.
pub(crate) const CONCURRENT_QUESTIONS: usize = 32;

/// The room of one plugin.
pub(crate) struct DockerRoom {
    grant: DockerGrant,
    /// Where the engine listens: what others do there may concern this plugin.
    engine: EngineAddress,
    backend: Arc<dyn Backend>,
    operations: PluginOperations,
}

impl DockerRoom {
    /// The room of a plugin that has `grant`, on the engine that the grant names, which asks registries in the name that `registries` has for each.
    pub(crate) fn new(
        grant: DockerGrant,
        engine: &Engine,
        registries: &Registries,
        recreations: Arc<EngineRecreations>,
        operations: PluginOperations,
    ) -> DockerRoom {
        let backend = SiteEngine { engine: engine.clone(), registries: registries.clone(), recreations };
        let address = engine.address().clone();
        DockerRoom { grant: grant.on_engine_at(engine.socket()), engine: address, backend: Arc::new(backend), operations }
    }

    /// A room in which every function answers `denied`: for a plugin that describes itself.
    pub(crate) fn powerless() -> DockerRoom {
        DockerRoom {
            grant: DockerGrant::nothing(),
            engine: EngineAddress::Unix(PathBuf::new()),
            backend: Arc::new(NoEngine),
            operations: Operations::nobodys(),
        }
    }
}

/// What the room needs of the instance that calls it.
pub(crate) trait DockerView: Send {
    /// The room, for one call.
    fn docker(&mut self) -> DockerCtxView<'_>;
}

/// The room as one call sees it.
pub(crate) struct DockerCtxView<'a> {
    pub(crate) room: &'a DockerRoom,
    pub(crate) call: &'a mut CallContext,
    /// Where the streams go that the plugin is handed.
    pub(crate) table: &'a mut ResourceTable,
}

struct HasDocker<T>(std::marker::PhantomData<T>);

impl<T: 'static> HasData for HasDocker<T> {
    type Data<'a> = DockerCtxView<'a>;
}

/// The room's interfaces.
pub(crate) fn interfaces<T: DockerView + 'static>() -> Vec<Interface<T>> {
    macro_rules! interface {
        ($module:ident, $name:literal, $power:expr) => {
            Interface {
                name: concat!("wharf:docker/", $name, "@0.1.0"),
                power: $power,
                link: |linker: &mut Linker<T>| $module::add_to_linker::<T, HasDocker<T>>(linker, T::docker),
            }
        };
    }
    vec![
        interface!(types, "types", None),
        interface!(containers_read, "containers-read", Some("containers.read")),
        interface!(containers_env, "containers-env", Some("containers.env")),
        interface!(containers_logs, "containers-logs", Some("containers.logs")),
        interface!(containers_lifecycle, "containers-lifecycle", Some("containers.lifecycle")),
        interface!(containers_create, "containers-create", Some("containers.create")),
        interface!(containers_remove, "containers-remove", Some("containers.remove")),
        interface!(containers_recreate, "containers-recreate", Some("containers.recreate")),
        interface!(images_read, "images-read", Some("images.read")),
        interface!(images_pull, "images-pull", Some("images.pull")),
        interface!(images_build, "images-build", Some("images.build")),
        interface!(images_remove, "images-remove", Some("images.remove")),
        interface!(images_prune, "images-prune", Some("images.prune")),
        interface!(distribution_read, "distribution-read", Some("distribution.read")),
        interface!(operations_read, "operations-read", Some("operations.read")),
        interface!(operations_cancel, "operations-cancel", Some("operations.cancel")),
        interface!(networks_read, "networks-read", Some("networks.read")),
        interface!(volumes_read, "volumes-read", Some("volumes.read")),
        interface!(system_read, "system-read", Some("system.read")),
    ]
}
