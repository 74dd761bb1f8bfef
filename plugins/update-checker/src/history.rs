//! What came of updates: the history that clients can read, and the webhook that the operator names.
//!
//! The body of a webhook is always of one shape, and all that is in it was found out here: nothing of it comes from a label.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wharf_sdk::Error;
use wharf_sdk::jobs::webhooks;
use wharf_sdk::tracing::warn;

use crate::document::Document;
use crate::settings::Settings;

/// The updates that have ended, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History(pub(crate) Vec<Entry>);

impl Document for History {
    const KEY: &'static str = "history";
}

/// An update that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// When it ended, in RFC 3339.
    pub(crate) time: String,
    /// The short id of the container that was updated.
    pub(crate) container_id: String,
    /// The short id of the container in its place, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) new_container_id: Option<String>,
    pub(crate) container_name: String,
    /// The reference, as lists show it.
    pub(crate) image: String,
    /// The digest that ran, as lists show it.
    pub(crate) from_digest: String,
    /// The digest that it was to run, as lists show it.
    pub(crate) to_digest: String,
    pub(crate) result: Outcome,
    /// Whether nobody asked for it.
    pub(crate) automatic: bool,
    /// Whether the old container is there again after a failure.
    #[serde(default)]
    pub(crate) rolled_back: bool,
    /// How long nothing ran under its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_ms: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What the host carried out; none if it came to nothing of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<String>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// The container was replaced.
    Updated,
    /// It ran what its reference leads to already.
    Unchanged,
    Failed,
}

impl Outcome {
    fn event(self) -> &'static str {
        match self {
            Outcome::Updated => "update.updated",
            Outcome::Unchanged => "update.unchanged",
            Outcome::Failed => "update.failed",
        }
    }
}

/// Tells of an update that has ended: the webhook first, then the history, by which it is known that it was told. So the webhook is told at least once.
///
/// # Errors
///
/// The storage's. A webhook that cannot be told is a line in the log.
pub(crate) fn tell(entry: &Entry, settings: &Settings) -> Result<(), Error> {
    let is_told = |history: &History| entry.operation.is_some() && history.0.iter().any(|other| other.operation == entry.operation);
    if is_told(&History::read()?) {
        return Ok(());
    }
    if let Some(webhook) = &settings.webhook {
        let body = json!({"type": entry.result.event(), "timestamp": entry.time, "data": entry}).to_string();
        if let Err(error) = webhooks::post(webhook, "application/json", body.as_bytes()) {
            warn!(%error, webhook, container = entry.container_name, "the webhook cannot be told of an update");
        }
    }
    History::change(|history| {
        history.0.insert(0, entry.clone());
        history.0.truncate(settings.history_entries);
    })
}

/// A time (milliseconds since 1970) in RFC 3339.
pub(crate) fn written(time_ms: u64) -> String {
    i64::try_from(time_ms).ok().and_then(|time_ms| Timestamp::from_millisecond(time_ms).ok()).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use wharf_sdk::fake::Host;

    use super::*;

    fn entry(operation: Option<&str>) -> Entry {
        Entry {
            time: written(1_700_000_000_000),
            container_id: "0123456789ab".to_owned(),
            new_container_id: None,
            container_name: "web".to_owned(),
            image: "nginx:latest".to_owned(),
            from_digest: "sha256:1111111111".to_owned(),
            to_digest: "sha256:2222222222".to_owned(),
            result: Outcome::Failed,
            automatic: true,
            rolled_back: true,
            stopped_ms: Some(900),
            error: Some("it died".to_owned()),
            operation: operation.map(str::to_owned),
        }
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_go() {
        let _host = Host::install();
        let settings = Settings { history_entries: 2, ..Settings::default() };
        for operation in ["1", "2", "3", "3"] {
            tell(&entry(Some(operation)), &settings).unwrap();
        }
        let kept: Vec<_> = History::read().unwrap().0.into_iter().filter_map(|entry| entry.operation).collect();
        assert_eq!(kept, ["3", "2"], "what was told is not told again");
        tell(&entry(None), &settings).unwrap();
        tell(&entry(None), &settings).unwrap();
        assert_eq!(History::read().unwrap().0, [entry(None), entry(None)]);
    }

    #[test]
    fn a_webhook_is_told_once_in_one_shape() {
        let host = Host::install();
        host.webhook("ops");
        let settings = Settings { webhook: Some("ops".to_owned()), ..Settings::default() };
        tell(&entry(Some("1")), &settings).unwrap();
        tell(&entry(Some("1")), &settings).unwrap();
        let posts = host.posts();
        let [post] = posts.as_slice() else { panic!("{posts:?}") };
        assert_eq!((post.webhook.as_str(), post.content_type.as_str()), ("ops", "application/json"));
        let body: Value = serde_json::from_slice(&post.body).unwrap();
        assert_eq!(
            (&body["type"], &body["timestamp"], &body["data"]["error"]),
            (&"update.failed".into(), &"2023-11-14T22:13:20Z".into(), &"it died".into())
        );
        assert_eq!(body["data"], serde_json::to_value(entry(Some("1"))).unwrap());
    }

    #[test]
    fn a_webhook_that_is_not_granted_harms_nothing() {
        let host = Host::install();
        let settings = Settings { webhook: Some("ops".to_owned()), ..Settings::default() };
        tell(&entry(Some("1")), &settings).unwrap();
        assert_eq!((History::read().unwrap().0.len(), host.posts().len()), (1, 0));
        assert!(host.lines().iter().any(|line| line.message.contains("webhook")));
        let silent = Settings::default();
        tell(&entry(Some("2")), &silent).unwrap();
        assert_eq!(host.calls_of("jobs.webhooks.post").len(), 1);
    }
}
