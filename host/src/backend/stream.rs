//! Bytes that cross between a plugin, a backend and a client over time.
//!
//! These are the host's side of the resources in `wit/http`: a room makes a [`ByteStream`] and puts it into the call's
//! resource table; the plugin reads it, or answers it unread, and then the host sends it without the plugin.
//!
//! The types are `pub` because the generated bindings name them; nothing outside this crate can reach them.

#![expect(unreachable_pub, reason = "the bindings name these types in public traits")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

/// The most that one read answers, whatever the plugin asks for: it is copied into the plugin's memory at once.
pub(crate) const MAX_READ_BYTES: usize = 1024 * 1024;

/// How long a plugin waits for a client that takes nothing of what it writes. The connection's own limit is shorter as a rule; this one holds for every transport.
const WRITE_IDLE: Duration = Duration::from_secs(120);

/// Why a stream ended before its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StreamError {
    /// The side that sends went away.
    #[error("the stream was cut short: {0}")]
    Cut(String),
    /// Nothing arrived for as long as the maker of the stream waits.
    #[error("nothing arrived in time")]
    Timeout,
    /// More arrived than may be read.
    #[error("the stream is longer than {limit_bytes} bytes")]
    TooLong {
        /// How much may be read.
        limit_bytes: u64,
    },
    /// The stream has failed before.
    #[error("the stream is over")]
    Over,
}

/// A stream that the host made: a request's body, a container's log.
pub struct ByteStream {
    source: BoxStream<'static, Result<Bytes, StreamError>>,
    /// What arrived and was not read yet, because a read asked for less than a chunk.
    rest: Bytes,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Ended,
    Failed,
}

impl ByteStream {
    /// A stream of what `source` yields. After its first error `source` is not polled again.
    pub(crate) fn new(source: impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static) -> ByteStream {
        ByteStream { source: source.boxed(), rest: Bytes::new(), state: State::Open }
    }

    /// The next bytes, at most `max` and at most [`MAX_READ_BYTES`]; none at the end. Waits for at least one.
    ///
    /// # Errors
    ///
    /// What the source failed with, and [`StreamError::Over`] for every read after that.
    pub(crate) async fn read(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        while self.rest.is_empty() {
            match self.state {
                State::Ended => return Ok(None),
                State::Failed => return Err(StreamError::Over),
                State::Open => {}
            }
            match self.source.next().await {
                Some(Ok(chunk)) => self.rest = chunk,
                Some(Err(error)) => {
                    self.state = State::Failed;
                    return Err(error);
                }
                None => self.state = State::Ended,
            }
        }
        let size = self.rest.len().min(max).min(MAX_READ_BYTES);
        Ok(Some(self.rest.split_to(size)))
    }

    /// What was not read yet, for the host to send by itself.
    pub(crate) fn into_rest(self) -> impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static {
        let first = (!self.rest.is_empty()).then_some(Ok(self.rest));
        let after = (self.state == State::Open).then_some(self.source);
        futures_util::stream::iter(first).chain(futures_util::stream::iter(after).flatten())
    }
}

/// The plugin's end of a response that it writes while it works.
pub struct BodyWriter(mpsc::Sender<Bytes>);

impl BodyWriter {
    /// A writer and what the client will receive of it. `chunks` is how many may wait for a slow client.
    pub(crate) fn new(chunks: usize) -> (BodyWriter, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(chunks);
        (BodyWriter(sender), receiver)
    }

    /// Sends `chunk`, waiting for room. An empty chunk sends nothing.
    ///
    /// # Errors
    ///
    /// [`StreamError::Cut`] when the client went away; [`StreamError::Timeout`] when it has taken nothing for two minutes.
    pub(crate) async fn write(&self, chunk: Bytes) -> Result<(), StreamError> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.0.send_timeout(chunk, WRITE_IDLE).await.map_err(|error| match error {
            SendTimeoutError::Closed(_) => StreamError::Cut("the client went away".to_owned()),
            SendTimeoutError::Timeout(_) => StreamError::Timeout,
        })
    }
}

/// A connection in both directions. No capability makes one yet, so there is no value of this type.
pub enum Duplex {}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(items: Vec<Result<&'static str, StreamError>>) -> ByteStream {
        ByteStream::new(futures_util::stream::iter(items.into_iter().map(|item| item.map(Bytes::from))))
    }

    #[tokio::test]
    async fn a_read_takes_no_more_than_it_asks_for() {
        let mut stream = stream(vec![Ok("hello"), Ok(""), Ok("!")]);
        let mut seen = Vec::new();
        while let Some(chunk) = stream.read(2).await.unwrap() {
            seen.push(String::from_utf8(chunk.to_vec()).unwrap());
        }
        assert_eq!(seen, ["he", "ll", "o", "!"]);
        assert!(stream.read(2).await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_does_not_wait_for_ever_for_a_client_that_takes_nothing() {
        let (writer, mut client) = BodyWriter::new(1);
        writer.write(Bytes::from_static(b"taken")).await.unwrap();
        assert!(matches!(writer.write(Bytes::from_static(b"waits")).await, Err(StreamError::Timeout)));
        assert_eq!(client.recv().await.unwrap(), "taken");
        drop(client);
        assert!(matches!(writer.write(Bytes::from_static(b"lost")).await, Err(StreamError::Cut(_))));
        writer.write(Bytes::new()).await.unwrap();
    }

    #[tokio::test]
    async fn after_an_error_a_stream_is_over() {
        let mut stream = stream(vec![Ok("a"), Err(StreamError::Timeout), Ok("b")]);
        assert_eq!(stream.read(9).await.unwrap().unwrap(), "a");
        assert!(matches!(stream.read(9).await, Err(StreamError::Timeout)));
        assert!(matches!(stream.read(9).await, Err(StreamError::Over)));
    }

    #[tokio::test]
    async fn the_rest_begins_where_reading_stopped() {
        let mut stream = stream(vec![Ok("hello"), Ok(" there")]);
        stream.read(1).await.unwrap();
        let rest: Vec<_> = stream.into_rest().map(|chunk| chunk.unwrap()).collect().await;
        assert_eq!(rest.concat(), b"ello there");
    }
}
