//! An engine that answers what a test tells it to, byte by byte, for what no real engine can be made to do at a given moment: to break off in the middle of an answer, or to stay silent there.
//!
//! It speaks API 1.41 and keeps no state. The host's own room tests have one of their own, inside the host's crate.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;
use tempfile::TempDir;

/// What the engine does with one request.
#[derive(Debug, Clone)]
pub struct Answer {
    bytes: Vec<u8>,
    then_hang: bool,
}

/// A running engine. Dropping it breaks all its connections.
#[derive(Debug)]
pub struct FakeEngine {
    folder: TempDir,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    /// Method and target of each request, without the version.
    seen: Mutex<Vec<String>>,
    /// Connections that are left open.
    hanging: Mutex<Vec<UnixStream>>,
}

impl Answer {
    /// A whole answer with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: &str) -> Answer {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        Answer { bytes: [head.as_bytes(), body.as_bytes()].concat(), then_hang: false }
    }

    /// The beginning of a long answer, after which the connection breaks.
    #[must_use]
    pub fn broken_off(beginning: &[u8]) -> Answer {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", beginning.len());
        Answer { bytes: [head.as_bytes(), beginning, b"\r\n"].concat(), then_hang: false }
    }

    /// The beginning of a long answer, after which nothing comes and the connection stays.
    #[must_use]
    pub fn hanging(beginning: &[u8]) -> Answer {
        Answer { then_hang: true, ..Answer::broken_off(beginning) }
    }
}

impl FakeEngine {
    /// An engine that answers by `script`, which gets method and target without the version. The question for its version it answers itself.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> anyhow::Result<FakeEngine> {
        let folder = tempfile::Builder::new().prefix("wharf-").tempdir_in("/tmp")?;
        let path = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&path).with_context(|| format!("failed to listen on `{}`", path.display()))?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming().map_while(Result::ok) {
                    if of_thread.ended.load(Ordering::SeqCst) {
                        break;
                    }
                    // A connection that breaks is the client's affair.
                    scope.spawn(|| of_thread.serve(stream, &script).ok());
                }
            });
        });
        Ok(FakeEngine { folder, shared, accepting: Some(accepting) })
    }

    /// The engine's address, as `wharf.toml` has it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Whether it was asked for something that begins like this: `POST /images/create`.
    #[must_use]
    pub fn was_asked_for(&self, beginning: &str) -> bool {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|line| line.starts_with(beginning))
    }

    /// How many times it was asked for something that begins like this.
    #[must_use]
    pub fn count(&self, beginning: &str) -> usize {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// Goes on with every answer that hangs: `end` is the last of each.
    pub fn go_on(&self, end: &[u8]) {
        for mut stream in self.shared.hanging().drain(..) {
            let chunks = [format!("{:x}\r\n", end.len()).as_bytes(), end, b"\r\n0\r\n\r\n"].concat();
            // Whether anybody still listens is the client's affair.
            let _ = stream.write_all(&chunks);
        }
    }

    /// How many clients still listen to an answer that hangs.
    #[must_use]
    pub fn listeners(&self) -> usize {
        let still_there = |stream: &&UnixStream| {
            let silent = stream.set_nonblocking(true).and_then(|()| (&**stream).read(&mut [0]));
            silent.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        self.shared.hanging().iter().filter(still_there).count()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.hanging().clear();
        // Wakes the listener.
        let _ = UnixStream::connect(self.socket());
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn hanging(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: UnixStream, script: &impl Fn(&str) -> Answer) -> std::io::Result<()> {
        let Some(line) = read_request(&mut stream)? else { return Ok(()) };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
        let answer = match line.as_str() {
            "GET /version" => {
                Answer::json(200, r#"{"Version":"20.10","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#)
            }
            line => script(line),
        };
        stream.write_all(&answer.bytes)?;
        if answer.then_hang {
            self.hanging().push(stream);
        }
        Ok(())
    }
}

/// Method and target without the version; none if the client said nothing. A body is read and dropped.
fn read_request(stream: &mut UnixStream) -> std::io::Result<Option<String>> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
            let length =
                head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) && (!is_chunked || received.ends_with(b"\r\n0\r\n\r\n")) {
                let mut words = head.split(' ');
                let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let unversioned = target.strip_prefix("/v1.").and_then(|rest| rest.find('/').and_then(|slash| rest.get(slash..)));
                return Ok(Some(format!("{method} {}", unversioned.unwrap_or(target))));
            }
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        received.extend(buffer.iter().take(count));
    }
}
