//! What runs here: the containers that are watched, each with the reference that it was created with and the digests of its own image.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wharf_sdk::Error;
use wharf_sdk::docker::containers_read::{self, ContainerFilter, ContainerSummary};
use wharf_sdk::docker::images_read::{self, ImageSummary};
use wharf_sdk::tracing::warn;

use crate::digest;
use crate::document::Document;
use crate::labels::{Watch, watch};
use crate::reference::{is_id, is_pinned, normalised};
use crate::settings::Settings;
use crate::snapshot::Snapshot;

/// What the engine has.
#[derive(Debug)]
pub(super) struct Engine {
    /// The containers that are watched and run.
    pub(super) containers: Vec<Local>,
    /// The ids of all containers there are.
    pub(super) present: BTreeSet<String>,
}

/// A container that is watched.
#[derive(Debug, Clone)]
pub(super) struct Local {
    /// The full id.
    pub(super) id: String,
    pub(super) name: String,
    /// The reference, with a tag and without a digest.
    pub(super) image: String,
    /// The id of the image that it runs, with `sha256:`.
    pub(super) image_id: String,
    /// The digests by which the registry of its reference knows that.
    pub(super) digests: Vec<String>,
    pub(super) is_pinned: bool,
    /// Whether it is left to people: a label says so, or it is paused and cannot be replaced.
    pub(super) is_monitored_only: bool,
    /// The digest of the manifest for this machine, where the engine keeps images as registries do and says so.
    pub(super) manifest: Option<String>,
}

/// The references that containers were created with, by full id, where lists do not show them any more. A container's never changes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct References(BTreeMap<String, String>);

impl Document for References {
    const KEY: &'static str = "references";
}

pub(super) fn read(settings: &Settings, previous: &Snapshot) -> Result<Engine, Error> {
    let all = containers_read::list(&ContainerFilter { all: true, labels: Vec::new() })?;
    let present: BTreeSet<String> = all.iter().map(|container| container.id.clone()).collect();
    let watched: Vec<(ContainerSummary, Watch)> = all
        .into_iter()
        .filter(|container| is_up(&container.state) && !is_own(container, settings))
        .map(|container| (watch(&container.labels, settings.labels), container))
        .filter(|(watch, _)| *watch != Watch::No)
        .map(|(watch, container)| (container, watch))
        .collect();
    let references = references(&watched, &present)?;
    let images = Images::of(if watched.is_empty() { Vec::new() } else { images_read::list()? });
    let containers = watched.into_iter().filter_map(|(container, watch)| {
        let reference = references.get(&container.id)?;
        if is_id(reference, &container.image_id) {
            return None;
        }
        let known = || previous.groups.iter().flat_map(|group| &group.containers).find(|item| item.id == container.id);
        let mut digests = images.digests(&container.image_id, reference);
        if digests.is_empty() {
            // Some engines forget by which digest they know an image when its tag leads to another one.
            digests = known().map(|item| item.digests.clone()).unwrap_or_default();
        }
        Some(Local {
            name: container.names.first().cloned().unwrap_or_default(),
            image: normalised(reference).into_owned(),
            digests,
            is_pinned: is_pinned(reference),
            is_monitored_only: watch == Watch::MonitorOnly || container.state == "paused",
            manifest: manifest(&container.json),
            id: container.id,
            image_id: container.image_id,
        })
    });
    Ok(Engine { containers: containers.collect(), present })
}

/// Whether an engine's list of running containers has one in this state.
fn is_up(state: &str) -> bool {
    matches!(state, "running" | "paused" | "restarting")
}

fn is_own(container: &ContainerSummary, settings: &Settings) -> bool {
    settings.own_container.as_ref().is_some_and(|own| container.names.iter().any(|name| name == own))
}

/// The reference of each container. Those of which the list has only an id are asked about once, all in one call.
fn references(containers: &[(ContainerSummary, Watch)], present: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Error> {
    let (ids, names): (Vec<_>, Vec<_>) =
        containers.iter().map(|(container, _)| container).partition(|container| is_id(&container.image, &container.image_id));
    let mut found: BTreeMap<String, String> = names.into_iter().map(|container| (container.id.clone(), container.image.clone())).collect();
    if ids.is_empty() {
        return Ok(found);
    }
    let remembered = References::read()?;
    let (known, unknown): (Vec<_>, Vec<_>) = ids.into_iter().partition(|container| remembered.0.contains_key(&container.id));
    found.extend(known.into_iter().filter_map(|container| Some((container.id.clone(), remembered.0.get(&container.id)?.clone()))));
    if unknown.is_empty() {
        return Ok(found);
    }
    let unknown: Vec<String> = unknown.into_iter().map(|container| container.id.clone()).collect();
    let mut learned = BTreeMap::new();
    for (id, inspected) in unknown.iter().zip(containers_read::inspect(&unknown)) {
        match inspected.and_then(|container| container.details::<Inspected>()) {
            Ok(details) => drop(learned.insert(id.clone(), details.config.image)),
            Err(Error::NotFound) => {}
            Err(error) => warn!(%error, container = id, "it cannot be found out which image a container was created with"),
        }
    }
    References::change(|references| {
        references.0.retain(|id, _| present.contains(id));
        references.0.extend(learned.clone());
    })?;
    found.extend(learned);
    Ok(found)
}

/// The part of an inspected container that is wanted here.
#[derive(Deserialize)]
struct Inspected {
    #[serde(rename = "Config")]
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Image")]
    image: String,
}

/// The images of the engine by their ids.
struct Images {
    digests: BTreeMap<String, Vec<String>>,
    /// Whether images are kept as registries have them, so that the id of one is its digest.
    ids_are_digests: bool,
}

impl Images {
    fn of(images: Vec<ImageSummary>) -> Images {
        let has_own_digest = |image: &ImageSummary| image.repo_digests.iter().any(|entry| entry.ends_with(&format!("@{}", image.id)));
        let ids_are_digests = images.iter().any(has_own_digest);
        Images { digests: images.into_iter().map(|image| (image.id, image.repo_digests)).collect(), ids_are_digests }
    }

    /// The digests of the image `id` in the repository of `reference`.
    fn digests(&self, id: &str, reference: &str) -> Vec<String> {
        let Some(all) = self.digests.get(id) else { return Vec::new() };
        let own = digest::of_repository(all, reference);
        // Without a name an image has no repository, and is still known by its digest.
        if own.is_empty() && all.is_empty() && self.ids_are_digests { vec![id.to_owned()] } else { own }
    }
}

/// `ImageManifestDescriptor.digest` of a container in a list, which engines have from API 1.48 on, if they keep images as registries do.
fn manifest(json: &str) -> Option<String> {
    if !json.contains("ImageManifestDescriptor") {
        return None;
    }
    let container: Value = serde_json::from_str(json).ok()?;
    container.pointer("/ImageManifestDescriptor/digest")?.as_str().map(str::to_owned)
}
