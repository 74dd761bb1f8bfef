//! The engine's log frames: eight bytes before each piece of output, taken off here.
//!
//! A container without a terminal has two outputs, and the engine sends both in one body: a byte for which, three zeros, four bytes of length (big-endian), then
//! the payload. A container with a terminal has one, sent as it is. Which of the two a body is, only the container's `Config.Tty` says; its bytes cannot, since a
//! program may print anything. Frames are split anywhere by the wire. Nothing of a payload is held back but the text of a frame in which the engine reports its own error.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};

use crate::backend::stream::StreamError;

const HEADER_BYTES: usize = 8;
/// The kind of a frame with which the engine reports that it cannot go on reading.
const SYSTEM_ERROR: u8 = 3;
/// How much of such a report is kept: it is one sentence.
const MAX_REPORT_BYTES: usize = 4 * 1024;

/// Where in a frame the last byte was.
#[derive(Debug, Default)]
pub(super) struct Demultiplexer {
    header: BytesMut,
    payload_left: u32,
    /// What the engine reports instead of output; none in a frame of output.
    report: Option<BytesMut>,
}

impl Demultiplexer {
    /// The output in `chunk`, which continues what came before.
    ///
    /// # Errors
    ///
    /// [`StreamError::Cut`] when the engine reports an error of its own, or when the bytes are no frames.
    pub(super) fn take(&mut self, mut chunk: Bytes) -> Result<Vec<Bytes>, StreamError> {
        let mut output = Vec::new();
        while chunk.has_remaining() {
            if self.payload_left == 0 {
                let missing = HEADER_BYTES - self.header.len();
                self.header.extend_from_slice(&chunk.split_to(missing.min(chunk.len())));
                if self.header.len() == HEADER_BYTES {
                    self.begin_frame()?;
                }
                continue;
            }
            let here = chunk.split_to(chunk.len().min(usize::try_from(self.payload_left).unwrap_or(usize::MAX)));
            self.payload_left -= u32::try_from(here.len()).unwrap_or(self.payload_left);
            match &mut self.report {
                None => output.push(here),
                Some(report) => {
                    let room = MAX_REPORT_BYTES.saturating_sub(report.len());
                    report.extend_from_slice(&here.slice(..here.len().min(room)));
                    if self.payload_left == 0 {
                        return Err(StreamError::Cut(String::from_utf8_lossy(report).trim().to_owned()));
                    }
                }
            }
        }
        Ok(output)
    }

    /// Says whether the bytes so far end between two frames.
    ///
    /// # Errors
    ///
    /// [`StreamError::Cut`] when they end inside one.
    pub(super) fn end(&self) -> Result<(), StreamError> {
        if self.header.is_empty() && self.payload_left == 0 {
            return Ok(());
        }
        Err(StreamError::Cut("the log ended inside a frame".to_owned()))
    }

    fn begin_frame(&mut self) -> Result<(), StreamError> {
        let kind = self.header.get_u8();
        self.header.advance(3);
        self.payload_left = self.header.get_u32();
        match kind {
            0..SYSTEM_ERROR => self.report = None,
            SYSTEM_ERROR if self.payload_left > 0 => self.report = Some(BytesMut::new()),
            _ => return Err(StreamError::Cut(format!("the log has a frame of the unknown kind {kind}"))),
        }
        Ok(())
    }
}

/// The output in the frames of `body`.
pub(super) fn without_frames(
    body: impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static {
    // A last item marks the end, since only then a frame that is not complete is known to be cut.
    let chunks = body.map(Some).chain(stream::iter([None]));
    let pieces = chunks.scan(Demultiplexer::default(), |frames, chunk| {
        let pieces: Vec<Result<Bytes, StreamError>> = match chunk {
            None => frames.end().err().map(Err).into_iter().collect(),
            Some(Err(error)) => vec![Err(error)],
            Some(Ok(bytes)) => match frames.take(bytes) {
                Ok(output) => output.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            },
        };
        std::future::ready(Some(pieces))
    });
    pieces.flat_map(stream::iter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind, 0, 0, 0];
        frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    fn demultiplex(chunks: &[&[u8]]) -> Result<Vec<u8>, String> {
        let mut frames = Demultiplexer::default();
        let mut output = Vec::new();
        for chunk in chunks {
            for piece in frames.take(Bytes::copy_from_slice(chunk)).map_err(|error| error.to_string())? {
                output.extend_from_slice(&piece);
            }
        }
        frames.end().map_err(|error| error.to_string())?;
        Ok(output)
    }

    /// A small generator, so that the splits are many and the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % bound
        }
    }

    #[test]
    fn a_log_is_the_same_however_the_wire_splits_it() {
        let mut numbers = Numbers(7);
        for _ in 0..300 {
            let mut wire = Vec::new();
            let mut expected = Vec::new();
            for _ in 0..numbers.below(12) {
                // Payloads that look like headers, empty ones, and bytes that are no UTF-8.
                let payload: Vec<u8> = (0..numbers.below(40)).map(|_| u8::try_from(numbers.below(256)).unwrap() & 0x83).collect();
                wire.extend(frame(u8::try_from(numbers.below(3)).unwrap(), &payload));
                expected.extend(payload);
            }
            let mut chunks: Vec<&[u8]> = Vec::new();
            let mut rest: &[u8] = &wire;
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(1 + numbers.below(rest.len().min(20)));
                chunks.push(chunk);
                rest = after;
            }
            assert_eq!(demultiplex(&chunks), Ok(expected));
        }
    }

    #[test]
    fn both_outputs_keep_their_order() {
        let wire = [frame(1, b"one\n"), frame(2, b"two\n"), frame(1, b"three\n")].concat();
        assert_eq!(demultiplex(&[&wire]), Ok(b"one\ntwo\nthree\n".to_vec()));
        assert_eq!(demultiplex(&[]), Ok(Vec::new()));
    }

    #[test]
    fn a_log_that_ends_inside_a_frame_was_cut() {
        let wire = frame(1, b"half");
        let cut = Err("the stream was cut short: the log ended inside a frame".to_owned());
        assert_eq!(demultiplex(&[&wire[..3]]), cut);
        assert_eq!(demultiplex(&[&wire[..10]]), cut);
    }

    #[test]
    fn an_error_of_the_engine_is_not_output() {
        let wire = [frame(1, b"fine\n"), frame(3, b"error grabbing logs: unexpected EOF\n")].concat();
        let report = Err("the stream was cut short: error grabbing logs: unexpected EOF".to_owned());
        assert_eq!(demultiplex(&[&wire[..20], &wire[20..]]), report);
        assert!(demultiplex(&[&frame(9, b"x")]).is_err());
    }
}
