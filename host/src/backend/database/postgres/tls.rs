//! TLS for connections to PostgreSQL: the host's own roots of trust and crypto provider, in the client's terms.
//!
//! Where the connection is encrypted the server's certificate is checked, in every `sslmode`.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OnceCell;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use wharf_sql::Error;

use crate::backend::registry::client_config;

/// What newer servers want to be asked for.
const PROTOCOL: &[u8] = b"postgresql";

/// Makes connectors, and reads the roots of trust once.
pub(super) struct Encryption {
    ca_file: Option<PathBuf>,
    connector: OnceCell<Connector>,
}

/// Encrypts connections.
#[derive(Clone)]
pub(super) struct Connector(TlsConnector);

impl Encryption {
    pub(super) fn new(ca_file: Option<PathBuf>) -> Encryption {
        Encryption { ca_file, connector: OnceCell::new() }
    }

    pub(super) async fn connector(&self) -> Result<Connector, Error> {
        let make = async {
            let ca_file = self.ca_file.clone();
            let config = tokio::task::spawn_blocking(move || client_config(ca_file.as_deref())).await;
            let mut config = config.map_err(|error| error.to_string()).flatten().map_err(Error::Unavailable)?;
            config.alpn_protocols = vec![PROTOCOL.to_vec()];
            Ok(Connector(TlsConnector::from(Arc::new(config))))
        };
        self.connector.get_or_try_init(|| make).await.cloned()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = Infallible;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, Infallible> {
        Ok(Handshake { connector: self.0.clone(), name: ServerName::try_from(domain.to_owned()).ok() })
    }
}

/// A handshake that is about to begin.
pub(super) struct Handshake {
    connector: TlsConnector,
    /// None for a socket of this machine's, which is made ready for a handshake too, though there is none.
    name: Option<ServerName<'static>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name =
                self.name.ok_or_else(|| io::Error::other("a certificate has a name, and the server's is none that can stand in one"))?;
            Ok(Encrypted(self.connector.connect(name, stream).await?))
        })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
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
