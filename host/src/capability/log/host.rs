//! The functions of `wharf:log/log`, and the one way for a plugin's line into the host's log.

use std::borrow::Cow;
use std::time::Instant;

use super::meter::Admission;
use super::{LogCtxView, MAX_LINE_BYTES};
use crate::bindings::wharf::log::log::{Host, Level};

impl Host for LogCtxView<'_> {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) {
        self.write(level, &message, &fields);
    }
}

impl LogCtxView<'_> {
    /// Writes one line as the plugin's, unless the plugin has written too many.
    pub(crate) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let dropped_before = match self.meter.admit(Instant::now()) {
            Admission::Write { dropped_before } => dropped_before,
            Admission::Drop => return,
        };
        if dropped_before > 0 {
            tracing::warn!(target: "plugin", dropped_before, "dropped lines over the limit `log_lines_per_second`");
        }
        let message = cut(message);
        // tracing wants field names at compile time, so a plugin's fields travel as one JSON object.
        let fields = (!fields.is_empty()).then(|| as_json(fields));
        let fields = fields.as_deref();
        match level {
            Level::Error => tracing::error!(target: "plugin", fields, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", fields, "{message}"),
            Level::Info => tracing::info!(target: "plugin", fields, "{message}"),
            Level::Debug => tracing::debug!(target: "plugin", fields, "{message}"),
            Level::Trace => tracing::trace!(target: "plugin", fields, "{message}"),
        }
    }
}

/// `fields` as a JSON object; a name that occurs twice stays twice.
fn as_json(fields: &[(String, String)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}:{}", serde_json::Value::from(cut(name)), serde_json::Value::from(cut(value))))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// `text` with control characters escaped, so that a plugin cannot forge lines, and no longer than a line may be.
pub(super) fn cut(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(MAX_LINE_BYTES);
    let (shown, rest) = text.split_at(end);
    if rest.is_empty() && !shown.chars().any(char::is_control) {
        return Cow::Borrowed(shown);
    }
    let mut line = String::with_capacity(shown.len());
    for character in shown.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    if !rest.is_empty() {
        line.push('…');
    }
    Cow::Owned(line)
}
