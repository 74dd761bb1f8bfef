//! Connections that are kept and used again, no more of them to one server than [`CONNECTIONS`].
//!
//! A pool of our own, because hyper-util's opens a connection whenever none is idle at that moment and keeps it if an idle one turns up first: a burst of requests then makes many more connections than it
//! uses. Here a request waits for one of so many permits, and whoever has a permit takes the idle connection if there is one. A connection goes back when the body of its response was read to its end, and is
//! closed otherwise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};

use super::super::causes::chain;
use super::connect::{Connector, Origin};
use super::error::RegistryError;

/// The most connections to one server.
pub(crate) const CONNECTIONS: usize = 32;
/// How long a connection is kept that nobody uses. Shorter than the idle limits of the proxies that stand before registries.
const IDLE: Duration = Duration::from_secs(30);
/// How many servers are remembered. Plugins name them, so there is an end.
const MAX_SERVERS: usize = 256;
/// The most that the head of a response may have. Tokens do not come in heads.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// All connections of one client.
pub(super) struct Pool {
    connector: Connector,
    servers: Mutex<HashMap<Origin, Arc<Server>>>,
    /// What reads and writes the connections. Ends with the pool.
    tasks: Mutex<JoinSet<()>>,
    /// Called with each new connection.
    connected: Box<dyn Fn() + Send + Sync>,
}

struct Server {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// For the head of the response.
    pub(super) head: Duration,
    /// For everything, the turn in the pool too.
    pub(super) until: Instant,
}

impl Pool {
    pub(super) fn new(connector: Connector, connected: impl Fn() + Send + Sync + 'static) -> Pool {
        Pool { connector, servers: Mutex::default(), tasks: Mutex::default(), connected: Box::new(connected) }
    }

    /// Sends `request` to `origin`. A kept connection that turns out to be closed is replaced by a new one; whoever sends something that must not be done twice does not come here.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Timeout`] and [`RegistryError::Unreachable`], and those of [`Connector::connect`].
    pub(super) async fn send(&self, origin: &Origin, request: Request<Full<Bytes>>, waits: Waits) -> Result<Response<Body>, RegistryError> {
        let server = self.server(origin);
        let turn = timeout_at(waits.until.into(), Arc::clone(&server.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = turn else { return Err(RegistryError::Timeout(waits.head)) };
        let limit = waits.head.min(waits.until.saturating_duration_since(Instant::now()));
        match timeout(limit, self.exchange(origin, &server, request)).await {
            Ok(Ok((response, sender))) => Ok(response.map(|incoming| Body::new(incoming, Lease { sender, server, _permit: permit }))),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(RegistryError::Timeout(limit)),
        }
    }

    /// Runs `work` to its end, unless the pool ends first.
    pub(super) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }

    async fn exchange(
        &self,
        origin: &Origin,
        server: &Server,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, SendRequest<Full<Bytes>>), RegistryError> {
        if let Some(mut kept) = server.take_idle() {
            // What a server closed while nobody looked shows now, or in the middle of the request.
            if kept.ready().await.is_ok()
                && let Ok(response) = kept.send_request(request.clone()).await
            {
                return Ok((response, kept));
            }
        }
        let mut fresh = self.open(origin).await?;
        match fresh.send_request(request).await {
            Ok(response) => Ok((response, fresh)),
            Err(error) => Err(RegistryError::Unreachable(format!("{origin}: {}", chain(&error)))),
        }
    }

    async fn open(&self, origin: &Origin) -> Result<SendRequest<Full<Bytes>>, RegistryError> {
        let stream = self.connector.connect(origin).await?;
        (self.connected)();
        let handshake = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| RegistryError::Unreachable(format!("{origin}: {}", chain(&error))))?;
        self.run(async move {
            // How it ended is known to the request that it carried, if it carried one.
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn server(&self, origin: &Origin) -> Arc<Server> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(origin) {
            return Arc::clone(server);
        }
        if servers.len() >= MAX_SERVERS {
            servers.retain(|_, server| Arc::strong_count(server) > 1);
        }
        let server = Arc::new(Server { permits: Arc::new(Semaphore::new(CONNECTIONS)), idle: Mutex::default() });
        servers.insert(origin.clone(), Arc::clone(&server));
        server
    }
}

impl Server {
    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| !kept.sender.is_closed() && kept.since.elapsed() < IDLE);
        idle.pop().map(|kept| kept.sender)
    }

    fn put_back(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { sender, since: Instant::now() });
    }
}

/// A connection in use.
struct Lease {
    sender: SendRequest<Full<Bytes>>,
    server: Arc<Server>,
    _permit: OwnedSemaphorePermit,
}

/// The body of a response, with the connection on which it comes.
pub(super) struct Body {
    incoming: Incoming,
    /// None when the connection went back.
    lease: Option<Lease>,
}

impl Body {
    fn new(incoming: Incoming, lease: Lease) -> Body {
        let mut body = Body { incoming, lease: Some(lease) };
        if body.incoming.is_end_stream() {
            body.end();
        }
        body
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Timeout`] when nothing arrives for `idle` or until `until`; [`RegistryError::Unreachable`] when the connection breaks.
    pub(super) async fn piece(&mut self, idle: Duration, until: Instant) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let limit = idle.min(until.saturating_duration_since(Instant::now()));
            match timeout(limit, self.incoming.frame()).await {
                Err(_elapsed) => return Err(RegistryError::Timeout(limit)),
                Ok(None) => {
                    self.end();
                    return Ok(None);
                }
                Ok(Some(Err(error))) => return Err(RegistryError::Unreachable(format!("the answer was cut off: {}", chain(&error)))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// [`RegistryError::TooLong`] as soon as it is longer than `limit_bytes`, and those of [`Body::piece`].
    pub(super) async fn whole(mut self, idle: Duration, until: Instant, limit_bytes: usize) -> Result<Bytes, RegistryError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece(idle, until).await? {
            if piece.len() > limit_bytes.saturating_sub(whole.len()) {
                return Err(RegistryError::TooLong { limit_bytes });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    fn end(&mut self) {
        if let Some(Lease { sender, server, _permit }) = self.lease.take() {
            server.put_back(sender);
        }
    }
}
