//! What may reach the log, and how much of it.

use std::time::{Duration, Instant};

use super::MAX_LINE_BYTES;
use super::host::cut;
use super::meter::{Admission, LineMeter};

#[test]
fn a_line_cannot_forge_another() {
    assert_eq!(cut("plain ünïcode"), "plain ünïcode");
    assert_eq!(cut("a\n2026 ERROR b\u{1b}[31m"), "a\\n2026 ERROR b\\u{1b}[31m");
}

#[test]
fn a_long_line_is_cut_between_characters() {
    let long = "ä".repeat(MAX_LINE_BYTES);
    let line = cut(&long);
    assert!(line.ends_with("ä…"));
    assert!(line.len() <= MAX_LINE_BYTES + '…'.len_utf8());
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
