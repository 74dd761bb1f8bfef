//! The course of one recreation, from its first line in the journal to its last.
//!
//! [`Course::forward`] does it and may be dropped at any moment: because it was cancelled, because its time is up, because something failed. Whatever it did until then stands in the journal or can be seen at the engine, and so there is
//! one way back for all of these and for a host that was killed: [`undo`](super::undo).
//!
//! **The order** is such that as much as can fail has failed before anything is changed. The new container is made while the old one serves, by which the engine looks through the whole specification, and is compared with what was meant;
//! only then the old one loses its restart policy (an engine that is restarted would start it again), is stopped, and gives its name away. It is removed when the new one has proven itself, and until then it keeps its image in use, so that
//! no prune takes that: an image needs no name of ours for it.
//!
//! **A container that the engine removes when it stops** (`--rm`) cannot be returned to. So another one is made beforehand of its own specification on its own image, a stand-in, which takes its place if need be; and since that has another
//! id, so is one for each that depends on it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::error::{FailureWord, RecreationFailure};
use super::journal::{Journal, JournalError, KnownFailure};
use super::locks::Lock;
use super::prepare::{Prepared, id_of};
use super::record::{End, Ending, Phase, Record};
use super::verify::{Expected, Verdict, verify};
use super::{EngineRecreations, RecreateError, Request, raw};
use crate::backend::clock::now_ms;
use crate::backend::engine::{ContainerId, EngineError};
use crate::backend::operations::{Operation, OperationFailure, Outcome, Pull, RecreationProgress, RecreationStep};
use crate::backend::reference::ImageReference;

/// The grace of an engine for a container that has no stop timeout of its own.
const ENGINE_GRACE_SECS: i64 = 10;

/// What a course needs beside its record.
pub(super) struct Course {
    pub(super) home: Arc<EngineRecreations>,
    pub(super) journal: Arc<Journal>,
    pub(super) record: Record,
    pub(super) progress: Arc<RecreationProgress>,
    pub(super) lock: Lock,
    /// A line of the journal that is on its way.
    pub(super) writing: Option<JoinHandle<Result<(), JournalError>>>,
    /// Whether the answer to a stop was lost, so that the engine may still be at it.
    pub(super) stop_pending: bool,
}

/// What was asked for, which another run of the host does not know.
pub(super) struct Asked {
    pub(super) request: Request,
    /// Pulls the image; none if it is not to be pulled.
    pub(super) pull: Option<Pull>,
    /// How long it may take.
    pub(super) limit: Duration,
    /// Hears that the journal has it, or why not.
    pub(super) written: oneshot::Sender<Result<(), String>>,
}

/// Why a course does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// There is nothing to do: the container has this image.
    Unchanged,
    /// It was cancelled, or another run of the host was ended.
    Cancelled,
    /// The host is about to end, and the next one goes on.
    Leaving,
    /// Something failed.
    Failed(Cause),
}

/// What failed.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) word: FailureWord,
    pub(super) reason: String,
    /// Whether the image is to blame, so that it is not tried again unasked.
    pub(super) blames_image: bool,
}

impl Stop {
    pub(super) fn because(word: FailureWord, reason: impl Into<String>) -> Stop {
        Stop::Failed(Cause { word, reason: reason.into(), blames_image: false })
    }

    fn blaming(self) -> Stop {
        match self {
            Stop::Failed(cause) => Stop::Failed(Cause { blames_image: true, ..cause }),
            other => other,
        }
    }
}

/// `error`, met while doing `what`.
pub(super) fn failed(what: &str, error: &EngineError) -> Stop {
    Stop::because(FailureWord::of_engine(error), format!("failed to {what}: {error}"))
}

impl Course {
    /// Recreates, and comes to an end whatever happens.
    pub(super) async fn run(mut self, asked: Asked, operation: Arc<Operation>) -> Outcome {
        let Asked { request, pull, limit, written } = asked;
        if let Err(error) = self.write().await {
            let reason = error.to_string();
            let _gone = written.send(Err(reason.clone()));
            return Outcome::Failed(RecreationFailure { word: FailureWord::Internal, reason }.into());
        }
        let _gone = written.send(Ok(()));
        let stopped = tokio::select! {
            biased;
            done = timeout(limit, self.forward(&request, pull)) => match done {
                Ok(done) => done.err(),
                Err(_elapsed) => Some(Stop::because(FailureWord::Timeout, format!("it was not done within {} s", limit.as_secs()))),
            },
            () = operation.cancelled() => Some(self.home.why_cancelled()),
        };
        self.settle(stopped).await
    }

