//! The host's log.
//!
//! Plugins write to it with the macros of [`tracing`]: `tracing::info!(container = name, "stopping")`. The message and every field arrive as they
//! are, after the fields of the spans that are entered; the host adds the plugin's name and the request's id. [`export!`](crate::export!) sees to this; nothing needs
//! to be set up. [`write()`] is the same without macros.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::num::NonZeroU64;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::host::with;

/// How much an operator wants to know of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A request was not served as it should have been.
    Error,
    /// Something failed and was carried on from.
    Warn,
    /// A state an operator asked for.
    Info,
    /// What a developer of the plugin wants to see.
    Debug,
    /// Every step.
    Trace,
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Level {
        match level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        }
    }
}

/// Writes one line. `message` is one sentence; `fields` are names and values to search by, and a name used twice is kept twice.
pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
    with(|host| host.log(level, message, fields));
}

/// Sends what `tracing` records to the host from now on. A second call does nothing, and a subscriber that is there already stays.
pub(crate) fn install() {
    // An error says that there is one already.
    let _ = tracing::subscriber::set_global_default(Bridge);
}

/// The subscriber. A component has one thread and native tests have a host on each, so the spans are kept by thread.
struct Bridge;

#[derive(Default)]
struct Spans {
    last: u64,
    open: Vec<Span>,
    entered: Vec<u64>,
}

struct Span {
    id: u64,
    /// How many handles there are.
    handles: usize,
    fields: Vec<(String, String)>,
}

thread_local! {
    static SPANS: RefCell<Spans> = RefCell::default();
}

impl Spans {
    fn span(&mut self, id: &Id) -> Option<&mut Span> {
        let id = id.into_u64();
        self.open.iter_mut().find(|span| span.id == id)
    }
}

impl Subscriber for Bridge {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        attributes.record(&mut line);
        SPANS.with_borrow_mut(|spans| {
            spans.last += 1;
            spans.open.push(Span { id: spans.last, handles: 1, fields: line.fields });
            Id::from_non_zero_u64(NonZeroU64::new(spans.last).unwrap_or(NonZeroU64::MIN))
        })
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut line = Line::default();
        values.record(&mut line);
        SPANS.with_borrow_mut(|spans| {
            if let Some(span) = spans.span(id) {
                span.fields.append(&mut line.fields);
            }
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        SPANS.with_borrow(|spans| {
            let entered = spans.entered.iter().filter_map(|id| spans.open.iter().find(|span| span.id == *id));
            line.fields.extend(entered.flat_map(|span| span.fields.iter().cloned()));
        });
        event.record(&mut line);
        write((*event.metadata().level()).into(), &line.message, &line.fields);
    }

    fn enter(&self, id: &Id) {
        SPANS.with_borrow_mut(|spans| spans.entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        SPANS.with_borrow_mut(|spans| {
            if let Some(place) = spans.entered.iter().rposition(|entered| *entered == id.into_u64()) {
                spans.entered.remove(place);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        SPANS.with_borrow_mut(|spans| {
            if let Some(span) = spans.span(id) {
                span.handles += 1;
            }
        });
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        SPANS.with_borrow_mut(|spans| {
            let Some(span) = spans.span(&id) else { return false };
            span.handles -= 1;
            if span.handles > 0 {
                return false;
            }
            spans.open.retain(|span| span.id != id.into_u64());
            true
        })
    }
}

/// The message and the fields of one event or span.
#[derive(Default)]
struct Line {
    message: String,
    fields: Vec<(String, String)>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => {
                // Writing to a String cannot fail.
                let _ = write!(self.message, "{value:?}");
            }
            name => self.fields.push((name.to_owned(), format!("{value:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn fields_and_those_of_the_spans_around_arrive_as_they_are() {
        let host = fake::Host::install();
        let outer = tracing::info_span!("outer", request = 1, later = tracing::field::Empty);
        outer.record("later", "now");
        let entered = outer.enter();
        tracing::warn!(container = "web", count = 2, error = %Error("no"), "stopping {}", "it");
        drop(entered);
        tracing::trace!("alone");
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fields =
            vec![field("request", "1"), field("later", "now"), field("container", "web"), field("count", "2"), field("error", "no")];
        let lines = [
            fake::Line { level: Level::Warn, message: "stopping it".to_owned(), fields },
            fake::Line { level: Level::Trace, message: "alone".to_owned(), fields: Vec::new() },
        ];
        assert_eq!(host.lines(), lines);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Error(&'static str);
}
