//! `[[site]]` and `[[site.plugin]]`.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::{catalogs, check_name, config, schedules, users};
use crate::capability::Grants;
use crate::settings::limits::Limits;
use crate::settings::location::{Located, Location};
use crate::settings::report::quoted;
use crate::settings::section::Section;
use crate::settings::{Auth, Isolation, PluginConfig, PluginSettings, SiteSettings};

/// The sites of all files, as far as they were read.
#[derive(Default)]
pub(super) struct Sites {
    /// Those without mistakes.
    pub(super) settings: Vec<SiteSettings>,
    /// The engines that grants name, where they name them.
    pub(super) engines: Vec<Located<String>>,
    /// Where each site's name stands.
    names: BTreeMap<String, Location>,
    /// Which site has a host, and where that is said.
    hosts: BTreeMap<String, (String, Location)>,
    /// The site that takes every other host.
    rest: Option<Location>,
}

impl Sites {
    /// Reads one `[[site]]`.
    pub(super) fn read(&mut self, section: &mut Section<'_>) {
        let name = section.required_string("name", "name = \"plant-a\"");
        if let Some(name) = &name {
            check_name(section, "a site", name);
            check_unique(section, "site", name, &mut self.names);
        }
        let hosts = self.read_hosts(section, name.as_ref());
        let catalogs = section.section("catalog").map(|mut catalogs| catalogs::read(&mut catalogs)).unwrap_or_default();
        let access = users::read(section);
        let mut names = BTreeMap::new();
        let mut plugins = Vec::new();
        for mut plugin in section.sections("plugin") {
            let read = read_plugin(&mut plugin, &mut names);
            self.engines.extend(read.engines);
            plugins.extend(read.settings);
        }
        self.settings.extend(name.map(|name| SiteSettings { name, hosts, catalogs, access, plugins }));
    }

    fn read_hosts(&mut self, section: &mut Section<'_>, site: Option<&Located<String>>) -> Vec<String> {
        let named = section.strings("hosts");
        if named.as_ref().map_or(!section.has("hosts"), Vec::is_empty) {
            match &self.rest {
                Some(first) => {
                    let message = format!("this site has no `hosts`, and neither has the one at {first}");
                    let remedy = "only one site can take every host that no other names: add `hosts = [\"…\"]` to this one".to_owned();
                    section.mistake(&section.at(), message, Some(remedy));
                }
                None => self.rest = Some(section.at()),
            }
        }
        let site = site.map(|site| site.value.as_str()).unwrap_or_default();
        let mut hosts = Vec::new();
        for Located { value, at } in named.unwrap_or_default() {
            let host = value.to_ascii_lowercase();
            if let Err(remedy) = check_host(&host) {
                section.mistake(&at, format!("`hosts`: {} is not a host", quoted(&value)), Some(remedy.to_owned()));
                continue;
            }
            if let Some((owner, first)) = self.hosts.get(&host) {
                let message = format!("host {} belongs to site {} already, by {first}", quoted(&host), quoted(owner));
                section.mistake(&at, message, Some("name it once".to_owned()));
                continue;
            }
            self.hosts.insert(host.clone(), (site.to_owned(), at));
            hosts.push(host);
        }
        hosts
    }
}

/// Checks that a `Host` header can name `host`, which is in lower case; else says what to write.
fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address.map(|_| ()).ok_or("write an IPv6 address as `[2001:db8::1]`, without a port");
    }
    if host.contains("://") || host.contains('/') {
        return Err("write the name alone, without `http://` and without a path");
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return Err("put the IPv6 address into brackets");
    }
    if host.contains(':') {
        return Err("leave out the port: a site is served on the port of `listen`");
    }
    if host.contains('*') {
        return Err("there are no patterns; a site without `hosts` takes every host that no other names");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if host.len() <= 253 && host.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed)) {
        return Ok(());
    }
    Err("write a name such as `plant-a.local` or an address such as `192.0.2.7`")
}

/// What was read of a plugin.
struct ReadPlugin {
    /// None when something that it needs is missing.
    settings: Option<PluginSettings>,
    engines: Vec<Located<String>>,
}

