//! What a host that was killed has left at S3: parts of blobs that were never put together, and digests of blobs that never became visible or have been replaced.
//!
//! Nobody sees either, but the operator on the bill. Another host that shares the bucket may be in the middle of writing, so that only what is older than [`AGE`] is taken for left.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::ObjectStoreExt as _;
use object_store::multipart::MultipartStore;
use serde::Deserialize;

use super::object::Mark;
use super::{Space, failed};
use crate::backend::blobs::{BlobError, BlobName, MAX_PAGE};

/// After which time nobody is still writing a blob: twice the longest that an operation can be allowed to take.
pub(super) const AGE: Duration = Duration::from_secs(48 * 3600);

/// The answer to `GET /bucket?uploads`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default, rename = "Upload")]
    uploads: Vec<Unfinished>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Unfinished {
    key: String,
    upload_id: String,
    initiated: DateTime<Utc>,
}

impl Space {
    /// Removes what is older than `age`. What fails stays for the next time.
    pub(super) async fn remove_leftovers(&self, age: Duration) {
        let before = Utc::now() - age;
        let uploads = self.give_up_uploads(before).await.unwrap_or_else(|reason| {
            tracing::warn!(reason, folder = self.folder, "blobs: failed to look for unfinished uploads at S3");
            0
        });
        let digests = self.remove_digests(before).await.unwrap_or_else(|error| {
            tracing::warn!(%error, folder = self.folder, "blobs: failed to look for digests without a blob at S3");
            0
        });
        if uploads + digests > 0 {
            tracing::info!(folder = self.folder, uploads, digests, "removed what was left of blobs at S3");
        }
    }

    async fn give_up_uploads(&self, before: DateTime<Utc>) -> Result<u64, String> {
        let (mut given_up, mut key_marker, mut upload_marker) = (0, String::new(), String::new());
        loop {
            let mut query = vec![("prefix", self.folder.as_str()), ("uploads", "")];
            if !key_marker.is_empty() {
                query.extend([("key-marker", key_marker.as_str()), ("upload-id-marker", upload_marker.as_str())]);
            }
            let credential = self.bucket.store.credentials().get_credential().await.map_err(|error| error.to_string())?;
            let answer = self.bucket.requests.get(&query, &credential).await?;
            let answer = parse(&answer)?;
            // Not all that speak the protocol look at the prefix.
            for upload in answer.uploads.into_iter().filter(|upload| upload.key.starts_with(&self.folder) && upload.initiated < before) {
                let key = super::key(&upload.key).map_err(|error| error.to_string())?;
                match self.bucket.store.abort_multipart(&key, &upload.upload_id).await {
                    Ok(()) => given_up += 1,
                    Err(error) => {
                        let _in_the_log = failed("give up a blob", &error);
                    }
                }
            }
            if !answer.is_truncated || answer.next_key_marker.is_empty() {
                return Ok(given_up);
            }
            (key_marker, upload_marker) = (answer.next_key_marker, answer.next_upload_id_marker);
        }
    }

    async fn remove_digests(&self, before: DateTime<Utc>) -> Result<u64, BlobError> {
        let (mut removed, mut token) = (0, None);
        loop {
            let listed = self.list(&self.digests(), None, token, MAX_PAGE).await?;
            for object in listed.result.objects.iter().filter(|object| object.last_modified < before) {
                let Some(id) = object.location.as_ref().strip_prefix(self.digests().as_str()) else { continue };
                if self.is_wanted(id).await? {
                    continue;
                }
                self.bucket.store.delete(&object.location).await.map_err(|error| failed("delete a digest", &error))?;
                removed += 1;
            }
            token = listed.page_token;
            if token.is_none() {
                return Ok(removed);
            }
        }
    }

    /// Whether a blob has this id. What cannot be read is left alone.
    async fn is_wanted(&self, id: &str) -> Result<bool, BlobError> {
        let description = match self.description(id).await {
            Ok(description) => description,
            Err(BlobError::NotFound | BlobError::Internal(_)) => return Ok(true),
            Err(error) => return Err(error),
        };
        let Ok(name) = BlobName::parse(&description.name) else { return Ok(true) };
        match self.object(&name).await {
            Ok(object) => Ok(object.mark == Mark::InParts { id: id.to_owned() }),
            Err(BlobError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn parse(answer: &Bytes) -> Result<Uploads, String> {
    let text = std::str::from_utf8(answer).map_err(|error| error.to_string())?;
    quick_xml::de::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_uploads_are_read_with_and_without_more_to_come() {
        let answer = Bytes::from_static(
            br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket><KeyMarker/><UploadIdMarker/>
            <NextKeyMarker>p/blobs/y</NextKeyMarker><NextUploadIdMarker>U2</NextUploadIdMarker><MaxUploads>2</MaxUploads><IsTruncated>true</IsTruncated>
            <Upload><Key>p/blobs/x &amp; y</Key><UploadId>U1</UploadId><Initiator><ID>1</ID></Initiator><Initiated>2026-11-10T20:48:33.000Z</Initiated></Upload>
            <Upload><Key>p/blobs/y</Key><UploadId>U2</UploadId><Initiated>2026-11-10T20:48:34Z</Initiated></Upload></ListMultipartUploadsResult>"#,
        );
        let uploads = parse(&answer).unwrap();
        let keys: Vec<&str> = uploads.uploads.iter().map(|upload| upload.key.as_str()).collect();
        assert_eq!(keys, ["p/blobs/x & y", "p/blobs/y"]);
        assert!(uploads.is_truncated && uploads.uploads[0].initiated < uploads.uploads[1].initiated);
        assert_eq!((uploads.next_key_marker.as_str(), uploads.next_upload_id_marker.as_str()), ("p/blobs/y", "U2"));
        let empty =
            parse(&Bytes::from_static(b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"));
        assert!(empty.is_ok_and(|uploads| uploads.uploads.is_empty() && !uploads.is_truncated));
        assert!(parse(&Bytes::from_static(b"not found")).is_err());
    }
}
