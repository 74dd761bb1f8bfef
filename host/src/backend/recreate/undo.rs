//! The two ends of a recreation: taking everything back, and removing what is not needed any more.
//!
//! Both look at what the engine shows and do what is missing, so that they can be done again from their beginning as often as it takes: after an engine was restarted, after this process was killed. An engine that does not answer is waited
//! for; one that refuses is asked a few times, and what cannot be put right is said and left for a person, with the old container there under whichever name.
//!
//! **Nothing with data is removed on the way back.** A new container goes without its volumes; those that the engine made for it alone, which nothing had before and nothing else may use, are removed by their names.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::course::{Cause, Course, grace, is};
use super::error::{FailureWord, RecreationFailure};
use super::journal::KnownFailure;
use super::raw;
use super::record::{Ending, Member, Phase};
use crate::backend::clock::now_ms;
use crate::backend::engine::{ContainerId, EngineError, Removal};
use crate::backend::operations::{Outcome, RecreationStep};
use crate::backend::reference::is_generated;

/// How it stands after everything was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Aftermath {
    /// The old container was never touched.
    Untouched,
    /// It is there again.
    Restored,
    /// It is gone, by somebody else's hand, and the new one was kept.
    NewStays,
    /// Neither is there: somebody has removed them.
    Gone,
    /// It could not be put right.
    Stuck(String),
}

impl std::fmt::Display for Aftermath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Aftermath::Untouched => formatter.write_str("the old container was not touched"),
            Aftermath::Restored => formatter.write_str("the old container is there again"),
            Aftermath::NewStays => formatter.write_str("the old container was removed meanwhile, and the new one is in its place"),
            Aftermath::Gone => formatter.write_str("the container was removed meanwhile"),
            Aftermath::Stuck(reason) => write!(formatter, "the old container could not be put back: {reason}"),
        }
    }
}

/// What keeps an attempt from its end.
enum Hindrance {
    /// The engine, which may answer differently later.
    Engine(&'static str, EngineError),
    /// It is not as it should be yet.
    NotYet(String),
}

impl Hindrance {
    /// Whether nothing was said against it, so that it is only a matter of time.
    fn is_of_time(&self) -> bool {
        matches!(self, Hindrance::Engine(_, EngineError::Unavailable(_) | EngineError::Lost(_) | EngineError::Timeout(_)))
    }
}

impl std::fmt::Display for Hindrance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hindrance::Engine(what, error) => write!(formatter, "failed to {what}: {error}"),
            Hindrance::NotYet(what) => formatter.write_str(what),
        }
    }
}

/// `result`, unless it failed while doing `what`.
trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, Hindrance>;
}

impl<T> Doing<T> for Result<T, EngineError> {
    fn doing(self, what: &'static str) -> Result<T, Hindrance> {
        self.map_err(|error| Hindrance::Engine(what, error))
    }
}

impl Course {
    /// Takes everything back and ends, with `cause` or else as cancelled.
    pub(super) async fn take_back(mut self, cause: Option<Cause>) -> Outcome {
        let reached = self.record.phase;
        if reached != Phase::Begun && self.enter(Phase::Undoing, RecreationStep::Undoing).await.is_err() {
            // The way back can be seen at the engine, so that it is gone without the journal too.
            tracing::error!(operation = self.record.id, "failed to write that a recreation is taken back");
        }
        let aftermath = self.attempt_until_done(reached).await;
        let name = self.record.name.clone();
        match &aftermath {
            Aftermath::Stuck(reason) => {
                tracing::error!(
                    operation = self.record.id,
                    container = name,
                    reason,
                    "a recreation could not be taken back; look at the containers of this name"
                );
            }
            Aftermath::Untouched => {}
            other => tracing::warn!(operation = self.record.id, container = name, aftermath = %other, "took a recreation back"),
        }
        if let Some(cause) = cause.as_ref().filter(|cause| cause.blames_image) {
            self.remember_failure(cause).await;
        }
        let rolled_back = reached > Phase::Begun && !matches!(aftermath, Aftermath::NewStays | Aftermath::Gone);
        let how = match (cause, &aftermath) {
            (None, Aftermath::Stuck(_)) => Ending::Failed(RecreationFailure { word: FailureWord::Internal, reason: aftermath.to_string() }),
            (None, _) => Ending::Cancelled,
            (Some(cause), _) => Ending::Failed(RecreationFailure { word: cause.word, reason: format!("{}; {aftermath}", cause.reason) }),
        };
        if matches!(aftermath, Aftermath::Stuck(_)) {
            // The journal keeps it open: the next run of the host tries again.
            let outcome = how.outcome();
            self.progress.change(|now| now.rolled_back = false);
            return outcome;
        }
        self.end(how, false, rolled_back).await
    }

