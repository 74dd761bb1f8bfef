//! The labels by which people tell other updaters what to do with a container, read here as they are there.
//!
//! | label | who reads it there | `false` | `true` |
//! |---|---|---|---|
//! | `com.centurylinklabs.watchtower.enable` | Watchtower | not watched | watched where that is asked for |
//! | `com.centurylinklabs.watchtower.monitor-only` | Watchtower | nothing | watched, and never updated automatically |
//! | `wud.watch` | WUD | not watched | watched where that is asked for |
//! | `diun.enable` | Diun | not watched | watched where that is asked for |
//!
//! What is not watched is not in the list, and no registry is asked about it. A label can do no more than that: it names no image, no address and no command.

use serde::Deserialize;

const WATCHTOWER: &str = "com.centurylinklabs.watchtower.enable";
const MONITOR_ONLY: &str = "com.centurylinklabs.watchtower.monitor-only";
const WUD: &str = "wud.watch";
const DIUN: &str = "diun.enable";
/// Marks the container that the host runs in, which cannot replace itself.
const OWN: &str = "wharf.self";

/// What labels are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LabelPolicy {
    /// Containers are watched unless a label says that they are not.
    #[default]
    OptOut,
    /// Containers are watched if a label says so, and none says that they are not.
    OptIn,
    /// Labels of other updaters mean nothing.
    Ignore,
}

/// What becomes of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// It is none of our business.
    No,
    /// It is shown, and only people update it.
    MonitorOnly,
    /// It is shown, and updated automatically if that is switched on.
    Yes,
}

/// What the labels of a container say.
pub(crate) fn watch(labels: &[(String, String)], policy: LabelPolicy) -> Watch {
    let value = |key: &str| labels.iter().find(|label| label.0 == key).map(|label| label.1.trim());
    if value(OWN).is_some_and(|value| boolean(value) != Some(false)) {
        return Watch::No;
    }
    if policy == LabelPolicy::Ignore {
        return Watch::Yes;
    }
    // WUD takes all that is not `true` for `false`, and what is empty for absent; the others read what Go takes for a boolean, and nothing else.
    let wud = value(WUD).filter(|value| !value.is_empty()).map(|value| value.eq_ignore_ascii_case("true"));
    let said = [value(WATCHTOWER).and_then(boolean), wud, value(DIUN).and_then(boolean)];
    if said.contains(&Some(false)) || (policy == LabelPolicy::OptIn && !said.contains(&Some(true))) {
        return Watch::No;
    }
    if value(MONITOR_ONLY).and_then(boolean) == Some(true) { Watch::MonitorOnly } else { Watch::Yes }
}

/// What Go reads as a boolean; none for anything else.
fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(labels: &[(&str, &str)], out: Watch, opt_in: Watch) {
        let labels: Vec<_> = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!((watch(&labels, LabelPolicy::OptOut), watch(&labels, LabelPolicy::OptIn)), (out, opt_in), "{labels:?}");
    }

    #[test]
    fn a_container_without_labels_is_watched_unless_it_has_to_ask_for_it() {
        check(&[], Watch::Yes, Watch::No);
        check(&[("com.example", "false")], Watch::Yes, Watch::No);
    }

    #[test]
    fn each_tool_has_its_own_word() {
        for label in [WATCHTOWER, WUD, DIUN] {
            check(&[(label, "false")], Watch::No, Watch::No);
            check(&[(label, "true")], Watch::Yes, Watch::Yes);
            check(&[(label, " True ")], Watch::Yes, Watch::Yes);
            check(&[(label, "")], Watch::Yes, Watch::No);
        }
        for label in [WATCHTOWER, DIUN] {
            check(&[(label, "0")], Watch::No, Watch::No);
            check(&[(label, "no")], Watch::Yes, Watch::No);
        }
        check(&[(WUD, "no")], Watch::No, Watch::No);
    }

    #[test]
    fn one_no_goes_before_every_yes() {
        check(&[(WATCHTOWER, "true"), (WUD, "false")], Watch::No, Watch::No);
        check(&[(DIUN, "true"), (WUD, "true")], Watch::Yes, Watch::Yes);
    }

    #[test]
    fn monitor_only_is_shown_and_left_to_people() {
        check(&[(MONITOR_ONLY, "true")], Watch::MonitorOnly, Watch::No);
        check(&[(MONITOR_ONLY, "false")], Watch::Yes, Watch::No);
        check(&[(MONITOR_ONLY, "true"), (WATCHTOWER, "true")], Watch::MonitorOnly, Watch::MonitorOnly);
        check(&[(MONITOR_ONLY, "true"), (WATCHTOWER, "false")], Watch::No, Watch::No);
    }

    #[test]
    fn the_hosts_own_container_is_left_out_whatever_labels_are_for() {
        for (value, expected) in [("true", Watch::No), ("", Watch::No), ("false", Watch::Yes)] {
            let labels = [(OWN.to_owned(), value.to_owned()), (MONITOR_ONLY.to_owned(), "true".to_owned())];
            assert_eq!(watch(&labels, LabelPolicy::Ignore), expected);
        }
    }
}
