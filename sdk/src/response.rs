//! What a handler answers.
//!
//! Names and short bodies that are known at compile time are borrowed until they cross to the host: a small answer costs two allocations.

use std::borrow::Cow;

use serde::Serialize;

use crate::error::Error;
use crate::problem::Problem;
use crate::stream::{BodyWriter, ByteStream};

/// What can be answered: a [`Response`], a text, a `Result` of two such things, or a type of the plugin's own.
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
