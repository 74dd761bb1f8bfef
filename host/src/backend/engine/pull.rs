//! The stream with which an engine answers a pull.
//!
//! The answer has status 200 as soon as the engine begins to report, so a pull that fails says so inside the stream, and dropping the stream cancels the pull: it is read to
//! its end, whatever it says on the way. bollard's decoder is not used here for three reasons, all in its 0.21.1: it ends with `bytes remaining on stream` when the wire splits a
//! line between its JSON and its line break; it overlooks an `error` without `errorDetail`, which is how engines before API 1.48 may report; and
//! its body has no limit on waiting.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::stream::StreamExt;
use hyper::body::Incoming;
use serde::Deserialize;

use super::body::{self, Waiting};
use super::error::EngineError;

/// The longest line of progress. Real ones have some hundred bytes.
const MAX_LINE_BYTES: usize = 1024 * 1024;

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    error: Option<String>,
    #[serde(default, rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    message: Option<String>,
}

impl Item {
    fn into_error(self) -> Option<EngineError> {
        let (code, words) = self.error_detail.map_or((None, None), |detail| (detail.code, detail.message));
        let reason = words.or(self.error)?;
        match code {
            Some(status @ 400..=599) => Some(EngineError::of_status(status, reason)),
            _ => Some(EngineError::Failed { status: 200, reason }),
        }
    }
}

/// Reads `body` to its end.
///
/// # Errors
///
/// The first error that the stream reports; [`EngineError::Unintelligible`] for a line that is no JSON object; [`EngineError::Lost`] when the stream is cut;
/// [`EngineError::Timeout`] when nothing arrives for `idle`.
pub(super) async fn drain(body: Incoming, idle: Duration) -> Result<(), EngineError> {
    let mut pieces = std::pin::pin!(body::pieces(body, Waiting::evenly(idle)));
    let mut lines = Lines::default();
    while let Some(piece) = pieces.next().await {
        lines.take(&piece?)?;
    }
    lines.end()
}

/// What was read of the stream.
#[derive(Default)]
struct Lines {
    unfinished: BytesMut,
    first_error: Option<EngineError>,
}

impl Lines {
    fn take(&mut self, piece: &[u8]) -> Result<(), EngineError> {
        self.unfinished.extend_from_slice(piece);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line = self.unfinished.split_to(end);
            self.unfinished.advance(1);
            self.read(&line);
        }
        if self.unfinished.len() > MAX_LINE_BYTES {
            return Err(EngineError::TooLong { limit_bytes: MAX_LINE_BYTES });
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), EngineError> {
        let last = self.unfinished.split();
        self.read(&last);
        self.first_error.map_or(Ok(()), Err)
    }

    fn read(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() || self.first_error.is_some() {
            return;
        }
        self.first_error = match serde_json::from_slice::<Item>(line) {
            Ok(item) => item.into_error(),
            Err(error) => Some(EngineError::Unintelligible(format!("a line of the pull's progress: {error}"))),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> Result<(), EngineError> {
        let mut lines = Lines::default();
        for piece in pieces {
            lines.take(piece.as_bytes())?;
        }
        lines.end()
    }

    #[test]
    fn progress_may_be_split_anywhere() {
        let whole = "{\"status\":\"Pulling from library/redis\",\"id\":\"7\"}\r\n{\"status\":\"Grüße\",\"progressDetail\":{}}\r\n";
        for place in 0..=whole.len() {
            let (first, second) = whole.as_bytes().split_at(place);
            let mut lines = Lines::default();
            lines.take(first).unwrap();
            lines.take(second).unwrap();
            assert_eq!(lines.end(), Ok(()));
        }
        assert_eq!(read(&["{\"status\":\"no line break at the end\"}"]), Ok(()));
        assert_eq!(read(&[]), Ok(()));
    }

    #[test]
    fn an_error_inside_the_stream_is_an_error() {
        let failed = |reason: &str| Err(EngineError::Failed { status: 200, reason: reason.to_owned() });
        assert_eq!(
            read(&["{\"status\":\"a\"}\n{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\n{\"status\":\"b\"}\n"]),
            failed("no")
        );
        assert_eq!(read(&["{\"error\":\"old engines\"}\n"]), failed("old engines"));
        assert_eq!(read(&["{\"errorDetail\":{\"code\":404,\"message\":\"gone\"}}"]), Err(EngineError::NotFound("gone".to_owned())));
        assert!(matches!(read(&["{\"status\":\"cut"]), Err(EngineError::Unintelligible(_))));
    }
}
