//! What happens to every request, whoever answers it: an id, a span, a log line, a count. One whose client goes away before its answer has them too.

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

/// What stands for the status of a request whose client went away before it was answered, in the log and in the metrics. nginx's convention; no client ever sees it.
const CLIENT_GONE: u16 = 499;

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
    let mut record = Record { parts, route, span: &span, began: Instant::now(), status: CLIENT_GONE };
    // Boxed, since it is moved from one future into the next on its way here, and holds all of a call.
    let mut response = Box::pin(work).instrument(span.clone()).await;
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    record.status = response.status().as_u16();
    response
}

/// What is known of a request. Logged and counted when it is dropped: a future whose client went away is dropped wherever it stands.
struct Record<'a> {
    parts: &'a request::Parts,
    route: &'a RouteMetrics,
    span: &'a Span,
    began: Instant,
    status: u16,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let Record { parts, route, span, began, status } = *self;
        let time = began.elapsed();
        route.answered(status, time);
        tracing::info!(parent: span, method = parts.method.as_str(), path = parts.uri.path(), route = route.pattern(), status,
            duration_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX), "request");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_request_whose_client_goes_away_is_logged_and_counted() {
        let (log, lines) = crate::testing::log();
        let metrics = Metrics::new();
        let route = metrics.route("plant-a", "deployments", "/deployments");
        let (parts, ()) = http::Request::get("/deployments").body(()).unwrap().into_parts();
        tracing::dispatcher::with_default(&log, || {
            let span = tracing::info_span!("request", request_id = "job-7");
            let asked = observed(&parts, "job-7", &route, span, std::future::pending());
            let mut asked = std::pin::pin!(asked);
            let polled = asked.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
            assert!(polled.is_pending() && lines.text().is_empty());
        });
        let line = lines.json().remove(0);
        assert_eq!((line["fields"]["status"].as_u64(), line["span"]["request_id"].as_str()), (Some(499), Some("job-7")));
        let series = r#"wharf_requests_total{site="plant-a",plugin="deployments",route="/deployments",status="499"} 1"#;
        assert!(metrics.encode().unwrap().contains(series));
    }

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
