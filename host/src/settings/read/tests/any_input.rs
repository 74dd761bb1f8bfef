//! No input makes reading fail in any other way than by mistakes, each at a place that is in the file.

use super::*;

/// Pieces that mean something to the parser or to the rules, so that mutations reach behind the syntax.
const PIECES: [&str; 24] = [
    "[",
    "]",
    "[[site]]\n",
    "{",
    "}",
    "\"",
    "'''",
    "=",
    ".",
    ",",
    "\n",
    "\r\n",
    "#",
    "-1",
    "0x",
    "nan",
    "1e999",
    "true",
    "2024-01-01",
    "é",
    "\u{feff}",
    "\0",
    "secret_env",
    "include = [\"wharf.toml\", \"b.toml\"]\n",
];

/// Numbers that look random and are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

#[track_caller]
fn check_any(bytes: &[u8]) {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    if let Err(Mistakes(mistakes)) = read_files(&[("wharf.toml", bytes), ("b.toml", b"[[site]]\nname = \"z\"\n")], None) {
        assert!(!mistakes.is_empty());
        for mistake in mistakes {
            let at = mistake.at.as_ref().filter(|at| at.file.as_ref() == Path::new("wharf.toml"));
            let inside = at.is_none_or(|at| (1..=lines).contains(&at.line) && at.column >= 1 && at.column <= bytes.len() + 1);
            assert!(inside, "{mistake}\n{}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn every_beginning_of_a_configuration_is_read_or_reported() {
    for text in [DEFAULT, FULL] {
        for end in 0..=text.len() {
            check_any(&text.as_bytes()[..end]);
        }
    }
}

#[test]
fn every_line_of_a_configuration_may_be_missing() {
    for text in [DEFAULT, FULL] {
        let lines: Vec<&str> = text.lines().collect();
        for missing in 0..lines.len() {
            let rest: Vec<&str> = lines.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, line)| *line).collect();
            check_any(rest.join("\n").as_bytes());
        }
    }
}

#[test]
fn a_configuration_with_random_changes_is_read_or_reported() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..3_000 {
        let mut bytes = if round % 2 == 0 { DEFAULT } else { FULL }.as_bytes().to_vec();
        for _ in 0..=numbers.below(4) {
            let start = numbers.below(bytes.len());
            let end = bytes.len().min(start + numbers.below(12));
            let piece = match numbers.below(3) {
                0 => PIECES[numbers.below(PIECES.len())].as_bytes().to_vec(),
                1 => vec![numbers.below(256) as u8],
                _ => bytes[start..end].repeat(2),
            };
            bytes.splice(start..end, piece);
        }
        check_any(&bytes);
    }
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("[", "]"), ("{ a = ", "}")] {
        for depth in [70, 100, 10_000] {
            check_any(
                format!("{}[site.plugin.config]\nx = {}1{}", plugin("mount = \"/\"\n"), open.repeat(depth), close.repeat(depth)).as_bytes(),
            );
        }
    }
    let dotted = "a.".repeat(10_000);
    check_any(format!("{dotted}b = 1\n[{dotted}c]\n").as_bytes());
}
