//! Image registries, asked directly: digests, manifests, configurations and tags.
//!
//! A client of our own. Those that there are ask three times where once is enough, lose the headers that say when to stop, and fetch a manifest where its head was not enough: Docker Hub counts
//! that as a pull, and a site has few of these. Here a digest is asked for by `HEAD`, and whatever goes wrong with it is that image's error and never a reason to `GET`.
//!
//! What else the host fetches from the web in a plugin's name, lists of Docker Hub, catalogues and archives of templates, goes the same way: see [`document`] and [`archive`]; and so does what it sends to webhooks: [`post`].
//!
//! Who calls is not known here. The room has checked what its plugin may ask for; where the host itself may go is checked on every connection, in [`outbound`].
//!
//! Limits: [`CONNECTIONS`] connections to one server, on which everything waits for its turn; the times of [`Patience`]; 4 MiB for a manifest, 8 MiB for a configuration, [`MAX_TAGS`] tags.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::stream::{self, StreamExt};

use crate::backend::reference::ImageReference;
use crate::settings::RegistrySettings;

mod archive;
mod ask;
mod authority;
mod challenge;
mod connect;
mod content;
mod credential;
mod document;
mod error;
mod manifest;
mod outbound;
mod pool;
mod post;
mod quota;
#[cfg(test)]
pub(crate) mod scripted;
mod tags;
#[cfg(test)]
mod tests;
mod token;
mod wire;

pub(crate) use archive::WantedArchive;
use authority::Authority;
use connect::Connector;
pub(in crate::backend) use connect::client_config;
pub(crate) use connect::{check_ca_files, names_loopback};
pub(crate) use content::{Head, ImageConfig};
use content::{Kept, Seen};
pub(crate) use document::{DocumentError, Wanted, check_data};
pub(crate) use error::RegistryError;
pub(crate) use manifest::{Hasher, Manifest, Platform};
pub(crate) use outbound::OwnListeners;
pub(crate) use pool::CONNECTIONS;
use pool::Pool;
pub(crate) use post::Outgoing;
pub(crate) use quota::Quota;
pub(crate) use tags::{MAX_TAGS, Tags};
use wire::{SharedWire, Wire};

/// Docker Hub in references, which is not where it answers.
const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";
/// How many registries are remembered. Plugins name them, so there is an end.
const MAX_REGISTRIES: usize = 256;

/// How long to wait for a registry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For a connection to one address, and once more for its encryption.
    pub(crate) connect: Duration,
    /// For the head of a response, connecting included. A registry that computes for longer is broken.
    pub(crate) head: Duration,
    /// Between two pieces of a body.
    pub(crate) idle: Duration,
    /// For one call with all its attempts and redirects. Shorter than a plugin's default deadline, so that it can still say what was wrong.
    pub(crate) call: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        let secs = Duration::from_secs;
        Patience { connect: secs(5), head: secs(10), idle: secs(10), call: secs(25) }
    }
}

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistryEvent {
    /// A registry answered a request.
    Request {
        /// `HEAD` or `GET`.
        method: &'static str,
        /// The status.
        status: u16,
    },
    /// A token server was asked.
    TokenRequest,
    /// A connection was made.
    Connection,
    /// A registry said what is left of its quota.
    Quota(Quota),
}

/// Where that is counted. `registry` is one that the configuration names, Docker Hub, or `other`; empty for connections.
pub(crate) trait RegistryObserver: Send + Sync {
    /// `event` happened with `registry`.
    fn observe(&self, registry: &str, event: RegistryEvent);
}

type SharedObserver = Arc<dyn RegistryObserver>;
/// The `[registry]` tables by host.
type Tables = BTreeMap<String, RegistrySettings>;

/// The way to all registries. Cheap to clone; all clones share connections, tokens and what they know.
#[derive(Clone)]
pub(crate) struct Registries(Arc<Shared>);

