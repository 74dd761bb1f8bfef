//! From a file to a [`Generation`]: read, compile, describe, check, link, try.
//!
//! Nothing of a plugin runs with any power before everything was checked: its description is asked for in an instance whose rooms all refuse. Whatever is wrong comes back as
//! [`Mistakes`] at the line of `wharf.toml` that is concerned, with what to write there; the host goes on serving the other plugins.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{Component, InstancePre, Linker};

use super::circuit::Circuit;
use super::code_cache::{CodeCache, sha256_hex};
use super::describe::Description;
use super::generation::{Generation, Instances, SharedGeneration};
use super::instance::{Exports, InstanceParts};
use super::runtime::WasmRuntime;
use super::state::{InstanceState, PluginRooms};
use crate::backend::lines::LineMeter;
use crate::backend::operations::Operations;
use crate::bindings::exports::wharf::http::handler;
use crate::bindings::exports::wharf::plugin::description;
use crate::bindings::wharf::http::{outgoing, types};
use crate::capability::call::PluginIdentity;
use crate::capability::config::PluginSettingsText;
use crate::capability::docker::DockerRoom;
use crate::capability::{self, Grants};
use crate::metrics::Metrics;
use crate::settings::{Location, Mistake, Mistakes, PluginSettings};

/// The contract that this host offers, as the version of its packages.
pub(crate) const CONTRACT: &str = "0.1.0";

/// Loads plugins. One for the process.
pub(crate) struct Loader {
    pub(crate) runtime: Arc<WasmRuntime>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) operations: Operations,
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
    Read { path: String, source: std::io::Error },
    /// Its sha256 is another.
    #[error("`{path}` has the sha256 {actual}, the configuration pins {expected}")]
    Digest { path: String, actual: String, expected: String },
    /// It is machine code.
    #[error("`{path}` is precompiled machine code, which cannot be checked and is not loaded; name the component itself")]
    Precompiled { path: String },
    /// It is a core module.
    #[error("`{path}` is a core WebAssembly module, not a component; build it for the target wasm32-wasip2")]
    CoreModule { path: String },
    /// It is something else.
    #[error("`{path}` is no WebAssembly component: it does not begin with the bytes of one")]
    NotWasm { path: String },
    /// It does not compile.
    #[error("`{path}` does not compile: {reason}")]
    Compile { path: String, reason: String },
}

