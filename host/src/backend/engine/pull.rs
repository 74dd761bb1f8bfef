//! The stream with which an engine answers a pull.
//!
//! The answer has status 200 as soon as the engine begins to report, so a pull that fails says so inside the stream, and dropping the stream cancels the pull: it is read to
//! its end, whatever it says on the way. bollard's decoder is not used here for three reasons, all in its 0.21.1: it ends with `bytes remaining on stream` when the wire splits a
//! line between its JSON and its line break; it overlooks an `error` without `errorDetail`, which is how engines before API 1.48 may report; and
//! its body has no limit on waiting.

use std::time::Duration;

use futures_util::stream::StreamExt;
use hyper::body::Incoming;
use serde::Deserialize;

use super::body::{self, Waiting};
use super::error::EngineError;
use super::lines::Lines;

/// The longest word for a layer's state that is kept, and the longest id. Real ones have about twenty characters, and `sha256:` with 64 digits.
const MAX_STATUS_CHARACTERS: usize = 80;
const MAX_ID_CHARACTERS: usize = 80;

/// What a pull says of one of its layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullLine {
    /// The layer, by the beginning of its digest or by all of it.
    pub(crate) id: String,
    /// The engine's word for what it does with it: `Downloading`.
    pub(crate) status: String,
    /// Of how many bytes that is done.
    pub(crate) current: Option<u64>,
    /// How many bytes there are; none if the engine does not know, or counts something else.
    pub(crate) total: Option<u64>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default, rename = "progressDetail")]
    progress_detail: Option<ProgressDetail>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default, rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProgressDetail {
    current: Option<i64>,
    total: Option<i64>,
    /// Engines that keep images in containerd count the seconds of unpacking: `s`. Bytes have no word.
    units: Option<String>,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    message: Option<String>,
}

impl Item {
    /// What it says of a layer; none if it is about something else, as `Pulling from library/redis`, whose id is the tag.
    fn layer(&self) -> Option<PullLine> {
        let (id, status) = (self.id.as_ref()?, self.status.as_ref()?);
        if id.is_empty() || status.starts_with("Pulling from") {
            return None;
        }
        let bytes = self.progress_detail.as_ref().filter(|detail| detail.units.as_deref().unwrap_or_default().is_empty());
        // An engine that does not know a length says 0 or -1.
        let count = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
        let total = bytes.and_then(|bytes| count(bytes.total)).filter(|total| *total > 0);
        Some(PullLine {
            id: id.chars().take(MAX_ID_CHARACTERS).collect(),
            status: status.chars().take(MAX_STATUS_CHARACTERS).collect(),
            current: bytes.and_then(|bytes| count(bytes.current)),
            total,
        })
    }

    fn into_error(self) -> Option<EngineError> {
        let (code, words) = self.error_detail.map_or((None, None), |detail| (detail.code, detail.message));
        let reason = words.or(self.error)?;
        match code {
            Some(status @ 400..=599) => Some(EngineError::of_status(status, reason)),
            _ => Some(EngineError::Failed { status: 200, reason }),
        }
    }
}

/// Reads `body` to its end. `seen` hears of each line about a layer.
///
/// # Errors
///
/// The first error that the stream reports; [`EngineError::Unintelligible`] for a line that is no JSON object; [`EngineError::Lost`] when the stream is cut;
/// [`EngineError::Timeout`] when nothing arrives for `idle`.
pub(super) async fn drain(body: Incoming, idle: Duration, seen: &mut (dyn FnMut(PullLine) + Send)) -> Result<(), EngineError> {
    let mut pieces = std::pin::pin!(body::pieces(body, Waiting::evenly(idle)));
    let mut report = Report::default();
    while let Some(piece) = pieces.next().await {
        report.take(&piece?, seen)?;
    }
    report.end(seen)
}

/// What was read of the stream.
#[derive(Default)]
struct Report {
    lines: Lines,
    first_error: Option<EngineError>,
}

