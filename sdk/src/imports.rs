//! The host of a component: the contract's imports, in the SDK's words. Nothing is decided here.
//!
//! Its functions are those of the trait `Host` of native targets, but a type's own: each call is direct, so the linker can drop what a plugin does not use.

use std::time::{Duration, SystemTime};

use crate::bindings::wharf::config::config;
use crate::bindings::wharf::docker::{
    containers_create, containers_env, containers_lifecycle, containers_logs, containers_read, containers_recreate, containers_remove,
    distribution_read, images_build, images_prune, images_pull, images_read, images_remove, networks_read, operations_cancel,
    operations_read, system_read, types as docker, volumes_read,
};
use crate::bindings::wharf::http::{outgoing, types as http};
use crate::bindings::wharf::identity::types as identity;
use crate::bindings::wharf::jobs::types as jobs_types;
use crate::bindings::wharf::log::log;
use crate::bindings::wharf::registry::{
    catalog_download, catalog_read, digests_read, hub_read, manifests_read, references, tags_read, types as registry,
};
use crate::bindings::wharf::storage::types as storage_types;
use crate::docker::containers_create::Created;
use crate::docker::containers_logs::LogOptions;
use crate::docker::containers_read::{ContainerFilter, ContainerSummary};
use crate::docker::containers_recreate::{Change, RecreateOptions};
use crate::docker::containers_remove::RemoveOptions;
use crate::docker::distribution_read::Distribution;
use crate::docker::images_build::{BuildOptions, Content, ContextFile};
use crate::docker::images_prune::Pruned;
use crate::docker::images_read::{Image, ImageSummary};
use crate::docker::images_remove::Removal;
use crate::docker::networks_read::Network;
use crate::docker::operations_read::{Operation, OperationState, ProgressFormat};
use crate::docker::system_read::Engine;
use crate::docker::volumes_read::Volume;
use crate::docker::{Container, Grace};
use crate::error::Error;
use crate::host::Fields;
use crate::log::Level;
use crate::registry::catalog_read::{Catalog, CatalogEntry, CatalogKind};
use crate::registry::digests_read::{Head, Quota};
use crate::registry::hub_read::{HubRepository, SearchResults};
use crate::registry::manifests_read::{ImageConfig, Manifest};
use crate::registry::references::Reference;
use crate::registry::tags_read::TagList;
use crate::stream::{BodyWriter, ByteStream};

mod jobs;
pub(crate) mod storage;
mod users;

/// The host that runs this component.
pub(crate) struct Imports;

