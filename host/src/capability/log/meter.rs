//! How many lines a plugin may still log in this second. One meter for all instances of a plugin.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts lines by the second.
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
pub(crate) enum Admission {
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

    /// Decides about one line, at `now`.
    pub(crate) fn admit(&self, now: Instant) -> Admission {
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
