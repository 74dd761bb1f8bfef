//! A listener: accepts connections, serves them with hyper, and ends them in order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tower_service::Service;

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
    /// Answers how many connections were cut off when the time for shutdown was over.
    done: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` and serves `router`.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub(crate) async fn start(address: SocketAddr, router: Router) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(());
        #[expect(clippy::disallowed_methods, reason = "a listener's task; `stop` waits for it")]
        let done = tokio::spawn(accept(listener, router, stopped));
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

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<()>) {
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
        let (Ok(place), Ok((stream, remote))) = (place, accepted) else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Small answers are written whole; waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        connections.spawn(connection(stream, remote, router.clone(), &graceful, place));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Serves one connection to its end. `place` is returned then.
fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
    graceful: &GracefulShutdown,
    place: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + Send + use<> {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Remote(remote));
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let served = graceful.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned());
    async move {
        if let Err(error) = served.await {
            tracing::debug!(%remote, error, "a connection ended early");
        }
        drop(place);
    }
}

/// The peer of a request's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote(pub(crate) SocketAddr);
