//! What an object says of itself: the metadata that makes it a blob, or the id by which the rest is found.

use object_store::{Attribute, AttributeValue, Attributes, GetOptions, GetResult, ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};

use super::{Space, failed};
use crate::backend::blobs::{Blob, BlobDigest, BlobError, BlobName};

/// The digest of a blob that was sent in one piece: 64 digits.
const SHA256: &str = "wharf-sha256";
/// When it was stored, in milliseconds since 1970.
const STORED_MS: &str = "wharf-stored-ms";
/// The id of one that was sent in parts.
const ID: &str = "wharf-id";
/// The longest description: the longest name, each of its bytes escaped, and what goes with it.
const MAX_DESCRIPTION_BYTES: u64 = 8 * 1024;
/// How often an object is looked at again that was replaced while it was: between two questions, each time.
const LOOKS: usize = 16;

/// An object that is a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) size: u64,
    pub(super) etag: Option<String>,
    pub(super) mark: Mark,
}

/// What its metadata say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// All.
    Whole { digest: BlobDigest, stored_ms: u64 },
    /// Where the rest is.
    InParts { id: String },
}

/// The object under `digests`: JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Description {
    /// Whose it is.
    pub(super) name: String,
    /// 64 digits.
    sha256: String,
    stored_ms: u64,
}

impl Description {
    pub(super) fn of(blob: &Blob) -> Description {
        Description { name: blob.name.as_str().to_owned(), sha256: blob.digest.hex(), stored_ms: blob.stored_ms }
    }
}

/// The metadata of a blob that is sent in one piece.
pub(super) fn whole(blob: &Blob) -> Attributes {
    Attributes::from_iter([(metadata(SHA256), blob.digest.hex()), (metadata(STORED_MS), blob.stored_ms.to_string())])
}

/// The metadata of one that is sent in parts.
pub(super) fn in_parts(id: &str) -> Attributes {
    Attributes::from_iter([(metadata(ID), id.to_owned())])
}

fn metadata(name: &'static str) -> Attribute {
    Attribute::Metadata(name.into())
}

/// The blob that an answer is about; none if it is not one of ours.
pub(super) fn recognise(answer: &GetResult) -> Option<Object> {
    let said = |name| answer.attributes.get(&metadata(name)).map(|value: &AttributeValue| value.as_ref());
    let mark = match (said(ID), said(SHA256), said(STORED_MS)) {
        // It becomes a part of a key.
        (Some(id), ..) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => Mark::InParts { id: id.to_owned() },
        (None, Some(digest), Some(stored_ms)) => Mark::Whole { digest: BlobDigest::parse_hex(digest)?, stored_ms: stored_ms.parse().ok()? },
        _ => return None,
    };
    Some(Object { size: answer.meta.size, etag: answer.meta.e_tag.clone(), mark })
}

impl Space {
    /// The object of `name`.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`] also for one that is no blob, and those of S3.
    pub(super) async fn object(&self, name: &BlobName) -> Result<Object, BlobError> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let answer = self.bucket.store.get_opts(&self.key_of(name)?, options).await;
        recognise(&answer.map_err(|error| failed("look at a blob", &error))?).ok_or(BlobError::NotFound)
    }

    /// All that is known of the blob `name`.
    ///
    /// # Errors
    ///
    /// As [`Self::object`].
    pub(super) async fn blob(&self, name: BlobName) -> Result<Blob, BlobError> {
        for _ in 0..LOOKS {
            let Object { size, mark, .. } = self.object(&name).await?;
            let (digest, stored_ms) = match mark {
                Mark::Whole { digest, stored_ms } => (digest, stored_ms),
                Mark::InParts { id } => match self.description(&id).await {
                    Ok(description) => {
                        let digest = BlobDigest::parse_hex(&description.sha256);
                        (digest.ok_or_else(|| no_description(&id, "no sha256"))?, description.stored_ms)
                    }
                    // Whoever replaced the blob, or deleted it, has taken this away behind it.
                    Err(BlobError::NotFound) => continue,
                    Err(error) => return Err(error),
                },
            };
            return Ok(Blob { name, size, digest, stored_ms });
        }
        Err(BlobError::Internal("the description of the blob is missing".to_owned()))
    }

    /// What is known of the blob with this id.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`] and those of S3.
    pub(super) async fn description(&self, id: &str) -> Result<Description, BlobError> {
        let answer = self.bucket.store.get(&self.key_of_digest(id)?).await.map_err(|error| failed("read a digest", &error))?;
        if answer.meta.size > MAX_DESCRIPTION_BYTES {
            return Err(no_description(id, "too long"));
        }
        let text = answer.bytes().await.map_err(|error| failed("read a digest", &error))?;
        serde_json::from_slice(&text).map_err(|error| no_description(id, &error.to_string()))
    }
}

fn no_description(id: &str, reason: &str) -> BlobError {
    tracing::warn!(id, reason, "blobs: an object under `digests` is none of ours");
    BlobError::Internal("the description of the blob cannot be read".to_owned())
}
