//! A network for a private engine that shares the machine with others and changes nothing of theirs.
//!
//! Two engines in one network namespace fight over two things: the link `docker0` and the firewall chains, which each of them flushes when
//! it starts. So ours gets a bridge of its own and leaves the firewall and `ip_forward` alone. Ports are published all the same: the engine's
//! `docker-proxy` listens on the host's side and connects to the container over the bridge, which needs no firewall rule. What does not work is a
//! container that wants to leave the machine; nothing of ours does.
//!
//! Addresses come from 198.18.0.0/15, which is set aside for tests of this kind and collides with nobody's network.

use std::path::Path;
use std::process::Command;

use crate::process::{output, search_path};

/// A bridge, with the addresses of the engine that uses it. Dropping it removes it.
#[derive(Debug)]
pub struct Bridge {
    index: u8,
    /// Links that the engine made for named networks and leaves behind when it stops.
    networks: Vec<String>,
}

impl Bridge {
    /// Makes the first of `wharf1` to `wharf249` that is not there. The name is the claim: of two that try at once only one succeeds.
    ///
    /// # Errors
    ///
    /// We are not root, or all of them are there.
    pub fn claim() -> anyhow::Result<Bridge> {
        for index in 1..250 {
            if let Some(bridge) = Bridge::make(index)? {
                return Ok(bridge);
            }
        }
        anyhow::bail!("no bridge is free: remove those that killed runs left behind, `ip link delete wharf1` and so on")
    }

    /// The bridge `wharf0`, for the one engine whose networks outlive it: they must have the same addresses the next time. Made if it is not there.
    ///
    /// # Errors
    ///
    /// We are not root.
    pub fn lasting() -> anyhow::Result<Bridge> {
        Ok(Bridge::make(0)?.unwrap_or_else(|| Bridge { index: 0, networks: Vec::new() }))
    }

    /// Makes the bridge, or answers none if it is there already.
    fn make(index: u8) -> anyhow::Result<Option<Bridge>> {
        let name = format!("wharf{index}");
        let taken = || Path::new("/sys/class/net").join(&name).exists();
        if taken() {
            return Ok(None);
        }
        if let Err(error) = ip(&["link", "add", "name", &name, "type", "bridge"]) {
            return if taken() { Ok(None) } else { Err(error) };
        }
        let bridge = Bridge { index, networks: Vec::new() };
        ip(&["address", "add", &format!("198.18.{index}.1/24"), "dev", &name])?;
        ip(&["link", "set", "dev", &name, "up"])?;
        Ok(Some(bridge))
    }

    /// The arguments that make an engine use this bridge and nothing else of the machine's network.
    pub fn engine_arguments(&self) -> Vec<String> {
        vec![
            format!("--bridge=wharf{}", self.index),
            // Sixteen named networks of thirteen containers.
            format!("--default-address-pool=base=198.19.{}.0/24,size=28", self.index),
            "--iptables=false".to_owned(),
            "--ip6tables=false".to_owned(),
            "--ip-forward=false".to_owned(),
            // Ports that a container publishes on the default network are for this machine.
            "--ip=127.0.0.1".to_owned(),
        ]
    }

    /// Also removes the links of these networks, given by id, in the end.
    pub fn remove_networks_too(&mut self, ids: &[String]) {
        self.networks.extend(ids.iter().map(|id| format!("br-{}", id.get(..12).unwrap_or(id))));
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for link in self.networks.iter().chain([&format!("wharf{}", self.index)]) {
            // One may be gone already; there is nothing to do about one that cannot be removed.
            let _ = ip(&["link", "delete", "dev", link]);
        }
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<String> {
    output(Command::new("ip").args(arguments).env("PATH", search_path(&[])?))
}
