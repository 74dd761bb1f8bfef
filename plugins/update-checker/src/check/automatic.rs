//! Automatic updates: which are due, and the job that carries them out, one after another.

use wharf_sdk::Error;
use wharf_sdk::tracing::{debug, error};

use crate::clock;
use crate::document::read_three;
use crate::progress::Updates;
use crate::records::Records;
use crate::settings::Settings;
use crate::snapshot::{Snapshot, Status, short_id};
use crate::update::{self, Order};
use crate::windows;

/// The key of the one job that makes automatic updates.
const KEY: &str = "automatic";
/// The most containers of one such job; the next check orders the rest.
const MOST: usize = 200;

/// Orders the automatic updates that are due, unless some are under way.
pub(super) fn order(settings: &Settings) -> Result<(), Error> {
    let due = due_now(settings)?;
    if due.is_empty() {
        return Ok(());
    }
    let order = Order { containers: due.into_iter().take(MOST).collect(), automatic: true };
    match update::enqueue(&order, KEY) {
        Ok(job) => debug!(job, containers = order.containers.len(), "ordered automatic updates"),
        Err(Error::Conflict(job)) => debug!(job, "automatic updates are under way"),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The containers that are to be updated automatically at this moment, by full id.
pub(crate) fn due_now(settings: &Settings) -> Result<Vec<String>, Error> {
    let now_ms = clock::now_ms();
    match windows::are_open(&settings.windows, &settings.time_zone, now_ms) {
        Ok(true) => {}
        Ok(false) => return Ok(Vec::new()),
        Err(mistake) => {
            error!(%mistake, "no automatic updates: the setting `time_zone` is wrong");
            return Ok(Vec::new());
        }
    }
    let (snapshot, records, updates) = read_three::<Snapshot, Records, Updates>()?;
    Ok(due(&snapshot, &records, &updates, settings, now_ms))
}

/// The containers that are outdated and may be updated automatically at `now_ms`, in the order of the list.
fn due(snapshot: &Snapshot, records: &Records, updates: &Updates, settings: &Settings, now_ms: u64) -> Vec<String> {
    let milliseconds = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (cooldown_ms, age_ms) = (milliseconds(settings.cooldown()), milliseconds(settings.minimum_image_age()));
    let mut due = Vec::new();
    for group in &snapshot.groups {
        let Some(remote) = group.remote.as_deref() else { continue };
        if now_ms < group.remote_since_ms.saturating_add(age_ms) {
            continue;
        }
        let wanted = group.containers.iter().filter(|item| {
            !item.is_monitored_only
                && item.status(Some(remote)) == Status::Outdated
                && records.is_automatic(&item.id, settings.auto_update_default)
                && records.allow(&item.id, remote, cooldown_ms, now_ms)
                && updates.under_way(short_id(&item.id)).is_none()
        });
        due.extend(wanted.map(|item| item.id.clone()));
    }
    due
}

#[cfg(test)]
mod tests {
    use crate::progress::Update;
    use crate::records::Remembered;
    use crate::snapshot::{Group, Item};

    use super::*;

    const NOW: u64 = 1_000_000;

    /// What decides about the container `web`, which is outdated and switched on.
    struct Case {
        item: Item,
        remote: Option<&'static str>,
        since_ms: u64,
        records: Records,
        updates: Updates,
        settings: Settings,
    }

    impl Case {
        fn new() -> Case {
            let item = Item { id: "web".to_owned(), digests: vec!["sha256:1".to_owned()], ..Item::default() };
            let mut records = Records::default();
            records.toggle("web", "web", false);
            Case { item, remote: Some("sha256:2"), since_ms: 0, records, updates: Updates::default(), settings: Settings::default() }
        }
    }

    /// Whether `web` is due after `change`.
    #[track_caller]
    fn check(expected: bool, change: impl FnOnce(&mut Case)) {
        let mut case = Case::new();
        change(&mut case);
        let group = Group {
            remote: case.remote.map(str::to_owned),
            remote_since_ms: case.since_ms,
            containers: vec![case.item],
            ..Group::default()
        };
        let snapshot = Snapshot { groups: vec![group], ..Snapshot::default() };
        let due = due(&snapshot, &case.records, &case.updates, &case.settings, NOW);
        assert_eq!(due, if expected { vec!["web"] } else { vec![] });
    }

    #[test]
    fn only_what_is_outdated_and_switched_on_is_updated() {
        check(true, |_| {});
        check(false, |case| case.remote = Some("sha256:1"));
        check(false, |case| case.remote = None);
        check(false, |case| case.item.is_pinned = true);
        check(false, |case| case.item.is_same = true);
        check(false, |case| case.item.is_monitored_only = true);
        check(false, |case| case.item.digests.clear());
        check(false, |case| assert!(!case.records.toggle("web", "web", false)));
        check(false, |case| case.records = Records::default());
        check(true, |case| (case.records, case.settings.auto_update_default) = (Records::default(), true));
    }

    #[test]
    fn a_pause_follows_an_automatic_update_and_no_other() {
        check(false, |case| case.records.note("web", "web", Remembered::Done, true, NOW - 299_999));
        check(true, |case| case.records.note("web", "web", Remembered::Done, true, NOW - 300_000));
        check(true, |case| case.records.note("web", "web", Remembered::Done, false, NOW));
        check(true, |case| {
            case.records.note("web", "web", Remembered::Done, true, NOW);
            case.settings.cooldown_secs = 0;
        });
    }

    #[test]
    fn what_has_failed_is_left_until_the_image_is_another() {
        check(false, |case| case.records.note("web", "web", Remembered::Bad(&["sha256:2"]), false, 0));
        check(true, |case| case.records.note("web", "web", Remembered::Bad(&["sha256:3"]), false, 0));
    }

    #[test]
    fn an_image_must_have_been_known_for_a_while() {
        for (age_secs, expected) in [(100, true), (101, false)] {
            check(expected, |case| (case.since_ms, case.settings.minimum_image_age_secs) = (NOW - 100_000, age_secs));
        }
    }

    #[test]
    fn what_is_being_updated_is_not_updated() {
        let under_way = |update: Update| Updates([("web".to_owned(), update)].into());
        check(false, |case| case.updates = under_way(Update::of("job")));
        check(true, |case| case.updates = under_way(Update { error: Some("no".to_owned()), ..Update::of("job") }));
    }
}
