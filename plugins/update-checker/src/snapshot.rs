//! What the last check has found: the containers that run, by the reference of their image.
//!
//! It is kept in the host's storage since an instance keeps nothing between two requests: a list is one read of it. What can be told from what was found (every status) is not kept but told each time.
//! Whether a container is updated automatically is not part of it either; see [`records`](crate::records).
//!
//! A value of the storage has at most 1 MiB, which is enough for about 4,000 containers.

use serde::{Deserialize, Serialize};
use wharf_sdk::Error;
use wharf_sdk::storage::keyvalue;

use crate::digest::{UNKNOWN, shown};
use crate::document::Document;
use crate::progress::Updates;
use crate::records::Records;

/// How many characters of a container's id clients see.
const SHORT: usize = 12;

/// What the last check has found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Counts checks in the order of their beginnings: what an earlier one has found does not replace what a later one has.
    pub(crate) sequence: u64,
    /// Counts the containers that were replaced. What began to be looked at before the last of them does not replace what is known since.
    #[serde(default)]
    pub(crate) replacements: u64,
    /// Sorted by image.
    pub(crate) groups: Vec<Group>,
}

impl Document for Snapshot {
    const KEY: &'static str = "snapshot";
}

/// The containers of one reference.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// The reference, with a tag and without a digest.
    pub(crate) image: String,
    /// What the reference leads to at its registry; none if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remote: Option<String>,
    /// Why that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remote_error: Option<String>,
    /// What it led to when that was last known, while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remote_before: Option<String>,
    /// When it was first seen that the reference leads there, in milliseconds since 1970.
    pub(crate) remote_since_ms: u64,
    /// Sorted by name.
    pub(crate) containers: Vec<Item>,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// The full id.
    pub(crate) id: String,
    pub(crate) name: String,
    /// The digests by which the registry of its reference knows its image.
    pub(crate) digests: Vec<String>,
    /// Whether its reference has a digest, so that nothing else can be meant by it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_pinned: bool,
    /// Whether it is left to people.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_monitored_only: bool,
    /// Whether the registry has the same image under another digest: its index was published again, and what is in it for this machine was not changed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_same: bool,
    /// Why it cannot be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What is said of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Uptodate,
    Outdated,
    Unknown,
}

/// What is said of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GroupStatus {
    Uptodate,
    Outdated,
    Partial,
    Unknown,
}

impl Item {
    /// Its status beside `remote`, what its reference leads to.
    pub(crate) fn status(&self, remote: Option<&str>) -> Status {
        let Some(remote) = remote else { return Status::Unknown };
        if self.digests.is_empty() || self.error.is_some() {
            Status::Unknown
        } else if self.is_pinned || self.is_same || self.has(remote) {
            Status::Uptodate
        } else {
            Status::Outdated
        }
    }

    /// The digest that is shown: of several the one that it has in common with the registry.
    fn shown_digest(&self, remote: Option<&str>) -> &str {
        let common = self.digests.iter().find(|own| Some(own.as_str()) == remote);
        shown(common.or(self.digests.first()).map(String::as_str))
    }

    fn has(&self, digest: &str) -> bool {
        self.digests.iter().any(|own| own == digest)
    }
}

impl Group {
    /// Sorts the containers by name.
    pub(crate) fn sort(&mut self) {
        self.containers.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    }

    /// What the reference leads to, or led to when that was last known, and since when.
    pub(crate) fn last_remote(&self) -> Option<(&str, u64)> {
        let remote = self.remote.as_deref().or(self.remote_before.as_deref());
        remote.map(|remote| (remote, self.remote_since_ms))
    }

    /// The status of all of its containers together. Those of which nothing is known do not count beside others.
    pub(crate) fn status(&self) -> GroupStatus {
        let has = |status: Status| self.containers.iter().any(|item| item.status(self.remote.as_deref()) == status);
        match (has(Status::Outdated), has(Status::Uptodate)) {
            (true, true) => GroupStatus::Partial,
            (true, false) => GroupStatus::Outdated,
            (false, true) => GroupStatus::Uptodate,
            (false, false) => GroupStatus::Unknown,
        }
    }
}

impl Snapshot {
    /// The next number for [`Snapshot::sequence`].
    pub(crate) fn next_sequence() -> Result<u64, Error> {
        Ok(keyvalue::increment("sequence", 1)?.unsigned_abs())
    }

