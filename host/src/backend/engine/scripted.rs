//! An engine that answers what a test tells it to, byte by byte, on a Unix socket of its own.
//!
//! It writes HTTP by hand, because most of what is tested is HTTP that a server library would not send: headers without a body, a body that stops.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::address::EngineAddress;
use super::{Engine, Patience};

/// What the engine does with one request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Debug, Clone, Copy)]
enum Then {
    Close,
    Hang,
    /// Sends this after a while, and closes.
    Send(Duration, &'static [u8]),
}

impl Reply {
    /// A whole answer with a JSON body.
    pub(crate) fn json(status: u16, body: &str) -> Reply {
        Reply::with_fields(status, "", body)
    }

    /// As [`Reply::json`], with further header fields, each ending in a line break.
    pub(crate) fn with_fields(status: u16, fields: &str, body: &str) -> Reply {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{fields}\r\n", body.len());
        Reply { bytes: [head.as_bytes(), body.as_bytes()].concat(), then: Then::Close }
    }

    /// A status that has no body.
    pub(crate) fn empty(status: u16) -> Reply {
        Reply { bytes: format!("HTTP/1.1 {status} X\r\nConnection: close\r\n\r\n").into_bytes(), then: Then::Close }
    }

    /// A chunked body of which `chunks` are sent, and not its end.
    pub(crate) fn unfinished(chunks: &[&[u8]]) -> Reply {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in chunks {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend(b"\r\n");
        }
        Reply { bytes, then: Then::Close }
    }

    /// A chunked body of `chunks`.
    pub(crate) fn chunked(chunks: &[&[u8]]) -> Reply {
        let mut reply = Reply::unfinished(chunks);
        reply.bytes.extend(b"0\r\n\r\n");
        reply
    }

    /// The connection stays open and nothing more is sent.
    pub(crate) fn then_hang(mut self) -> Reply {
        self.then = Then::Hang;
        self
    }

    /// After `pause` these bytes follow.
    pub(crate) fn then_send_after(mut self, pause: Duration, bytes: &'static [u8]) -> Reply {
        self.then = Then::Send(pause, bytes);
        self
    }

    /// The request is read and the connection closed.
    pub(crate) fn nothing() -> Reply {
        Reply { bytes: Vec::new(), then: Then::Close }
    }

    /// Nothing is sent at all, and the connection stays open.
    pub(crate) fn silence() -> Reply {
        Reply { bytes: Vec::new(), then: Then::Hang }
    }
}

/// A request as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Method and target: `GET /v1.41/networks`.
    pub(crate) line: String,
    pub(crate) body: String,
    /// `X-Registry-Auth`.
    pub(crate) registry_auth: Option<String>,
}

/// The engine. Gone when it is dropped.
pub(crate) struct ScriptedEngine {
    socket: PathBuf,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<()>,
}

static SOCKETS: AtomicU32 = AtomicU32::new(0);

/// A path for a socket that no other test uses.
pub(crate) fn socket_path() -> PathBuf {
    let number = SOCKETS.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("wharf-engine-{}-{number}.sock", std::process::id()))
}

impl ScriptedEngine {
    /// An engine with these versions of the API, that answers everything else by `script` (method and target without the version, and how many
    /// requests there were before).
    pub(crate) fn start(versions: (&str, &str), script: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> ScriptedEngine {
        ScriptedEngine::start_at(&socket_path(), versions, script)
    }

    /// As [`ScriptedEngine::start`], at a place that the test knows.
    pub(crate) fn start_at(
        socket: &Path,
        versions: (&str, &str),
        script: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
    ) -> ScriptedEngine {
        ScriptedEngine::start_reading(socket, versions, move |seen, before| script(&seen.line, before))
    }

    /// As [`ScriptedEngine::start_at`], for answers that depend on what was sent. The line is without the version.
    pub(crate) fn start_reading(
        socket: &Path,
        (newest, oldest): (&str, &str),
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> ScriptedEngine {
        let listener = UnixListener::bind(socket).unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let version = format!(r#"{{"Version":"99","ApiVersion":"{newest}","MinAPIVersion":"{oldest}","Os":"linux","Arch":"amd64"}}"#);
        let script = Arc::new(move |seen: &Seen, before: usize| match seen.line.as_str() {
            "GET /version" => Reply::json(200, &version),
            line => script(&Seen { line: unversioned(line), ..seen.clone() }, before),
        });
        let record = Arc::clone(&seen);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, record) = (Arc::clone(&script), Arc::clone(&record));
                connections.spawn(async move { serve(stream, &*script, &record).await });
            }
        });
        ScriptedEngine { socket: socket.to_owned(), seen, _serving: serving }
    }

    /// Our way to it, with little patience.
    pub(crate) fn engine(&self) -> Engine {
        engine_at(&self.socket)
    }

    /// The requests so far, but for those for the version.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.line != "GET /version").cloned().collect()
    }

    /// How many times it was asked for its version.
    pub(crate) fn asked_for_version(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.line == "GET /version").count()
    }
}

/// Our way to an engine that may or may not be there, with little patience.
pub(crate) fn engine_at(socket: &Path) -> Engine {
    engine_within(socket, Duration::from_millis(200))
}

/// The same with this much patience.
pub(crate) fn engine_within(socket: &Path, short: Duration) -> Engine {
    Engine::with_patience(
        EngineAddress::Unix(socket.to_owned()),
        Patience { head: short, act: short, idle: short, log_search: 10 * short, pull_idle: short },
    )
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// `GET /v1.41/x` without the version.
fn unversioned(line: &str) -> String {
    let (method, target) = line.split_once(' ').unwrap();
    let after = target.strip_prefix("/v").and_then(|rest| rest.split_once('/')).map(|(_, after)| format!("/{after}"));
    format!("{method} {}", after.unwrap_or_else(|| target.to_owned()))
}

/// What a chunked body consists of.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
}

async fn serve(mut stream: UnixStream, script: &(dyn Fn(&Seen, usize) -> Reply + Send + Sync), record: &Mutex<Vec<Seen>>) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    let head_end = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
        }
    };
    let head = String::from_utf8(received[..head_end].to_vec()).unwrap();
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let length: usize = field("content-length").map_or(0, |value| value.parse().unwrap());
    let is_chunked = field("transfer-encoding").is_some();
    while received.len() < head_end + length || is_chunked && !received.ends_with(b"\r\n0\r\n\r\n") {
        match stream.read(&mut buffer).await {
            // Whoever breaks off has asked for nothing.
            Ok(0) | Err(_) => return,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
        }
    }
    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let body = if is_chunked { unchunked(&received[head_end..]) } else { received[head_end..].to_vec() };
    let body = String::from_utf8(body).unwrap();
    let seen = Seen { line, body, registry_auth: field("x-registry-auth") };
    let before = {
        let mut record = record.lock().unwrap();
        record.push(seen.clone());
        record.len() - 1
    };
    let reply = script(&seen, before);
    let _ = stream.write_all(&reply.bytes).await;
    match reply.then {
        Then::Close => {}
        Then::Hang => std::future::pending::<()>().await,
        Then::Send(pause, bytes) => {
            tokio::time::sleep(pause).await;
            let _ = stream.write_all(bytes).await;
        }
    }
}