struct Shared {
    /// Replaced whole when the `[registry]` tables change: what was learnt with other credentials is not to be used.
    client: ArcSwap<Client>,
    own: OwnListeners,
    observer: SharedObserver,
    patience: Patience,
}

struct Client {
    wire: SharedWire,
    observer: SharedObserver,
    authorities: Mutex<HashMap<String, Arc<Authority>>>,
    /// The last head of each reference.
    seen: Mutex<Seen>,
    /// What never changes, by digest.
    kept: Mutex<Kept>,
}

impl Registries {
    /// A client that knows no `[registry]` table yet.
    pub(crate) fn new(observer: SharedObserver) -> Registries {
        Registries::with(BTreeMap::new(), OwnListeners::default(), observer, Patience::default())
    }

    fn with(tables: Tables, own: OwnListeners, observer: SharedObserver, patience: Patience) -> Registries {
        let client = ArcSwap::from_pointee(Client::new(tables, own.clone(), Arc::clone(&observer), patience));
        Registries(Arc::new(Shared { client, own, observer, patience }))
    }

    /// For tests of what stands on this client: it waits for nothing for longer than two seconds.
    #[cfg(test)]
    pub(crate) fn for_test(tables: Tables) -> Registries {
        let secs = Duration::from_secs;
        let patience = Patience { connect: secs(2), head: secs(2), idle: secs(2), call: secs(10) };
        Registries::with(tables, OwnListeners::default(), Arc::new(crate::metrics::Metrics::new()), patience)
    }

    /// Puts `tables` into force, by host. Questions under way finish with those before.
    pub(crate) fn configure(&self, tables: Tables) {
        let Shared { client, own, observer, patience } = &*self.0;
        if client.load().wire.tables != tables {
            client.store(Arc::new(Client::new(tables, own.clone(), Arc::clone(observer), *patience)));
        }
    }

    /// The addresses on which this process listens, to which no registry leads.
    pub(crate) fn own_listeners(&self) -> &OwnListeners {
        &self.0.own
    }

    /// The digest of each reference, by `HEAD`: nothing that a registry counts as a pull. One answer for each, in their order.
    ///
    /// # Errors
    ///
    /// Each has its own; none ends the others.
    pub(crate) async fn heads(&self, references: &[ImageReference]) -> Vec<Result<Head, RegistryError>> {
        let client = self.0.client.load_full();
        let until = self.until();
        let mut by_registry: BTreeMap<&str, BTreeMap<String, ImageReference>> = BTreeMap::new();
        for reference in references {
            by_registry.entry(reference.registry()).or_default().insert(reference.decisive(), reference.clone());
        }
        // Each registry has its own queue, so that one that hangs holds up nobody else's images.
        let asked = by_registry.into_iter().map(|(registry, references)| client.heads_of(registry, references, until));
        let answers: HashMap<String, Result<Head, RegistryError>> =
            futures_util::future::join_all(asked).await.into_iter().flatten().collect();
        let answer = |reference: &ImageReference| answers.get(&reference.decisive()).cloned();
        references.iter().map(|reference| answer(reference).unwrap_or(Err(RegistryError::NotFound))).collect()
    }

