//! From a file to a [`Generation`]: read, compile, describe, check, link, try.
//!
//! Nothing of a plugin runs with any power before everything was checked: its description is asked for in an instance whose rooms all refuse, under the limits that the plugin will have, so that a
//! component which cannot start within them holds up nobody for longer. Whatever is wrong comes back as [`Mistakes`] at the line of `wharf.toml` that is concerned, with what to write there;
//! the host goes on serving the other plugins.
//!
//! A new version that wants more than the old one needs no further yes than the one in the configuration: the grant there is the operator's word, an import without a grant is never linked, and so a
//! component that imports more than it was granted is not loaded and the old version goes on. Nothing that a component says of itself widens what it may do.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use wasmtime::component::{Component, InstancePre, Linker};

use super::checks::{CONTRACT, check_config, check_imports, one, warnings};
use super::circuit::Circuit;
use super::code_cache::{CodeCache, sha256_hex};
use super::describe::Description;
use super::generation::{Generation, Instances, SharedGeneration};
use super::instance::{Exports, InstanceParts};
use super::runtime::WasmRuntime;
use super::schedules::{self, HANDLER, schedules};
use super::state::{InstanceState, PluginRooms};
use crate::backend::catalog::Catalogs;
use crate::backend::database::SpaceName;
use crate::backend::docker_hub::Hub;
use crate::backend::engine::Engine;
use crate::backend::jobs::Queues;
use crate::backend::lines::LineMeter;
use crate::backend::operations::{Operations, Owner};
use crate::backend::recreate::Recreations;
use crate::backend::registry::Registries;
use crate::backend::users::{Identities, SiteUsers};
use crate::bindings::exports::wharf::http::handler;
use crate::bindings::exports::wharf::jobs::handler as jobs;
use crate::bindings::exports::wharf::plugin::description;
use crate::bindings::wharf::http::{outgoing, types};
use crate::capability;
use crate::capability::call::PluginIdentity;
use crate::capability::config::PluginSettingsText;
use crate::capability::docker::DockerRoom;
use crate::capability::identity::IdentityRoom;
use crate::capability::jobs::JobsRoom;
use crate::capability::registry::{RegistryRoom, Sources, Store};
use crate::capability::storage::{Storage, StorageRoom};
use crate::metrics::Metrics;
use crate::settings::{Limits, Located, Mistake, Mistakes, PluginSettings};

/// What helps a component that does not start.
const START_LIMITS: &str = "its `limits` hold while it starts: raise `memory_mib` or `start_deadline_ms` if one of them is too small";

/// Loads plugins. One for the process.
pub(crate) struct Loader {
    pub(crate) runtime: Arc<WasmRuntime>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) operations: Operations,
    pub(crate) registries: Registries,
    pub(crate) recreations: Recreations,
    pub(crate) hub: Hub,
    /// The catalogues of each site, by its name. Plugins keep theirs over a reload, so that it changes what is in them.
    catalogs: Mutex<HashMap<String, Catalogs>>,
    pub(crate) storage: Storage,
    pub(crate) identities: Identities,
    /// The queues of the sites, which stay over a reload.
    pub(crate) queues: Queues,
    cache: CodeCache,
    /// Descriptions by the component's digest.
    descriptions: Mutex<HashMap<String, Description>>,
    /// How many generations each plugin had, by site and name.
    generations: Mutex<HashMap<(String, String), Arc<AtomicU64>>>,
}

/// A component, compiled, and what it imports.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    pub(crate) digest: String,
    /// Sorted.
    pub(crate) imports: Vec<String>,
    /// Sorted.
    pub(crate) exports: Vec<String>,
}

