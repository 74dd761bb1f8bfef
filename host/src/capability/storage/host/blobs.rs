//! Blobs. The names that a plugin gives are checked here, and nothing behind takes any other.
//!
//! What a writer is handed piece by piece counts no host calls, as what is written into a response does not: the quota bounds it, and the request's deadline.

use wasmtime::component::Resource;

use super::super::error::Failure;
use super::super::grant::Power;
use super::super::{MAX_BLOBS, StorageCtxView};
use crate::backend::blobs::{self as backend, BlobError, BlobName, BlobSpace, BlobWriter, ByteRange};
use crate::backend::stream::ByteStream;
use crate::bindings::wharf::storage::blobs::{self, Blob, Page, Range};
use crate::bindings::wharf::storage::types::Error;

impl StorageCtxView<'_> {
    /// Counts the call, checks that its power was granted, and answers the plugin's blobs.
    fn blobs(&mut self, function: &'static str) -> Result<BlobSpace, Failure> {
        self.enter(function, Power::Blobs)?;
        self.room.blobs.clone().ok_or_else(|| Failure::Internal("the plugin has no space".to_owned()))
    }

    /// As [`Self::blobs`], for a call that names many.
    fn many_blobs(&mut self, function: &'static str, names: usize) -> Result<BlobSpace, Failure> {
        let space = self.blobs(function)?;
        if names > MAX_BLOBS {
            return Err(Failure::Invalid(format!("{names} blobs in one call, at most {MAX_BLOBS}")));
        }
        Ok(space)
    }
}

impl blobs::Host for StorageCtxView<'_> {
    async fn write(&mut self, name: String) -> Result<Resource<BlobWriter>, Error> {
        const FUNCTION: &str = "storage.blobs.write";
        let begun = async {
            let space = self.blobs(FUNCTION)?;
            let writer = space.write(parse(&name)?).await?;
            Ok(self.table.push(writer)?)
        };
        let begun: Result<_, Failure> = begun.await;
        begun.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn store(&mut self, name: String, content: Resource<ByteStream>) -> Result<Blob, Error> {
        const FUNCTION: &str = "storage.blobs.store";
        let content = self.table.delete(content);
        let stored = async {
            let space = self.blobs(FUNCTION)?;
            let (name, content) = (parse(&name)?, content?);
            // Not carried through when the request is gone: then the client is, and with it the rest of what it was sending.
            let _paused = self.call.clock.pause();
            let stored = tokio::time::timeout(self.call.operation_deadline, space.store_all(name, content)).await;
            Ok(stored.map_err(|_elapsed| BlobError::Timeout)??)
        };
        let stored: Result<_, Failure> = stored.await;
        stored.map(blob).map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn read(&mut self, name: String, range: Option<Range>) -> Result<Resource<ByteStream>, Error> {
        const FUNCTION: &str = "storage.blobs.read";
        let opened = async {
            let space = self.blobs(FUNCTION)?;
            let range = range.map(|Range { first, length }| ByteRange { first, length });
            let stream = space.read(&parse(&name)?, range).await?;
            Ok(self.table.push(stream)?)
        };
        let opened: Result<_, Failure> = opened.await;
        opened.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn stat(&mut self, names: Vec<String>) -> Vec<Result<Blob, Error>> {
        const FUNCTION: &str = "storage.blobs.stat";
        let space = match self.many_blobs(FUNCTION, names.len()) {
            Ok(space) => space,
            Err(failure) => {
                let error = failure.answer(self.call, FUNCTION);
                return names.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let names: Vec<Result<BlobName, Failure>> = names.iter().map(|name| parse(name)).collect();
        let asked = names.iter().filter_map(|name| name.as_ref().ok().cloned()).collect();
        let mut answers = space.stat(asked).await.into_iter();
        let answers = names.into_iter().map(|name| match (name, &mut answers) {
            (Err(failure), _) => Err(failure),
            (Ok(_), answers) => answers.next().map_or_else(|| Err(BlobError::NotFound.into()), |answer| answer.map_err(Failure::from)),
        });
        let call = &*self.call;
        answers.map(|answer| answer.map(blob).map_err(|failure| failure.answer(call, FUNCTION))).collect()
    }

    async fn list(&mut self, prefix: String, cursor: Option<String>, limit: u32) -> Result<Page, Error> {
        const FUNCTION: &str = "storage.blobs.list";
        let listed = async {
            let space = self.blobs(FUNCTION)?;
            let backend::Page { blobs, cursor } =
                space.list(&prefix, cursor.as_deref(), usize::try_from(limit).unwrap_or(usize::MAX)).await?;
            Ok(Page { blobs: blobs.into_iter().map(blob).collect(), cursor })
        };
        let listed: Result<_, Failure> = listed.await;
        listed.map_err(|failure| failure.answer(self.call, FUNCTION))
    }

    async fn delete(&mut self, names: Vec<String>) -> Result<u64, Error> {
        const FUNCTION: &str = "storage.blobs.delete";
        let deleted = async {
            let space = self.many_blobs(FUNCTION, names.len())?;
            let names = names.iter().map(|name| parse(name)).collect::<Result<Vec<_>, Failure>>()?;
            Ok(space.delete(names).await?)
        };
        let deleted: Result<_, Failure> = deleted.await;
        deleted.map_err(|failure| failure.answer(self.call, FUNCTION))
    }
}

impl blobs::HostBlobWriter for StorageCtxView<'_> {
    async fn write(&mut self, writer: Resource<BlobWriter>, chunk: Vec<u8>) -> Result<(), Error> {
        let written = async { Ok(self.table.get_mut(&writer)?.write(chunk.into()).await?) };
        let written: Result<_, Failure> = written.await;
        written.map_err(|failure| failure.answer(self.call, "storage.blobs.blob-writer.write"))
    }

    async fn finish(&mut self, writer: Resource<BlobWriter>) -> Result<Blob, Error> {
        let stored = async { Ok(self.table.get_mut(&writer)?.finish().await?) };
        let stored: Result<_, Failure> = stored.await;
        stored.map(blob).map_err(|failure| failure.answer(self.call, "storage.blobs.blob-writer.finish"))
    }

    async fn drop(&mut self, writer: Resource<BlobWriter>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}

fn parse(name: &str) -> Result<BlobName, Failure> {
    BlobName::parse(name).map_err(Failure::Invalid)
}

fn blob(blob: backend::Blob) -> Blob {
    Blob { name: blob.name.into_string(), size: blob.size, digest: blob.digest.to_string(), stored_ms: blob.stored_ms }
}
