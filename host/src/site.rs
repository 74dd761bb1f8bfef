//! One site: its name, the hosts it answers to, and its plugins, loaded or not.
//!
//! A site is built whole and never changed: a reload builds another one, which takes over every generation that is still right. A plugin that cannot be loaded keeps its place: its
//! mount answers 503 and says so in the log and the admin API.
//!
//! **What runs goes on.** Where something new cannot take the place of a running generation, because it cannot be loaded or because a path pattern of it is taken, the generation is kept as it was, with
//! its own settings, mount and patterns. Patterns are therefore claimed in the order of [`Standing`] and not in the order of the file: a newcomer never takes a running plugin out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::engine::Engine;
use crate::backend::jobs::Timing;
use crate::backend::users::SiteUsers;
use crate::plugin::code_cache::sha256_hex;
use crate::plugin::generation::SharedGeneration;
use crate::plugin::load::Loader;
use crate::settings::{Auth, DEFAULT_ENGINE, EngineSettings, Located, Mistake, PluginSettings, SiteSettings};
use claims::{Claims, Taken};

mod claims;

/// The engines that one reading of the settings names. Never changed: a reload makes others, which take over every engine whose URL is the same.
#[derive(Default)]
pub(crate) struct Engines {
    by_name: BTreeMap<String, NamedEngine>,
}

/// An engine, and the URL that it was made from.
pub(crate) struct NamedEngine {
    pub(crate) url: String,
    /// The pointer is the engine's identity.
    pub(crate) engine: Arc<Engine>,
}

impl Engines {
    /// The engines of `settings`; those of `before` where nothing has changed. The second answer is what is wrong: such an engine is not there.
    pub(crate) fn new(settings: &BTreeMap<String, EngineSettings>, before: &Engines) -> (Engines, Vec<Mistake>) {
        let mut by_name = BTreeMap::new();
        let mut mistakes = Vec::new();
        for (name, EngineSettings { url }) in settings {
            let known = before.by_name.get(name).filter(|known| known.url == *url).map(|known| Arc::clone(&known.engine));
            match known.map_or_else(|| Engine::new(url).map(Arc::new), Ok) {
                Ok(engine) => drop(by_name.insert(name.clone(), NamedEngine { url: url.clone(), engine })),
                Err(error) => mistakes.push(Mistake { at: None, message: format!("engine `{name}`: {error}"), remedy: None }),
            }
        }
        (Engines { by_name }, mistakes)
    }

    /// Each engine with its name, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &NamedEngine)> {
        self.by_name.iter()
    }

    /// The engine of a plugin's grants: the one that its docker grant names, or else, for a plugin that asks registries, the one that is used where none is named. None without such a grant, or when it could not
    /// be made.
    fn granted(&self, settings: &PluginSettings) -> Option<&Arc<Engine>> {
        let name = match (&settings.grants.docker, &settings.grants.registry) {
            (Some(grant), _) => grant.engine().value.as_str(),
            (None, Some(_)) => DEFAULT_ENGINE,
            (None, None) => return None,
        };
        self.by_name.get(name).map(|known| &known.engine)
    }
}

/// A site that can be served.
pub(crate) struct Site {
    pub(crate) name: String,
    /// Empty: every host that no other site names.
    pub(crate) hosts: Vec<String>,
    pub(crate) users: Arc<SiteUsers>,
    /// Whether nobody may come in while there are no users, since others than this machine's reach the host.
    pub(crate) must_ask: bool,
    /// In the order of the file.
    pub(crate) plugins: Vec<Plugin>,
}

/// A plugin of a site.
pub(crate) struct Plugin {
    pub(crate) name: String,
    /// That of the generation, if there is one; else that of the settings.
    pub(crate) mount: String,
    /// What it asks of those who come; none if the configuration does not say. As the mount.
    pub(crate) auth: Option<Auth>,
    pub(crate) state: PluginState,
    /// Why an older generation was kept although the settings or the component have changed; none if it is as it should be.
    pub(crate) kept_because: Option<String>,
}