    /// Keeps it, unless something that began later is kept already, or a container was replaced since it began.
    pub(crate) fn keep(self) -> Result<(), Error> {
        Snapshot::change(|kept| {
            if kept.sequence <= self.sequence && kept.replacements == self.replacements {
                kept.clone_from(&self);
            }
        })
    }

    /// Keeps in the list what `previous` has of the containers that are being replaced.
    ///
    /// Such a container is not there for a moment, and then another one of its name is, which may have to go again. Until it is known which of them stays, clients see the one whose progress they can ask for.
    pub(crate) fn hold(&mut self, previous: &Snapshot, updates: &Updates) {
        let is_away = |item: &Item, listed: &Snapshot| {
            let is_begun = updates.under_way(short_id(&item.id)).is_some_and(|update| update.operation.is_some());
            is_begun && !listed.groups.iter().flat_map(|group| &group.containers).any(|other| other.id == item.id)
        };
        for group in &previous.groups {
            let away: Vec<&Item> = group.containers.iter().filter(|item| is_away(item, self)).collect();
            if away.is_empty() {
                continue;
            }
            for listed in &mut self.groups {
                listed.containers.retain(|item| !away.iter().any(|away| away.name == item.name));
            }
            let index = match self.groups.binary_search_by(|listed| listed.image.cmp(&group.image)) {
                Ok(index) => index,
                Err(index) => {
                    self.groups.insert(index, Group { containers: Vec::new(), ..group.clone() });
                    index
                }
            };
            if let Some(listed) = self.groups.get_mut(index) {
                listed.containers.extend(away.into_iter().cloned());
                listed.sort();
            }
        }
        self.groups.retain(|group| !group.containers.is_empty());
    }

    /// The container whose short id is `short`, with its group.
    pub(crate) fn find(&self, short: &str) -> Option<(&Group, &Item)> {
        let items = self.groups.iter().flat_map(|group| group.containers.iter().map(move |item| (group, item)));
        items.into_iter().find(|(_, item)| short_id(&item.id) == short)
    }

    /// The group of the reference `image`.
    pub(crate) fn group(&self, image: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.image == image)
    }

    /// Puts `replacement`, which runs what the reference leads to now, in the place of the container `id`. The list stays as it is if that is not there.
    pub(crate) fn replace(&mut self, id: &str, replacement: &str) {
        self.replacements += 1;
        for group in &mut self.groups {
            let remote = group.remote.clone();
            for item in group.containers.iter_mut().filter(|item| item.id == id) {
                *item = Item {
                    id: replacement.to_owned(),
                    digests: remote.clone().into_iter().collect(),
                    is_same: false,
                    error: None,
                    ..std::mem::take(item)
                };
            }
        }
    }

    /// What clients see of it.
    pub(crate) fn view<'a>(&'a self, records: &Records, auto_update_default: bool) -> Vec<GroupView<'a>> {
        let group = |group: &'a Group| {
            let remote = group.remote.as_deref();
            let item = |item: &'a Item| ItemView {
                container_id: short_id(&item.id),
                container_name: &item.name,
                local_digest: item.shown_digest(remote),
                status: item.status(remote),
                auto_update: records.is_automatic(&item.id, auto_update_default),
                error: item.error.as_deref(),
            };
            GroupView {
                image: &group.image,
                remote_digest: remote.map_or(UNKNOWN, |remote| shown(Some(remote))),
                status: group.status(),
                containers: group.containers.iter().map(item).collect(),
                remote_error: group.remote_error.as_deref(),
            }
        };
        self.groups.iter().map(group).collect()
    }
}

