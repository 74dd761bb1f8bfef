//! A plugin's account of itself: the JSON of `wharf:plugin/description`, read.
//!
//! The WIT (`wit/plugin`) says what each key means. Keys that this host does not know are left alone: a plugin may have been built with a newer SDK.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::backend::jobs::{Timing, TimingParts};
use crate::settings::check_schedule_name;

/// What a plugin says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) summary: String,
    /// Path patterns, and below each its methods as OpenAPI has them. Empty: the plugin takes every path.
    #[serde(default)]
    pub(crate) paths: BTreeMap<String, serde_json::Value>,
    /// What it wants, by room.
    #[serde(default)]
    pub(crate) grants: BTreeMap<String, Vec<String>>,
    /// The JSON schema of its settings; none if it has no settings.
    #[serde(default)]
    pub(crate) config: Option<serde_json::Value>,
    /// When it wants its turns, as it says so.
    #[serde(default)]
    schedules: BTreeMap<String, DescribedTiming>,
    /// And as it means it.
    #[serde(skip)]
    pub(crate) timings: BTreeMap<String, Timing>,
}

/// A timing as a description has it.
#[derive(Debug, Clone, Deserialize)]
struct DescribedTiming {
    every: Option<String>,
    cron: Option<String>,
    timezone: Option<String>,
    jitter: Option<String>,
    #[serde(default)]
    at_start: bool,
}

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DescriptionError {
    /// It is not the JSON that the contract asks for.
    #[error("its description is not the JSON object that `wharf:plugin/description` asks for: {0}")]
    Json(#[from] serde_json::Error),
    /// A path pattern is not one.
    #[error("its description has the path pattern `{pattern}`: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A schedule is not one.
    #[error("its description has the schedule `{name}`: {reason}")]
    Schedule {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration schema is no JSON schema.
    #[error("its description has a configuration schema that is no JSON schema: {0}")]
    Schema(String),
}

impl Description {
    /// Reads `text` and checks the patterns, the schedules and the schema.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Description, DescriptionError> {
        let mut description: Description = serde_json::from_str(text)?;
        for (index, pattern) in description.paths.keys().enumerate() {
            let wrong = |reason: String| DescriptionError::Pattern { pattern: pattern.clone(), reason };
            if !pattern.starts_with('/') {
                return Err(wrong("it does not begin with `/`".to_owned()));
            }
            matchit::Router::new().insert(pattern, ()).map_err(|error| wrong(error.to_string()))?;
            if let Some(other) = description.paths.keys().take(index).find(|other| collide(other, pattern)) {
                return Err(wrong(format!("it collides with `{other}`")));
            }
        }
        for (name, timing) in &description.schedules {
            let wrong = |reason: String| DescriptionError::Schedule { name: name.clone(), reason };
            check_schedule_name(name).map_err(|rule| wrong(rule.to_owned()))?;
            let timing = Timing::try_from(timing.parts()).map_err(|error| wrong(error.to_string()))?;
            description.timings.insert(name.clone(), timing);
        }
        description.config_validator()?;
        Ok(description)
    }

    /// What checks the plugin's settings. A plugin without a schema takes none.
    pub(crate) fn config_validator(&self) -> Result<jsonschema::Validator, DescriptionError> {
        let nothing = serde_json::json!({"type": "object", "additionalProperties": false});
        jsonschema::validator_for(self.config.as_ref().unwrap_or(&nothing)).map_err(|error| DescriptionError::Schema(error.to_string()))
    }
}

impl DescribedTiming {
    fn parts(&self) -> TimingParts<'_> {
        TimingParts {
            every: self.every.as_deref(),
            cron: self.cron.as_deref(),
            timezone: self.timezone.as_deref(),
            jitter: self.jitter.as_deref(),
            at_start: self.at_start,
        }
    }
}

/// Whether two path patterns cannot be routed side by side: a path may match both, and neither is the more special one.
///
/// `matchit` is asked about each pair by itself and in both orders. Patterns of which no two collide can be inserted together in any order; but what it says of one pattern among many depends on the order
/// where parameters are parts of segments (`/v{n}`), and so does which pattern it names as the other one.
pub(crate) fn collide(one: &str, other: &str) -> bool {
    let refused = |first: &str, second: &str| {
        let mut matcher = matchit::Router::new();
        matcher.insert(first, ()).is_err() || matcher.insert(second, ()).is_err()
    };
    refused(one, other) || refused(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, problem: Option<&str>) {
        let found = Description::parse(text).err().map(|error| error.to_string());
        match (problem, &found) {
            (None, None) => {}
            (Some(problem), Some(found)) if found.contains(problem) => {}
            _ => panic!("expected {problem:?}, found {found:?}"),
        }
    }

    #[test]
    fn a_description_is_checked_when_it_is_read() {
        check(r#"{"name":"a","version":"1","paths":{"/a/{b}":{},"/c/{*rest}":{}},"later":1}"#, None);
        check(r#"{"name":"a"}"#, Some("missing field `version`"));
        check("no", Some("expected ident"));
        check(r#"{"name":"a","version":"1","paths":{"a":{}}}"#, Some("does not begin with `/`"));
        check(r#"{"name":"a","version":"1","paths":{"/{a}":{},"/{b}":{}}}"#, Some("path pattern `/{b}`: it collides with `/{a}`"));
        check(r#"{"name":"a","version":"1","paths":{"/{a":{}}}"#, Some("path pattern `/{a`"));
        check(r#"{"name":"a","version":"1","config":{"type":7}}"#, Some("no JSON schema"));
        check(r#"{"name":"a","version":"1","schedules":{"check":{"every":"10m","jitter":"30s","at_start":true}}}"#, None);
        check(r#"{"name":"a","version":"1","schedules":{"check":{"every":"10"}}}"#, Some("the schedule `check`: `every`: a time is"));
        check(r#"{"name":"a","version":"1","schedules":{"a b":{"every":"1h"}}}"#, Some("the schedule `a b`: a name has"));
    }
}
