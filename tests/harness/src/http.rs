//! A small HTTP client: requests to the host under test and to the engine's socket.
//!
//! Every status is an answer, no redirect is followed, and paths go out as they were written, so that a test sees what a client would see.
//! What a well-behaved client cannot send (a malformed head, a body that stops halfway) goes through [`exchange`].

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use ureq::AsSendBody;
use ureq::http::{HeaderMap, Request};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

/// No answer takes longer: stopping a container that does not listen takes ten seconds, an import on a busy machine twenty.
const PATIENCE: Duration = Duration::from_secs(120);

/// Requests to one server.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    authority: String,
    headers: Vec<(String, String)>,
    patience: Duration,
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Client {
    /// A client of the server at `address`.
    pub fn tcp(address: SocketAddr) -> Client {
        Client { agent: ureq::Agent::new_with_config(config()), authority: address.to_string(), headers: Vec::new(), patience: PATIENCE }
    }

    /// A client of the server that listens on the Unix socket `path`.
    pub fn unix(path: impl Into<PathBuf>) -> Client {
        let agent = ureq::Agent::with_parts(config(), UnixConnector { path: path.into() }, DefaultResolver::default());
        // An address, since a name would be looked up; the connector does not use it.
        Client { agent, authority: "127.0.0.1".to_owned(), headers: Vec::new(), patience: PATIENCE }
    }

    /// The same client with `name: value` in every request. `host` names the site to ask.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Client {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same client, which waits for the end of an answer at most for `patience` instead of two minutes.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Client {
        self.patience = patience;
        self
    }

    /// `GET path`; the path begins with `/` and may have a query.
    ///
    /// # Errors
    ///
    /// The server did not answer, or not in HTTP. So for all the functions here.
    pub fn get(&self, path: &str) -> anyhow::Result<Response> {
        self.send("GET", path, &[], &[])
    }

    /// `POST path` without a body.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn post(&self, path: &str) -> anyhow::Result<Response> {
        self.send("POST", path, &[], &[])
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn post_json(&self, path: &str, body: &Value) -> anyhow::Result<Response> {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// `DELETE path`.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn delete(&self, path: &str) -> anyhow::Result<Response> {
        self.send("DELETE", path, &[], &[])
    }

    /// Sends any request and reads the response to its end; an empty `body` is none.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Response> {
        let (status, headers, mut reader) = self.open(method, path, headers, body)?;
        let mut body = Vec::new();
        reader.read_to_end(&mut body).with_context(|| format!("failed to read the body of `{method} {path}`"))?;
        Ok(Response { status, headers, body })
    }

    /// Sends any request and answers as soon as the response's head is there; the body is read, or left unread, by the caller.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<(u16, HeaderMap, impl Read + use<>)> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.authority));
        for (name, value) in self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        let context = || format!("no answer to `{method} {path}`");
        let response = match (method, body) {
            ("GET" | "HEAD", []) => self.agent.run(self.limited(request.body(())?)),
            // With its length, even if that is zero: the engine takes a body of unknown length for one with something in it.
            _ => self.agent.run(self.limited(request.body(body)?)),
        };
        let (head, body) = response.with_context(context)?.into_parts();
        Ok((head.status.as_u16(), head.headers, body.into_reader()))
    }

    /// `request` with our patience.
    fn limited<B: AsSendBody>(&self, request: Request<B>) -> Request<B> {
        self.agent.configure_request(request).timeout_global(Some(self.patience)).build()
    }
}

impl Response {
    /// The body as text.
    ///
    /// # Errors
    ///
    /// The body is not UTF-8.
    pub fn text(&self) -> anyhow::Result<&str> {
        Ok(std::str::from_utf8(&self.body)?)
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// The body is not JSON; the message shows it.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The header field `name`, the first if there are several; none if it is absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// This response, if its status is below 400.
    ///
    /// # Errors
    ///
    /// The status is 400 or higher; the message has `doing`, the status and the body.
    pub fn success(self, doing: &str) -> anyhow::Result<Response> {
        let Response { status, body, .. } = &self;
        anyhow::ensure!(*status < 400, "{doing}: status {status}: {}", String::from_utf8_lossy(body).trim());
        Ok(self)
    }
}

/// Sends `bytes` as they are and answers everything that comes back until the server closes the connection.
///
/// # Errors
///
/// The server cannot be reached, or keeps the connection open for longer than ten seconds.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn config() -> ureq::config::Config {
    ureq::config::Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .allow_non_standard_methods(true)
        .proxy(None)
        .user_agent("wharf-harness")
        .build()
}

/// Connects to one Unix socket, whatever the URI says.
#[derive(Debug)]
struct UnixConnector {
    path: PathBuf,
}

impl Connector<()> for UnixConnector {
    type Out = UnixTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, _chained: Option<()>) -> Result<Option<UnixTransport>, ureq::Error> {
        let stream = UnixStream::connect(&self.path)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|limit| *limit))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.set_read_timeout(timeout.not_zero().map(|limit| *limit))?;
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Says that no connection can be used again, so that each request opens its own: the engine may have been restarted in between.
    fn is_open(&mut self) -> bool {
        false
    }
}

impl fmt::Debug for UnixTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixTransport").field("stream", &self.stream).finish_non_exhaustive()
    }
}
