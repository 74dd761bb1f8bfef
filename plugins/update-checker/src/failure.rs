//! Every failure of this API: a status and a line of text.

use wharf_sdk::tracing::{debug, error};
use wharf_sdk::{Error, IntoResponse, Response};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Below `/api/images/` there is something else than an id and an action.
    #[error("bad path: /api/images/{{id}}/{{action}}")]
    BadPath,
    /// No such action.
    #[error("unknown action")]
    UnknownAction,
    /// A body that is not what the endpoint takes.
    #[error("bad request")]
    BadRequest,
    /// The last check has found no container with this short id.
    #[error("container not found")]
    NoContainer,
    /// No update of this container is under way, and none has failed.
    #[error("no progress")]
    NoProgress,
    /// There is nothing under this path.
    #[error("not found")]
    NotFound,
    /// The path has other methods.
    #[error("method not allowed")]
    MethodNotAllowed(&'static str),
    /// The site has users, and this request is of none.
    #[error("{{\"error\":\"unauthorized\"}}")]
    Unauthorized,
    /// A page of another origin wants to change something.
    #[error("a page of another origin may not change anything here")]
    CrossOrigin,
    /// The host, its database or the engine cannot be asked now.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The host failed; what it said is for the log.
    #[error("internal error")]
    Internal(String),
}

impl Failure {
    fn status(&self) -> u16 {
        match self {
            Failure::BadPath | Failure::UnknownAction | Failure::BadRequest => 400,
            Failure::Unauthorized => 401,
            Failure::CrossOrigin => 403,
            Failure::NoContainer | Failure::NoProgress | Failure::NotFound => 404,
            Failure::MethodNotAllowed(_) => 405,
            Failure::Internal(_) => 500,
            Failure::Unavailable(_) => 503,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Unavailable(reason) => Failure::Unavailable(reason),
            Error::Timeout => Failure::Unavailable("no answer in time".to_owned()),
            Error::QuotaExceeded => Failure::Unavailable("too much is waiting or under way".to_owned()),
            other => Failure::Internal(other.to_string()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        match &self {
            Failure::Internal(reason) => error!(reason, "failed to serve a request"),
            Failure::Unavailable(reason) => error!(reason, status, "failed to serve a request"),
            _ => debug!(error = %self, status, "refused a request"),
        }
        let response = Response::text(format!("{self}\n")).with_status(status).header("x-content-type-options", "nosniff");
        match self {
            Failure::MethodNotAllowed(allowed) => response.header("allow", allowed),
            Failure::Unauthorized => response.header("www-authenticate", "Bearer realm=\"api\""),
            _ => response,
        }
    }
}

/// What an error of the host says, for people: in a list, in a history, behind `error: `.
pub(crate) fn short(error: &Error) -> String {
    match error {
        Error::Denied => "the operator does not allow it".to_owned(),
        Error::Invalid(reason) | Error::Conflict(reason) | Error::Unavailable(reason) | Error::Internal(reason) => reason.clone(),
        Error::NotFound | Error::Timeout | Error::QuotaExceeded => error.to_string(),
    }
}
