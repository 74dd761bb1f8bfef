//! The functions of `wharf:log/log`, and the one way for a plugin's line into the host's log.

use std::borrow::Cow;

use super::{LogCtxView, MAX_LINE_BYTES};
use crate::backend::lines::printable;
use crate::bindings::wharf::log::log::{Host, Level};

impl Host for LogCtxView<'_> {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) {
        self.write(level, &message, &fields);
    }
}

impl LogCtxView<'_> {
    /// Writes one line as the plugin's, unless nobody wants it or the plugin has written too many.
    pub(crate) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        // The levels of tracing are constants of a call site.
        macro_rules! write_at {
            ($level:ident) => {
                // Asked first: a line that nobody wants takes no other's place, and costs nothing.
                if tracing::enabled!(target: "plugin", tracing::Level::$level) && self.meter.admits() {
                    let Line { message, fields } = Line::new(message, fields);
                    let fields = fields.as_deref();
                    tracing::event!(target: "plugin", tracing::Level::$level, fields, "{message}");
                }
            };
        }
        match level {
            Level::Error => write_at!(ERROR),
            Level::Warn => write_at!(WARN),
            Level::Info => write_at!(INFO),
            Level::Debug => write_at!(DEBUG),
            Level::Trace => write_at!(TRACE),
        }
    }
}

/// What is written of a line: [`MAX_LINE_BYTES`] for all of it, before quotes and the like.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) message: Cow<'a, str>,
    /// tracing wants field names at compile time, so a plugin's fields travel as one JSON object. A name that occurs twice stays twice.
    pub(super) fields: Option<String>,
}

impl Line<'_> {
    pub(super) fn new<'a>(message: &'a str, fields: &[(String, String)]) -> Line<'a> {
        let mut budget = MAX_LINE_BYTES;
        let message = printable(message, &mut budget);
        let fields = (!fields.is_empty()).then(|| as_json(fields, budget));
        Line { message, fields }
    }
}

/// `fields` as a JSON object, as far as `budget` goes; a last one says how many are missing.
fn as_json(fields: &[(String, String)], mut budget: usize) -> String {
    /// Quotes, colon and comma.
    const FRAME_BYTES: usize = 6;
    let mut pairs = Vec::new();
    for (index, (name, value)) in fields.iter().enumerate() {
        if budget == 0 {
            pairs.push(format!("\"…\":\"{} more\"", fields.len() - index));
            break;
        }
        budget = budget.saturating_sub(FRAME_BYTES);
        let (name, value) = (printable(name, &mut budget), printable(value, &mut budget));
        pairs.push(format!("{}:{}", serde_json::Value::from(name), serde_json::Value::from(value)));
    }
    format!("{{{}}}", pairs.join(","))
}
