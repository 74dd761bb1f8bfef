//! One client's connection: what hyper leaves to whoever gives it a stream.
//!
//! Two things. A client that does not read its answer holds all that the answer holds, an instance of a plugin among it, and hyper waits for it without end: a write that makes no progress for
//! [`WRITE_IDLE`] fails. And a client that is still sending when its answer is out must hear it (RFC 9112 section 9.6): closing a socket with bytes unread resets the connection, and the reset
//! overtakes the answer. So the answer says `connection: close`, and after it only our side is closed; what arrives then is thrown away, for at most [`LINGER`]. By then the
//! request is over, whatever it was answered: a lingering client holds a place among the connections, and nothing else.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a client may take nothing of its answer while there is some to take.
pub(super) const WRITE_IDLE: Duration = Duration::from_secs(60);

/// How long a client that has its answer may go on sending.
const LINGER: Duration = Duration::from_secs(10);

/// How long it may be silent meanwhile: then it has nothing more to send, or does not care.
const LINGER_SILENCE: Duration = Duration::from_secs(2);

/// What is read at a time of what nobody wants.
const DISCARD_BYTES: usize = 8 * 1024;

/// What the two sides of a connection, its stream and its requests, tell each other.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    /// The request with a body that notices when it is given up before its end.
    pub(super) fn watch(&self, request: Request<Incoming>) -> Request<Body> {
        request.map(|body| {
            if http_body::Body::is_end_stream(&body) {
                return Body::empty();
            }
            Body::new(Watched { body, ended: false, unread: self.clone() })
        })
    }

    /// The response, which says that it is the last one if the client may still be sending.
    pub(super) fn mark<B>(&self, mut response: Response<B>) -> Response<B> {
        if self.is_set() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request's body.
struct Watched {
    body: Incoming,
    ended: bool,
    unread: Unread,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.ended = frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.ended {
            self.unread.0.store(true, Ordering::Relaxed);
        }
    }
}

/// The stream of a connection.
pub(super) struct Client<S> {
    stream: S,
    unread: Unread,
    /// Made when a write has to wait, gone when it has not.
    stalled: Option<Pin<Box<Sleep>>>,
    closing: Closing,
}

/// How far the end of the connection is.
enum Closing {
    No,
    /// Our side is closed.
    Half {
        /// When it is over at the latest.
        end: Pin<Box<Sleep>>,
        /// When it is over unless something arrives.
        silence: Pin<Box<Sleep>>,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn new(stream: S, unread: Unread) -> Client<S> {
        Client { stream, unread, stalled: None, closing: Closing::No }
    }

    /// What became of a write, or that it took too long.
    fn in_time(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_IDLE)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }

    /// Throws away what arrives, until the client closes its side or its time is up.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Closing::Half { end, silence } = &mut self.closing else { return Poll::Ready(()) };
        loop {
            if end.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let mut bytes = [0; DISCARD_BYTES];
            let mut bytes = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(context, &mut bytes) {
                Poll::Ready(Ok(())) if !bytes.filled().is_empty() => silence.as_mut().reset(tokio::time::Instant::now() + LINGER_SILENCE),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return silence.as_mut().poll(context),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Client<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, bytes)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Client<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::No) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            if !self.unread.is_set() {
                return Poll::Ready(Ok(()));
            }
            let sleep = |time| Box::pin(tokio::time::sleep(time));
            self.closing = Closing::Half { end: sleep(LINGER), silence: sleep(LINGER_SILENCE) };
        }
        self.linger(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::time::Instant;

    fn pair(unread: bool) -> (Client<DuplexStream>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        (Client::new(ours, Unread(Arc::new(AtomicBool::new(unread)))), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_given_up() {
        let (mut client, theirs) = pair(false);
        let began = Instant::now();
        let error = client.write_all(&[b'x'; 65]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, WRITE_IDLE));
        drop(theirs);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_waited_for() {
        let (mut client, mut theirs) = pair(false);
        let read = async {
            let mut piece = [0; 64];
            for _ in 0..5 {
                tokio::time::sleep(WRITE_IDLE / 2).await;
                theirs.read_exact(&mut piece).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(client.write_all(&[b'x'; 5 * 64]), read);
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_client_has_sent_everything_is_closed_at_once() {
        let (mut client, _theirs) = pair(false);
        let began = Instant::now();
        client.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_still_sending_hears_the_end_and_may_finish() {
        let (mut client, mut theirs) = pair(true);
        let began = Instant::now();
        let send = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                theirs.write_all(&[b'x'; 1_000]).await.unwrap();
            }
            assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0, "our side is closed");
            drop(theirs);
        };
        let (closed, ()) = tokio::join!(client.shutdown(), send);
        closed.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_lingers_for_long() {
        let (mut client, theirs) = pair(true);
        let began = Instant::now();
        client.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), LINGER_SILENCE, "a silent one");
        drop(theirs);

        let (mut client, mut theirs) = pair(true);
        let began = Instant::now();
        let send = async {
            while theirs.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let closed = async {
            client.shutdown().await.unwrap();
            drop(client);
            assert_eq!(began.elapsed(), LINGER, "one that never stops");
        };
        tokio::join!(closed, send);
    }
}