    async fn remember_failure(&self, cause: &Cause) {
        let failure = KnownFailure { reason: cause.reason.clone(), at_ms: i64::try_from(now_ms()).unwrap_or(i64::MAX) };
        let (journal, record) = (std::sync::Arc::clone(&self.journal), self.record.clone());
        let written =
            tokio::task::spawn_blocking(move || journal.remember_failure(&record.name, &record.to, record.digest.as_deref(), &failure));
        if let Ok(Err(error)) = written.await {
            tracing::error!(operation = self.record.id, %error, "failed to write that an image is no good");
        }
    }

    /// Attempts until it is done or said to be impossible.
    async fn attempt_until_done(&mut self, reached: Phase) -> Aftermath {
        let mut pauses = self.home.pace.pauses();
        let (mut refusals, mut told) = (0, false);
        loop {
            match self.attempt_to_take_back(reached).await {
                Ok(aftermath) => return aftermath,
                Err(hindrance) => {
                    refusals += u32::from(!hindrance.is_of_time());
                    if refusals >= self.home.pace.refusals {
                        return Aftermath::Stuck(hindrance.to_string());
                    }
                    if !told {
                        tracing::warn!(operation = self.record.id, container = self.record.name, reason = %hindrance, "trying again to take a recreation back");
                        told = true;
                    }
                }
            }
            sleep(pauses.next()).await;
        }
    }

    async fn attempt_to_take_back(&mut self, reached: Phase) -> Result<Aftermath, Hindrance> {
        if reached == Phase::Begun {
            return Ok(Aftermath::Untouched);
        }
        self.return_name().await.doing("name the image")?;
        let members = self.record.members.clone();
        let mut found = Vec::new();
        // Whether an earlier one is replaced by its stand-in, which those that depend on it have to follow.
        let mut returned = false;
        for member in &members {
            let mut there = self.look(member, reached).await?;
            returned |= there.old.is_none() && there.stand_in.is_some();
            there.by_stand_in = returned && there.stand_in.is_some();
            found.push(there);
        }
        for (place, member) in members.iter().enumerate().rev() {
            let Some(there) = found.get(place) else { continue };
            if there.has_way_back()
                && let Some(new) = &there.new
            {
                self.remove_new(place, member, new).await?;
            }
        }
        for (member, there) in members.iter().zip(&found) {
            self.restore(member, there).await?;
        }
        let mut watched = Vec::new();
        for (place, (member, there)) in members.iter().zip(&found).enumerate().filter(|(_, (member, _))| member.ran()) {
            let Some(id) = there.remaining(member) else { continue };
            self.ensure_running(&id).await?;
            if place == 0 {
                self.runs_again();
            }
            if there.old_runs && (self.stop_pending || reached == Phase::Stopping) {
                watched.push((id, member));
            }
        }
        // Now that nobody waits for it any more. Also those of new containers that are gone: another attempt may have removed one and not come to its volumes.
        for (place, _) in found.iter().enumerate().filter(|(_, there)| there.has_way_back()) {
            self.remove_volumes(place).await?;
        }
        for (id, member) in watched {
            self.outlast_stop(&id, member).await?;
        }
        let main = found.first().map(|there| (there.has_way_back(), there.new.is_some()));
        Ok(match main {
            Some((true, _)) if reached < Phase::Stopping => Aftermath::Untouched,
            Some((true, _)) => Aftermath::Restored,
            Some((false, true)) => Aftermath::NewStays,
            Some((false, false)) | None => Aftermath::Gone,
        })
    }

    /// What there is of a member.
    async fn look(&self, member: &Member, reached: Phase) -> Result<There, Hindrance> {
        let old = self.container(member.old.as_str()).await?;
        let known = |id: &Option<ContainerId>| id.as_ref().map(|id| id.as_str().to_owned());
        let mut new = self.container(&known(&member.new).unwrap_or_else(|| self.record.new_name(member))).await?;
        let mut stand_in = self.container(&known(&member.stand_in).unwrap_or_else(|| self.record.stand_in_name(member))).await?;
        if reached == Phase::Creating && new.is_none() && member.new.is_none() {
            // The engine may still be at it.
            let deadline = Instant::now() + self.home.pace.appears;
            while new.is_none() && Instant::now() < deadline {
                sleep(self.home.pace.poll).await;
                new = self.container(&self.record.new_name(member)).await?;
                stand_in = self.container(&self.record.stand_in_name(member)).await?;
            }
        }
        if old.as_ref().is_some_and(|old| raw::text(old, "/State/Status") == "removing") {
            return Err(Hindrance::NotYet("the old container is being removed".to_owned()));
        }
        let not_old = |container: &Value| !is(container, &member.old);
        Ok(There { old_runs: old.as_ref().is_some_and(raw::is_up), old, new: new.filter(not_old), stand_in, by_stand_in: false })
    }

