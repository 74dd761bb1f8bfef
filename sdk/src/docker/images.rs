//! Images: what the engine holds, what it fetches and builds, and what it finds at registries.

/// `images.read`: which images the engine holds.
pub mod images_read {
    use serde::de::DeserializeOwned;

    use super::super::{Error, details, only};
    use crate::host::with;

    /// An image, with everything that the engine knows of it.
    #[derive(Debug, Clone)]
    pub struct Image {
        /// The full id, with `sha256:`.
        pub id: String,
        /// The tags that point to it, `repository:tag`; empty for an untagged image.
        pub repo_tags: Vec<String>,
        /// The digests by which registries know it, `repository@sha256:…`; empty if it was never pulled or pushed.
        pub repo_digests: Vec<String>,
        /// The engine's answer to `GET /images/{name}/json`, as JSON text.
        pub json: String,
    }

    impl Image {
        /// Reads [`Image::json`].
        ///
        /// # Errors
        ///
        /// [`Error::Internal`] when it is not of the shape of `T`.
        pub fn details<T: DeserializeOwned>(&self) -> Result<T, Error> {
            details(&self.json)
        }
    }

    /// An image as a list shows it.
    #[derive(Debug, Clone)]
    pub struct ImageSummary {
        /// The full id, with `sha256:`.
        pub id: String,
        /// As [`Image::repo_tags`].
        pub repo_tags: Vec<String>,
        /// As [`Image::repo_digests`].
        pub repo_digests: Vec<String>,
        /// When it was built, in milliseconds since 1970 (UTC); zero or less if nobody said.
        pub created_ms: i64,
        /// The bytes of all its layers, those included that it shares with other images.
        pub size: u64,
        /// The engine's item of `GET /images/json`, as JSON text.
        pub json: String,
    }

    /// Lists the images that the grant covers, without the intermediate layers of builds. Untagged ones are there.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn list() -> Result<Vec<ImageSummary>, Error> {
        with(|host| host.images_list())
    }

    /// Inspects images by reference (`repository[:tag]`, `repository@digest`) or by id, in one call: the answers stand in the order of `references`.
    pub fn inspect(references: &[String]) -> Vec<Result<Image, Error>> {
        with(|host| host.images_inspect(references))
    }

    /// Inspects one image.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`] for what is no reference, [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn inspect_one(reference: &str) -> Result<Image, Error> {
        only(inspect(&[reference.to_owned()]))
    }
}

/// `images.pull`: fetching images from registries.
pub mod images_pull {
    use super::super::Error;
    use crate::host::with;

    /// Pulls `reference` and waits for it. Without tag and digest the tag is `latest`.
    ///
    /// Waiting does not count against the request's deadline; the pull goes on when the request is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`]; [`Error::NotFound`] for an unknown repository or tag; [`Error::Invalid`] for what is no reference; [`Error::Unavailable`] when the
    /// registry does not answer; [`Error::Timeout`], [`Error::Internal`].
    pub fn pull(reference: &str) -> Result<(), Error> {
        with(|host| host.image_pull(reference))
    }

    /// Begins to pull `reference` and answers at once with the id of the [operation](super::super::operations_read). Whoever pulls the same reference meanwhile waits for the one pull.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::Invalid`], [`Error::QuotaExceeded`]. What the registry and the engine say is the operation's outcome.
    pub fn begin(reference: &str) -> Result<String, Error> {
        with(|host| host.image_pull_begin(reference))
    }
}

/// `images.build`: making images from files.
///
/// What a Dockerfile runs, it runs in containers of the engine's own. It is read as the classic builder reads it; what that does not know, or what would go around the grant, is refused: see the contract (`wit/docker`).
pub mod images_build {
    use super::super::Error;
    use crate::host::with;
    use crate::stream::ByteStream;

    /// The bytes of a file.
    #[derive(Debug)]
    pub enum Content {
        /// These.
        Bytes(Vec<u8>),
        /// Those that the host has; they do not pass through the plugin.
        Stream(ByteStream),
    }

    /// A file of the build context.
    #[derive(Debug)]
    pub struct ContextFile {
        /// Where it is: parts with `/` between them, without `.`, `..` and empty ones. Each path once.
        pub path: String,
        /// Whether it can be run.
        pub executable: bool,
        /// Its length in bytes, which must be right.
        pub size: u64,
        /// What is in it.
        pub content: Content,
    }

    impl ContextFile {
        /// A file with this content, which cannot be run.
        #[must_use]
        pub fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> ContextFile {
            let bytes = content.into();
            ContextFile { path: path.into(), executable: false, size: bytes.len() as u64, content: Content::Bytes(bytes) }
        }

        /// A file whose bytes, `size` of them, the host has.
        #[must_use]
        pub fn streamed(path: impl Into<String>, size: u64, stream: ByteStream) -> ContextFile {
            ContextFile { path: path.into(), executable: false, size, content: Content::Stream(stream) }
        }

