//! Image registries, asked by the host in the operator's name, as far as the operator grants it.
//!
//! Each module is one interface of `wharf:registry` and one word of the grant: [`digests_read`] is `"digests.read"` of `[site.plugin.grants.registry]`. [`references`] needs none.
//!
//! **References** are written as Docker has them: `redis`, `ghcr.io/a/b:1`, `localhost:5000/a@sha256:…`. What can be none is [`Error::Invalid`], and no registry is asked.
//!
//! **What goes wrong** with a registry is [`Error::Unavailable`], whose text begins with a word: [`problem`] is that word, for those who decide by it.

pub use crate::error::Error;

/// The word for what a registry did wrong: `rate-limited`, `unauthorized`, `digest-mismatch`, …; the contract (`wit/registry`) has them all. None for every other error.
#[must_use]
pub fn problem(error: &Error) -> Option<&str> {
    let Error::Unavailable(reason) = error else { return None };
    reason.split_once(": ").map(|(word, _)| word)
}

/// What a reference means. Asks nobody.
pub mod references {
    use super::Error;
    use crate::host::with;

    /// A reference, taken apart.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Reference {
        /// All of it: `docker.io/library/redis:7`.
        pub full: String,
        /// As people write it: `redis:7`.
        pub familiar: String,
        /// The host, with a port if it has one; `docker.io` for Docker Hub.
        pub registry: String,
        /// The repository as its registry knows it: `library/redis`.
        pub repository: String,
        /// None if there is only a digest.
        pub tag: Option<String>,
        /// If there is one, it decides, and the tag does not.
        pub digest: Option<String>,
    }

    /// Takes a reference apart. Without tag and digest the tag is `latest`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for what is no reference.
    pub fn resolve(reference: &str) -> Result<Reference, Error> {
        with(|host| host.registry_resolve(reference))
    }
}

/// `digests.read`: which image a reference leads to at the moment. Registries do not count this as a pull.
pub mod digests_read {
    use super::Error;
    use crate::host::with;

    /// What a registry says of a reference without sending it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Head {
        /// The digest of the index, or of the manifest if there is none: what an image's `repo_digests` have after a pull.
        pub digest: String,
        /// The media type: that of an index or of a manifest.
        pub media_type: String,
        /// The size of the index or manifest itself in bytes; none if the registry does not say.
        pub size: Option<u64>,
    }

    /// What is left of a registry's limit on pulls.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Quota {
        /// Pulls in one window.
        pub limit: u64,
        /// Pulls left.
        pub remaining: u64,
        /// The window in seconds; none if the registry does not say.
        pub window_secs: Option<u64>,
    }

    /// Asks for many references in one call; the answers stand in their order. At most 10,000.
    ///
    /// # Errors
    ///
    /// Of each: [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`].
    #[must_use]
    pub fn heads(references: &[String]) -> Vec<Result<Head, Error>> {
        with(|host| host.registry_heads(references))
    }

    /// What the registry of `reference` said last of its limit on pulls; none if it said nothing, or was not asked yet. Asks nobody.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::Invalid`].
    pub fn last_quota(reference: &str) -> Result<Option<Quota>, Error> {
        with(|host| host.registry_last_quota(reference))
    }
}

/// `manifests.read`: manifests and configurations. Registries count a manifest that is fetched as a pull.
pub mod manifests_read {
    use serde::de::DeserializeOwned;

    use super::Error;
    use crate::host::with;

    /// An index or a manifest.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Manifest {
        /// Its digest.
        pub digest: String,
        /// Its media type.
        pub media_type: String,
        /// As the registry sent it, JSON text: the digest is over these bytes.
        pub json: String,
    }

    /// The configuration of an image.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ImageConfig {
        /// Its digest, which is the image's id.
        pub digest: String,
        /// The digest of the manifest that names it.
        pub manifest_digest: String,
        /// As the registry sent it, JSON text: `os`, `architecture`, `created`, `config`, `rootfs`, `history`.
        pub json: String,
    }

    impl ImageConfig {
        /// Reads [`ImageConfig::json`].
        ///
        /// # Errors
        ///
        /// [`Error::Internal`] when it is not of the shape of `T`.
        pub fn details<T: DeserializeOwned>(&self) -> Result<T, Error> {
            serde_json::from_str(&self.json)
                .map_err(|error| Error::Internal(format!("the image's configuration is not what the plugin reads: {error}")))
        }
    }

    /// The index or manifest that `reference` leads to.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn fetch(reference: &str) -> Result<Manifest, Error> {
        with(|host| host.registry_manifest(reference))
    }

    /// The manifest of the image for `platform` (`linux/arm64`); none is the host's own. One that is in no index is answered whatever it is for.
    ///
    /// # Errors
    ///
    /// As [`fetch`]; [`Error::Unavailable`] with the word `no-platform` when the index has none.
    pub fn fetch_platform(reference: &str, platform: Option<&str>) -> Result<Manifest, Error> {
        with(|host| host.registry_platform_manifest(reference, platform))
    }

    /// The configuration of the image for `platform`, as in [`fetch_platform`].
    ///
    /// # Errors
    ///
    /// As [`fetch_platform`].
    pub fn fetch_config(reference: &str, platform: Option<&str>) -> Result<ImageConfig, Error> {
        with(|host| host.registry_config(reference, platform))
    }
}

