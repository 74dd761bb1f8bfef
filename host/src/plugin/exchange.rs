//! Requests and responses at the border: HTTP's types outside, `wharf:http`'s records inside.
//!
//! Whatever a plugin answers is checked here, before a byte of it is sent: a response that cannot be sent as it is is the plugin's error, never repaired in silence. Also here: the functions of `wharf:http`.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyStream;
use tracing::Span;
use wasmtime::component::Resource;

use super::call::PluginRequest;
use super::state::{InstanceState, NotStarted, Started};
use crate::backend::stream::{BodyWriter, ByteStream, Duplex, StreamError};
use crate::bindings::exports::wharf::http::handler;
use crate::bindings::wharf::http::{outgoing, types};

/// The largest body that crosses whole; a larger one is a stream. A second crossing costs less than copying more than this for a plugin that may not read it.
const WHOLE_BODY_BYTES: usize = 64 * 1024;

/// How long a client may be silent in the middle of its body.
const BODY_IDLE: Duration = Duration::from_secs(30);

/// Chunks of a started response that may wait for a slow client before the plugin has to.
const STARTED_CHUNKS: usize = 8;

/// The most fields that a response may have: more than any browser takes.
const MAX_FIELDS: usize = 256;

/// Fields that belong to the connection and not to the message (RFC 9110 section 7.6.1). The host sets them itself.
const CONNECTION_FIELDS: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A request's body as it crosses.
pub(crate) enum PluginBody {
    Empty,
    Bytes(Bytes),
    Stream(ByteStream),
}

/// Why a request's body cannot be handed to a plugin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than the plugin's `request_mib`. 413.
    TooLarge,
    /// The client sent nothing for too long. 408.
    Timeout,
    /// The client's message broke off. 400, if anybody still hears it.
    Cut,
}

/// The head of a request as the plugin at `mount` sees it.
pub(crate) fn request_head(request: &PluginRequest<'_>, mount: &str) -> types::RequestHead {
    let PluginRequest { parts, id, remote, headers, caller, .. } = request;
    let path = parts.uri.path();
    let path = path.strip_prefix(mount).unwrap_or(path);
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = || parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let headers = headers.as_ref().unwrap_or(&parts.headers);
    let headers = headers.iter().map(|(name, value)| types::Field { name: name.as_str().to_owned(), value: value.as_bytes().to_vec() });
    types::RequestHead {
        id: (*id).to_owned(),
        method: parts.method.as_str().to_owned(),
        scheme: if caller.is_secure { "https" } else { parts.uri.scheme_str().unwrap_or("http") }.to_owned(),
        authority: authority.or_else(host).unwrap_or_default(),
        mount: mount.to_owned(),
        path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        query: parts.uri.query().map(str::to_owned),
        headers: headers.collect(),
        remote: remote.map(str::to_owned),
    }
}

/// Reads as much of `body` as crosses whole, and makes a stream of a larger one. Reads nothing of one that says that it is too large: a client that asks first (`Expect: 100-continue`)
/// then sends nothing of it.
///
/// # Errors
///
/// [`BodyError`]; a stream that turns out too long later fails with [`StreamError::TooLong`] where it is read.
pub(crate) async fn request_body(body: Body, limit_bytes: u64) -> Result<PluginBody, BodyError> {
    let hint = body.size_hint();
    if hint.exact() == Some(0) {
        return Ok(PluginBody::Empty);
    }
    if hint.lower() > limit_bytes {
        return Err(BodyError::TooLarge);
    }
    let mut stream = limited(body, limit_bytes).boxed();
    let mut start = Vec::new();
    while start.len() <= WHOLE_BODY_BYTES {
        match stream.next().await {
            Some(Ok(chunk)) => start.extend_from_slice(&chunk),
            Some(Err(StreamError::TooLong { .. })) => return Err(BodyError::TooLarge),
            Some(Err(StreamError::Timeout)) => return Err(BodyError::Timeout),
            Some(Err(StreamError::Cut(_) | StreamError::Over)) => return Err(BodyError::Cut),
            None if start.is_empty() => return Ok(PluginBody::Empty),
            None => return Ok(PluginBody::Bytes(start.into())),
        }
    }
    let start = futures_util::stream::iter([Ok(Bytes::from(start))]);
    Ok(PluginBody::Stream(ByteStream::new(start.chain(stream))))
}