        /// The same file, which can be run.
        #[must_use]
        pub fn executable(self) -> ContextFile {
            ContextFile { executable: true, ..self }
        }
    }

    /// What to build.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct BuildOptions {
        /// The Dockerfile, one of the files.
        pub dockerfile: String,
        /// The names of the image, `repository[:tag]`; at least one. An image that has such a name loses it when the build is done, and not before.
        pub names: Vec<String>,
        /// Labels of the image, beside those of its base.
        pub labels: Vec<(String, String)>,
        /// Values for the `ARG`s of the Dockerfile.
        pub arguments: Vec<(String, String)>,
    }

    /// What is known of a build, beside what all operations have: for [`Operation::details`](super::super::operations_read::Operation::details).
    #[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
    pub struct BuildDetails {
        /// The id of the image, once it is built and has its names.
        pub image: Option<String>,
        /// At which instruction it is, or failed, from 1; zero before the first.
        pub step: u32,
        /// How many there are.
        pub steps: u32,
        /// Its text; empty before the first.
        pub instruction: String,
        /// Why it failed, for people.
        pub reason: Option<String>,
    }

    /// Begins to build and answers at once with the id of the [operation](super::super::operations_read), whose log is [`operations_read::log`](super::super::operations_read::log).
    ///
    /// A build that fails or is cancelled leaves no image behind. Every base image must be one that the grant covers, and must be there already. A request's body, as a file, has to be sent to its end before the
    /// request is answered: wait for the operation.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] when the grant does not cover a name or a base image; [`Error::Invalid`] for what breaks a rule; [`Error::QuotaExceeded`] for more operations, or a larger context, than the plugin may have. What
    /// the engine says is the operation's outcome.
    pub fn begin(files: Vec<ContextFile>, options: &BuildOptions) -> Result<String, Error> {
        with(|host| host.image_build_begin(files, options))
    }
}

/// `images.remove`: removing images from the engine, by their names.
pub mod images_remove {
    use super::super::{Error, only};
    use crate::host::with;

    /// What became of an image.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Removal {
        /// The names that are gone, `repository:tag` or `repository@digest`.
        pub untagged: Vec<String>,
        /// The ids of the layers that were deleted; empty while another name leads to the image.
        pub deleted: Vec<String>,
    }

    /// Removes names of images one after the other, and with the last name of an image the image. Never forced. The answers stand in the order of `references`, and one that fails does
    /// not end the others.
    ///
    /// # Errors
    ///
    /// Of each: [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`] for what is no reference (an id is none), [`Error::Conflict`] with the engine's reason for an image that is in use,
    /// [`Error::QuotaExceeded`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    #[must_use]
    pub fn remove(references: &[String]) -> Vec<Result<Removal, Error>> {
        with(|host| host.images_remove(references))
    }

    /// Removes one name of an image.
    ///
    /// # Errors
    ///
    /// As [`remove`].
    pub fn remove_one(reference: &str) -> Result<Removal, Error> {
        only(remove(&[reference.to_owned()]))
    }
}

/// `images.prune`: removing what no name leads to, on the whole engine.
pub mod images_prune {
    use super::super::Error;
    use crate::host::with;

    /// What was removed.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Pruned {
        /// The ids of the layers that were deleted.
        pub deleted: Vec<String>,
        /// The bytes that are free again.
        pub reclaimed: u64,
    }

    /// Removes the images without a name that no container uses.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] while another prune is under way, [`Error::QuotaExceeded`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn prune() -> Result<Pruned, Error> {
        with(|host| host.images_prune())
    }
}

/// `distribution.read`: what the engine finds when it asks a registry, over its own way there. Registries count that as a pull, other than
/// [`digests_read`](crate::registry::digests_read).
pub mod distribution_read {
    use super::super::{Error, only};
    use crate::host::with;

    /// What a reference leads to.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Distribution {
        /// The digest of the index, or of the manifest if there is none.
        pub digest: String,
        /// The media type: that of an index or of a manifest.
        pub media_type: String,
        /// The engine's answer to `GET /distribution/{name}/json`, as JSON text.
        pub json: String,
    }

    /// Asks for many references in one call; the answers stand in their order.
    ///
    /// # Errors
    ///
    /// Of each: [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`]; [`Error::Internal`] with the engine's reason.
    #[must_use]
    pub fn inspect(references: &[String]) -> Vec<Result<Distribution, Error>> {
        with(|host| host.distribution_inspect(references))
    }

    /// Asks for one reference.
    ///
    /// # Errors
    ///
    /// As [`inspect`].
    pub fn inspect_one(reference: &str) -> Result<Distribution, Error> {
        only(inspect(&[reference.to_owned()]))
    }
}