/// Why a file is no component that can be loaded, without a place in a configuration file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComponentError {
    /// It cannot be read.
    #[error("failed to read `{path}`")]
    Read { path: String, source: io::Error },
    /// Its sha256 is another.
    #[error("`{path}` has the sha256 {actual}, the configuration pins {expected}")]
    Digest { path: String, actual: String, expected: String },
    /// It is machine code.
    #[error("`{path}` is precompiled machine code, which cannot be checked and is not loaded")]
    Precompiled { path: String },
    /// It is a core module.
    #[error("`{path}` is a core WebAssembly module, not a component")]
    CoreModule { path: String },
    /// It is something else.
    #[error("`{path}` is no WebAssembly component: it does not begin with the bytes of one")]
    NotWasm { path: String },
    /// It does not compile.
    #[error("`{path}` does not compile: {reason}")]
    Compile { path: String, reason: String },
}

impl ComponentError {
    /// What to do about it.
    fn remedy(&self) -> Option<String> {
        Some(match self {
            ComponentError::Read { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    "build it, or correct the path; one in a configuration is relative to the file that it stands in".to_owned()
                }
                io::ErrorKind::PermissionDenied => "let the user that runs the host read it and enter the folders above it".to_owned(),
                io::ErrorKind::IsADirectory => "name the component itself".to_owned(),
                _ => return None,
            },
            ComponentError::Digest { actual, .. } => {
                format!("if this is the component that you mean, write `sha256 = \"{actual}\"`; if not, find out who replaced it")
            }
            ComponentError::Precompiled { .. } => "name the component that it was made from".to_owned(),
            ComponentError::CoreModule { .. } => {
                "build it for the target wasm32-wasip2, or make a component of it with `wasm-tools component new`".to_owned()
            }
            ComponentError::NotWasm { .. } => "name a component, which is what a build for the target wasm32-wasip2 makes".to_owned(),
            ComponentError::Compile { .. } => "it is damaged, or uses what this host does not have: build it again".to_owned(),
        })
    }

    /// As a mistake without a place.
    pub(crate) fn into_mistake(self) -> Mistake {
        let remedy = self.remedy();
        Mistake { at: None, message: format!("{:#}", anyhow::Error::new(self)), remedy }
    }
}

impl Loader {
    /// A loader that keeps compiled code in `cache` and finds users at `place`.
    pub(crate) fn new(runtime: WasmRuntime, cache: CodeCache, metrics: Arc<Metrics>, operations: Operations) -> Loader {
        let runtime = Arc::new(runtime);
        let registries = Registries::new(metrics.clone());
        let hub = Hub::new(registries.clone());
        let recreations = Recreations::new(operations.clone());
        let (storage, identities) = (Storage::default(), Identities::new(metrics.clone()));
        let queues = Queues::new(storage.databases.clone());
        let (catalogs, descriptions, generations) = (Mutex::default(), Mutex::default(), Mutex::default());
        Loader {
            runtime,
            metrics,
            operations,
            registries,
            recreations,
            hub,
            catalogs,
            storage,
            identities,
            queues,
            cache,
            descriptions,
            generations,
        }
    }

    /// The catalogues of the site `site`.
    pub(crate) fn catalogs(&self, site: &str) -> Catalogs {
        let mut catalogs = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
        catalogs.entry(site.to_owned()).or_insert_with(|| Catalogs::new(self.registries.clone())).clone()
    }

