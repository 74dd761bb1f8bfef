//! Blobs at S3, or at what speaks its protocol.
//!
//! ```text
//! <prefix>/<site>/<plugin>/blobs/<name>      the bytes, with what is known of them beside them as metadata
//! <prefix>/<site>/<plugin>/digests/<id>      what is known of the blob with this id, for one that was sent in parts
//! ```
//! A blob of up to one part is sent in one request when all of it is there, its digest with it. Metadata of one that is sent in parts has to be said before the first part, when its digest is not known: it says an
//! id, and the object of that id under `digests` is written before the parts are put together. So a blob that can be seen always has its digest, and S3 itself replaces in one moment and serves readers of the
//! other to its end. An object without our metadata, which somebody put there by other means, is no blob.
//!
//! Nothing about the bucket is kept on this machine, so that several hosts can share it. What that costs: a page of a list is a question for each of its blobs, [`CONCURRENT_QUESTIONS`] at once; and how full
//! a space is is counted anew every [`COUNT_AGE`], between which only this host's own writes are known.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{BackoffConfig, RetryConfig};
use tokio::sync::Mutex;

use super::usage::Usage;
use super::{BlobError, BlobName};
use crate::backend::causes::chain;
use crate::settings::S3Settings;

mod connector;
mod credentials;
mod leftovers;
mod object;
mod space;
mod upload;

use connector::{Connector, Requests};
use credentials::Keys;

/// How many questions of one call S3 is asked at once.
const CONCURRENT_QUESTIONS: usize = 32;
/// After which time a space is counted anew.
const COUNT_AGE: Duration = Duration::from_secs(600);
/// How long S3 may keep silent in the middle of a blob.
const READ_IDLE: Duration = Duration::from_secs(60);
/// A request that failed on its way, or with a status that says so, is sent again so often, and for so long.
const RETRIES: usize = 3;
const RETRY_TIME: Duration = Duration::from_secs(8);

/// A bucket. A clone is the same.
#[derive(Clone)]
pub(super) struct S3(Arc<Bucket>);

struct Bucket {
    store: AmazonS3,
    /// For the requests that `object_store` has no function for.
    requests: Requests,
    /// What stands before every key; may be empty.
    prefix: String,
    /// Work that nobody waits for: giving up what was begun.
    tasks: std::sync::Mutex<tokio::task::JoinSet<()>>,
}

impl S3 {
    /// A way to the bucket of `place`. Connects to nothing.
    ///
    /// # Errors
    ///
    /// What in `place` cannot be.
    pub(super) fn new(place: &S3Settings) -> Result<S3, String> {
        let endpoint = place.endpoint.clone().unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", place.region));
        let connector = Connector::new(place.ca_file.clone());
        let keys = place.keys.clone().map(|keys| Arc::new(Keys::new(keys)));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&place.bucket)
            .with_region(&place.region)
            .with_endpoint(&endpoint)
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true)
            // Encryption shows what was changed on the way; without it the signature has to.
            .with_unsigned_payload(endpoint.starts_with("https:"))
            // One by one: not all that speak the protocol know the other way.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRY_TIME })
            .with_http_connector(connector.clone());
        if let Some(keys) = &keys {
            builder = builder.with_credentials(Arc::clone(keys) as _);
        }
        let store = builder.build().map_err(|error| chain(&error))?;
        let requests = Requests { connector, bucket: format!("{endpoint}/{}", place.bucket), region: place.region.clone() };
        Ok(S3(Arc::new(Bucket { store, requests, prefix: place.prefix.clone(), tasks: std::sync::Mutex::default() })))
    }

    /// The space of `plugin` on `site`.
    pub(super) fn space(&self, site: &str, plugin: &str) -> S3Space {
        let prefix = &self.0.prefix;
        let folder = if prefix.is_empty() { format!("{site}/{plugin}/") } else { format!("{prefix}/{site}/{plugin}/") };
        S3Space(Arc::new(Space { bucket: Arc::clone(&self.0), folder, usage: Arc::default(), counted: Mutex::default() }))
    }
}

impl Bucket {
    /// Runs `work` to its end, unless the host ends first.
    fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        // Where no runtime is left nobody can do it: it is a leftover then.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            tasks.spawn_on(work, &runtime);
        }
    }
}

/// The objects of one plugin.
pub(super) struct S3Space(Arc<Space>);

struct Space {
    bucket: Arc<Bucket>,
    /// What stands before the keys of this space, with a slash at its end.
    folder: String,
    usage: Arc<Usage>,
    counted: Mutex<Counted>,
}

/// When what was done last.
#[derive(Default)]
struct Counted {
    bytes: Option<Instant>,
    leftovers: Option<Instant>,
}

impl Space {
    /// What stands before the names of blobs in keys.
    fn blobs(&self) -> String {
        format!("{}blobs/", self.folder)
    }

    /// What stands before the ids of digests in keys.
    fn digests(&self) -> String {
        format!("{}digests/", self.folder)
    }

    fn key_of(&self, name: &BlobName) -> Result<Key, BlobError> {
        key(&format!("{}{}", self.blobs(), name.as_str()))
    }

    fn key_of_digest(&self, id: &str) -> Result<Key, BlobError> {
        key(&format!("{}{id}", self.digests()))
    }
}

fn key(text: &str) -> Result<Key, BlobError> {
    Key::parse(text).map_err(|error| BlobError::Invalid(error.to_string()))
}

/// What an error of S3's means to a plugin. The log has all of it, with the keys, which are not secret, and without the credentials, which are in no error.
fn failed(doing: &'static str, error: &object_store::Error) -> BlobError {
    if let object_store::Error::NotFound { .. } = error {
        return BlobError::NotFound;
    }
    tracing::warn!(error = chain(error), "blobs: S3 failed to {doing}");
    match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            BlobError::Unavailable(format!("failed to {doing}: S3 refuses it to the host"))
        }
        _ if connector::is_timeout(error) => BlobError::Timeout,
        _ => BlobError::Unavailable(format!("failed to {doing}: S3 did not answer as it should")),
    }
}

/// As [`failed`], where nothing is asked for that could be absent but the bucket.
fn failed_at_bucket(doing: &'static str, error: &object_store::Error) -> BlobError {
    match failed(doing, error) {
        BlobError::NotFound => {
            tracing::warn!(error = chain(error), "blobs: S3 failed to {doing}");
            BlobError::Unavailable(format!("failed to {doing}: there is no such bucket"))
        }
        other => other,
    }
}
