//! Published ports, from the engine's bindings to this API's object and back.
//!
//! The engine says where each port of a container is published, once for each family of addresses. This API says an interface and one port, or several; null for a
//! port that is exposed and not published. What [`shown`] makes, [`published`] takes.

use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::json::{Json, Object};

const ANY_IPV4: &str = "0.0.0.0";
const ANY_IPV6: &str = "::";

/// The engine's `NetworkSettings.Ports` as this API has it; none when the engine reports no port, as of a stopped container. `wanted` is the container's
/// `HostConfig.PortBindings`.
pub(crate) fn shown(ports: Map<String, Value>, wanted: &Map<String, Value>) -> Option<Map<String, Value>> {
    let shown: Map<String, Value> = ports
        .into_iter()
        .map(|(port, bindings)| {
            let shown = shown_bindings(&bindings, wanted.get(&port).unwrap_or(&Value::Null));
            (port, shown)
        })
        .collect();
    (!shown.is_empty()).then_some(shown)
}

/// Where the engine published one port, once.
struct Binding<'a> {
    address: &'a str,
    /// None when the engine has not chosen one.
    port: Option<u16>,
}

fn shown_bindings(bindings: &Value, wanted: &Value) -> Value {
    let bindings: Vec<Binding<'_>> = Binding::all(bindings).collect();
    // A port published on all interfaces is reported for both families of addresses. Engines before 21 choose a number for each when asked for any, so the two need
    // not agree; where a client asked for the one of IPv6 by its address it is no twin and has a number of its own.
    let has_ipv4 = bindings.iter().any(|binding| binding.address == ANY_IPV4);
    let is_asked_for = Binding::all(wanted).any(|binding| binding.address == ANY_IPV6);
    let is_twin = |binding: &&Binding<'_>| binding.address == ANY_IPV6 && has_ipv4 && !is_asked_for;
    let bindings: Vec<&Binding<'_>> = bindings.iter().filter(|binding| !is_twin(binding)).collect();
    let last_ipv4 = bindings.iter().rfind(|binding| !binding.address.contains(':'));
    let Some(interface) = last_ipv4.or(bindings.last()).map(|binding| binding.address) else {
        return Value::Null;
    };
    let mut ports: Vec<u16> = Vec::new();
    for port in bindings.iter().filter_map(|binding| binding.port) {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let host_ports = match ports.as_slice() {
        [] => Value::Null,
        [port] => json!(port),
        ports => json!(ports),
    };
    json!({"host_interface": interface, "host_ports": host_ports})
}

impl Binding<'_> {
    /// The bindings of a port; none for null and for what is no list.
    fn all(bindings: &Value) -> impl Iterator<Item = Binding<'_>> {
        bindings.as_array().into_iter().flatten().map(Binding::read)
    }

    fn read(binding: &Value) -> Binding<'_> {
        let text = |key| binding.get(key).and_then(Value::as_str).unwrap_or_default();
        Binding { address: text("HostIp"), port: text("HostPort").parse().ok() }
    }
}

/// What the engine is told about ports.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Published {
    /// `ExposedPorts`.
    pub(crate) exposed: Map<String, Value>,
    /// `HostConfig.PortBindings`.
    pub(crate) bindings: Map<String, Value>,
}

/// Reads this API's object. Whether a port exists, is free and may be used is for the engine to say.
///
/// # Errors
///
/// [`Failure::Malformed`] for a value that is neither null nor an object with `host_ports`, and for a field of the wrong type.
pub(crate) fn published(ports: &Object) -> Result<Published, Failure> {
    let mut published = Published::default();
    for (port, value) in ports {
        let port = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
        published.exposed.insert(port.clone(), json!({}));
        let bindings = wanted_bindings(value)?;
        if !bindings.is_empty() {
            published.bindings.insert(port, bindings.into());
        }
    }
    Ok(published)
}

fn wanted_bindings(value: &Json) -> Result<Vec<Value>, Failure> {
    let value = match value {
        Json::Null => return Ok(Vec::new()),
        Json::Object(value) => value,
        _ => return Err(Failure::Malformed("a port is neither an object nor null")),
    };
    let interface = match value.get("host_interface") {
        None | Some(Json::Null) => "",
        Some(Json::Text(interface)) => interface,
        Some(_) => return Err(Failure::Malformed("a `host_interface` is neither text nor null")),
    };
    let host_ports = match value.get("host_ports") {
        Some(Json::List(ports)) => ports.iter().map(port_number).collect::<Result<Vec<String>, Failure>>()?,
        // The engine takes one that is free, of a range or of all.
        Some(Json::Text(range)) => vec![range.clone()],
        Some(Json::Null) => vec![String::new()],
        Some(port) => vec![port_number(port)?],
        None => return Err(Failure::Malformed("a port has no `host_ports`")),
    };
    Ok(host_ports.into_iter().map(|port| json!({"HostIp": interface, "HostPort": port})).collect())
}

fn port_number(value: &Json) -> Result<String, Failure> {
    match value {
        Json::Integer(digits) => Ok(digits.clone()),
        _ => Err(Failure::Malformed("`host_ports` is no integer, list of integers, text or null")),
    }
}
