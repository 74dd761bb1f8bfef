//! One catalogue of a site, and when it is to be read again.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use tokio::io::AsyncReadExt;
use url::Url;

use super::read::{self, MAX_CATALOG_BYTES, Reading};
use super::{Catalog, CatalogError, Freshness};
use crate::backend::registry::{DocumentError, Registries, Wanted, check_data};
use crate::settings::CatalogSource;

/// How long the server of a catalogue may take. Shorter than a plugin's default deadline.
const FETCH: Duration = Duration::from_secs(20);

/// One catalogue of a site.
pub(super) struct Source {
    name: String,
    pub(super) place: CatalogSource,
    known: Mutex<Known>,
    /// Held by the one who reads.
    turn: tokio::sync::Mutex<()>,
}

/// What is known of it.
#[derive(Default)]
struct Known {
    /// The last good one.
    last: Option<Arc<Catalog>>,
    /// Why the last reading came to nothing; none if it was good, or there was none yet.
    failure: Option<CatalogError>,
    /// Until when it is not read again; none: it is due.
    until: Option<Instant>,
    /// Of a file: what it looked like when it was read last.
    stamp: Option<Stamp>,
    /// Of an address: by which its server tells whether it has changed.
    etag: Option<HeaderValue>,
}

/// By what a file is seen to have changed; none of a file that is not there.
type Stamp = Option<(SystemTime, u64)>;

impl Source {
    pub(super) fn new(name: &str, place: CatalogSource) -> Source {
        Source { name: name.to_owned(), place, known: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Makes it due. What was read stays until there is something better.
    pub(super) fn forget_when(&self) {
        let mut known = self.known();
        known.until = None;
        known.stamp = None;
    }

    /// Why the last reading came to nothing.
    pub(super) fn failure(&self) -> Option<CatalogError> {
        self.known().failure.clone()
    }

    /// The catalogue, read again if it is due.
    ///
    /// # Errors
    ///
    /// Why the last reading came to nothing, when none was good.
    pub(super) async fn catalog(&self, registries: &Registries, freshness: Freshness) -> Result<Arc<Catalog>, CatalogError> {
        let stamp = self.stamp().await;
        let (is_due, last) = {
            let known = self.known();
            (known.is_due(stamp.as_ref()), known.last.clone())
        };
        if is_due {
            let turn = match (self.turn.try_lock(), last) {
                (Ok(turn), _) => turn,
                (Err(_), Some(last)) => return Ok(last),
                (Err(_), None) => self.turn.lock().await,
            };
            // Whoever had to wait may find it done.
            if self.known().is_due(stamp.as_ref()) {
                let read = match &self.place {
                    CatalogSource::File(path) => self.read_file(path).await,
                    CatalogSource::Url(url) => self.fetch(url, registries).await,
                };
                self.keep(read, stamp, freshness);
            }
            drop(turn);
        }
        self.known().answer()
    }

    /// Takes notice of a reading: none that nothing has changed.
    fn keep(&self, read: Result<Option<Reading>, CatalogError>, stamp: Option<Stamp>, freshness: Freshness) {
        let mut known = self.known();
        known.stamp = stamp;
        known.failure = None;
        known.until = Some(Instant::now() + freshness.good);
        match read {
            Ok(None) => {}
            Ok(Some(reading)) => {
                if reading.catalog.skipped > 0 {
                    let (skipped, first) = (reading.catalog.skipped, reading.broken.join("; "));
                    tracing::warn!(catalog = self.name, skipped, first, "entries of a catalogue were left out");
                }
                known.last = Some(Arc::new(reading.catalog));
            }
            Err(error) => {
                let kept = known.last.is_some();
                tracing::warn!(catalog = self.name, reason = %error, kept, "failed to read a catalogue");
                known.until = Some(Instant::now() + freshness.failed);
                known.failure = Some(error);
            }
        }
    }

    /// What its file looks like now; none for an address.
    async fn stamp(&self) -> Option<Stamp> {
        let CatalogSource::File(path) = &self.place else { return None };
        let metadata = tokio::fs::metadata(path).await.ok();
        Some(metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len()))))
    }

    async fn read_file(&self, path: &Path) -> Result<Option<Reading>, CatalogError> {
        let failed = |error: io::Error| {
            let reason = if error.kind() == io::ErrorKind::NotFound { "there is no such file".to_owned() } else { error.to_string() };
            self.failed("unreachable", &format!("`{}`: {reason}", path.display()))
        };
        let limit = u64::try_from(MAX_CATALOG_BYTES).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).await.map_err(failed)?;
        if bytes.len() > MAX_CATALOG_BYTES {
            return Err(self.failed("too-long", &format!("`{}`: longer than {MAX_CATALOG_BYTES} bytes", path.display())));
        }
        self.parse(bytes, &path.display().to_string()).await.map(Some)
    }

    async fn fetch(&self, url: &Url, registries: &Registries) -> Result<Option<Reading>, CatalogError> {
        let failed = |error: DocumentError| match error.word() {
            "timeout" => CatalogError::Timeout(self.sentence(&format!("`{url}`: {error}"))),
            word => self.failed(word, &format!("`{url}`: {error}")),
        };
        let etag = {
            let known = self.known();
            known.last.is_some().then(|| known.etag.clone()).flatten()
        };
        let wanted = Wanted { url: url.clone(), written: url.clone(), etag, limit_bytes: MAX_CATALOG_BYTES, limit: FETCH };
        let document = registries.document(wanted).await.map_err(failed)?;
        let Some(body) = document.body else { return Ok(None) };
        check_data(&body).map_err(failed)?;
        let reading = self.parse(body.to_vec(), url.as_str()).await?;
        self.known().etag = document.etag;
        Ok(Some(reading))
    }

    async fn parse(&self, bytes: Vec<u8>, place: &str) -> Result<Reading, CatalogError> {
        // Megabytes take a moment.
        let read = tokio::task::spawn_blocking(move || read::catalog(&bytes)).await.map_err(|error| error.to_string()).flatten();
        read.map_err(|reason| self.failed("unintelligible", &format!("`{place}`: {reason}")))
    }

    fn failed(&self, word: &'static str, reason: &str) -> CatalogError {
        CatalogError::Unavailable { word, reason: self.sentence(reason) }
    }

    fn sentence(&self, reason: &str) -> String {
        format!("failed to read the catalogue `{}` from {reason}", self.name)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Whether it is to be read. `stamp` is what its file looks like; none for an address.
    fn is_due(&self, stamp: Option<&Stamp>) -> bool {
        let rests = self.until.is_some_and(|until| until > Instant::now());
        match stamp {
            None => !rests,
            Some(stamp) => self.stamp.as_ref() != Some(stamp) || self.failure.is_some() && !rests,
        }
    }

    fn answer(&self) -> Result<Arc<Catalog>, CatalogError> {
        match (&self.last, &self.failure) {
            (Some(last), _) => Ok(Arc::clone(last)),
            (None, Some(failure)) => Err(failure.clone()),
            // It is read before it is answered.
            (None, None) => Err(CatalogError::NotFound),
        }
    }
}
