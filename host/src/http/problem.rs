//! What the host answers in its own name: problem documents (RFC 9457), always with the request's id.

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::plugin::outcome::Problem;

/// The problem document of `problem`.
pub(crate) fn response(problem: &Problem, request_id: &str) -> Response<Body> {
    let document = serde_json::json!({
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status.as_u16(),
        "request_id": request_id,
    });
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = problem.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(after) = problem.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

/// A problem that the same request would meet again.
pub(crate) fn of(status: StatusCode, title: &'static str) -> Problem {
    Problem { status, title, retry_after: None }
}
