//! Updates: a job that has the host recreate containers, one after another, and sees each to its end.
//!
//! The host carries a job out at least once, so that each step here bears to be done again: which operation belongs to which container is noted before it is waited for; one that was begun and not noted is found among the
//! host's operations; and a container whose entry is gone was done.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf_sdk::Error;
use wharf_sdk::docker::containers_read::{self, ContainerFilter};
use wharf_sdk::docker::containers_recreate::{self, RecreateOptions};
use wharf_sdk::docker::operations_read::{self, Operation, OperationState};
use wharf_sdk::jobs::queue::{self, JobOptions};
use wharf_sdk::jobs::{Failure, Work};
use wharf_sdk::tracing::{info, warn};

use crate::check::{self, automatic};
use crate::clock;
use crate::digest::shown;
use crate::document::Document;
use crate::failure::short;
use crate::history::{self, Entry, Outcome};
use crate::progress::{Recreation, Update, Updates, reason};
use crate::records::{Records, Remembered};
use crate::settings::Settings;
use crate::snapshot::{Snapshot, short_id};

/// The kind of the jobs.
pub(crate) const KIND: &str = "update";
/// How often a job may be begun: each kill of the host in the midst of one is one time.
const ATTEMPTS: u32 = 20;

/// What a job is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The full ids of containers.
    pub(crate) containers: Vec<String>,
    /// Whether nobody asked for it.
    pub(crate) automatic: bool,
}

/// Puts `order` into the queue, and answers the job. `key` is what no other job may have at the same time.
pub(crate) fn enqueue(order: &Order, key: &str) -> Result<String, Error> {
    let payload = serde_json::to_string(order).map_err(|error| Error::Internal(error.to_string()))?;
    queue::enqueue(KIND, &payload, &JobOptions { key: Some(key.to_owned()), attempts: Some(ATTEMPTS), ..JobOptions::default() })
}

/// Carries out a job, and checks everything at its end.
///
/// # Errors
///
/// What keeps it from going on now. An update that fails is none: that is what came of it.
pub(crate) fn run(work: &Work) -> Result<(), Failure> {
    let order: Order = serde_json::from_str(&work.payload).map_err(|error| Failure::Never(format!("the order cannot be read: {error}")))?;
    let settings = Settings::read()?;
    for id in &order.containers {
        Task { work, order: &order, settings: &settings, container: Container::known(id)? }.carry_out()?;
    }
    Updates::change(|updates| updates.0.retain(|_, update| !(update.job == work.id && update.is_under_way())))?;
    if let Err(error) = check::run() {
        warn!(%error, "the check after an update failed");
    }
    Ok(())
}

/// What is known of a container that is to be updated.
struct Container<'a> {
    /// The full id.
    id: &'a str,
    name: String,
    image: String,
    /// The digest that it runs.
    from: Option<String>,
    /// What its reference leads to.
    to: Option<String>,
}

impl<'a> Container<'a> {
    /// What the last check has found of the container `id`; of one that is not there any more, nothing.
    fn known(id: &'a str) -> Result<Container<'a>, Error> {
        let snapshot = Snapshot::read()?;
        let found = snapshot.find(short_id(id)).filter(|(_, item)| item.id == id);
        let (group, item) = found.unzip();
        Ok(Container {
            id,
            name: item.map(|item| item.name.clone()).unwrap_or_default(),
            image: group.map(|group| group.image.clone()).unwrap_or_default(),
            from: item.and_then(|item| item.digests.first().cloned()),
            to: group.and_then(|group| group.remote.clone()),
        })
    }

    fn short(&self) -> &str {
        short_id(self.id)
    }
}

/// The update of one container.
struct Task<'a> {
    work: &'a Work,
    order: &'a Order,
    settings: &'a Settings,
    container: Container<'a>,
}

/// Whose the entry of a container is.
enum Claim {
    /// Another job's, or this one's, which has ended it before.
    Over,
    /// This job's, with the operation if it was begun before.
    Ours(Option<String>),
}

