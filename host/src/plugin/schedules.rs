//! Which schedules a plugin has: those of its description, and over them those of the configuration. And whether it can carry out what it would be given.

use std::collections::BTreeMap;

use super::describe::Description;
use crate::backend::jobs::{Schedule, Timing};
use crate::settings::{Mistake, Mistakes, PluginSettings, report};

/// The export that a plugin carries out jobs with.
pub(super) const HANDLER: &str = "wharf:jobs/handler";

/// The plugin's schedules by name. An entry of the configuration takes the place of the whole of the description's.
pub(super) fn schedules(description: &Description, settings: &PluginSettings) -> Vec<Schedule> {
    let mut merged: BTreeMap<&String, Option<&Timing>> = description.timings.iter().map(|(name, timing)| (name, Some(timing))).collect();
    merged.extend(settings.schedules.iter().map(|(name, timing)| (name, timing.value.as_ref())));
    merged.into_iter().map(|(name, timing)| Schedule { name: name.clone(), timing: timing.cloned() }).collect()
}

/// Whether the plugin, which `has_handler` or not, can carry out what its schedules and its queue give it.
pub(super) fn check(description: &Description, settings: &PluginSettings, has_handler: bool) -> Result<(), Mistakes> {
    let plugin = &settings.name.value;
    let mut mistakes = Vec::new();
    let unable = |what: String| format!("plugin `{plugin}` {what}, and its component does not export `{HANDLER}`, which carries out jobs");
    let export = || "export it with `wharf_sdk::export!(MyPlugin, jobs)`".to_owned();
    for (name, timing) in &settings.schedules {
        let mistake = match &timing.value {
            None if !description.timings.contains_key(name) => {
                let remedy = report::instead_of(name, "schedules", description.timings.keys().map(String::as_str));
                (format!("plugin `{plugin}` has no schedule `{name}` that could be off"), remedy)
            }
            Some(_) if !has_handler => (unable(format!("has the schedule `{name}`")), format!("take it out, or {}", export())),
            _ => continue,
        };
        mistakes.push(Mistake { at: Some(timing.at.clone()), message: mistake.0, remedy: Some(mistake.1) });
    }
    if !has_handler && settings.grants.allows("jobs", "queue") {
        let remedy = format!("take \"queue\" out of `allow` of its [site.plugin.grants.jobs], or {}", export());
        mistakes.push(Mistake {
            at: Some(settings.at.clone()),
            message: unable("was granted `queue` of jobs".to_owned()),
            remedy: Some(remedy),
        });
    }
    if let (false, Some(name)) = (has_handler, description.timings.keys().next()) {
        mistakes.push(Mistake {
            at: Some(settings.source.at.clone()),
            message: unable(format!("describes the schedule `{name}`")),
            remedy: Some(export()),
        });
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes)) }
}
