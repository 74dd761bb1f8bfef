//! Blobs in a directory: an index ([`index`]), and a file without a meaning to its name for the bytes of each.
//!
//! ```text
//! <root>/<site>/<plugin>/index.sqlite     which names there are, and which file each has
//! <root>/<site>/<plugin>/bytes/<random>   the bytes of one blob, written once
//! <root>/<site>/<plugin>/lock             held by the process that has the space open
//! ```
//! Not `object_store`'s directory: that one has no place for a digest, does not list in order or by page, takes a name for a path, whose parts have 255 bytes and on some file systems no case, and leaves it
//! to others to find what a crash left. With an index of our own it would only create, append and flush.
//!
//! A blob is written to its file, flushed, and then put into the index, so that what the index names is whole. What it does not name is a leftover of a crash and is removed when the space is opened. A
//! file that loses its name is unlinked at once; whoever reads it has it open.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::error::BlobError;
use super::index::{Entry, Index};
use super::usage::{Share, Usage};
use super::{Blob, BlobName, ByteRange, Chunks, Page, Store, Upload, whole};
use crate::backend::stream::StreamError;

/// How much is read from a file at once.
const READ_BYTES: usize = 256 * 1024;
/// How often a blob is looked up again whose file was gone when it was to be opened: each time it was replaced or deleted in that moment.
const LOOKS: usize = 16;

/// The directory of one plugin.
pub(super) struct Directory {
    space: Arc<Space>,
    usage: Arc<Usage>,
}

struct Space {
    index: Index,
    /// The folder of the files.
    bytes: PathBuf,
    /// Released when it is closed, by the system if need be.
    _lock: File,
}

impl Directory {
    /// Opens the space of `plugin` on `site` below `root`, and removes what a crash left in it.
    ///
    /// # Errors
    ///
    /// [`BlobError::Unavailable`] when another process has it open, and those of the file system.
    pub(super) async fn open(root: &Path, site: &str, plugin: &str) -> Result<Directory, BlobError> {
        let (root, folder) = (root.to_owned(), root.join(site).join(plugin));
        let (space, total) = blocking(move || Space::open(&root, &folder)).await?;
        let usage = Arc::new(Usage::default());
        usage.counted(total);
        Ok(Directory { space: Arc::new(space), usage })
    }

    async fn on_index<T: Send + 'static>(&self, ask: impl FnOnce(&Index) -> rusqlite::Result<T> + Send + 'static) -> Result<T, BlobError> {
        let space = Arc::clone(&self.space);
        blocking(move || ask(&space.index).map_err(|error| BlobError::of_index(&error))).await
    }
}

impl Space {
    /// The space, and the bytes in it. Blocks.
    fn open(root: &Path, folder: &Path) -> Result<(Space, u64), BlobError> {
        let bytes = folder.join("bytes");
        let failed = |doing| move |error: io::Error| BlobError::of_io(doing, &error);
        // What plugins keep is nobody else's on this machine.
        DirBuilder::new().recursive(true).mode(0o700).create(&bytes).map_err(failed("make the directory of the space"))?;
        let lock = File::create(folder.join("lock")).map_err(failed("make the lock of the space"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BlobError::Unavailable("another process has the space open".to_owned())),
            Err(TryLockError::Error(error)) => return Err(BlobError::of_io("lock the space", &error)),
        }
        let index = Index::open(&folder.join("index.sqlite")).map_err(|error| BlobError::of_index(&error))?;
        sweep(&index, &bytes)?;
        // The entries of new folders are in the ones above.
        for folder in folder.ancestors().take_while(|above| above.starts_with(root)) {
            flush_folder(folder).map_err(failed("flush the directory of the space"))?;
        }
        if let Some(above) = root.parent() {
            // It may be anybody's, and not for us to open.
            let _ = flush_folder(above);
        }
        let total = index.total().map_err(|error| BlobError::of_index(&error))?;
        Ok((Space { index, bytes, _lock: lock }, total))
    }
}

/// Removes the files that no blob has. Blocks.
fn sweep(index: &Index, bytes: &Path) -> Result<(), BlobError> {
    let failed = |error: io::Error| BlobError::of_io("look for leftovers", &error);
    let mut removed = 0_u64;
    for file in std::fs::read_dir(bytes).map_err(failed)? {
        let file = file.map_err(failed)?;
        let named = file.file_name().to_str().map_or(Ok(false), |name| index.names(name));
        if !named.map_err(|error| BlobError::of_index(&error))? {
            remove(&file.path());
            removed += 1;
        }
    }
    if removed > 0 {
        tracing::info!(folder = %bytes.display(), removed, "removed blobs that were being written when the host ended");
    }
    Ok(())
}

#[async_trait]
impl Store for Directory {
    fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    async fn begin(&self, _name: &BlobName) -> Result<Box<dyn Upload>, BlobError> {
        let file = format!("{:032x}", fastrand::u128(..));
        let path = self.space.bytes.join(&file);
        let unfinished = Unfinished(path.clone());
        let create = move || File::options().write(true).create_new(true).mode(0o600).open(path);
        let open = blocking(move || create().map_err(|error| BlobError::of_io("make the file of a blob", &error))).await?;
        Ok(Box::new(FileUpload { space: Arc::clone(&self.space), file, open: Some(open), unfinished }))
    }