impl Task<'_> {
    fn carry_out(&self) -> Result<(), Failure> {
        let Claim::Ours(noted) = self.claim()? else { return Ok(()) };
        if let Some(operation) = &noted
            && self.see_through(operation)?
        {
            return Ok(());
        }
        let Some(operation) = self.begin(noted.is_some())? else { return Ok(()) };
        // The next attempt begins anew.
        if self.see_through(&operation)? { Ok(()) } else { Err(Failure::Again("the host took the update back".to_owned())) }
    }

    /// Waits for `operation` and takes up what came of it. Not if nothing did: nobody cancels it, so that its host was stopped and has taken it back, or it is so long ago that the host does not know of it any more.
    fn see_through(&self, operation: &str) -> Result<bool, Error> {
        match operations_read::wait(operation) {
            Ok(operation) if operation.state == OperationState::Cancelled => Ok(false),
            Ok(operation) => self.settle(&operation).map(|()| true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the container's entry this job's, unless it is another's or there is nothing to do.
    fn claim(&self) -> Result<Claim, Error> {
        let short = self.container.short();
        let is_ours = Updates::read()?.0.get(short).is_some_and(|update| update.job == self.work.id);
        // Switched off, or the window has closed, while others were updated.
        if self.order.automatic && !is_ours && !automatic::due_now(self.settings)?.iter().any(|id| id == self.container.id) {
            return Ok(Claim::Over);
        }
        Updates::change(|updates| match updates.0.get(short) {
            Some(update) if update.job == self.work.id && update.is_under_way() => Claim::Ours(update.operation.clone()),
            Some(update) if update.job == self.work.id || update.is_under_way() => Claim::Over,
            Some(_) | None => {
                updates.0.insert(short.to_owned(), Update::of(&self.work.id));
                Claim::Ours(None)
            }
        })
    }

    /// Has the host begin, or finds what it has begun for this job before, and notes it. None if it came to nothing. `was_begun` says that this job has begun it before and not seen its end.
    fn begin(&self, was_begun: bool) -> Result<Option<String>, Failure> {
        let (id, is_repeated) = (self.container.id, self.work.attempt > 1);
        let found = if is_repeated { begun(id, self.ordered_ms()?)? } else { None };
        let begun = match found {
            Some(operation) => Ok(operation),
            None => containers_recreate::begin(id, &self.options()?),
        };
        let operation = match begun {
            Ok(operation) => operation,
            Err(Error::NotFound) if was_begun => {
                self.take_over()?;
                return Ok(None);
            }
            // An attempt before this one has done and told it, or it was recreated with a container whose network it shares.
            Err(Error::NotFound) if is_repeated || self.replacement()?.is_some() => {
                self.drop_entry()?;
                return Ok(None);
            }
            Err(error @ Error::QuotaExceeded) => return Err(error.into()),
            Err(error) => {
                let digests: Vec<&str> = self.container.to.as_deref().into_iter().collect();
                let remembered = if matches!(error, Error::Conflict(_)) { Remembered::Refused(&digests) } else { Remembered::Failed };
                self.fail(&Ended::without(&short(&error)), remembered)?;
                return Ok(None);
            }
        };
        let noted = Update { operation: Some(operation.clone()), ..Update::of(&self.work.id) };
        Updates::change(|updates| drop(updates.0.insert(self.container.short().to_owned(), noted.clone())))?;
        Ok(Some(operation))
    }

    /// The full id of the container that has the name now, if it is another one.
    fn replacement(&self) -> Result<Option<String>, Error> {
        Ok(by_name()?.remove(&self.container.name).filter(|id| id != self.container.id))
    }

    /// An attempt before this one has done it, and may not have come to say so.
    fn take_over(&self) -> Result<(), Error> {
        match self.replacement()? {
            Some(replacement) => self.succeed(&Ended { recreation: Recreation::of(&replacement), ..Ended::default() }),
            None => self.drop_entry(),
        }
    }

    /// When the job was ordered, in milliseconds since 1970.
    fn ordered_ms(&self) -> Result<u64, Error> {
        let job = queue::get(std::slice::from_ref(&self.work.id)).into_iter().next();
        job.unwrap_or(Err(Error::NotFound)).map(|job| job.created_ms)
    }

    fn options(&self) -> Result<RecreateOptions, Error> {
        // Whoever asks once more for what has failed means it. For a container that runs the image already it would mean to replace it by its like.
        let again = !self.order.automatic && Records::read()?.has_failed(self.container.id);
        Ok(RecreateOptions {
            image: None,
            pull: true,
            settle: Some(Duration::from_secs(self.settings.settle_secs)),
            healthy: self.settings.healthy_secs.map(Duration::from_secs),
            again,
        })
    }

    /// Takes up what came of `operation`.
    fn settle(&self, operation: &Operation) -> Result<(), Error> {
        let ended = Ended { operation: Some(operation), recreation: operation.details().unwrap_or_default(), error: None };
        if operation.state == OperationState::Succeeded {
            return self.succeed(&ended);
        }
        let pulled = ended.recreation.digest.clone();
        let digests: Vec<&str> = pulled.iter().chain(&self.container.to).map(String::as_str).collect();
        // Without a digest it came to no image: a registry that did not answer says nothing about what it has.
        let is_bad = operation.state == OperationState::Failed && ended.recreation.rolled_back == Some(true) && pulled.is_some();
        let remembered = match &operation.failure {
            Some(Error::Conflict(_)) => Remembered::Refused(&digests),
            _ if is_bad => Remembered::Bad(&digests),
            _ => Remembered::Failed,
        };
        let error = reason(operation, &ended.recreation);
        self.fail(&Ended { error: Some(error), ..ended }, remembered)
    }

    fn succeed(&self, ended: &Ended<'_>) -> Result<(), Error> {
        let (old, recreation) = (self.container.id, &ended.recreation);
        let new = recreation.replacement.as_deref().unwrap_or(old);
        let also = recreation.also.as_deref().unwrap_or_default();
        let by_name = if also.is_empty() { BTreeMap::new() } else { by_name()? };
        let entry = self.entry(ended, if new == old { Outcome::Unchanged } else { Outcome::Updated });
        Records::change(|records| {
            records.carry(old, new);
            records.carry_by_name(also, &by_name);
            records.note(new, &entry.container_name, Remembered::Done, self.order.automatic, clock::now_ms());
        })?;
        info!(container = entry.container_name, image = entry.image, digest = entry.to_digest, result = ?entry.result, "an update ended");
        // Whoever sees the new container in the list finds how it came there.
        history::tell(&entry, self.settings)?;
        if new != old {
            Snapshot::change(|snapshot| snapshot.replace(old, new))?;
        }
        self.drop_entry()
    }

    fn fail(&self, ended: &Ended<'_>, remembered: Remembered<'_>) -> Result<(), Error> {
        let entry = self.entry(ended, Outcome::Failed);
        let error = ended.error.clone().unwrap_or_default();
        warn!(container = entry.container_name, image = entry.image, error, "an update failed");
        let (id, name) = (self.container.id, entry.container_name.clone());
        // What is removed as soon as it stops can only be made again, and has another id then.
        let is_gone = ended.recreation.rolled_back == Some(true) && containers_read::inspect_one(id).err() == Some(Error::NotFound);
        let by_name = if is_gone { by_name()? } else { BTreeMap::new() };
        let now = by_name.get(&name).map_or(id, String::as_str);
        Records::change(|records| {
            records.carry(id, now);
            records.note(now, &name, remembered, self.order.automatic, clock::now_ms());
        })?;
        history::tell(&entry, self.settings)?;
        let failed = Update { error: Some(error), operation: entry.operation, ..Update::of(&self.work.id) };
        Updates::change(|updates| drop(updates.0.insert(self.container.short().to_owned(), failed.clone())))
    }

    fn drop_entry(&self) -> Result<(), Error> {
        Updates::change(|updates| drop(updates.0.remove(self.container.short())))
    }

    /// What the history has of it.
    fn entry(&self, ended: &Ended<'_>, result: Outcome) -> Entry {
        let Ended { operation, recreation, error } = ended;
        let known = |known: &str, told: Option<&str>| if known.is_empty() { told.unwrap_or_default().to_owned() } else { known.to_owned() };
        Entry {
            time: history::written(operation.and_then(|operation| operation.ended_ms).unwrap_or_else(clock::now_ms)),
            container_id: self.container.short().to_owned(),
            new_container_id: recreation.replacement.as_deref().map(|id| short_id(id).to_owned()),
            container_name: known(&self.container.name, operation.map(|operation| operation.subject.as_str())),
            image: known(&self.container.image, recreation.image.as_deref()),
            from_digest: shown(self.container.from.as_deref()).to_owned(),
            to_digest: shown(recreation.digest.as_deref().or(self.container.to.as_deref())).to_owned(),
            result,
            automatic: self.order.automatic,
            rolled_back: recreation.rolled_back.unwrap_or_default(),
            stopped_ms: recreation.stopped_ms,
            error: error.clone(),
            operation: operation.map(|operation| operation.id.clone()),
        }
    }
}

/// How an update has ended.
#[derive(Default)]
struct Ended<'a> {
    /// None if none was begun, or nobody knows of it.
    operation: Option<&'a Operation>,
    recreation: Recreation,
    /// Why it failed.
    error: Option<String>,
}

impl Ended<'_> {
    fn without(error: &str) -> Ended<'static> {
        Ended { error: Some(error.to_owned()), ..Ended::default() }
    }
}

/// The recreation of the container `id` that this plugin has begun last, at `since_ms` (milliseconds since 1970) or later.
fn begun(id: &str, since_ms: u64) -> Result<Option<String>, Error> {
    let is_meant = |operation: &Operation| {
        operation.kind == "recreate"
            && operation.owned
            && operation.state != OperationState::Cancelled
            && operation.began_ms >= since_ms
            && operation.details::<Recreation>().is_ok_and(|recreation| recreation.container.as_deref() == Some(id))
    };
    Ok(operations_read::list()?.into_iter().find(is_meant).map(|operation| operation.id))
}

/// The ids of all containers by their names.
fn by_name() -> Result<BTreeMap<String, String>, Error> {
    let all = containers_read::list(&ContainerFilter { all: true, labels: Vec::new() })?;
    Ok(all.into_iter().flat_map(|container| container.names.into_iter().map(move |name| (name, container.id.clone()))).collect())
}