/// Reads one `[[site.plugin]]`. `names` are those of the plugins before it on this site.
fn read_plugin(section: &mut Section<'_>, names: &mut BTreeMap<String, Location>) -> ReadPlugin {
    let name = section.required_string("name", "name = \"deployments\"");
    if let Some(name) = &name {
        check_name(section, "a plugin", name);
        check_unique(section, "plugin", name, names);
    }
    let source = section.required_string("source", "source = \"plugins/deployments.wasm\"").and_then(|source| read_source(section, source));
    let sha256 = section.string("sha256").and_then(|digest| read_sha256(section, &digest));
    let mount = section.required_string("mount", "mount = \"/\"").and_then(|mount| read_mount(section, mount));
    let auth = section.choice("auth", &[("required", Auth::Required), ("optional", Auth::Optional), ("plugin", Auth::Plugin)]);
    let isolation =
        section.choice("isolation", &[("pooled", Isolation::Pooled), ("request", Isolation::Request)]).unwrap_or(Isolation::Pooled);
    let limits = section.section("limits").map(|mut limits| read_limits(&mut limits)).unwrap_or_default();
    let grants = section.section("grants").map(|mut grants| Grants::read(&mut grants)).unwrap_or_default();
    let schedules = section.section("schedules").map(|mut table| schedules::read(&mut table)).unwrap_or_default();
    let config = match section.section("config") {
        Some(mut config) => config::read(&mut config),
        None => PluginConfig { places: BTreeMap::from([(String::new(), section.at())]), ..PluginConfig::default() },
    };
    let engines = engines_of(&grants);
    let at = section.at();
    let settings = match (name, source, mount) {
        (Some(name), Some(source), Some(mount)) => {
            Some(PluginSettings { name, source, sha256, mount, auth, isolation, limits, grants, schedules, config, at })
        }
        _ => None,
    };
    ReadPlugin { settings, engines }
}

/// The engines that `grants` name, so that a name without an engine is reported where it stands.
fn engines_of(grants: &Grants) -> Vec<Located<String>> {
    grants.docker.iter().map(|docker| docker.engine().clone()).collect()
}

/// Where a component comes from. So far a file; another kind of source is another arm here.
fn read_source(section: &Section<'_>, source: Located<String>) -> Option<Located<PathBuf>> {
    let Located { value, at } = source;
    let (message, remedy) = match value.split_once("://") {
        None if !value.is_empty() => return Some(Located { value: section.resolve(&value), at }),
        None => ("`source` is empty".to_owned(), "write the path of a component".to_owned()),
        Some(("oci", _)) => (
            format!("`source`: {} is in a registry, and such sources are not supported yet", quoted(&value)),
            "save the component as a file and write its path".to_owned(),
        ),
        Some((scheme, _)) => (format!("`source`: unknown scheme {}", quoted(scheme)), "write a path, without a scheme".to_owned()),
    };
    section.mistake(&at, message, Some(remedy));
    None
}

fn read_sha256(section: &Section<'_>, digest: &Located<String>) -> Option<String> {
    if digest.value.len() == 64 && digest.value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(digest.value.to_ascii_lowercase());
    }
    let remedy = "write 64 hexadecimal digits, as `sha256sum` prints them, without a prefix".to_owned();
    section.mistake(&digest.at, format!("`sha256`: {} is not a sha256", quoted(&digest.value)), Some(remedy));
    None
}

/// The mount as [`PluginSettings::mount`] has it.
fn read_mount(section: &Section<'_>, mount: Located<String>) -> Option<Located<String>> {
    let Located { value, at } = mount;
    match check_mount(&value) {
        Ok(prefix) => Some(Located { value: prefix.to_owned(), at }),
        Err((reason, remedy)) => {
            section.mistake(&at, format!("`mount`: {} {reason}", quoted(&value)), Some(remedy.to_owned()));
            None
        }
    }
}

/// `mount` without its last slash; else what is wrong with it and what to write.
fn check_mount(mount: &str) -> Result<&str, (&'static str, &'static str)> {
    let Some(path) = mount.strip_prefix('/') else {
        return Err(("does not begin with `/`", "write a path such as `/` or `/api`"));
    };
    if mount == "/" {
        return Ok("");
    }
    if path.contains('%') {
        return Err(("has an encoded character", "use characters that need no encoding: requests are matched as they are on the wire"));
    }
    if path.contains(['?', '#']) {
        return Err(("has a query or a fragment", "write the path alone"));
    }
    let prefix = mount.strip_suffix('/').unwrap_or(mount);
    for segment in prefix.split('/').skip(1) {
        match segment {
            "" => return Err(("has an empty segment", "write one `/` where there are several")),
            "." | ".." => return Err(("has a segment `.` or `..`", "write the path that is meant")),
            _ => {}
        }
    }
    // RFC 3986: what may stand in a segment as it is.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    if !prefix.bytes().all(allowed) {
        return Err(("has a character that no request's path has", "use letters and digits of ASCII and any of `-._~!$&'()*+,;=:@`"));
    }
    Ok(prefix)
}

fn read_limits(section: &mut Section<'_>) -> Limits {
    let mut limits = Limits::default();
    for limit in Limits::KEYS {
        if let Some(value) = section.integer(limit.key, limit.range.clone()) {
            *(limit.field)(&mut limits) = value;
        }
    }
    limits
}

/// Reports `name` if it is in `names`, and else adds it.
fn check_unique(section: &Section<'_>, kind: &str, name: &Located<String>, names: &mut BTreeMap<String, Location>) {
    if let Some(first) = names.get(&name.value) {
        let message = format!("there is a {kind} {} already, at {first}", quoted(&name.value));
        section.mistake(&name.at, message, Some("give one of the two another name".to_owned()));
        return;
    }
    names.insert(name.value.clone(), name.at.clone());
}