/// Whether a plugin can be called.
pub(crate) enum PluginState {
    /// It can.
    Loaded(SharedGeneration),
    /// It cannot, and why.
    Failed(String),
}

impl Site {
    /// Loads the site's plugins. `users` are its users, `previous` is the same site before a reload.
    ///
    /// The second answer is what is wrong, for the log; the site can be served all the same.
    pub(crate) async fn load(
        loader: &Loader,
        engines: &Engines,
        users: Arc<SiteUsers>,
        settings: SiteSettings,
        previous: Option<&Site>,
    ) -> (Site, Vec<Mistake>) {
        let mut mistakes = loader.catalogs(&settings.name.value).configure(&settings.catalogs).await;
        let mut candidates = Vec::new();
        for plugin in settings.plugins {
            let before = previous.and_then(|site| site.loaded(&plugin.name.value));
            candidates.push(candidate(loader, engines, &users, plugin, before, &mut mistakes).await);
        }
        let plugins = settle(candidates, &mut mistakes);
        (Site { name: settings.name.value, hosts: settings.hosts, users, must_ask: false, plugins }, mistakes)
    }

    /// Its plugins that can be called.
    pub(crate) fn generations(&self) -> Vec<SharedGeneration> {
        let loaded = |plugin: &Plugin| match &plugin.state {
            PluginState::Loaded(generation) => Some(Arc::clone(generation)),
            PluginState::Failed(_) => None,
        };
        self.plugins.iter().filter_map(loaded).collect()
    }

    fn loaded(&self, plugin: &str) -> Option<&SharedGeneration> {
        self.plugins.iter().find(|known| known.name == plugin).and_then(|known| match &known.state {
            PluginState::Loaded(generation) => Some(generation),
            PluginState::Failed(_) => None,
        })
    }
}

/// A plugin before it is known whether it gets its path patterns.
struct Candidate {
    plugin: Plugin,
    standing: Standing,
}

/// How strong a plugin's claim to its patterns is, the strongest first.
enum Standing {
    /// It runs, and goes on. What went on together before cannot collide now.
    Kept,
    /// It is to take the place of a generation that runs, which goes on if it cannot.
    Successor(SharedGeneration),
    /// There was none of its name.
    Newcomer,
}

impl Candidate {
    /// The generation that runs, as it was. `because` it could not be replaced; none if it is right as it is.
    fn kept(generation: &SharedGeneration, because: Option<String>) -> Candidate {
        let settings = &generation.settings;
        let (name, mount) = (settings.name.value.clone(), settings.mount.value.clone());
        let state = PluginState::Loaded(Arc::clone(generation));
        Candidate { plugin: Plugin { name, mount, auth: settings.auth, state, kept_because: because }, standing: Standing::Kept }
    }

    fn rank(&self) -> u8 {
        match self.standing {
            Standing::Kept => 0,
            Standing::Successor(_) => 1,
            Standing::Newcomer => 2,
        }
    }
}

/// Loads the plugin of `settings`, unless `before`, which runs under its name, is still right.
async fn candidate(
    loader: &Loader,
    engines: &Engines,
    users: &Arc<SiteUsers>,
    settings: PluginSettings,
    before: Option<&SharedGeneration>,
    mistakes: &mut Vec<Mistake>,
) -> Candidate {
    let engine = engines.granted(&settings);
    if let Some(before) = before
        && still_right(before, &settings, engine, loader.storage.epoch()).await
    {
        return Candidate::kept(before, None);
    }
    let (name, mount, auth) = (settings.name.value.clone(), settings.mount.value.clone(), settings.auth);
    let (state, standing) = match (loader.load(users, settings, engine.cloned()).await, before) {
        (Ok(generation), Some(before)) => (PluginState::Loaded(generation), Standing::Successor(Arc::clone(before))),
        (Ok(generation), None) => (PluginState::Loaded(generation), Standing::Newcomer),
        (Err(found), before) => {
            let reason = found.to_string();
            mistakes.extend(found.0);
            match before {
                Some(before) => return Candidate::kept(before, Some(reason)),
                None => (PluginState::Failed(reason), Standing::Newcomer),
            }
        }
    };
    Candidate { plugin: Plugin { name, mount, auth, state, kept_because: None }, standing }
}