    async fn container(&self, name: &str) -> Result<Option<Value>, Hindrance> {
        match self.home.engine.container(name).await {
            Ok(container) => Ok(Some(container)),
            Err(EngineError::NotFound(_)) => Ok(None),
            Err(error) => Err(Hindrance::Engine("look at a container", error)),
        }
    }

    async fn remove_new(&mut self, place: usize, member: &Member, new: &Value) -> Result<(), Hindrance> {
        let Ok(id) = ContainerId::try_from(raw::text(new, "/Id").to_owned()) else { return Ok(()) };
        let had: HashSet<&str> = raw::volumes(&member.inspected).collect();
        let made: Vec<String> = raw::volumes(new).filter(|name| is_generated(name) && !had.contains(name)).map(str::to_owned).collect();
        if !made.is_empty() {
            self.with_member(place, |member| member.volumes = made);
            if self.write().await.is_err() {
                tracing::warn!(operation = self.record.id, "failed to write which volumes a new container has for itself");
            }
        }
        if raw::is_up(new) {
            self.home.engine.stop(&id, None, self.stop_limit(new)).await.or_else(absent).doing("stop the new container")?;
        }
        self.home.engine.remove(&id, Removal { force: true, volumes: false }).await.or_else(absent).doing("remove the new container")?;
        if self.container(id.as_str()).await?.is_some() {
            return Err(Hindrance::NotYet("the new container is still there".to_owned()));
        }
        Ok(())
    }

    /// Removes the volumes that were made for a new container alone. One that the engine keeps, asked a few times, is in use or left behind: the way back does not fail for it.
    async fn remove_volumes(&self, place: usize) -> Result<(), Hindrance> {
        let volumes = self.record.members.get(place).map(|member| member.volumes.clone()).unwrap_or_default();
        for volume in volumes {
            let mut pauses = self.home.pace.pauses();
            for attempt in 1..=self.home.pace.refusals {
                let hindrance = match self.home.engine.remove_volume(&volume).await {
                    Ok(()) | Err(EngineError::NotFound(_)) => break,
                    Err(error) => Hindrance::Engine("remove a volume of the new container", error),
                };
                if hindrance.is_of_time() {
                    return Err(hindrance);
                }
                if attempt == self.home.pace.refusals || matches!(hindrance, Hindrance::Engine(_, EngineError::Conflict(_))) {
                    tracing::warn!(operation = self.record.id, volume, reason = %hindrance, "a volume of a container that was taken back is left behind");
                    break;
                }
                sleep(pauses.next()).await;
            }
        }
        Ok(())
    }

    /// Gives the old container, or its stand-in, its name and its restart policy back.
    async fn restore(&mut self, member: &Member, there: &There) -> Result<(), Hindrance> {
        let engine = &self.home.engine;
        if there.by_stand_in {
            if let Some(stand_in) = &member.stand_in.clone().or_else(|| there.id_of_stand_in()) {
                if there.old.is_some() {
                    let gone = engine.remove(&member.old, Removal { force: true, volumes: false }).await;
                    gone.or_else(absent).doing("remove the old container, which depends on one that is gone")?;
                }
                return self.ensure_named(stand_in, &member.name).await;
            }
            return Ok(());
        }
        if there.old.is_none() {
            // Nothing is left to return to. What there is stays, under the name that people know.
            if let Some(id) = there.new.as_ref().and_then(super::prepare::id_of) {
                return self.ensure_named(&id, &member.name).await;
            }
            return Ok(());
        }
        self.ensure_named(&member.old, &member.name).await?;
        if let (Some(policy), Some(old)) = (member.restart_policy(), &there.old)
            && raw::text(old, "/HostConfig/RestartPolicy/Name") != raw::text(policy, "/Name")
        {
            self.home.engine.set_restart_policy(&member.old, policy).await.doing("give the restart policy back to the old container")?;
        }
        if let Some(id) = there.id_of_stand_in() {
            let gone = self.home.engine.remove(&id, Removal { force: true, volumes: false }).await;
            gone.or_else(absent).doing("remove what was to stand in for the old container")?;
        }
        Ok(())
    }

    async fn ensure_named(&self, id: &ContainerId, name: &str) -> Result<(), Hindrance> {
        match self.container(id.as_str()).await? {
            Some(container) if raw::name(&container) != name => {
                self.home.engine.rename(id, name).await.doing("give the old container its name back")
            }
            _ => Ok(()),
        }
    }

    async fn ensure_running(&self, id: &ContainerId) -> Result<(), Hindrance> {
        match self.container(id.as_str()).await? {
            Some(container) if !raw::is_up(&container) => self.home.engine.start(id).await.doing("start the old container"),
            _ => Ok(()),
        }
    }

