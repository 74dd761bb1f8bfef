//! The client's words in the contract's.

use super::error::Failure;
use crate::backend::catalog::{Catalog, Entry, Kind};
use crate::backend::docker_hub::HubRepository;
use crate::backend::reference::ImageReference;
use crate::backend::registry::{Head, ImageConfig, Manifest, Quota, Tags};
use crate::bindings::wharf::registry::{catalog_read, digests_read, hub_read, manifests_read, references, tags_read};

pub(super) fn reference(reference: &ImageReference) -> references::Reference {
    references::Reference {
        full: reference.to_string(),
        familiar: reference.familiar(),
        registry: reference.registry().to_owned(),
        repository: reference.path().to_owned(),
        tag: reference.tag().map(str::to_owned),
        digest: reference.digest().map(str::to_owned),
    }
}

pub(super) fn head(head: Head) -> digests_read::Head {
    digests_read::Head { digest: head.digest, media_type: head.media_type, size: head.size }
}

pub(super) fn quota(quota: Quota) -> digests_read::Quota {
    digests_read::Quota { limit: quota.limit, remaining: quota.remaining, window_secs: quota.window.map(|window| window.as_secs()) }
}

pub(super) fn manifest(manifest: Manifest) -> Result<manifests_read::Manifest, Failure> {
    Ok(manifests_read::Manifest { digest: manifest.digest, media_type: manifest.media_type, json: text(&manifest.bytes)? })
}

pub(super) fn config(config: ImageConfig) -> Result<manifests_read::ImageConfig, Failure> {
    Ok(manifests_read::ImageConfig { digest: config.digest, manifest_digest: config.manifest.digest, json: text(&config.bytes)? })
}

pub(super) fn tags(tags: Tags) -> tags_read::TagList {
    tags_read::TagList { tags: tags.tags, complete: tags.complete }
}

pub(super) fn hub_repository(repository: &HubRepository) -> hub_read::HubRepository {
    hub_read::HubRepository {
        name: repository.name.clone(),
        description: repository.description.clone(),
        stars: repository.stars,
        official: repository.official,
        trusted: repository.trusted,
    }
}

pub(super) fn catalog(catalog: &Catalog) -> catalog_read::Catalog {
    catalog_read::Catalog { entries: catalog.entries.iter().map(catalog_entry).collect(), skipped: catalog.skipped }
}

fn catalog_entry(entry: &Entry) -> catalog_read::CatalogEntry {
    catalog_read::CatalogEntry {
        kind: match entry.kind {
            Kind::Docker => catalog_read::CatalogKind::Docker,
            Kind::Lxc => catalog_read::CatalogKind::Lxc,
        },
        name: entry.name.clone(),
        version: entry.version.clone(),
        title: entry.title.clone(),
        description: entry.description.clone(),
        architecture: entry.architecture.clone(),
        icon: entry.icon.clone(),
        location: entry.location.clone(),
        size: entry.size,
        archive_url: entry.archive_url.clone(),
        archive_digest: entry.archive_digest.clone(),
    }
}

/// JSON is UTF-8, and was parsed as such.
fn text(bytes: &[u8]) -> Result<String, Failure> {
    String::from_utf8(bytes.to_vec()).map_err(|error| Failure::Internal(error.to_string()))
}
