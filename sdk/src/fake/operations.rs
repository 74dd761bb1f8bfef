//! Operations of the fake host's engine.
//!
//! A pull, a build, a download or a recreation is done when it is asked for, unless the test holds such back: then one that was begun stays under way until the test, or a plugin that waits, lets it end.

use serde_json::{Value, json};

use super::builds::Build;
use super::downloads::Download;
use super::engine::{Engine, hex_id};
use super::recreations::Recreation;
use super::registry;
use crate::docker::operations_read::{Operation, OperationState, ProgressFormat};
use crate::error::Error;
use crate::stream::ByteStream;

/// When everything happens here, in milliseconds since 1970: when the clock of a new host stands.
const NOW_MS: u64 = super::identity::BEGINNING_MS;

/// An operation.
pub(super) struct Task {
    id: String,
    work: Work,
    state: OperationState,
    percent: Option<u8>,
    failure: Option<Error>,
}

/// What is done.
enum Work {
    /// Of this reference, as the plugin wrote it.
    Pull(String),
    Build(Box<Build>),
    Download(Box<Download>),
    Recreation(Box<Recreation>),
}

impl Work {
    fn kind(&self) -> &'static str {
        match self {
            Work::Pull(_) => "pull",
            Work::Build(_) => "build",
            Work::Download(_) => "download",
            Work::Recreation(_) => "recreate",
        }
    }

    /// As the plugin wrote it.
    fn reference(&self) -> &str {
        match self {
            Work::Pull(reference) => reference,
            Work::Build(build) => build.options.names.first().map_or("", String::as_str),
            Work::Download(download) => &download.subject,
            Work::Recreation(recreation) => &recreation.name,
        }
    }

    /// In full.
    fn subject(&self) -> String {
        let reference = self.reference();
        match self {
            Work::Download(_) | Work::Recreation(_) => reference.to_owned(),
            Work::Pull(_) | Work::Build(_) => {
                registry::resolve(reference).map_or_else(|_| reference.to_owned(), |reference| reference.full)
            }
        }
    }
}

impl Task {
    fn operation(&self) -> Operation {
        let subject = self.work.subject();
        let state = match self.state {
            OperationState::Running => "running",
            OperationState::Succeeded => "succeeded",
            OperationState::Failed => "failed",
            OperationState::Cancelled => "cancelled",
        };
        let ended_ms = (self.state != OperationState::Running).then_some(NOW_MS);
        let reason = self.failure.as_ref().map(|failure| match failure {
            Error::Internal(reason) | Error::Invalid(reason) => reason.clone(),
            other => other.to_string(),
        });
        let mut json = json!({
            "id": self.id, "kind": self.work.kind(), "subject": subject, "state": state, "percent": self.percent, "began_ms": NOW_MS,
            "ended_ms": ended_ms, "reason": reason,
        });
        match &self.work {
            Work::Build(build) => super::objects::merge(&mut json, build.progress()),
            Work::Recreation(recreation) => super::objects::merge(&mut json, recreation.progress()),
            Work::Pull(_) | Work::Download(_) => {}
        }
        Operation {
            id: self.id.clone(),
            kind: self.work.kind().to_owned(),
            subject,
            owned: true,
            state: self.state,
            percent: self.percent,
            began_ms: NOW_MS,
            ended_ms,
            failure: self.failure.clone(),
            json: Value::to_string(&json),
        }
    }

    fn is_running(&self) -> bool {
        self.state == OperationState::Running
    }
}

impl Engine {
    pub(super) fn begin_pull(&mut self, reference: &str) -> Result<String, Error> {
        registry::resolve(reference)?;
        Ok(self.begin_task(Work::Pull(reference.to_owned()), self.holds_pulls))
    }

    /// Begins to build what was checked.
    pub(super) fn begin_checked_build(&mut self, build: Build) -> String {
        self.begin_task(Work::Build(Box::new(build)), self.holds_builds)
    }

