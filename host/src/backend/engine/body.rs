//! Bodies of the engine's answers, none of which is waited for without end.
//!
//! A client's timeout usually ends at the header, and an engine that hangs after it (a stuck container does that to a list) would be waited for until the next
//! restart. Every body here has a limit between two pieces, and what is held in memory has a limit in size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::error::{EngineError, chain};

/// The pieces of `body`. When nothing arrives for `idle` the stream ends with [`EngineError::Timeout`]; none waits for ever, as a log that is
/// followed must.
pub(super) fn pieces(body: Incoming, idle: Option<Duration>) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static {
    stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        loop {
            let frame = match idle {
                None => body.frame().await,
                Some(idle) => match tokio::time::timeout(idle, body.frame()).await {
                    Ok(frame) => frame,
                    Err(_elapsed) => return Some((Err(EngineError::Timeout(idle)), None)),
                },
            };
            match frame? {
                Err(error) => return Some((Err(EngineError::Unavailable(chain(&error))), None)),
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some((Ok(data), Some(body)));
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
    let mut pieces = std::pin::pin!(pieces(body, Some(idle)));
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
