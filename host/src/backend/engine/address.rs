//! Where an engine listens, and how to connect to it.
//!
//! One connector for both kinds of address, so that our own requests and bollard's share one pool of connections. TLS is not offered: an engine that is
//! reached over a network belongs behind a tunnel or a proxy that knows who is asking.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Authority;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

/// Where an engine listens. Two tables of the configuration with the same address mean the same engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum EngineAddress {
    /// A Unix socket, by absolute path.
    Unix(PathBuf),
    /// Plain HTTP, as `host:port`.
    Tcp(String),
}

/// Why an engine's URL is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineUrlError {
    /// The URL has no scheme, or one that is not offered.
    #[error("`{url}` is no engine URL: expected `unix:///path`, `tcp://host:port` or `http://host:port`")]
    Scheme {
        /// The URL.
        url: String,
    },
    /// `unix://` without an absolute path.
    #[error("`{url}` needs an absolute path, as in `unix:///var/run/docker.sock`")]
    Path {
        /// The URL.
        url: String,
    },
    /// `tcp://` or `http://` with something other than a host and a port behind it.
    #[error("`{url}` needs a host and a port and nothing else, as in `tcp://127.0.0.1:2375`")]
    HostPort {
        /// The URL.
        url: String,
    },
}

impl EngineAddress {
    /// Reads `unix:///path`, `tcp://host:port` or `http://host:port`.
    ///
    /// # Errors
    ///
    /// What is wrong with any other text. TLS and SSH are among the others.
    pub(crate) fn parse(url: &str) -> Result<EngineAddress, EngineUrlError> {
        let owned = || url.to_owned();
        if let Some(path) = url.strip_prefix("unix://") {
            let path = Path::new(path);
            let usable = path.is_absolute() && path.file_name().is_some() && !url.contains('\0');
            return if usable { Ok(EngineAddress::Unix(path.to_owned())) } else { Err(EngineUrlError::Path { url: owned() }) };
        }
        let rest =
            url.strip_prefix("tcp://").or_else(|| url.strip_prefix("http://")).ok_or_else(|| EngineUrlError::Scheme { url: owned() })?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        match rest.parse::<Authority>() {
            Ok(authority) if authority.port_u16().is_some() && !authority.host().is_empty() && !rest.contains('@') => {
                Ok(EngineAddress::Tcp(rest.to_owned()))
            }
            _ => Err(EngineUrlError::HostPort { url: owned() }),
        }
    }

    /// What the `Host` field of requests says. A socket has no name of its own.
    pub(super) fn authority(&self) -> &str {
        match self {
            EngineAddress::Unix(_) => "engine",
            EngineAddress::Tcp(authority) => authority,
        }
    }

    /// The socket's path; none for an engine that is reached over TCP.
    pub(crate) fn socket(&self) -> Option<&Path> {
        match self {
            EngineAddress::Unix(path) => Some(path),
            EngineAddress::Tcp(_) => None,
        }
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineAddress::Unix(path) => write!(formatter, "unix://{}", path.display()),
            EngineAddress::Tcp(authority) => write!(formatter, "tcp://{authority}"),
        }
    }
}

/// Opens connections to one engine, whatever the URI of a request says.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) EngineAddress);

impl tower_service::Service<Uri> for Connector {
    type Response = EngineConnection;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<EngineConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let address = self.0.clone();
        Box::pin(async move {
            match address {
                EngineAddress::Unix(path) => Ok(EngineConnection::Unix(TokioIo::new(UnixStream::connect(path).await?))),
                EngineAddress::Tcp(authority) => {
                    let stream = TcpStream::connect(authority).await?;
                    stream.set_nodelay(true)?;
                    Ok(EngineConnection::Tcp(TokioIo::new(stream)))
                }
            }
        })
    }
}

/// A connection of either kind.
pub(super) enum EngineConnection {
    Unix(TokioIo<UnixStream>),
    Tcp(TokioIo<TcpStream>),
}

impl Connection for EngineConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for EngineConnection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            EngineConnection::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            EngineConnection::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl Write for EngineConnection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            EngineConnection::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            EngineConnection::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            EngineConnection::Unix(stream) => Pin::new(stream).poll_flush(context),
            EngineConnection::Tcp(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            EngineConnection::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            EngineConnection::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_kinds_of_url_name_an_engine() {
        let tcp = |text: &str| Ok(EngineAddress::Tcp(text.to_owned()));
        assert_eq!(EngineAddress::parse("unix:///var/run/docker.sock"), Ok(EngineAddress::Unix("/var/run/docker.sock".into())));
        assert_eq!(EngineAddress::parse("tcp://127.0.0.1:2375"), tcp("127.0.0.1:2375"));
        assert_eq!(EngineAddress::parse("http://engine.local:2375/"), tcp("engine.local:2375"));
        assert_eq!(EngineAddress::parse("tcp://[::1]:2375"), tcp("[::1]:2375"));
    }

    #[test]
    fn any_other_url_says_what_is_expected() {
        for url in ["", "/var/run/docker.sock", "https://engine:2376", "ssh://engine", "npipe:////./pipe/docker_engine"] {
            assert_eq!(EngineAddress::parse(url), Err(EngineUrlError::Scheme { url: url.to_owned() }));
        }
        for url in ["unix://", "unix://docker.sock", "unix:///"] {
            assert_eq!(EngineAddress::parse(url), Err(EngineUrlError::Path { url: url.to_owned() }));
        }
        for url in ["tcp://engine", "tcp://:2375", "http://engine:2375/path", "tcp://user@engine:2375", "tcp://engine:99999"] {
            assert_eq!(EngineAddress::parse(url), Err(EngineUrlError::HostPort { url: url.to_owned() }));
        }
    }
}
