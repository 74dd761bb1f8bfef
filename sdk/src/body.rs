//! A request's body, and why it could not be had.

use std::cell::OnceCell;

use crate::error::Error;
use crate::stream::ByteStream;

/// Why a request's body could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than the plugin's `request_mib` allows. The answer is 413.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// It was cut short, came too slowly, or was taken as a stream before. The answer is 400.
    #[error("the body could not be read")]
    Unreadable(#[source] Error),
    /// It is not JSON, or not of the shape that was asked for. The answer is 400.
    #[error("the body is not the JSON that was expected: {0}")]
    NotJson(serde_json::Error),
}

/// How a body arrived.
pub(crate) enum Arrived {
    Empty,
    Bytes(Vec<u8>),
    Stream(ByteStream),
}

/// A body, read at most once.
pub(crate) struct Body {
    arrived: std::cell::Cell<Option<Arrived>>,
    read: OnceCell<Result<Vec<u8>, Error>>,
}

impl Body {
    pub(crate) fn new(arrived: Arrived) -> Body {
        Body { arrived: std::cell::Cell::new(Some(arrived)), read: OnceCell::new() }
    }

    /// The whole body; reads it at the first call.
    pub(crate) fn bytes(&self) -> Result<&[u8], BodyError> {
        let read = self.read.get_or_init(|| match self.arrived.take() {
            Some(Arrived::Empty) => Ok(Vec::new()),
            Some(Arrived::Bytes(bytes)) => Ok(bytes),
            Some(Arrived::Stream(stream)) => stream.read_to_end(),
            None => Err(Error::Conflict("the body was taken as a stream before".to_owned())),
        });
        match read {
            Ok(bytes) => Ok(bytes),
            Err(Error::QuotaExceeded) => Err(BodyError::TooLarge),
            Err(error) => Err(BodyError::Unreadable(error.clone())),
        }
    }

    /// The body as a stream, if it arrived as one and nobody has read it.
    pub(crate) fn take_stream(&self) -> Option<ByteStream> {
        match self.arrived.take() {
            Some(Arrived::Stream(stream)) => Some(stream),
            other => {
                self.arrived.set(other);
                None
            }
        }
    }
}