    /// The manifest or index of `reference`, whose digest was computed. Registries count it as a pull, unless it is asked for by digest and still known here.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub(crate) async fn manifest(&self, reference: &ImageReference) -> Result<Manifest, RegistryError> {
        self.0.client.load_full().manifest(reference, self.until()).await
    }

    /// The manifest of the image for `platform`: as [`Registries::manifest`], and once more if that is an index. An image that is not in an index is answered whatever it is for.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NoPlatform`], and those of [`Registries::manifest`].
    pub(crate) async fn platform_manifest(&self, reference: &ImageReference, platform: &Platform) -> Result<Manifest, RegistryError> {
        self.0.client.load_full().platform_manifest(reference, platform, self.until()).await
    }

    /// The configuration of the image for `platform`, and the manifest that names it.
    ///
    /// # Errors
    ///
    /// As [`Registries::platform_manifest`].
    pub(crate) async fn config(&self, reference: &ImageReference, platform: &Platform) -> Result<ImageConfig, RegistryError> {
        self.0.client.load_full().config(reference, platform, self.until()).await
    }

    /// The tags of the repository of `reference`, in the registry's order: at most `limit` and at most [`MAX_TAGS`].
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub(crate) async fn tags(&self, reference: &ImageReference, limit: usize) -> Result<Tags, RegistryError> {
        self.0.client.load_full().tags(reference, limit.min(MAX_TAGS), self.until()).await
    }

    /// What `registry` said last of its limits; none if it said nothing, or was not asked.
    pub(crate) fn quota(&self, registry: &str) -> Option<Quota> {
        let client = self.0.client.load_full();
        let authorities = client.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        authorities.get(registry).and_then(|authority| authority.quota())
    }

    /// The value of `X-Registry-Auth` for a pull of an engine from `registry`; none if the host has no credential for it.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Credentials`].
    pub(crate) async fn engine_auth(&self, registry: &str) -> Result<Option<String>, RegistryError> {
        let credential = self.0.client.load_full().authority(registry)?.credential().await?;
        Ok(credential.map(|credential| credential.for_engine(registry)))
    }

    fn until(&self) -> Instant {
        Instant::now() + self.0.patience.call
    }
}

impl Client {
    fn new(tables: Tables, own: OwnListeners, observer: SharedObserver, patience: Patience) -> Client {
        let known = tables.keys().cloned().chain([HUB.to_owned()]).collect();
        let observer: SharedObserver = Arc::new(Labelled { known, observer });
        let counted = Arc::clone(&observer);
        let pool = Pool::new(Connector::new(own, patience.connect), move || counted.observe("", RegistryEvent::Connection));
        let wire = Arc::new(Wire { pool, tables, patience });
        Client { wire, observer, authorities: Mutex::default(), seen: Mutex::default(), kept: Mutex::default() }
    }

    async fn heads_of(
        &self,
        registry: &str,
        references: BTreeMap<String, ImageReference>,
        until: Instant,
    ) -> Vec<(String, Result<Head, RegistryError>)> {
        let authority = match self.authority(registry) {
            Ok(authority) => authority,
            Err(error) => return references.into_keys().map(|name| (name, Err(error.clone()))).collect(),
        };
        let scopes: BTreeSet<String> = references.values().map(ask::scope).collect();
        let scopes: Vec<String> = scopes.into_iter().collect();
        let _ = tokio::time::timeout_at(until.into(), authority.prepare(&scopes)).await;
        let authority = &authority;
        let questions =
            references.into_iter().map(|(name, reference)| async move { (name, self.head(authority, &reference, until).await) });
        stream::iter(questions).buffer_unordered(CONNECTIONS).collect().await
    }

    fn authority(&self, registry: &str) -> Result<Arc<Authority>, RegistryError> {
        let mut authorities = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(authority) = authorities.get(registry) {
            return Ok(Arc::clone(authority));
        }
        let base = self.wire.base(registry)?;
        if authorities.len() >= MAX_REGISTRIES {
            authorities.retain(|_, authority| Arc::strong_count(authority) > 1);
        }
        let authority = Arc::new(Authority::new(registry, base, Arc::clone(&self.wire), Arc::clone(&self.observer)));
        authorities.insert(registry.to_owned(), Arc::clone(&authority));
        Ok(authority)
    }
}

/// Keeps names that plugins made up out of what is counted.
struct Labelled {
    known: BTreeSet<String>,
    observer: SharedObserver,
}

impl RegistryObserver for Labelled {
    fn observe(&self, registry: &str, event: RegistryEvent) {
        let label = if registry.is_empty() || self.known.contains(registry) { registry } else { "other" };
        self.observer.observe(label, event);
    }
}
