//! Streams in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::error::Error;

/// Why a stream in memory failed. A type of its own, as in a component, where it is the contract's.
#[derive(Debug)]
pub(crate) struct StreamFailure(Error);

impl From<StreamFailure> for Error {
    fn from(failure: StreamFailure) -> Error {
        failure.0
    }
}

/// A stream of the chunks that a test gave.
#[derive(Debug)]
pub(crate) struct ByteStream {
    chunks: VecDeque<Result<Vec<u8>, Error>>,
    failed: bool,
}

impl ByteStream {
    pub(crate) fn new(chunks: impl IntoIterator<Item = Result<Vec<u8>, Error>>) -> ByteStream {
        let chunks = chunks.into_iter().filter(|chunk| chunk.as_ref().map_or(true, |chunk| !chunk.is_empty()));
        ByteStream { chunks: chunks.collect(), failed: false }
    }

    pub(crate) fn read(&mut self, max: u32) -> Result<Option<Vec<u8>>, StreamFailure> {
        if self.failed {
            return Err(StreamFailure(Error::NotFound));
        }
        if max == 0 {
            return Err(StreamFailure(Error::Invalid("a read of zero bytes".to_owned())));
        }
        match self.chunks.pop_front() {
            None => Ok(None),
            Some(Ok(mut chunk)) => {
                let rest = chunk.split_off(chunk.len().min(max as usize));
                if !rest.is_empty() {
                    self.chunks.push_front(Ok(rest));
                }
                Ok(Some(chunk))
            }
            Some(Err(error)) => {
                self.failed = true;
                Err(StreamFailure(error))
            }
        }
    }
}

/// Collects what a plugin writes.
#[derive(Debug)]
pub(crate) struct BodyWriter {
    pub(crate) written: Rc<RefCell<Vec<u8>>>,
    pub(crate) failure: Option<Error>,
}

impl BodyWriter {
    pub(crate) fn write(&self, chunk: &[u8]) -> Result<(), StreamFailure> {
        if let Some(failure) = &self.failure {
            return Err(StreamFailure(failure.clone()));
        }
        self.written.borrow_mut().extend_from_slice(chunk);
        Ok(())
    }
}