impl Imports {
    pub(crate) fn log(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
            Level::Trace => log::Level::Trace,
        };
        log::log(level, message, fields);
    }

    pub(crate) fn config_document(&self) -> String {
        config::document()
    }

    pub(crate) fn config_reveal(&self, name: &str) -> Result<String, Error> {
        Ok(config::reveal(name)?)
    }

    pub(crate) fn start(&self, status: u16, headers: Fields) -> Result<BodyWriter, Error> {
        let headers: Vec<http::Field> =
            headers.into_iter().map(|(name, value)| http::Field { name: name.into_owned(), value: value.into_owned() }).collect();
        Ok(BodyWriter(std::mem::ManuallyDrop::new(outgoing::start(status, &headers)?)))
    }

    pub(crate) fn containers_list(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, Error> {
        let filter = containers_read::ContainerFilter { all: filter.all, labels: filter.labels.clone() };
        Ok(containers_read::list(&filter)?.into_iter().map(ContainerSummary::from).collect())
    }

    pub(crate) fn containers_inspect(&self, names: &[String]) -> Vec<Result<Container, Error>> {
        each(containers_read::inspect(names))
    }

    pub(crate) fn containers_env_inspect(&self, names: &[String]) -> Vec<Result<Container, Error>> {
        each(containers_env::inspect(names))
    }

    pub(crate) fn containers_log(&self, container: &str, options: &LogOptions) -> Result<ByteStream, Error> {
        let options = containers_logs::LogOptions {
            stdout: options.stdout,
            stderr: options.stderr,
            timestamps: options.timestamps,
            follow: options.follow,
            tail: options.tail,
            since_ms: options.since.map(milliseconds),
            until_ms: options.until.map(milliseconds),
        };
        Ok(ByteStream(containers_logs::read(container, options)?))
    }

    pub(crate) fn container_start(&self, container: &str) -> Result<(), Error> {
        Ok(containers_lifecycle::start(container)?)
    }

    pub(crate) fn container_stop(&self, container: &str, grace: Grace) -> Result<(), Error> {
        let grace_ms = grace.map(|grace| u32::try_from(grace.as_millis()).unwrap_or(u32::MAX));
        Ok(containers_lifecycle::stop(container, grace_ms)?)
    }

    pub(crate) fn container_create(&self, name: &str, specification: &str) -> Result<Created, Error> {
        Ok(containers_create::create(name, specification)?.into())
    }

    pub(crate) fn container_run(&self, name: &str, specification: &str) -> Result<Created, Error> {
        Ok(containers_create::run(name, specification)?.into())
    }

    pub(crate) fn container_remove(&self, container: &str, options: RemoveOptions) -> Result<(), Error> {
        let mut flags = containers_remove::RemoveOptions::empty();
        flags.set(containers_remove::RemoveOptions::FORCE, options.force);
        flags.set(containers_remove::RemoveOptions::VOLUMES, options.volumes);
        Ok(containers_remove::remove(container, flags)?)
    }

    pub(crate) fn container_recreate_begin(&self, container: &str, options: &RecreateOptions) -> Result<String, Error> {
        let limit = |limit: Duration| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        let options = containers_recreate::RecreateOptions {
            image: options.image.clone(),
            pull: options.pull,
            settle_ms: options.settle.map(limit),
            healthy_ms: options.healthy.map(limit),
            again: options.again,
        };
        Ok(containers_recreate::begin(container, &options)?)
    }

    pub(crate) fn container_recreate_preview(&self, container: &str, image: Option<&str>) -> Result<Vec<Change>, Error> {
        crate::docker::details(&containers_recreate::preview(container, image)?)
    }

    pub(crate) fn images_inspect(&self, references: &[String]) -> Vec<Result<Image, Error>> {
        each(images_read::inspect(references))
    }

    pub(crate) fn image_pull(&self, reference: &str) -> Result<(), Error> {
        Ok(images_pull::pull(reference)?)
    }

    pub(crate) fn images_list(&self) -> Result<Vec<ImageSummary>, Error> {
        Ok(images_read::list()?.into_iter().map(ImageSummary::from).collect())
    }

    pub(crate) fn image_pull_begin(&self, reference: &str) -> Result<String, Error> {
        Ok(images_pull::begin(reference)?)
    }

    pub(crate) fn image_build_begin(&self, files: Vec<ContextFile>, options: &BuildOptions) -> Result<String, Error> {
        let file = |file: ContextFile| images_build::ContextFile {
            path: file.path,
            executable: file.executable,
            size: file.size,
            content: match file.content {
                Content::Bytes(bytes) => images_build::Content::Bytes(bytes),
                Content::Stream(stream) => images_build::Content::Stream(stream.0),
            },
        };
        let options = images_build::BuildOptions {
            dockerfile: options.dockerfile.clone(),
            names: options.names.clone(),
            labels: options.labels.clone(),
            arguments: options.arguments.clone(),
        };
        Ok(images_build::begin(files.into_iter().map(file).collect(), &options)?)
    }

    pub(crate) fn images_remove(&self, references: &[String]) -> Vec<Result<Removal, Error>> {
        each(images_remove::remove(references))
    }

    pub(crate) fn images_prune(&self) -> Result<Pruned, Error> {
        let images_prune::Pruned { deleted, reclaimed } = images_prune::prune()?;
        Ok(Pruned { deleted, reclaimed })
    }

    pub(crate) fn distribution_inspect(&self, references: &[String]) -> Vec<Result<Distribution, Error>> {
        each(distribution_read::inspect(references))
    }

    pub(crate) fn operations_list(&self) -> Result<Vec<Operation>, Error> {
        Ok(operations_read::list()?.into_iter().map(Operation::from).collect())
    }

    pub(crate) fn operations_get(&self, ids: &[String]) -> Vec<Result<Operation, Error>> {
        each(operations_read::get(ids))
    }

    pub(crate) fn operation_wait(&self, id: &str) -> Result<Operation, Error> {
        Ok(operations_read::wait(id)?.into())
    }

    pub(crate) fn operation_log(&self, id: &str) -> Result<ByteStream, Error> {
        Ok(ByteStream(operations_read::log(id)?))
    }

    pub(crate) fn operation_watch(&self, id: &str, format: ProgressFormat) -> Result<ByteStream, Error> {
        let format = match format {
            ProgressFormat::JsonLines => operations_read::ProgressFormat::JsonLines,
            ProgressFormat::ServerSentEvents => operations_read::ProgressFormat::ServerSentEvents,
        };
        Ok(ByteStream(operations_read::watch(id, format)?))
    }

    pub(crate) fn operation_cancel(&self, id: &str) -> Result<(), Error> {
        Ok(operations_cancel::cancel(id)?)
    }

    pub(crate) fn networks_list(&self) -> Result<Vec<Network>, Error> {
        let network = |network: networks_read::Network| Network {
            id: network.id,
            name: network.name,
            driver: network.driver,
            labels: network.labels,
            json: network.json,
        };
        Ok(networks_read::list()?.into_iter().map(network).collect())
    }

    pub(crate) fn volumes_list(&self) -> Result<Vec<Volume>, Error> {
        let volume =
            |volume: volumes_read::Volume| Volume { name: volume.name, driver: volume.driver, labels: volume.labels, json: volume.json };
        Ok(volumes_read::list()?.into_iter().map(volume).collect())
    }

    pub(crate) fn engine_version(&self) -> Result<Engine, Error> {
        let engine = system_read::version()?;
        Ok(Engine { version: engine.version, api_version: engine.api_version, os: engine.os, architecture: engine.architecture })
    }

    pub(crate) fn registry_resolve(&self, reference: &str) -> Result<Reference, Error> {
        let references::Reference { full, familiar, registry, repository, tag, digest } = references::resolve(reference)?;
        Ok(Reference { full, familiar, registry, repository, tag, digest })
    }

    pub(crate) fn registry_heads(&self, references: &[String]) -> Vec<Result<Head, Error>> {
        let head = |head: digests_read::Head| Head { digest: head.digest, media_type: head.media_type, size: head.size };
        digests_read::heads(references).into_iter().map(|answer| answer.map(head).map_err(Error::from)).collect()
    }

    pub(crate) fn registry_last_quota(&self, reference: &str) -> Result<Option<Quota>, Error> {
        let quota = digests_read::last_quota(reference)?;
        Ok(quota.map(|quota| Quota { limit: quota.limit, remaining: quota.remaining, window_secs: quota.window_secs }))
    }

    pub(crate) fn registry_manifest(&self, reference: &str) -> Result<Manifest, Error> {
        Ok(manifests_read::fetch(reference)?.into())
    }

    pub(crate) fn registry_platform_manifest(&self, reference: &str, platform: Option<&str>) -> Result<Manifest, Error> {
        Ok(manifests_read::fetch_platform(reference, platform)?.into())
    }

    pub(crate) fn registry_config(&self, reference: &str, platform: Option<&str>) -> Result<ImageConfig, Error> {
        let manifests_read::ImageConfig { digest, manifest_digest, json } = manifests_read::fetch_config(reference, platform)?;
        Ok(ImageConfig { digest, manifest_digest, json })
    }

    pub(crate) fn registry_tags(&self, reference: &str, limit: u32) -> Result<TagList, Error> {
        let tags_read::TagList { tags, complete } = tags_read::list(reference, limit)?;
        Ok(TagList { tags, complete })
    }

    pub(crate) fn hub_search(&self, term: &str, limit: u32) -> Result<SearchResults, Error> {
        let hub_read::SearchResults { provider, repositories } = hub_read::search(term, limit)?;
        let repository = |found: hub_read::HubRepository| HubRepository {
            name: found.name,
            description: found.description,
            stars: found.stars,
            official: found.official,
            trusted: found.trusted,
        };
        Ok(SearchResults { provider, repositories: repositories.into_iter().map(repository).collect() })
    }

    pub(crate) fn hub_tags(&self, repository: &str, limit: u32) -> Result<Vec<String>, Error> {
        Ok(hub_read::tags(repository, limit)?)
    }

    pub(crate) fn catalog_list(&self, name: &str) -> Result<Catalog, Error> {
        let catalog_read::Catalog { entries, skipped } = catalog_read::list(name)?;
        Ok(Catalog { entries: entries.into_iter().map(CatalogEntry::from).collect(), skipped })
    }

    pub(crate) fn catalog_download_begin(&self, catalog: &str, name: &str, version: Option<&str>, blob: &str) -> Result<String, Error> {
        Ok(catalog_download::begin(catalog, name, version, blob)?)
    }
}

