//! Requests that a test makes, and the answers that it gets.

use serde::Serialize;

use super::identity::Sender;
use super::stream;
use super::world::take_started;
use crate::body::{Arrived, Body};
use crate::error::Error;
use crate::request::{Head, HeaderField, Request};
use crate::response::{Response, ResponseBody};
use crate::stream::ByteStream;

/// A request to send with [`call`](super::call).
#[must_use]
pub struct RequestBuilder {
    head: Head,
    body: Arrived,
    user: Option<String>,
}

/// A request with `method` to `target`: a path below the plugin's mount, percent-encoded, and what follows the `?`.
pub fn request(method: &str, target: &str) -> RequestBuilder {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let head = Head {
        id: "test".to_owned(),
        method: method.to_owned(),
        scheme: "http".to_owned(),
        authority: "localhost".to_owned(),
        mount: String::new(),
        path: path.to_owned(),
        query,
        headers: Vec::new(),
        remote: Some("127.0.0.1:50000".to_owned()),
    };
    RequestBuilder { head, body: Arrived::Empty, user: None }
}

/// A GET of `target`; see [`request`].
pub fn get(target: &str) -> RequestBuilder {
    request("GET", target)
}

/// A POST to `target`; see [`request`].
pub fn post(target: &str) -> RequestBuilder {
    request("POST", target)
}

/// A PUT of `target`; see [`request`].
pub fn put(target: &str) -> RequestBuilder {
    request("PUT", target)
}

/// A PATCH of `target`; see [`request`].
pub fn patch(target: &str) -> RequestBuilder {
    request("PATCH", target)
}

/// A DELETE of `target`; see [`request`].
pub fn delete(target: &str) -> RequestBuilder {
    request("DELETE", target)
}

impl std::fmt::Debug for RequestBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let query = self.head.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        write!(formatter, "{} {}{query}", self.head.method, self.head.path)
    }
}

impl RequestBuilder {
    /// Adds a header field.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> RequestBuilder {
        self.head.headers.push(HeaderField { name: name.to_ascii_lowercase(), value: value.into() });
        self
    }

    /// Sends `bytes` as the body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> RequestBuilder {
        self.body = Arrived::Bytes(bytes.into());
        self
    }

    /// Sends `value` as JSON, and says so.
    ///
    /// # Panics
    ///
    /// If `value` cannot be written as JSON.
    #[expect(clippy::expect_used, reason = "a mistake of the test, which should fail")]
    pub fn json(self, value: &impl Serialize) -> RequestBuilder {
        let json = serde_json::to_vec(value).expect("the test's value cannot be written as JSON");
        self.header("content-type", "application/json").body(json)
    }

    /// Sends `chunks` as a body that arrives over time; an error ends it, [`Error::QuotaExceeded`] as one that is too large.
    pub fn stream(mut self, chunks: impl IntoIterator<Item = Result<Vec<u8>, Error>>) -> RequestBuilder {
        self.body = Arrived::Stream(ByteStream(stream::ByteStream::new(chunks)));
        self
    }

    /// Lets the user `name` of the fake host be who sends it.
    ///
    /// # Panics
    ///
    /// When the plugin asks who it is and the host has no such user.
    pub fn as_user(mut self, name: &str) -> RequestBuilder {
        self.user = Some(name.to_owned());
        self
    }

    /// Sends the cookie that `answer` has set, as a browser would.
    pub fn with_cookie_of(self, answer: &Answer) -> RequestBuilder {
        let pair = answer.header("set-cookie").map(|field| field.split(';').next().unwrap_or_default().to_owned());
        match pair {
            Some(pair) => self.header("cookie", pair),
            None => self,
        }
    }

    /// Who sends it.
    pub(super) fn sender(&self) -> Sender {
        let field = |name: &str| {
            let found = self.head.headers.iter().find(|field| field.name == name);
            found.map(|field| String::from_utf8_lossy(&field.value).into_owned())
        };
        Sender { user: self.user.clone(), authorization: field("authorization"), cookie: field("cookie") }
    }

    pub(crate) fn build(self) -> Request {
        Request::new(self.head, Body::new(self.body))
    }
}

/// What the client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The fields that the plugin sent, in its order.
    pub headers: Vec<(String, String)>,
    /// The body; a stream is read to its end.
    pub body: Vec<u8>,
    /// Whether the body is a stream that the plugin left to the host.
    pub streamed: bool,
}

impl Answer {
    /// What the host makes of a plugin's answer.
    pub(crate) fn of(response: Result<Response, Error>) -> Answer {
        let started = take_started();
        let response = response.unwrap_or_else(|error| Response::new(500).body(error.to_string().into_bytes()));
        let fields = |fields: &crate::host::Fields| {
            fields.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value).into_owned())).collect::<Vec<_>>()
        };
        let mut answer = Answer { status: response.status, headers: fields(&response.headers), body: Vec::new(), streamed: false };
        match (response.body, started) {
            (ResponseBody::Empty, _) => {}
            (ResponseBody::Bytes(bytes), _) => answer.body = bytes.into_owned(),
            (ResponseBody::Stream(mut stream), _) => {
                answer.streamed = true;
                // An error cuts the body off; the client has what came before.
                while let Ok(Some(chunk)) = stream.read(64 * 1024) {
                    answer.body.extend_from_slice(&chunk);
                }
            }
            (ResponseBody::Started, Some(started)) => {
                answer.status = started.status;
                answer.headers = fields(&started.headers);
                answer.body = started.written.take();
            }
            (ResponseBody::Started, None) => answer.status = 500,
        }
        answer
    }

    /// The body as text; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The first field `name`, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}
