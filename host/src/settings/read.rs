//! From the files to [`Settings`]: what may stand at the top level, and the rules that hold over all files.
//!
//! A site may stand in a file of its own, so names and hosts are unique over all files, and `[server]` and each engine are written once. What seems
//! to be missing is reported only when every file could be read. Whether a component exists is not looked at here: it may be put there later, and
//! loading says so.

use std::collections::BTreeMap;
use std::path::Path;

use super::document::{self, Find};
use super::location::{Located, Location, Mistakes};
use super::report::{Report, listed, nearest, quoted};
use super::section::Section;
use super::{DEFAULT_ENGINE, EngineSettings, Settings};
use registries::Registries;
use sites::Sites;

mod addresses;
mod blobs;
mod catalogs;
mod config;
mod docker_hub;
mod registries;
mod schedules;
mod secret;
mod server;
mod sites;
mod storage;
#[cfg(test)]
mod tests;
mod users;

pub(crate) use schedules::check_schedule_name;
pub(crate) use secret::at as secret_at;

/// Where Docker listens unless it was told otherwise.
const DOCKER_SOCKET: &str = "unix:///var/run/docker.sock";

/// Reads the settings from the file at `path` and from those that it includes. Blocks.
///
/// The environment variable `DOCKER_HOST` says where the engine `default` is when no file does.
///
/// # Errors
///
/// All mistakes of all files. A file with a syntax error is not checked any further until that is corrected.
pub fn load(path: &Path) -> Result<Settings, Mistakes> {
    read(path, &document::on_disk, docker_host())
}

/// `[storage]` where nothing is said.
#[cfg(test)]
pub(super) fn default_storage(data_dir: &Path) -> super::StorageSettings {
    storage::ReadStorage::default().below(data_dir)
}

#[expect(clippy::disallowed_methods, reason = "DOCKER_HOST is how every tool of this field is told where the engine is")]
fn docker_host() -> Option<String> {
    // A value that is not Unicode is no URL either; the check of the URL says so.
    std::env::var_os("DOCKER_HOST").map(|value| value.to_string_lossy().into_owned())
}

fn read(path: &Path, find: Find<'_>, docker_host: Option<String>) -> Result<Settings, Mistakes> {
    let report = Report::default();
    let loaded = document::load(path, find, &report);
    let mut server = None;
    let mut docker_hub = None;
    let mut must_ask = None;
    let mut engines = Engines::default();
    let mut registries = Registries::default();
    let mut storage = None;
    let mut sites = Sites::default();
    let mut site_seen = false;
    let defaults = server::defaults(path);
    for document in &loaded.documents {
        let mut root = Section::root(document, &report);
        root.skip("include");
        if let Some(mut section) = root.section("server") {
            let read = server::read(&mut section, &defaults, &mut must_ask);
            keep_first(&mut server, read, &section);
        }
        if let Some(mut section) = root.section("engine") {
            engines.read(&mut section);
        }
        if let Some(mut section) = root.section("registry") {
            registries.read(&mut section);
        }
        if let Some(mut section) = root.section("docker_hub") {
            let read = docker_hub::read(&mut section);
            keep_first(&mut docker_hub, read, &section);
        }
        if let Some(mut section) = root.section("storage") {
            let read = storage::read(&mut section);
            keep_first(&mut storage, read, &section);
        }
        site_seen |= root.has("site");
        for mut section in root.sections("site") {
            sites.read(&mut section);
        }
        root.finish();
    }
    engines.add_default(docker_host, &report);
    if loaded.complete {
        engines.check_references(&sites.engines, &report);
        if let (false, Some(first)) = (site_seen, loaded.documents.first()) {
            let remedy = "add a `[[site]]` with a `name`, and a `[[site.plugin]]` to it".to_owned();
            report.add(Some(&first.locate(0)), "there is no `[[site]]`, so there is nothing to serve", Some(remedy));
        }
    }
    let mistakes = report.into_mistakes(&loaded.files);
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    let server = server.map_or(defaults, |(server, _)| server);
    let docker_hub = docker_hub.map_or_else(docker_hub::defaults, |(docker_hub, _)| docker_hub);
    let files = loaded.files.iter().map(|file| file.to_path_buf()).collect();
    let storage = storage.map(|(storage, _)| storage).unwrap_or_default().below(&server.data_dir);
    let (registries, ca_files) = registries.into_settings();
    Ok(Settings {
        files,
        server,
        engines: engines.into_settings(),
        registries,
        ca_files,
        docker_hub,
        storage,
        sites: sites.settings,
        must_ask,
    })
}

