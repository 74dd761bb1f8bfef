//! A blob on its way into a store: gathered into blocks, counted against the quota, hashed.
//!
//! The two stores see blocks of one size, whatever pieces a plugin or a client sends: a plugin that writes line by line costs no system call for each, and no part of S3 is too small. At most one block is held
//! here. Whoever writes waits until the store has taken it, so that a slow store slows the client down.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::error::BlobError;
use super::name::BlobName;
use super::usage::Share;
use super::{Blob, BlobDigest, Store, Upload};
use crate::backend::clock::now_ms;
use crate::backend::stream::{ByteStream, MAX_READ_BYTES, StreamError};

/// The size of a block, and the most that a plugin may write at once.
pub(crate) const BLOCK_BYTES: usize = 1024 * 1024;

/// A blob that is being written. Dropping it leaves nothing.
#[expect(unreachable_pub, reason = "the bindings name this type in public traits")]
pub struct BlobWriter {
    name: BlobName,
    /// What the space may hold.
    limit_bytes: u64,
    /// None when it is stored, or has failed.
    open: Option<Open>,
}

struct Open {
    _permit: OwnedSemaphorePermit,
    upload: Box<dyn Upload>,
    share: Share,
    /// What does not fill a block yet.
    block: BytesMut,
    hash: Sha256,
    size: u64,
}

impl BlobWriter {
    /// Begins to write `name` into `store`, which may hold `limit_bytes`. `permit` is given back with the writer.
    pub(super) async fn begin(
        store: &Arc<dyn Store>,
        name: BlobName,
        limit_bytes: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<BlobWriter, BlobError> {
        let (upload, share) = (store.begin(&name).await?, store.usage().share());
        let open = Open { _permit: permit, upload, share, block: BytesMut::new(), hash: Sha256::new(), size: 0 };
        Ok(BlobWriter { name, limit_bytes, open: Some(open) })
    }

    /// Appends `chunk`, at most [`BLOCK_BYTES`].
    ///
    /// # Errors
    ///
    /// [`BlobError::QuotaExceeded`] and those of the store; the blob is given up then, and every call after that is answered [`BlobError::Finished`].
    pub(crate) async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        if chunk.len() > BLOCK_BYTES {
            return Err(BlobError::Invalid(format!("{} bytes in one call, at most {BLOCK_BYTES}", chunk.len())));
        }
        let mut open = self.open.take().ok_or(BlobError::Finished)?;
        open.write(chunk, self.limit_bytes).await?;
        self.open = Some(open);
        Ok(())
    }

    /// Stores the blob in the place of one of its name.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub(crate) async fn finish(&mut self) -> Result<Blob, BlobError> {
        let mut open = self.open.take().ok_or(BlobError::Finished)?;
        if !open.block.is_empty() {
            open.pass_block_on().await?;
        }
        let digest = BlobDigest(open.hash.finalize().into());
        let blob = Blob { name: self.name.clone(), size: open.size, digest, stored_ms: now_ms() };
        open.upload.finish(&blob, open.share).await?;
        Ok(blob)
    }

    /// Appends all of `content`.
    ///
    /// # Errors
    ///
    /// As [`Self::write`]; [`BlobError::Unavailable`] when `content` breaks off.
    pub(super) async fn pump(&mut self, mut content: ByteStream) -> Result<(), BlobError> {
        while let Some(chunk) = content.read(MAX_READ_BYTES).await.map_err(broken_off)? {
            self.write(chunk).await?;
        }
        Ok(())
    }
}

impl Open {
    async fn write(&mut self, mut chunk: Bytes, limit_bytes: u64) -> Result<(), BlobError> {
        self.share.grow(chunk.len() as u64, limit_bytes)?;
        self.size += chunk.len() as u64;
        while !chunk.is_empty() {
            let fits = chunk.len().min(BLOCK_BYTES - self.block.len());
            self.block.extend_from_slice(&chunk.split_to(fits));
            if self.block.len() == BLOCK_BYTES {
                self.pass_block_on().await?;
            }
        }
        Ok(())
    }

    async fn pass_block_on(&mut self) -> Result<(), BlobError> {
        let block = self.block.split().freeze();
        let mut hash = self.hash.clone();
        let hashed = block.clone();
        // A block takes milliseconds, which a thread that serves others does not have.
        let hashed = tokio::task::spawn_blocking(move || {
            hash.update(&hashed);
            hash
        });
        self.hash = hashed.await.map_err(|error| BlobError::Internal(error.to_string()))?;
        self.upload.append(block).await
    }
}

fn broken_off(error: StreamError) -> BlobError {
    BlobError::Unavailable(format!("what was to be stored broke off: {error}"))
}
