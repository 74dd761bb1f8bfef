//! Other containers in a specification: whose namespaces and volumes it shares.
//!
//! The engine writes the full id of the other one where the user wrote its name. That id is gone once the other one was recreated, so it is looked up in what was replaced; one that leads nowhere is a refusal, since
//! the engine would refuse it too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Refusal;
use super::json::{Object, at, field, items, text, text_at, texts};

/// The keys of `HostConfig` that may be `container:<id>`.
pub(super) const NAMESPACES: [&str; 4] = ["NetworkMode", "IpcMode", "PidMode", "Cgroup"];

/// The containers of an engine, and what became of those that were recreated just now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory<'a> {
    /// All of them, as inspected or as listed.
    pub(super) others: &'a [Value],
    /// The new id of each old one.
    pub(super) replaced: &'a BTreeMap<String, String>,
}

impl Directory<'_> {
    /// What `reference` (an id, its beginning, or a name) leads to now, in the same words if it still does; none if there is no such container.
    pub(super) fn current(&self, reference: &str) -> Option<String> {
        if let Some((_, new)) = self.replaced.iter().find(|(old, _)| is_id_of(reference, old)) {
            return Some(new.clone());
        }
        self.find(reference).map(|_| reference.to_owned())
    }

    /// The container that `reference` leads to.
    pub(super) fn find(&self, reference: &str) -> Option<&Value> {
        self.others.iter().find(|other| leads_to(reference, other))
    }

    /// Renews `container:…` in the modes of `host`.
    pub(super) fn namespaces(&self, host: &mut Object) -> Result<(), Refusal> {
        for key in NAMESPACES {
            let Some(container) = text(host, key).strip_prefix("container:") else { continue };
            let orphan = || Refusal::Orphan { key, container: container.to_owned() };
            let current = self.current(container).ok_or_else(orphan)?;
            host.insert(key.to_owned(), json!(format!("container:{current}")));
        }
        Ok(())
    }
}

/// `id[:mode]` of `VolumesFrom`, as the container and the mode with its colon.
pub(super) fn volumes_from(entry: &str) -> (&str, &str) {
    entry.split_at(entry.find(':').unwrap_or(entry.len()))
}

/// How a container depends on another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dependence {
    /// A namespace of it: `network_mode: container:…`, `ipc`, `pid`. Nothing works there once the other one is gone.
    Namespace,
    /// Its volumes, by its id. They stay, but the id leads nowhere when the container is created anew.
    Volumes,
    /// A link of the default network, which ends with the container at its other end.
    Link,
}

/// A container that must be recreated after another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependent {
    /// Its full id.
    pub(crate) id: String,
    /// Its name, without a slash.
    pub(crate) name: String,
    /// How it depends on the container, or on another dependent. Not empty.
    pub(crate) because: BTreeSet<Dependence>,
}

/// The containers that must be recreated after `container`, each after those that it depends on itself. `inspected` are the inspect documents of all containers of the engine, taken before anything was changed:
/// the engine shows links only while both ends are there.
///
/// Volumes that are shared by a name are no dependence: the name leads to the new container, which has the same ones.
pub(crate) fn dependents(container: &Value, inspected: &[Value]) -> Vec<Dependent> {
    let mut found: Vec<Dependent> = Vec::new();
    let mut chain = vec![container];
    let mut next = 0;
    while let Some(&on) = chain.get(next) {
        next += 1;
        for other in inspected.iter().filter(|other| text_at(other, "/Id") != text_at(container, "/Id")) {
            let because = dependences(other, on);
            let id = text_at(other, "/Id");
            match found.iter_mut().find(|dependent| dependent.id == id) {
                _ if because.is_empty() => {}
                Some(dependent) => dependent.because.extend(because),
                None => {
                    let name = text_at(other, "/Name").trim_start_matches('/').to_owned();
                    found.push(Dependent { id: id.to_owned(), name, because });
                    chain.push(other);
                }
            }
        }
    }
    sorted(found, inspected)
}

/// Each after those among them that it depends on. In a circle of links the order is that in which they were found.
fn sorted(mut found: Vec<Dependent>, inspected: &[Value]) -> Vec<Dependent> {
    let document = |id: &str| inspected.iter().find(|other| text_at(other, "/Id") == id);
    let waits = |one: &Dependent, rest: &[Dependent]| {
        rest.iter().filter(|other| other.id != one.id).any(|other| {
            let (Some(one), Some(other)) = (document(&one.id), document(&other.id)) else { return false };
            !dependences(one, other).is_empty()
        })
    };
    let mut order = Vec::new();
    while !found.is_empty() {
        let place = found.iter().position(|one| !waits(one, &found)).unwrap_or_default();
        order.push(found.remove(place));
    }
    order
}

/// How the container inspected as `one` depends on `other`.
fn dependences(one: &Value, other: &Value) -> BTreeSet<Dependence> {
    let mut because = BTreeSet::new();
    let Some(host) = at(one, "/HostConfig").as_object() else { return because };
    let shared = NAMESPACES.iter().filter_map(|key| text(host, key).strip_prefix("container:"));
    if shared.into_iter().any(|reference| leads_to(reference, other)) {
        because.insert(Dependence::Namespace);
    }
    let mut volumes = texts(field(host, "VolumesFrom")).map(|entry| volumes_from(entry).0);
    if volumes.any(|reference| is_id_of(reference, text_at(other, "/Id"))) {
        because.insert(Dependence::Volumes);
    }
    let mut links = texts(field(host, "Links")).map(|link| link.split_once(':').map_or(link, |(target, _)| target));
    if links.any(|reference| leads_to(reference, other)) {
        because.insert(Dependence::Link);
    }
    because
}

/// Whether the engine would take `reference` for this container, which was inspected or listed.
fn leads_to(reference: &str, container: &Value) -> bool {
    let name = reference.trim_start_matches('/');
    let is_name = |full: &str| full.strip_prefix('/') == Some(name);
    // A list has all names, those of links too, which have a second slash.
    let mut names = texts(at(container, "/Names"));
    is_id_of(reference, text_at(container, "/Id")) || is_name(text_at(container, "/Name")) || names.any(is_name)
}

/// Whether `reference` is this id or its beginning. A beginning that is shorter than what is shown of ids counts as a name.
fn is_id_of(reference: &str, id: &str) -> bool {
    reference.len() >= 12 && id.starts_with(reference)
}

/// The mounts of the containers that `host` takes volumes from, by their documents.
pub(super) fn mounts_of_sources<'a>(host: &'a Object, directory: &'a Directory<'_>) -> impl Iterator<Item = &'a Value> {
    let sources = texts(field(host, "VolumesFrom")).filter_map(|entry| directory.find(volumes_from(entry).0));
    sources.flat_map(|source| items(at(source, "/Mounts")))
}
