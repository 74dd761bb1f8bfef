//! Two native routes beside the plugins, for `cargo xtask bench http` only: what the plugins are compared with runs on the same listener, in the same process.

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use http::Response;

use super::observe::{observed, request_id};
use crate::metrics::Metrics;

/// The answer that every row of the benchmark gives: 12 bytes.
const ANSWER: &str = "Hello, dock!";

/// Whether `path` is one of [`routes`].
pub(crate) fn is_native(path: &str) -> bool {
    matches!(path, "/bench/bare" | "/bench/native")
}

/// `/bench/bare`, a plain axum handler, and `/bench/native`, the same with the id, the span, the log line and the count that every request of a plugin gets.
pub(crate) fn routes(metrics: &Metrics) -> Router {
    let route: &'static _ = Box::leak(Box::new(metrics.route("bench", "native", "/bench/native")));
    let native = move |request: Request| async move {
        let (parts, _body) = request.into_parts();
        let id = request_id(&parts.headers);
        let span = tracing::info_span!("request", request_id = id, site = "bench", plugin = "native", generation = 1_u64);
        observed(&parts, &id, route, span, async { Response::new(ANSWER.into()) }).await
    };
    Router::new().route("/bench/bare", get(|| async { ANSWER })).route("/bench/native", get(native))
}