    /// Reads and compiles the component at `path`, in the background.
    ///
    /// # Errors
    ///
    /// [`ComponentError`].
    pub(crate) async fn compile(&self, path: &Path, sha256: Option<&str>) -> Result<Compiled, ComponentError> {
        let shown = path.display().to_string();
        let wasm = tokio::fs::read(path).await.map_err(|source| ComponentError::Read { path: shown.clone(), source })?;
        let digest = sha256_hex(&wasm);
        if let Some(expected) = sha256.filter(|expected| *expected != digest) {
            return Err(ComponentError::Digest { path: shown, actual: digest, expected: expected.to_owned() });
        }
        kind(&wasm, &shown)?;
        let (cache, engine, name) = (self.cache.clone(), self.runtime.engine.clone(), digest.clone());
        let compiled = tokio::task::spawn_blocking(move || cache.compile(&engine, &wasm, &name)).await;
        let component = match compiled {
            Ok(Ok(component)) => component,
            Ok(Err(error)) => return Err(ComponentError::Compile { path: shown, reason: format!("{error:#}") }),
            Err(error) => return Err(ComponentError::Compile { path: shown, reason: error.to_string() }),
        };
        let component_type = component.component_type();
        let mut imports: Vec<String> = component_type.imports(&self.runtime.engine).map(|(name, _)| name.to_owned()).collect();
        let mut exports: Vec<String> = component_type.exports(&self.runtime.engine).map(|(name, _)| name.to_owned()).collect();
        imports.sort();
        exports.sort();
        Ok(Compiled { component, digest, imports, exports })
    }

    /// Loads the plugin that `settings` describe for the site that has `users`. `engine` is the engine of its grants; none when it could not be made.
    ///
    /// # Errors
    ///
    /// All that is wrong with the component under these settings.
    pub(crate) async fn load(
        &self,
        users: &Arc<SiteUsers>,
        settings: PluginSettings,
        engine: Option<Arc<Engine>>,
    ) -> Result<SharedGeneration, Mistakes> {
        let site = users.site.as_str();
        let here = |mistake: Mistake| Mistakes(vec![Mistake { at: Some(settings.source.at.clone()), ..mistake }]);
        let compiled = self.compile(&settings.source.value, settings.sha256.as_deref()).await;
        let compiled = compiled.map_err(|error| here(error.into_mistake()))?;
        check_imports(&compiled.imports, &settings)?;
        let description = self.describe(&compiled, &settings.limits).await.map_err(here)?;
        check_config(&description, &settings)?;
        schedules::check(&description, &settings, has_jobs(&compiled.exports))?;
        let schedules = schedules(&description, &settings);
        for warning in warnings(&description.grants, &compiled.imports, &settings.grants, &settings.at) {
            tracing::warn!(plugin = settings.name.value, "{warning}");
        }

        let owner = Owner { site: site.to_owned(), plugin: settings.name.value.clone() };
        let operations = self.operations.of_plugin(owner, settings.limits.operations);
        let docker = match (&settings.grants.docker, &engine) {
            (Some(grant), Some(engine)) => {
                DockerRoom::new(grant.clone(), engine, &self.registries, self.recreations.on(engine), operations.clone())
            }
            (None, _) => DockerRoom::powerless(),
            // Engines are made before plugins are loaded, and one that could not be has been reported.
            (Some(grant), None) => {
                let Located { value, at } = grant.engine();
                return Err(one(at, format!("the engine `{value}` cannot be used"), None));
            }
        };
        let storage_epoch = settings.grants.storage.is_some().then(|| self.storage.epoch());
        let owner = SpaceName { site: site.to_owned(), plugin: settings.name.value.clone() };
        let parts = InstanceParts {
            runtime: Arc::clone(&self.runtime),
            rooms: Arc::new(PluginRooms {
                docker,
                registry: RegistryRoom::new(
                    settings.grants.registry.clone(),
                    self.sources(site, engine.clone()),
                    Store { operations, blobs: self.storage.blobs_of(settings.grants.storage.as_ref(), &owner) },
                ),
                storage: StorageRoom::new(settings.grants.storage.clone(), &self.storage, owner),
                identity: IdentityRoom::new(settings.grants.identity.clone(), users),
                jobs: JobsRoom::new(
                    settings.grants.jobs.clone(),
                    &settings.name.value,
                    &self.queues.site(site),
                    settings.limits.jobs_waiting,
                    schedules.clone(),
                ),
                config: PluginSettingsText::new(settings.config.clone()),
                lines: Arc::new(LineMeter::new(settings.limits.log_lines_per_second)),
            }),
            identity: Arc::new(PluginIdentity {
                site: site.to_owned(),
                plugin: settings.name.value.clone(),
                generation: self.next_generation(site, &settings.name.value),
            }),
            observer: Arc::new(self.metrics.host_calls()),
            limits: settings.limits.clone(),
        };
        let (pre, exports) = self.link(&compiled, |room, power| settings.grants.allows(room, power)).map_err(here)?;
        let instances = Instances::new(&parts);
        let metrics = self.metrics.plugin(site, &settings.name.value);
        let Compiled { digest, imports, .. } = compiled;
        let generation = Arc::new(Generation {
            description,
            digest,
            settings,
            engine,
            storage: storage_epoch,
            schedules,
            imports,
            parts,
            pre,
            exports,
            instances,
            circuit: Circuit::default(),
            metrics,
        });
        // The first request should not be the one that finds out.
        match generation.instance().await {
            Ok(instance) => generation.recycle(instance),
            Err(outcome) => {
                let reason = match outcome {
                    super::outcome::Outcome::NotLoaded { reason, .. } => reason,
                    _ => "every instance of the pool is in use".to_owned(),
                };
                return Err(one(&generation.settings.source.at, reason, Some(START_LIMITS.to_owned())));
            }
        }
        Ok(generation)
    }