/// The answers of one call about many things.
fn each<A: Into<B>, B>(answers: Vec<Result<A, docker::Error>>) -> Vec<Result<B, Error>> {
    answers.into_iter().map(|answer| answer.map(A::into).map_err(Error::from)).collect()
}

/// `time` as the contract counts it.
fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl From<docker::Container> for Container {
    fn from(container: docker::Container) -> Container {
        Container { id: container.id, name: container.name, state: container.state, labels: container.labels, json: container.json }
    }
}

impl From<containers_read::ContainerSummary> for ContainerSummary {
    fn from(summary: containers_read::ContainerSummary) -> ContainerSummary {
        ContainerSummary {
            id: summary.id,
            names: summary.names,
            image: summary.image,
            image_id: summary.image_id,
            state: summary.state,
            labels: summary.labels,
            json: summary.json,
        }
    }
}

impl From<containers_create::Created> for Created {
    fn from(created: containers_create::Created) -> Created {
        Created { id: created.id, warnings: created.warnings }
    }
}

impl From<images_read::Image> for Image {
    fn from(image: images_read::Image) -> Image {
        Image { id: image.id, repo_tags: image.repo_tags, repo_digests: image.repo_digests, json: image.json }
    }
}

impl From<images_read::ImageSummary> for ImageSummary {
    fn from(summary: images_read::ImageSummary) -> ImageSummary {
        ImageSummary {
            id: summary.id,
            repo_tags: summary.repo_tags,
            repo_digests: summary.repo_digests,
            created_ms: summary.created_ms,
            size: summary.size,
            json: summary.json,
        }
    }
}

