//! One Docker engine: the only place that knows bollard, and the only one that knows the engine's paths.
//!
//! Whatever follows Docker's own schema is passed on as the engine's JSON text: typed models lose the fields they do not know and fail on words they do not know (Podman has
//! some). Typed requests that answer nothing (start, stop, remove) go through bollard, over the same pool of connections. A pull does not, see [`pull`]. What concerns images is
//! in [`images`], what an exchange of containers needs in [`exchange`], and builds are in [`build`] with [`context`].
//!
//! **Waiting.** Nothing waits without end: a header has a limit, each body has one between two pieces, and what is held in memory has one in size ([`Patience`],
//! [`MAX_JSON_BYTES`]). An engine that is down is no error until something is asked of it, and one that comes back is used again; its API version is agreed on anew then.
//!
//! **Paths.** A container that is changed is named by its [`ContainerId`] and nothing else, since bollard puts what it gets into a path as it is and the engine accepts
//! prefixes. What else goes into a path or query is encoded here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::stream::StreamExt;
use http::{HeaderValue, Method, Response};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::backend::stream::{ByteStream, StreamError};

mod address;
mod body;
mod build;
mod context;
mod error;
mod exchange;
mod frames;
mod images;
mod lines;
mod pull;
#[cfg(test)]
pub(crate) mod scripted;
mod search;
#[cfg(test)]
mod tests;
mod version;
mod wire;

pub(crate) use address::{EngineAddress, EngineUrlError};
use body::Waiting;
pub(crate) use build::{BuildError, BuildObserver, BuildRequest};
pub(crate) use context::{Content, ContextError, ContextFile};
pub(crate) use error::{CreateError, EngineError};
pub(crate) use pull::PullLine;
pub(crate) use version::{ApiVersion, Requirement};
use wire::{Letter, Wire};

/// The longest JSON answer that is held, 64 MiB: a list of ten thousand containers with many labels and mounts has about 40.
pub(crate) const MAX_JSON_BYTES: usize = 64 * 1024 * 1024;

/// What a path may hold as it is: what container ids and image references are made of.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':').remove(b'@');

/// How long to wait for an engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the header of an answer to a question.
    pub(crate) head: Duration,
    /// For the header of an answer to an act.
    pub(crate) act: Duration,
    /// Between two pieces of a body.
    pub(crate) idle: Duration,
    /// For a piece of a log while the engine may be reading past what was not asked for: before the first one, and between two when only one of the outputs is asked for.
    pub(crate) log_search: Duration,
    /// Between two lines of a pull's progress.
    pub(crate) pull_idle: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            // Less than a request's default deadline, so that a plugin can still answer that the engine hangs.
            head: Duration::from_secs(20),
            // A slow disk copies and removes layers for minutes.
            act: Duration::from_secs(300),
            idle: Duration::from_secs(20),
            // It keeps no index and reads from the log's beginning, unpacking rotated files, until it meets the first line to send: gigabytes on a slow disk.
            log_search: Duration::from_secs(300),
            // Unpacking a large layer on a slow disk reports rarely.
            pull_idle: Duration::from_secs(300),
        }
    }
}

/// The full id of a container: 64 hexadecimal digits in lower case. Not proof that it exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct ContainerId(String);

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> String {
        id.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = String;

    fn try_from(text: String) -> Result<ContainerId, String> {
        ContainerId::parse(&text).ok_or_else(|| format!("`{text}` is no container id"))
    }
}

impl ContainerId {
    /// `text`, if it is a full id.
    pub(crate) fn parse(text: &str) -> Option<ContainerId> {
        let full = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        full.then(|| ContainerId(text.to_owned()))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A container that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Created {
    pub(crate) id: ContainerId,
    /// What the engine warned of; usually empty.
    pub(crate) warnings: Vec<String>,
}

/// How to remove a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removal {
    /// Kill it first.
    pub(crate) force: bool,
    /// Remove its anonymous volumes too.
    pub(crate) volumes: bool,
}

/// In whose name an engine asks a registry: the value of `X-Registry-Auth`. It is not printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct RegistryAuth(String);

impl RegistryAuth {
    /// The credential that `value` is, in the URL-safe base64 that engines read.
    pub(crate) fn new(value: String) -> RegistryAuth {
        RegistryAuth(value)
    }

