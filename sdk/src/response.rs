//! What a handler answers.
//!
//! Names and short bodies that are known at compile time are borrowed until they cross to the host: a small answer costs two allocations.

use std::borrow::Cow;

use serde::Serialize;

use crate::error::Error;
use crate::problem::Problem;
use crate::stream::{BodyWriter, ByteStream};

/// What can be answered: a [`Response`], a text, a `Result` of two such things, or a type of the plugin's own.
///
/// An API with its own way to say what went wrong has a type for it, and `?` in its handlers:
///
/// ```
/// use wharf_sdk::docker::{self, containers_lifecycle};
/// use wharf_sdk::{BodyError, IntoResponse, Plugin, Request, Response, Router, fake};
///
/// enum Failure {
///     Body(BodyError),
///     Engine(docker::Error),
/// }
///
/// impl From<BodyError> for Failure {
///     fn from(error: BodyError) -> Failure {
///         Failure::Body(error)
///     }
/// }
///
/// impl From<docker::Error> for Failure {
///     fn from(error: docker::Error) -> Failure {
///         Failure::Engine(error)
///     }
/// }
///
/// impl IntoResponse for Failure {
///     fn into_response(self) -> Response {
///         match self {
///             Failure::Body(error) => Response::text(error.to_string()).with_status(422),
///             Failure::Engine(docker::Error::NotFound) => Response::text("no such container").with_status(404),
///             Failure::Engine(_) => Response::new(500),
///         }
///     }
/// }
///
/// fn start(request: &Request) -> Result<Response, Failure> {
///     let names: Vec<String> = request.json()?;
///     for name in &names {
///         containers_lifecycle::start(name)?;
///     }
///     Ok(Response::new(204))
/// }
///
/// struct Starter;
///
/// impl Plugin for Starter {
///     fn routes() -> Router {
///         Router::new().post("/start", start)
///     }
/// }
///
/// let answer = fake::call::<Starter>(fake::post("/start").json(&["web"]));
/// assert_eq!((answer.status, answer.text().as_str()), (404, "no such container"));
/// assert_eq!(fake::call::<Starter>(fake::post("/start").body("{")).status, 422);
/// ```
pub trait IntoResponse {
    /// Turns it into the response to send.
    fn into_response(self) -> Response;
}

/// Status, header fields and body.
#[derive(Debug)]
#[must_use]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(Cow<'static, str>, Cow<'static, [u8]>)>,
    pub(crate) body: ResponseBody,
}

/// A response's body, as the contract has it.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    Empty,
    Bytes(Cow<'static, [u8]>),
    Stream(ByteStream),
    Started,
}

impl Response {
    /// A response without fields and without a body. `status` is 200 to 599.
    pub fn new(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: ResponseBody::Empty }
    }

    /// 200 with `text` as `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Response {
        Response::new(200).header("content-type", "text/plain; charset=utf-8").body(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// 200 with `value` as `application/json`; 500 and a line in the log when it cannot be written as JSON, such as a map whose keys are no strings.
    pub fn json(value: &impl Serialize) -> Response {
        match serde_json::to_vec(value) {
            Ok(json) => Response::new(200).header("content-type", "application/json").body(json),
            Err(error) => {
                tracing::error!(%error, "failed to write an answer as JSON");
                Problem::new(500).into_response()
            }
        }
    }

    /// 200 with what `stream` still holds; the host sends it, and this plugin's instance is free at once. Says nothing of its type.
    pub fn stream(stream: ByteStream) -> Response {
        Response { status: 200, headers: Vec::new(), body: ResponseBody::Stream(stream) }
    }

    pub(crate) fn started() -> Response {
        Response { status: 200, headers: Vec::new(), body: ResponseBody::Started }
    }

    /// The same with another status.
    pub fn with_status(mut self, status: u16) -> Response {
        self.status = status;
        self
    }

    /// Adds a field. A field that is there already stays, as `Set-Cookie` needs it.
    ///
    /// The host refuses a malformed field and one that belongs to the connection, such as `transfer-encoding`: the client gets 500 instead.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Response {
        let value = match value.into() {
            Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
            Cow::Owned(value) => Cow::Owned(value.into_bytes()),
        };
        self.headers.push((name.into(), value));
        self
    }

    /// The same with `bytes` as the body.
    pub fn body(mut self, bytes: impl Into<Cow<'static, [u8]>>) -> Response {
        let bytes = bytes.into();
        self.body = if bytes.is_empty() { ResponseBody::Empty } else { ResponseBody::Bytes(bytes) };
        self
    }

    /// Sends status and fields now, for a body that the plugin writes while it works. The body of `self` is dropped.
    ///
    /// Answer [`BodyWriter::finish`] at the end. A handler that fails after this cannot answer anything else any more: the host cuts the response off.
    ///
    /// ```
    /// use wharf_sdk::{Error, Plugin, Request, Response, Router, fake};
    ///
    /// fn numbers(_: &Request) -> Result<Response, Error> {
    ///     let mut body = Response::new(200).header("content-type", "text/plain").start()?;
    ///     for number in 0..3 {
    ///         body.write(format!("{number}\n").as_bytes())?;
    ///     }
    ///     Ok(body.finish())
    /// }
    ///
    /// struct Numbers;
    ///
    /// impl Plugin for Numbers {
    ///     fn routes() -> Router {
    ///         Router::new().get("/numbers", numbers)
    ///     }
    /// }
    ///
    /// assert_eq!(fake::call::<Numbers>(fake::get("/numbers")).text(), "0\n1\n2\n");
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when a response was started in this request before, [`Error::Invalid`] for a status or field that the host refuses.
    pub fn start(self) -> Result<BodyWriter, Error> {
        let writer = crate::host::with(|host| host.start(self.status, self.headers))?;
        crate::export::note_start();
        Ok(writer)
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first field `name`, in any case, as it will be sent; none when it is absent or not UTF-8.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(answer) => answer.into_response(),
            Err(error) => error.into_response(),
        }
    }
}