impl From<images_remove::Removal> for Removal {
    fn from(removal: images_remove::Removal) -> Removal {
        Removal { untagged: removal.untagged, deleted: removal.deleted }
    }
}

impl From<distribution_read::Distribution> for Distribution {
    fn from(distribution: distribution_read::Distribution) -> Distribution {
        Distribution { digest: distribution.digest, media_type: distribution.media_type, json: distribution.json }
    }
}

impl From<operations_read::Operation> for Operation {
    fn from(operation: operations_read::Operation) -> Operation {
        Operation {
            id: operation.id,
            kind: operation.kind,
            subject: operation.subject,
            owned: operation.owned,
            state: match operation.state {
                operations_read::OperationState::Running => OperationState::Running,
                operations_read::OperationState::Succeeded => OperationState::Succeeded,
                operations_read::OperationState::Failed => OperationState::Failed,
                operations_read::OperationState::Cancelled => OperationState::Cancelled,
            },
            percent: operation.percent,
            began_ms: operation.began_ms,
            ended_ms: operation.ended_ms,
            failure: operation.failure.map(Error::from),
            json: operation.json,
        }
    }
}

impl From<catalog_read::CatalogEntry> for CatalogEntry {
    fn from(entry: catalog_read::CatalogEntry) -> CatalogEntry {
        CatalogEntry {
            kind: match entry.kind {
                catalog_read::CatalogKind::Docker => CatalogKind::Docker,
                catalog_read::CatalogKind::Lxc => CatalogKind::Lxc,
            },
            name: entry.name,
            version: entry.version,
            title: entry.title,
            description: entry.description,
            architecture: entry.architecture,
            icon: entry.icon,
            location: entry.location,
            size: entry.size,
            archive_url: entry.archive_url,
            archive_digest: entry.archive_digest,
        }
    }
}

impl From<manifests_read::Manifest> for Manifest {
    fn from(manifest: manifests_read::Manifest) -> Manifest {
        Manifest { digest: manifest.digest, media_type: manifest.media_type, json: manifest.json }
    }
}

/// The error of each package has the same words.
macro_rules! same_words {
    ($($package:ident),*) => {$(
        impl From<$package::Error> for Error {
            fn from(error: $package::Error) -> Error {
                match error {
                    $package::Error::Denied => Error::Denied,
                    $package::Error::NotFound => Error::NotFound,
                    $package::Error::Invalid(reason) => Error::Invalid(reason),
                    $package::Error::Conflict(reason) => Error::Conflict(reason),
                    $package::Error::Unavailable(reason) => Error::Unavailable(reason),
                    $package::Error::Timeout => Error::Timeout,
                    $package::Error::QuotaExceeded => Error::QuotaExceeded,
                    $package::Error::Internal(reason) => Error::Internal(reason),
                }
            }
        }
    )*};
}

same_words!(config, docker, http, identity, jobs_types, registry, storage_types);

impl From<Error> for http::Error {
    fn from(error: Error) -> http::Error {
        match error {
            Error::Denied => http::Error::Denied,
            Error::NotFound => http::Error::NotFound,
            Error::Invalid(reason) => http::Error::Invalid(reason),
            Error::Conflict(reason) => http::Error::Conflict(reason),
            Error::Unavailable(reason) => http::Error::Unavailable(reason),
            Error::Timeout => http::Error::Timeout,
            Error::QuotaExceeded => http::Error::QuotaExceeded,
            Error::Internal(reason) => http::Error::Internal(reason),
        }
    }
}
