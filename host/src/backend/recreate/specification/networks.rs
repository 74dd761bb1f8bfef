//! Networks, host names, addresses and aliases.
//!
//! What an inspection shows of an endpoint is for the most part what the engine gave it; carried on, two containers would have one hardware address, or an address that is somebody else's by then. Kept are the addresses that
//! were asked for (`IPAMConfig`), aliases, links, the driver's options and the priority of the gateway.
//!
//! **The hardware address** that was asked for is shown in `Config.MacAddress` alone, for the primary network, and only up to version 1.51 of the API; that of an endpoint is the running one, asked for or not. Up to 1.43 it goes back to where
//! it was; from 1.44 on it belongs to the endpoint. What was asked for on a further network cannot be known.
//!
//! **All endpoints stand in the creation** from 1.44 on. Older engines take one, and the others are connected to the container before it is started.

use serde_json::{Value, json};

use super::json::{Object, at, entries, field, flag, is_zero, number, object, put, remove, text, text_at, texts};
use super::{Connection, Facts};
use crate::backend::engine::ApiVersion;

/// From here on a container is created with all its endpoints, each with its own hardware address.
pub(super) const SEVERAL_ENDPOINTS: ApiVersion = ApiVersion::v1(44);

/// From here on the aliases that are shown are those that were given.
const CLEAN_ALIASES: ApiVersion = ApiVersion::v1(45);

/// From here on the engine refuses sysctls that name an interface.
const SYSCTLS_OF_ENDPOINTS: ApiVersion = ApiVersion::v1(48);

/// The option of an endpoint that has the sysctls of its interface.
const ENDPOINT_SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// What the container is connected to, put into `config` and `host`, and the endpoints of `NetworkingConfig`; besides those that are connected afterwards.
pub(super) fn networks(config: &mut Object, host: &mut Object, container: &Value, facts: &Facts) -> (Object, Vec<Connection>) {
    let hardware_address = config.shift_remove("MacAddress").unwrap_or_default();
    let mode = text(host, "NetworkMode").to_owned();
    if mode.starts_with("container:") {
        // The engine refuses all of these together with the mode, and shows them nevertheless: they are the other container's, or the image's.
        remove(config, &["Hostname", "Domainname", "ExposedPorts"]);
        remove(host, &["Links", "Dns", "ExtraHosts", "PortBindings", "PublishAllPorts"]);
        return Default::default();
    }
    host_name(config, host, text_at(container, "/Id"), facts);
    if mode == "host" {
        // Neither has an effect there, and links are refused.
        remove(host, &["Links", "PortBindings"]);
    }
    if mode == "host" || mode == "none" || flag(config, "NetworkDisabled") {
        return Default::default();
    }
    let mut endpoints: Vec<(String, Object)> = Vec::new();
    for (name, inspected) in entries(at(container, "/NetworkSettings/Networks")) {
        endpoints.push((name.clone(), endpoint(name, inspected, container, facts)));
    }
    // The primary one first, the others by name.
    endpoints.sort_by(|(one, _), (other, _)| one.cmp(other));
    let primary = endpoints.iter().position(|(name, _)| is_primary(&mode, name, at(container, "/NetworkSettings/Networks").get(name)));
    // The engine's own network may have been left for others.
    let primary = primary.or_else(|| (0..endpoints.len()).max_by_key(|&index| priority(&endpoints, index)));
    let Some(primary) = primary else {
        // Disconnected from all. The engine's own network would be connected again.
        host.insert("NetworkMode".to_owned(), json!("none"));
        return Default::default();
    };
    let mut first = endpoints.remove(primary);
    if !is_default(&mode) || first.0 != "bridge" && !facts.podman {
        // By its name: a network that was made anew has another id.
        host.insert("NetworkMode".to_owned(), json!(first.0));
    }
    if facts.api >= SYSCTLS_OF_ENDPOINTS {
        interface_sysctls(host, &mut first.1);
    }
    if facts.api >= SEVERAL_ENDPOINTS {
        put(&mut first.1, "MacAddress", if is_zero(&hardware_address) { Value::Null } else { hardware_address });
        let all = std::iter::once(first).chain(endpoints);
        return (all.map(|(name, endpoint)| (name, Value::Object(endpoint))).collect(), Vec::new());
    }
    put(config, "MacAddress", if is_zero(&hardware_address) { Value::Null } else { hardware_address });
    let connect = endpoints.into_iter().map(|(network, endpoint)| Connection { network, endpoint: Value::Object(endpoint) });
    (Object::from_iter([(first.0, Value::Object(first.1))]), connect.collect())
}

