//! A proxy in front of an engine that counts what it is asked, and does to one call that changes something what a test says: keeps it back, keeps back its answer, refuses, cuts.
//!
//! It is how a test meets every step of a sequence of calls without the host's knowing: what the host writes down before a call is on its disk when the call arrives here.
//!
//! Bytes are passed on as they come, and a request is known by its first line at the beginning of a piece: a client that waits for an answer before it asks again, as the host does, sends it nowhere else.

use std::fmt;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

/// What is answered in the engine's place.
const REFUSAL: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 30\r\nconnection: close\r\n\r\n{\"message\":\"a test said no\"}\r\n";

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It does not arrive, and no answer comes.
    KeepCall,
    /// It arrives, and no answer comes.
    KeepAnswer,
    /// It does not arrive, and is answered with status 500.
    Refuse,
    /// It arrives, and is answered with status 500.
    RefuseAfter,
    /// It does not arrive, and the connection is closed.
    Cut,
    /// It arrives, and the connection is closed.
    CutAfter,
    /// It waits until it is released, and arrives then.
    Wait,
}

impl Fault {
    /// Whether the engine carries the call out.
    fn passes(self) -> bool {
        matches!(self, Fault::KeepAnswer | Fault::RefuseAfter | Fault::CutAfter)
    }
}

/// A running proxy. Dropping it ends it.
pub struct EngineProxy {
    folder: TempDir,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    engine: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Which of the calls that change something, from 1 on, meets what.
    plan: Option<(usize, Fault)>,
    /// Those that have arrived since then, each as `POST /containers/…`.
    calls: Vec<String>,
    /// How many calls of any kind have arrived since the proxy was started.
    asked: u64,
    /// Whether the fault has happened: with what the engine did to the call, if it got it.
    reached: bool,
    /// Whether what waits may go on.
    released: bool,
    connections: Vec<UnixStream>,
    ended: bool,
}

impl EngineProxy {
    /// Starts a proxy in front of the engine whose socket is `engine`.
    ///
    /// # Errors
    ///
    /// There is no place for its socket.
    pub fn start(engine: &Path) -> anyhow::Result<EngineProxy> {
        let folder = tempfile::Builder::new().prefix("wharf-p-").tempdir_in("/tmp")?;
        let listener = UnixListener::bind(folder.path().join("docker.sock"))?;
        let shared = Arc::new(Shared { engine: engine.to_owned(), state: Mutex::default(), changed: Condvar::new() });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(EngineProxy { folder, shared, accepting: Some(accepting) })
    }

    /// Its address, as `wharf.toml` has it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Lets the call number `nth` from now on, counted from 1, of those that change something meet `fault`; 0 is none, and only counts.
    pub fn arm(&self, nth: usize, fault: Fault) {
        let mut state = self.shared.lock();
        state.plan = (nth > 0).then_some((nth, fault));
        state.calls.clear();
        state.reached = false;
        state.released = false;
    }

    /// Lets a call that waits go on.
    pub fn release(&self) {
        self.shared.lock().released = true;
        self.shared.changed.notify_all();
    }

    /// The calls that have changed something since it was armed.
    pub fn calls(&self) -> Vec<String> {
        self.shared.lock().calls.clone()
    }

    /// How many calls have arrived since it was started, of any kind.
    pub fn asked(&self) -> u64 {
        self.shared.lock().asked
    }

    /// Whether the fault has happened.
    pub fn reached(&self) -> bool {
        self.shared.lock().reached
    }

    /// Waits until the fault has happened, at most for `limit`; whether it has.
    pub fn wait(&self, limit: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, limit, |state| !state.reached);
        waited.is_ok_and(|(state, _)| state.reached)
    }
}

