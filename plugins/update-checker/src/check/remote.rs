//! What the registries have: one question for all references, and a second look at what seems to have changed.
//!
//! Registries do not count the question as a pull. An index is published anew whenever an image of any platform is, or only an attestation; so where its digest has changed, what it holds for the platform of a container is
//! looked at before the container is called outdated. That is a pull, and it is made once for a digest and an image: what a digest leads to never changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wharf_sdk::Error;
use wharf_sdk::docker::images_read;
use wharf_sdk::registry::digests_read::{self, Head};
use wharf_sdk::registry::manifests_read::{self, Manifest};
use wharf_sdk::registry::problem;
use wharf_sdk::tracing::debug;

use super::local::Local;
use crate::document::Document;
use crate::failure::short;
use crate::reference::repository;
use crate::snapshot::{Group, Item, Snapshot};

/// The most second looks of one check. Each is two pulls for a registry that counts them, and Docker Hub gives strangers a hundred in six hours: where everything is outdated, the rest has to wait, and is called outdated until then.
const LOOKS: usize = 20;
/// The longest reason that is kept, in bytes.
const LONGEST_REASON: usize = 200;

/// What second looks have found, by `digest image-id`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Comparisons(BTreeMap<String, Comparison>);

impl Document for Comparisons {
    const KEY: &'static str = "comparisons";
}

/// What an index has for the platform of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Comparison {
    /// The same image.
    Same,
    /// Another one.
    Different,
    /// None.
    NoPlatform,
}

/// Sets `containers` against their registries, in groups that are sorted by image.
pub(super) fn compare(containers: &[Local], previous: &Snapshot, now_ms: u64) -> Result<Vec<Group>, Error> {
    let mut by_image: BTreeMap<&str, Vec<&Local>> = BTreeMap::new();
    for container in containers {
        by_image.entry(&container.image).or_default().push(container);
    }
    // What was built or loaded here has no digest to compare, and its name may mean nothing to a registry.
    let asked: Vec<String> = by_image
        .iter()
        .filter(|(_, members)| members.iter().any(|member| !member.digests.is_empty()))
        .map(|(image, _)| (*image).to_owned())
        .collect();
    let heads = if asked.is_empty() { Vec::new() } else { digests_read::heads(&asked) };
    let heads: BTreeMap<&str, Result<Head, Error>> = asked.iter().map(String::as_str).zip(heads).collect();
    let comparisons = second_looks(&by_image, &heads)?;
    let groups = by_image.into_iter().map(|(image, members)| {
        let (remote, remote_error) = match heads.get(image) {
            Some(Ok(head)) => (Some(head.digest.clone()), None),
            Some(Err(error)) => (None, Some(cut(short(error)))),
            None => (None, None),
        };
        let known = previous.group(image).and_then(Group::last_remote);
        // A registry that does not answer for a while makes no image younger.
        let same = known.filter(|(known, _)| remote.as_deref().is_none_or(|remote| remote == *known));
        let mut group = Group {
            image: image.to_owned(),
            remote_before: same.filter(|_| remote.is_none()).map(|(known, _)| known.to_owned()),
            remote_since_ms: same.map_or(now_ms, |(_, since_ms)| since_ms),
            containers: members.into_iter().map(|member| item(member, remote.as_deref(), &comparisons)).collect(),
            remote,
            remote_error,
        };
        group.sort();
        group
    });
    Ok(groups.collect())
}

fn item(container: &Local, remote: Option<&str>, comparisons: &Comparisons) -> Item {
    let comparison = remote.and_then(|remote| comparisons.0.get(&key(remote, container)));
    Item {
        id: container.id.clone(),
        name: container.name.clone(),
        digests: container.digests.clone(),
        is_pinned: container.is_pinned,
        is_monitored_only: container.is_monitored_only,
        is_same: comparison == Some(&Comparison::Same),
        error: (comparison == Some(&Comparison::NoPlatform)).then(|| "the registry has no image for this platform".to_owned()),
    }
}

fn key(digest: &str, container: &Local) -> String {
    format!("{digest} {}", container.image_id)
}

fn is_index(media_type: &str) -> bool {
    media_type.contains("image.index") || media_type.contains("manifest.list")
}

