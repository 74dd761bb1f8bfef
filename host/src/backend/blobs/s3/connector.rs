//! How `object_store` reaches S3: on hyper and rustls as the host's other requests do, instead of the reqwest that it would bring, with a TLS stack of its own.
//!
//! The operator names the endpoint, so that none of the rules hold here by which plugins are kept from leading the host somewhere.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Uri};
use http_body_util::BodyExt;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::backend::registry::client_config;

/// How long a connection may take, its encryption too.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection is kept that nobody uses.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// How long the head of an answer may take to a question. Shorter than a plugin's default deadline, so that it can still say what was wrong.
const HEAD: Duration = Duration::from_secs(10);
/// How long it may take to what changes something, beside the time for the request's body: S3 may be a while about putting parts together.
const HEAD_OF_CHANGE: Duration = Duration::from_secs(60);
/// The slowest line on which a part still arrives.
const SLOWEST_BYTES_PER_SEC: u64 = 64 * 1024;

/// Makes clients of S3, all of which share one pool of connections.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    client: Client<Dial, HttpRequestBody>,
}

impl Connector {
    /// Trusts the system's roots and those in `ca_file`, which are read when they are first needed.
    pub(super) fn new(ca_file: Option<PathBuf>) -> Connector {
        let dial = Dial { ca_file, encryption: Arc::default() };
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(POOL_IDLE).build(dial);
        Connector { client }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(uri) = with_escaped_spaces(request.uri()) {
            *request.uri_mut() = uri;
        }
        let limit = match *request.method() {
            Method::GET | Method::HEAD => HEAD,
            _ => HEAD_OF_CHANGE + Duration::from_secs(request.body().content_length() as u64 / SLOWEST_BYTES_PER_SEC),
        };
        match tokio::time::timeout(limit, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response.map(|body| HttpResponseBody::new(body.map_err(of_body)))),
            Ok(Err(error)) if error.is_connect() => Err(HttpError::new(HttpErrorKind::Connect, error)),
            Ok(Err(error)) => Err(HttpError::new(HttpErrorKind::Request, error)),
            Err(elapsed) => Err(HttpError::new(HttpErrorKind::Timeout, elapsed)),
        }
    }
}

/// `uri` with `%20` for each `+` of its query; none if there is none. `object_store` writes a space so, as a form does, and not all that check its signature take one for the other.
fn with_escaped_spaces(uri: &Uri) -> Option<Uri> {
    let query = uri.query().filter(|query| query.contains('+'))?.replace('+', "%20");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", uri.path()).parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn of_body(error: hyper::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error)
}

/// Whether waiting for S3 was given up.
pub(super) fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<HttpError>().is_some_and(|error| error.kind() == HttpErrorKind::Timeout) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Signed requests to the bucket, for what `object_store` has no function for.
pub(super) struct Requests {
    pub(super) connector: Connector,
    /// The URL of the bucket, without a slash at its end.
    pub(super) bucket: String,
    pub(super) region: String,
}

impl Requests {
    /// The body of the answer to a GET of the bucket with `query`.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) async fn get(&self, query: &[(&str, &str)], credential: &AwsCredential) -> Result<bytes::Bytes, String> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let uri = format!("{}?{query}", self.bucket);
        let mut request = http::Request::builder().uri(uri).body(HttpRequestBody::empty()).map_err(|error| error.to_string())?;
        AwsAuthorizer::new(credential, "s3", &self.region).try_authorize(&mut request, None).map_err(|error| error.to_string())?;
        let response = self.connector.call(request).await.map_err(|error| super::chain(&error))?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()));
        }
        let whole = tokio::time::timeout(super::READ_IDLE, response.into_body().bytes()).await;
        whole.map_err(|elapsed| elapsed.to_string())?.map_err(|error| super::chain(&error))
    }
}

/// Opens connections.
#[derive(Clone)]
struct Dial {
    ca_file: Option<PathBuf>,
    encryption: Arc<OnceCell<TlsConnector>>,
}

impl Dial {
    async fn dial(self, uri: Uri) -> io::Result<Dialled> {
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let encrypted = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or_else(|| invalid(format!("`{uri}` has no host")))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        if !encrypted {
            return Ok(Dialled(TokioIo::new(Box::new(stream))));
        }
        let name = ServerName::try_from(host).map_err(|error| invalid(error.to_string()))?;
        let stream = self.encryption().await?.connect(name, stream).await?;
        Ok(Dialled(TokioIo::new(Box::new(stream))))
    }

    async fn encryption(&self) -> io::Result<&TlsConnector> {
        let make = || async {
            let ca_file = self.ca_file.clone();
            let config = tokio::task::spawn_blocking(move || client_config(ca_file.as_deref())).await;
            let config = config.map_err(io::Error::other)?.map_err(io::Error::other)?;
            Ok::<_, io::Error>(TlsConnector::from(Arc::new(config)))
        };
        self.encryption.get_or_try_init(make).await
    }
}

impl tower_service::Service<Uri> for Dial {
    type Response = Dialled;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Dialled>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move { tokio::time::timeout(CONNECT, dial.dial(uri)).await? })
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection, encrypted or not.
struct Dialled(TokioIo<Box<dyn Stream>>);

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Dialled {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_in_a_query_is_not_a_plus() {
        let escaped = |uri: &str| with_escaped_spaces(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(escaped("http://s3:9000/b?prefix=a+b%2B&x=+").unwrap(), "http://s3:9000/b?prefix=a%20b%2B&x=%20");
        assert_eq!(escaped("http://s3:9000/b+c?prefix=a%2Bb"), None);
        assert_eq!(escaped("http://s3:9000/b+c"), None);
    }
}