    /// Takes up a course that another run of the host has begun.
    pub(super) async fn resume(mut self, operation: Arc<Operation>) -> Outcome {
        self.home.wait_for(&self.record.engine).await;
        let stopped = if matches!(self.record.phase, Phase::Starting | Phase::Verifying) {
            tokio::select! {
                biased;
                done = self.go_on() => done.err(),
                () = operation.cancelled() => Some(self.home.why_cancelled()),
            }
        } else {
            Some(Stop::Cancelled)
        };
        self.settle(stopped).await
    }

    /// Comes to an end from wherever it was stopped; none if it was not.
    async fn settle(mut self, stopped: Option<Stop>) -> Outcome {
        // What was on its way to the journal when the course was stopped counts as written, or as failed.
        if let Some(writing) = self.writing.take() {
            let written = writing.await.is_ok_and(|written| written.is_ok());
            if !written && self.record.phase == Phase::Committed {
                self.record.phase = Phase::Verifying;
            }
        }
        if self.record.phase == Phase::Committed {
            return self.finish().await;
        }
        match stopped {
            Some(Stop::Unchanged) => self.end(Ending::Succeeded, false, false).await,
            Some(Stop::Leaving) if matches!(self.record.phase, Phase::Starting | Phase::Verifying) => {
                // What runs goes on, and is watched by whoever reads the journal next.
                tracing::info!(operation = self.record.id, container = self.record.name, "left a recreation to the next run of the host");
                Outcome::Cancelled
            }
            Some(Stop::Cancelled | Stop::Leaving) | None => self.take_back(None).await,
            Some(Stop::Failed(cause)) => self.take_back(Some(cause)).await,
        }
    }

    async fn forward(&mut self, request: &Request, pull: Option<Pull>) -> Result<(), Stop> {
        if let Some(pull) = pull {
            self.pull(pull).await?;
        }
        let target = self.target(request).await?;
        if self.record.to == self.record.from && !request.options.again {
            return Err(Stop::Unchanged);
        }
        self.refuse_known_failure(request).await?;
        // Nobody held the container's neighbours while the image was pulled.
        let prepared = self.home.prepare(request).await.map_err(of_preparing)?;
        self.adopt(&prepared)?;
        self.create(request, &prepared, &target).await?;
        self.stop().await?;
        self.rename().await?;
        self.start().await?;
        self.watch().await?;
        self.enter(Phase::Committed, RecreationStep::Removing).await
    }

    /// Goes on where the new containers were about to run. Whether they do is for the engine to say.
    async fn go_on(&mut self) -> Result<(), Stop> {
        let main = self.record.members.first().and_then(|member| member.new.clone());
        let main = main.ok_or(Stop::Cancelled)?;
        let container = self.home.engine.container(main.as_str()).await.map_err(|error| failed("look at the new container", &error))?;
        // One that was never started was not even tried, and the old one is surer.
        if !raw::was_started(&container) || raw::name(&container) != self.record.name {
            return Err(Stop::Cancelled);
        }
        self.start().await?;
        self.watch().await?;
        self.enter(Phase::Committed, RecreationStep::Removing).await
    }

    async fn pull(&mut self, pull: Pull) -> Result<(), Stop> {
        self.progress.change(|now| now.step = RecreationStep::Pulling);
        let progress = Arc::clone(&self.progress);
        let pulled = self.home.operations.pull_within(pull, move |layers| progress.change(|now| now.pull = Some(layers))).await;
        pulled.map_err(|failure| match &failure {
            OperationFailure::Engine(error) => failed("pull the image", error),
            other => Stop::because(FailureWord::Internal, format!("failed to pull the image: {other}")),
        })
    }

    /// The image that the new container will have.
    async fn target(&mut self, request: &Request) -> Result<Value, Stop> {
        let image = self.home.engine.image(&request.image.familiar()).await.map_err(|error| match error {
            EngineError::NotFound(_) => Stop::because(FailureWord::NotFound, format!("the engine has no image `{}`", request.image)),
            error => failed("look at the image", &error),
        })?;
        self.record.to = raw::text(&image, "/Id").to_owned();
        self.record.digest = digest_of(&image, &request.image);
        let (to, digest) = (self.record.to.clone(), self.record.digest.clone());
        self.progress.change(|now| (now.to, now.digest) = (Some(to), digest));
        Ok(image)
    }

    async fn refuse_known_failure(&self, request: &Request) -> Result<(), Stop> {
        if request.options.again {
            return Ok(());
        }
        let known = self.home.known_failure(&self.journal, &self.record.name, &self.record.to, self.record.digest.as_deref()).await;
        match known.map_err(|error| Stop::because(FailureWord::Internal, error.to_string()))? {
            Some(failure) => Err(Stop::because(FailureWord::Conflict, failed_before(&failure))),
            None => Ok(()),
        }
    }

