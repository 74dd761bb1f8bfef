//! Blobs: bytes of any length by name, each plugin's in a space of its own, in a directory or at S3.
//!
//! Above the two stores here everything is the same for both: names ([`name`]), the quota ([`usage`]), blocks and digests ([`writer`]); one suite of tests runs on both. A store ([`Store`]) promises that a
//! blob becomes visible whole, with its size, digest and time, or not at all, whenever the process is killed; that one which takes the place of another does so in one moment; and that who reads the other
//! reads it to its end.
//!
//! [`directory`] keeps an index and files without names; its header says why that is not `object_store`'s directory. [`s3`] is `object_store`'s S3.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::{OnceCell, Semaphore};

mod directory;
mod error;
mod index;
mod name;
mod s3;
#[cfg(test)]
mod tests;
mod usage;
mod writer;

pub(crate) use error::BlobError;
pub(crate) use name::BlobName;
use s3::S3;
use usage::{Share, Usage};
#[expect(unreachable_pub, reason = "the bindings name this type in public traits")]
pub use writer::BlobWriter;

use super::stream::{ByteStream, StreamError};
use crate::settings::BlobPlace;

/// The most blobs that one page of a list has.
pub(crate) const MAX_PAGE: usize = 1000;

/// A blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) name: BlobName,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) digest: BlobDigest,
    /// When it was stored, in milliseconds since 1970.
    pub(crate) stored_ms: u64,
}

/// The sha256 of a blob's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobDigest([u8; 32]);

impl BlobDigest {
    /// Of 64 digits in lower case.
    fn parse_hex(text: &str) -> Option<BlobDigest> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return None;
        }
        for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(BlobDigest(digest))
    }

    /// 64 digits in lower case.
    fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `sha256:…`.
impl fmt::Display for BlobDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for BlobDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// In the order of the code points of their names.
    pub(crate) blobs: Vec<Blob>,
    /// What to ask the next part with; none at the end.
    pub(crate) cursor: Option<String>,
}

/// Which bytes of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteRange {
    /// From this one on, counted from 0.
    pub(crate) first: u64,
    /// At most so many; none is up to the end.
    pub(crate) length: Option<u64>,
}

impl ByteRange {
    /// Where it begins in a blob of `size` bytes, and how long it is there. A blob's end is not past its end.
    ///
    /// # Errors
    ///
    /// It begins past the end.
    fn within(range: Option<ByteRange>, size: u64) -> Result<(u64, u64), BlobError> {
        let Some(ByteRange { first, length }) = range else { return Ok((0, size)) };
        match size.checked_sub(first) {
            Some(rest) => Ok((first, length.unwrap_or(rest).min(rest))),
            None => Err(BlobError::Invalid(format!("the range begins at {first}, the blob has {size} bytes"))),
        }
    }
}

/// How many blobs a plugin may be writing at the same time, how many more may be stored while others wait, and how many may be read. Each that is written holds a part of S3's in memory, each that is
/// read a file or a connection.
const WRITERS: usize = 16;
const STORES: usize = 16;
const READERS: usize = 1024;

/// The blobs of all plugins of one process. A clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Blobs(Arc<Mutex<InForce>>);

/// What the settings say at the moment.
#[derive(Default)]
struct InForce {
    /// None if there are no settings.
    place: Option<Arc<Place>>,
    /// How many places there have been.
    epoch: u64,
}

/// Where they are, as the settings have it.
struct Place {
    settings: BlobPlace,
    /// None in a directory; else a bucket, or why there is no way to it.
    s3: Option<Result<S3, String>>,
    /// Of each plugin of each site. None ends before the place does: a space's writers count against one quota, whichever generation of the plugin began them.
    spaces: Mutex<HashMap<(String, String), Arc<Space>>>,
}

