//! What is fetched from the web and is too large to be held: archives of templates.
//!
//! As a [document](super::document) it goes the way of everything that registries are asked, without a credential. Who named its address differs from archive to archive, and with that where it may lead: see [`WantedArchive`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, HeaderValue};
use http::{Method, StatusCode};
use url::Url;

use super::pool::Body;
use super::wire::Letter;
use super::{DocumentError, Registries};

/// What to fetch.
#[derive(Debug, Clone)]
pub(crate) struct WantedArchive {
    pub(crate) url: Url,
    /// An address that the operator wrote: its server may be in a private network, and without encryption. None if there is none.
    pub(crate) written: Option<Url>,
    /// The address of the document that names `url`; none if the operator, or the host itself, does.
    pub(crate) led_by: Option<Url>,
    /// How long all of it may take.
    pub(crate) limit: Duration,
}

/// An archive that is arriving. Dropping it ends that.
pub(crate) struct Archive {
    /// How many bytes its server says there are; none if it does not say.
    pub(crate) length: Option<u64>,
    body: Body,
    /// The longest time between two pieces.
    idle: Duration,
    until: Instant,
}

impl Registries {
    /// Begins to fetch `wanted`, once.
    ///
    /// # Errors
    ///
    /// [`DocumentError`].
    pub(crate) async fn archive(&self, wanted: WantedArchive) -> Result<Archive, DocumentError> {
        let client = self.0.client.load_full();
        let until = Instant::now() + wanted.limit;
        let mut letter = Letter::new(Method::GET, wanted.url, until);
        (letter.written, letter.led_by) = (wanted.written, wanted.led_by);
        letter.headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let response = client.wire.send(letter).await.map_err(DocumentError::Way)?;
        if response.status() != StatusCode::OK {
            return Err(DocumentError::Status(client.wire.complaint(response, until).await));
        }
        let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(Archive { length, body: response.into_body(), idle: client.wire.patience.idle, until })
    }
}

impl Archive {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// [`DocumentError::Way`] when it breaks off, or nothing arrives for too long.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, DocumentError> {
        self.body.piece(self.idle, self.until).await.map_err(DocumentError::Way)
    }
}
