//! From an address to a connection that may carry a request: resolve, check where that leads, connect, check again, encrypt.
//!
//! Every connection of this client is made here, those to token servers and after redirects too, so that the rules of [`outbound`] hold for each. Roots of trust are the system's, and
//! those of the registry's `ca_file`; they are read when they are first needed and kept.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use url::{Host, Url};

use super::super::causes::chain;
use super::error::RegistryError;
use super::outbound::{self, Errand, OwnListeners};
use crate::settings::{Located, Mistake};

/// A server, and why we go there: connections that were made for one reason are not used for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) encrypted: bool,
    pub(super) host: Host<String>,
    pub(super) port: u16,
    pub(super) errand: Errand,
    /// Further roots of trust.
    pub(super) ca_file: Option<PathBuf>,
}

impl Origin {
    /// Whether it is the same server to a client that has a secret for it.
    pub(super) fn is_same_server(&self, other: &Origin) -> bool {
        (self.encrypted, &self.host, self.port) == (other.encrypted, &other.host, other.port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// Whether `url` names this machine, without asking a resolver.
pub(crate) fn names_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Makes connections.
pub(super) struct Connector {
    own: OwnListeners,
    /// How long one address of a host may take to answer.
    limit: Duration,
    /// By the file with further roots.
    encryption: tokio::sync::Mutex<HashMap<Option<PathBuf>, TlsConnector>>,
}

impl Connector {
    pub(super) fn new(own: OwnListeners, limit: Duration) -> Connector {
        Connector { own, limit, encryption: tokio::sync::Mutex::default() }
    }

    /// Connects to `origin`.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Refused`] when the host does not go there; [`RegistryError::Certificate`]; [`RegistryError::Timeout`] and [`RegistryError::Unreachable`] of the last address that was
    /// tried.
    pub(super) async fn connect(&self, origin: &Origin) -> Result<Box<dyn Stream>, RegistryError> {
        let stream = self.connect_to_one_of(&self.resolve(origin).await?, origin).await?;
        if !origin.encrypted {
            return Ok(Box::new(stream));
        }
        let name = match &origin.host {
            Host::Domain(name) => {
                ServerName::try_from(name.clone()).map_err(|_| RegistryError::Unreachable(format!("`{name}` is no host's name")))?
            }
            Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::V4(*ip)),
            Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::V6(*ip)),
        };
        let encryption = self.encryption(origin.ca_file.as_deref()).await?;
        match tokio::time::timeout(self.limit, encryption.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(of_handshake(&error)),
            Err(_elapsed) => Err(RegistryError::Timeout(self.limit)),
        }
    }

    /// The addresses of `origin` to which we may go. One that we may not is as if the resolver had not named it, unless it is the only one.
    async fn resolve(&self, origin: &Origin) -> Result<Vec<SocketAddr>, RegistryError> {
        let found: Vec<SocketAddr> = match &origin.host {
            Host::Ipv4(ip) => vec![SocketAddr::from((*ip, origin.port))],
            Host::Ipv6(ip) => vec![SocketAddr::from((*ip, origin.port))],
            Host::Domain(name) => match tokio::time::timeout(self.limit, tokio::net::lookup_host((name.as_str(), origin.port))).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(error)) => return Err(RegistryError::Unreachable(format!("failed to resolve `{name}`: {error}"))),
                Err(_elapsed) => return Err(RegistryError::Timeout(self.limit)),
            },
        };
        let mut refusal = RegistryError::Unreachable(format!("`{}` has no address", origin.host));
        let mut allowed = Vec::new();
        for address in found {
            match outbound::check(address, None, origin.errand, &self.own) {
                Ok(()) => allowed.push(address),
                Err(reason) => refusal = RegistryError::Refused(reason),
            }
        }
        if allowed.is_empty() { Err(refusal) } else { Ok(allowed) }
    }

    async fn connect_to_one_of(&self, addresses: &[SocketAddr], origin: &Origin) -> Result<TcpStream, RegistryError> {
        let mut last = RegistryError::Unreachable(format!("`{}` has no address", origin.host));
        for address in addresses {
            match tokio::time::timeout(self.limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let local = stream.local_addr().ok();
                    outbound::check(*address, local, origin.errand, &self.own).map_err(RegistryError::Refused)?;
                    // A request is one small packet that nothing follows.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = RegistryError::Unreachable(format!("{address}: {error}")),
                Err(_elapsed) => last = RegistryError::Timeout(self.limit),
            }
        }
        Err(last)
    }

    async fn encryption(&self, ca_file: Option<&Path>) -> Result<TlsConnector, RegistryError> {
        let mut made = self.encryption.lock().await;
        if let Some(connector) = made.get(&ca_file.map(Path::to_owned)) {
            return Ok(connector.clone());
        }
        let file = ca_file.map(Path::to_owned);
        let config = tokio::task::spawn_blocking(move || client_config(file.as_deref())).await;
        let config = config.map_err(|error| error.to_string()).flatten().map_err(RegistryError::Certificate)?;
        let connector = TlsConnector::from(Arc::new(config));
        made.insert(ca_file.map(Path::to_owned), connector.clone());
        Ok(connector)
    }
}

/// How encrypted connections are made that trust the system's roots and those in `ca_file`. Blocks.
///
/// # Errors
///
/// Why `ca_file` cannot be used.
pub(in crate::backend) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // A broken certificate among the system's does not make the others worse; without any, only `ca_file` is trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        add_roots(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Adds the certificates in the file at `path`. Blocks.
fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| format!("failed to read `ca_file` `{}`: {}", path.display(), chain(error));
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if roots.len() == before {
        return Err(format!("`ca_file` `{}` has no certificate in it", path.display()));
    }
    Ok(())
}

/// What is wrong with each of the files of certificates that tables name; nothing for those that can be used. Blocks.
pub(crate) fn check_ca_files(files: &[Located<PathBuf>]) -> Vec<Mistake> {
    let mistake = |file: &Located<PathBuf>| {
        let message = add_roots(&mut RootCertStore::empty(), &file.value).err()?;
        let remedy = "write the path of a file with certificates in PEM, relative to the file that this stands in".to_owned();
        Some(Mistake { at: Some(file.at.clone()), message, remedy: Some(remedy) })
    };
    files.iter().filter_map(mistake).collect()
}

fn of_handshake(error: &std::io::Error) -> RegistryError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => RegistryError::Certificate(reason.to_string()),
        _ => RegistryError::Unreachable(format!("no encrypted connection: {error}")),
    }
}
