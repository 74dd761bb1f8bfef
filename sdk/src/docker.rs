//! The Docker engine of the plugin's site, as far as the operator grants it.
//!
//! Each module is one interface of `wharf:docker` and one word of the grant: [`containers_read`] is `"containers.read"`. A component imports the interfaces
//! that its code calls, and is not loaded without a grant for each.
//!
//! **Containers** are named by name (with or without the engine's leading slash), by full id, or by a prefix of the id that only one container has. A text that
//! can be none of these is [`Error::Invalid`], and the engine is not asked.
//!
//! **Details** are the engine's own JSON text in its API's spelling; `details` reads the part that a plugin wants of it.

use std::time::Duration;

use serde::de::DeserializeOwned;

mod images;
mod operations;

pub use crate::error::Error;
pub use images::{distribution_read, images_build, images_prune, images_pull, images_read, images_remove};
pub use operations::{operations_cancel, operations_read};

/// How long a container may take to stop; none is its own stop timeout or the engine's, 10 seconds.
pub type Grace = Option<Duration>;

/// A container, with everything that the engine knows of it.
#[derive(Debug, Clone)]
pub struct Container {
    /// The full id, 64 hexadecimal digits.
    pub id: String,
    /// The name, without the engine's leading slash.
    pub name: String,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`; Podman has words of its own.
    pub state: String,
    /// The labels, in no particular order.
    pub labels: Vec<(String, String)>,
    /// The engine's answer to `GET /containers/{id}/json`, as JSON text.
    pub json: String,
}

impl Container {
    /// Reads [`Container::json`].
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when it is not of the shape of `T`.
    pub fn details<T: DeserializeOwned>(&self) -> Result<T, Error> {
        details(&self.json)
    }
}

pub(crate) fn details<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| Error::Internal(format!("the engine's JSON is not what the plugin reads: {error}")))
}

/// The one answer to a question about one thing.
fn only<T>(answers: Vec<Result<T, Error>>) -> Result<T, Error> {
    answers.into_iter().next().unwrap_or_else(|| Err(Error::Internal("the host answered a question about one with none".to_owned())))
}

/// `containers.read`: which containers there are, and how they are set up, but for their environment variables.
pub mod containers_read {
    use super::{Container, Error, only};
    use crate::host::with;

    /// Which containers to list. Every condition must hold.
    #[derive(Debug, Clone, Default)]
    pub struct ContainerFilter {
        /// False lists running containers only.
        pub all: bool,
        /// Labels to have: `key` or `key=value`. Empty asks for none.
        pub labels: Vec<String>,
    }

    /// A container as a list shows it.
    #[derive(Debug, Clone)]
    pub struct ContainerSummary {
        /// The full id, 64 hexadecimal digits.
        pub id: String,
        /// The names, without the engine's leading slash; the first is the container's own. Empty while it is being removed.
        pub names: Vec<String>,
        /// The reference that it was created with, or the image's id once that reference belongs to another image.
        pub image: String,
        /// The image's full id, with `sha256:`.
        pub image_id: String,
        /// As [`Container::state`].
        pub state: String,
        /// The labels, in no particular order.
        pub labels: Vec<(String, String)>,
        /// The engine's item of `GET /containers/json`, as JSON text.
        pub json: String,
    }

    /// Lists containers, the newest first. Those that the grant does not cover are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a label condition with an empty key; [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn list(filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, Error> {
        with(|host| host.containers_list(filter))
    }

    /// Inspects many containers in one call: the answers stand in the order of `names`, and one that fails does not harm the others.
    ///
    /// `Config.Env` is absent from the JSON; see [`containers_env`](super::containers_env).
    pub fn inspect(names: &[String]) -> Vec<Result<Container, Error>> {
        with(|host| host.containers_inspect(names))
    }

    /// Inspects one container; see [`inspect`].
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn inspect_one(name: &str) -> Result<Container, Error> {
        only(inspect(&[name.to_owned()]))
    }
}

/// `containers.env`: the environment variables of containers, where people keep their passwords.
pub mod containers_env {
    use super::{Container, Error, only};
    use crate::host::with;

    /// As [`containers_read::inspect`](super::containers_read::inspect), with `Config.Env` in the JSON.
    pub fn inspect(names: &[String]) -> Vec<Result<Container, Error>> {
        with(|host| host.containers_env_inspect(names))
    }

    /// As [`containers_read::inspect_one`](super::containers_read::inspect_one), with `Config.Env` in the JSON.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn inspect_one(name: &str) -> Result<Container, Error> {
        only(inspect(&[name.to_owned()]))
    }
}

/// `containers.logs`: what containers wrote to standard output and standard error.
pub mod containers_logs {
    use std::time::SystemTime;

    use super::Error;
    use crate::host::with;
    use crate::stream::ByteStream;

    /// Which part of a log to read. The default is all of both outputs that there is now.
    #[derive(Debug, Clone)]
    pub struct LogOptions {
        /// Include standard output.
        pub stdout: bool,
        /// Include standard error. With neither of the two the call is [`Error::Invalid`].
        pub stderr: bool,
        /// Put the engine's time (RFC 3339, nanoseconds) before each line.
        pub timestamps: bool,
        /// Keep the stream open for what is written later, until the container stops.
        pub follow: bool,
        /// Only the last so many lines; zero is none of them, none is all.
        pub tail: Option<u32>,
        /// Only what was written at this time or later. Milliseconds; a time before 1970 is 1970.
        pub since: Option<SystemTime>,
        /// Only what was written before this time. Milliseconds; a time before 1970 is 1970.
        pub until: Option<SystemTime>,
    }

    impl Default for LogOptions {
        fn default() -> LogOptions {
            LogOptions { stdout: true, stderr: true, timestamps: false, follow: false, tail: None, since: None, until: None }
        }
    }

    /// Opens the log of `container` as bytes, both outputs in the order in which the engine has them, without the engine's frames.
    ///
    /// It works on stopped containers. Answer it with [`Response::stream`](crate::Response::stream), whatever its size.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn read(container: &str, options: &LogOptions) -> Result<ByteStream, Error> {
        with(|host| host.containers_log(container, options))
    }
}

/// `containers.lifecycle`: starting and stopping containers. Once begun a call is carried through, even when its request is gone.
pub mod containers_lifecycle {
    use super::{Error, Grace};
    use crate::host::with;

    /// Starts `container`. Succeeds if it is running already.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`], [`Error::Unavailable`], [`Error::Timeout`]; [`Error::Internal`] when the
    /// engine cannot start it, for example because a port is taken.
    pub fn start(container: &str) -> Result<(), Error> {
        with(|host| host.container_start(container))
    }

    /// Stops `container` and waits until it has stopped, killing it after `grace`, which is rounded up to whole seconds; zero kills at once.
    ///
    /// Succeeds if it is stopped already. Waiting does not count against the request's deadline.
    ///
    /// # Errors
    ///
    /// As [`start`].
    pub fn stop(container: &str, grace: Grace) -> Result<(), Error> {
        with(|host| host.container_stop(container, grace))
    }
}

