//! `[site.plugin.schedules]`: when a plugin's schedules have their turns, where the operator wants other times than the plugin's description, none, or a schedule of their own.

use std::collections::BTreeMap;

use crate::backend::jobs::{Timing, TimingParts};
use crate::settings::location::Located;
use crate::settings::report::quoted;
use crate::settings::section::Section;
use crate::settings::tree::{Entry, Value};

const REMEDY: &str = "write `{ every = \"10m\" }`, `{ cron = \"0 4 * * *\" }` or `\"off\"`";

/// Reads the table: a timing for each name, none for what is off. Where each begins is kept, for what only the plugin can tell.
pub(super) fn read(section: &mut Section<'_>) -> BTreeMap<String, Located<Option<Timing>>> {
    let mut schedules = BTreeMap::new();
    for Entry { key, node, .. } in section.entries() {
        let at = section.locate(node);
        if let Err(rule) = check_schedule_name(key) {
            section.mistake(&at, format!("{} cannot be the name of a schedule", quoted(key)), Some(rule.to_owned()));
        }
        match &node.value {
            Value::String(word) if word == "off" => drop(schedules.insert(key.clone(), Located { value: None, at })),
            Value::String(word) => {
                section.mistake(&at, format!("{}: unknown word {}", quoted(key), quoted(word)), Some(REMEDY.to_owned()));
            }
            Value::Table(_) => {
                if let Some(timing) = section.section(key).and_then(|mut timing| read_timing(&mut timing)) {
                    schedules.insert(key.clone(), Located { value: Some(timing), at });
                }
            }
            _ => section.wrong_type(key, "a table or `\"off\"`", node),
        }
    }
    schedules
}

fn read_timing(section: &mut Section<'_>) -> Option<Timing> {
    let texts = ["every", "cron", "timezone", "jitter"].map(|key| section.string(key));
    let has_wrong_type = ["every", "cron", "timezone", "jitter"].iter().zip(&texts).any(|(key, text)| section.has(key) && text.is_none());
    let at_start = section.flag("at_start").unwrap_or(false);
    if has_wrong_type {
        return None;
    }
    let [every, cron, timezone, jitter] = &texts;
    let text = |text: &Option<Located<String>>| text.as_ref().map(|text| text.value.clone());
    let (every_text, cron_text, timezone_text, jitter_text) = (text(every), text(cron), text(timezone), text(jitter));
    let parts = TimingParts {
        every: every_text.as_deref(),
        cron: cron_text.as_deref(),
        timezone: timezone_text.as_deref(),
        jitter: jitter_text.as_deref(),
        at_start,
    };
    match Timing::try_from(parts) {
        Ok(timing) => Some(timing),
        Err(error) => {
            let wrong = match error.key {
                "every" => every,
                "cron" => cron,
                "timezone" => timezone,
                _ => jitter,
            };
            let at = wrong.as_ref().map_or_else(|| section.at(), |wrong| wrong.at.clone());
            section.mistake(&at, error.to_string(), None);
            None
        }
    }
}

/// Checks that a schedule may be called `name`; else says the rule.
pub(crate) fn check_schedule_name(name: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=63).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err("a name has 1 to 63 of the characters a-z, 0-9 and `-`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::section::read_for_test;

    #[test]
    fn a_schedule_has_times_or_is_off() {
        let text = "check = { every = \"10m\", jitter = \"30s\", at_start = true }\nreport = { cron = \"0 4 * * *\", timezone = \"Europe/Berlin\" }\nold = \"off\"";
        let (schedules, mistakes) = read_for_test(text, read);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let shown: Vec<String> =
            schedules.values().map(|schedule| schedule.value.as_ref().map_or("off".to_owned(), ToString::to_string)).collect();
        assert_eq!(shown, ["every 10m", "off", "cron 0 4 * * * Europe/Berlin"]);
        assert!(schedules["check"].value.as_ref().unwrap().at_start && !schedules["report"].value.as_ref().unwrap().at_start);
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let (_, mistakes) = read_for_test(text, read);
        assert!(mistakes.len() == 1 && mistakes[0].starts_with(expected), "{mistakes:?}");
    }

    #[test]
    fn what_is_no_schedule_is_reported_where_it_stands() {
        check("a = \"on\"", "wharf.toml:1:5: `a`: unknown word `on`\n    help: write `{ every = ");
        check("a = 5", "wharf.toml:1:5: `a`: expected a table or `\"off\"`, found an integer");
        check("a = {}", "wharf.toml:1:5: `every`: a schedule has `every`");
        check("a = { every = 10 }", "wharf.toml:1:15: `every`: expected a string, found an integer");
        check("a = { every = \"10\" }", "wharf.toml:1:15: `every`: a time is a number with one of the units");
        check("a = { cron = \"0 4 * *\" }", "wharf.toml:1:14: `cron`: `0 4 * *` is no cron expression");
        check("a = { every = \"1h\", jitter = \"1h\" }", "wharf.toml:1:30: `jitter`: it is as long as the interval");
        check("a = { every = \"1h\", jiter = \"1m\" }", "wharf.toml:1:21: unknown key `jiter` in `[a]`\n    help: did you mean `jitter`?");
        check("A = \"off\"", "wharf.toml:1:5: `A` cannot be the name of a schedule");
    }
}