    /// Asks a component what it is, in an instance without any power, under `limits`. Remembered by digest: it answers the same each time, whatever its limits.
    ///
    /// # Errors
    ///
    /// What keeps it from being asked, or what is wrong with its answer, without a place.
    pub(crate) async fn describe(&self, compiled: &Compiled, limits: &Limits) -> Result<Description, Mistake> {
        if let Some(known) = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner).get(&compiled.digest) {
            return Ok(known.clone());
        }
        let parts = InstanceParts {
            runtime: Arc::clone(&self.runtime),
            rooms: Arc::new(PluginRooms {
                docker: DockerRoom::powerless(),
                registry: RegistryRoom::new(None, self.sources("", None), Store { operations: Operations::nobodys(), blobs: None }),
                storage: StorageRoom::new(None, &self.storage, SpaceName::default()),
                identity: IdentityRoom::powerless(),
                jobs: JobsRoom::powerless(),
                config: PluginSettingsText::default(),
                lines: Arc::new(LineMeter::new(0)),
            }),
            identity: Arc::new(PluginIdentity { site: String::new(), plugin: String::new(), generation: 0 }),
            observer: Arc::new(self.metrics.host_calls()),
            limits: limits.clone(),
        };
        let (pre, exports) = self.link(compiled, |_, _| true)?;
        let described = async { parts.instantiate(&pre, &exports, 1).await?.describe(&exports).await.transpose() };
        let wrong = |message: String| Mistake { at: None, message, remedy: Some(START_LIMITS.to_owned()) };
        let text = match described.await {
            Ok(Some(text)) => text,
            Ok(None) => return Err(wrong(format!("the component did not describe itself within {} ms", limits.start_deadline_ms))),
            Err(error) => return Err(wrong(format!("the component cannot describe itself: {error:#}"))),
        };
        let description = Description::parse(&text).map_err(|error| {
            let remedy = Some("correct what the plugin says of itself, and build it again".to_owned());
            Mistake { at: None, message: format!("the component cannot be used: {error}"), remedy }
        })?;
        let mut known = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(compiled.digest.clone(), description.clone());
        Ok(description)
    }

    /// Removes compiled code that is of no use any more. Blocks.
    pub(crate) fn sweep_cache(&self) {
        self.cache.sweep(&self.runtime.engine, SystemTime::now());
    }

    /// Links `compiled` with the interfaces that `allowed` has, and finds what the host calls. Mistakes have no place.
    fn link(&self, compiled: &Compiled, allowed: impl Fn(&str, &str) -> bool) -> Result<(InstancePre<InstanceState>, Exports), Mistake> {
        let linked = linker(&self.runtime, allowed).and_then(|linker| linker.instantiate_pre(&compiled.component));
        let pre = linked.map_err(|error| Mistake {
            at: None,
            message: format!("the component cannot be linked: {error:#}"),
            remedy: Some("build it to import nothing but the interfaces of the contract and those of WASI 0.2".to_owned()),
        })?;
        let exports = exports(&pre, &compiled.exports)?;
        Ok((pre, exports))
    }

    fn sources(&self, site: &str, engine: Option<Arc<Engine>>) -> Sources {
        Sources::new(self.registries.clone(), self.hub.clone(), engine, self.catalogs(site))
    }

    fn next_generation(&self, site: &str, plugin: &str) -> u64 {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.entry((site.to_owned(), plugin.to_owned())).or_default().fetch_add(1, Ordering::Relaxed) + 1
    }
}

