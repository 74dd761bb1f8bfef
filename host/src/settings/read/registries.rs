//! `[registry."HOST"]`: a registry that the operator knows. Whoever is not here is asked without a name, over TLS, and not in a private network.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use super::addresses::server_address;
use super::secret;
use crate::backend::reference::is_domain;
use crate::backend::registry::names_loopback;
use crate::settings::location::{Located, Location};
use crate::settings::report::quoted;
use crate::settings::section::Section;
use crate::settings::{CredentialSource, RegistrySettings};

/// What Docker Hub is called where images are named, and what else people call it.
const HUB: &str = "docker.io";
const ALSO_HUB: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// The registries of all files.
#[derive(Default)]
pub(super) struct Registries {
    by_host: BTreeMap<String, (RegistrySettings, Location)>,
    ca_files: Vec<Located<PathBuf>>,
}

impl Registries {
    /// Reads `[registry]`: a table for each host.
    pub(super) fn read(&mut self, section: &mut Section<'_>) {
        for (host, mut registry) in section.named_sections() {
            let name = read_host(&registry, &host);
            let settings = self.read_one(&mut registry);
            let Some(name) = name else { continue };
            match self.by_host.get(&name) {
                Some((_, first)) => {
                    let message = format!("registry {} is already at {first}", quoted(&name));
                    registry.mistake(&host.at, message, Some("write it once".to_owned()));
                }
                None => {
                    self.by_host.insert(name, (settings, host.at));
                }
            }
        }
    }

    fn read_one(&mut self, section: &mut Section<'_>) -> RegistrySettings {
        let credentials = read_credentials(section);
        let ca_file = section.string("ca_file").and_then(|path| Some(Located { value: file(section, "ca_file", &path)?, at: path.at }));
        let plain_http = section.flag("plain_http");
        let endpoint = section.string("endpoint").and_then(|address| {
            let endpoint = read_endpoint(section, &address)?;
            check_plain(section, &address.at, &endpoint, plain_http, ca_file.is_some());
            Some(endpoint)
        });
        if let (Some(true), Some(_), Some(node)) = (plain_http, &ca_file, section.node("plain_http")) {
            let message = "`plain_http` and `ca_file` exclude each other";
            section.mistake(&section.locate(node), message, Some("take out the one that is wrong".to_owned()));
        }
        self.ca_files.extend(ca_file.clone());
        RegistrySettings { credentials, ca_file: ca_file.map(|file| file.value), plain_http, endpoint }
    }

    /// The tables, and the files of certificates that they name.
    pub(super) fn into_settings(self) -> (BTreeMap<String, RegistrySettings>, Vec<Located<PathBuf>>) {
        (self.by_host.into_iter().map(|(name, (settings, _))| (name, settings)).collect(), self.ca_files)
    }
}

fn read_host(section: &Section<'_>, host: &Located<String>) -> Option<String> {
    let name = host.value.to_ascii_lowercase();
    if ALSO_HUB.contains(&name.as_str()) {
        return Some(HUB.to_owned());
    }
    if is_domain(&name) {
        return Some(name);
    }
    let remedy = match (name.split_once("://"), name.contains('/')) {
        (Some(_), _) => "write the host alone, without a scheme; `plain_http = true` is for one without TLS",
        (None, true) => "write the host alone: a table is for all repositories of a registry",
        (None, false) => "write a host, and its port if references have one: `[registry.\"registry.local:5000\"]`",
    };
    section.mistake(&host.at, format!("{} is not a registry's host", quoted(&host.value)), Some(remedy.to_owned()));
    None
}

/// A server without anything behind it: requests have the path that the protocol gives them.
fn read_endpoint(section: &Section<'_>, address: &Located<String>) -> Option<Url> {
    let endpoint = server_address(section, "endpoint", address)?;
    if endpoint.path() == "/" {
        return Some(endpoint);
    }
    let remedy = "leave out the path: a registry answers below `/v2/` of its server".to_owned();
    section.mistake(&address.at, format!("`endpoint`: {} has a path", quoted(&address.value)), Some(remedy));
    None
}

/// Checks that an endpoint without encryption is meant to be one.
fn check_plain(section: &Section<'_>, at: &Location, endpoint: &Url, plain_http: Option<bool>, has_ca_file: bool) {
    if endpoint.scheme() != "http" {
        return;
    }
    let (message, remedy) = match plain_http {
        _ if has_ca_file => ("`endpoint` without encryption and `ca_file` exclude each other", "take out the one that is wrong"),
        Some(true) => return,
        None if names_loopback(endpoint) => return,
        Some(false) => ("`endpoint` is not encrypted, and `plain_http` is `false`", "take out the one that is wrong"),
        None => ("`endpoint` is not encrypted", "begin it with `https://`, or add `plain_http = true`"),
    };
    section.mistake(at, message, Some(remedy.to_owned()));
}

fn read_credentials(section: &mut Section<'_>) -> Option<CredentialSource> {
    let username = section.string("username");
    let password = secret::at(section, "password");
    let token = secret::at(section, "identity_token");
    let docker_config = section.string("docker_config").and_then(|path| Some((file(section, "docker_config", &path)?, path.at)));
    let helpers = section.flag("docker_config_helpers");
    if helpers.is_some() && !section.has("docker_config") {
        let remedy = "it says whether the programs may be run that the file `docker_config` names".to_owned();
        section.mistake(&section.at(), "`docker_config_helpers` without `docker_config`", Some(remedy));
    }
    if section.has("username") != section.has("password") {
        let (there, missing) = if section.has("username") { ("username", "password") } else { ("password", "username") };
        let remedy = match missing {
            "password" => "add `password = { secret_file = \"path\" }` or `password = { secret_env = \"NAME\" }`",
            _ => "add `username = \"…\"`",
        };
        section.mistake(&section.at(), format!("`{there}` without `{missing}`"), Some(remedy.to_owned()));
    }
    let ways = ["username", "identity_token", "docker_config"].into_iter().filter(|key| section.has(key)).collect::<Vec<_>>();
    if let [first, second, ..] = ways.as_slice() {
        let remedy = "a registry is asked in one name: keep one of them".to_owned();
        section.mistake(&section.at(), format!("`{first}` and `{second}` exclude each other"), Some(remedy));
    }
    match (username, password, token, docker_config) {
        (Some(username), Some(password), ..) => Some(CredentialSource::Password { username: username.value, password }),
        (_, _, Some(token), _) => Some(CredentialSource::IdentityToken(token)),
        (_, _, _, Some((path, _))) => Some(CredentialSource::DockerConfig { path, helpers: helpers.unwrap_or(false) }),
        _ => None,
    }
}

fn file(section: &Section<'_>, key: &str, path: &Located<String>) -> Option<PathBuf> {
    if path.value.is_empty() {
        section.mistake(&path.at, format!("`{key}` is empty"), Some("write the path of a file".to_owned()));
        return None;
    }
    Some(section.resolve(&path.value))
}
