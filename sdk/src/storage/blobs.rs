//! `blobs`: bytes of any length by name. A name has 1 to 512 bytes; `/` separates, and `.` and `..` are no parts.

use std::time::SystemTime;

use super::Error;
use crate::host::with;
use crate::stream::ByteStream;

#[cfg(target_family = "wasm")]
mod handle {
    pub(crate) use crate::imports::storage::BlobWriter;
}
#[cfg(not(target_family = "wasm"))]
mod handle {
    pub(crate) use crate::fake::storage::BlobWriter;
}

/// A blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its name.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// `sha256:…` of its bytes.
    pub digest: String,
    /// When it was stored, to the millisecond.
    pub stored: SystemTime,
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their names.
    pub blobs: Vec<Blob>,
    /// What to ask the next part with; none at the end.
    pub cursor: Option<String>,
}

/// Which bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// From this one on, counted from 0. Past the end is [`Error::Invalid`].
    pub first: u64,
    /// At most so many; none is up to the end.
    pub length: Option<u64>,
}

/// Begins to write the blob `name`.
///
/// # Errors
///
/// [`Error::Denied`], [`Error::Invalid`], [`Error::QuotaExceeded`], [`Error::Unavailable`], [`Error::Internal`].
pub fn write(name: &str) -> Result<BlobWriter, Error> {
    Ok(BlobWriter(with(|host| host.blob_write(name))?))
}

/// A blob that is being written. Nobody sees it before it is finished; one that is dropped leaves nothing.
#[derive(Debug)]
pub struct BlobWriter(handle::BlobWriter);

impl BlobWriter {
    /// Appends `bytes`, at most 1 MiB at a time.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.write(bytes)
    }

    /// Stores it in the place of one of its name.
    ///
    /// # Errors
    ///
    /// As [`BlobWriter::write`].
    pub fn finish(self) -> Result<Blob, Error> {
        self.0.finish()
    }
}

/// For what writes to a writer. An error of the host is the source of the writer's.
impl std::io::Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let part = bytes.get(..bytes.len().min(1 << 20)).unwrap_or_default();
        BlobWriter::write(self, part).map_err(std::io::Error::other)?;
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Stores all of `content`, such as the body of a request, without its passing through the plugin. Waiting does not count against the request's deadline.
///
/// # Errors
///
/// As [`write()`] and [`BlobWriter::write`]; a stream that breaks off is [`Error::Unavailable`], and leaves nothing.
pub fn store(name: &str, content: ByteStream) -> Result<Blob, Error> {
    with(|host| host.blob_store(name, content))
}

/// The bytes of a blob, as a stream that can be answered to the client unread. Without a `range` all of them.
///
/// # Errors
///
/// [`Error::Denied`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
pub fn read(name: &str, range: Option<Range>) -> Result<ByteStream, Error> {
    with(|host| host.blob_read(name, range))
}

/// What the blob `name` is.
///
/// # Errors
///
/// As [`read`].
pub fn stat(name: &str) -> Result<Blob, Error> {
    stat_all(&[name]).into_iter().next().unwrap_or(Err(Error::NotFound))
}

/// What blobs these are, in the order of `names`. The errors of each are as of [`read`].
pub fn stat_all(names: &[&str]) -> Vec<Result<Blob, Error>> {
    with(|host| host.blob_stat(&owned(names)))
}

/// The blobs whose names begin with `prefix`, at most `limit` and at most 1,000, from `cursor` on.
///
/// # Errors
///
/// [`Error::Denied`], [`Error::Invalid`], [`Error::Unavailable`], [`Error::Timeout`], [`Error::Internal`].
pub fn list(prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Page, Error> {
    with(|host| host.blob_list(prefix, cursor, limit))
}

/// Deletes the blob `name`, and answers whether it was there. Streams that are being read go on to their end.
///
/// # Errors
///
/// As [`list`].
pub fn delete(name: &str) -> Result<bool, Error> {
    Ok(delete_all(&[name])? > 0)
}

/// Deletes blobs, and answers how many of them were there.
///
/// # Errors
///
/// As [`list`].
pub fn delete_all(names: &[&str]) -> Result<u64, Error> {
    with(|host| host.blob_delete(&owned(names)))
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
