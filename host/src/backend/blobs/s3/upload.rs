//! A blob on its way to S3: in one request if it fits into one part, else in parts.
//!
//! A part is gathered from blocks and sent when the next block arrives, so that the last part is not sent before it is known to be the last. One part is held, and nothing is read while it is sent.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{MultipartId, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload};

use super::object::{Description, Mark, Object, in_parts, whole};
use super::{Bucket, Space, failed_at_bucket};
use crate::backend::blobs::usage::Share;
use crate::backend::blobs::{Blob, BlobError, BlobName, Upload};

/// The size of all parts but the last. S3's least is 5 MiB, and some want all of one size.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// The most parts that S3 takes: 78 GiB.
const MAX_PARTS: usize = 10_000;

/// A blob that is being sent.
pub(super) struct PartsUpload {
    space: Arc<Space>,
    key: Key,
    name: BlobName,
    /// The part that is being gathered.
    blocks: Vec<Bytes>,
    held_bytes: usize,
    /// None as long as all fits into one part.
    parts: Option<Parts>,
}

impl PartsUpload {
    pub(super) fn new(space: Arc<Space>, name: BlobName) -> Result<PartsUpload, BlobError> {
        let key = space.key_of(&name)?;
        Ok(PartsUpload { space, key, name, blocks: Vec::new(), held_bytes: 0, parts: None })
    }

    async fn send_part(&mut self) -> Result<(), BlobError> {
        let payload = self.take_payload();
        let store = &self.space.bucket.store;
        let parts = match &mut self.parts {
            Some(parts) => parts,
            parts => {
                let id = format!("{:032x}", fastrand::u128(..));
                let options = PutMultipartOptions { attributes: in_parts(&id), ..PutMultipartOptions::default() };
                let begun = store.create_multipart_opts(&self.key, options).await;
                let upload = begun.map_err(|error| failed_at_bucket("begin a blob", &error))?;
                let bucket = Arc::clone(&self.space.bucket);
                parts.insert(Parts { bucket, key: self.key.clone(), upload, id, sent: Vec::new(), given_up: true })
            }
        };
        if parts.sent.len() >= MAX_PARTS {
            return Err(BlobError::QuotaExceeded);
        }
        let sent = store.put_part(&self.key, &parts.upload, parts.sent.len(), payload).await;
        parts.sent.push(sent.map_err(|error| failed_at_bucket("write a blob", &error))?);
        Ok(())
    }

    fn take_payload(&mut self) -> PutPayload {
        self.held_bytes = 0;
        std::mem::take(&mut self.blocks).into_iter().collect()
    }

    /// The blob that is at the name now.
    async fn present(&self) -> Result<Option<Object>, BlobError> {
        match self.space.object(&self.name).await {
            Ok(object) => Ok(Some(object)),
            Err(BlobError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Upload for PartsUpload {
    async fn append(&mut self, block: Bytes) -> Result<(), BlobError> {
        if self.held_bytes >= PART_BYTES {
            self.send_part().await?;
        }
        self.held_bytes += block.len();
        self.blocks.push(block);
        Ok(())
    }

    async fn finish(mut self: Box<Self>, blob: &Blob, share: Share) -> Result<(), BlobError> {
        let before = self.present().await?;
        if self.parts.is_some() {
            self.send_part().await?;
        }
        let store = &self.space.bucket.store;
        match self.parts.take() {
            None => {
                let payload = self.take_payload();
                let options = PutOptions { attributes: whole(blob), ..PutOptions::default() };
                let store = &self.space.bucket.store;
                store.put_opts(&self.key, payload, options).await.map_err(|error| failed_at_bucket("write a blob", &error))?;
            }
            Some(mut parts) => {
                let description = serde_json::to_vec(&Description::of(blob)).map_err(|error| BlobError::Internal(error.to_string()))?;
                let written = store.put(&self.space.key_of_digest(&parts.id)?, description.into()).await;
                written.map_err(|error| failed_at_bucket("write a digest", &error))?;
                // From here on it may be there, whatever is answered, and then it needs its description.
                let sent = std::mem::take(&mut parts.sent);
                if let Err(error) = store.complete_multipart(&self.key, &parts.upload, sent).await {
                    let error = failed_at_bucket("finish a blob", &error);
                    let there = self.present().await?.map(|object| object.mark);
                    if there != Some(Mark::InParts { id: parts.id.clone() }) {
                        return Err(error);
                    }
                }
                parts.given_up = false;
            }
        }
        share.stored(before.as_ref().map_or(0, |object| object.size));
        if let Some(before) = before {
            self.space.forget(&before).await;
        }
        Ok(())
    }
}

/// What S3 has of a blob that is sent in parts. Dropping it has S3 forget the parts.
struct Parts {
    bucket: Arc<Bucket>,
    key: Key,
    upload: MultipartId,
    /// The id of the description.
    id: String,
    sent: Vec<PartId>,
    /// Whether nobody wants it any more when this is dropped.
    given_up: bool,
}

impl Drop for Parts {
    fn drop(&mut self) {
        if !self.given_up {
            return;
        }
        let (bucket, key, upload) = (Arc::clone(&self.bucket), self.key.clone(), std::mem::take(&mut self.upload));
        self.bucket.run(async move {
            match bucket.store.abort_multipart(&key, &upload).await {
                // It is gone when its completion was lost on the way back.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    let _in_the_log = failed_at_bucket("give up a blob", &error);
                }
            }
        });
    }
}
