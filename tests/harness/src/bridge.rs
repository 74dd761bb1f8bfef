//! A network for a private engine that shares the machine with others and changes nothing of theirs.
//!
//! Two engines in one network namespace fight over two things: the link `docker0` and the firewall chains, which each of them flushes when
//! it starts. So ours gets a bridge of its own and leaves `ip_forward` and the firewall alone, but for two rules of ours (`firewall.rs`). Ports are published all the same: the engine's
//! `docker-proxy` listens on the host's side and connects to the container over the bridge, which needs no firewall rule. What does not work is a
//! container that wants to leave the machine; nothing of ours does.
//!
//! Addresses come from 198.18.0.0/15, which is set aside for tests of this kind and collides with nobody's network. The bridge `wharfN` has 198.18.N.0/24, and the
//! named networks of its engine are in 198.19.N.0/24.

use std::fs::{File, TryLockError};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::firewall::Passage;
use crate::process::{output, search_path};

/// The bridges of engines that end with what they made.
const TEMPORARY: std::ops::Range<u8> = 1..200;
/// Those of engines whose networks outlive them, beside `wharf0`.
const LASTING: std::ops::Range<u8> = 200..250;

/// A bridge, with the addresses of the engine that uses it. Dropping it removes it.
#[derive(Debug)]
pub struct Bridge {
    index: u8,
    /// Links that the engine made for named networks and leaves behind when it stops.
    networks: Vec<String>,
    /// The way through the machine's firewall; none until the bridge is there.
    _passage: Option<Passage>,
    /// Holds the claim of a lasting bridge as long as we live.
    _claim: Option<File>,
}

impl Bridge {
    /// Makes the first of `wharf1` to `wharf199` that is not there. The name is the claim: of two that try at once only one succeeds.
    ///
    /// # Errors
    ///
    /// We are not root, or all of them are there.
    pub fn claim() -> anyhow::Result<Bridge> {
        for index in TEMPORARY {
            if let Some(bridge) = Bridge::make(index)? {
                return Ok(bridge);
            }
        }
        anyhow::bail!("no bridge is free: remove those that killed runs left behind, `ip link delete wharf1` and so on")
    }

    /// The bridge of an engine whose networks outlive it: they must have the same addresses the next time, so the file `record` says which it was. Made if it is
    /// not there; the first time, `wharf0` or the next that nobody uses now.
    ///
    /// # Errors
    ///
    /// We are not root, or a running engine has the bridge.
    pub fn lasting(record: &Path) -> anyhow::Result<Bridge> {
        let recorded = std::fs::read_to_string(record).ok().and_then(|text| text.trim().parse().ok());
        let candidates: Vec<u8> = recorded.map_or_else(|| iter::once(0).chain(LASTING).collect(), |index| vec![index]);
        for &index in &candidates {
            let Some(claim) = lock(&PathBuf::from(format!("/run/wharf{index}.lock")))? else { continue };
            std::fs::write(record, format!("{index}\n")).with_context(|| format!("failed to write `{}`", record.display()))?;
            // The claim is ours, so one that is there was left behind by a run that was killed.
            let mut bridge = match Bridge::make(index)? {
                Some(bridge) => bridge,
                None => Bridge::opened(index)?,
            };
            bridge._claim = Some(claim);
            return Ok(bridge);
        }
        anyhow::bail!("a running engine has the bridge of this one, wharf{}", candidates.last().copied().unwrap_or_default())
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
        let bridge = Bridge::opened(index)?;
        ip(&["address", "add", &format!("198.18.{index}.1/24"), "dev", &name])?;
        ip(&["link", "set", "dev", &name, "up"])?;
        Ok(Some(bridge))
    }

    /// The bridge that is there, with its way through the firewall.
    fn opened(index: u8) -> anyhow::Result<Bridge> {
        // First the value whose end removes the link.
        let mut bridge = Bridge { index, networks: Vec::new(), _passage: None, _claim: None };
        bridge._passage = Some(Passage::open([18, 19].map(|range| format!("198.{range}.{index}.0/24")).into())?);
        Ok(bridge)
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

/// Opens the file and locks it until it is closed, which the end of the process does too; none if somebody else has it.
fn lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file = File::create(path).with_context(|| format!("failed to write `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("failed to lock `{}`", path.display())),
    }
}