/// `containers.create`: new containers, within the policy of the grant.
///
/// A specification is the JSON object that `POST /containers/create` takes, with the engine's exact spelling; a key that the host does not know is
/// [`Error::Invalid`].
pub mod containers_create {
    use super::Error;
    use crate::host::with;

    /// A container that was made.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Created {
        /// The full id, 64 hexadecimal digits.
        pub id: String,
        /// What the engine warned of; usually empty.
        pub warnings: Vec<String>,
    }

    /// Creates a container called `name` without starting it. The image must be there already.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] when the grant does not cover the name, the image or something in the specification; [`Error::NotFound`] for an image that is not
    /// there; [`Error::Invalid`], [`Error::Conflict`] (the name is taken), [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn create(name: &str, specification: &serde_json::Value) -> Result<Created, Error> {
        with(|host| host.container_create(name, &specification.to_string()))
    }

    /// Creates a container called `name` and starts it; if it cannot be started it is removed again.
    ///
    /// # Errors
    ///
    /// As [`create`], and [`Error::Internal`] for a start that failed.
    pub fn run(name: &str, specification: &serde_json::Value) -> Result<Created, Error> {
        with(|host| host.container_run(name, &specification.to_string()))
    }
}

/// `containers.remove`: removing containers for good. Once begun a call is carried through, even when its request is gone.
pub mod containers_remove {
    use super::Error;
    use crate::host::with;

    /// How to remove. The default does neither.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct RemoveOptions {
        /// Kill it first if it is running; without this a running container is a [`Error::Conflict`].
        pub force: bool,
        /// Remove its anonymous volumes too. Named volumes always stay.
        pub volumes: bool,
    }

    /// Removes `container`.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] (it is running, or is being removed already), [`Error::Unavailable`],
    /// [`Error::Timeout`], [`Error::Internal`].
    pub fn remove(container: &str, options: RemoveOptions) -> Result<(), Error> {
        with(|host| host.container_remove(container, options))
    }
}

