//! What happens to every request, whoever answers it: an id, a span, a log line, a count.

use std::fmt::Write;
use std::time::Instant;

use axum::body::Body;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, request};
use tracing::{Instrument, Span};

use crate::metrics::RouteMetrics;

/// The field that carries a request's id, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const MAX_ID_BYTES: usize = 64;

/// The id of a request: the client's, if it is fit to be logged, or a new one of 16 hexadecimal digits.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_fit(id));
    sent.map_or_else(new_id, str::to_owned)
}

fn is_fit(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(allowed)
}

fn new_id() -> String {
    let mut id = String::with_capacity(16);
    // Writing to a string does not fail.
    let _ = write!(id, "{:016x}", fastrand::u64(..));
    id
}

/// Answers a request with `work`, logs it in `span` and counts it for `route`.
pub(crate) async fn observed(
    parts: &request::Parts,
    id: &str,
    route: &RouteMetrics,
    span: Span,
    work: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    let began = Instant::now();
    // Boxed, since it is moved from one future into the next on its way here, and holds all of a call.
    let mut response = Box::pin(work).instrument(span.clone()).await;
    let time = began.elapsed();
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let status = response.status().as_u16();
    route.answered(status, time);
    tracing::info!(parent: &span, method = parts.method.as_str(), path = parts.uri.path(), route = route.pattern(), status,
        duration_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX), "request");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: Option<&str>, kept: bool) {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(REQUEST_ID, HeaderValue::from_str(sent).unwrap());
        }
        let id = request_id(&headers);
        assert_eq!(Some(id.as_str()) == sent, kept, "{id}");
        assert!(is_fit(&id));
    }

    #[test]
    fn a_client_may_choose_its_id_if_it_can_be_logged() {
        check(Some("job-7_a.B"), true);
        check(Some(""), false);
        check(Some("a b"), false);
        check(Some("a\"b"), false);
        check(Some(&"x".repeat(65)), false);
        check(None, false);
    }
}
