//! Where mistakes are gathered while settings are read.
//!
//! Reading goes on after a mistake, so that all of them are reported at once; nothing that was read is used when there is one. Whoever reads
//! holds a shared reference: sections of one document are alive at the same time.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::location::{Location, Mistake};

/// The most of a value that a message repeats, in characters.
const MAX_SHOWN_CHARS: usize = 80;

/// The mistakes so far.
#[derive(Debug, Default)]
pub(crate) struct Report(RefCell<Vec<Mistake>>);

impl Report {
    /// Adds a mistake; `at` is none when it is in no file.
    pub(crate) fn add(&self, at: Option<&Location>, message: impl Into<String>, remedy: Option<String>) {
        self.0.borrow_mut().push(Mistake { at: at.cloned(), message: message.into(), remedy });
    }

    /// What was added: first what is in no file, then by file in the order of `files`, line and column.
    pub(crate) fn into_mistakes(self, files: &[Arc<Path>]) -> Vec<Mistake> {
        let mut mistakes = self.0.into_inner();
        mistakes.sort_by_key(|mistake| {
            let at = mistake.at.as_ref();
            at.map(|at| (files.iter().position(|file| *file == at.file), at.line, at.column))
        });
        mistakes
    }
}

/// `text` in backticks, on one line and cut at [`MAX_SHOWN_CHARS`], so that a message stays readable whatever it repeats.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("`");
    for (count, character) in text.chars().enumerate() {
        if count == MAX_SHOWN_CHARS {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.push('`');
    shown
}

/// `words`, each in backticks, with commas between them.
pub(crate) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// The word of `known` that was probably meant by `word`; none when nothing is near.
pub(crate) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let length = word.chars().count();
    let tolerance = (length / 3).max(1);
    let near = known.into_iter().filter(|candidate| candidate.chars().count().abs_diff(length) <= tolerance);
    let measured = near.map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate));
    measured.filter(|(distance, _)| *distance <= tolerance).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// The help for a word that is none of `known`: the nearest, or all of them. `kind` names them, in the plural.
pub(crate) fn instead_of<'w>(word: &str, kind: &str, known: impl IntoIterator<Item = &'w str> + Clone) -> String {
    if let Some(meant) = nearest(word, known.clone()) {
        return format!("did you mean {}?", quoted(meant));
    }
    let all = listed(known);
    if all.is_empty() { format!("there are no {kind} here") } else { format!("known {kind}: {all}") }
}
