//! What a plugin holds of a database over time: transactions, which stand in the way of others, and cursors, which take a connection. Both end by themselves.
//!
//! A transaction has a task that undoes it when its time is over, whatever the plugin does meanwhile. A cursor is served by whoever has its connection; the plugin holds one end of a channel, and
//! closing it ends the cursor.

#![expect(unreachable_pub, reason = "the bindings name these types in public traits")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wharf_sql::{Error, Rows, Statement, Value};

/// How long a cursor waits to be read.
const CURSOR_IDLE: Duration = Duration::from_secs(30);

/// A connection inside a transaction. Dropping it undoes the transaction.
#[async_trait]
pub(super) trait Held: Send {
    /// Whether the database has undone the transaction by itself, so that nothing more may be done in it.
    fn is_undone(&self) -> bool {
        false
    }
    async fn query(&mut self, statement: Statement, limit: usize, deadline: Instant) -> Result<Rows, Error>;
    /// All or nothing; the transaction goes on.
    async fn execute(&mut self, statements: Vec<Statement>, deadline: Instant) -> Result<Vec<u64>, Error>;
    async fn commit(self: Box<Self>) -> Result<(), Error>;
    async fn rollback(self: Box<Self>);
}

/// A transaction that a plugin holds. Dropping it undoes it.
pub struct Transaction {
    state: Arc<tokio::sync::Mutex<State>>,
    deadline: Instant,
    _watch: AbortOnDropHandle<()>,
}

enum State {
    Open(Box<dyn Held>),
    /// It was kept or undone.
    Ended,
    /// It lived too long.
    TooOld,
}

impl Transaction {
    /// A transaction that may live for `limit` from now on.
    pub(super) fn new(held: Box<dyn Held>, limit: Duration) -> Transaction {
        let state = Arc::new(tokio::sync::Mutex::new(State::Open(held)));
        let deadline = Instant::now() + limit;
        let watched = Arc::clone(&state);
        let watch = async move {
            tokio::time::sleep_until(deadline.into()).await;
            let mut state = watched.lock().await;
            match std::mem::replace(&mut *state, State::TooOld) {
                State::Open(held) => held.rollback().await,
                ended => *state = ended,
            }
        };
        #[expect(clippy::disallowed_methods, reason = "the transaction holds the task, and ends it")]
        let watch = AbortOnDropHandle::new(tokio::spawn(watch));
        Transaction { state, deadline, _watch: watch }
    }

    pub(crate) async fn query(&self, statement: Statement, limit: usize) -> Result<Rows, Error> {
        let mut state = self.state.lock().await;
        let done = match &mut *state {
            State::Open(held) => held.query(statement, limit, self.deadline).await,
            state => return Err(state.error()),
        };
        self.after(&mut state, done).await
    }

    pub(crate) async fn execute(&self, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        let mut state = self.state.lock().await;
        let done = match &mut *state {
            State::Open(held) => held.execute(statements, self.deadline).await,
            state => return Err(state.error()),
        };
        self.after(&mut state, done).await
    }

    /// Keeps what was done. The transaction has ended then, whatever the answer.
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        match std::mem::replace(&mut *state, State::Ended) {
            State::Open(held) => held.commit().await,
            ended => {
                *state = ended;
                Err(state.error())
            }
        }
    }

    /// Undoes what was done.
    pub(crate) async fn rollback(&self) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        match std::mem::replace(&mut *state, State::Ended) {
            State::Open(held) => {
                held.rollback().await;
                Ok(())
            }
            ended => {
                *state = ended;
                Err(state.error())
            }
        }
    }

    /// A statement that came to the end of the transaction's time, lost its connection, or made the database give the transaction up, was its last.
    async fn after<T>(&self, state: &mut State, done: Result<T, Error>) -> Result<T, Error> {
        let end = match &done {
            Err(Error::Timeout) if Instant::now() >= self.deadline => State::TooOld,
            Err(Error::Unavailable(_)) => State::Ended,
            Err(_) if matches!(state, State::Open(held) if held.is_undone()) => State::Ended,
            _ => return done,
        };
        if let State::Open(held) = std::mem::replace(state, end) {
            held.rollback().await;
        }
        done
    }
}

impl State {
    fn error(&self) -> Error {
        match self {
            State::TooOld => Error::Timeout,
            State::Open(_) | State::Ended => Error::Conflict("finished: the transaction has ended".to_owned()),
        }
    }
}

/// Rows that a plugin reads one part after the other.
pub struct Cursor {
    columns: Vec<String>,
    asks: mpsc::Sender<Ask>,
}

/// A question for the next rows.
pub(super) struct Ask {
    pub(super) max: usize,
    pub(super) answer: oneshot::Sender<Result<Vec<Vec<Value>>, Error>>,
}

impl Cursor {
    pub(crate) fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    /// The next rows, at most `max`; empty at the end. [`Error::Timeout`] when the cursor has ended before its rows have.
    pub(crate) async fn next(&mut self, max: usize) -> Result<Vec<Vec<Value>>, Error> {
        let (answer, answered) = oneshot::channel();
        if self.asks.send(Ask { max, answer }).await.is_err() {
            return Err(Error::Timeout);
        }
        answered.await.unwrap_or(Err(Error::Timeout))
    }
}

/// The cursors of one space that are open.
#[derive(Default)]
pub(super) struct Cursors(Mutex<Vec<Open>>);

struct Open {
    /// When it was read last.
    read: Arc<Mutex<Instant>>,
    end: CancellationToken,
}

/// The side of a cursor that has the connection.
pub(super) struct Served {
    asks: mpsc::Receiver<Ask>,
    read: Arc<Mutex<Instant>>,
    end: CancellationToken,
    /// Rows that may still be answered.
    pub(super) left: u64,
}

impl Cursors {
    /// A place for another cursor of at most `limit` rows, and what the plugin holds of it once its columns are known. If there are `at_most` already, the one that was read the longest ago ends.
    pub(super) fn begin(&self, limit: u64, at_most: usize) -> (Served, impl FnOnce(Vec<String>) -> Cursor + use<>) {
        let mut open = self.open();
        open.retain(|open| !open.end.is_cancelled());
        if open.len() >= at_most
            && let Some(oldest) = (0..open.len()).min_by_key(|index| open.get(*index).map(Open::read))
        {
            open.swap_remove(oldest).end.cancel();
        }
        let (sender, asks) = mpsc::channel(1);
        let (read, end) = (Arc::new(Mutex::new(Instant::now())), CancellationToken::new());
        open.push(Open { read: Arc::clone(&read), end: end.clone() });
        (Served { asks, read, end, left: limit }, move |columns| Cursor { columns, asks: sender })
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn read(&self) -> Instant {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Served {
    /// The next question; none when the cursor is over. Its `max` is within what is left.
    pub(super) async fn ask(&mut self) -> Option<Ask> {
        let mut ask = tokio::select! {
            biased;
            () = self.end.cancelled() => None,
            ask = tokio::time::timeout(CURSOR_IDLE, self.asks.recv()) => ask.ok().flatten(),
        }?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        ask.max = ask.max.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        Some(ask)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end.cancel();
    }
}
