//! A request, as a handler sees it.
//!
//! Nothing is parsed before somebody asks: no map of the fields, none of the query. A route that looks at neither pays for neither.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use crate::body::{Body, BodyError};
use crate::stream::ByteStream;

/// One header field as it arrived; the name is in lower case.
pub(crate) struct HeaderField {
    pub(crate) name: String,
    pub(crate) value: Vec<u8>,
}

/// Everything of a request but its body, as the contract has it.
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) mount: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<HeaderField>,
    pub(crate) remote: Option<String>,
}

/// A path parameter: its name in the pattern, and where its value stands in the path that was matched.
pub(crate) struct Param {
    pub(crate) name: Box<str>,
    pub(crate) value: Range<usize>,
}

/// One request to the plugin.
pub struct Request {
    head: Head,
    body: Body,
    /// What the router matched; set by it.
    pub(crate) params: Vec<Param>,
    /// The path that the router matched, when that is not the path on the wire because it was decoded first.
    pub(crate) decoded_path: Option<String>,
}

impl std::fmt::Debug for Request {
    /// Method and path. Queries and fields are where people put their secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.head.method, self.head.path)
    }
}

impl Request {
    pub(crate) fn new(head: Head, body: Body) -> Request {
        Request { head, body, params: Vec::new(), decoded_path: None }
    }

    /// The request's id, which is in every line of the host's log for it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.head.id
    }

    /// The method as sent, for example `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.head.method
    }

    /// `http` or `https`, as the client sees it.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.head.scheme
    }

    /// The host that the client asked, with its port if it sent one; may be empty.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.head.authority
    }

    /// The prefix that the plugin is mounted at, without a trailing slash; empty for `/`.
    #[must_use]
    pub fn mount(&self) -> &str {
        &self.head.mount
    }

    /// The path below the mount, percent-encoded as it was on the wire; begins with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.head.path
    }

    /// The client's address and port; none when the host does not know it.
    #[must_use]
    pub fn remote(&self) -> Option<&str> {
        self.head.remote.as_deref()
    }

    /// The path parameter `name`, percent-decoded; empty when the route has no such parameter. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// With [`Router::encoded_slash_separates`](crate::Router::encoded_slash_separates) the path was decoded before it was matched, and is not decoded again.
    #[must_use]
    pub fn param(&self, name: &str) -> Cow<'_, str> {
        match self.decoded_path {
            Some(_) => Cow::Borrowed(self.raw_param(name)),
            None => crate::percent_decode(self.raw_param(name)),
        }
    }

    /// The path parameter `name` as it stands in the path that the router matched; empty when the route has no such parameter.
    #[must_use]
    pub fn raw_param(&self, name: &str) -> &str {
        let path = self.decoded_path.as_deref().unwrap_or(&self.head.path);
        let param = self.params.iter().find(|param| &*param.name == name);
        param.and_then(|param| path.get(param.value.clone())).unwrap_or_default()
    }

    /// What followed the first `?`, read as a form: `+` is a space, and percent-encoding is taken off.
    ///
    /// Nothing is refused: a `%` without two hexadecimal digits stays as it is, and bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn query(&self) -> Query<'_> {
        Query(self.head.query.as_deref().unwrap_or_default())
    }

    /// What followed the first `?` as it was on the wire; none without a `?`.
    #[must_use]
    pub fn raw_query(&self) -> Option<&str> {
        self.head.query.as_deref()
    }

    /// The first field `name`, in any case; none when it is absent or not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(field, _)| field.eq_ignore_ascii_case(name)).and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All header fields in the order in which they arrived, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.headers.iter().map(|field| (field.name.as_str(), field.value.as_slice()))
    }

    /// The `Content-Type` in lower case and without its parameters, for example `application/json`; empty when there is none.
    #[must_use]
    pub fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The whole body. The first call reads it, up to what the host allows.
    ///
    /// # Errors
    ///
    /// [`BodyError::TooLarge`] past the plugin's `request_mib`; [`BodyError::Unreadable`] for a body that was cut short or taken with [`Request::take_stream`].
    pub fn bytes(&self) -> Result<&[u8], BodyError> {
        self.body.bytes()
    }

    /// The body read as JSON, whatever its `Content-Type`. Its texts may be borrowed from the request.
    ///
    /// # Errors
    ///
    /// As [`Request::bytes`], and [`BodyError::NotJson`].
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, BodyError> {
        serde_json::from_slice(self.bytes()?).map_err(BodyError::NotJson)
    }

    /// The body as a stream, for bodies that do not fit into memory.
    ///
    /// None when it arrived whole (it was no larger than 64 KiB) or was read before: then [`Request::bytes`] has it.
    #[must_use]
    pub fn take_stream(&self) -> Option<ByteStream> {
        self.body.take_stream()
    }
}

/// The parameters after the `?`, in their order. Reading it again parses it again.
///
/// ```
/// use wharf_sdk::{Plugin, Request, Router, fake};
///
/// struct Search;
///
/// impl Plugin for Search {
///     fn routes() -> Router {
///         Router::new().get("/search", |request: &Request| {
///             let query = request.query();
///             let tags: Vec<_> = query.all("tag").collect();
///             format!("{} in {}", query.get("q").unwrap_or_default(), tags.join(" and "))
///         })
///     }
/// }
///
/// let answer = fake::call::<Search>(fake::get("/search?q=a+b%21&tag=x&tag=y"));
/// assert_eq!(answer.text(), "a b! in x and y");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// All names and values; a name without `=` has an empty value.
    pub fn pairs(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        form_urlencoded::parse(self.0.as_bytes())
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Cow<'a, str>> {
        self.pairs().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Every value of `name`.
    pub fn all(self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        self.pairs().filter(move |(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether there is no parameter at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.pairs().next().is_none()
    }
}