struct Space {
    /// Opened by whoever needs it first; a failure is that one's, and the next one tries again.
    store: OnceCell<Arc<dyn Store>>,
    writers: Arc<Semaphore>,
    stores: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl Default for Space {
    fn default() -> Space {
        let permits = |permits| Arc::new(Semaphore::new(permits));
        Space { store: OnceCell::new(), writers: permits(WRITERS), stores: permits(STORES), readers: permits(READERS) }
    }
}

impl Blobs {
    /// Puts `settings` into force for spaces that are asked for from now on. Nothing is opened yet; a place that has not changed stays as it is.
    pub(crate) fn configure(&self, settings: &BlobPlace) {
        let mut now = self.in_force();
        if now.place.as_ref().is_some_and(|place| place.settings == *settings) {
            return;
        }
        let s3 = match settings {
            BlobPlace::Directory(_) => None,
            BlobPlace::S3(settings) => Some(S3::new(settings)),
        };
        now.place = Some(Arc::new(Place { settings: settings.clone(), s3, spaces: Mutex::default() }));
        now.epoch += 1;
    }

    /// Which place is in force: a larger number for each. A space is of the one that was in force when it was asked for.
    pub(crate) fn epoch(&self) -> u64 {
        self.in_force().epoch
    }

    /// The space of `plugin` on `site`, names that the settings have checked. It may hold `quota_bytes`.
    pub(crate) fn space(&self, site: &str, plugin: &str, quota_bytes: u64) -> BlobSpace {
        let place = self.in_force().place.clone();
        let key = (site.to_owned(), plugin.to_owned());
        let space = match &place {
            Some(place) => Arc::clone(place.spaces.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default()),
            None => Arc::default(),
        };
        BlobSpace { place, owner: key, space, quota_bytes }
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The blobs of one plugin.
#[derive(Clone)]
pub(crate) struct BlobSpace {
    /// None if there are no settings.
    place: Option<Arc<Place>>,
    /// The site's name, and the plugin's on it.
    owner: (String, String),
    space: Arc<Space>,
    quota_bytes: u64,
}

impl BlobSpace {
    /// Begins to write the blob `name`.
    ///
    /// # Errors
    ///
    /// [`BlobError`]; [`BlobError::Unavailable`] when as many are being written as may be.
    pub(crate) async fn write(&self, name: BlobName) -> Result<BlobWriter, BlobError> {
        // Whoever waited could wait for a writer of its own.
        let permit = Arc::clone(&self.space.writers).try_acquire_owned();
        let permit = permit.map_err(|_| BlobError::Unavailable(format!("{WRITERS} blobs are being written, as many as may be")))?;
        BlobWriter::begin(self.store().await?, name, self.quota_bytes, permit).await
    }

    /// Stores all of `content`. When the future is dropped nothing is left.
    ///
    /// # Errors
    ///
    /// [`BlobError`]; [`BlobError::Unavailable`] when `content` breaks off.
    pub(crate) async fn store_all(&self, name: BlobName, content: ByteStream) -> Result<Blob, BlobError> {
        let mut writer = self.write_in_turn(name).await?;
        writer.pump(content).await?;
        writer.finish().await
    }

    /// As [`BlobSpace::write`], for whoever may wait until fewer are being written.
    ///
    /// # Errors
    ///
    /// [`BlobError`].
    pub(crate) async fn write_in_turn(&self, name: BlobName) -> Result<BlobWriter, BlobError> {
        let permit = Arc::clone(&self.space.stores).acquire_owned().await;
        let permit = permit.map_err(|closed| BlobError::Internal(closed.to_string()))?;
        BlobWriter::begin(self.store().await?, name, self.quota_bytes, permit).await
    }

    /// How many bytes the space may hold.
    pub(crate) fn quota_bytes(&self) -> u64 {
        self.quota_bytes
    }

    /// The bytes of a blob, or those of `range`.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`], [`BlobError::Invalid`] for a range that begins past the end, [`BlobError::Unavailable`] when as many are being read as may be, and those of the store. The stream is cut when
    /// fewer bytes come than the blob has.
    pub(crate) async fn read(&self, name: &BlobName, range: Option<ByteRange>) -> Result<ByteStream, BlobError> {
        let permit = Arc::clone(&self.space.readers).try_acquire_owned();
        let permit = permit.map_err(|_| BlobError::Unavailable(format!("{READERS} blobs are being read, as many as may be")))?;
        let chunks = self.store().await?.read(name, range).await?;
        Ok(ByteStream::new(chunks.inspect(move |_| {
            let _held = &permit;
        })))
    }

    /// What the blobs are, in the order of `names`.
    pub(crate) async fn stat(&self, names: Vec<BlobName>) -> Vec<Result<Blob, BlobError>> {
        match self.store().await {
            Ok(store) => store.stat(names).await,
            Err(error) => names.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// At most `limit` blobs, and at most [`MAX_PAGE`], whose names begin with `prefix`, from `cursor` on.
    ///
    /// # Errors
    ///
    /// [`BlobError::Invalid`] for a prefix or a cursor that is none and for a limit of 0, and those of the store.
    pub(crate) async fn list(&self, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page, BlobError> {
        name::check_part(prefix, "the prefix").map_err(BlobError::Invalid)?;
        name::check_part(cursor.unwrap_or_default(), "the cursor").map_err(BlobError::Invalid)?;
        if limit == 0 {
            return Err(BlobError::Invalid("`limit` is 0".to_owned()));
        }
        self.store().await?.list(prefix, cursor, limit.min(MAX_PAGE)).await
    }

    /// Deletes blobs, and answers how many of them were there.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(crate) async fn delete(&self, names: Vec<BlobName>) -> Result<u64, BlobError> {
        self.store().await?.delete(names).await
    }

    async fn store(&self) -> Result<&Arc<dyn Store>, BlobError> {
        let open = || async {
            let place = self.place.as_ref().ok_or_else(|| BlobError::Internal("no place for blobs is configured".to_owned()))?;
            let (site, plugin) = (&self.owner.0, &self.owner.1);
            Ok(match (&place.s3, &place.settings) {
                (Some(Ok(s3)), _) => Arc::new(s3.space(site, plugin)) as Arc<dyn Store>,
                (Some(Err(reason)), _) => return Err(BlobError::Internal(format!("the bucket cannot be used: {reason}"))),
                (None, BlobPlace::Directory(root)) => Arc::new(directory::Directory::open(root, site, plugin).await?),
                (None, BlobPlace::S3(_)) => return Err(BlobError::Internal("there is no way to the bucket".to_owned())),
            })
        };
        self.space.store.get_or_try_init(open).await
    }
}

/// Where the blobs of one plugin are.
#[async_trait]
trait Store: Send + Sync {
    /// What is counted against the quota.
    fn usage(&self) -> &Arc<Usage>;
    /// Begins to write a blob. Called before anything is counted.
    async fn begin(&self, name: &BlobName) -> Result<Box<dyn Upload>, BlobError>;
    /// See [`BlobSpace::read`].
    async fn read(&self, name: &BlobName, range: Option<ByteRange>) -> Result<Chunks, BlobError>;
    /// See [`BlobSpace::stat`].
    async fn stat(&self, names: Vec<BlobName>) -> Vec<Result<Blob, BlobError>>;
    /// See [`BlobSpace::list`].
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, BlobError>;
    /// See [`BlobSpace::delete`].
    async fn delete(&self, names: Vec<BlobName>) -> Result<u64, BlobError>;
}

/// The bytes of a blob.
type Chunks = BoxStream<'static, Result<Bytes, StreamError>>;

/// A blob that a store is being sent. Dropping it leaves nothing.
#[async_trait]
trait Upload: Send {
    /// Appends a block: all but the last have [`writer::BLOCK_BYTES`].
    async fn append(&mut self, block: Bytes) -> Result<(), BlobError>;
    /// Makes it visible as `blob`, and says to `share` which size the one had whose place it took: also when nobody waits for that any more.
    async fn finish(self: Box<Self>, blob: &Blob, share: Share) -> Result<(), BlobError>;
}

/// `chunks`, which are cut if they have fewer bytes than `length`.
fn whole(chunks: impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static, length: u64) -> Chunks {
    let checked = stream::unfold((chunks.boxed(), length), |(mut chunks, left)| async move {
        match chunks.next().await {
            Some(Ok(chunk)) => {
                let left = left.saturating_sub(chunk.len() as u64);
                Some((Ok(chunk), (chunks, left)))
            }
            Some(Err(error)) => Some((Err(error), (chunks, left))),
            None if left > 0 => Some((Err(StreamError::Cut(format!("the blob ends {left} bytes too early"))), (chunks, 0))),
            None => None,
        }
    });
    checked.boxed()
}