    fn header(&self) -> Result<HeaderValue, EngineError> {
        let value = HeaderValue::try_from(&self.0);
        let mut value = value.map_err(|_| EngineError::Invalid("the registry's credential fits into no header".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RegistryAuth(…)")
    }
}

/// Which part of a log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogRange {
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) timestamps: bool,
    /// Go on until the container stops.
    pub(crate) follow: bool,
    /// The last so many lines; none is all.
    pub(crate) tail: Option<u32>,
    /// Milliseconds since 1970, included.
    pub(crate) since_ms: Option<u64>,
    /// Milliseconds since 1970.
    pub(crate) until_ms: Option<u64>,
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EngineVersion {
    pub(crate) version: String,
    /// What is spoken with it.
    pub(crate) api_version: ApiVersion,
    pub(crate) os: String,
    pub(crate) architecture: String,
}

/// The way to one engine. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    address: EngineAddress,
    wire: Arc<Wire>,
    docker: Docker,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateAnswer {
    id: String,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

impl Engine {
    /// The engine at `url`: `unix:///path`, `tcp://host:port` or `http://host:port`. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL.
    pub(crate) fn new(url: &str) -> Result<Engine, EngineUrlError> {
        Ok(Engine::with_patience(EngineAddress::parse(url)?, Patience::default()))
    }

    fn with_patience(address: EngineAddress, patience: Patience) -> Engine {
        let wire = Arc::new(Wire::new(&address, patience));
        Engine { docker: docker_over(&wire), address, wire }
    }

    /// Where the engine listens, by which it is known.
    pub(crate) fn address(&self) -> &EngineAddress {
        &self.address
    }

    /// The path of the engine's socket; none for one that is reached over TCP.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.address.socket()
    }

    /// Asks the engine who it is.
    pub(crate) async fn version(&self) -> Result<EngineVersion, EngineError> {
        let answer = self.wire.ask_version().await?;
        let api_version = self.wire.spoken().await?;
        Ok(EngineVersion { version: answer.version, api_version, os: answer.os, architecture: answer.arch })
    }

    /// `GET /containers/json`: a JSON array, the newest container first. `all` includes those that do not run; `labels` are `key` or `key=value`, all of
    /// which a container must have.
    pub(crate) async fn list_containers(&self, all: bool, labels: &[String]) -> Result<Bytes, EngineError> {
        let mut query = Query::new();
        query.flag("all", all);
        if !labels.is_empty() {
            query.add("filters", &serde_json::json!({ "label": labels }).to_string());
        }
        self.ask(&query.after("/containers/json")).await
    }

    /// `GET /containers/{name}/json`: a JSON object. `name` is a name, an id or a prefix of one.
    pub(crate) async fn inspect_container(&self, name: &str) -> Result<Bytes, EngineError> {
        self.ask(&format!("/containers/{}/json", encoded(name))).await
    }

    /// Creates a container called `name` from `specification`, a JSON object of which the engine must know what `requirement` says.
    ///
    /// # Errors
    ///
    /// [`CreateError`], which says whether there may be a container all the same.
    pub(crate) async fn create_container(
        &self,
        name: &str,
        specification: String,
        requirement: Option<&Requirement>,
    ) -> Result<Created, CreateError> {
        let mut query = Query::new();
        query.add("name", name);
        let target = query.after("/containers/create");
        let letter = Letter { body: Bytes::from(specification), requirement, ..Letter::new(Method::POST, &target, self.wire.patience.act) };
        let response = self.wire.deliver(letter).await.map_err(CreateError::of_undelivered)?;
        self.created(response).await.map_err(CreateError::of_sent)
    }

    async fn created(&self, response: Response<Incoming>) -> Result<Created, EngineError> {
        let response = self.wire.successful(response).await?;
        let body = body::whole(response.into_body(), self.wire.patience.idle, MAX_JSON_BYTES).await?;
        let answer: CreateAnswer = serde_json::from_slice(&body).map_err(|error| EngineError::Unintelligible(error.to_string()))?;
        let id =
            ContainerId::parse(&answer.id).ok_or_else(|| EngineError::Unintelligible(format!("`{}` is no container id", answer.id)))?;
        Ok(Created { id, warnings: answer.warnings.unwrap_or_default() })
    }

    /// Starts a container. One that is running already is no error.
    pub(crate) async fn start(&self, id: &ContainerId) -> Result<(), EngineError> {
        within(self.wire.patience.act, self.docker.start_container(id.as_str(), None::<StartContainerOptions>)).await
    }

    /// Stops a container and waits until it has stopped. One that is stopped already is no error.
    ///
    /// `grace_secs` is how long it may take before it is killed; none is the container's own time or the engine's. `limit` is how long to wait for the
    /// engine's answer, which comes after the grace.
    pub(crate) async fn stop(&self, id: &ContainerId, grace_secs: Option<u32>, limit: Duration) -> Result<(), EngineError> {
        let mut options = StopContainerOptionsBuilder::new();
        if let Some(secs) = grace_secs {
            options = options.t(i32::try_from(secs).unwrap_or(i32::MAX));
        }
        within(limit, self.docker.stop_container(id.as_str(), Some(options.build()))).await
    }

    /// Removes a container.
    pub(crate) async fn remove(&self, id: &ContainerId, removal: Removal) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new().force(removal.force).v(removal.volumes).build();
        within(self.wire.patience.act, self.docker.remove_container(id.as_str(), Some(options))).await
    }

