//! A failure as an answer: RFC 9457, for plugins whose API does not say otherwise.

use serde::Serialize;

use crate::body::BodyError;
use crate::error::Error;
use crate::response::{IntoResponse, Response};

/// A failure with a status and a sentence for the client, answered as `application/problem+json`.
///
/// [`Error`] and [`BodyError`] turn into one by `?`. What the host or the engine said stays out of the answer and goes to the log.
///
/// ```
/// use wharf_sdk::docker::containers_read;
/// use wharf_sdk::{Plugin, Problem, Request, Response, Router, fake};
///
/// fn labels(request: &Request) -> Result<Response, Problem> {
///     let wanted: Vec<String> = request.json()?;
///     let Some(name) = wanted.first() else {
///         return Err(Problem::new(422).detail("name one container"));
///     };
///     Ok(Response::json(&containers_read::inspect_one(name)?.labels))
/// }
///
/// struct Labels;
///
/// impl Plugin for Labels {
///     fn routes() -> Router {
///         Router::new().post("/labels", labels)
///     }
/// }
///
/// let answer = fake::call::<Labels>(fake::post("/labels").json(&[""; 0]));
/// assert_eq!(answer.header("content-type"), Some("application/problem+json"));
/// assert_eq!(answer.text(), r#"{"status":422,"title":"Unprocessable Content","detail":"name one container"}"#);
/// assert_eq!(fake::call::<Labels>(fake::post("/labels").json(&["web"])).status, 404);
/// assert_eq!(fake::call::<Labels>(fake::post("/labels").body("[1]")).status, 400);
/// ```
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

/// The members of RFC 9457 that a problem has here.
#[derive(Serialize)]
struct Document<'a> {
    status: u16,
    title: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document { status: self.status, title: title(self.status), detail: self.detail.as_deref() };
        // Numbers and texts can always be written.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        Response::new(self.status).header("content-type", "application/problem+json").body(body)
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

/// The reason phrase of `status` as RFC 9110 has it, and those of RFC 6585.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        511 => "Network Authentication Required",
        _ => "Problem",
    }
}
