//! Bytes that cross between a plugin and its host over time.
//!
//! Both types are handles of the host. On a native target they stand for what the fake host keeps in memory.

use std::mem::ManuallyDrop;

use crate::error::Error;
use crate::response::Response;

#[cfg(target_family = "wasm")]
mod handle {
    pub(crate) use crate::bindings::wharf::http::outgoing::BodyWriter;
    pub(crate) use crate::bindings::wharf::http::types::ByteStream;
}
#[cfg(not(target_family = "wasm"))]
mod handle {
    pub(crate) use crate::fake::stream::{BodyWriter, ByteStream};
}

/// Bytes that the host has: a request's body, a container's log.
///
/// Answer it with [`Response::stream`] without reading it, and the host sends it by itself, whatever its size, while the plugin serves the next request.
#[derive(Debug)]
pub struct ByteStream(pub(crate) handle::ByteStream);

impl ByteStream {
    /// Reads what is there, at most `max` bytes and at most 1 MiB; waits until at least one byte is. None is the end.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a `max` of zero; [`Error::Unavailable`] or [`Error::Timeout`] when the other side went away, and [`Error::QuotaExceeded`] for a
    /// request's body over the plugin's limit. After an error the stream is over and answers [`Error::NotFound`].
    pub fn read(&mut self, max: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.read(max)?)
    }

    /// Reads to the end and holds all of it in memory. For what is known to be small.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::read`].
    pub fn read_to_end(mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.read(64 * 1024)? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// For what reads from a reader. An error of the stream is the source of the reader's.
impl std::io::Read for ByteStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let max = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let chunk = ByteStream::read(self, max).map_err(std::io::Error::other)?.unwrap_or_default();
        let place = buffer.get_mut(..chunk.len()).ok_or_else(|| std::io::Error::other("the host answered more than was asked for"))?;
        place.copy_from_slice(&chunk);
        Ok(chunk.len())
    }
}

/// Where the body of a response goes that was begun with [`Response::start`].
///
/// Only [`BodyWriter::finish`] ends the body. A writer that is dropped, because its handler failed, leaves it open, so that the client can tell a body that was cut
/// off from a whole one.
#[derive(Debug)]
pub struct BodyWriter(pub(crate) ManuallyDrop<handle::BodyWriter>);

impl BodyWriter {
    /// Sends `chunk`, waiting while the client is slower than the plugin. An empty chunk sends nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the client went away; nothing can be sent any more then.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        Ok(self.0.write(chunk)?)
    }

    /// Ends the body. The result is what the handler answers.
    pub fn finish(self) -> Response {
        drop(ManuallyDrop::into_inner(self.0));
        Response::started()
    }
}

impl std::io::Write for BodyWriter {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        BodyWriter::write(self, chunk).map_err(std::io::Error::other)?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(chunks: impl IntoIterator<Item = Result<Vec<u8>, Error>>) -> ByteStream {
        ByteStream(handle::ByteStream::new(chunks))
    }

    #[test]
    fn a_stream_is_a_reader() {
        let chunks = ["[1, ", "2", "", "3]"].map(|chunk| Ok(chunk.as_bytes().to_vec()));
        let numbers: Vec<u8> = serde_json::from_reader(stream(chunks)).unwrap();
        assert_eq!(numbers, [1, 23]);
        let error = std::io::Read::read(&mut stream([Err(Error::Timeout)]), &mut [0]).unwrap_err();
        assert_eq!(error.into_inner().unwrap().downcast_ref(), Some(&Error::Timeout));
    }
}