    /// Opens the log of a container. `tty` is its `Config.Tty`: with a terminal the engine sends no frames.
    pub(crate) async fn log(&self, id: &ContainerId, tty: bool, range: &LogRange) -> Result<ByteStream, EngineError> {
        let mut query = Query::new();
        query.flag("stdout", range.stdout);
        query.flag("stderr", range.stderr);
        query.flag("timestamps", range.timestamps);
        query.flag("follow", range.follow);
        query.add("tail", &range.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string()));
        for (key, moment) in [("since", range.since_ms), ("until", range.until_ms)] {
            if let Some(ms) = moment {
                // With a fraction even at zero: the engine takes the bare text `0` for "no end".
                query.add(key, &format!("{}.{:03}000000", ms / 1000, ms % 1000));
            }
        }
        let target = query.after(&format!("/containers/{}/logs", encoded(id.as_str())));
        let response = self.wire.send(Letter::new(Method::GET, &target, self.wire.patience.head)).await?;
        let Patience { idle, log_search, .. } = self.wire.patience;
        let waiting = match (range.follow, range.stdout && range.stderr) {
            (true, _) => Waiting { first: None, between: None },
            (false, true) => Waiting { first: Some(log_search), between: Some(idle) },
            // The other output's lines are searched through between any two.
            (false, false) => Waiting::evenly(log_search),
        };
        let pieces = body::pieces(response.into_body(), waiting).map(|piece| piece.map_err(stream_error));
        Ok(if tty { ByteStream::new(pieces) } else { ByteStream::new(frames::without_frames(pieces)) })
    }

    /// `GET /networks`: a JSON array.
    pub(crate) async fn list_networks(&self) -> Result<Bytes, EngineError> {
        self.ask("/networks").await
    }

    /// `GET /volumes`: a JSON object with the array `Volumes`.
    pub(crate) async fn list_volumes(&self) -> Result<Bytes, EngineError> {
        self.ask("/volumes").await
    }

    async fn ask(&self, target: &str) -> Result<Bytes, EngineError> {
        let response = self.wire.send(Letter::new(Method::GET, target, self.wire.patience.head)).await?;
        body::whole(response.into_body(), self.wire.patience.idle, MAX_JSON_BYTES).await
    }
}

/// bollard over `wire`. Its own limit is out of the way: it would cut a stop with a long grace, and it ends at the header anyway. See [`within`].
fn docker_over(wire: &Arc<Wire>) -> Docker {
    const A_YEAR_SECS: u64 = 365 * 24 * 60 * 60;
    let wire = Arc::clone(wire);
    let transport = move |request: bollard::BollardRequest| {
        let wire = Arc::clone(&wire);
        async move { wire.carry(request).await }
    };
    // bollard looks at neither the address nor the version but to build a URL, of which only path and query are used.
    match Docker::connect_with_custom_transport(transport, Some("http://engine"), A_YEAR_SECS, bollard::API_DEFAULT_VERSION) {
        Ok(docker) => docker,
        Err(impossible) => unreachable!("bollard refused a transport: {impossible}"),
    }
}

/// The outcome of one of bollard's calls, waited for no longer than `limit`, header and error body together.
async fn within(limit: Duration, call: impl Future<Output = Result<(), bollard::errors::Error>>) -> Result<(), EngineError> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome.map_err(EngineError::of_bollard),
        Err(_elapsed) => Err(EngineError::Timeout(limit)),
    }
}

fn encoded(segment: &str) -> String {
    utf8_percent_encode(segment, PATH).to_string()
}

fn stream_error(error: EngineError) -> StreamError {
    match error {
        EngineError::Timeout(_) => StreamError::Timeout,
        other => StreamError::Cut(other.to_string()),
    }
}

/// A query, encoded.
struct Query(String);

impl Query {
    fn new() -> Query {
        Query(String::new())
    }

    fn add(&mut self, key: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(key);
        self.0.push('=');
        self.0.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.add(key, if value { "true" } else { "false" });
    }

    /// `path` with the query behind it.
    fn after(self, path: &str) -> String {
        path.to_owned() + &self.0
    }
}
