//! What the host sends to an address that the operator wrote, and is no registry's: messages to webhooks.
//!
//! It goes the way of everything that registries are asked. A `POST` is not redirected: what was meant for one server is not told another.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use url::Url;

use super::wire::Letter;
use super::{DocumentError, Registries};

/// How much of an answer is read, so that its connection can be used again.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// As the operator wrote it.
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How long all of it may take.
    pub(crate) limit: Duration,
}

impl Registries {
    /// Sends `outgoing`, once, and answers the status, which is one of success.
    ///
    /// # Errors
    ///
    /// [`DocumentError`].
    pub(crate) async fn post(&self, outgoing: Outgoing) -> Result<u16, DocumentError> {
        let client = self.0.client.load_full();
        let Outgoing { url, headers, body, limit } = outgoing;
        let until = Instant::now() + limit;
        let letter = Letter { headers, body, written: Some(url.clone()), ..Letter::new(Method::POST, url, until) };
        let response = client.wire.send(letter).await.map_err(DocumentError::Way)?;
        let status = response.status();
        if !status.is_success() {
            return Err(DocumentError::Status(client.wire.complaint(response, until).await));
        }
        let _ = client.wire.whole(response, until, MAX_ANSWER_BYTES).await;
        Ok(status.as_u16())
    }
}
