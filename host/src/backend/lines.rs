//! Lines of the log that somebody else than the host has a say in: how many there may be, and of which characters they are.
//!
//! A plugin writes lines by itself, through the room `log` and its standard output, and it makes the host write some: one for each call that it may not make. All of them are
//! counted by one meter, so that no plugin can fill a disk, or hide what another one does, by doing the same thing in a loop.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many lines one plugin may still cause in this second. One meter for all instances of a generation.
#[derive(Debug)]
pub(crate) struct LineMeter {
    lines_per_second: u64,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    written: u64,
    dropped: u64,
}

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    /// Write it; before it, say that so many lines were dropped, if any were.
    Write {
        /// Lines dropped since the last one that was written.
        dropped_before: u64,
    },
    /// Drop it.
    Drop,
}

impl LineMeter {
    /// A meter that lets `lines_per_second` lines through.
    pub(crate) fn new(lines_per_second: u64) -> LineMeter {
        let window = Window { began: Instant::now(), written: 0, dropped: 0 };
        LineMeter { lines_per_second, window: Mutex::new(window) }
    }

    /// Whether one more line may be written now. Says before it how many were not. Ask only for lines that the log's filter wants.
    pub(crate) fn admits(&self) -> bool {
        match self.admit(Instant::now()) {
            Admission::Write { dropped_before } => {
                if dropped_before > 0 {
                    tracing::warn!(target: "plugin", dropped_before, "dropped lines over the limit `log_lines_per_second`");
                }
                true
            }
            Admission::Drop => false,
        }
    }

    fn admit(&self, now: Instant) -> Admission {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped_before = 0;
        if now.saturating_duration_since(window.began) >= Duration::from_secs(1) {
            dropped_before = window.dropped;
            *window = Window { began: now, written: 0, dropped: 0 };
        }
        if window.written >= self.lines_per_second {
            window.dropped += 1 + dropped_before;
            return Admission::Drop;
        }
        window.written += 1;
        Admission::Write { dropped_before }
    }
}

/// `text` with everything escaped that does not show as itself, so that whoever wrote it cannot forge a line or steer a terminal; at most `budget` bytes of it, which are taken from
/// `budget`. Text that was cut ends in `…`, which is not counted.
pub(crate) fn printable<'a>(text: &'a str, budget: &mut usize) -> Cow<'a, str> {
    if text.len() <= *budget && !text.chars().any(is_hidden) {
        *budget -= text.len();
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(*budget));
    for character in text.chars() {
        let size = if is_hidden(character) { character.escape_default().len() } else { character.len_utf8() };
        if size > *budget {
            *budget = 0;
            shown.push('…');
            break;
        }
        *budget -= size;
        if is_hidden(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Whether a reader would not see `character`, but what it does: a control character, the end of a line, a change of the direction of writing.
fn is_hidden(character: char) -> bool {
    let steers = matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    character.is_control() || steers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, bytes: usize, expected: &str, left: usize) {
        let mut budget = bytes;
        assert_eq!(printable(text, &mut budget), expected);
        assert_eq!(budget, left);
    }

    #[test]
    fn what_does_not_show_is_escaped() {
        check("plain ünïcode", 100, "plain ünïcode", 85);
        check("a\n2026 ERROR b", 100, "a\\n2026 ERROR b", 85);
        check("\u{1b}[31m\u{9b}31m", 100, "\\u{1b}[31m\\u{9b}31m", 81);
        check("\u{202e}gnp.exe\u{2028}", 100, "\\u{202e}gnp.exe\\u{2028}", 77);
    }

    #[test]
    fn text_is_cut_between_characters_and_never_within_an_escape() {
        check("äää", 5, "ää…", 0);
        check("ab\n", 3, "ab…", 0);
        check("ab", 2, "ab", 0);
        check("", 0, "", 0);
    }

    #[test]
    fn a_plugin_that_shouts_loses_lines_and_the_next_one_counts_them() {
        let meter = LineMeter::new(2);
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        let admissions: Vec<_> = [start, start, start, start, later].map(|now| meter.admit(now)).into();
        let write = |dropped_before| Admission::Write { dropped_before };
        assert_eq!(admissions, [write(0), write(0), Admission::Drop, Admission::Drop, write(2)]);
    }
}
