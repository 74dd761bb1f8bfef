//! One plugin's blobs at S3: reading, listing, deleting, and how full the space is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _};

use super::object::{Mark, Object, recognise};
use super::upload::PartsUpload;
use super::{CONCURRENT_QUESTIONS, COUNT_AGE, READ_IDLE, S3Space, Space, failed, failed_at_bucket};
use crate::backend::blobs::usage::Usage;
use crate::backend::blobs::{Blob, BlobError, BlobName, ByteRange, Chunks, MAX_PAGE, Page, Store, Upload, whole};
use crate::backend::stream::StreamError;

/// How often leftovers are looked for. They come from crashes, and cost only space.
const LEFTOVERS_AGE: Duration = Duration::from_secs(24 * 3600);
/// How often a blob is opened again that was replaced between the look at it and its opening.
const LOOKS: usize = 16;

#[async_trait]
impl Store for S3Space {
    fn usage(&self) -> &Arc<Usage> {
        &self.0.usage
    }

    async fn begin(&self, name: &BlobName) -> Result<Box<dyn Upload>, BlobError> {
        self.0.count().await?;
        Ok(Box::new(PartsUpload::new(Arc::clone(&self.0), name.clone())?))
    }

    async fn read(&self, name: &BlobName, range: Option<ByteRange>) -> Result<Chunks, BlobError> {
        let key = self.0.key_of(name)?;
        for _ in 0..LOOKS {
            // Only the size says which bytes a range is; then that object is wanted and no other.
            let (options, length) = match range {
                None => (GetOptions::default(), None),
                Some(_) => {
                    let Object { size, etag, .. } = self.0.object(name).await?;
                    let (first, length) = ByteRange::within(range, size)?;
                    if length == 0 {
                        return Ok(stream::empty().boxed());
                    }
                    let range = Some(GetRange::Bounded(first..first + length));
                    (GetOptions { range, if_match: etag, ..GetOptions::default() }, Some(length))
                }
            };
            let answer = match self.0.bucket.store.get_opts(&key, options).await {
                Err(object_store::Error::Precondition { .. }) => continue,
                answer => answer.map_err(|error| failed("read a blob", &error))?,
            };
            let size = recognise(&answer).ok_or(BlobError::NotFound)?.size;
            let chunks = chunks(answer.into_stream());
            return Ok(whole(chunks, length.unwrap_or(size)));
        }
        Err(BlobError::Unavailable("the blob is replaced all the time".to_owned()))
    }

    async fn stat(&self, names: Vec<BlobName>) -> Vec<Result<Blob, BlobError>> {
        stream::iter(names.into_iter().map(|name| self.0.blob(name))).buffered(CONCURRENT_QUESTIONS).collect().await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, BlobError> {
        let folder = self.0.blobs();
        let offset = after.map(|after| format!("{folder}{after}"));
        let listed = self.0.list(&format!("{folder}{prefix}"), offset, None, limit).await?;
        let keys = listed.result.objects.iter().map(|object| object.location.as_ref());
        let names: Vec<&str> = keys.filter_map(|key| key.strip_prefix(folder.as_str())).collect();
        let cursor = names.last().filter(|_| listed.page_token.is_some()).map(|&name| name.to_owned());
        let names = names.into_iter().filter_map(|name| BlobName::parse(name).ok()).collect();
        let mut blobs = Vec::new();
        for blob in self.stat(names).await {
            match blob {
                Ok(blob) => blobs.push(blob),
                // Deleted since it was listed, or no blob.
                Err(BlobError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Page { blobs, cursor })
    }

    async fn delete(&self, names: Vec<BlobName>) -> Result<u64, BlobError> {
        let names: BTreeSet<BlobName> = names.into_iter().collect();
        let deletions = names.into_iter().map(|name| async move {
            let object = match self.0.object(&name).await {
                Ok(object) => object,
                Err(BlobError::NotFound) => return Ok(0),
                Err(error) => return Err(error),
            };
            let deleted = self.0.bucket.store.delete(&self.0.key_of(&name)?).await;
            deleted.map_err(|error| failed_at_bucket("delete a blob", &error))?;
            self.0.usage.deleted(object.size);
            self.0.forget(&object).await;
            Ok(1)
        });
        let deleted: Vec<Result<u64, BlobError>> = stream::iter(deletions).buffered(CONCURRENT_QUESTIONS).collect().await;
        deleted.into_iter().sum()
    }
}

impl Space {
    /// Takes away what is known of `object`, which is replaced or deleted. What fails is a leftover.
    pub(super) async fn forget(&self, object: &Object) {
        let Mark::InParts { id } = &object.mark else { return };
        let Ok(key) = self.key_of_digest(id) else { return };
        if let Err(error) = self.bucket.store.delete(&key).await {
            let _in_the_log = failed("delete a digest", &error);
        }
    }

    /// Counts the space if that is due, and has somebody look for leftovers if that is. One at a time: others wait.
    async fn count(self: &Arc<Self>) -> Result<(), BlobError> {
        let due = |last: Option<Instant>, age| last.is_none_or(|last| last.elapsed() > age);
        let mut counted = self.counted.lock().await;
        if due(counted.bytes, COUNT_AGE) {
            let (mut total, mut token) = (0, None);
            loop {
                let listed = self.list(&self.blobs(), None, token, MAX_PAGE).await?;
                total += listed.result.objects.iter().map(|object| object.size).sum::<u64>();
                token = listed.page_token;
                if token.is_none() {
                    break;
                }
            }
            self.usage.counted(total);
            counted.bytes = Some(Instant::now());
        }
        if due(counted.leftovers, LEFTOVERS_AGE) {
            counted.leftovers = Some(Instant::now());
            let space = Arc::clone(self);
            self.bucket.run(async move { space.remove_leftovers(super::leftovers::AGE).await });
        }
        Ok(())
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        offset: Option<String>,
        page_token: Option<String>,
        limit: usize,
    ) -> Result<PaginatedListResult, BlobError> {
        let options = PaginatedListOptions { offset, page_token, max_keys: Some(limit), ..PaginatedListOptions::default() };
        let listed = self.bucket.store.list_paginated(Some(prefix), options).await;
        listed.map_err(|error| failed_at_bucket("list blobs", &error))
    }
}

/// What arrives of `answer`, none of which is waited for without end.
fn chunks(
    answer: impl Stream<Item = object_store::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static {
    stream::unfold(answer.boxed(), |mut answer| async move {
        let chunk = match tokio::time::timeout(READ_IDLE, answer.next()).await {
            Ok(chunk) => chunk?.map_err(|error| {
                let _in_the_log = failed("read on in a blob", &error);
                StreamError::Cut("S3 did not answer as it should".to_owned())
            }),
            Err(_elapsed) => Err(StreamError::Timeout),
        };
        Some((chunk, answer))
    })
}