    async fn read(&self, name: &BlobName, range: Option<ByteRange>) -> Result<Chunks, BlobError> {
        let (space, name) = (Arc::clone(&self.space), name.clone());
        let (file, length) = blocking(move || space.open_blob(&name, range)).await?;
        let chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(length), READ_BYTES);
        let chunks = chunks.map(|chunk| chunk.map_err(|error| StreamError::Cut(error.to_string())));
        Ok(whole(chunks, length))
    }

    async fn stat(&self, names: Vec<BlobName>) -> Vec<Result<Blob, BlobError>> {
        let count = names.len();
        let entries = self.on_index(move |index| names.iter().map(|name| index.entry(name)).collect::<rusqlite::Result<Vec<_>>>()).await;
        match entries {
            Ok(entries) => entries.into_iter().map(|entry| entry.map(|entry| entry.blob).ok_or(BlobError::NotFound)).collect(),
            Err(error) => vec![Err(error); count],
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, BlobError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.on_index(move |index| index.list(&prefix, after.as_deref(), limit)).await
    }

    async fn delete(&self, names: Vec<BlobName>) -> Result<u64, BlobError> {
        let (space, usage) = (Arc::clone(&self.space), Arc::clone(&self.usage));
        blocking(move || {
            let deleted = space.index.delete(&names).map_err(|error| BlobError::of_index(&error))?;
            for blob in &deleted {
                remove(&space.bytes.join(&blob.file));
                usage.deleted(blob.size);
            }
            Ok(deleted.len() as u64)
        })
        .await
    }
}

impl Space {
    /// The file of `name`, at the beginning of `range`, and how many bytes to read. Blocks.
    fn open_blob(&self, name: &BlobName, range: Option<ByteRange>) -> Result<(File, u64), BlobError> {
        for _ in 0..LOOKS {
            let entry = self.index.entry(name).map_err(|error| BlobError::of_index(&error))?.ok_or(BlobError::NotFound)?;
            let (first, length) = ByteRange::within(range, entry.blob.size)?;
            match File::open(self.bytes.join(&entry.file)) {
                Ok(mut file) => {
                    file.seek(SeekFrom::Start(first)).map_err(|error| BlobError::of_io("read the file of a blob", &error))?;
                    return Ok((file, length));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(BlobError::of_io("open the file of a blob", &error)),
            }
        }
        Err(BlobError::Internal("the file of the blob is missing".to_owned()))
    }
}

/// A blob that is being written to its file.
struct FileUpload {
    space: Arc<Space>,
    /// The file's name.
    file: String,
    /// None while a block is written, and for ever when that failed or nobody waited for its end.
    open: Option<File>,
    unfinished: Unfinished,
}

#[async_trait]
impl Upload for FileUpload {
    async fn append(&mut self, block: Bytes) -> Result<(), BlobError> {
        let mut file = self.open.take().ok_or(BlobError::Finished)?;
        let written = blocking(move || match file.write_all(&block) {
            Ok(()) => Ok(file),
            Err(error) => Err(BlobError::of_io("write a blob", &error)),
        });
        self.open = Some(written.await?);
        Ok(())
    }

    async fn finish(self: Box<Self>, blob: &Blob, share: Share) -> Result<(), BlobError> {
        let FileUpload { space, file, open, unfinished } = *self;
        let open = open.ok_or(BlobError::Finished)?;
        let entry = Entry { blob: blob.clone(), file };
        // In one piece: when the caller goes away in the middle of it, it is carried to its end all the same.
        blocking(move || {
            let flushed = open.sync_all().and_then(|()| flush_folder(&space.bytes));
            flushed.map_err(|error| BlobError::of_io("flush a blob", &error))?;
            let replaced = space.index.put(&entry).map_err(|error| BlobError::of_index(&error))?;
            unfinished.keep();
            share.stored(replaced.as_ref().map_or(0, |replaced| replaced.size));
            if let Some(replaced) = replaced {
                remove(&space.bytes.join(&replaced.file));
            }
            Ok(())
        })
        .await
    }
}

/// The file of a blob that is not in the index yet. Dropping it removes the file.
struct Unfinished(PathBuf);

impl Unfinished {
    fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.0);
        if path.as_os_str().is_empty() {
            return;
        }
        // A large file takes its time. Where no runtime is left nobody is waiting.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove(&path))),
            Err(_) => remove(&path),
        }
    }
}

/// Removes the file at `path`. One that cannot be removed now is a leftover, and is when the space is next opened. Blocks.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "failed to remove the file of a blob");
    }
}

/// Puts the entries of `folder` on the disk. Blocks.
fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Runs `work` where blocking harms nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, BlobError> + Send + 'static) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| BlobError::Internal(error.to_string()))?
}