/// Whether this mode is the engine's own network.
pub(super) fn is_default(mode: &str) -> bool {
    matches!(mode, "" | "default" | "bridge")
}

fn is_primary(mode: &str, name: &str, inspected: Option<&Value>) -> bool {
    let id = inspected.map_or("", |endpoint| text_at(endpoint, "/NetworkID"));
    name == mode || is_default(mode) && name == "bridge" || mode.len() >= 12 && id.starts_with(mode)
}

/// The higher, the rather it is the primary one: that which has the gateway.
fn priority(endpoints: &[(String, Object)], index: usize) -> (i64, std::cmp::Reverse<usize>) {
    let own = endpoints.get(index).map_or(0, |(_, endpoint)| number(endpoint, "GwPriority"));
    (own, std::cmp::Reverse(index))
}

/// An endpoint as a user gives it.
fn endpoint(network: &str, inspected: &Value, container: &Value, facts: &Facts) -> Object {
    let Some(inspected) = inspected.as_object() else { return Object::new() };
    let mut endpoint = Object::new();
    let mut addresses = object(field(inspected, "IPAMConfig"));
    addresses.retain(|_, address| !is_zero(address));
    let aliases: Vec<&str> = aliases(inspected, container, facts).collect();
    for (key, value) in [("IPAMConfig", Value::Object(addresses)), ("Aliases", json!(aliases))] {
        // The engine's own network refuses both.
        if network != "bridge" && !is_zero(&value) {
            endpoint.insert(key.to_owned(), value);
        }
    }
    for key in ["Links", "DriverOpts", "GwPriority"] {
        if !is_zero(field(inspected, key)) {
            endpoint.insert(key.to_owned(), field(inspected, key).clone());
        }
    }
    endpoint
}

/// The aliases without those that the engine adds: the short id, and before 1.45 the host name.
pub(super) fn aliases<'a>(endpoint: &'a Object, container: &'a Value, facts: &Facts) -> impl Iterator<Item = &'a str> {
    let own = short(text_at(container, "/Id"));
    let host_name = if facts.api < CLEAN_ALIASES { text_at(container, "/Config/Hostname") } else { "" };
    texts(field(endpoint, "Aliases")).filter(move |alias| *alias != own && (host_name.is_empty() || *alias != host_name))
}

/// Removes a host name that the engine chose: the container's short id, or the machine's own name.
fn host_name(config: &mut Object, host: &Object, id: &str, facts: &Facts) {
    let name = text(config, "Hostname");
    let is_of_machine = text(host, "NetworkMode") == "host" && name == facts.machine;
    // With the machine's UTS namespace the engine refuses a name and shows one.
    if name.is_empty() || name == short(id) || is_of_machine || text(host, "UTSMode") == "host" {
        config.shift_remove("Hostname");
    }
}

/// Moves sysctls such as `net.ipv4.conf.eth0.log_martians` to where newer engines want them. They are shown where they were when the container was created on an older one.
fn interface_sysctls(host: &mut Object, primary: &mut Object) {
    let (moved, kept): (Vec<_>, Vec<_>) = object(field(host, "Sysctls")).into_iter().partition(|(key, _)| {
        let mut parts = key.splitn(5, '.');
        parts.next() == Some("net") && parts.nth(2) == Some("eth0") && parts.next().is_some()
    });
    if moved.is_empty() {
        return;
    }
    put(host, "Sysctls", if kept.is_empty() { Value::Null } else { Value::Object(kept.into_iter().collect()) });
    let mut options = object(field(primary, "DriverOpts"));
    let moved =
        moved.iter().map(|(key, value)| format!("{}={}", key.replacen(".eth0.", ".IFNAME.", 1), value.as_str().unwrap_or_default()));
    let all = moved.chain(options.get(ENDPOINT_SYSCTLS).and_then(Value::as_str).map(str::to_owned)).collect::<Vec<_>>().join(",");
    options.insert(ENDPOINT_SYSCTLS.to_owned(), json!(all));
    primary.insert("DriverOpts".to_owned(), Value::Object(options));
}

/// What the engine shows of an id.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
