//! One request through one plugin: permit, instance, deadline, guest, answer.
//!
//! The guest runs inside the task of its client's connection: nothing is spawned, and a client that goes away takes its call with it. What the call had begun on the engine goes on in `backend::operations`.
//! An instance is in one place at a time, inside the call's future, and leaves it for the pool only after an answer; dropping the future drops the instance.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use http::request;
use tokio::sync::mpsc;
use tracing::Span;

use super::exchange::{self, PluginBody};
use super::generation::{Generation, SharedGeneration};
use super::instance::Instance;
use super::meter::{DeadlinePassed, Metered};
use super::outcome::{DeadlineKind, Outcome};
use super::pool::Admitted;
use super::runtime::Running;
use super::state::{Outgoing, Started};
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
}

/// Serves `request`. The request's span must be entered: what the guest logs goes there.
pub(crate) async fn call(generation: &SharedGeneration, request: PluginRequest<'_>) -> Outcome {
    let outcome = serve(generation, request).await;
    if let Some(kind) = outcome.trap_kind() {
        generation.metrics.trapped(kind);
    }
    outcome
}

async fn serve(generation: &SharedGeneration, request: PluginRequest<'_>) -> Outcome {
    let Ok(admitted) = generation.pool.admit().await else { return Outcome::OverCapacity };
    generation.metrics.waited(admitted.waited);
    let running = generation.parts.runtime.running();
    let mut instance = match generation.instance().await {
        Ok(instance) => instance,
        Err(outcome) => return outcome,
    };
    let limits = &generation.settings.limits;
    let head = exchange::request_head(request.parts, request.id, &generation.settings.mount.value, request.remote);
    instance.begin(limits);
    let state = instance.store.data();
    let (cpu, clock, outgoing) = (Arc::clone(&state.cpu), Arc::clone(&state.call.clock), state.outgoing.clone());

    let mut call = Metered::new(run(instance, head, request.body, admitted, running), cpu, Arc::clone(&clock));
    match step(&mut call, &outgoing).await {
        Step::Done(ended) => finish(generation, ended, &outgoing),
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

/// Calls the guest. Holds what must not end before the call does.
async fn run(mut instance: Instance, head: types::RequestHead, body: PluginBody, admitted: Admitted, _running: Running) -> Returned {
    let answer = match exchange::body_record(body, instance.store.data_mut()) {
        Ok(body) => instance.handler.call_handle(&mut instance.store, &head, &body).await,
        Err(error) => Err(error),
    };
    instance.store.data().stdio.finish();
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

/// Sorts the end of a call, and keeps the instance if it answered.
fn finish(generation: &Generation, ended: Result<Returned, DeadlinePassed>, outgoing: &Outgoing) -> Outcome {
    let Ok(Returned { mut instance, admitted: _admitted, answer }) = ended else { return Outcome::Deadline(DeadlineKind::Wall) };
    let memory = &instance.store.data().memory;
    generation.metrics.memory_used(memory.used_bytes() as u64);
    let record = match answer {
        Err(error) => return Outcome::of_error(&error, memory.refused),
        Ok(Err(error)) => return Outcome::GuestError(format!("{error:?}")),
        Ok(Ok(record)) => record,
    };
    let response = match (record.body, outgoing.take()) {
        (types::ResponseBody::Started, Some(started)) => started_head(started),
        (body, _) => {
            let limit_bytes = generation.settings.limits.response_mib.saturating_mul(1 << 20);
            exchange::response(types::Response { body, ..record }, instance.store.data_mut(), limit_bytes)
        }
    };
    match response {
        Ok(response) => {
            generation.recycle(instance);
            Outcome::Answered(response)
        }
        Err(reason) => Outcome::GuestError(reason),
    }
}

/// A response whose whole body has been written already.
fn started_head(started: Started) -> Result<http::Response<Body>, String> {
    let (status, headers) = exchange::response_head(started.status, &started.headers)?;
    let Started { mut body, .. } = started;
    let chunks = futures_util::stream::poll_fn(move |context| body.poll_recv(context).map(|chunk| chunk.map(Ok::<_, io::Error>)));
    Ok(exchange::assemble(status, headers, Body::from_stream(chunks)))
}

/// The response of a guest that goes on writing: whoever reads the body drives the guest.
fn begin_stream<F>(generation: &SharedGeneration, call: Metered<F>, started: Started, clock: &WallClock) -> Outcome
where
    F: Future<Output = Returned> + Send + 'static,
{
    let (status, headers) = match exchange::response_head(started.status, &started.headers) {
        Ok(head) => head,
        Err(reason) => return Outcome::GuestError(reason),
    };
    clock.restart(Duration::from_millis(generation.settings.limits.stream_deadline_ms));
    let body =
        StartedBody { generation: Arc::clone(generation), call: Some(call), chunks: started.body, end: End::Proper, span: Span::current() };
    Outcome::Answered(exchange::assemble(status, headers, Body::from_stream(body)))
}

/// A body that a guest is writing.
struct StartedBody<F> {
    generation: SharedGeneration,
    /// The guest; none once it is done.
    call: Option<Metered<F>>,
    chunks: mpsc::Receiver<Bytes>,
    end: End,
    /// The request's span, which is over for everybody else when the head is out.
    span: Span,
}

/// How a started body ends once everything that was written has been sent.
enum End {
    /// Whole.
    Proper,
    /// The guest failed, and the client must see a body that breaks off, but first what was written: the connection gets a turn to send it.
    Flush,
    /// It breaks off now.
    Cut,
}

impl<F: Future<Output = Returned>> StartedBody<F> {
    /// The guest is done: keeps its instance, or remembers that it failed.
    fn ended(&mut self, ended: Result<Returned, DeadlinePassed>) {
        self.call = None;
        let outcome = match ended {
            Ok(Returned { instance, answer: Ok(Ok(types::Response { body: types::ResponseBody::Started, .. })), admitted: _admitted }) => {
                self.generation.recycle(instance);
                return;
            }
            Ok(Returned { answer: Ok(Ok(_)), .. }) => {
                Outcome::GuestError("it called `outgoing.start` and did not answer `started`".to_owned())
            }
            ended => finish(&self.generation, ended, &Outgoing::default()),
        };
        self.end = End::Flush;
        if let Some(kind) = outcome.trap_kind() {
            self.generation.metrics.trapped(kind);
        }
        // The head is out, so nothing can be answered in its place; this writes the reason to the log.
        let _ = outcome.into_response();
    }
}

impl<F: Future<Output = Returned>> Stream for StartedBody<F> {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let body = self.get_mut();
        let span = body.span.clone();
        let _entered = span.enter();
        loop {
            let chunk = body.chunks.poll_recv(context);
            if let Poll::Ready(Some(chunk)) = chunk {
                return Poll::Ready(Some(Ok(chunk)));
            }
            let Some(call) = &mut body.call else {
                return match std::mem::replace(&mut body.end, End::Proper) {
                    End::Proper => Poll::Ready(None),
                    End::Flush => {
                        body.end = End::Cut;
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }
                    End::Cut => Poll::Ready(Some(Err(io::Error::other("the plugin did not finish its response")))),
                };
            };
            match Pin::new(call).poll(context) {
                Poll::Ready(ended) => body.ended(ended),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
