//! Requests and responses at the border: HTTP's types outside, `wharf:http`'s records inside.
//!
//! Whatever a plugin answers is checked here, before a byte of it is sent: a response that cannot be sent as it is is the plugin's error, never repaired in silence. Also here: the functions of `wharf:http`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{Response, StatusCode, request};
use http_body_util::BodyStream;
use tokio::sync::Mutex;
use wasmtime::component::Resource;

use super::state::{InstanceState, NotStarted, Started};
use crate::backend::stream::{BodyWriter, ByteStream, Duplex, StreamError};
use crate::bindings::exports::wharf::http::handler;
use crate::bindings::wharf::http::{outgoing, types};

/// The largest body that crosses whole; a larger one is a stream. A second crossing costs less than copying more than this for a plugin that may not read it.
const WHOLE_BODY_BYTES: usize = 64 * 1024;

/// How long a client may be silent in the middle of its body.
const BODY_IDLE: Duration = Duration::from_secs(30);

/// How long a body that nobody wants is still read, so that its client hears the answer and not a broken connection.
const LINGER: Duration = Duration::from_secs(2);

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

/// What a plugin may leave of a request's body.
///
/// A client that is still sending hears no answer, and a connection with a body left in it cannot be used again. So what the plugin did not want is read and thrown away.
pub(crate) struct Leftover(Arc<Mutex<BoxStream<'static, Result<Bytes, StreamError>>>>);

impl Leftover {
    /// Reads to the end of a body that nobody holds any more, for at most [`LINGER`]. A body that is being answered is left alone.
    pub(crate) async fn drain(self) {
        if let Some(stream) = Arc::into_inner(self.0) {
            discard(stream.into_inner(), LINGER).await;
        }
    }
}

/// Reads and throws away what arrives of `stream`, for at most `patience`.
async fn discard(mut stream: BoxStream<'static, Result<Bytes, StreamError>>, patience: Duration) {
    let discarded = async { while let Some(Ok(_) | Err(StreamError::TooLong { .. })) = stream.next().await {} };
    let _ = tokio::time::timeout(patience, discarded).await;
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

/// The head of a request as the plugin sees it.
pub(crate) fn request_head(parts: &request::Parts, id: &str, mount: &str, remote: Option<&str>) -> types::RequestHead {
    let path = parts.uri.path();
    let path = path.strip_prefix(mount).unwrap_or(path);
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = || parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let headers =
        parts.headers.iter().map(|(name, value)| types::Field { name: name.as_str().to_owned(), value: value.as_bytes().to_vec() });
    types::RequestHead {
        id: id.to_owned(),
        method: parts.method.as_str().to_owned(),
        scheme: parts.uri.scheme_str().unwrap_or("http").to_owned(),
        authority: authority.or_else(host).unwrap_or_default(),
        mount: mount.to_owned(),
        path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        query: parts.uri.query().map(str::to_owned),
        headers: headers.collect(),
        remote: remote.map(str::to_owned),
    }
}

/// Reads as much of `body` as crosses whole, and makes a stream of a larger one.
///
/// # Errors
///
/// [`BodyError`]; a stream that turns out too long later fails with [`StreamError::TooLong`] where it is read.
pub(crate) async fn request_body(body: Body, limit_bytes: u64) -> Result<(PluginBody, Option<Leftover>), BodyError> {
    let hint = http_body::Body::size_hint(&body);
    if hint.exact() == Some(0) {
        return Ok((PluginBody::Empty, None));
    }
    let mut stream = limited(body, limit_bytes).fuse().boxed();
    if hint.lower() > limit_bytes {
        discard(stream, LINGER).await;
        return Err(BodyError::TooLarge);
    }
    let mut start = Vec::new();
    while start.len() <= WHOLE_BODY_BYTES {
        match stream.next().await {
            Some(Ok(chunk)) => start.extend_from_slice(&chunk),
            Some(Err(StreamError::TooLong { .. })) => {
                discard(stream, LINGER).await;
                return Err(BodyError::TooLarge);
            }
            Some(Err(StreamError::Timeout)) => return Err(BodyError::Timeout),
            Some(Err(StreamError::Cut(_) | StreamError::Over)) => return Err(BodyError::Cut),
            None if start.is_empty() => return Ok((PluginBody::Empty, None)),
            None => return Ok((PluginBody::Bytes(start.into()), None)),
        }
    }
    let start = futures_util::stream::iter([Ok(Bytes::from(start))]);
    let rest = Arc::new(Mutex::new(stream));
    let leftover = Leftover(Arc::clone(&rest));
    // Nobody else takes the lock while the plugin holds the stream.
    let rest = futures_util::stream::unfold(rest, |rest| async {
        let item = rest.lock().await.next().await;
        item.map(|item| (item, rest))
    });
    Ok((PluginBody::Stream(ByteStream::new(start.chain(rest))), Some(leftover)))
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
            check_length(&headers, bytes.len())?;
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

fn check_length(headers: &HeaderMap, length: usize) -> Result<(), String> {
    let mut said = headers.get_all(CONTENT_LENGTH).iter();
    match said.find(|said| said.as_bytes() != length.to_string().as_bytes()) {
        Some(said) => Err(format!("`content-length` says {said:?}, the body has {length} bytes")),
        None => Ok(()),
    }
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
