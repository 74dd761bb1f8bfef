//! A listener: accepts connections, serves them with hyper, and ends them in order.
//!
//! A connection costs its client little and the host memory and a descriptor, so there is a bound on everything that a client can be slow at: sending a request's head here, sending its body in
//! `plugin::exchange`, reading its answer in [`connection`](super::connection), and being there at all in [`listen`].

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tower_service::Service as _;

use super::connection::{Client, Unread, WRITE_IDLE};

/// How long a client may take to send a request's head, and stay silent between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait after a failed accept: the process is out of descriptors, and some will be returned.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection is silent before its client's machine is asked whether it is still there, how often it is asked, and how many answers may be missing.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// How often at most a listener says that it cannot take a connection.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// A listener that serves.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: watch::Sender<()>,
    /// Ends when every connection has.
    done: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` and answers each request with `service`, for at most `max_connections` clients at a time; further ones wait.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub(crate) async fn start<S: Service>(address: SocketAddr, max_connections: usize, service: S) -> io::Result<Server> {
        let listener = listen(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(());
        #[expect(clippy::disallowed_methods, reason = "a listener's task; `stop` waits for it")]
        let done = tokio::spawn(accept(listener, max_connections, service, stopped));
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

/// A listener whose connections end when nobody is there any more. They have the options of their listener, which saves a few calls for each.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    if let Err(error) = notice_the_dead(&listener) {
        tracing::warn!(%address, %error, "cannot notice clients that disappear");
    }
    Ok(listener)
}

fn notice_the_dead(listener: &TcpListener) -> rustix::io::Result<()> {
    let (silence, again, missing) = KEEPALIVE;
    // Small answers are written whole; waiting for more to send only delays them.
    sockopt::set_tcp_nodelay(listener, true)?;
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, silence)?;
    sockopt::set_tcp_keepintvl(listener, again)?;
    sockopt::set_tcp_keepcnt(listener, missing)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(listener, u32::try_from(WRITE_IDLE.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}

async fn accept<S: Service>(listener: TcpListener, max_connections: usize, service: S, mut stopped: watch::Receiver<()>) {
    let places = Arc::new(Semaphore::new(max_connections));
    let mut complaints = Complaints::default();
    let graceful = GracefulShutdown::new();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        if places.available_permits() == 0 && complaints.may_be_said() {
            tracing::warn!(max_connections, "as many clients are connected as may be; further ones wait");
        }
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
                if complaints.may_be_said() {
                    tracing::warn!(error, "failed to accept a connection");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        connections.spawn(connection(stream, remote, service.clone(), &graceful, place));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    graceful.shutdown().await;
}

/// What a listener cannot do, it cannot do many times a second.
#[derive(Default)]
struct Complaints(Option<Instant>);

impl Complaints {
    fn may_be_said(&mut self) -> bool {
        let due = self.0.is_none_or(|said| said.elapsed() >= SAY_AGAIN);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

/// Serves one connection to its end. `place` is returned then.
fn connection<S: Service, T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    remote: SocketAddr,
    service: S,
    graceful: &GracefulShutdown,
    place: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + Send + use<S, T> {
    let unread = Unread::default();
    let stream = Client::new(stream, unread.clone());
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (service, unread) = (service.clone(), unread.clone());
        async move { Ok::<_, Infallible>(unread.mark(service.answer(unread.watch(request), remote).await)) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_connection_has_the_options_of_its_listener() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        assert!(sockopt::tcp_nodelay(&stream).unwrap() && sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEPALIVE.0);
        #[cfg(target_os = "linux")]
        assert_eq!(u128::from(sockopt::tcp_user_timeout(&stream).unwrap()), WRITE_IDLE.as_millis());
        drop(client);
    }

    /// What a client of `router` hears that sends `message` and then reads to the end.
    async fn heard(router: Router, message: &[u8]) -> String {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let graceful = GracefulShutdown::new();
        let served = connection(ours, (Ipv4Addr::LOCALHOST, 1).into(), router, &graceful, place);
        let hears = async {
            theirs.write_all(message).await.unwrap();
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.unwrap();
            drop(theirs);
            answer
        };
        let ((), answer) = tokio::join!(served, hears);
        assert_eq!(places.available_permits(), 1);
        answer
    }

    fn router() -> Router {
        use axum::routing::post;
        let endless = || async { Body::from_stream(futures_util::stream::repeat(Ok::<_, Infallible>("x".repeat(1 << 16)))) };
        Router::new()
            .route("/unread", post(|| async { "did not read it" }))
            .route("/read", post(|body: bytes::Bytes| async move { body.len().to_string() }))
            .route("/endless", post(endless))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_before_the_end_of_the_body_is_the_last_of_its_connection() {
        let began = tokio::time::Instant::now();
        let answer = heard(router(), b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly this").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("did not read it"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits for the rest");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_first_is_not_asked_for_a_body_that_nobody_reads() {
        let head = b"POST /unread HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
        let answer = heard(router(), head).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close\r\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_goes_on_after_a_body_that_was_read() {
        let message =
            b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcPOST /read HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answer = heard(router(), message).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_its_answer_loses_its_connection() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let began = tokio::time::Instant::now();
        theirs.write_all(b"POST /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        connection(ours, (Ipv4Addr::LOCALHOST, 1).into(), router(), &GracefulShutdown::new(), place).await;
        assert_eq!(began.elapsed(), WRITE_IDLE);
    }
}
