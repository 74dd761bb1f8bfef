//! `wharf.toml`: from text to values that need no further checks.
//!
//! Every mistake in every file is reported at once, each with its file, line and column and with what to write instead; nothing starts
//! on settings that have one. Keys are checked by the code that reads them, through [`section::Section`], which knows what was asked for and
//! reports what was not. What a plugin's settings (`config`) may hold is known only to the plugin: they are checked against its
//! description when it is loaded, at the places kept here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::backend::jobs::Timing;
use crate::backend::users::Hashed;
use crate::capability::Grants;

pub(crate) mod document;
pub mod limits;
pub mod location;
mod read;
pub(crate) mod report;
pub(crate) mod section;
pub(crate) mod tree;

/// For the tests of what stands on settings.
#[cfg(test)]
pub(crate) mod testing {
    use std::path::Path;

    use super::StorageSettings;

    /// `[storage]` of a configuration that says nothing of it, with the data directory `folder`.
    pub(crate) fn storage(folder: &Path) -> StorageSettings {
        super::read::default_storage(folder)
    }
}

pub use limits::Limits;
pub use location::{Located, Location, Mistake, Mistakes};
pub use read::load;
pub(crate) use read::{check_schedule_name, secret_at};

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
    /// Where plugins keep what they keep.
    pub storage: StorageSettings,
    /// The sites, in the order of the files. At least one.
    pub sites: Vec<SiteSettings>,
    /// Where `listen` is said, if others can reach it and nothing says that everyone may come in: then every site must have users, which is known only when their databases are looked at.
    pub must_ask: Option<Location>,
}

/// `[server]`. What it says about authentication is a condition for `listen` and `admin`: see [`Settings::must_ask`].
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
    /// The proxies whose word is taken for who the client is and whether it came over TLS. None unless they are named.
    pub trusted_proxies: Vec<IpNet>,
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

/// `[storage]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSettings {
    /// The PostgreSQL database; none is SQLite, a file for each plugin of each site below `folder`.
    pub database: Option<DatabaseSource>,
    /// Certificates, PEM, that are trusted beside the system's where PostgreSQL is asked over TLS.
    pub ca_file: Option<PathBuf>,
    /// Where blobs are kept.
    pub blobs: BlobPlace,
    /// The key that texts are sealed with; none is a file in `folder` that the host makes at first use.
    pub seal_key: Option<SecretSource>,
    /// How long a plugin's transaction may live.
    pub transaction_ms: u64,
    /// `storage` below the data directory.
    pub folder: PathBuf,
}

/// Where blobs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobPlace {
    /// A folder of the host's own, with one for each plugin of each site in it.
    Directory(PathBuf),
    /// A bucket.
    S3(S3Settings),
}

/// A bucket at S3, or at what speaks its protocol: `blobs = "s3://BUCKET/PREFIX"` and `[storage.s3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// Its name.
    pub bucket: String,
    /// What stands before every key, without slashes at its ends; may be empty.
    pub prefix: String,
    /// Where S3 answers, without the bucket and a slash at the end; none is Amazon's of the region.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// In whose name it is asked; none is the role of the machine, as Amazon's metadata service has it.
    pub keys: Option<S3Keys>,
    /// Certificates, PEM, that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// In whose name S3 is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Keys {
    /// The name.
    pub access_key_id: String,
    /// Where the secret is.
    pub secret_access_key: SecretSource,
}

/// Where the URL of the database is, which may have a password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseSource {
    /// In the configuration.
    Url(String),
    /// Elsewhere.
    Secret(SecretSource),
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
    /// Who may come in.
    pub access: AccessSettings,
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

/// Who may come into a site, as far as the files say it: the database may have further users.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Its users by name.
    pub users: BTreeMap<String, UserSettings>,
    /// How long a session lasts unless it is refreshed.
    pub session: Duration,
    /// The origins (`https://console.plant-a.local`) beside its own whose pages may change something in the name of whoever looks at them. In lower case.
    pub trusted_origins: Vec<String>,
}

/// One `[[site.user]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSettings {
    /// The argon2id hash of the password.
    pub password_hash: HashSource,
    /// Sorted, each once.
    pub roles: Vec<String>,
    /// Where the table begins.
    pub at: Location,
}

/// Where the hash of a password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashSource {
    /// In the configuration.
    Here(Hashed),
    /// Elsewhere; read when the configuration is.
    Secret(SecretSource),
}

/// What a mount asks of those who come. Without the key it is `Required` where the site has users, and where it has none everyone comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// The host answers 401 to everyone else than a known user.
    Required,
    /// The plugin is asked by known users and by those who say nothing of who they are.
    Optional,
    /// The plugin is asked by everyone, and told who it is.
    Plugin,
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
    /// What it asks of those who come; none if the file does not say.
    pub auth: Option<Auth>,
    /// Whether an instance may serve a second request.
    pub isolation: Isolation,
    /// What it may use.
    pub limits: Limits,
    /// What it may do.
    pub grants: Grants,
    /// When its schedules have their turns, where that is not what the plugin says of itself; none is off. By name.
    pub(crate) schedules: BTreeMap<String, Located<Option<Timing>>>,
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