    /// Sees to it that a container runs which the engine may still be about to stop: it is asked only once, and then takes its time.
    async fn outlast_stop(&self, id: &ContainerId, member: &Member) -> Result<(), Hindrance> {
        let longest = grace(&member.inspected).unwrap_or(self.home.pace.longest_stop).min(self.home.pace.longest_stop);
        let deadline = Instant::now() + longest + self.home.pace.after_stop;
        while Instant::now() < deadline {
            if let Some(container) = self.container(id.as_str()).await?
                && !raw::is_up(&container)
            {
                return self.ensure_running(id).await;
            }
            sleep(self.home.pace.poll.max(Duration::from_millis(1))).await;
        }
        Ok(())
    }

    /// Removes the old containers, since the new ones stay, and ends. Unless these are gone: then everything is taken back.
    pub(super) async fn finish(mut self) -> Outcome {
        self.progress.change(|now| now.step = RecreationStep::Removing);
        let mut pauses = self.home.pace.pauses();
        let mut refusals = 0;
        loop {
            match self.attempt_to_finish().await {
                Ok(true) => break,
                Ok(false) => {
                    let reason = "the new container was removed before the old one was".to_owned();
                    return self.take_back(Some(Cause { word: FailureWord::Conflict, reason, blames_image: false })).await;
                }
                Err(hindrance) => {
                    refusals += u32::from(!hindrance.is_of_time());
                    if refusals >= self.home.pace.refusals {
                        // The container is what was asked for. The journal stays open, so that the next run of the host tries again.
                        tracing::error!(operation = self.record.id, container = self.record.name, reason = %hindrance, "an old container is left behind");
                        let last = self.record.progress();
                        self.progress.change(|now| (now.changed, now.replacement) = (true, last.replacement));
                        return Outcome::Succeeded;
                    }
                }
            }
            sleep(pauses.next()).await;
        }
        let (journal, name) = (std::sync::Arc::clone(&self.journal), self.record.name.clone());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || journal.forget_failures(&name)).await {
            tracing::warn!(operation = self.record.id, %error, "failed to forget which images were no good");
        }
        self.end(Ending::Succeeded, true, false).await
    }

    /// Whether the old containers are gone. False if one of them is needed, because it has its name or because nothing else is there: whatever the journal says, the last container of a name is never removed.
    async fn attempt_to_finish(&mut self) -> Result<bool, Hindrance> {
        let members = self.record.members.clone();
        let mut unneeded = Vec::new();
        for member in members.iter().rev() {
            for (id, is_old) in member.stand_in.iter().map(|id| (id, false)).chain([(&member.old, true)]) {
                let Some(container) = self.container(id.as_str()).await? else { continue };
                if raw::name(&container) == member.name || is_old && !self.has_successor(member).await? {
                    return Ok(false);
                }
                unneeded.push((id, container));
            }
        }
        for (id, container) in unneeded {
            if raw::is_up(&container) {
                self.home.engine.stop(id, None, self.stop_limit(&container)).await.or_else(absent).doing("stop the old container")?;
            }
            let gone = self.home.engine.remove(id, Removal { force: false, volumes: false }).await;
            gone.or_else(absent).doing("remove the old container")?;
        }
        Ok(true)
    }

    /// Whether the new one of `member` is there.
    async fn has_successor(&self, member: &Member) -> Result<bool, Hindrance> {
        match &member.new {
            Some(new) => Ok(self.container(new.as_str()).await?.is_some()),
            None => Ok(false),
        }
    }
}

/// What the engine has of one member.
struct There {
    old: Option<Value>,
    new: Option<Value>,
    stand_in: Option<Value>,
    /// Whether the stand-in takes its place.
    by_stand_in: bool,
    /// Whether the old one ran when it was looked at.
    old_runs: bool,
}

impl There {
    /// Whether there is something to return to.
    fn has_way_back(&self) -> bool {
        self.old.is_some() || self.stand_in.is_some()
    }

    fn id_of_stand_in(&self) -> Option<ContainerId> {
        self.stand_in.as_ref().and_then(super::prepare::id_of)
    }

    /// What has the name in the end.
    fn remaining(&self, member: &Member) -> Option<ContainerId> {
        if self.by_stand_in {
            return self.id_of_stand_in();
        }
        if self.old.is_some() { Some(member.old.clone()) } else { self.new.as_ref().and_then(super::prepare::id_of) }
    }
}

/// What is gone is as it should be.
fn absent(error: EngineError) -> Result<(), EngineError> {
    match error {
        EngineError::NotFound(_) => Ok(()),
        error => Err(error),
    }
}