/// `containers.recreate`: the same container with another image. Whoever has this needs no right to create.
///
/// What the container's user set is kept, what came from the old image gives way to the new one. The new container is made beside the old one and compared with what it is to be; then they change places, and whatever
/// goes wrong is taken back: the old container is there again under its name, as it was. The host keeps a journal of it, so that this holds when it is killed in between.
pub mod containers_recreate {
    use std::time::Duration;

    use serde::Deserialize;
    use serde_json::Value;

    use super::Error;
    use crate::host::with;

    /// How to recreate. The default takes the image that the engine has under the reference that the container was created with.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct RecreateOptions {
        /// The reference of the new image, which the grant must cover; none is the one that the container was created with.
        pub image: Option<String>,
        /// Whether to pull it first.
        pub pull: bool,
        /// How long the new container must run without a restart, at most ten minutes; none is 10 seconds. In milliseconds.
        pub settle: Option<Duration>,
        /// How long it may take to become healthy, if it has a health check, at most an hour; none is what its own check allows, and half a minute. In milliseconds.
        pub healthy: Option<Duration>,
        /// Recreate it on an image that has failed for this container before, and on one that it runs already.
        pub again: bool,
    }

    /// One place in which two specifications differ.
    #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
    pub struct Change {
        /// A JSON pointer into the specification: `/Config/Image`.
        pub path: String,
        /// What is there now; none if there is nothing.
        pub from: Option<Value>,
        /// What will be there; none if there will be nothing.
        pub to: Option<Value>,
    }

    /// Begins to recreate `container` and answers the id of the operation, whose kind is `recreate` and whose subject is the container's name; see
    /// [`operations_read`](super::operations_read). It has the same id after a restart of the host. Cancelling it takes back what was done.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`] for what is no reference, [`Error::Conflict`] with the reason for a container that is refused or that is being recreated already,
    /// [`Error::QuotaExceeded`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`]. What the registry and the engine say later is the operation's outcome.
    pub fn begin(container: &str, options: &RecreateOptions) -> Result<String, Error> {
        with(|host| host.container_recreate_begin(container, options))
    }

    /// What recreating `container` on `image`, which the engine must have, would change. Empty if nothing would. Values of environment variables are left out. Nothing is done.
    ///
    /// # Errors
    ///
    /// As [`begin`], and [`Error::NotFound`] for an image that the engine does not have.
    pub fn preview(container: &str, image: Option<&str>) -> Result<Vec<Change>, Error> {
        with(|host| host.container_recreate_preview(container, image))
    }
}

/// `networks.read`: which networks there are, of those that the grant names.
pub mod networks_read {
    use super::Error;
    use crate::host::with;

    /// A network.
    #[derive(Debug, Clone)]
    pub struct Network {
        /// The full id.
        pub id: String,
        /// The name.
        pub name: String,
        /// The driver: `bridge`, `host`, `macvlan`, …
        pub driver: String,
        /// The labels, in no particular order.
        pub labels: Vec<(String, String)>,
        /// The engine's item of `GET /networks`, as JSON text.
        pub json: String,
    }

    /// Lists the networks of the grant that exist.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn list() -> Result<Vec<Network>, Error> {
        with(|host| host.networks_list())
    }
}

/// `volumes.read`: which volumes there are, of those that the grant names.
pub mod volumes_read {
    use super::Error;
    use crate::host::with;

    /// A volume.
    #[derive(Debug, Clone)]
    pub struct Volume {
        /// The name.
        pub name: String,
        /// The driver, usually `local`.
        pub driver: String,
        /// The labels, in no particular order.
        pub labels: Vec<(String, String)>,
        /// The engine's item of `GET /volumes`, as JSON text.
        pub json: String,
    }

    /// Lists the volumes of the grant that exist.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn list() -> Result<Vec<Volume>, Error> {
        with(|host| host.volumes_list())
    }
}

/// `system.read`: what engine this is.
pub mod system_read {
    use super::Error;
    use crate::host::with;

    /// An engine.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Engine {
        /// Its version, for example `28.3.2`.
        pub version: String,
        /// The API version that the host speaks with it, for example `1.51`.
        pub api_version: String,
        /// `linux`, `windows`.
        pub os: String,
        /// `amd64`, `arm64`, …
        pub architecture: String,
    }

    /// Asks the engine who it is.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn version() -> Result<Engine, Error> {
        with(|host| host.engine_version())
    }
}
