//! A server on loopback that answers as a test says, and writes down what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What a registry asks for.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A request as it arrived.
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
}

impl Asked {
    /// The field `name`; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What is answered: never, if it hangs.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    hangs: bool,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Bytes::new(), hangs: false }
    }

    pub(crate) fn never() -> Answer {
        Answer { hangs: true, ..Answer::status(500) }
    }

    /// A manifest's head, or the manifest.
    pub(crate) fn manifest(digest: &str) -> Answer {
        Answer::status(200).with("content-type", MANIFEST).with("docker-content-digest", digest)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Answer {
        self.body = body.into();
        self
    }
}

/// A running server. Dropping it ends it.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    /// A server that answers with what `script` makes of each request.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (log, opened, script) = (Arc::clone(&asked), Arc::clone(&connections), Arc::new(script));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                opened.fetch_add(1, Ordering::SeqCst);
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                let service = service_fn(move |request: Request<Incoming>| {
                    let target = request.uri().path_and_query().unwrap().as_str().to_owned();
                    let asked = Asked { method: request.method().to_string(), target, headers: request.headers().clone() };
                    log.lock().unwrap().push(format!("{} {}", asked.method, asked.target));
                    let answer = script(&asked);
                    async move {
                        if answer.hangs {
                            std::future::pending::<()>().await;
                        }
                        let mut response = Response::builder().status(answer.status);
                        for (name, value) in &answer.headers {
                            response = response.header(name, value);
                        }
                        Ok::<_, Infallible>(response.body(Full::new(answer.body)).unwrap())
                    }
                });
                served.spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Scripted { address, asked, connections, _tasks: tasks }
    }

    /// What was asked so far: `HEAD /v2/a/manifests/latest`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// How many of the requests begin with `prefix`.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.asked().iter().filter(|asked| asked.starts_with(prefix)).count()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