/// `tags.read`: the tags of a repository.
pub mod tags_read {
    use super::Error;
    use crate::host::with;

    /// Tags of a repository.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct TagList {
        /// In the registry's order, which means nothing: some sort by name, none by time.
        pub tags: Vec<String>,
        /// Whether these are all.
        pub complete: bool,
    }

    /// The tags of the repository of `reference`, whose own tag does not matter: at most `limit` and at most 10,000.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn list(reference: &str, limit: u32) -> Result<TagList, Error> {
        with(|host| host.registry_tags(reference, limit))
    }
}

/// `hub.read`: what Docker Hub tells beyond the protocol of registries.
pub mod hub_read {
    use super::Error;
    use crate::host::with;

    /// A repository that was found.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct HubRepository {
        /// As people write it: `redis`, `grafana/grafana`.
        pub name: String,
        /// One line; may be empty.
        pub description: String,
        /// How many like it.
        pub stars: u64,
        /// Whether Docker publishes it as an official image.
        pub official: bool,
        /// Whether Docker has verified its publisher, or builds it from its source.
        pub trusted: bool,
    }

    /// What a search found.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SearchResults {
        /// Who answered: `hub-v4`, `hub-v2` or `engine`.
        pub provider: String,
        /// The repositories in the provider's order, those left out that the grant does not cover.
        pub repositories: Vec<HubRepository>,
    }

    /// Searches for `term`, at most `limit` repositories and at most 100.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`]; [`Error::Invalid`] for an empty term or one of more than 256 bytes; [`Error::Unavailable`] when no provider can be used; [`Error::Timeout`].
    pub fn search(term: &str, limit: u32) -> Result<SearchResults, Error> {
        with(|host| host.hub_search(term, limit))
    }

    /// The tags of `repository`, the newest first, at most `limit` and at most 1,000.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn tags(repository: &str, limit: u32) -> Result<Vec<String>, Error> {
        with(|host| host.hub_tags(repository, limit))
    }
}

/// `catalog.read`: curated lists of images.
pub mod catalog_read {
    use super::Error;
    use crate::host::with;

    /// What an entry is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum CatalogKind {
        /// An image of a registry.
        Docker,
        /// A template of a whole system, for LXC: an archive.
        Lxc,
    }

    /// One entry.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct CatalogEntry {
        /// What it is.
        pub kind: CatalogKind,
        /// `redis`, `grafana/grafana`; of a template its own name.
        pub name: String,
        /// The tag, or the version of a template.
        pub version: String,
        /// For people: `Redis`.
        pub title: String,
        /// A sentence; may be empty.
        pub description: String,
        /// `amd64`, `arm64`, …
        pub architecture: String,
        /// The address of a picture; may be empty.
        pub icon: String,
        /// The address of a page about it; may be empty.
        pub location: String,
        /// Of a template the size of the archive in bytes, if it is known.
        pub size: Option<u64>,
        /// Of a template where the archive is; of an image none.
        pub archive_url: Option<String>,
        /// The digest of the archive, `sha256:…`, if it is known.
        pub archive_digest: Option<String>,
    }

    /// A catalogue.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Catalog {
        /// Its entries, in its order.
        pub entries: Vec<CatalogEntry>,
        /// How many were left out since they could not be read.
        pub skipped: u32,
    }

    /// The catalogue `name`: `official`, `qnap`, or one of the site's own.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Unavailable`], [`Error::Timeout`].
    pub fn list(name: &str) -> Result<Catalog, Error> {
        with(|host| host.catalog_list(name))
    }
}

/// `catalog.download`: templates of the site's catalogues, fetched by the host into blobs of the plugin.
pub mod catalog_download {
    use super::Error;
    use crate::host::with;

    /// Begins to fetch the archive of the template `name` of the catalogue `catalog`, in `version` or else the first, and to store it as the plugin's blob `blob`. Answers at once with the id of the operation, for
    /// [`operations_read`](crate::docker::operations_read): its kind is `download`, its subject `catalog/name:version`. Whoever begins the same while it is under way gets the id of that.
    ///
    /// The blob is there when the operation has succeeded, and not before. Needs `"blobs"` of the storage grant too.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`]; [`Error::NotFound`] for a catalogue or a template that there is not; [`Error::Invalid`] for what can be no name of a blob; [`Error::Conflict`] while another template becomes this blob;
    /// [`Error::QuotaExceeded`]; [`Error::Unavailable`], also for a template whose archive is nowhere; [`Error::Timeout`]. What comes of the fetching is the operation's outcome.
    pub fn begin(catalog: &str, name: &str, version: Option<&str>, blob: &str) -> Result<String, Error> {
        with(|host| host.catalog_download_begin(catalog, name, version, blob))
    }
}
