//! A plugin's account of itself. The paths in it come from the routes, so that the two cannot differ.

use serde_json::{Map, Value};

use crate::export::Package;
use crate::jobs::Timing;
use crate::router::Router;

/// What a plugin is and what it wants. Name, version and summary are those of its `Cargo.toml` unless they are set here.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Description {
    name: Option<String>,
    version: Option<String>,
    summary: Option<String>,
    grants: Map<String, Value>,
    config: Option<Value>,
    schedules: Map<String, Value>,
}

impl Description {
    /// A plugin that wants no grants and has no settings.
    pub fn new() -> Description {
        Description::default()
    }

    /// Another name than the crate's.
    pub fn name(mut self, name: impl Into<String>) -> Description {
        self.name = Some(name.into());
        self
    }

    /// Another version than the crate's.
    pub fn version(mut self, version: impl Into<String>) -> Description {
        self.version = Some(version.into());
        self
    }

    /// Another summary than the crate's description. One sentence.
    pub fn summary(mut self, summary: impl Into<String>) -> Description {
        self.summary = Some(summary.into());
        self
    }

    /// Wants `powers` of `room`, for example `["containers.read"]` of `docker`. It only says so; the operator grants.
    pub fn wants(mut self, room: &str, powers: &[&str]) -> Description {
        self.grants.insert(room.to_owned(), powers.iter().copied().map(Value::from).collect());
        self
    }

    /// The JSON schema of the plugin's settings, which the host checks before the plugin runs.
    pub fn config_schema(mut self, schema: Value) -> Description {
        self.config = Some(schema);
        self
    }

    /// Has turns of the schedule `name` (1 to 63 of the characters `a-z`, `0-9` and `-`): jobs of that kind, for a plugin that is exported with `jobs`.
    pub fn schedule(mut self, name: &str, timing: &Timing) -> Description {
        self.schedules.insert(name.to_owned(), timing.document());
        self
    }

    /// The text that the host reads.
    pub(crate) fn document(self, package: &Package, router: &Router) -> String {
        let mut document = Map::new();
        let mut text = |key: &str, own: Option<String>, default: &str| {
            document.insert(key.to_owned(), own.unwrap_or_else(|| default.to_owned()).into());
        };
        text("name", self.name, package.name);
        text("version", self.version, package.version);
        text("summary", self.summary, package.summary);
        document.insert("paths".to_owned(), router.paths());
        if !self.grants.is_empty() {
            document.insert("grants".to_owned(), self.grants.into());
        }
        if let Some(schema) = self.config {
            document.insert("config".to_owned(), schema);
        }
        if !self.schedules.is_empty() {
            document.insert("schedules".to_owned(), self.schedules.into());
        }
        Value::Object(document).to_string()
    }
}
