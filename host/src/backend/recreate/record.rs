//! What the journal knows of one recreation: enough to finish it or to take it back, whoever comes to it and whenever.
//!
//! The containers are named by their ids, and those that are not known to have been made by names that only this recreation gives. What the engine shows of them decides what is still to be done; the phase says in which direction.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::RecreationFailure;
use super::raw;
use crate::backend::engine::ContainerId;
use crate::backend::operations::{Outcome, Owner, Recreated, Recreating};

/// How many digits of an operation's id stand in the names that it gives. Twelve, as engines shorten ids: nothing else makes such names.
const MARK_DIGITS: usize = 12;

/// One recreation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// The operation's id.
    pub(super) id: String,
    pub(super) site: String,
    pub(super) plugin: String,
    pub(super) began_ms: u64,
    /// What the engine calls itself (`ID` of its `/info`): another one at the same address is not asked about these containers. Empty if it does not say.
    pub(super) engine: String,
    /// The container's name and its labels.
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    /// The reference of the new image.
    pub(super) image: String,
    /// The ids of the old image and of the new one; the latter empty as long as it is not known.
    pub(super) from: String,
    pub(super) to: String,
    /// What the registry has for the new image.
    pub(super) digest: Option<String>,
    pub(super) settle_ms: u64,
    pub(super) healthy_ms: Option<u64>,
    pub(super) phase: Phase,
    /// The container and those that are recreated with it, each after those that it depends on. The first is the one that was meant.
    pub(super) members: Vec<Member>,
    /// An image name that was lent to another image for a moment.
    pub(super) lent: Option<LentName>,
    /// When the old container was told to stop, and for how long nothing ran.
    pub(super) stopping_ms: Option<u64>,
    pub(super) stopped_ms: Option<u64>,
    /// How it ended; none while it has not.
    pub(super) end: Option<End>,
}

/// How far a recreation is. Each is written before its first act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Nothing is changed yet; the image may be pulled.
    Begun,
    /// The new containers are made under names of their own.
    Creating,
    /// The old ones lose their restart policies and are stopped.
    Stopping,
    /// Old and new change their names.
    Renaming,
    /// The new ones are started.
    Starting,
    /// The new ones run, and are watched.
    Verifying,
    /// The new ones stay. The old ones are removed.
    Committed,
    /// Everything is taken back.
    Undoing,
    /// Nothing is to be done any more.
    Ended,
}

/// A container that is recreated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) old: ContainerId,
    /// The inspect document of the old one, as it was.
    pub(super) inspected: Value,
    /// The new one; none as long as it is not known.
    pub(super) new: Option<ContainerId>,
    /// What takes the place of an old one that the engine removes when it stops; none as long as it is not known, or not needed.
    pub(super) stand_in: Option<ContainerId>,
    /// Volumes that were made for the new one and that nothing else has.
    pub(super) volumes: Vec<String>,
}

/// An image name that leads to another image for as long as a container is made with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LentName {
    pub(super) reference: String,
    /// Where it leads meanwhile.
    pub(super) to: String,
    /// Where it led before; none if nowhere.
    pub(super) back: Option<String>,
}

/// How a recreation ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) at_ms: u64,
    pub(super) how: Ending,
    pub(super) changed: bool,
    pub(super) rolled_back: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ending {
    Succeeded,
    Failed(RecreationFailure),
    Cancelled,
}

impl Ending {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Ending::Succeeded => Outcome::Succeeded,
            Ending::Failed(failure) => Outcome::Failed(failure.clone().into()),
            Ending::Cancelled => Outcome::Cancelled,
        }
    }
}

impl Record {
    /// The name that a new container has before it takes the place of `member`.
    pub(super) fn new_name(&self, member: &Member) -> String {
        format!("{}.new-{}", member.name, self.mark())
    }

    /// The name that an old one has while it stands aside.
    pub(super) fn old_name(&self, member: &Member) -> String {
        format!("{}.old-{}", member.name, self.mark())
    }

    /// The name that a stand-in has.
    pub(super) fn stand_in_name(&self, member: &Member) -> String {
        format!("{}.back-{}", member.name, self.mark())
    }

    /// All names that it gives to containers for a while.
    pub(super) fn names_aside(&self) -> Vec<String> {
        self.members.iter().flat_map(|member| [self.new_name(member), self.old_name(member), self.stand_in_name(member)]).collect()
    }

    fn mark(&self) -> &str {
        self.id.get(..MARK_DIGITS).unwrap_or(&self.id)
    }

    /// Whose operation it is.
    pub(super) fn owner(&self) -> Owner {
        Owner { site: self.site.clone(), plugin: self.plugin.clone() }
    }

    /// What the operation is done to.
    pub(super) fn container(&self, engine: &crate::backend::engine::EngineAddress) -> Recreated {
        Recreated { name: self.name.clone(), labels: self.labels.clone(), engine: engine.clone() }
    }

    /// What is known of the operation, at its end or when it is taken up again.
    pub(super) fn progress(&self) -> Recreating {
        let member = self.members.first();
        let old = member.map(|member| member.old.as_str().to_owned()).unwrap_or_default();
        let stays = self.phase == Phase::Committed || matches!(&self.end, Some(End { how: Ending::Succeeded, changed: true, .. }));
        let mut progress = Recreating::new(old, self.image.clone(), self.from.clone());
        progress.to = Some(self.to.clone()).filter(|id| !id.is_empty());
        progress.digest.clone_from(&self.digest);
        progress.also = self.members.iter().skip(1).map(|member| member.name.clone()).collect();
        progress.stopped_ms = self.stopped_ms;
        if stays {
            progress.replacement = member.and_then(|member| member.new.as_ref()).map(|id| id.as_str().to_owned());
        }
        if let Some(end) = &self.end {
            (progress.changed, progress.rolled_back) = (end.changed, end.rolled_back);
        }
        progress
    }

    /// The record without what only an unfinished one needs.
    pub(super) fn shortened(&self) -> Record {
        let mut short = self.clone();
        for member in &mut short.members {
            member.inspected = Value::Null;
        }
        short
    }
}

impl Member {
    /// One that nothing was done to yet; none if the document has no id.
    pub(super) fn new(inspected: Value) -> Option<Member> {
        let old = ContainerId::parse(raw::text(&inspected, "/Id"))?;
        let name = raw::text(&inspected, "/Name").trim_start_matches('/').to_owned();
        Some(Member { name, old, inspected, new: None, stand_in: None, volumes: Vec::new() })
    }

    /// Whether it ran, so that its successor is to run.
    pub(super) fn ran(&self) -> bool {
        raw::is_up(&self.inspected)
    }

    /// Whether the engine removes it as soon as it is stopped.
    pub(super) fn vanishes(&self) -> bool {
        self.ran() && raw::flag(&self.inspected, "/HostConfig/AutoRemove")
    }

    /// Its restart policy, if that may start it without being asked.
    pub(super) fn restart_policy(&self) -> Option<&Value> {
        let policy = self.inspected.pointer("/HostConfig/RestartPolicy")?;
        let name = raw::text(policy, "/Name");
        (!matches!(name, "" | "no") && !raw::flag(&self.inspected, "/HostConfig/AutoRemove")).then_some(policy)
    }
}