    fn begin_task(&mut self, work: Work, held: bool) -> String {
        let id = hex_id(&format!("{} {}", self.tasks.len(), work.reference())).chars().take(16).collect::<String>();
        self.tasks.push(Task { id: id.clone(), work, state: OperationState::Running, percent: None, failure: None });
        if !held {
            self.finish(|task| task.id == id);
        }
        id
    }

    /// Lets the operations under way that are `meant` end.
    fn finish(&mut self, meant: impl Fn(&Task) -> bool) {
        let mut tasks = std::mem::take(&mut self.tasks);
        for task in tasks.iter_mut().filter(|task| task.is_running() && meant(task)) {
            let outcome = match &mut task.work {
                Work::Pull(reference) => self.pull(reference),
                Work::Build(build) => self.carry_out_build(build),
                Work::Download(download) => download.carry_out(&self.hub),
                Work::Recreation(recreation) => self.carry_out_recreation(recreation),
            };
            match outcome {
                Ok(()) => (task.state, task.percent) = (OperationState::Succeeded, Some(100)),
                Err(error) => (task.state, task.failure) = (OperationState::Failed, Some(error)),
            }
        }
        self.tasks = tasks;
    }

    pub(super) fn finish_all_pulls(&mut self) {
        self.finish(|task| matches!(task.work, Work::Pull(_)));
    }

    pub(super) fn finish_all_builds(&mut self) {
        self.finish(|task| matches!(task.work, Work::Build(_)));
    }

    pub(super) fn finish_all_downloads(&mut self) {
        self.finish(|task| matches!(task.work, Work::Download(_)));
    }

    pub(super) fn finish_all_recreations(&mut self) {
        self.finish(|task| matches!(task.work, Work::Recreation(_)));
    }

    /// Begins to recreate what was checked, unless it is being recreated.
    pub(super) fn begin_checked_recreation(&mut self, recreation: Recreation) -> Result<String, Error> {
        let busy = |task: &Task| task.is_running() && matches!(&task.work, Work::Recreation(other) if other.name == recreation.name);
        if self.tasks.iter().any(busy) {
            return Err(Error::Conflict(format!("the container `{}` is being recreated", recreation.name)));
        }
        let held = self.holds_recreations;
        Ok(self.begin_task(Work::Recreation(Box::new(recreation)), held))
    }

    /// The recreations under way.
    pub(super) fn recreations(&mut self) -> impl Iterator<Item = &mut Recreation> {
        self.tasks.iter_mut().filter(|task| task.is_running()).filter_map(|task| match &mut task.work {
            Work::Recreation(recreation) => Some(&mut **recreation),
            Work::Pull(_) | Work::Build(_) | Work::Download(_) => None,
        })
    }

    pub(super) fn advance_pulls(&mut self, percent: u8) {
        self.advance(percent, |work| matches!(work, Work::Pull(_)));
    }

    pub(super) fn advance_downloads(&mut self, percent: u8) {
        self.advance(percent, |work| matches!(work, Work::Download(_)));
    }

    fn advance(&mut self, percent: u8, meant: impl Fn(&Work) -> bool) {
        for task in self.tasks.iter_mut().filter(|task| task.is_running() && meant(&task.work)) {
            task.percent = Some(percent);
        }
    }

    /// Begins to download, or answers the same download that is under way.
    pub(super) fn begin_checked_download(&mut self, download: Download) -> Result<String, Error> {
        let under_way = self.tasks.iter().filter(|task| task.is_running()).find_map(|task| match &task.work {
            Work::Download(other) if other.blob == download.blob => Some((task, other)),
            _ => None,
        });
        match under_way {
            Some((task, other)) if other.subject == download.subject => Ok(task.id.clone()),
            Some((_, other)) => Err(Error::Conflict(format!("`{}` is being downloaded into the blob `{}`", other.subject, other.blob))),
            None => Ok(self.begin_task(Work::Download(Box::new(download)), self.holds_downloads)),
        }
    }