fn kind(wasm: &[u8], path: &str) -> Result<(), ComponentError> {
    let path = path.to_owned();
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(ComponentError::Precompiled { path });
    }
    // The version field of a core module is 1; a component has a layer there.
    match wasm.first_chunk::<8>() {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(ComponentError::CoreModule { path }),
        _ => Err(ComponentError::NotWasm { path }),
    }
}

/// WASI, the request's own interfaces, and every interface of the rooms that `allowed` has.
fn linker(runtime: &WasmRuntime, allowed: impl Fn(&str, &str) -> bool) -> wasmtime::Result<Linker<InstanceState>> {
    let mut linker = Linker::new(&runtime.engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    types::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |state| state)?;
    outgoing::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |state| state)?;
    for room in capability::rooms::<InstanceState>() {
        for interface in room.interfaces {
            if interface.power.is_none_or(|power| allowed(room.name, power)) {
                (interface.link)(&mut linker)?;
            }
        }
    }
    Ok(linker)
}

/// The exports that the host calls. `names` are all that there are. A mistake has no place.
fn exports(pre: &InstancePre<InstanceState>, names: &[String]) -> Result<Exports, Mistake> {
    let missing = |interface: &str| {
        let other = names.iter().find(|name| name.split_once('@').is_some_and(|(base, _)| base == interface));
        let found = other.map(|other| format!("; it exports `{other}`")).unwrap_or_default();
        let why = if interface == HANDLER { "" } else { ", which a plugin must" };
        let message = format!("the component does not export `{interface}@{CONTRACT}`{why}{found}");
        let remedy = match other {
            Some(_) => format!("build it with an SDK of the contract {CONTRACT}"),
            None => format!("export it with `wharf_sdk::export!`, or build for the world `wharf:plugin/plugin@{CONTRACT}`"),
        };
        Mistake { at: None, message, remedy: Some(remedy) }
    };
    Ok(Exports {
        description: description::GuestIndices::new(pre).map_err(|_| missing("wharf:plugin/description"))?,
        handler: handler::GuestIndices::new(pre).map_err(|_| missing("wharf:http/handler"))?,
        jobs: match has_jobs(names) {
            true => Some(jobs::GuestIndices::new(pre).map_err(|_| missing(HANDLER))?),
            false => None,
        },
    })
}

/// Whether a component with the exports `names` carries out jobs, in whatever version of the contract.
fn has_jobs(names: &[String]) -> bool {
    names.iter().any(|name| name.split_once('@').is_some_and(|(base, _)| base == HANDLER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_kind(wasm: &[u8], problem: &str) {
        let found = kind(wasm, "x.wasm").map_or_else(|error| error.to_string(), |()| "a component".to_owned());
        assert!(found.contains(problem), "{found}");
    }

    #[test]
    fn what_is_no_component_is_called_by_its_name() {
        check_kind(b"\0asm\x0d\0\x01\0rest", "a component");
        check_kind(b"\0asm\x01\0\0\0", "core WebAssembly module");
        check_kind(b"\x7fELF and more", "no WebAssembly component");
        check_kind(b"", "no WebAssembly component");
    }
}