/// What clients see of a container's id.
pub(crate) fn short_id(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// A group, as clients see it.
#[derive(Debug, Serialize)]
pub(crate) struct GroupView<'a> {
    image: &'a str,
    remote_digest: &'a str,
    status: GroupStatus,
    containers: Vec<ItemView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ItemView<'a> {
    container_id: &'a str,
    container_name: &'a str,
    local_digest: &'a str,
    status: Status,
    auto_update: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wharf_sdk::fake::Host;

    use super::*;
    use crate::progress::Update;

    fn item(name: &str, digests: &[&str]) -> Item {
        let digests = digests.iter().map(|digest| (*digest).to_owned()).collect();
        Item { id: format!("{name:0<64}"), name: name.to_owned(), digests, ..Item::default() }
    }

    fn group(image: &str, remote: Option<&str>, containers: Vec<Item>) -> Group {
        Group { image: image.to_owned(), remote: remote.map(str::to_owned), containers, ..Group::default() }
    }

    #[test]
    fn a_container_is_as_its_digests_are() {
        let pinned = |item: Item| Item { is_pinned: true, ..item };
        let same = |item: Item| Item { is_same: true, ..item };
        let failed = |item: Item| Item { error: Some("no".to_owned()), ..item };
        for (item, remote, status, digest) in [
            (item("a", &["sha256:1"]), Some("sha256:1"), Status::Uptodate, "sha256:1"),
            (item("a", &["sha256:1"]), Some("sha256:2"), Status::Outdated, "sha256:1"),
            (item("a", &["sha256:1", "sha256:2"]), Some("sha256:2"), Status::Uptodate, "sha256:2"),
            (item("a", &["sha256:1", "sha256:2"]), Some("sha256:3"), Status::Outdated, "sha256:1"),
            (item("a", &["sha256:1"]), None, Status::Unknown, "sha256:1"),
            (item("a", &[]), Some("sha256:1"), Status::Unknown, "unknown"),
            (item("a", &[]), None, Status::Unknown, "unknown"),
            (pinned(item("a", &["sha256:1"])), Some("sha256:2"), Status::Uptodate, "sha256:1"),
            (pinned(item("a", &["sha256:1"])), None, Status::Unknown, "sha256:1"),
            (same(item("a", &["sha256:1"])), Some("sha256:2"), Status::Uptodate, "sha256:1"),
            (failed(item("a", &["sha256:1"])), Some("sha256:2"), Status::Unknown, "sha256:1"),
        ] {
            assert_eq!((item.status(remote), item.shown_digest(remote)), (status, digest), "{item:?} beside {remote:?}");
        }
    }

    #[test]
    fn digests_are_compared_as_a_whole_and_shown_in_part() {
        let (one, other) = (format!("sha256:{}1", "0".repeat(63)), format!("sha256:{}2", "0".repeat(63)));
        let item = item("a", &[&one]);
        assert_eq!((item.status(Some(&other)), item.shown_digest(Some(&other))), (Status::Outdated, "sha256:0000000000"));
    }

    #[test]
    fn a_group_is_as_its_containers_are() {
        let (old, new, none) = (|| item("old", &["sha256:1"]), || item("new", &["sha256:2"]), || item("none", &[]));
        for (containers, status) in [
            (vec![old()], GroupStatus::Outdated),
            (vec![new(), new()], GroupStatus::Uptodate),
            (vec![old(), new()], GroupStatus::Partial),
            (vec![none()], GroupStatus::Unknown),
            (vec![none(), new()], GroupStatus::Uptodate),
            (vec![none(), old()], GroupStatus::Outdated),
            (vec![none(), new(), old()], GroupStatus::Partial),
            (vec![], GroupStatus::Unknown),
        ] {
            assert_eq!(group("a:1", Some("sha256:2"), containers.clone()).status(), status, "{containers:?}");
            assert_eq!(group("a:1", None, containers).status(), GroupStatus::Unknown);
        }
    }

    #[test]
    fn what_clients_see_has_what_is_left_out_when_it_is_empty() {
        let mut groups = vec![group("a:1", Some("sha256:22222222223333"), vec![item("web", &["sha256:11111111113333"])])];
        groups.push(Group { remote_error: Some("rate-limited".to_owned()), ..group("b:1", None, vec![item("db", &[])]) });
        groups[1].containers[0].error = Some("no".to_owned());
        let snapshot = Snapshot { sequence: 1, groups, ..Snapshot::default() };
        let view = serde_json::to_value(snapshot.view(&Records::default(), false)).unwrap();
        assert_eq!(
            view,
            json!([
                {"image": "a:1", "remote_digest": "sha256:2222222222", "status": "outdated", "containers": [
                    {"container_id": "web000000000", "container_name": "web", "local_digest": "sha256:1111111111", "status": "outdated", "auto_update": false}]},
                {"image": "b:1", "remote_digest": "unknown", "status": "unknown", "remote_error": "rate-limited", "containers": [
                    {"container_id": "db0000000000", "container_name": "db", "local_digest": "unknown", "status": "unknown", "auto_update": false, "error": "no"}]},
            ])
        );
    }

    #[test]
    fn a_container_is_found_by_its_short_id_and_by_nothing_else() {
        let snapshot = Snapshot { sequence: 1, groups: vec![group("a:1", None, vec![item("web", &[])])], ..Snapshot::default() };
        assert_eq!(snapshot.find("web000000000").unwrap().1.name, "web");
        for other in ["web", "", "web0000000000", &snapshot.groups[0].containers[0].id] {
            assert_eq!(snapshot.find(other), None, "{other}");
        }
    }

    #[test]
    fn what_began_earlier_does_not_replace_what_began_later() {
        let _host = Host::install();
        let (earlier, later) = (Snapshot::next_sequence().unwrap(), Snapshot::next_sequence().unwrap());
        let found = |sequence| Snapshot { sequence, groups: vec![group(&sequence.to_string(), None, vec![])], ..Snapshot::default() };
        found(later).keep().unwrap();
        found(earlier).keep().unwrap();
        assert_eq!(Snapshot::read(), Ok(found(later)));
    }

    #[test]
    fn what_was_looked_at_before_a_container_was_replaced_is_not_kept() {
        let _host = Host::install();
        let found = |replacements| Snapshot { sequence: 1, replacements, groups: vec![group("a:1", None, vec![item("web", &[])])] };
        found(0).keep().unwrap();
        Snapshot::change(|snapshot| snapshot.replace(&item("web", &[]).id, "new")).unwrap();
        let replaced = Snapshot::read().unwrap();
        found(0).keep().unwrap();
        assert_eq!((Snapshot::read().as_ref(), replaced.groups[0].containers[0].id.as_str()), (Ok(&replaced), "new"));
        found(1).keep().unwrap();
        assert_eq!(Snapshot::read(), Ok(found(1)));
    }

    /// What the list has of each group: its image and the ids of its containers.
    #[track_caller]
    fn check_hold(listed: Vec<Group>, previous: Vec<Group>, operation: Option<&str>, expected: &[&str]) {
        let updates = ["web", "away"].map(|name| {
            let update = Update { operation: operation.map(str::to_owned), ..Update::of("job") };
            (short_id(&item(name, &[]).id).to_owned(), update)
        });
        let mut snapshot = Snapshot { sequence: 2, groups: listed, ..Snapshot::default() };
        snapshot.hold(&Snapshot { sequence: 1, groups: previous, ..Snapshot::default() }, &Updates(updates.into()));
        let shown = |group: &Group| {
            format!("{}: {}", group.image, group.containers.iter().map(|item| short_id(&item.id)).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(snapshot.groups.iter().map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_container_that_is_being_replaced_stays_in_the_list() {
        let new = || Item { id: "new".to_owned(), ..item("web", &["sha256:2"]) };
        let (web, other) = (|| item("web", &["sha256:1"]), || item("other", &["sha256:1"]));
        let groups = |containers: Vec<Item>| vec![group("b:1", Some("sha256:2"), containers)];
        check_hold(groups(vec![other()]), groups(vec![other(), web()]), Some("1"), &["b:1: other0000000 web000000000"]);
        check_hold(groups(vec![other(), new()]), groups(vec![other(), web()]), Some("1"), &["b:1: other0000000 web000000000"]);
        check_hold(vec![], groups(vec![web()]), Some("1"), &["b:1: web000000000"]);
        check_hold(vec![group("a:1", None, vec![new()])], groups(vec![web()]), Some("1"), &["b:1: web000000000"]);
        // It is there still, or again.
        check_hold(groups(vec![other(), web()]), groups(vec![other(), web()]), Some("1"), &["b:1: other0000000 web000000000"]);
        // It only waits for its turn, or nobody updates it.
        check_hold(groups(vec![other()]), groups(vec![other(), web()]), None, &["b:1: other0000000"]);
        check_hold(groups(vec![web()]), groups(vec![other(), web()]), Some("1"), &["b:1: web000000000"]);
    }

    #[test]
    fn a_replaced_container_is_up_to_date_before_the_next_check() {
        let mut snapshot =
            Snapshot { sequence: 1, groups: vec![group("a:1", Some("sha256:2"), vec![item("web", &["sha256:1"])])], ..Snapshot::default() };
        snapshot.replace("other", "x");
        assert_eq!(snapshot.groups[0].status(), GroupStatus::Outdated);
        snapshot.replace(&item("web", &[]).id, "new");
        assert_eq!((snapshot.groups[0].status(), snapshot.groups[0].containers[0].id.as_str()), (GroupStatus::Uptodate, "new"));
        assert_eq!(snapshot.groups[0].containers[0].name, "web");
    }
}
