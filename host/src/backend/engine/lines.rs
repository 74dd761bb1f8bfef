//! Lines of an engine's progress, which the wire may split anywhere.

use bytes::{Buf, BytesMut};

use super::error::EngineError;

/// The longest line of progress. Real ones have some hundred bytes.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// What was read of a stream since its last line break.
#[derive(Default)]
pub(super) struct Lines(BytesMut);

impl Lines {
    /// Takes the next piece of the stream. `read` gets each line that is whole, without its break.
    ///
    /// # Errors
    ///
    /// [`EngineError::TooLong`] for a line without an end.
    pub(super) fn take(&mut self, piece: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<(), EngineError> {
        self.0.extend_from_slice(piece);
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line = self.0.split_to(end);
            self.0.advance(1);
            read(&line);
        }
        if self.0.len() > MAX_LINE_BYTES {
            return Err(EngineError::TooLong { limit_bytes: MAX_LINE_BYTES });
        }
        Ok(())
    }

    /// What stands behind the last line break.
    pub(super) fn rest(self) -> BytesMut {
        self.0
    }
}