/// The data of `body`, as long as it is no longer than `limit_bytes` and never silent for long.
fn limited(body: Body, limit_bytes: u64) -> impl futures_util::Stream<Item = Result<Bytes, StreamError>> + Send {
    let state = (BodyStream::new(body), 0_u64);
    futures_util::stream::unfold(state, move |(mut frames, mut seen)| async move {
        loop {
            let item = match tokio::time::timeout(BODY_IDLE, frames.next()).await {
                Err(_elapsed) => Err(StreamError::Timeout),
                Ok(None) => return None,
                Ok(Some(Err(error))) => Err(StreamError::Cut(error.to_string())),
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing that a plugin could ask for.
                    let Ok(data) = frame.into_data() else { continue };
                    seen += data.len() as u64;
                    if seen > limit_bytes { Err(StreamError::TooLong { limit_bytes }) } else { Ok(data) }
                }
            };
            return Some((item, (frames, seen)));
        }
    })
}

/// Puts `body` where the plugin can reach it.
pub(crate) fn body_record(body: PluginBody, state: &mut InstanceState) -> wasmtime::Result<handler::Body> {
    Ok(match body {
        PluginBody::Empty => handler::Body::Empty,
        PluginBody::Bytes(bytes) => handler::Body::Bytes(bytes.into()),
        PluginBody::Stream(stream) => handler::Body::Stream(state.table.push(stream)?),
    })
}

/// What the plugin answered, as a response.
///
/// # Errors
///
/// Why it cannot be sent.
pub(crate) fn response(record: types::Response, state: &mut InstanceState, limit_bytes: u64) -> Result<Response<Body>, String> {
    let (status, headers) = response_head(record.status, &record.headers)?;
    let body = match record.body {
        types::ResponseBody::Empty => Body::empty(),
        types::ResponseBody::Bytes(bytes) => {
            if bytes.len() as u64 > limit_bytes {
                return Err(format!("the body has {} bytes, the limit `response_mib` allows {limit_bytes}", bytes.len()));
            }
            Body::from(bytes)
        }
        types::ResponseBody::Stream(stream) => {
            let stream = state.table.delete(stream).map_err(|error| error.to_string())?;
            Body::from_stream(stream.into_rest())
        }
        types::ResponseBody::Upgrade(duplex) => match *state.table.get(&duplex).map_err(|error| error.to_string())? {},
        types::ResponseBody::Started => return Err("it says `started` without a call of `outgoing.start`".to_owned()),
    };
    Ok(assemble(status, headers, body))
}

/// A response of its parts.
pub(crate) fn assemble(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Status and fields, checked.
///
/// # Errors
///
/// Why they cannot be sent.
pub(crate) fn response_head(status: u16, fields: &[types::Field]) -> Result<(StatusCode, HeaderMap), String> {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| format!("the status {status} is not one of 200 to 599"))?;
    if fields.len() > MAX_FIELDS {
        return Err(format!("it has {} fields, {MAX_FIELDS} may be sent", fields.len()));
    }
    let mut headers = HeaderMap::with_capacity(fields.len() + 2);
    for field in fields {
        let name =
            HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| format!("`{}` is no field name", field.name.escape_debug()))?;
        if CONNECTION_FIELDS.contains(&name) {
            return Err(format!("the field `{name}` belongs to the connection"));
        }
        let value =
            HeaderValue::from_bytes(&field.value).map_err(|_| format!("the value of the field `{name}` has bytes that HTTP forbids"))?;
        headers.append(name, value);
    }
    Ok((status, headers))
}

/// `response` to a request of `method`, if its `content-length` is right; one that is not known yet is checked while it is sent, and the body breaks off where it would go wrong.
///
/// # Errors
///
/// Why it cannot be sent.
pub(crate) fn with_its_length(method: &Method, response: Response<Body>) -> Result<Response<Body>, String> {
    let Some(said) = said_length(response.headers())? else { return Ok(response) };
    let status = response.status();
    if status == StatusCode::NO_CONTENT {
        return Err("a response with status 204 has no `content-length`".to_owned());
    }
    let has = response.body().size_hint().exact();
    let no_body = method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    if no_body && has.is_none_or(|has| has == 0 || status == StatusCode::NOT_MODIFIED) {
        // It says how long the answer to a GET would be. A body of unknown length, since hyper leaves the field out when it knows that there is no body.
        return Ok(response.map(|_| Body::from_stream(futures_util::stream::empty::<io::Result<Bytes>>())));
    }
    match has {
        Some(has) if has != said => Err(format!("`content-length` says {said}, the body has {has} bytes")),
        Some(_) => Ok(response),
        None => Ok(response.map(|body| Body::from_stream(of_length(BodyStream::new(body), said, Span::current())))),
    }
}

