//! Every failure of this API: `{"errormsg": …}` with a text, or with a list of what is wrong with a request.
//!
//! The statuses are those that its clients know: 422 for what breaks the shape of a request, 400 for what stands against a request that is right in itself, and 520 for whatever nobody has thought of,
//! such as an engine that is away. A build that failed is a 520 too, but says at which step and what the build wrote.

use serde_json::{Value, json};
use wharf_sdk::tracing::{debug, error};
use wharf_sdk::{BodyError, Error, IntoResponse, Response};

use crate::body::MAX_DOCUMENT;
use crate::kind::Kind;

const NO_PATH: &str =
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.";

/// One thing that is wrong with a request: where, in words, and the word for programs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Detail {
    /// Names of fields and places in lists, from the outside in.
    pub(crate) place: Vec<Value>,
    pub(crate) message: String,
    /// As pydantic has them: `value_error.missing`.
    pub(crate) word: &'static str,
}

impl Detail {
    /// A value of the right type that breaks a rule.
    pub(crate) fn value(place: &[Value], message: impl Into<String>) -> Detail {
        Detail { place: place.to_vec(), message: message.into(), word: "value_error" }
    }

    fn document(&self) -> Value {
        json!({"loc": self.place, "msg": self.message, "type": self.word})
    }
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is nothing under this path.
    #[error("{NO_PATH}")]
    NoPath,
    /// There is no such thing. The id is as the client wrote it.
    #[error("{0} with id {1} does not exist")]
    NoObject(Kind, String),
    /// There is no such thing beside those with ids; the text is the whole message.
    #[error("{0}")]
    NotFound(String),
    /// Another thing of the kind has the name.
    #[error("{0} with name {1} already exists")]
    Exists(Kind, String),
    /// Something else belongs to the thing of this name.
    #[error("{0} {1} has foreign key and can not be deleted")]
    InUse(Kind, String),
    /// The body is no JSON.
    #[error("Bad Request")]
    NotJson,
    /// The request breaks a rule of its shape.
    #[error("the request is not valid")]
    Invalid(Vec<Detail>),
    /// The request is right in itself, and something stands against it.
    #[error("{0}")]
    Refused(String),
    /// The body is longer than the host takes.
    #[error("the body is longer than this site takes")]
    TooLarge,
    /// The body is longer than a document may be.
    #[error("the body is longer than the {MAX_DOCUMENT} bytes that a document may have")]
    DocumentTooLarge,
    /// The space of the plugin is used up, or what one request may do; the host does not say which.
    #[error("there is no more space for this plugin on this site, or this is more than one request may do")]
    NoSpace,
    /// A build, or a start, that failed.
    #[error("{0}")]
    NotDone(String),
    /// The engine, the storage, or the way to them.
    #[error("Unknown exception: {0}")]
    Host(#[source] Error),
}

impl Failure {
    /// One thing that is wrong.
    pub(crate) fn invalid(detail: Detail) -> Failure {
        Failure::Invalid(vec![detail])
    }

    /// A failure of the engine about `what`, which the client has named.
    pub(crate) fn of_engine(error: Error, what: &str) -> Failure {
        match error {
            Error::Denied => Failure::Refused(format!("`{what}` is not allowed on this site")),
            Error::NotFound => Failure::Refused(format!("the engine does not hold `{what}`")),
            Error::Invalid(reason) | Error::Conflict(reason) => Failure::Refused(reason),
            Error::QuotaExceeded => Failure::Refused("too much is under way on this site, or this is too large for it".to_owned()),
            other => Failure::Host(other),
        }
    }

    fn status(&self) -> u16 {
        match self {
            Failure::NoPath | Failure::NoObject(..) | Failure::NotFound(_) => 404,
            Failure::Exists(..) | Failure::InUse(..) | Failure::NotJson | Failure::Refused(_) => 400,
            Failure::Invalid(_) => 422,
            Failure::TooLarge | Failure::DocumentTooLarge => 413,
            Failure::NoSpace => 507,
            Failure::NotDone(_) | Failure::Host(_) => 520,
        }
    }

    fn message(&self) -> Value {
        match self {
            Failure::Invalid(details) => details.iter().map(Detail::document).collect(),
            // What went wrong inside is for the operator.
            Failure::Host(Error::Unavailable(reason)) => format!("Unknown exception: unavailable: {reason}").into(),
            Failure::Host(_) => "Unknown exception".into(),
            other => other.to_string().into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::QuotaExceeded => Failure::NoSpace,
            other => Failure::Host(other),
        }
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Failure {
        match error {
            BodyError::TooLarge => Failure::TooLarge,
            BodyError::Unreadable(_) => Failure::Refused("the body was cut short".to_owned()),
            BodyError::NotJson(_) => Failure::NotJson,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        match (status, &self) {
            (500.., Failure::Host(cause)) => error!(error = %cause, status, "failed to serve a request"),
            (500.., _) => error!(error = %self, status, "failed to serve a request"),
            (_, Failure::Invalid(details)) => debug!(error = ?details, status, "refused a request"),
            _ => debug!(error = %self, status, "refused a request"),
        }
        answer(status, &self.message())
    }
}

/// The answer to a method that a path does not have.
pub(crate) fn method_not_allowed(allowed: &[&str]) -> Response {
    let message = "The method is not allowed for the requested URL.".into();
    answer(405, &message).header("allow", [allowed, &["OPTIONS"]].concat().join(", "))
}

fn answer(status: u16, message: &Value) -> Response {
    Response::json(&json!({"errormsg": message})).with_status(status)
}
