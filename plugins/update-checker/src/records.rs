//! What is remembered of containers beyond a check: whether they are updated automatically, when that was last done, and what did not work.
//!
//! It is kept by full id and carried over when a container is recreated here, whose id is another one then. What was said of the new id meanwhile goes before what was said of the old one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::document::Document;

/// How long an update that the host refused is not tried again automatically, in milliseconds: what stood against it may be gone after a day.
const REFUSED_MS: u64 = 24 * 3_600_000;

/// All containers of which something is remembered, by full id.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Records(BTreeMap<String, Record>);

impl Document for Records {
    const KEY: &'static str = "containers";
}

/// What is remembered of one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What it was called when something was last noted.
    name: String,
    /// Whether it is updated automatically; none if nobody has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auto_update: Option<bool>,
    /// When it was last updated automatically, or that was tried, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    automatic_ms: Option<u64>,
    /// What did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Failed>,
}

/// An update that did not work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Failed {
    /// What the reference led to, as the last check and as the host had it.
    digests: Vec<String>,
    /// When, in milliseconds since 1970.
    at_ms: u64,
    /// Whether it was refused, so that nothing is known of the image.
    was_refused: bool,
}

/// What came of an update, as far as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remembered<'a> {
    /// It was done, or there was nothing to do.
    Done,
    /// What is known by these digests does not work.
    Bad(&'a [&'a str]),
    /// It was refused to go to what is known by these digests.
    Refused(&'a [&'a str]),
    /// It failed, and may work the next time.
    Failed,
}

impl Records {
    /// Whether the container `id` is updated automatically.
    pub(crate) fn is_automatic(&self, id: &str, default: bool) -> bool {
        self.0.get(id).and_then(|record| record.auto_update).unwrap_or(default)
    }

    /// Switches automatic updates on or off, and answers which.
    pub(crate) fn toggle(&mut self, id: &str, name: &str, default: bool) -> bool {
        let is_automatic = !self.is_automatic(id, default);
        let record = self.record(id, name);
        record.auto_update = Some(is_automatic);
        is_automatic
    }

    /// Whether nothing that is remembered of the container `id` stands against an automatic update to `digest` now.
    pub(crate) fn allow(&self, id: &str, digest: &str, cooldown_ms: u64, now_ms: u64) -> bool {
        let Some(record) = self.0.get(id) else { return true };
        let is_cool = record.automatic_ms.is_none_or(|at_ms| now_ms >= at_ms.saturating_add(cooldown_ms));
        let has_failed = record.failure.as_ref().is_some_and(|failure| {
            failure.digests.iter().any(|failed| failed == digest)
                && !(failure.was_refused && now_ms >= failure.at_ms.saturating_add(REFUSED_MS))
        });
        is_cool && !has_failed
    }

