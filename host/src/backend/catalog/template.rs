//! The archive of a template, from where a catalogue says that it is into a blob of a plugin.
//!
//! Where the host goes for it depends on who wrote the address: in a file of the operator's it is the operator's own, as the address of a catalogue is; in a catalogue that was fetched it counts as a place to which that
//! catalogue's server has led. So nobody who writes catalogues elsewhere sends the host into a private network that no file names.
//!
//! Bytes go to the store as they arrive, and become a blob only when size and digest are those of the catalogue, as far as it says them, and all that the server announced is there. Whatever happens before that leaves
//! nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use url::Url;

use super::Entry;
use crate::backend::blobs::{Blob, BlobError, BlobName, BlobSpace};
use crate::backend::operations::{Download, DownloadProgress, Rest, TemplateName};
use crate::backend::registry::{DocumentError, Hasher, Registries, WantedArchive, check_data};
use crate::settings::CatalogSource;

#[cfg(test)]
mod tests;

/// The most that is handed to the store at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A template whose archive can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) name: TemplateName,
    url: Url,
    /// See [`WantedArchive`].
    written: Option<Url>,
    led_by: Option<Url>,
    /// Bytes; none if the catalogue does not say.
    size: Option<u64>,
    /// The same of the digest.
    digest: Option<String>,
}

/// Why an archive did not become a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// It did not come.
    #[error("failed to fetch the archive from `{from}`: {error}")]
    Fetch {
        /// Its address, without what may be secret in it.
        from: String,
        /// Why.
        error: DocumentError,
    },
    /// It has another size than the catalogue says.
    #[error("the archive has {actual}, the catalogue says {expected} bytes")]
    Size {
        /// By the catalogue.
        expected: u64,
        /// `7 bytes`, `more bytes`.
        actual: String,
    },
    /// It has another digest than the catalogue says.
    #[error("the archive has the digest {actual}, the catalogue says {expected}")]
    Digest {
        /// By the catalogue.
        expected: String,
        /// That of what came.
        actual: String,
    },
    /// It was not stored.
    #[error("failed to store the archive: {0}")]
    Store(#[from] BlobError),
}

impl ArchiveError {
    /// The name of the error: one of the words of the contract for what is not available, or `timeout`; `store` for a failure of the store.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            ArchiveError::Fetch { error, .. } => error.word(),
            ArchiveError::Size { .. } => "size-mismatch",
            ArchiveError::Digest { .. } => "digest-mismatch",
            ArchiveError::Store(_) => "store",
        }
    }
}

/// A blob that is being made visible. Whoever holds it can wait for that, also when the download was dropped.
type Finishing = Shared<BoxFuture<'static, Result<Blob, BlobError>>>;
/// Where it is left for the undoing; none before that.
type Finish = Arc<Mutex<Option<Finishing>>>;

impl Template {
    /// The template that `entry` of the catalogue `catalog` is, whose archive is at `url`. `place` is where the catalogue is; none if it is the host's own.
    pub(super) fn new(catalog: &str, entry: &Entry, url: Url, place: Option<&CatalogSource>) -> Template {
        let (written, led_by) = match place {
            None => (None, None),
            Some(CatalogSource::File(_)) => (Some(url.clone()), None),
            Some(CatalogSource::Url(of_catalog)) => (Some(of_catalog.clone()), Some(of_catalog.clone())),
        };
        let name = TemplateName { catalog: catalog.to_owned(), name: entry.name.clone(), version: entry.version.clone() };
        Template { name, url, written, led_by, size: entry.size, digest: entry.archive_digest.clone() }
    }

    /// What makes the blob `blob` of `space` of the archive, within `limit`. Nothing happens until its work is polled.
    pub(crate) fn download(self, registries: &Registries, space: BlobSpace, blob: BlobName, limit: Duration) -> Download {
        let (progress, finish) = (Arc::<DownloadProgress>::default(), Finish::default());
        let undo = undo(space.clone(), blob.clone(), Arc::clone(&finish));
        let template = self.name.clone();
        let (registries, name, of_work) = (registries.clone(), blob.clone(), Arc::clone(&progress));
        let work = async move { Ok(self.fetch(&registries, &space, name, limit, &of_work, &finish).await?) };
        Download { template, blob, progress, work: work.boxed(), undo }
    }

