//! One attempt of one job: a call of the plugin's handler, or a message on its way, and what the queue is told of its end.
//!
//! Whoever cancels the job drops the attempt where it stands, as a client that goes away does with its request. What the attempt had begun on the engine goes on in `backend::operations`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument;

use super::super::call::count;
use super::super::generation::{Generation, SharedGeneration};
use super::super::meter::Metered;
use super::super::outcome::{DeadlineKind, Outcome};
use crate::backend::clock::now_ms;
use crate::backend::jobs::{After, Content, Ended, Job, JobObserver, Purpose, SiteJobs, Store, webhook};
use crate::backend::registry::Registries;
use crate::bindings::exports::wharf::jobs::handler;

/// How long to wait before the queue is told once more how an attempt has ended. Doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What attempts of one site share.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) jobs: Arc<SiteJobs>,
    pub(super) registries: Registries,
    pub(super) observer: Arc<dyn JobObserver>,
}

/// A job that this host has begun.
#[derive(Clone)]
pub(super) struct Begun {
    pub(super) job: Job,
    /// Where it was taken from.
    pub(super) store: Arc<Store>,
}

impl Means {
    /// Carries out the attempt, to the word in the queue that it has ended.
    pub(super) async fn carry_out(self, begun: Begun, content: Content, generation: SharedGeneration) {
        let Begun { job, .. } = &begun;
        let span = tracing::info_span!(
            "job",
            site = self.jobs.site,
            plugin = job.plugin,
            generation = generation.parts.identity.generation,
            job = job.id,
            kind = job.kind,
            attempt = job.attempts
        );
        self.carry_out_in_span(&begun, content, &generation).instrument(span).await;
    }

    async fn carry_out_in_span(&self, begun: &Begun, content: Content, generation: &SharedGeneration) {
        let Begun { job, store } = begun;
        let began = Instant::now();
        let running = self.jobs.run(&job.id);
        let attempt = async {
            match job.purpose {
                Purpose::Job | Purpose::Turn => call(generation, job, content).await,
                Purpose::Webhook => self.send(generation, job, content).await,
            }
        };
        let ended = tokio::select! {
            biased;
            () = running.token.cancelled() => None,
            ended = attempt => Some(ended),
        };
        // Whoever takes the job next must not lose its place to this one.
        drop(running);
        let after = match &ended {
            Some(ended) => finish(store, job, ended).await,
            None => After::Lost,
        };
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let reason = match &ended {
            Some(Ended::Again(reason, _) | Ended::Never(reason)) => reason.as_str(),
            _ => "",
        };
        let outcome = match after {
            After::Succeeded => {
                tracing::info!(milliseconds, "a job was carried out");
                "succeeded"
            }
            After::Waiting => {
                tracing::warn!(milliseconds, reason, "a job failed, and is tried again");
                "failed"
            }
            After::Dead => {
                tracing::error!(milliseconds, reason, "a job failed for good");
                "dead"
            }
            After::Lost => {
                tracing::warn!(milliseconds, "ended a job that was cancelled, or that another host has taken over");
                "cancelled"
            }
        };
        self.observer.ended(&self.jobs.site, &job.plugin, job.purpose, outcome);
    }

    async fn send(&self, generation: &Generation, job: &Job, content: Content) -> Ended {
        let grant = generation.settings.grants.jobs.as_ref();
        match grant.and_then(|grant| grant.webhook(&job.kind)) {
            Some(webhook) => webhook::send(&self.registries, webhook, job, content).await,
            None => Ended::Never(format!("the plugin's grant has no webhook `{}` any more", job.kind)),
        }
    }
}

/// Tells the queue until it hears.
async fn finish(store: &Store, job: &Job, ended: &Ended) -> After {
    let mut wait = FIRST_WAIT;
    loop {
        match store.finish(job, ended, now_ms(), fastrand::f64()).await {
            Ok(after) => return after,
            Err(error) => tracing::error!(%error, "cannot note how a job has ended; trying again"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Lets the plugin carry out `job`, in an instance of its own.
async fn call(generation: &SharedGeneration, job: &Job, content: Content) -> Ended {
    let mut instance = match generation.fresh_instance().await {
        Ok(instance) => instance,
        Err(outcome) => return failed(generation, &outcome),
    };
    instance.begin_job(&generation.settings.limits);
    let state = instance.store.data();
    let (cpu, clock) = (Arc::clone(&state.cpu), Arc::clone(&state.call.clock));
    let work = handler::Work {
        id: job.id.clone(),
        kind: job.kind.clone(),
        payload: String::from_utf8_lossy(&content.payload).into_owned(),
        attempt: job.attempts,
        turn: job.turn.map(|turn| handler::Turn { due_ms: turn.due_ms, missed: turn.missed }),
    };
    let run = async {
        let answer = instance.run(&generation.exports, &work).await;
        instance.store.data().stdio.finish();
        instance.store.data_mut().call.finish();
        let memory = &instance.store.data().memory;
        generation.metrics.memory_used(memory.used_bytes() as u64);
        let refused = memory.refused;
        (answer, refused)
    };
    match Metered::new(run, cpu, clock).await {
        Err(_passed) => failed(generation, &Outcome::Deadline(DeadlineKind::Wall)),
        Ok((Err(error), out_of_memory)) => failed(generation, &Outcome::of_error(&error, out_of_memory)),
        Ok((Ok(None), _)) => Ended::Never("the plugin carries out no jobs any more".to_owned()),
        Ok((Ok(Some(answer)), _)) => {
            generation.circuit.answered();
            match answer {
                Ok(()) => Ended::Succeeded,
                Err(handler::Failure::Again(reason)) => Ended::Again(reason, None),
                Err(handler::Failure::Never(reason)) => Ended::Never(reason),
            }
        }
    }
}

/// What a call that did not return means for its job: it may go better the next time.
fn failed(generation: &Generation, outcome: &Outcome) -> Ended {
    count(generation, outcome);
    let reason = match outcome {
        Outcome::Trap(kind, reason) => {
            tracing::error!(?kind, reason, "the plugin trapped");
            format!("the plugin trapped: {}", reason.lines().next().unwrap_or_default())
        }
        Outcome::Deadline(DeadlineKind::Wall) => "it took longer than `job_deadline_ms`".to_owned(),
        Outcome::Deadline(DeadlineKind::Cpu) => "it took more processor time than `job_cpu_ms`".to_owned(),
        Outcome::NotLoaded { reason, .. } | Outcome::GuestError(reason) => reason.clone(),
        Outcome::OverCapacity | Outcome::Answered(_) => "every instance that this machine has room for is at work".to_owned(),
    };
    Ended::Again(reason, None)
}
