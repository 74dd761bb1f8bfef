//! `multipart/form-data`, part by part and never whole.
//!
//! The parser is `multer`, made for servers whose bodies arrive while others are served: it takes everything that is ready before it looks at it. Here the host lets the plugin wait, so that everything is
//! always ready, and an artifact of a gigabyte would be in memory. [`Chunks`] is therefore not ready every second time, and whatever the parser has not asked for is still with the host. It also looks
//! for a part's head however long it is; [`HEAD_BYTES`] is the bound.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use wharf_sdk::{ByteStream, Error, Request};

use crate::failure::Failure;

/// What is taken from the host at once.
const CHUNK_BYTES: u32 = 256 * 1024;

/// The most that stands between two parts: the head of one, or what comes before the first.
const HEAD_BYTES: u64 = 64 * 1024;

const CUT_SHORT: &str = "the body ends before its last part does, or has not the boundary that its Content-Type names";

/// The parts of a body.
pub(crate) struct Parts {
    parts: multer::Multipart<'static>,
    taken: Arc<AtomicU64>,
}

/// One part.
pub(crate) struct Part(multer::Field<'static>);

impl Parts {
    /// The parts of the body of `request`.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] for another type of body; [`Failure::TooLarge`].
    pub(crate) fn of(request: &Request) -> Result<Parts, Failure> {
        let content_type = request.header("content-type").unwrap_or_default();
        let boundary = multer::parse_boundary(content_type)
            .map_err(|_| Failure::Refused("the Content-Type is not `multipart/form-data` with a `boundary`".to_owned()))?;
        let body = match request.take_stream() {
            Some(stream) => Body::Stream(stream),
            None => Body::Whole(Some(Bytes::copy_from_slice(request.bytes()?))),
        };
        let taken = Arc::new(AtomicU64::new(0));
        let chunks = Chunks { body, ready: false, taken: Arc::clone(&taken) };
        Ok(Parts { parts: multer::Multipart::new(chunks, boundary), taken })
    }

    /// The next part; none after the last. The one before must have been read to its end.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, Failure> {
        let before = self.taken.load(Ordering::Relaxed);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(next) = self.parts.poll_next_field(&mut context) {
                return Ok(next.map_err(failure)?.map(Part));
            }
            if self.taken.load(Ordering::Relaxed) - before > HEAD_BYTES + u64::from(CHUNK_BYTES) {
                return Err(Failure::Refused(format!("more than {HEAD_BYTES} bytes stand before the content of a part")));
            }
        }
    }
}

impl Part {
    /// The `name`; empty if there is none.
    pub(crate) fn name(&self) -> &str {
        self.0.name().unwrap_or_default()
    }

    /// The `filename`, exactly as it was sent.
    pub(crate) fn file_name(&self) -> Option<&str> {
        self.0.file_name()
    }

    /// The next bytes; none at the end.
    pub(crate) fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(next) = Pin::new(&mut self.0).poll_next(&mut context) {
                return next.transpose().map_err(failure);
            }
        }
    }

    /// All bytes, if they are at most `max`; none if they are more.
    pub(crate) fn bytes(mut self, max: usize) -> Result<Option<Vec<u8>>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk()? {
            if bytes.len() + chunk.len() > max {
                return Ok(None);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }
}

fn failure(error: multer::Error) -> Failure {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast_ref::<Error>() {
            Some(Error::QuotaExceeded) => Failure::TooLarge,
            _ => Failure::Refused("the body was cut short".to_owned()),
        },
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } | multer::Error::IncompleteHeaders => {
            Failure::Refused(CUT_SHORT.to_owned())
        }
        other => Failure::Refused(format!("the body is no `multipart/form-data`: {other}")),
    }
}

enum Body {
    Whole(Option<Bytes>),
    Stream(ByteStream),
}

struct Chunks {
    body: Body,
    /// Whether the last question was answered, so that the next one is not.
    ready: bool,
    /// The bytes that the parser has.
    taken: Arc<AtomicU64>,
}

impl Stream for Chunks {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.ready = !self.ready;
        if !self.ready {
            return Poll::Pending;
        }
        let chunk = match &mut self.body {
            Body::Whole(bytes) => Ok(bytes.take()),
            Body::Stream(stream) => stream.read(CHUNK_BYTES).map(|chunk| chunk.map(Bytes::from)),
        };
        if let Ok(Some(chunk)) = &chunk {
            self.taken.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(chunk.transpose())
    }
}
