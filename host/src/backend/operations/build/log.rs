//! What an engine says in the course of a build: the end of it, for whoever reads now or later.
//!
//! Many may read it, each at its own pace. What is too much is dropped at its beginning, by whole lines, and a reader that is slower than that goes on with what is left.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use super::super::Operation;

/// How much is kept.
pub(crate) const MAX_LOG_BYTES: usize = 1 << 20;
/// The most that is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// The log of one build.
#[derive(Debug, Default)]
pub(crate) struct BuildLog {
    kept: Mutex<Kept>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    /// How many were dropped.
    dropped: u64,
}

impl BuildLog {
    /// Adds `text`.
    pub(crate) fn add(&self, text: &str) {
        self.kept().add(text.as_bytes());
        self.changed.send_replace(());
    }

    /// All that is kept.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        let bytes: Vec<u8> = self.kept().bytes.iter().copied().collect();
        String::from_utf8(bytes).unwrap()
    }

    /// What stands at `position` and after it, or after what was dropped, up to a piece; and where it ends.
    fn read(&self, position: u64) -> (Bytes, u64) {
        let kept = self.kept();
        let position = position.max(kept.dropped);
        let offset = usize::try_from(position - kept.dropped).unwrap_or(usize::MAX);
        let piece: Bytes = kept.bytes.iter().skip(offset).take(PIECE_BYTES).copied().collect();
        let end = position + piece.len() as u64;
        (piece, end)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, text: &[u8]) {
        self.bytes.extend(text);
        let excess = self.bytes.len().saturating_sub(MAX_LOG_BYTES);
        if excess == 0 {
            return;
        }
        // From the beginning of a line on. A line that is longer than all that is kept loses its beginning.
        let line = self.bytes.iter().skip(excess - 1).position(|byte| *byte == b'\n').map(|end| excess + end);
        let is_inside = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
        let character = || excess + self.bytes.iter().skip(excess).take_while(|byte| is_inside(byte)).count();
        let count = line.filter(|end| *end < self.bytes.len()).unwrap_or_else(character);
        self.bytes.drain(..count);
        self.dropped += count as u64;
    }
}

impl Operation {
    /// What the engine has said, and what it says until the operation ends. Empty for operations of which it says nothing.
    pub(crate) fn said(self: &Arc<Self>) -> impl Stream<Item = Bytes> + Send + 'static {
        let log = self.log.clone().unwrap_or_default();
        let (added, changed) = (log.changed.subscribe(), self.changes());
        stream::unfold((Arc::clone(self), log, added, changed, 0), |(operation, log, mut added, mut changed, position)| async move {
            loop {
                // What is said before the end is there when the end is seen.
                added.borrow_and_update();
                let over = Operation::is_over(&mut changed);
                let (piece, end) = log.read(position);
                if !piece.is_empty() {
                    return Some((piece, (operation, log, added, changed, end)));
                }
                if over {
                    return None;
                }
                // The senders are in the operation and its log, so that waiting cannot fail.
                tokio::select! {
                    _changed = added.changed() => {}
                    _changed = changed.changed() => {}
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a reader gets it.
    fn text(log: &BuildLog) -> String {
        let (mut whole, mut position) = (Vec::new(), 0);
        loop {
            let (piece, end) = log.read(position);
            if piece.is_empty() {
                return String::from_utf8(whole).unwrap();
            }
            whole.extend_from_slice(&piece);
            position = end;
        }
    }

    #[test]
    fn the_end_is_kept_by_whole_lines() {
        let log = BuildLog::default();
        for number in 0..200_000 {
            log.add(&format!("line {number}\n"));
        }
        let kept = text(&log);
        assert!(kept.starts_with("line ") && kept.ends_with("line 199999\n"));
        assert!((MAX_LOG_BYTES - 20..=MAX_LOG_BYTES).contains(&kept.len()), "{}", kept.len());
        // Whoever is behind goes on with what is left.
        let (piece, end) = log.read(3);
        assert!(kept.as_bytes().starts_with(&piece) && end > PIECE_BYTES as u64);
        assert_eq!(log.read(u64::MAX).0.len(), 0);
    }

    #[test]
    fn a_line_without_an_end_loses_its_beginning_and_no_half_character_is_left() {
        let log = BuildLog::default();
        log.add("x");
        log.add(&"ü".repeat(MAX_LOG_BYTES));
        assert_eq!(text(&log), "ü".repeat(MAX_LOG_BYTES / 2));
        log.add("\n");
        assert_eq!(text(&log).len(), MAX_LOG_BYTES - 1);
        log.add("short\n");
        assert_eq!(text(&log), "short\n");
    }
}