    /// Takes over what was found out, and locks what is to be recreated too.
    fn adopt(&mut self, prepared: &Prepared) -> Result<(), Stop> {
        let members: Vec<_> = prepared.members.iter().map(|member| member.member.clone()).collect();
        self.lock.extend(&members).map_err(|reason| Stop::because(FailureWord::Conflict, reason))?;
        let main = members.first().map(|member| &member.inspected).unwrap_or(&Value::Null);
        if raw::text(main, "/Image") != self.record.from {
            return Err(Stop::because(FailureWord::Conflict, "it has another image than when this began"));
        }
        self.record.members = members;
        self.record.engine.clone_from(&prepared.engine);
        self.lock.set_aside(self.record.names_aside());
        let also: Vec<String> = self.record.members.iter().skip(1).map(|member| member.name.clone()).collect();
        self.progress.change(|now| now.also = also);
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), Stop> {
        self.enter(Phase::Stopping, RecreationStep::Stopping).await?;
        let members = self.record.members.clone();
        for member in &members {
            if member.restart_policy().is_some() {
                let kept = self.home.engine.set_restart_policy(&member.old, &json!({ "Name": "no" })).await;
                kept.map_err(|error| failed("take the restart policy from the old container", &error))?;
            }
        }
        for (place, member) in members.iter().enumerate().rev().filter(|(_, member)| member.ran()) {
            if place == 0 {
                self.record.stopping_ms = Some(now_ms());
            }
            self.stop_pending = true;
            let stopped = self.home.engine.stop(&member.old, None, self.stop_limit(&member.inspected)).await;
            match stopped {
                Ok(()) => {}
                Err(EngineError::NotFound(_)) if member.vanishes() => {}
                Err(error) => return Err(failed("stop the old container", &error)),
            }
            self.stop_pending = false;
            if member.vanishes() {
                self.wait_until_gone(&member.old).await?;
            }
        }
        Ok(())
    }

    async fn wait_until_gone(&self, container: &ContainerId) -> Result<(), Stop> {
        let waiting = async {
            loop {
                match self.home.engine.inspect_container(container.as_str()).await {
                    Err(EngineError::NotFound(_)) => return Ok(()),
                    Err(error) => return Err(failed("look at the old container", &error)),
                    Ok(_) => sleep(self.home.pace.poll).await,
                }
            }
        };
        let late = || Err(Stop::because(FailureWord::Timeout, "the engine did not remove the old container after it was stopped"));
        timeout(self.home.pace.patience, waiting).await.unwrap_or_else(|_elapsed| late())
    }

    async fn rename(&mut self) -> Result<(), Stop> {
        self.enter(Phase::Renaming, RecreationStep::Stopping).await?;
        for member in self.record.members.clone() {
            if !member.vanishes() {
                let renamed = self.home.engine.rename(&member.old, &self.record.old_name(&member)).await;
                renamed.map_err(|error| failed("rename the old container", &error))?;
            }
            let new = member.new.as_ref().ok_or(Stop::Cancelled)?;
            self.home.engine.rename(new, &member.name).await.map_err(|error| failed("rename the new container", &error))?;
        }
        Ok(())
    }

    /// Starts the new containers that are to run. One that runs already is no error.
    async fn start(&mut self) -> Result<(), Stop> {
        self.enter(Phase::Starting, RecreationStep::Starting).await?;
        let members = self.record.members.clone();
        for (place, member) in members.iter().enumerate().filter(|(_, member)| member.ran()) {
            let new = member.new.as_ref().ok_or(Stop::Cancelled)?;
            let started = timeout(self.home.pace.start, self.home.engine.start(new)).await;
            let started = started.unwrap_or(Err(EngineError::Timeout(self.home.pace.start)));
            started.map_err(|error| {
                let stop = failed(&format!("start the new container of `{}`", member.name), &error);
                if place > 0 || error.is_uncertain() || matches!(error, EngineError::Unavailable(_)) { stop } else { stop.blaming() }
            })?;
            if place == 0 {
                self.runs_again();
            }
        }
        Ok(())
    }

    /// Something runs under the name from now on.
    pub(super) fn runs_again(&mut self) {
        if let (Some(stopping_ms), None) = (self.record.stopping_ms, self.record.stopped_ms) {
            let stopped_ms = now_ms().saturating_sub(stopping_ms);
            self.record.stopped_ms = Some(stopped_ms);
            self.progress.change(|now| now.stopped_ms = Some(stopped_ms));
        }
    }

