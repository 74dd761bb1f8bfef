//! Bodies of the engine's answers, none of which is waited for without end.
//!
//! A client's timeout usually ends at the header, and an engine that hangs after it (a stuck container does that to a list) would be waited for until the next
//! restart. Every body here has a limit between two pieces, and what is held in memory has a limit in size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::super::causes::chain;
use super::error::EngineError;

/// How long to wait for a piece of a body. None waits for ever, as for a log that is followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// For the first piece.
    pub(super) first: Option<Duration>,
    /// For each one after it.
    pub(super) between: Option<Duration>,
}

impl Waiting {
    /// As long for the first piece as for the others.
    pub(super) fn evenly(idle: Duration) -> Waiting {
        Waiting { first: Some(idle), between: Some(idle) }
    }
}

/// The pieces of `body`. When nothing arrives for as long as `waiting` says the stream ends with [`EngineError::Timeout`].
pub(super) fn pieces(body: Incoming, waiting: Waiting) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static {
    stream::unfold(Some((body, waiting.first)), move |state| async move {
        let (mut body, idle) = state?;
        loop {
            let frame = match idle {
                None => body.frame().await,
                Some(idle) => match tokio::time::timeout(idle, body.frame()).await {
                    Ok(frame) => frame,
                    Err(_elapsed) => return Some((Err(EngineError::Timeout(idle)), None)),
                },
            };
            match frame? {
                Err(error) => return Some((Err(EngineError::Lost(chain(&error))), None)),
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some((Ok(data), Some((body, waiting.between))));
                    }
                }
            }
        }
    })
}

/// All of `body`.
///
/// # Errors
///
/// [`EngineError::TooLong`] as soon as it is longer than `limit_bytes`, and those of [`pieces`].
pub(super) async fn whole(body: Incoming, idle: Duration, limit_bytes: usize) -> Result<Bytes, EngineError> {
    let mut pieces = std::pin::pin!(pieces(body, Waiting::evenly(idle)));
    let mut whole = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if piece.len() > limit_bytes.saturating_sub(whole.len()) {
            return Err(EngineError::TooLong { limit_bytes });
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