/// What is known of the containers whose digests are not those of an index that their reference leads to. What is not known yet is looked at, and remembered.
fn second_looks(by_image: &BTreeMap<&str, Vec<&Local>>, heads: &BTreeMap<&str, Result<Head, Error>>) -> Result<Comparisons, Error> {
    let mut changed: BTreeMap<String, (&str, &Local)> = BTreeMap::new();
    for (image, members) in by_image {
        let Some(Ok(head)) = heads.get(image) else { continue };
        for member in members.iter().filter(|member| is_index(&head.media_type) && is_comparable(member, &head.digest)) {
            changed.insert(key(&head.digest, member), (&head.digest, member));
        }
    }
    let mut known = Comparisons::read()?;
    if changed.is_empty() && known.0.is_empty() {
        return Ok(known);
    }
    let before = known.clone();
    // What is known of an image whose registry does not answer at the moment is of use when it does again.
    let silent = by_image.iter().filter(|(image, _)| matches!(heads.get(*image), Some(Err(_)))).flat_map(|(_, members)| members);
    let silent: BTreeSet<&str> = silent.map(|member| member.image_id.as_str()).collect();
    known.0.retain(|key, _| changed.contains_key(key) || key.split_once(' ').is_some_and(|(_, image_id)| silent.contains(image_id)));
    let unknown: Vec<(&String, &(&str, &Local))> = changed.iter().filter(|(key, _)| !known.0.contains_key(*key)).take(LOOKS).collect();
    let platforms = platforms(unknown.iter().map(|(_, (_, container))| container.image_id.as_str()).collect())?;
    for (key, (digest, container)) in unknown {
        let Some(platform) = platforms.get(&container.image_id) else { continue };
        if let Some(comparison) = look(digest, container, platform) {
            known.0.insert(key.clone(), comparison);
        }
    }
    if known != before {
        Comparisons::change(|kept| kept.clone_from(&known))?;
    }
    Ok(known)
}

fn is_comparable(container: &Local, remote: &str) -> bool {
    !container.is_pinned && !container.digests.is_empty() && !container.digests.iter().any(|own| own == remote)
}

/// The platforms of images, as `linux/arm/v7`, in one call.
fn platforms(images: BTreeSet<&str>) -> Result<BTreeMap<String, String>, Error> {
    let ids: Vec<String> = images.into_iter().map(str::to_owned).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = ids.iter().zip(images_read::inspect(&ids)).filter_map(|(id, image)| {
        let image: Value = serde_json::from_str(&image.ok()?.json).ok()?;
        let part = |name: &str| image.get(name).and_then(Value::as_str).filter(|part| !part.is_empty());
        let parts = [part("Os")?, part("Architecture")?];
        let platform = parts.into_iter().chain(part("Variant")).collect::<Vec<_>>().join("/");
        Some((id.clone(), platform))
    });
    Ok(found.collect())
}

/// What `digest` has for `platform`, beside what `container` runs; none if nobody can say now.
fn look(digest: &str, container: &Local, platform: &str) -> Option<Comparison> {
    let reference = format!("{}@{digest}", repository(&container.image));
    match manifests_read::fetch_platform(&reference, Some(platform)) {
        Ok(manifest) if is_of(&manifest, container) => Some(Comparison::Same),
        Ok(_) => Some(Comparison::Different),
        Err(error) if problem(&error) == Some("no-platform") => Some(Comparison::NoPlatform),
        Err(error) => {
            debug!(%error, reference, "an index cannot be looked into");
            None
        }
    }
}

/// Whether `container` runs the image of `manifest`: it is known by the manifest's own digest, or the id of its image is the digest of the manifest's configuration.
fn is_of(manifest: &Manifest, container: &Local) -> bool {
    let by_manifest = container.digests.iter().chain(&container.manifest).any(|digest| *digest == manifest.digest);
    let parsed: Value = serde_json::from_str(&manifest.json).unwrap_or_default();
    by_manifest || parsed.pointer("/config/digest").and_then(Value::as_str) == Some(&container.image_id)
}

/// `reason`, not longer than a line should be.
fn cut(mut reason: String) -> String {
    if reason.len() > LONGEST_REASON {
        let end = (0..=LONGEST_REASON).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or_default();
        reason.truncate(end);
        reason.push('…');
    }
    reason
}
