//! A failure as an answer: RFC 9457, for plugins whose API does not say otherwise.

use crate::body::BodyError;
use crate::error::Error;
use crate::response::{IntoResponse, Response};

/// A failure with a status and a sentence for the client, answered as `application/problem+json`.
///
/// [`Error`] and [`BodyError`] turn into one by `?`. What the host or the engine said stays out of the answer and goes to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {}", detail.as_deref().unwrap_or(title(*status)))]
pub struct Problem {
    status: u16,
    detail: Option<String>,
}

impl Problem {
    /// A problem that its status says all of.
    #[must_use]
    pub fn new(status: u16) -> Problem {
        Problem { status, detail: None }
    }

    /// The same with a sentence for the client.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Problem {
        self.detail = Some(detail.into());
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            // What the grants do not cover does not exist for this plugin's clients.
            Error::Denied | Error::NotFound => Problem::new(404),
            Error::Invalid(reason) => Problem::new(400).detail(reason),
            Error::Conflict(reason) => Problem::new(409).detail(reason),
            Error::Timeout => Problem::new(504),
            Error::Unavailable(reason) => {
                tracing::error!(reason, "a host call failed");
                Problem::new(503)
            }
            Error::QuotaExceeded => {
                tracing::error!("a host call went over a limit of the plugin");
                Problem::new(500)
            }
            Error::Internal(reason) => {
                tracing::error!(reason, "a host call failed");
                Problem::new(500)
            }
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Problem {
        match error {
            BodyError::TooLarge => Problem::new(413),
            BodyError::Unreadable(_) => Problem::new(400).detail("the body could not be read"),
            BodyError::NotJson(reason) => Problem::new(400).detail(reason.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = serde_json::Map::new();
        document.insert("status".to_owned(), self.status.into());
        document.insert("title".to_owned(), title(self.status).into());
        if let Some(detail) = self.detail {
            document.insert("detail".to_owned(), detail.into());
        }
        Response::new(self.status)
            .header("content-type", "application/problem+json")
            .body(serde_json::Value::Object(document).to_string().into_bytes())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

/// The reason phrase of `status` as RFC 9110 has it, for those that an API answers.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Problem",
    }
}
