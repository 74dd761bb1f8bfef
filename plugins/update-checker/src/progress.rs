//! How far updates are, in this API's words.
//!
//! An update is the host's operation; what is kept here is which operation belongs to which container, from the moment on in which the update was asked for. The entry goes when the update has succeeded, and stays with the
//! reason when it has failed, until the next one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wharf_sdk::Error;
use wharf_sdk::docker::operations_read::{self, Operation, OperationState};
use wharf_sdk::jobs::queue::{self, JobState};

use crate::document::Document;

/// What the status of an update that has failed begins with.
const FAILED: &str = "error: ";

/// The updates that are under way, or have failed, by the short id of the container as it was when they were asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Updates(pub(crate) BTreeMap<String, Update>);

impl Document for Updates {
    const KEY: &'static str = "updates";
}

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Update {
    /// The job that carries it out.
    pub(crate) job: String,
    /// The operation, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<String>,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Update {
    /// One that the job `job` is to carry out.
    pub(crate) fn of(job: &str) -> Update {
        Update { job: job.to_owned(), ..Update::default() }
    }

    /// Whether it has not failed.
    pub(crate) fn is_under_way(&self) -> bool {
        self.error.is_none()
    }
}

impl Updates {
    /// Whether any update is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.values().any(Update::is_under_way)
    }

    /// The update of the container `short` that has not failed.
    pub(crate) fn under_way(&self, short: &str) -> Option<&Update> {
        self.0.get(short).filter(|update| update.is_under_way())
    }
}

/// How a job that carries out updates has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was carried out, or nobody knows of it any more.
    Done,
    /// It was given up, for this reason.
    Failed(String),
}

impl Ended {
    /// None for a job that waits or runs, or of which nothing is known at the moment.
    pub(crate) fn of(job: Result<queue::Job, Error>) -> Option<Ended> {
        match job {
            Ok(job) => match job.state {
                JobState::Waiting | JobState::Running => None,
                JobState::Succeeded => Some(Ended::Done),
                JobState::Dead => Some(Ended::Failed(job.reason.unwrap_or_else(|| "it was given up".to_owned()))),
                JobState::Cancelled => Some(Ended::Failed("cancelled".to_owned())),
            },
            Err(Error::NotFound) => Some(Ended::Done),
            Err(_) => None,
        }
    }
}

/// How far an update is, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    layer: String,
    current: u64,
    total: u64,
    percent: u64,
    status: String,
}

/// What an operation that recreates a container says of itself; the contract (`wit/docker`) has the fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Recreation {
    step: Option<String>,
    status: Option<String>,
    current: Option<u64>,
    total: Option<u64>,
    layers: Option<Vec<Layer>>,
    /// The full id of the old container.
    pub(crate) container: Option<String>,
    /// The full id of the new container, if it stays.
    pub(crate) replacement: Option<String>,
    /// The reference of the new image.
    pub(crate) image: Option<String>,
    /// What the reference leads to at its registry.
    pub(crate) digest: Option<String>,
    /// The names of containers that were recreated with it.
    pub(crate) also: Option<Vec<String>>,
    /// How long nothing ran under the name.
    pub(crate) stopped_ms: Option<u64>,
    /// Whether the old container is there again.
    pub(crate) rolled_back: Option<bool>,
    /// Why it failed.
    pub(crate) reason: Option<String>,
}

impl Recreation {
    /// One of which no more is known than the full id of the container that came of it.
    pub(crate) fn of(replacement: &str) -> Recreation {
        Recreation { replacement: Some(replacement.to_owned()), ..Recreation::default() }
    }
}

#[derive(Debug, Deserialize)]
struct Layer {
    id: String,
    status: String,
}

impl Progress {
    fn new(layer: &str, status: impl Into<String>) -> Progress {
        Progress { layer: layer.to_owned(), current: 0, total: 0, percent: 0, status: status.into() }
    }

    /// Before the registry has said anything.
    fn connecting() -> Progress {
        Progress::new("...", "connecting")
    }

