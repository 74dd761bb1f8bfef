//! One request through one plugin: permit, instance, deadline, guest, answer.
//!
//! The guest runs inside the task of its client's connection: nothing is spawned, and a client that goes away takes its call with it. The one exception is a guest that has begun a response with `outgoing.start` and goes on: it gets a task of its own, so that its deadline
//! holds also while the client reads nothing, and the body that the client reads holds the task. What a call had begun on the engine goes on in `backend::operations`.
//! An instance is in one place at a time, inside the call's future, and leaves it for the pool only after an answer; dropping the future drops the instance.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, request};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

use super::exchange::{self, PluginBody};
use super::generation::{Generation, SharedGeneration};
use super::instance::Instance;
use super::meter::{DeadlinePassed, Metered};
use super::outcome::{DeadlineKind, Outcome};
use super::pool::Admitted;
use super::state::{Outgoing, Started};
use crate::backend::users::Caller;
use crate::bindings::wharf::http::types;
use crate::capability::call::WallClock;

/// A request for a plugin.
pub(crate) struct PluginRequest<'a> {
    pub(crate) parts: &'a request::Parts,
    pub(crate) body: PluginBody,
    /// The request's id.
    pub(crate) id: &'a str,
    /// The peer, if it is known.
    pub(crate) remote: Option<&'a str>,
    /// The fields, if the plugin is to see others than the client sent: what the host took as its own is not for the plugin.
    pub(crate) headers: Option<HeaderMap>,
    /// Who sent it.
    pub(crate) caller: Caller,
}

/// Serves `request`. The request's span must be entered: what the guest logs goes there.
pub(crate) async fn call(generation: &SharedGeneration, request: PluginRequest<'_>) -> Outcome {
    if let Err(pause) = generation.circuit.pass(Instant::now()) {
        let reason = "it failed each time and is left alone for a while".to_owned();
        return Outcome::NotLoaded { reason, retry_after: Some(pause) };
    }
    let outcome = serve(generation, request).await;
    count(generation, &outcome);
    outcome
}

/// Counts how a call ended.
pub(super) fn count(generation: &Generation, outcome: &Outcome) {
    if let Some(kind) = outcome.trap_kind() {
        generation.metrics.trapped(kind);
    }
    match outcome {
        Outcome::Answered(_) => generation.circuit.answered(),
        Outcome::Trap(..) | Outcome::NotLoaded { .. } => generation.circuit.failed(Instant::now()),
        Outcome::GuestError(_) | Outcome::Deadline(_) | Outcome::OverCapacity => {}
    }
}

async fn serve(generation: &SharedGeneration, request: PluginRequest<'_>) -> Outcome {
    let Ok(admitted) = generation.instances.pool.admit().await else { return Outcome::OverCapacity };
    if let Some(waited) = admitted.waited {
        generation.metrics.waited(waited);
    }
    let mut instance = match generation.instance().await {
        Ok(instance) => instance,
        Err(outcome) => return outcome,
    };
    let limits = &generation.settings.limits;
    let head = exchange::request_head(&request, &generation.settings.mount.value);
    instance.begin(limits, request.caller);
    let state = instance.store.data();
    let (cpu, clock, outgoing) = (Arc::clone(&state.cpu), Arc::clone(&state.call.clock), state.outgoing.clone());

    let mut call = Metered::new(run(instance, head, request.body, admitted), cpu, Arc::clone(&clock));
    match step(&mut call, &outgoing).await {
        Step::Done(ended) => answer(generation, ended),
        Step::Started(started) => begin_stream(generation, call, started, &clock),
    }
}

/// How a guest's call came back: the instance, and what it returned or trapped with.
struct Returned {
    instance: Instance,
    /// Given back after the instance, so that whoever waits for it finds the instance.
    admitted: Admitted,
    answer: wasmtime::Result<Result<types::Response, types::Error>>,
}

/// Calls the guest.
async fn run(mut instance: Instance, head: types::RequestHead, body: PluginBody, admitted: Admitted) -> Returned {
    let answer = match exchange::body_record(body, instance.store.data_mut()) {
        Ok(body) => instance.handler.call_handle(&mut instance.store, &head, &body).await,
        Err(error) => Err(error),
    };
    instance.store.data().stdio.finish();
    instance.store.data_mut().call.finish();
    Returned { instance, admitted, answer }
}

/// What happened first.
enum Step {
    /// The guest is done, or out of time.
    Done(Result<Returned, DeadlinePassed>),
    /// The guest has begun a response and goes on.
    Started(Started),
}

async fn step<F: Future<Output = Returned>>(call: &mut Metered<F>, outgoing: &Outgoing) -> Step {
    poll_fn(|context| match Pin::new(&mut *call).poll(context) {
        Poll::Ready(ended) => Poll::Ready(Step::Done(ended)),
        Poll::Pending => outgoing.take().map_or(Poll::Pending, |started| Poll::Ready(Step::Started(started))),
    })
    .await
}