    pub(super) fn builds(&self) -> Vec<Build> {
        let builds = self.tasks.iter().filter_map(|task| match &task.work {
            Work::Build(build) => Some((**build).clone()),
            Work::Pull(_) | Work::Download(_) | Work::Recreation(_) => None,
        });
        builds.collect()
    }

    pub(super) fn list_operations(&self) -> Vec<Operation> {
        self.tasks.iter().rev().map(Task::operation).collect()
    }

    pub(super) fn operation(&self, id: &str) -> Result<Operation, Error> {
        Ok(self.task(id)?.operation())
    }

    pub(super) fn wait_for_operation(&mut self, id: &str) -> Result<Operation, Error> {
        self.finish(|task| task.id == id);
        self.operation(id)
    }

    pub(super) fn watch_operation(&mut self, id: &str, format: ProgressFormat) -> Result<ByteStream, Error> {
        let states = [self.operation(id)?, self.wait_for_operation(id)?].map(|operation| {
            Ok(match format {
                ProgressFormat::JsonLines => format!("{}\n", operation.json),
                ProgressFormat::ServerSentEvents => format!("data: {}\n\n", operation.json),
            }
            .into_bytes())
        });
        Ok(ByteStream(super::stream::ByteStream::new(states)))
    }

    pub(super) fn log_of_operation(&mut self, id: &str) -> Result<ByteStream, Error> {
        self.wait_for_operation(id)?;
        let log = match &self.task(id)?.work {
            Work::Pull(_) | Work::Download(_) | Work::Recreation(_) => String::new(),
            Work::Build(build) => build.log.clone(),
        };
        Ok(ByteStream(super::stream::ByteStream::new([Ok(log.into_bytes())])))
    }

    pub(super) fn cancel_operation(&mut self, id: &str) -> Result<(), Error> {
        let task = self.tasks.iter_mut().find(|task| task.id == id).ok_or(Error::NotFound)?;
        if task.is_running() {
            task.state = OperationState::Cancelled;
            if let Work::Recreation(recreation) = &mut task.work {
                recreation.take_back();
            }
        }
        Ok(())
    }

    fn task(&self, id: &str) -> Result<&Task, Error> {
        self.tasks.iter().find(|task| task.id == id).ok_or(Error::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Host, Image};
    use crate::docker::operations_read::{self, OperationState, ProgressFormat};
    use crate::docker::{Error, images_pull, operations_cancel};

    #[test]
    fn a_pull_is_done_at_once_unless_it_is_held() {
        let host = Host::install();
        host.registry_image(Image::new("redis:7"));
        let id = images_pull::begin("redis:7").unwrap();
        assert_eq!(operations_read::get_one(&id).unwrap().state, OperationState::Succeeded);
        host.hold_pulls();
        let held = images_pull::begin("nowhere:1").unwrap();
        host.advance_pulls(40);
        let seen = operations_read::list().unwrap();
        assert_eq!((seen[0].subject.as_str(), seen[0].percent, seen.len()), ("docker.io/library/nowhere:1", Some(40), 2));
        host.finish_pulls();
        assert_eq!(operations_read::get_one(&held).unwrap().failure, Some(Error::NotFound));
        assert!(matches!(images_pull::begin("../x"), Err(Error::Invalid(_))));
    }

    #[test]
    fn an_operation_is_waited_for_watched_and_cancelled() {
        let host = Host::install();
        host.registry_image(Image::new("redis:7"));
        host.hold_pulls();
        let begin = || images_pull::begin("redis:7").unwrap();
        let (first, second, third) = (begin(), begin(), begin());
        assert_eq!(operations_read::wait(&first).unwrap().state, OperationState::Succeeded);
        let states = operations_read::watch(&second, ProgressFormat::JsonLines).unwrap().read_to_end().unwrap();
        assert_eq!(String::from_utf8(states).unwrap().matches("\"state\":").count(), 2);
        operations_cancel::cancel(&third).unwrap();
        host.finish_pulls();
        assert_eq!(operations_read::get_one(&third).unwrap().state, OperationState::Cancelled);
        assert_eq!(operations_cancel::cancel("other"), Err(Error::NotFound));
    }
}
