//! `wharf.toml`: from text to values that need no further checks.
//!
//! Every mistake in every file is reported at once, each with its file, line and column and with what to write instead; nothing starts
//! on settings that have one. Keys are checked by the code that reads them, through [`section::Section`], which knows what was asked for and
//! reports what was not. What a plugin's settings (`config`) may hold is known only to the plugin: they are checked against its
//! description when it is loaded, at the places kept here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use crate::capability::Grants;

pub(crate) mod document;
pub mod limits;
pub mod location;
mod read;
pub(crate) mod report;
pub(crate) mod section;
pub(crate) mod tree;

pub use limits::Limits;
pub use location::{Located, Location, Mistake, Mistakes};
pub use read::load;

/// The engine that is used where none is named.
pub(crate) const DEFAULT_ENGINE: &str = "default";

/// Everything that one process serves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The files that were read: the one named first, then those that it includes.
    pub files: Vec<PathBuf>,
    /// What belongs to the process and not to a site.
    pub server: Server,
    /// The engines by name. `default` is there even when no file names it.
    pub engines: BTreeMap<String, EngineSettings>,
    /// The registries that a table names, by host or `host:port`. Others are asked without credentials.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// The files of certificates that `registries` name, and where they are named.
    pub ca_files: Vec<Located<PathBuf>>,
    /// How Docker Hub is asked beyond the protocol of registries.
    pub docker_hub: DockerHubSettings,
    /// The sites, in the order of the files. At least one.
    pub sites: Vec<SiteSettings>,
}

/// `[server]`. What it says about authentication is a condition for `listen` and `admin`, checked while it is read and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where the sites are served. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where the admin API is served; none turns it off.
    pub admin: Option<SocketAddr>,
    /// Where the host keeps what it writes: compiled code, later databases.
    pub data_dir: PathBuf,
    /// How long shutdown waits for requests and operations under way.
    pub shutdown_grace_secs: u64,
    /// How to write log lines.
    pub log_format: LogFormat,
    /// What to log, as `RUST_LOG` has it; the environment variable wins.
    pub log_filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, one line each.
    Pretty,
    /// One JSON object on a line.
    Json,
}

/// `[engine.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// `unix:///path`, `tcp://host:port` or `http://host:port`.
    pub url: String,
}

/// `[registry."HOST"]`. A host that has one may be in a private network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// In whose name it is asked; none asks without a name.
    pub credentials: Option<CredentialSource>,
    /// Certificates, PEM, that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether it is asked without encryption; none: only if it is on this machine.
    pub plain_http: Option<bool>,
    /// The server, and nothing behind it, to which requests for this registry go; none: the one that its name says.
    pub endpoint: Option<Url>,
}

/// `[docker_hub]`. A host that one of its addresses names may be in a private network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerHubSettings {
    /// Who is asked when a plugin searches, in this order. Empty: nobody.
    pub search: Vec<SearchProvider>,
    /// Below which address the search v4 is.
    pub search_v4: Url,
    /// Below which address the search v2 is.
    pub search_v2: Url,
    /// Below which address the tags are.
    pub tags: Url,
    /// The index, `host` or `host:port`, that an engine asks; none: Docker Hub.
    pub engine_index: Option<String>,
}

/// Someone who can be asked to search Docker Hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchProvider {
    /// The search of Docker Hub's own pages.
    V4,
    /// Its older search.
    V2,
    /// An engine, which asks for itself.
    Engine,
}

/// Where the credentials of a registry are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// A name, and where its password is.
    Password {
        /// The name.
        username: String,
        /// Where the password is.
        password: SecretSource,
    },
    /// A token that the registry's token server exchanges for others.
    IdentityToken(SecretSource),
    /// A file that `docker login` wrote.
    DockerConfig {
        /// The file.
        path: PathBuf,
        /// Whether the programs that it names may be run.
        helpers: bool,
    },
}

/// One `[[site]]`.
#[derive(Debug, Clone)]
pub struct SiteSettings {
    /// Unique in the process.
    pub name: Located<String>,
    /// The hosts it answers to, in lower case and without a port. Empty: every host that no other site names.
    pub hosts: Vec<String>,
    /// The catalogues of images that it replaces or adds, by name.
    pub catalogs: BTreeMap<String, Located<CatalogSource>>,
    /// Its plugins, in the order of the file.
    pub plugins: Vec<PluginSettings>,
}

/// Where a catalogue of images is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogSource {
    /// In a file, already resolved against the one that names it.
    File(PathBuf),
    /// At an address: `http` or `https`.
    Url(Url),
}

/// One `[[site.plugin]]`.
#[derive(Debug, Clone)]
pub struct PluginSettings {
    /// Unique on the site.
    pub name: Located<String>,
    /// Where the component is: a path, already resolved against the file that names it.
    pub source: Located<PathBuf>,
    /// The sha256 that the component must have, in lower-case hex; none accepts any.
    pub sha256: Option<String>,
    /// The prefix it is mounted at, without a trailing slash; empty for `/`.
    pub mount: Located<String>,
    /// Whether an instance may serve a second request.
    pub isolation: Isolation,
    /// What it may use.
    pub limits: Limits,
    /// What it may do.
    pub grants: Grants,
    /// Its own settings.
    pub config: PluginConfig,
    /// Where its table begins.
    pub at: Location,
}

/// Whether an instance may serve a second request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Instances are kept and serve one request after another.
    Pooled,
    /// Each request gets an instance of its own.
    Request,
}

/// `config` of a plugin.
#[derive(Debug, Clone, Default)]
pub struct PluginConfig {
    /// The settings without the secrets, as a JSON object in the order of the file. Dates and times are strings.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// The secrets by name, top level only.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Where each value and secret stands, by JSON pointer (`/network`); the empty pointer is the table itself, or the plugin's without one.
    pub places: BTreeMap<String, Location>,
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `{ secret_file = "path" }`, resolved against the configuration file.
    File(PathBuf),
    /// `{ secret_env = "NAME" }`.
    Env(String),
}
