//! Every failure of this API: a status, and nothing in the body.
//!
//! What went wrong is told to the operator, in the log, and not to the client.

use wharf_sdk::docker::Error;
use wharf_sdk::tracing::{debug, error};
use wharf_sdk::{BodyError, IntoResponse, Response};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The request breaks a rule of this API; the text names it.
    #[error("{0}")]
    Malformed(&'static str),
    /// The body could not be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A body in a type that is not taken.
    #[error("the Content-Type is not `application/json`")]
    MediaType,
    /// There is no such container.
    #[error("no such container")]
    NoContainer,
    /// There is no such image.
    #[error("no such image")]
    NoImage,
    /// The engine or a registry, or the way to it.
    #[error(transparent)]
    Engine(Error),
}

impl Failure {
    /// A failure of a call about one container that the client named.
    ///
    /// A name that no container can have, and a container that the grants do not cover, are not there as far as the client is concerned.
    pub(crate) fn of_container(error: Error) -> Failure {
        match error {
            Error::NotFound | Error::Invalid(_) | Error::Denied => Failure::NoContainer,
            other => Failure::Engine(other),
        }
    }

    /// A failure of a call about one image that the client named. What is no reference at all was an internal error to the clients of this API, and is one still.
    pub(crate) fn of_image(error: Error) -> Failure {
        match error {
            Error::NotFound | Error::Denied => Failure::NoImage,
            other => Failure::Engine(other),
        }
    }

    fn status(&self) -> u16 {
        match self {
            Failure::Body(BodyError::TooLarge) => 413,
            Failure::Malformed(_) | Failure::Body(_) => 400,
            Failure::MediaType => 415,
            Failure::NoContainer | Failure::NoImage => 404,
            Failure::Engine(_) => 500,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        match status {
            500 => error!(error = %self, "failed to serve a request"),
            _ => debug!(error = %self, status, "refused a request"),
        }
        Response::new(status)
    }
}