impl Report {
    fn take(&mut self, piece: &[u8], seen: &mut dyn FnMut(PullLine)) -> Result<(), EngineError> {
        let mut lines = std::mem::take(&mut self.lines);
        let taken = lines.take(piece, &mut |line| self.read(line, seen));
        self.lines = lines;
        taken
    }

    fn end(mut self, seen: &mut dyn FnMut(PullLine)) -> Result<(), EngineError> {
        let last = std::mem::take(&mut self.lines).rest();
        self.read(&last, seen);
        self.first_error.map_or(Ok(()), Err)
    }

    fn read(&mut self, line: &[u8], seen: &mut dyn FnMut(PullLine)) {
        if line.trim_ascii().is_empty() || self.first_error.is_some() {
            return;
        }
        self.first_error = match serde_json::from_slice::<Item>(line) {
            Ok(item) => {
                if let Some(line) = item.layer() {
                    seen(line);
                }
                item.into_error()
            }
            Err(error) => Some(EngineError::Unintelligible(format!("a line of the pull's progress: {error}"))),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> Result<(), EngineError> {
        seen(pieces).1
    }

    /// What is said of layers, and how it ends.
    fn seen(pieces: &[&str]) -> (Vec<PullLine>, Result<(), EngineError>) {
        let mut seen = Vec::new();
        let mut lines = Report::default();
        let mut outcome = Ok(());
        for piece in pieces {
            outcome = outcome.and_then(|()| lines.take(piece.as_bytes(), &mut |line| seen.push(line)));
        }
        let outcome = outcome.and_then(|()| lines.end(&mut |line| seen.push(line)));
        (seen, outcome)
    }

    #[test]
    fn progress_may_be_split_anywhere() {
        let whole = "{\"status\":\"Pulling from library/redis\",\"id\":\"7\"}\r\n{\"status\":\"Grüße\",\"progressDetail\":{}}\r\n";
        for place in 0..=whole.len() {
            let (first, second) = whole.as_bytes().split_at(place);
            let mut lines = Report::default();
            lines.take(first, &mut |_| {}).unwrap();
            lines.take(second, &mut |_| {}).unwrap();
            assert_eq!(lines.end(&mut |_| {}), Ok(()));
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

    #[track_caller]
    fn check_layer(line: &str, expected: Option<(&str, &str, Option<u64>, Option<u64>)>) {
        let (seen, outcome) = seen(&[line]);
        let found: Vec<_> = seen.iter().map(|line| (line.id.as_str(), line.status.as_str(), line.current, line.total)).collect();
        assert_eq!((found, outcome), (expected.into_iter().collect(), Ok(())), "{line}");
    }

    #[test]
    fn what_is_said_of_a_layer_is_told_apart() {
        check_layer(r#"{"status":"Pulling from library/redis","id":"7"}"#, None);
        check_layer(r#"{"status":"Digest: sha256:aa"}"#, None);
        check_layer(r#"{"status":"Status: Downloaded newer image for redis:7"}"#, None);
        check_layer(r#"{"status":"Pulling fs layer","progressDetail":{},"id":"aa"}"#, Some(("aa", "Pulling fs layer", None, None)));
        // Podman says no more than this of some.
        check_layer(r#"{"status":"Already exists","id":"aa"}"#, Some(("aa", "Already exists", None, None)));
        let line = r#"{"status":"Downloading","progressDetail":{"current":3,"total":9},"progress":"[=> ]","id":"aa"}"#;
        check_layer(line, Some(("aa", "Downloading", Some(3), Some(9))));
        check_layer(
            r#"{"status":"Downloading","progressDetail":{"current":3,"total":-1},"id":"aa"}"#,
            Some(("aa", "Downloading", Some(3), None)),
        );
        // Seconds, of an engine that keeps its images in containerd.
        check_layer(
            r#"{"status":"Extracting","progressDetail":{"current":1,"units":"s"},"id":"aa"}"#,
            Some(("aa", "Extracting", None, None)),
        );
        let long = "x".repeat(1000);
        check_layer(&format!(r#"{{"status":"{long}","id":"{long}"}}"#), Some((&long[..80], &long[..80], None, None)));
    }
}