    /// Whether any image did not work for the container `id`.
    pub(crate) fn has_failed(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|record| record.failure.is_some())
    }

    /// Notes what came of an update of the container `id`.
    pub(crate) fn note(&mut self, id: &str, name: &str, outcome: Remembered<'_>, is_automatic: bool, now_ms: u64) {
        let failed = |digests: &[&str], was_refused| {
            let digests = digests.iter().map(|digest| (*digest).to_owned()).collect();
            Some(Failed { digests, at_ms: now_ms, was_refused })
        };
        let known = self.0.contains_key(id);
        if outcome == Remembered::Done && !is_automatic && !known {
            return;
        }
        let record = self.record(id, name);
        match outcome {
            Remembered::Done => record.failure = None,
            Remembered::Bad(digests) => record.failure = failed(digests, false),
            Remembered::Refused(digests) => record.failure = failed(digests, true),
            Remembered::Failed => {}
        }
        if is_automatic {
            record.automatic_ms = Some(now_ms);
        }
    }

    /// Lets `new` have what is remembered of `old`, which is gone.
    pub(crate) fn carry(&mut self, old: &str, new: &str) {
        if old == new {
            return;
        }
        let Some(carried) = self.0.remove(old) else { return };
        let record = self.0.entry(new.to_owned()).or_default();
        let auto_update = record.auto_update.or(carried.auto_update);
        *record = Record { auto_update, ..carried };
    }

    /// As [`Records::carry`] for containers that are known by name: `now` is who has which name, all containers there are.
    pub(crate) fn carry_by_name(&mut self, names: &[String], now: &BTreeMap<String, String>) {
        let present: BTreeSet<&String> = now.values().collect();
        let moved: Vec<(String, String)> = self
            .0
            .iter()
            .filter(|(id, record)| names.contains(&record.name) && !present.contains(id))
            .filter_map(|(id, record)| Some((id.clone(), now.get(&record.name)?.clone())))
            .collect();
        for (old, new) in moved {
            self.carry(&old, &new);
        }
    }

    /// The ids of all of them.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Forgets containers.
    pub(crate) fn forget(&mut self, ids: &BTreeSet<String>) {
        self.0.retain(|id, _| !ids.contains(id));
    }

    fn record(&mut self, id: &str, name: &str) -> &mut Record {
        let record = self.0.entry(id.to_owned()).or_default();
        name.clone_into(&mut record.name);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[(&str, &str)]) -> BTreeMap<String, String> {
        names.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect()
    }

    #[test]
    fn automatic_updates_are_switched_on_and_off() {
        let mut records = Records::default();
        assert_eq!((records.is_automatic("a", false), records.is_automatic("a", true)), (false, true));
        assert_eq!((records.toggle("a", "web", false), records.is_automatic("a", false)), (true, true));
        assert_eq!(
            (records.toggle("a", "web", false), records.is_automatic("a", true)),
            (false, false),
            "what was said goes before the default"
        );
        assert!(!records.toggle("b", "db", true));
    }

    #[test]
    fn what_is_remembered_follows_a_container() {
        let mut records = Records::default();
        records.toggle("old", "web", false);
        records.note("old", "web", Remembered::Bad(&["sha256:1"]), true, 1_000);
        records.carry("old", "new");
        assert!(records.is_automatic("new", false) && !records.is_automatic("old", false));
        assert!(!records.allow("new", "sha256:1", 0, 9_000) && !records.allow("new", "sha256:2", 300, 1_200));
        records.carry("absent", "new");
        records.carry("new", "new");
        assert!(records.is_automatic("new", false));
    }

    #[test]
    fn what_was_said_of_the_new_container_stays() {
        let mut records = Records::default();
        records.toggle("old", "web", false);
        records.toggle("new", "web", true);
        records.carry("old", "new");
        assert!(!records.is_automatic("new", true), "it was switched off while the update ended");
    }

    #[test]
    fn containers_that_were_recreated_with_another_are_followed_by_name() {
        let mut records = Records::default();
        for (id, name) in [("vpn-1", "vpn"), ("client-1", "client"), ("other-1", "other")] {
            records.toggle(id, name, false);
        }
        let now = names(&[("client", "client-2"), ("other", "other-2"), ("vpn", "vpn-1")]);
        records.carry_by_name(&["client".to_owned(), "vpn".to_owned(), "gone".to_owned()], &now);
        let on: Vec<&str> =
            ["vpn-1", "client-2", "other-1", "client-1", "other-2"].into_iter().filter(|id| records.is_automatic(id, false)).collect();
        assert_eq!(on, ["vpn-1", "client-2", "other-1"]);
    }

    #[test]
    fn only_automatic_updates_are_followed_by_a_pause() {
        let mut records = Records::default();
        records.note("a", "web", Remembered::Done, false, 1_000);
        assert!(records.allow("a", "sha256:1", 300, 1_000));
        records.note("a", "web", Remembered::Failed, true, 1_000);
        assert_eq!((records.allow("a", "sha256:1", 300, 1_299), records.allow("a", "sha256:1", 300, 1_300)), (false, true));
    }

    #[test]
    fn what_did_not_work_is_not_tried_again_before_the_image_is_another() {
        let mut records = Records::default();
        records.note("a", "web", Remembered::Bad(&["sha256:1"]), false, 1_000);
        assert!(records.has_failed("a") && !records.has_failed("b"));
        let much_later = 1_000 + 100 * REFUSED_MS;
        assert_eq!((records.allow("a", "sha256:1", 0, much_later), records.allow("a", "sha256:2", 0, 1_000)), (false, true));
        records.note("a", "web", Remembered::Refused(&["sha256:1"]), false, 1_000);
        assert_eq!((records.allow("a", "sha256:1", 0, REFUSED_MS), records.allow("a", "sha256:1", 0, 1_000 + REFUSED_MS)), (false, true));
        records.note("a", "web", Remembered::Done, false, 2_000);
        assert!(records.allow("a", "sha256:1", 0, 2_000));
    }

    #[test]
    fn containers_are_forgotten() {
        let mut records = Records::default();
        records.toggle("a", "web", false);
        records.toggle("b", "db", false);
        records.forget(&["a".to_owned(), "x".to_owned()].into());
        assert_eq!(records.ids().collect::<Vec<_>>(), ["b"]);
    }
}
