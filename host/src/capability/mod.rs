//! The rooms: one for each thing that a plugin may ask of the host.
//!
//! A room has the same name in five places: `wit/<name>`, here, `sdk/src/<name>.rs`, `tests/api/<name>.rs` and `[site.plugin.grants.<name>]`.
//! It knows what lies below it (`backend`) and nothing above: neither plugins nor HTTP, and no other room. What a room needs of the instance that
//! calls it comes through its view trait, which `plugin::state` implements.
//!
//! [`rooms`] is the list. A room that is not in it cannot be linked, granted or seen in the golden table.

use wasmtime::component::Linker;

use crate::settings::section::Section;

pub(crate) mod call;
pub(crate) mod config;
pub(crate) mod docker;
pub(crate) mod identity;
pub(crate) mod jobs;
pub(crate) mod log;
pub(crate) mod powers;
pub(crate) mod registry;
pub(crate) mod storage;

/// What the operator allows one plugin. A room that is absent is not linked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grants {
    pub(crate) docker: Option<docker::DockerGrant>,
    pub(crate) registry: Option<registry::RegistryGrant>,
    pub(crate) storage: Option<storage::StorageGrant>,
    pub(crate) identity: Option<identity::IdentityGrant>,
    pub(crate) jobs: Option<jobs::JobsGrant>,
}

/// A room, as loading sees it.
pub(crate) struct Room<T: 'static> {
    /// The name in all five places.
    pub(crate) name: &'static str,
    /// Its interfaces, in the order of its WIT.
    pub(crate) interfaces: Vec<Interface<T>>,
}

/// One interface of a room: the smallest thing that can be linked or left out.
pub(crate) struct Interface<T: 'static> {
    /// As a component's import has it: `wharf:docker/containers-read@0.1.0`.
    pub(crate) name: &'static str,
    /// The word of the grant that links it; none for what every plugin has.
    pub(crate) power: Option<&'static str>,
    /// Adds it to a linker.
    pub(crate) link: fn(&mut Linker<T>) -> wasmtime::Result<()>,
}

/// Every room there is.
pub(crate) fn rooms<T>() -> Vec<Room<T>>
where
    T: config::ConfigView
        + docker::DockerView
        + identity::IdentityView
        + jobs::JobsView
        + log::LogView
        + registry::RegistryView
        + storage::StorageView
        + 'static,
{
    vec![
        Room { name: "log", interfaces: log::interfaces() },
        Room { name: "config", interfaces: config::interfaces() },
        Room { name: "docker", interfaces: docker::interfaces() },
        Room { name: "registry", interfaces: registry::interfaces() },
        Room { name: "storage", interfaces: storage::interfaces() },
        Room { name: "identity", interfaces: identity::interfaces() },
        Room { name: "jobs", interfaces: jobs::interfaces() },
    ]
}

impl Grants {
    /// Reads `grants` of a plugin: one table for each room.
    pub(crate) fn read(section: &mut Section<'_>) -> Grants {
        let docker = section.section("docker").map(|mut docker| docker::DockerGrant::read(&mut docker));
        let registry = section.section("registry").map(|mut registry| registry::RegistryGrant::read(&mut registry));
        let storage = section.section("storage").map(|mut storage| storage::StorageGrant::read(&mut storage));
        let identity = section.section("identity").map(|mut identity| identity::IdentityGrant::read(&mut identity));
        let jobs = section.section("jobs").map(|mut jobs| jobs::JobsGrant::read(&mut jobs));
        Grants { docker, registry, storage, identity, jobs }
    }

    /// Whether `room` has a table, whatever that allows.
    pub(crate) fn has(&self, room: &str) -> bool {
        match room {
            "docker" => self.docker.is_some(),
            "registry" => self.registry.is_some(),
            "storage" => self.storage.is_some(),
            "identity" => self.identity.is_some(),
            "jobs" => self.jobs.is_some(),
            _ => false,
        }
    }

    /// Whether `other` allows the same, wherever in the file it stands.
    pub(crate) fn same_as(&self, other: &Grants) -> bool {
        let Grants { docker, registry, storage, identity, jobs } = self;
        let docker = match (docker, &other.docker) {
            (Some(docker), Some(other)) => docker.same_as(other),
            (docker, other) => docker.is_none() && other.is_none(),
        };
        docker && *registry == other.registry && *storage == other.storage && *identity == other.identity && *jobs == other.jobs
    }

    /// Whether `room` was granted `power`.
    pub(crate) fn allows(&self, room: &str, power: &str) -> bool {
        match room {
            "docker" => self.docker.as_ref().is_some_and(|grant| grant.has(power)),
            "registry" => self.registry.as_ref().is_some_and(|grant| grant.has(power)),
            "storage" => self.storage.as_ref().is_some_and(|grant| grant.has(power)),
            "identity" => self.identity.as_ref().is_some_and(|grant| grant.has(power)),
            "jobs" => self.jobs.as_ref().is_some_and(|grant| grant.has(power)),
            _ => false,
        }
    }
}