    fn recreating() -> Progress {
        Progress { percent: 100, ..Progress::new("", "recreating") }
    }

    pub(crate) fn failed(reason: &str) -> Progress {
        Progress::new("", format!("{FAILED}{reason}"))
    }

    /// How far `update` is; none if it has ended well. The operation is asked for if there is one, and else the job: it may have ended without a word.
    pub(crate) fn of(update: &Update) -> Result<Option<Progress>, Error> {
        if let Some(reason) = &update.error {
            return Ok(Some(Progress::failed(reason)));
        }
        let now = match update.operation.as_deref().map(operations_read::get_one) {
            Some(Ok(operation)) if operation.state != OperationState::Cancelled => return Ok(Some(Progress::of_operation(&operation))),
            // The host was stopped in the midst of it, and it is begun anew.
            Some(Ok(_)) => Progress::connecting(),
            // It has ended some time ago, and its job will say how.
            Some(Err(Error::NotFound)) => Progress::recreating(),
            Some(Err(error)) => return Err(error),
            None => Progress::connecting(),
        };
        let job = queue::get(std::slice::from_ref(&update.job)).into_iter().next();
        Ok(match job.and_then(Ended::of) {
            None => Some(now),
            Some(Ended::Done) => None,
            Some(Ended::Failed(reason)) => Some(Progress::failed(&reason)),
        })
    }

    /// Whether it tells of a failure.
    pub(crate) fn is_failure(&self) -> bool {
        self.status.starts_with(FAILED)
    }

    fn of_operation(operation: &Operation) -> Progress {
        let recreation = operation.details::<Recreation>().unwrap_or_default();
        match operation.state {
            OperationState::Running if recreation.step.as_deref() == Some("pulling") => Progress::of_pull(&recreation),
            OperationState::Running | OperationState::Succeeded | OperationState::Cancelled => Progress::recreating(),
            OperationState::Failed => Progress::failed(&reason(operation, &recreation)),
        }
    }

    /// Of all layers together, with the name of the one that is being worked on.
    fn of_pull(pull: &Recreation) -> Progress {
        let layers = pull.layers.as_deref().unwrap_or_default();
        let at_work = ["Downloading", "Extracting"].iter().find_map(|word| layers.iter().find(|layer| layer.status == *word));
        let Some(layer) = at_work.or(layers.last()) else {
            return pull
                .status
                .as_deref()
                .filter(|status| !status.is_empty())
                .map_or_else(Progress::connecting, |status| Progress::new("", status));
        };
        let (current, total) = (pull.current.unwrap_or_default(), pull.total.unwrap_or_default());
        let percent = current.saturating_mul(100).checked_div(total).unwrap_or_default().min(100);
        Progress { current, total, percent, ..Progress::new(&layer.id, layer.status.clone()) }
    }
}