impl fmt::Debug for EngineProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineProxy").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Drop for EngineProxy {
    fn drop(&mut self) {
        let connections = {
            let mut state = self.shared.lock();
            state.ended = true;
            state.released = true;
            std::mem::take(&mut state.connections)
        };
        for connection in connections {
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
        // Wakes up who waits for a connection.
        let _ = UnixStream::connect(self.socket());
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and answers what it meets.
    fn meet(&self, call: &str) -> Option<Fault> {
        let mut state = self.lock();
        state.asked += 1;
        if !changes(call) {
            return None;
        }
        state.calls.push(call.to_owned());
        let arrived = state.calls.len();
        let (nth, fault) = state.plan?;
        (arrived == nth).then_some(fault)
    }

    fn reach(&self) {
        self.lock().reached = true;
        self.changed.notify_all();
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    std::thread::scope(|scope| {
        while let Ok((client, _)) = listener.accept() {
            if shared.lock().ended {
                return;
            }
            // A client whose engine is away hears so by the end of its connection.
            let Ok(engine) = UnixStream::connect(&shared.engine) else { continue };
            let kept = [client.try_clone(), engine.try_clone()].into_iter().filter_map(Result::ok);
            shared.lock().connections.extend(kept);
            scope.spawn(move || serve(client, engine, shared));
        }
    });
}

/// What is done to the answer that comes next.
type Next = Arc<Mutex<Option<Fault>>>;

fn serve(client: UnixStream, engine: UnixStream, shared: &Arc<Shared>) {
    let next = Next::default();
    let (Ok(from), Ok(to)) = (engine.try_clone(), client.try_clone()) else { return };
    let answers = std::thread::spawn({
        let (shared, next) = (Arc::clone(shared), Arc::clone(&next));
        move || pass_answers(from, to, &shared, &next)
    });
    pass_calls(&client, &engine, shared, &next);
    for stream in [&client, &engine] {
        let _ = stream.shutdown(Shutdown::Both);
    }
    let _ = answers.join();
}

/// Passes on what the client sends, until one of the two is gone.
fn pass_calls(mut client: &UnixStream, mut engine: &UnixStream, shared: &Shared, next: &Next) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut piece) {
        let piece = piece.get(..length).unwrap_or_default();
        let fault = call(piece).and_then(|call| shared.meet(call));
        match fault {
            Some(Fault::Wait) => {
                shared.reach();
                let state = shared.lock();
                drop(shared.changed.wait_while(state, |state| !state.released));
            }
            Some(fault) if !fault.passes() => {
                if fault == Fault::Refuse {
                    let _ = client.write_all(REFUSAL.as_bytes());
                }
                shared.reach();
                if fault == Fault::KeepCall {
                    // Until the client is gone.
                    let _ = std::io::copy(&mut client, &mut std::io::sink());
                }
                return;
            }
            Some(fault) => *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault),
            None => {}
        }
        if engine.write_all(piece).is_err() {
            return;
        }
    }
}

/// Passes on what the engine answers.
fn pass_answers(mut engine: UnixStream, mut client: UnixStream, shared: &Shared, next: &Next) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = engine.read(&mut piece) {
        match next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Fault::KeepAnswer) => {
                shared.reach();
                let _ = std::io::copy(&mut engine, &mut std::io::sink());
                return;
            }
            Some(Fault::RefuseAfter) => {
                let _ = client.write_all(REFUSAL.as_bytes());
                let _ = client.shutdown(Shutdown::Both);
                shared.reach();
                return;
            }
            Some(_cut) => {
                let _ = client.shutdown(Shutdown::Both);
                shared.reach();
                return;
            }
            None => {}
        }
        if client.write_all(piece.get(..length).unwrap_or_default()).is_err() {
            return;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// The call that `piece` begins, if it begins one: its method and path.
fn call(piece: &[u8]) -> Option<&str> {
    let line = piece.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.strip_suffix(" HTTP/1.1")
}

fn changes(call: &str) -> bool {
    ["POST /", "DELETE /", "PUT /"].iter().any(|method| call.starts_with(method))
}
