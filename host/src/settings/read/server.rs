//! `[server]`. Nothing listens beyond loopback by accident: whoever can reach a listener can use every API behind it, so an address that others can
//! reach needs a word in the same table that says how they are told apart.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use tracing_subscriber::filter::Directive;

use crate::settings::location::{Located, Location};
use crate::settings::report::quoted;
use crate::settings::section::Section;
use crate::settings::tree::Value;
use crate::settings::{LogFormat, Server};

/// What holds without `[server]`. `first` is the file that was named first.
pub(super) fn defaults(first: &Path) -> Server {
    Server {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        admin: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8081))),
        data_dir: first.parent().unwrap_or(Path::new("")).join("wharf-data"),
        // Longer than an ordinary request's deadline, and short enough for a reboot.
        shutdown_grace_secs: 30,
        log_format: LogFormat::Pretty,
        log_filter: "info".to_owned(),
        trusted_proxies: Vec::new(),
    }
}

/// Reads `[server]`. What is absent or has a mistake is as in `defaults`. `must_ask`: see [`Settings::must_ask`](crate::settings::Settings::must_ask).
pub(super) fn read(section: &mut Section<'_>, defaults: &Server, must_ask: &mut Option<Location>) -> Server {
    let listen = address(section, "listen");
    if !lets_everyone_in(section, "auth") {
        *must_ask = listen.as_ref().filter(|listen| others_reach(listen)).map(|listen| listen.at.clone());
    }
    let trusted_proxies = proxies(section);
    let off = matches!(section.node("admin").map(|node| &node.value), Some(Value::Boolean(false)));
    let admin = if off { None } else { address(section, "admin") };
    let is_open = lets_everyone_in(section, "admin_auth");
    if let Some(admin) = admin.as_ref().filter(|admin| !is_open && others_reach(admin)) {
        let message = format!(
            "`admin`: {} can be reached from other machines, and nobody would be asked who they are",
            quoted(&admin.value.to_string())
        );
        let remedy = "listen on loopback, behind a proxy that asks; or write `admin_auth = \"none\"` beside it to let everyone in";
        section.mistake(&admin.at, message, Some(remedy.to_owned()));
    }
    let data_dir = section.string("data_dir");
    if let Some(empty) = data_dir.as_ref().filter(|path| path.value.is_empty()) {
        section.mistake(
            &empty.at,
            "`data_dir` is empty",
            Some("write a path, or leave it out for `wharf-data` beside the file".to_owned()),
        );
    }
    let data_dir = data_dir.map(|path| section.resolve(&path.value));
    let shutdown_grace_secs = section.integer("shutdown_grace_secs", 0..=3_600);
    let log_format = section.choice("log_format", &[("pretty", LogFormat::Pretty), ("json", LogFormat::Json)]);
    let log_filter = section.string("log_filter");
    if let Some(filter) = &log_filter {
        check_filter(section, filter);
    }
    let server = Server {
        listen: listen.as_ref().map_or(defaults.listen, |listen| listen.value),
        admin: if off { None } else { admin.as_ref().map(|admin| admin.value).or(defaults.admin) },
        data_dir: data_dir.unwrap_or_else(|| defaults.data_dir.clone()),
        shutdown_grace_secs: shutdown_grace_secs.unwrap_or(defaults.shutdown_grace_secs),
        log_format: log_format.unwrap_or(defaults.log_format),
        log_filter: log_filter.map_or_else(|| defaults.log_filter.clone(), |filter| filter.value),
        trusted_proxies,
    };
    // Port 0 is another port each time.
    if server.admin == Some(server.listen) && server.listen.port() != 0 {
        let at = admin.or(listen).map_or_else(|| section.at(), |address| address.at);
        let message = format!("`listen` and `admin` are both {}", server.listen);
        section.mistake(&at, message, Some("give `admin` a port of its own, or turn it off with `admin = false`".to_owned()));
    }
    server
}

fn address(section: &mut Section<'_>, key: &str) -> Option<Located<SocketAddr>> {
    let text = section.string(key)?;
    match text.value.parse() {
        Ok(value) => Some(Located { value, at: text.at }),
        Err(_) => {
            let message = format!("`{key}`: {} is not an address with a port", quoted(&text.value));
            section.mistake(&text.at, message, Some("write one such as `127.0.0.1:8080` or `[::1]:8080`".to_owned()));
            None
        }
    }
}

fn others_reach(address: &Located<SocketAddr>) -> bool {
    !address.value.ip().to_canonical().is_loopback()
}

/// Whether `key` says that nobody is asked who they are. `none` is the only word there is; it is asked for even on loopback, so that it is known.
fn lets_everyone_in(section: &mut Section<'_>, key: &str) -> bool {
    section.choice(key, &[("none", ())]);
    section.has(key)
}

/// `trusted_proxies`: addresses, or networks as `10.0.0.0/8`.
fn proxies(section: &mut Section<'_>) -> Vec<IpNet> {
    let mut proxies = Vec::new();
    for proxy in section.strings("trusted_proxies").unwrap_or_default() {
        let network = proxy.value.parse::<IpNet>().ok().or_else(|| proxy.value.parse::<IpAddr>().ok().map(IpNet::from));
        match network {
            Some(network) => proxies.push(network),
            None => {
                let message = format!("`trusted_proxies`: {} is neither an address nor a network", quoted(&proxy.value));
                section.mistake(&proxy.at, message, Some("write one such as `127.0.0.1` or `10.0.0.0/8`".to_owned()));
            }
        }
    }
    proxies
}

fn check_filter(section: &Section<'_>, filter: &Located<String>) {
    for part in filter.value.split(',').filter(|part| !part.is_empty()) {
        if part.parse::<Directive>().is_err() {
            let message = format!("`log_filter`: {} is not a level or `target=level`", quoted(part));
            let remedy = "write one such as `info` or `info,wharf_host=debug`".to_owned();
            section.mistake(&filter.at, message, Some(remedy));
        }
    }
}