    async fn watch(&mut self) -> Result<(), Stop> {
        self.enter(Phase::Verifying, RecreationStep::Verifying).await?;
        let expected =
            Expected { settle: Duration::from_millis(self.record.settle_ms), healthy: self.record.healthy_ms.map(Duration::from_millis) };
        let (engine, pace) = (&self.home.engine, &self.home.pace);
        let running = self.record.members.iter().enumerate().filter(|(_, member)| member.ran());
        let verdicts =
            running.filter_map(|(place, member)| Some((place, &member.name, member.new.as_ref()?))).map(|(place, name, new)| async move {
                verify(engine, new, expected, pace).await.map_err(|verdict| match verdict {
                    Verdict::Bad(what) => {
                        let stop = Stop::because(FailureWord::Internal, format!("the new container of `{name}` is no good: {what}"));
                        if place == 0 { stop.blaming() } else { stop }
                    }
                    Verdict::Unknown(error) => failed(&format!("watch the new container of `{name}`"), &error),
                })
            });
        try_join_all(verdicts).await.map(drop)
    }

    /// Begins a phase: it is in the journal before anything of it is done. One that is not has not begun.
    pub(super) async fn enter(&mut self, phase: Phase, step: RecreationStep) -> Result<(), Stop> {
        let before = std::mem::replace(&mut self.record.phase, phase);
        self.progress.change(|now| now.step = step);
        let written = self.write().await;
        if written.is_err() {
            self.record.phase = before;
        }
        written.map_err(of_journal)
    }

    /// Writes the record as it is. Dropping this does not take back what is on its way to the disk; see [`Self::settle`].
    pub(super) async fn write(&mut self) -> Result<(), JournalError> {
        let (journal, record) = (Arc::clone(&self.journal), self.record.clone());
        let writing = self.writing.insert(tokio::task::spawn_blocking(move || journal.write(&record)));
        let written = writing.await;
        self.writing = None;
        written.unwrap_or_else(|panic| Err(JournalError::Io(std::io::Error::other(panic))))
    }

    /// The last line. From then on the container is free.
    pub(super) async fn end(mut self, how: Ending, changed: bool, rolled_back: bool) -> Outcome {
        let outcome = how.outcome();
        self.record.end = Some(End { at_ms: now_ms(), how, changed, rolled_back });
        let last = self.record.progress();
        self.progress.change(|now| {
            (now.changed, now.rolled_back, now.replacement) = (last.changed, last.rolled_back, last.replacement);
        });
        self.record.phase = Phase::Ended;
        self.record = self.record.shortened();
        if let Err(error) = self.write().await {
            // The next run of the host comes to the same end, from what the engine shows.
            tracing::error!(operation = self.record.id, %error, "failed to write the end of a recreation");
        }
        outcome
    }

    pub(super) fn with_member(&mut self, place: usize, change: impl FnOnce(&mut super::record::Member)) {
        if let Some(member) = self.record.members.get_mut(place) {
            change(member);
        }
    }

    /// How long to wait for the answer to a stop.
    pub(super) fn stop_limit(&self, container: &Value) -> Duration {
        grace(container).map_or(Duration::MAX, |grace| grace.saturating_add(self.home.pace.stop_margin))
    }
}

/// How long a container may take to stop; none is for ever.
pub(super) fn grace(container: &Value) -> Option<Duration> {
    let secs = container.pointer("/Config/StopTimeout").and_then(Value::as_i64).unwrap_or(ENGINE_GRACE_SECS);
    u64::try_from(secs).ok().map(Duration::from_secs)
}

/// What is said of an image that failed before.
pub(super) fn failed_before(failure: &KnownFailure) -> String {
    format!("this image has failed for this container before, and is not tried again unless that is asked for: {}", failure.reason)
}

pub(super) fn of_journal(error: JournalError) -> Stop {
    Stop::because(FailureWord::Internal, error.to_string())
}

pub(super) fn of_preparing(error: RecreateError) -> Stop {
    match error {
        RecreateError::Engine(error) => failed("look at the container", &error),
        other => Stop::because(FailureWord::Conflict, other.to_string()),
    }
}

/// The digest that the registry of `reference` has for `image`; none if it was not pulled from there.
pub(super) fn digest_of(image: &Value, reference: &ImageReference) -> Option<String> {
    let known = raw::items(image, "/RepoDigests").iter().filter_map(Value::as_str);
    let mut ours = known.filter_map(|text| ImageReference::parse(text).ok()).filter(|known| known.repository() == reference.repository());
    let last = ours.next_back()?;
    last.digest().map(str::to_owned)
}

/// Whether a container that was just inspected is the one of this id.
pub(super) fn is(container: &Value, id: &ContainerId) -> bool {
    id_of(container).is_some_and(|own| own == *id)
}

/// The work of an operation.
pub(super) type Work = BoxFuture<'static, Outcome>;
