//! Every failure of this API, in the words that its clients know.

use serde_json::{Value, json};
use wharf_sdk::storage::Error;
use wharf_sdk::tracing::{debug, error};
use wharf_sdk::{BodyError, IntoResponse, Response};

use crate::account;
use crate::body::Mistakes;
use crate::filter::Mistake;

/// Why a request was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No credential came with the request.
    NotLoggedIn,
    /// A credential came that is not valid.
    TokenRejected,
    /// Name or password is wrong.
    WrongPassword,
    /// A token in a body is not valid, or of another kind.
    TokenInvalid,
    /// Too many logins have failed.
    TooManyLogins,
    /// Only administrators may do this.
    NotAllowed,
    /// There is no such thing, or no such path.
    NotFound,
    /// The body is no JSON.
    NotJson(String),
    /// The body is of a type that is not taken.
    MediaType(String),
    /// The body is longer than the host takes.
    TooLarge,
    /// The filter is none.
    Filter(Mistake),
    /// Fields of the body are wrong.
    Fields(Mistakes),
    /// The database, or the way to it.
    Storage(Error),
}

impl Failure {
    fn parts(&self) -> (u16, Value) {
        let detail = |text: &str| json!({"detail": text});
        match self {
            Failure::NotLoggedIn => (401, detail("Authentication credentials were not provided.")),
            Failure::TokenRejected => {
                let messages = json!([{"token_class": "AccessToken", "token_type": "access", "message": "Token is invalid or expired"}]);
                (401, json!({"detail": "Given token not valid for any token type", "code": "token_not_valid", "messages": messages}))
            }
            Failure::WrongPassword => (401, detail("No active account found with the given credentials")),
            Failure::TokenInvalid => (401, json!({"detail": "Token is invalid or expired", "code": "token_not_valid"})),
            Failure::TooManyLogins => (429, detail("Request was throttled.")),
            Failure::NotAllowed => (403, detail("You do not have permission to perform this action.")),
            Failure::NotFound => (404, detail("Not found.")),
            Failure::NotJson(reason) => (400, json!({"detail": format!("JSON parse error - {reason}")})),
            Failure::MediaType(media_type) => (415, json!({"detail": format!("Unsupported media type \"{media_type}\" in request.")})),
            Failure::TooLarge => (413, detail("The body is too long.")),
            Failure::Filter(mistake) => (400, json!({"detail": format!("Unable to parse JSON: {mistake}")})),
            Failure::Fields(mistakes) => (400, mistakes.to_json()),
            Failure::Storage(Error::Unavailable(_) | Error::Timeout) => (503, detail("The catalogue cannot be reached.")),
            Failure::Storage(Error::QuotaExceeded) => (507, detail("The catalogue is full.")),
            Failure::Storage(_) => (500, detail("The catalogue failed.")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Storage(error)
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Failure {
        match error {
            BodyError::TooLarge => Failure::TooLarge,
            other => Failure::NotJson(other.to_string()),
        }
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Failure {
        Failure::Fields(mistakes)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, body) = self.parts();
        match &self {
            Failure::Storage(reason) => error!(error = %reason, status, "failed to serve a request"),
            _ => debug!(status, %body, "refused a request"),
        }
        let response = Response::json(&body).with_status(status);
        if status == 401 { response.header("www-authenticate", "Bearer realm=\"api\"") } else { response }
    }
}

/// The answer to a method that a path does not have. Who is not logged in hears that first.
pub(crate) fn method_not_allowed(method: &str, allowed: &[&str]) -> Response {
    if let Err(failure) = account::reader() {
        return failure.into_response();
    }
    let detail = format!("Method \"{method}\" not allowed.");
    Response::json(&json!({ "detail": detail })).with_status(405).header("allow", [allowed, &["OPTIONS"]].concat().join(", "))
}