/// What `content-length` says; none if it is not there.
fn said_length(headers: &HeaderMap) -> Result<Option<u64>, String> {
    let mut length = None;
    for said in headers.get_all(CONTENT_LENGTH) {
        let digits = said.to_str().ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let said = digits.and_then(|digits| digits.parse::<u64>().ok()).ok_or_else(|| format!("`content-length` says {said:?}"))?;
        if length.is_some_and(|length| length != said) {
            return Err(format!("`content-length` says {said} and something else"));
        }
        length = Some(said);
    }
    Ok(length)
}

/// `frames`, as long as they have exactly `said` bytes; what goes wrong is logged in `span`. The last chunk waits for the end: when it is out, the client takes the body for whole.
fn of_length(frames: BodyStream<Body>, said: u64, span: Span) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    let state = (Some(frames), said, None::<Bytes>, span);
    futures_util::stream::try_unfold(state, |(frames, mut left, mut last, span)| async move {
        let Some(mut frames) = frames else { return Ok(None) };
        while let Some(frame) = frames.next().await {
            let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
            if data.is_empty() {
                continue;
            }
            let Some(after) = left.checked_sub(data.len() as u64) else { return Err(broken("more", &span).await) };
            left = after;
            if left == 0 {
                last = Some(data);
                continue;
            }
            return Ok(Some((data, (Some(frames), left, last, span))));
        }
        match left {
            0 => Ok(last.map(|data| (data, (None, left, None, span)))),
            _ => Err(broken("fewer", &span).await),
        }
    })
}

/// The end of a body that has `what` bytes than its `content-length`. Said in the log, since the head is out, or is about to be: the connection gets a turn to send what it has.
async fn broken(what: &'static str, span: &Span) -> io::Error {
    tracing::error!(parent: span, "cut a response off: its body has {what} bytes than its `content-length`");
    tokio::task::yield_now().await;
    io::Error::other("the body is not as long as its `content-length`")
}

fn error_record(error: StreamError) -> types::Error {
    match error {
        StreamError::Cut(reason) => types::Error::Unavailable(reason),
        StreamError::Timeout => types::Error::Timeout,
        StreamError::TooLong { .. } => types::Error::QuotaExceeded,
        StreamError::Over => types::Error::NotFound,
    }
}

impl types::Host for InstanceState {}

impl types::HostByteStream for InstanceState {
    async fn read(&mut self, stream: Resource<ByteStream>, max: u32) -> Result<Option<Vec<u8>>, types::Error> {
        if max == 0 {
            return Err(types::Error::Invalid("`max` is 0".to_owned()));
        }
        let stream = self.table.get_mut(&stream).map_err(|error| types::Error::Internal(error.to_string()))?;
        let chunk = stream.read(max as usize).await.map_err(error_record)?;
        Ok(chunk.map(Vec::from))
    }

