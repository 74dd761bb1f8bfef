//! A registry that is far away: a proxy in front of a near one that answers each request [`DELAY`] later, and counts.
//!
//! It must never be what is measured, so it does as little as it can: a task for each connection, no HTTP library, heads passed on as they came, and kept connections to the registry, of which there are
//! only so many that hundreds of requests that arrive at once do not make the registry thrash.
//!
//! With [`Gate::Token`] it is also a stand-in for a token server, and for a registry that wants its tokens. Debian's registry can do that only with certificates and a server that there is no package of.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How much later each request is answered.
pub(super) const DELAY: Duration = Duration::from_millis(20);
/// How many requests the registry has at once.
const REGISTRY_CONNECTIONS: usize = 64;
/// How many connections may wait to be accepted. With the usual 128, some of hundreds that come at once would be dropped, and tried again a second later.
const BACKLOG: u32 = 4096;
/// The longest head. That of a request for a token names all repositories.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The token that is good.
const TOKEN: &str = "one-for-all";

/// Who may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Whoever the registry answers.
    Open,
    /// Whoever has a token from here.
    Token,
}

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Connections that were made.
    pub(super) connections: u64,
    /// `HEAD` requests.
    pub(super) heads: u64,
    /// `GET` requests of manifests, which registries count as pulls.
    pub(super) pulls: u64,
    /// Requests for tokens.
    pub(super) tokens: u64,
    /// Everything else: the question how to ask.
    pub(super) others: u64,
}

impl Counts {
    /// What was added since `before`.
    pub(super) fn since(self, before: Counts) -> Counts {
        Counts {
            connections: self.connections.saturating_sub(before.connections),
            heads: self.heads.saturating_sub(before.heads),
            pulls: self.pulls.saturating_sub(before.pulls),
            tokens: self.tokens.saturating_sub(before.tokens),
            others: self.others.saturating_sub(before.others),
        }
    }

    /// All requests.
    pub(super) fn requests(self) -> u64 {
        self.heads + self.pulls + self.tokens + self.others
    }
}

/// A running proxy. Dropping it ends it and all of its connections.
pub(super) struct SlowProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

struct Shared {
    registry: SocketAddr,
    gate: Gate,
    /// Kept connections to the registry that nobody uses.
    idle: Mutex<Vec<TcpStream>>,
    permits: Semaphore,
    connections: AtomicU64,
    heads: AtomicU64,
    pulls: AtomicU64,
    tokens: AtomicU64,
    others: AtomicU64,
    last_answer: Mutex<Option<Instant>>,
}

impl SlowProxy {
    /// Starts one in front of `registry`.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub(super) fn start(runtime: &Handle, registry: SocketAddr, gate: Gate) -> anyhow::Result<SlowProxy> {
        let _context = runtime.enter();
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            registry,
            gate,
            idle: Mutex::default(),
            permits: Semaphore::new(REGISTRY_CONNECTIONS),
            connections: AtomicU64::default(),
            heads: AtomicU64::default(),
            pulls: AtomicU64::default(),
            tokens: AtomicU64::default(),
            others: AtomicU64::default(),
            last_answer: Mutex::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn_on(accept(listener, Arc::clone(&shared)), runtime);
        Ok(SlowProxy { address, shared, _accepting: accepting })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was done so far.
    pub(super) fn counts(&self) -> Counts {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { connections, heads, pulls, tokens, others, .. } = &*self.shared;
        Counts {
            connections: number(connections),
            heads: number(heads),
            pulls: number(pulls),
            tokens: number(tokens),
            others: number(others),
        }
    }

    /// When the last answer was sent; none if there was none.
    pub(super) fn last_answer(&self) -> Option<Instant> {
        *self.shared.last_answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut serving = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while serving.try_join_next().is_some() {}
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&shared);
        // How a connection ends is the client's to judge.
        serving.spawn(async move { shared.serve(stream).await.unwrap_or_default() });
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut received = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut received).await? {
            let request = String::from_utf8_lossy(&head).into_owned();
            self.count(&request).fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(DELAY).await;
            let answer = match self.own_answer(&request) {
                Some(answer) => answer.into_bytes(),
                None => self.pass_on(&head, request.starts_with("HEAD ")).await?,
            };
            stream.write_all(&answer).await?;
            *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        Ok(())
    }

    fn count(&self, request: &str) -> &AtomicU64 {
        let target = request.split(' ').nth(1).unwrap_or_default();
        match () {
            () if request.starts_with("HEAD ") => &self.heads,
            () if target.starts_with("/token?") => &self.tokens,
            () if target.contains("/manifests/") => &self.pulls,
            () => &self.others,
        }
    }

    /// What the token server says, and the registry to whoever has no token; none if the request is to be passed on.
    fn own_answer(&self, request: &str) -> Option<String> {
        if self.gate == Gate::Open || field(request, "authorization") == Some(&format!("Bearer {TOKEN}")) {
            return None;
        }
        if request.starts_with("GET /token?") {
            let body = format!("{{\"token\":\"{TOKEN}\",\"expires_in\":300}}");
            return Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        }
        let server = field(request, "host").unwrap_or_default();
        let challenge = format!("Bearer realm=\"http://{server}/token\",service=\"stand-in\"");
        Some(format!("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: {challenge}\r\ncontent-length: 0\r\n\r\n"))
    }

    /// The registry's answer, as it came.
    async fn pass_on(&self, head: &[u8], without_body: bool) -> io::Result<Vec<u8>> {
        let _permit = self.permits.acquire().await.map_err(io::Error::other)?;
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut registry = match kept {
            Some(registry) => registry,
            None => {
                let registry = TcpStream::connect(self.registry).await?;
                registry.set_nodelay(true)?;
                registry
            }
        };
        registry.write_all(head).await?;
        let mut received = Vec::new();
        let mut answer = read_head(&mut registry, &mut received).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let length = field(&text, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let length = if without_body { 0 } else { length };
        while received.len() < length {
            more(&mut registry, &mut received).await?;
        }
        answer.extend(received);
        // Engines ask some things on connections that they want to be closed.
        if field(&text, "connection") != Some("close") {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(registry);
        }
        Ok(answer)
    }
}

/// The next head with its empty line, of what was `received` already and of `stream`; none at the end.
async fn read_head(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = received.split_off(end + 4);
            return Ok(Some(std::mem::replace(received, rest)));
        }
        if received.len() > MAX_HEAD_BYTES {
            return Err(io::Error::other("the head is too long"));
        }
        // An engine tries TLS first, and would wait for ten seconds for the answer to its greeting.
        if received.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
            return Ok(None);
        }
        if more(stream, received).await.is_err() {
            return Ok(None);
        }
    }
}

async fn more(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    received.reserve(4096);
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The field `name` of a head.
fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
