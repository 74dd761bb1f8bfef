//! Every failure of this API: an envelope with a code, which is the status too, and a message.

use serde_json::json;
use wharf_sdk::registry::{self, Error};
use wharf_sdk::tracing::{debug, error};
use wharf_sdk::{BodyError, IntoResponse, Response};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The site has users, and this request is of none.
    #[error("not logged in")]
    NotLoggedIn,
    /// There is no such user, or the password is another.
    #[error("wrong user name or password")]
    WrongPassword,
    /// Too many logins have failed.
    #[error("too many logins have failed: try again later")]
    TooManyLogins,
    /// The request breaks a rule of this API.
    #[error("{0}")]
    Malformed(String),
    /// There is nothing under this path.
    #[error("Path not found: {0}")]
    NoPath(String),
    /// There is no such image: a name, or a name with its tag.
    #[error("Image not found: {0}")]
    NoImage(String),
    /// The operator does not allow this image.
    #[error("not allowed here: {0}")]
    NotAllowed(String),
    /// Something uses the image, in the engine's words, or another version of it is being downloaded.
    #[error("{0}")]
    InUse(String),
    /// Docker Hub, a registry, a catalogue or the engine cannot be asked now.
    #[error("Service Unavailable: {0}")]
    Unavailable(String),
    /// The engine did not answer in time.
    #[error("the engine did not answer in time")]
    Timeout,
    /// The body is longer than the host takes.
    #[error("the body is too long")]
    TooLarge,
    /// The engine failed, or the host.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// A failure of the engine about `image`, as the client wrote it.
    pub(crate) fn of_engine(error: Error, image: &str) -> Failure {
        match error {
            // What the grants do not cover is not there as far as the client is concerned.
            Error::NotFound | Error::Denied => Failure::NoImage(image.to_owned()),
            Error::Invalid(reason) => Failure::Malformed(reason),
            Error::Conflict(reason) => Failure::InUse(reason),
            Error::Unavailable(reason) => Failure::Unavailable(reason),
            Error::Timeout => Failure::Timeout,
            Error::QuotaExceeded => Failure::Unavailable("too much is under way".to_owned()),
            Error::Internal(reason) => Failure::Internal(reason),
        }
    }

    /// A failure of Docker Hub, a registry or a catalogue about `image`. Whatever is wrong with it is not the client's fault, and may be right again later.
    pub(crate) fn of_remote(error: Error, image: &str) -> Failure {
        match error {
            Error::NotFound => Failure::NoImage(image.to_owned()),
            Error::Invalid(reason) => Failure::Malformed(reason),
            Error::Denied => Failure::NotAllowed(image.to_owned()),
            Error::Timeout => Failure::Unavailable("no answer in time".to_owned()),
            Error::Unavailable(reason) | Error::Conflict(reason) => Failure::Unavailable(reason),
            Error::QuotaExceeded => Failure::Unavailable("too much is under way".to_owned()),
            Error::Internal(reason) => Failure::Internal(reason),
        }
    }

    /// A failure of the host to find out who asks.
    pub(crate) fn of_identity(error: Error) -> Failure {
        match error {
            Error::Timeout => Failure::Unavailable("who asks cannot be found out in time".to_owned()),
            Error::Unavailable(reason) => Failure::Unavailable(reason),
            other => Failure::Internal(format!("who asks cannot be found out: {other}")),
        }
    }

    /// A failure of the place where templates are stored.
    pub(crate) fn of_storage(error: Error) -> Failure {
        match error {
            Error::Timeout => Failure::Unavailable("the stored templates cannot be read in time".to_owned()),
            Error::Unavailable(reason) => Failure::Unavailable(reason),
            other => Failure::Internal(format!("the stored templates cannot be read: {other}")),
        }
    }

    /// As [`Failure::of_remote`] for an image of Docker Hub, which says of a repository that does not exist that it wants other credentials.
    pub(crate) fn of_docker_hub(error: Error, image: &str) -> Failure {
        match registry::problem(&error) {
            Some("unauthorized") => Failure::NoImage(image.to_owned()),
            _ => Failure::of_remote(error, image),
        }
    }

    /// The answer to a method that a path does not have.
    pub(crate) fn method_not_allowed(allowed: &[&str]) -> Response {
        envelope(405, "Method Not Allowed").header("allow", [allowed, &["OPTIONS"]].concat().join(", "))
    }

    fn status(&self) -> u16 {
        match self {
            Failure::Malformed(_) => 400,
            Failure::NotLoggedIn | Failure::WrongPassword => 401,
            Failure::NotAllowed(_) => 403,
            Failure::NoPath(_) | Failure::NoImage(_) => 404,
            Failure::InUse(_) => 409,
            Failure::TooLarge => 413,
            Failure::TooManyLogins => 429,
            Failure::Internal(_) => 500,
            Failure::Unavailable(_) => 503,
            Failure::Timeout => 504,
        }
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Failure {
        match error {
            BodyError::TooLarge => Failure::TooLarge,
            other => Failure::Malformed(format!("the body cannot be read: {other}")),
        }
    }
}

fn envelope(code: u16, message: &str) -> Response {
    Response::json(&json!({"error": {"code": code, "message": message}})).with_status(code)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        match status {
            500.. => error!(error = %self, status, "failed to serve a request"),
            _ => debug!(error = %self, status, "refused a request"),
        }
        let response = envelope(status, &self.to_string());
        if status == 401 { response.header("www-authenticate", "Bearer realm=\"api\"") } else { response }
    }
}