    fn drop(&mut self, stream: Resource<ByteStream>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl types::HostDuplex for InstanceState {
    fn drop(&mut self, duplex: Resource<Duplex>) -> wasmtime::Result<()> {
        self.table.delete(duplex)?;
        Ok(())
    }
}

impl outgoing::Host for InstanceState {
    async fn start(&mut self, status: u16, headers: Vec<types::Field>) -> Result<Resource<BodyWriter>, types::Error> {
        let (status, headers) = response_head(status, &headers).map_err(types::Error::Invalid)?;
        let (writer, body) = BodyWriter::new(STARTED_CHUNKS);
        self.outgoing.start(Started { status, headers, body }).map_err(|reason| {
            types::Error::Conflict(match reason {
                NotStarted::NoRequest => "there is no request to answer".to_owned(),
                NotStarted::Twice => "this request's response was started before".to_owned(),
            })
        })?;
        let writer = self.table.push(writer).map_err(|error| types::Error::Internal(error.to_string()))?;
        // The client gets the head now, and not when the plugin next has to wait.
        tokio::task::yield_now().await;
        Ok(writer)
    }
}

impl outgoing::HostBodyWriter for InstanceState {
    async fn write(&mut self, writer: Resource<BodyWriter>, chunk: Vec<u8>) -> Result<(), types::Error> {
        let writer = self.table.get(&writer).map_err(|error| types::Error::Internal(error.to_string()))?;
        writer.write(chunk.into()).await.map_err(error_record)
    }

    fn drop(&mut self, writer: Resource<BodyWriter>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response with `length` as its field and `body`, to `method`: the body that is sent, or the error before or while it is.
    #[track_caller]
    fn check(method: Method, status: u16, length: &[&'static str], body: Body, expected: Result<&str, &str>) {
        let mut response = Response::builder().status(status);
        for length in length {
            response = response.header(CONTENT_LENGTH, *length);
        }
        let sent = with_its_length(&method, response.body(body).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let sent = sent.and_then(|response| {
            let read = axum::body::to_bytes(response.into_body(), usize::MAX);
            runtime.block_on(read).map_err(|error| error.to_string())
        });
        assert_eq!(sent.as_deref(), expected.map(str::as_bytes).map_err(str::to_owned).as_ref().copied());
    }

    fn chunks(chunks: &'static [&'static str]) -> Body {
        Body::from_stream(futures_util::stream::iter(chunks.iter().map(|chunk| Ok::<_, io::Error>(Bytes::from(*chunk)))))
    }

    #[test]
    fn a_length_that_the_body_does_not_have_is_not_sent() {
        check(Method::GET, 200, &["4"], Body::from("four"), Ok("four"));
        check(Method::GET, 200, &["4", "4"], Body::from("four"), Ok("four"));
        check(Method::GET, 200, &["5"], Body::from("four"), Err("`content-length` says 5, the body has 4 bytes"));
        check(Method::GET, 200, &["5"], Body::empty(), Err("`content-length` says 5, the body has 0 bytes"));
        check(Method::GET, 200, &["4", "5"], Body::from("four"), Err("`content-length` says 5 and something else"));
        check(Method::GET, 200, &["+4"], Body::from("four"), Err("`content-length` says \"+4\""));
        check(Method::GET, 200, &[""], Body::empty(), Err("`content-length` says \"\""));
        check(Method::GET, 204, &["0"], Body::empty(), Err("a response with status 204 has no `content-length`"));
    }

    #[test]
    fn without_a_body_the_length_is_that_of_the_answer_to_a_get() {
        check(Method::HEAD, 200, &["5"], Body::empty(), Ok(""));
        check(Method::HEAD, 200, &["5"], chunks(&["x"]), Ok(""));
        check(Method::HEAD, 200, &["5"], Body::from("four"), Err("`content-length` says 5, the body has 4 bytes"));
        check(Method::GET, 304, &["5"], Body::empty(), Ok(""));
        check(Method::GET, 304, &["x"], Body::empty(), Err("`content-length` says \"x\""));
    }

    #[test]
    fn a_stream_breaks_off_where_its_length_would_be_wrong() {
        let broken = Err("the body is not as long as its `content-length`");
        check(Method::GET, 200, &["4"], chunks(&["fo", "", "ur", ""]), Ok("four"));
        check(Method::GET, 200, &["0"], chunks(&[]), Ok(""));
        check(Method::GET, 200, &["5"], chunks(&["fo", "ur"]), broken);
        check(Method::GET, 200, &["3"], chunks(&["fo", "ur"]), broken);
        check(Method::GET, 200, &["2"], chunks(&["fo", "ur"]), broken);
        check(Method::GET, 200, &[], chunks(&["fo", "ur"]), Ok("four"));
    }

    #[tokio::test]
    async fn the_last_chunk_waits_for_the_end() {
        let frames = BodyStream::new(chunks(&["fo", "ur", "!"]));
        let sent: Vec<_> = of_length(frames, 4, Span::none()).map(|item| item.ok()).collect().await;
        assert_eq!(sent, [Some(Bytes::from("fo")), None], "the client must not see four bytes");
    }
}