/// Keeps what was `read` of a table that is written once over all files; `section` is that table, and ends here.
fn keep_first<T>(kept: &mut Option<(T, Location)>, read: T, section: &Section<'_>) {
    let at = section.at();
    match kept {
        None => *kept = Some((read, at)),
        Some((_, first)) => section.mistake(&at, format!("{} is already at {first}", section.title()), Some("write it once".to_owned())),
    }
}

/// The engines of all files.
#[derive(Default)]
struct Engines(BTreeMap<String, EngineEntry>);

struct EngineEntry {
    /// None when it has a mistake.
    settings: Option<EngineSettings>,
    /// None when no file names it.
    at: Option<Location>,
}

impl Engines {
    /// Reads `[engine]`: a table for each name.
    fn read(&mut self, section: &mut Section<'_>) {
        for (name, mut engine) in section.named_sections() {
            check_name(&engine, "an engine", &name);
            let url = engine.required_string("url", &format!("url = \"{DOCKER_SOCKET}\""));
            let url = url.filter(|url| match check_engine_url(&url.value) {
                Ok(()) => true,
                Err(message) => {
                    engine.mistake(&url.at, message, Some(ENGINE_URLS.to_owned()));
                    false
                }
            });
            let settings = url.map(|url| EngineSettings { url: url.value });
            match self.0.get(&name.value).and_then(|earlier| earlier.at.as_ref()) {
                Some(first) => {
                    let message = format!("engine {} is already at {first}", quoted(&name.value));
                    engine.mistake(&name.at, message, Some("give one of the two another name".to_owned()));
                }
                None => {
                    self.0.insert(name.value, EngineEntry { settings, at: Some(name.at) });
                }
            }
        }
    }

    /// Adds the engine `default` unless a file names it.
    fn add_default(&mut self, docker_host: Option<String>, report: &Report) {
        if self.0.contains_key(DEFAULT_ENGINE) {
            return;
        }
        // Docker's own tools, too, take an empty variable for one that is not set.
        let url = docker_host.filter(|url| !url.is_empty());
        if let Some(Err(message)) = url.as_deref().map(check_engine_url) {
            let remedy = format!("correct the variable, or set `url` of `[engine.default]`; {ENGINE_URLS}");
            report.add(None, format!("the environment variable `DOCKER_HOST`: {message}"), Some(remedy));
        }
        let settings = EngineSettings { url: url.unwrap_or_else(|| DOCKER_SOCKET.to_owned()) };
        self.0.insert(DEFAULT_ENGINE.to_owned(), EngineEntry { settings: Some(settings), at: None });
    }

    /// Reports the names in `references` that no engine has.
    fn check_references(&self, references: &[Located<String>], report: &Report) {
        for name in references.iter().filter(|name| !self.0.contains_key(&name.value)) {
            let known = self.0.keys().map(String::as_str);
            let remedy = match nearest(&name.value, known.clone()) {
                Some(meant) => format!("did you mean {}?", quoted(meant)),
                None => format!("add a table `[engine.NAME]` with its `url`, or name one of {}", listed(known)),
            };
            report.add(Some(&name.at), format!("there is no engine {}", quoted(&name.value)), Some(remedy));
        }
    }

    fn into_settings(self) -> BTreeMap<String, EngineSettings> {
        self.0.into_iter().filter_map(|(name, entry)| Some((name, entry.settings?))).collect()
    }
}

const ENGINE_URLS: &str = "an engine is at `unix:///path`, `tcp://host:port` or `http://host:port`";

/// Checks that the engine's client can use `url`; else says what is wrong with it.
fn check_engine_url(url: &str) -> Result<(), String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(format!("{} is not a URL", quoted(url)));
    };
    match scheme {
        "unix" if rest.starts_with('/') && rest.len() > 1 => Ok(()),
        "unix" => Err(format!("{} has no absolute path", quoted(url))),
        "tcp" | "http" => {
            let authority = rest.parse::<http::uri::Authority>().ok().filter(|authority| !authority.as_str().contains('@'));
            match authority {
                Some(authority) if !authority.host().is_empty() && authority.port_u16().is_some_and(|port| port > 0) => Ok(()),
                _ => Err(format!("{} is not a host and a port", quoted(url))),
            }
        }
        _ => Err(format!("{} has the unknown scheme {}", quoted(url), quoted(scheme))),
    }
}

/// Reports `name` unless it is one that may stand in a URL, a metric and a file name alike: `[a-z0-9][a-z0-9-]*`, at most 63 characters.
fn check_name(section: &Section<'_>, of: &str, name: &Located<String>) {
    let letters = name.value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if name.value.is_empty() || name.value.starts_with('-') || !letters || name.value.len() > 63 {
        let message = format!("{} cannot be the name of {of}", quoted(&name.value));
        let remedy = "a name has at most 63 of the characters a-z, 0-9 and `-`, and does not begin with `-`".to_owned();
        section.mistake(&name.at, message, Some(remedy));
    }
}
