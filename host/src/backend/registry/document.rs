//! What is fetched from the web and is no registry's: lists of Docker Hub, catalogues.
//!
//! It goes the way of everything that registries are asked: the same connections, the same rules on where they may lead, the same sizes and times. What differs is who named the address. It stands in
//! `wharf.toml`, as a whole, so that its server may be in a private network and without encryption. Wherever that server leads is judged as it is for a registry. No credential is sent.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use super::Registries;
use super::error::RegistryError;
use super::wire::{Complaint, Letter};

/// What to fetch.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) url: Url,
    /// The address in `wharf.toml` for which it is fetched.
    pub(crate) written: Url,
    /// What is known already.
    pub(crate) etag: Option<HeaderValue>,
    /// The longest answer that is held.
    pub(crate) limit_bytes: usize,
    /// How long all of it may take.
    pub(crate) limit: Duration,
}

/// What came.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// None when what is known already has not changed.
    pub(crate) body: Option<Bytes>,
    pub(crate) etag: Option<HeaderValue>,
}

/// Why nothing came that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    /// Any status but 200, or 304 where it makes sense.
    #[error("status {}{}", .0.status, shown(.0))]
    Status(Complaint),
    /// For people: of a network that wants to be logged in to, or of one that takes us for a robot.
    #[error("a web page where data was expected")]
    Page,
    /// It is not of the form that it should be.
    #[error("it is not as it should be: {0}")]
    Unintelligible(String),
    /// The way there, or the reading.
    #[error("{}", on_the_way(.0))]
    Way(RegistryError),
}

fn shown(complaint: &Complaint) -> String {
    let reason = if complaint.reason.is_empty() { String::new() } else { format!(" ({})", complaint.reason) };
    let again = complaint.retry_after.map_or_else(String::new, |after| format!(", and says to come again in {} s", after.as_secs()));
    reason + &again
}

/// Without the word registry, which this is not.
fn on_the_way(error: &RegistryError) -> String {
    match error {
        RegistryError::Unreachable(reason) => format!("not reachable: {reason}"),
        RegistryError::Timeout(limit) => format!("no answer within {} ms", limit.as_millis()),
        RegistryError::Certificate(reason) => format!("its certificate is not accepted: {reason}"),
        RegistryError::Redirected(reason) => format!("it redirects without end or sense: {reason}"),
        RegistryError::TooLong { limit_bytes } => format!("longer than {limit_bytes} bytes"),
        other => other.to_string(),
    }
}

impl DocumentError {
    /// The name of the error: one of the words of the contract for what is not available, or `timeout`.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            DocumentError::Status(complaint) => match RegistryError::of_status(complaint.status, String::new(), complaint.retry_after) {
                RegistryError::NotFound => "failed",
                error => error.word(),
            },
            DocumentError::Page => "not-a-registry",
            DocumentError::Unintelligible(_) => "unintelligible",
            DocumentError::Way(error) => error.word(),
        }
    }

    /// How long the server wants to be left alone; none if it does not say.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            DocumentError::Status(complaint) => complaint.retry_after,
            _ => None,
        }
    }

    /// Whether the server says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, DocumentError::Status(complaint) if complaint.status == StatusCode::NOT_FOUND.as_u16())
    }
}

impl Document {
    /// Its JSON.
    ///
    /// # Errors
    ///
    /// [`DocumentError::Page`], [`DocumentError::Unintelligible`].
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, DocumentError> {
        let body = self.body.as_deref().unwrap_or_default();
        check_data(body)?;
        serde_json::from_slice(body).map_err(|error| DocumentError::Unintelligible(error.to_string()))
    }
}

/// Checks that `body` is not meant for people.
///
/// # Errors
///
/// [`DocumentError::Page`].
pub(crate) fn check_data(body: &[u8]) -> Result<(), DocumentError> {
    if body.trim_ascii_start().starts_with(b"<") { Err(DocumentError::Page) } else { Ok(()) }
}

impl Registries {
    /// Fetches `wanted`, once.
    ///
    /// # Errors
    ///
    /// [`DocumentError`].
    pub(crate) async fn document(&self, wanted: Wanted) -> Result<Document, DocumentError> {
        let client = self.0.client.load_full();
        let wire = &client.wire;
        let until = Instant::now() + wanted.limit;
        let is_known = wanted.etag.is_some();
        let mut letter = Letter::new(Method::GET, wanted.url, until);
        letter.written = Some(wanted.written);
        letter.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        letter.headers.extend(wanted.etag.map(|etag| (IF_NONE_MATCH, etag)));
        let response = wire.send(letter).await.map_err(DocumentError::Way)?;
        let etag = response.headers().get(ETAG).cloned();
        match response.status() {
            StatusCode::OK => {
                let body = wire.whole(response, until, wanted.limit_bytes).await.map_err(DocumentError::Way)?;
                Ok(Document { body: Some(body), etag })
            }
            StatusCode::NOT_MODIFIED if is_known => {
                // Read to its end, so that the connection is used again.
                let _ = wire.whole(response, until, wanted.limit_bytes).await;
                Ok(Document { body: None, etag })
            }
            _ => Err(DocumentError::Status(wire.complaint(response, until).await)),
        }
    }
}
