//! One site: its name, the hosts it answers to, and its plugins, loaded or not.
//!
//! A site is built whole and never changed: a reload builds another one, which takes over every generation that is still right. A plugin that cannot be loaded keeps its place: its
//! mount answers 503 and says so in the log and the admin API, and a plugin that was loaded before goes on as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::backend::engine::Engine;
use crate::capability::docker::DockerRoom;
use crate::plugin::code_cache::sha256_hex;
use crate::plugin::generation::SharedGeneration;
use crate::plugin::load::Loader;
use crate::settings::{Mistake, PluginSettings, SiteSettings};

/// The engines of the process.
#[derive(Default)]
pub(crate) struct Engines {
    pub(crate) by_name: BTreeMap<String, Engine>,
    /// Those that are not the ones of the last load: what was loaded on them must be loaded again.
    pub(crate) changed: BTreeSet<String>,
}

/// A site that can be served.
pub(crate) struct Site {
    pub(crate) name: String,
    /// Empty: every host that no other site names.
    pub(crate) hosts: Vec<String>,
    /// In the order of the file.
    pub(crate) plugins: Vec<Plugin>,
}

/// A plugin of a site.
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) mount: String,
    pub(crate) state: PluginState,
}

/// Whether a plugin can be called.
pub(crate) enum PluginState {
    /// It can.
    Loaded(SharedGeneration),
    /// It cannot, and why.
    Failed(String),
}

impl Site {
    /// Loads the site's plugins. `previous` is the same site before a reload.
    ///
    /// The second answer is what is wrong, for the log; the site can be served all the same.
    pub(crate) async fn load(loader: &Loader, engines: &Engines, settings: SiteSettings, previous: Option<&Site>) -> (Site, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        let mut plugins = Vec::new();
        for plugin in settings.plugins {
            let (name, mount) = (plugin.name.value.clone(), plugin.mount.value.clone());
            let before = previous.and_then(|site| site.loaded(&name));
            let state = load_plugin(loader, engines, &settings.name.value, plugin, before, &mut mistakes).await;
            plugins.push(Plugin { name, mount, state });
        }
        claim_patterns(&mut plugins, &mut mistakes);
        (Site { name: settings.name.value, hosts: settings.hosts, plugins }, mistakes)
    }

    fn loaded(&self, plugin: &str) -> Option<&SharedGeneration> {
        self.plugins.iter().find(|known| known.name == plugin).and_then(|known| match &known.state {
            PluginState::Loaded(generation) => Some(generation),
            PluginState::Failed(_) => None,
        })
    }
}

async fn load_plugin(
    loader: &Loader,
    engines: &Engines,
    site: &str,
    settings: PluginSettings,
    before: Option<&SharedGeneration>,
    mistakes: &mut Vec<Mistake>,
) -> PluginState {
    let engine_changed = settings.grants.docker.as_ref().is_some_and(|grant| engines.changed.contains(&grant.engine().value));
    if let Some(before) = before
        && !engine_changed
        && still_right(before, &settings).await
    {
        return PluginState::Loaded(Arc::clone(before));
    }
    let room = docker_room(&settings, engines, loader);
    match loader.load(site, settings, room).await {
        Ok(generation) => PluginState::Loaded(generation),
        Err(found) => {
            let reason = found.to_string();
            mistakes.extend(found.0);
            before.map_or(PluginState::Failed(reason), |before| PluginState::Loaded(Arc::clone(before)))
        }
    }
}

/// Whether `generation` is what loading `settings` would make once more.
async fn still_right(generation: &SharedGeneration, settings: &PluginSettings) -> bool {
    // Every field is named, so that a new one cannot be forgotten here.
    let PluginSettings { name: _, source, sha256, mount, isolation, limits, grants, config, at: _ } = settings;
    let old = &generation.settings;
    let same = (&old.source.value, &old.sha256, &old.mount.value) == (&source.value, sha256, &mount.value)
        && (old.isolation, &old.limits, &old.grants) == (*isolation, limits, grants)
        && (&old.config.values, &old.config.secrets) == (&config.values, &config.secrets);
    same && tokio::fs::read(&source.value).await.is_ok_and(|wasm| sha256_hex(&wasm) == generation.digest)
}

fn docker_room(settings: &PluginSettings, engines: &Engines, loader: &Loader) -> DockerRoom {
    // The settings were refused if they name an engine that is not there.
    let granted = settings.grants.docker.as_ref().and_then(|grant| Some((grant, engines.by_name.get(&grant.engine().value)?)));
    let operations = loader.operations.of_plugin(settings.limits.operations);
    granted.map_or_else(DockerRoom::powerless, |(grant, engine)| DockerRoom::new(grant.clone(), engine, operations))
}

/// Takes a plugin out of service whose patterns an earlier one of the same mount has claimed.
fn claim_patterns(plugins: &mut [Plugin], mistakes: &mut Vec<Mistake>) {
    let mut claimed: BTreeMap<String, (matchit::Router<()>, BTreeMap<String, String>)> = BTreeMap::new();
    for plugin in plugins {
        let PluginState::Loaded(generation) = &plugin.state else { continue };
        let (matcher, owners) = claimed.entry(plugin.mount.clone()).or_default();
        let patterns = patterns(generation);
        let taken = patterns.iter().find(|pattern| {
            let mut trial = matcher.clone();
            trial.insert(pattern.as_str(), ()).is_err()
        });
        let Some(taken) = taken else {
            for pattern in patterns {
                let _ = matcher.insert(&pattern, ());
                owners.insert(pattern, plugin.name.clone());
            }
            continue;
        };
        let owner = owners.get(taken).or_else(|| owners.values().next()).map_or("", String::as_str);
        let shown = if plugin.mount.is_empty() { "/" } else { &plugin.mount };
        let message =
            format!("plugin `{}` claims the path pattern `{taken}` below `{shown}`, which plugin `{owner}` claims already", plugin.name);
        let remedy = Some("give one of the two another `mount`".to_owned());
        mistakes.push(Mistake { at: Some(generation.settings.mount.at.clone()), message: message.clone(), remedy });
        plugin.state = PluginState::Failed(message);
    }
}

/// The path patterns that a plugin takes, below its mount.
pub(crate) fn patterns(generation: &SharedGeneration) -> Vec<String> {
    if generation.description.paths.is_empty() {
        return vec!["/".to_owned(), "/{*rest}".to_owned()];
    }
    generation.description.paths.keys().cloned().collect()
}