/// Why an operation has failed.
pub(crate) fn reason(operation: &Operation, recreation: &Recreation) -> String {
    if let Some(reason) = &recreation.reason {
        return reason.clone();
    }
    operation.failure.as_ref().map_or_else(|| "no reason was given".to_owned(), crate::failure::short)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wharf_sdk::fake::Host;
    use wharf_sdk::jobs::queue::JobOptions;

    use super::*;

    fn operation(state: OperationState, details: Value) -> Operation {
        Operation {
            id: "1".to_owned(),
            kind: "recreate".to_owned(),
            subject: "web".to_owned(),
            owned: true,
            state,
            percent: None,
            began_ms: 0,
            ended_ms: None,
            failure: None,
            json: details.to_string(),
        }
    }

    #[track_caller]
    fn check(state: OperationState, details: Value, expected: Value) {
        let said = details.to_string();
        assert_eq!(serde_json::to_value(Progress::of_operation(&operation(state, details))).unwrap(), expected, "{said}");
    }

    fn plain(layer: &str, percent: u8, status: &str) -> Value {
        json!({"layer": layer, "current": 0, "total": 0, "percent": percent, "status": status})
    }

    #[test]
    fn a_pull_is_told_as_the_sum_of_its_layers() {
        let pulling =
            |current: u64, total: u64, layers: Value| json!({"step": "pulling", "current": current, "total": total, "layers": layers});
        let layer = |id: &str, status: &str| json!({"id": id, "status": status, "current": 1, "total": 2});
        check(
            OperationState::Running,
            pulling(1_048_576, 8_388_608, json!([layer("aa", "Pull complete"), layer("bb", "Downloading"), layer("cc", "Waiting")])),
            json!({"layer": "bb", "current": 1_048_576, "total": 8_388_608, "percent": 12, "status": "Downloading"}),
        );
        check(
            OperationState::Running,
            pulling(8, 8, json!([layer("aa", "Extracting"), layer("bb", "Download complete")])),
            json!({"layer": "aa", "current": 8, "total": 8, "percent": 100, "status": "Extracting"}),
        );
        check(
            OperationState::Running,
            pulling(0, 0, json!([layer("aa", "Already exists")])),
            json!({"layer": "aa", "current": 0, "total": 0, "percent": 0, "status": "Already exists"}),
        );
    }

    #[test]
    fn before_the_first_layer_it_is_connecting() {
        check(OperationState::Running, json!({"step": "pulling", "layers": []}), plain("...", 0, "connecting"));
        check(OperationState::Running, json!({"step": "pulling", "layers": null, "status": null}), plain("...", 0, "connecting"));
        check(
            OperationState::Running,
            json!({"step": "pulling", "status": "Pulling from library/redis"}),
            plain("", 0, "Pulling from library/redis"),
        );
    }

    #[test]
    fn every_step_after_the_pull_is_recreating() {
        for step in ["creating", "stopping", "starting", "verifying", "removing", "undoing", "a later word"] {
            check(OperationState::Running, json!({"step": step, "current": 1, "total": 2}), plain("", 100, "recreating"));
        }
        check(OperationState::Succeeded, json!({"step": "removing"}), plain("", 100, "recreating"));
    }

    #[test]
    fn an_operation_that_failed_says_why() {
        check(OperationState::Failed, json!({"step": "undoing", "reason": "it died"}), plain("", 0, "error: it died"));
        check(OperationState::Failed, json!({"step": "undoing", "reason": null}), plain("", 0, "error: no reason was given"));
        let failed = Operation { failure: Some(Error::Unavailable("no route".to_owned())), ..operation(OperationState::Failed, json!({})) };
        assert_eq!(Progress::of_operation(&failed), Progress::failed("no route"));
        let unreadable = operation(OperationState::Running, json!([]));
        assert_eq!(Progress::of_operation(&unreadable), Progress::recreating());
    }

    #[test]
    fn an_update_that_has_no_operation_yet_is_connecting() {
        let _host = Host::install();
        let job = queue::enqueue("update", "", &JobOptions::default()).unwrap();
        assert_eq!(Progress::of(&Update::of(&job)), Ok(Some(Progress::connecting())));
        let failed = Update { error: Some("no".to_owned()), operation: Some("1".to_owned()), ..Update::of(&job) };
        assert_eq!((Progress::of(&failed), failed.is_under_way()), (Ok(Some(Progress::failed("no"))), false));
        // Its operation is forgotten, and the job has not said yet what came of it.
        let forgotten = Update { operation: Some("absent".to_owned()), ..Update::of(&job) };
        assert_eq!(Progress::of(&forgotten), Ok(Some(Progress::recreating())));
    }

    #[test]
    fn an_update_whose_job_has_ended_is_not_under_way() {
        let _host = Host::install();
        assert_eq!(Progress::of(&Update::of("absent")), Ok(None));
        let job = queue::enqueue("update", "", &JobOptions::default()).unwrap();
        queue::cancel(&job).unwrap();
        assert_eq!(Progress::of(&Update::of(&job)), Ok(Some(Progress::failed("cancelled"))));
    }
}
