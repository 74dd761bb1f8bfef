//! A listener: accepts connections, serves them with hyper, and ends them in order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tower_service::Service as _;

/// Connections at a time. More than a small site has clients, fewer than a process has descriptors.
const MAX_CONNECTIONS: usize = 8_192;

/// How long a client may take to send a request's head, and stay silent between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait after a failed accept: the process is out of descriptors, and some will be returned.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener that serves.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: watch::Sender<()>,
    /// Ends when every connection has.
    done: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` and answers each request with `service`.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub(crate) async fn start<S: Service>(address: SocketAddr, service: S) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(());
        #[expect(clippy::disallowed_methods, reason = "a listener's task; `stop` waits for it")]
        let done = tokio::spawn(accept(listener, service, stopped));
        Ok(Server { address, stop, done })
    }

    /// Stops listening and waits for the requests under way, at most for `grace`.
    pub(crate) async fn stop(self, grace: Duration) {
        let _ = self.stop.send(());
        let aborter = self.done.abort_handle();
        if tokio::time::timeout(grace, self.done).await.is_err() {
            tracing::warn!(address = %self.address, grace_secs = grace.as_secs(), "cutting off the requests still under way");
            aborter.abort();
        }
    }
}

async fn accept<S: Service>(listener: TcpListener, service: S, mut stopped: watch::Receiver<()>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            _ = stopped.changed() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        let (place, (stream, remote)) = match (place, accepted) {
            (Ok(place), Ok(accepted)) => (place, accepted),
            (_, accepted) => {
                let error = accepted.err().map(tracing::field::display);
                tracing::warn!(error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small answers are written whole; waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        connections.spawn(connection(stream, remote, service.clone(), &graceful, place));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Serves one connection to its end. `place` is returned then.
fn connection<S: Service>(
    stream: TcpStream,
    remote: SocketAddr,
    service: S,
    graceful: &GracefulShutdown,
    place: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + Send + use<S> {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request.map(Body::new), remote).await) }
    });
    // HTTP/1.1 alone: there is no TLS here to negotiate anything else, and finding out by the first bytes would let a client that sends none stay for good.
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let served = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
    async move {
        if let Err(error) = served.await {
            tracing::debug!(%remote, %error, "a connection ended early");
        }
        drop(place);
    }
}

/// What answers a listener's requests.
pub(crate) trait Service: Clone + Send + Sync + 'static {
    /// Answers `request`, which came from `remote`.
    fn answer(&self, request: Request<Body>, remote: SocketAddr) -> impl Future<Output = Response<Body>> + Send;
}

/// A router of the host's own, such as the admin API's.
impl Service for Router {
    async fn answer(&self, request: Request<Body>, _remote: SocketAddr) -> Response<Body> {
        self.clone().call(request).await.unwrap_or_else(|never| match never {})
    }
}