    /// For tests of what stands on this: a template whose archive is nowhere.
    #[cfg(test)]
    pub(crate) fn for_test(catalog: &str, name: &str, version: &str) -> Template {
        let name = TemplateName { catalog: catalog.to_owned(), name: name.to_owned(), version: version.to_owned() };
        Template { name, url: Url::parse("https://mirror.example/").unwrap(), written: None, led_by: None, size: None, digest: None }
    }

    async fn fetch(
        &self,
        registries: &Registries,
        space: &BlobSpace,
        blob: BlobName,
        limit: Duration,
        progress: &DownloadProgress,
        finish: &Finish,
    ) -> Result<(), ArchiveError> {
        let wanted = WantedArchive { url: self.url.clone(), written: self.written.clone(), led_by: self.led_by.clone(), limit };
        let mut writer = space.write_in_turn(blob).await?;
        let mut archive = registries.archive(wanted).await.map_err(|error| self.not_fetched(error))?;
        if let (Some(expected), Some(length)) = (self.size, archive.length)
            && expected != length
        {
            return Err(self.wrong_size(format!("{length} bytes")));
        }
        if let Some(total) = self.size.or(archive.length) {
            // Not after an hour.
            if total > space.quota_bytes() {
                return Err(BlobError::QuotaExceeded.into());
            }
            progress.expect(total);
        }
        let mut hasher = self.digest.is_some().then(|| Hasher::like(self.digest.as_deref()));
        let mut arrived = 0;
        while let Some(piece) = archive.piece().await.map_err(|error| self.not_fetched(error))? {
            if arrived == 0 {
                check_data(&piece).map_err(|error| self.not_fetched(error))?;
            }
            arrived = progress.add(piece.len() as u64);
            if self.size.is_some_and(|size| arrived > size) {
                return Err(self.wrong_size("more bytes".to_owned()));
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(&piece);
            }
            for chunk in chunks(piece) {
                writer.write(chunk).await?;
            }
        }
        if self.size.is_some_and(|size| arrived != size) {
            return Err(self.wrong_size(format!("{arrived} bytes")));
        }
        if let (Some(expected), Some(hasher)) = (&self.digest, hasher) {
            let actual = hasher.digest();
            if actual != *expected {
                return Err(ArchiveError::Digest { expected: expected.clone(), actual });
            }
        }
        let finishing = async move { writer.finish().await }.boxed().shared();
        *finish.lock().unwrap_or_else(PoisonError::into_inner) = Some(finishing.clone());
        finishing.await?;
        Ok(())
    }

    fn not_fetched(&self, error: DocumentError) -> ArchiveError {
        let mut from = self.url.clone();
        // Stores sign their queries.
        from.set_query(None);
        let _no_password = from.set_password(None);
        ArchiveError::Fetch { from: from.to_string(), error }
    }

    fn wrong_size(&self, actual: String) -> ArchiveError {
        ArchiveError::Size { expected: self.size.unwrap_or_default(), actual }
    }
}

/// `piece` in parts that the store takes.
fn chunks(mut piece: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let chunk = piece.split_to(piece.len().min(CHUNK_BYTES));
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Takes away what was made visible although nobody wanted it any more. One that has taken its place meanwhile stays.
fn undo(space: BlobSpace, name: BlobName, finish: Finish) -> Rest {
    async move {
        let finishing = finish.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Ok(blob)) = futures_util::future::OptionFuture::from(finishing).await else { return };
        if space.stat(vec![name.clone()]).await != [Ok(blob)] {
            return;
        }
        if let Err(error) = space.delete(vec![name.clone()]).await {
            tracing::warn!(blob = name.as_str(), %error, "failed to delete the blob of a download that was cancelled");
        }
    }
    .boxed()
}