/// Whether `generation` is what loading `settings` on `engine` and `storage` would make once more.
async fn still_right(generation: &SharedGeneration, settings: &PluginSettings, engine: Option<&Arc<Engine>>, storage: u64) -> bool {
    // Every field is named, so that a new one cannot be forgotten here. Where in the file something stands makes no difference.
    let PluginSettings { name: _, source, sha256, mount, auth, isolation, limits, grants, schedules, config, at: _ } = settings;
    let old = &generation.settings;
    let timing = |(name, timing): (&String, &Located<Option<Timing>>)| (name.clone(), timing.value.clone());
    let same = (&old.source.value, &old.sha256, &old.mount.value) == (&source.value, sha256, &mount.value)
        && (old.auth, old.isolation, &old.limits) == (*auth, *isolation, limits)
        && old.grants.same_as(grants)
        && generation.engine.as_ref().map(Arc::as_ptr) == engine.map(Arc::as_ptr)
        && generation.storage.is_none_or(|known| known == storage)
        && old.schedules.iter().map(timing).eq(schedules.iter().map(timing))
        && (&old.config.values, &old.config.secrets) == (&config.values, &config.secrets);
    same && tokio::fs::read(&source.value).await.is_ok_and(|wasm| sha256_hex(&wasm) == generation.digest)
}

/// Gives each plugin its path patterns, in the order of their standing. One that does not get them is taken out of service, or gives way to the generation that it was to replace.
fn settle(mut candidates: Vec<Candidate>, mistakes: &mut Vec<Mistake>) -> Vec<Plugin> {
    // What goes on after all may hold what was given to another meanwhile: all claim again, at most once for each plugin.
    while gives_way(&mut candidates, mistakes) {}
    candidates.into_iter().map(|candidate| candidate.plugin).collect()
}

/// Claims the patterns of all, up to the first that gives way. Whether there was one.
fn gives_way(candidates: &mut [Candidate], mistakes: &mut Vec<Mistake>) -> bool {
    let mut claims = Claims::default();
    let mut order: Vec<&mut Candidate> = candidates.iter_mut().collect();
    order.sort_by_key(|candidate| candidate.rank());
    for candidate in order {
        let PluginState::Loaded(generation) = &candidate.plugin.state else { continue };
        let Err(taken) = claims.claim(&candidate.plugin.name, &candidate.plugin.mount, &patterns(generation)) else { continue };
        let mistake = collision(&candidate.plugin, generation, &taken);
        let reason = mistake.to_string();
        mistakes.push(mistake);
        match &candidate.standing {
            Standing::Successor(before) => {
                *candidate = Candidate::kept(before, Some(reason));
                return true;
            }
            Standing::Kept | Standing::Newcomer => candidate.plugin.state = PluginState::Failed(reason),
        }
    }
    false
}

fn collision(plugin: &Plugin, generation: &SharedGeneration, taken: &Taken) -> Mistake {
    let Taken { pattern, with, owner } = taken;
    let mount = if plugin.mount.is_empty() { "/" } else { &plugin.mount };
    let as_what = if with == pattern { String::new() } else { format!(" as `{with}`") };
    let message = format!(
        "plugin `{}` claims the path pattern `{pattern}` below `{mount}`, which plugin `{owner}` claims already{as_what}",
        plugin.name
    );
    let remedy = Some("give one of the two another `mount`".to_owned());
    Mistake { at: Some(generation.settings.mount.at.clone()), message, remedy }
}

/// The path patterns that a plugin takes, below its mount.
pub(crate) fn patterns(generation: &SharedGeneration) -> Vec<String> {
    if generation.description.paths.is_empty() {
        return vec!["/".to_owned(), "/{*rest}".to_owned()];
    }
    generation.description.paths.keys().cloned().collect()
}