impl Loader {
    /// A loader that keeps compiled code in `cache`.
    pub(crate) fn new(runtime: WasmRuntime, cache: CodeCache, metrics: Arc<Metrics>, operations: Operations) -> Loader {
        let runtime = Arc::new(runtime);
        Loader { runtime, metrics, operations, cache, descriptions: Mutex::default(), generations: Mutex::default() }
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

    /// Loads the plugin that `settings` describe. `engine` is the engine that its docker grant names.
    ///
    /// # Errors
    ///
    /// All that is wrong with the component under these settings.
    pub(crate) async fn load(&self, site: &str, settings: PluginSettings, docker: DockerRoom) -> Result<SharedGeneration, Mistakes> {
        let here = |error: &dyn std::fmt::Display| one(&settings.source.at, error.to_string());
        let at_source = |error: ComponentError| one(&settings.source.at, format!("{:#}", anyhow::Error::new(error)));
        let compiled = self.compile(&settings.source.value, settings.sha256.as_deref()).await.map_err(at_source)?;
        check_imports(&compiled.imports, &settings)?;
        let description = self.describe(&compiled, &settings.source.at).await?;
        check_config(&description, &settings)?;
        warn_of_unused(&description, &compiled.imports, &settings);

        let parts = InstanceParts {
            runtime: Arc::clone(&self.runtime),
            rooms: Arc::new(PluginRooms {
                docker,
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
        let linker = linker(&self.runtime, |room, power| settings.grants.allows(room, power)).map_err(|error| here(&error))?;
        let pre = linker.instantiate_pre(&compiled.component).map_err(|error| here(&format_args!("it cannot be linked: {error:#}")))?;
        let exports = exports(&pre, &settings.source.at)?;
        let instances = Instances::new(&parts);
        let metrics = self.metrics.plugin(site, &settings.name.value);
        let Compiled { digest, imports, .. } = compiled;
        let generation = Arc::new(Generation {
            description,
            digest,
            settings,
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
                return Err(one(&generation.settings.source.at, reason));
            }
        }
        Ok(generation)
    }

    /// Asks a component what it is, in an instance without any power. Remembered by digest.
    ///
    /// # Errors
    ///
    /// What keeps it from being asked, or what is wrong with its answer, at `at`.
    pub(crate) async fn describe(&self, compiled: &Compiled, at: &Location) -> Result<Description, Mistakes> {
        if let Some(known) = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner).get(&compiled.digest) {
            return Ok(known.clone());
        }
        let limits = crate::settings::Limits::default();
        let start_deadline_ms = limits.start_deadline_ms;
        let parts = InstanceParts {
            runtime: Arc::clone(&self.runtime),
            rooms: Arc::new(PluginRooms {
                docker: DockerRoom::powerless(),
                config: PluginSettingsText::default(),
                lines: Arc::new(LineMeter::new(0)),
            }),
            identity: Arc::new(PluginIdentity { site: String::new(), plugin: String::new(), generation: 0 }),
            observer: Arc::new(self.metrics.host_calls()),
            limits,
        };
        let linker = linker(&self.runtime, |_, _| true).map_err(|error| one(at, format!("{error:#}")))?;
        let pre =
            linker.instantiate_pre(&compiled.component).map_err(|error| one(at, format!("the component cannot be linked: {error:#}")))?;
        let exports = exports(&pre, at)?;
        let described = async { parts.instantiate(&pre, &exports, 1).await?.describe(&exports).await.transpose() };
        let text = match described.await {
            Ok(Some(text)) => text,
            Ok(None) => return Err(one(at, format!("the component did not describe itself within {start_deadline_ms} ms"))),
            Err(error) => return Err(one(at, format!("the component cannot describe itself: {error:#}"))),
        };
        let description = Description::parse(&text).map_err(|error| one(at, format!("the component cannot be used: {error}")))?;
        let mut known = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(compiled.digest.clone(), description.clone());
        Ok(description)
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

/// The exports that the host calls.
fn exports(pre: &InstancePre<InstanceState>, at: &Location) -> Result<Exports, Mistakes> {
    let missing = |interface: &str| {
        let remedy = format!("export it with `wharf_sdk::export!`, or build for the world `wharf:plugin/plugin@{CONTRACT}`");
        Mistakes(vec![Mistake {
            at: Some(at.clone()),
            message: format!("the component does not export `{interface}@{CONTRACT}`, which a plugin must"),
            remedy: Some(remedy),
        }])
    };
    Ok(Exports {
        description: description::GuestIndices::new(pre).map_err(|_| missing("wharf:plugin/description"))?,
        handler: handler::GuestIndices::new(pre).map_err(|_| missing("wharf:http/handler"))?,
    })
}

/// Whether everything that the component imports is offered and granted.
fn check_imports(imports: &[String], settings: &PluginSettings) -> Result<(), Mistakes> {
    let rooms = capability::rooms::<InstanceState>();
    let mut mistakes = Vec::new();
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for import in imports.iter().filter(|import| import.starts_with("wharf:")) {
        let (base, version) = import.split_once('@').unwrap_or((import, ""));
        let known = rooms.iter().flat_map(|room| room.interfaces.iter().map(move |interface| (room.name, interface)));
        let known = known.into_iter().find(|(_, interface)| interface.name.split_once('@').is_some_and(|(name, _)| name == base));
        let shared = ["wharf:http/types", "wharf:http/outgoing", "wharf:docker/types"].contains(&base);
        if !shared && known.is_none() {
            let remedy = Some("build the plugin with an SDK that this host's README names, or use a newer host".to_owned());
            mistakes.push(Mistake {
                at: Some(settings.source.at.clone()),
                message: format!("the component imports `{import}`, which this host does not have"),
                remedy,
            });
        } else if !same_track(version) {
            let message = format!("the component imports `{import}`; this host offers {CONTRACT} of it");
            let remedy = Some(format!("build the plugin with an SDK of the contract {CONTRACT}"));
            mistakes.push(Mistake { at: Some(settings.source.at.clone()), message, remedy });
        } else if let Some((room, power)) = known.and_then(|(room, interface)| Some((room, interface.power?)))
            && !settings.grants.allows(room, power)
        {
            missing.entry(room).or_default().push(power);
        }
    }
    for (room, powers) in missing {
        let words = powers.iter().map(|power| format!("\"{power}\"")).collect::<Vec<_>>().join(", ");
        let interfaces = powers.iter().map(|power| format!("`wharf:{room}/{}`", power.replace('.', "-"))).collect::<Vec<_>>().join(", ");
        mistakes.push(Mistake {
            at: Some(settings.at.clone()),
            message: format!("plugin `{}` imports {interfaces} without a grant", settings.name.value),
            remedy: Some(format!("if it should have them, add below this plugin:\n    [site.plugin.grants.{room}]\n    allow = [{words}]")),
        });
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes)) }
}

/// Whether an import of `version` can be met by [`CONTRACT`]: below 1.0 the minor number is the track.
fn same_track(version: &str) -> bool {
    let track = |version: &str| version.rsplit_once('.').map(|(track, _)| track.to_owned());
    track(version) == track(CONTRACT)
}

/// Whether the plugin's settings fit its schema.
fn check_config(description: &Description, settings: &PluginSettings) -> Result<(), Mistakes> {
    let validator = description.config_validator().map_err(|error| one(&settings.source.at, error.to_string()))?;
    let mut values = settings.config.values.clone();
    // To the schema a secret is the string that it will be.
    values.extend(settings.config.secrets.keys().map(|name| (name.clone(), serde_json::Value::from(""))));
    let values = serde_json::Value::Object(values);
    let mistakes: Vec<Mistake> = validator
        .iter_errors(&values)
        .map(|error| {
            let pointer = error.instance_path().to_string();
            let at = settings.config.places.get(&pointer).or_else(|| settings.config.places.get("")).unwrap_or(&settings.at);
            let key = pointer.trim_start_matches('/').replace('/', ".");
            let of = if key.is_empty() { "config".to_owned() } else { format!("config.{key}") };
            let remedy = description
                .config
                .as_ref()
                .and_then(|schema| schema.pointer("/properties"))
                .and_then(serde_json::Value::as_object)
                .map(|known| format!("the plugin knows {}", known.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")));
            Mistake { at: Some(at.clone()), message: format!("`{of}` of plugin `{}`: {error}", settings.name.value), remedy }
        })
        .collect();
    if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes)) }
}

/// Says which grants nothing asks for, and which imports the plugin does not account for.
fn warn_of_unused(description: &Description, imports: &[String], settings: &PluginSettings) {
    for warning in warnings(&description.grants, imports, &settings.grants, &settings.at) {
        tracing::warn!(plugin = settings.name.value, "{warning}");
    }
}

/// What an operator should know of a plugin that can be loaded all the same.
pub(crate) fn warnings(wanted: &BTreeMap<String, Vec<String>>, imports: &[String], grants: &Grants, at: &Location) -> Vec<Mistake> {
    let mut warnings = Vec::new();
    for room in capability::rooms::<InstanceState>() {
        for interface in &room.interfaces {
            let Some(power) = interface.power else { continue };
            let base = interface.name.split_once('@').map_or(interface.name, |(base, _)| base);
            let imported = imports.iter().any(|import| import.split_once('@').is_some_and(|(name, _)| name == base));
            let wanted = wanted.get(room.name).is_some_and(|powers| powers.iter().any(|word| word == power));
            if grants.allows(room.name, power) && !imported {
                let message = format!("`{power}` of `grants.{}` is granted, and nothing in the component asks for it", room.name);
                warnings.push(Mistake { at: Some(at.clone()), message, remedy: Some("take it out of `allow`".to_owned()) });
            }
            if imported && !wanted {
                let message = format!("the component imports `{base}`, which its description does not account for");
                warnings.push(Mistake { at: Some(at.clone()), message, remedy: None });
            }
        }
    }
    warnings
}

fn one(at: &Location, message: String) -> Mistakes {
    Mistakes(vec![Mistake { at: Some(at.clone()), message, remedy: None }])
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

    #[test]
    fn a_contract_of_the_same_track_is_accepted() {
        assert!(same_track("0.1.0") && same_track("0.1.7"));
        assert!(!same_track("0.2.0") && !same_track("1.1.0") && !same_track(""));
    }
}
