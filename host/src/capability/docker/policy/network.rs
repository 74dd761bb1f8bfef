//! Which networks a new container may join, under which names, and which ports of the machine it may take.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::super::specification::Json;
use super::{Check, Outcome, invalid};

impl Check<'_> {
    /// `HostConfig.NetworkMode`. Absent it means the engine's default network, which is `bridge` in the grant.
    pub(super) fn network(&self, host: &Json) -> Outcome {
        self.join("NetworkMode", host.text("NetworkMode"))?;
        // Links hand the environment of the container at their other end to this one.
        if host.list("Links").is_empty() { Ok(()) } else { self.never("Links") }
    }

    /// `NetworkingConfig.EndpointsConfig`, by network.
    pub(super) fn endpoints(&self, networking: &Json) -> Outcome {
        for (network, endpoint) in networking.map("EndpointsConfig") {
            self.join("EndpointsConfig", network)?;
            if !endpoint.list("Links").is_empty() {
                return self.never("Links");
            }
            for alias in endpoint.texts("Aliases") {
                self.alias("Aliases", alias)?;
            }
            if !endpoint.get("IPAMConfig").map_or(&[][..], |addresses| addresses.list("LinkLocalIPs")).is_empty() {
                return self.never("LinkLocalIPs");
            }
            // Drivers take orders here, sysctls among them.
            if !endpoint.map("DriverOpts").is_empty() {
                return self.never("DriverOpts");
            }
        }
        Ok(())
    }

    /// `Hostname`. Empty is the short id.
    pub(super) fn hostname(&self, name: &str) -> Outcome {
        if name.is_empty() { Ok(()) } else { self.alias("Hostname", name) }
    }

    fn alias(&self, key: &str, alias: &str) -> Outcome {
        if self.grant.covers_alias(self.name, alias) {
            return Ok(());
        }
        self.denied(&format!("{key} {alias}"), &format!("containers.names = [\"{alias}\"]"))
    }

    fn join(&self, key: &str, network: &str) -> Outcome {
        let name = match network {
            "none" => return Ok(()),
            "" | "default" | "bridge" => "bridge",
            mode if mode == "host" || mode.starts_with("container:") => return self.namespace(key, "network", mode),
            name => name,
        };
        if self.grant.covers_network(name) { Ok(()) } else { self.denied(&format!("network {name}"), &format!("networks = [\"{name}\"]")) }
    }

    /// `HostConfig.PortBindings`. Ports that the engine chooses are above those of the machine's own services.
    pub(super) fn ports(&self, host: &Json) -> Outcome {
        for (container_port, bindings) in host.map("PortBindings") {
            if !is_container_port(container_port) {
                return invalid("HostConfig.PortBindings", container_port, "`port` or `port/protocol`");
            }
            for binding in bindings.items() {
                let (address, port) = (binding.text("HostIp"), binding.text("HostPort"));
                if !address.is_empty() && address.parse::<IpAddr>().is_err() {
                    return invalid("HostIp", address, "an IP address");
                }
                let Some(range) = port_range(port) else { return invalid("HostPort", port, "a port or a range of ports") };
                let lowest = *range.start();
                if lowest != 0 && lowest < self.granted().lowest_port {
                    return self.denied(&format!("port {port} of the machine"), &format!("create.lowest_port = {lowest}"));
                }
            }
        }
        Ok(())
    }
}

/// How many ports of the machine `HostConfig.PortBindings` asks for, with every port of a range. What is no port is counted as one.
pub(super) fn published_ports(host: &Json) -> usize {
    let bindings = host.map("PortBindings").iter().flat_map(|(_, bindings)| bindings.items());
    bindings.map(|binding| port_range(binding.text("HostPort")).map_or(1, |range| range.len())).sum()
}

/// `80`, `80/tcp`, `53/udp`, `5000/sctp`.
pub(super) fn is_container_port(text: &str) -> bool {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    matches!(protocol, "tcp" | "udp" | "sctp") && port_number(port).is_some_and(|port| port > 0)
}

/// The ports of `8080` or `8000-8010`; 0 alone when the engine is to choose.
fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    match text.split_once('-') {
        None if text.is_empty() => Some(0..=0),
        None => port_number(text).map(|port| port..=port),
        Some((first, last)) => {
            let (first, last) = (port_number(first)?, port_number(last)?);
            (1..=last).contains(&first).then_some(first..=last)
        }
    }
}

/// Digits alone: Rust's own parser takes a sign too.
fn port_number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