/// How a call that is over ended.
enum Ended {
    /// The guest answered; the instance may be kept when the answer can be sent, and the right to work is returned after that.
    Answered(types::Response, Instance, Admitted),
    /// It failed; the instance is gone.
    Failed(Outcome),
}

fn sort(generation: &Generation, ended: Result<Returned, DeadlinePassed>) -> Ended {
    let Ok(Returned { instance, admitted, answer }) = ended else { return Ended::Failed(Outcome::Deadline(DeadlineKind::Wall)) };
    let memory = &instance.store.data().memory;
    generation.metrics.memory_used(memory.used_bytes() as u64);
    match answer {
        Err(error) => Ended::Failed(Outcome::of_error(&error, memory.refused)),
        Ok(Err(error)) => Ended::Failed(Outcome::GuestError(format!("{error:?}"))),
        Ok(Ok(record)) => Ended::Answered(record, instance, admitted),
    }
}

/// The answer of a guest that is done. Keeps its instance if it could be sent.
fn answer(generation: &Generation, ended: Result<Returned, DeadlinePassed>) -> Outcome {
    let (record, mut instance, _admitted) = match sort(generation, ended) {
        Ended::Answered(record, instance, admitted) => (record, instance, admitted),
        Ended::Failed(outcome) => return outcome,
    };
    let limit_bytes = generation.settings.limits.response_mib.saturating_mul(1 << 20);
    match exchange::response(record, instance.store.data_mut(), limit_bytes) {
        Ok(response) => {
            generation.recycle(instance);
            Outcome::Answered(response)
        }
        Err(reason) => Outcome::GuestError(reason),
    }
}

/// The response of a guest that goes on writing, in a task of its own.
fn begin_stream<F>(generation: &SharedGeneration, call: Metered<F>, started: Started, clock: &WallClock) -> Outcome
where
    F: Future<Output = Returned> + Send + 'static,
{
    clock.restart(Duration::from_millis(generation.settings.limits.stream_deadline_ms));
    let Started { status, headers, body: chunks } = started;
    let generation = Arc::clone(generation);
    let guest = async move { end_stream(&generation, call.await) };
    #[expect(clippy::disallowed_methods, reason = "the body holds the task, and ends it when its client goes away")]
    let guest = tokio::spawn(guest.instrument(Span::current()));
    let body = StartedBody { chunks, guest: AbortOnDropHandle::new(guest), end: End::Open };
    Outcome::Answered(exchange::assemble(status, headers, Body::from_stream(body)))
}

/// The end of a call whose response was started.
fn end_stream(generation: &Generation, ended: Result<Returned, DeadlinePassed>) -> Result<(), BrokenOff> {
    let outcome = match sort(generation, ended) {
        Ended::Answered(types::Response { body: types::ResponseBody::Started, .. }, instance, _admitted) => {
            generation.recycle(instance);
            return Ok(());
        }
        Ended::Answered(..) => Outcome::GuestError("it called `outgoing.start` and did not answer `started`".to_owned()),
        Ended::Failed(outcome) => outcome,
    };
    count(generation, &outcome);
    // The head is out, so nothing can be answered in its place; this writes the reason to the log.
    let _ = outcome.into_response();
    Err(BrokenOff)
}

/// The guest failed while it wrote. The client must see a body that breaks off.
#[derive(Debug)]
struct BrokenOff;

/// A body that a guest is writing.
struct StartedBody {
    /// What it has written. Closed at the latest when it is done.
    chunks: mpsc::Receiver<Bytes>,
    guest: AbortOnDropHandle<Result<(), BrokenOff>>,
    end: End,
}

/// How far the end of a started body is.
enum End {
    /// The guest writes.
    Open,
    /// The guest failed, and what it wrote before must still be sent: the connection gets a turn to do so.
    Flush,
    /// Over.
    Over,
}

impl Stream for StartedBody {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let body = self.get_mut();
        match body.end {
            End::Over => return Poll::Ready(None),
            End::Flush => {
                body.end = End::Over;
                return Poll::Ready(Some(Err(io::Error::other("the plugin did not finish its response"))));
            }
            End::Open => {}
        }
        if let Some(chunk) = ready!(body.chunks.poll_recv(context)) {
            return Poll::Ready(Some(Ok(chunk)));
        }
        match ready!(Pin::new(&mut body.guest).poll(context)) {
            Ok(Ok(())) => {
                body.end = End::Over;
                Poll::Ready(None)
            }
            Ok(Err(BrokenOff)) | Err(_) => {
                body.end = End::Flush;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
