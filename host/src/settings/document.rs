//! Configuration files as they are written: TOML in which every key and value knows its place.
//!
//! A file names further ones in `include`, relative to itself and without patterns, so that what is read never depends on what else lies in a
//! directory. Each file is read once; a second mention is a mistake, whether or not it goes in a circle. A file with a syntax error is reported
//! and not read any further: what the parser makes of the rest would only produce mistakes that are none.
//!
//! Reading blocks; there is no async file access here because settings are read before anything is served, or on a thread of their own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::location::{Located, Location};
use super::report::{Report, quoted};
use super::section::Section;
use super::tree::Table;

/// One parsed file.
#[derive(Debug)]
pub(crate) struct Document {
    /// As it was named: the first by the caller, the others by the including file's directory and what stands in `include`.
    file: Arc<Path>,
    text: String,
    /// The offset of the first byte of each line.
    line_starts: Vec<usize>,
    table: Table,
    /// Whether the syntax has no errors. If it has, the table is only a part of what was meant.
    sound: bool,
}

/// Every file that belongs together.
#[derive(Debug)]
pub(crate) struct Documents {
    /// The file named first, then what it includes, depth first.
    pub(crate) files: Vec<Arc<Path>>,
    /// Those of the files that can be read any further.
    pub(crate) documents: Vec<Document>,
    /// Whether these are all files; if not, what seems to be missing may stand in the others.
    pub(crate) complete: bool,
}

/// A file's content.
pub(crate) struct Found {
    /// Equal for two paths that lead to one file.
    pub(crate) identity: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

/// Reads a file: [`on_disk`], or a table in tests.
pub(crate) type Find<'f> = &'f dyn Fn(&Path) -> io::Result<Found>;

/// A file that is part of the configuration, or is about to be.
struct Named {
    path: PathBuf,
    /// Where an `include` names it, and the index of the file that does; none for the first.
    by: Option<(Location, usize)>,
}

/// A file that was read.
struct Seen {
    identity: PathBuf,
    by: Option<(Location, usize)>,
}

/// Reads a file from disk.
pub(crate) fn on_disk(path: &Path) -> io::Result<Found> {
    let bytes = std::fs::read(path)?;
    // What can be read may still have no canonical path, as a pipe from a shell has not.
    let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Ok(Found { identity, bytes })
}

/// Reads the file `first` and everything that it includes.
pub(crate) fn load(first: &Path, find: Find<'_>, report: &Report) -> Documents {
    let mut loaded = Documents { files: Vec::new(), documents: Vec::new(), complete: true };
    let mut seen: Vec<Seen> = Vec::new();
    let mut waiting = vec![Named { path: first.to_owned(), by: None }];
    while let Some(named) = waiting.pop() {
        let found = match find(&named.path) {
            Ok(found) => found,
            Err(error) => {
                unreadable(&named, &error, report);
                loaded.complete = false;
                continue;
            }
        };
        if let Some(earlier) = seen.iter().position(|seen| seen.identity == found.identity) {
            twice(&named, earlier, &seen, report);
            continue;
        }
        let index = seen.len();
        seen.push(Seen { identity: found.identity, by: named.by });
        let file: Arc<Path> = named.path.into();
        loaded.files.push(Arc::clone(&file));
        let document = Document::parse(file, found.bytes, report);
        if !document.sound {
            loaded.complete = false;
            continue;
        }
        let includes = includes(&document, report);
        waiting.extend(includes.into_iter().rev().map(|(path, at)| Named { path, by: Some((at, index)) }));
        loaded.documents.push(document);
    }
    loaded
}

/// What `document` includes. Its other keys are left for later.
fn includes(document: &Document, report: &Report) -> Vec<(PathBuf, Location)> {
    let mut root = Section::root(document, report);
    let named = root.strings("include").unwrap_or_default();
    root.set_aside();
    named.into_iter().map(|Located { value, at }| (document.resolve(&value), at)).collect()
}

fn unreadable(named: &Named, error: &io::Error, report: &Report) {
    let shown = quoted(&named.path.display().to_string());
    let at = named.by.as_ref().map(|(at, _)| at);
    if error.kind() != io::ErrorKind::NotFound {
        return report.add(at, format!("failed to read {shown}: {error}"), None);
    }
    let remedy = match at {
        Some(_) => "paths in `include` are relative to the file that they stand in, and may hold no patterns".to_owned(),
        None => {
            let absolute = std::path::absolute(&named.path).unwrap_or_else(|_| named.path.clone());
            format!("create `{}`, or name another file; a configuration needs at least one `[[site]]`", absolute.display())
        }
    };
    report.add(at, format!("there is no file {shown}"), Some(remedy));
}

fn twice(named: &Named, earlier: usize, seen: &[Seen], report: &Report) {
    let shown = quoted(&named.path.display().to_string());
    let mut includer = named.by.as_ref().map(|(_, includer)| *includer);
    while let Some(index) = includer {
        if index == earlier {
            let message = format!("{shown} includes itself");
            return report.add(named.by.as_ref().map(|(at, _)| at), message, Some("take it out of this `include`".to_owned()));
        }
        includer = seen.get(index).and_then(|seen| seen.by.as_ref()).map(|(_, includer)| *includer);
    }
    let first = seen.get(earlier).and_then(|seen| seen.by.as_ref()).map(|(at, _)| format!(", first at {at}")).unwrap_or_default();
    report.add(
        named.by.as_ref().map(|(at, _)| at),
        format!("{shown} is included twice{first}"),
        Some("take one of the two out".to_owned()),
    );
}

impl Document {
    /// Parses `bytes` and reports what is wrong with the syntax: the first error of each line.
    pub(crate) fn parse(file: Arc<Path>, bytes: Vec<u8>, report: &Report) -> Document {
        let (text, utf8_until) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(valid))
            }
        };
        // Editors on Windows write a byte order mark, which would count as a character of the first line.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
        let mut document = Document { file, text, line_starts, table: Table::default(), sound: true };
        if let Some(valid) = utf8_until {
            document.sound = false;
            let remedy = "save the file as UTF-8".to_owned();
            report.add(Some(&document.locate(valid)), "this is not UTF-8", Some(remedy));
            return document;
        }
        let (parsed, errors) = DeTable::parse_recoverable(&document.text);
        let table = Table::from_parsed(parsed.into_inner());
        document.report_syntax(&errors, report);
        document.sound = errors.is_empty();
        document.table = table;
        document
    }

    /// One error can make the parser stumble several times over the same line; the first says what is wrong.
    fn report_syntax(&self, errors: &[toml::de::Error], report: &Report) {
        let mut places: Vec<(Location, String)> = errors
            .iter()
            .map(|error| {
                let span = error.span().unwrap_or(self.text.len()..self.text.len());
                let found = self.text.get(span.clone()).map(str::trim).unwrap_or_default();
                let shown = if found.is_empty() { String::new() } else { format!(" at {}", quoted(found)) };
                let before = self.text.get(..span.start).unwrap_or_default().trim_end_matches([' ', '\t']);
                // The parser takes the absent value for a string without quotes.
                let message = if found.is_empty() && before.ends_with('=') { "missing value" } else { error.message() };
                (self.locate(span.start), format!("syntax error: {message}{shown}"))
            })
            .collect();
        places.sort_by_key(|(at, _)| (at.line, at.column));
        places.dedup_by_key(|(at, _)| at.line);
        for (at, message) in places {
            report.add(Some(&at), message, None);
        }
    }

    /// Everything in it.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The place of the byte at `offset`; one beyond the end is the end.
    pub(crate) fn locate(&self, offset: usize) -> Location {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Location { file: Arc::clone(&self.file), line, column: before.chars().count() + 1 }
    }

    /// `path` as this file means it: relative to its own directory.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(Path::new("a/wharf.toml").into(), text.into(), &Report::default())
    }

    #[track_caller]
    fn check_place(text: &str, offset: usize, expected: &str) {
        assert_eq!(document(text).locate(offset).to_string(), format!("a/wharf.toml:{expected}"));
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        check_place("", 0, "1:1");
        check_place("", 99, "1:1");
        check_place("a = 1\nb = 2\n", 5, "1:6");
        check_place("a = 1\nb = 2\n", 6, "2:1");
        check_place("a = 1\nb = 2\n", 12, "3:1");
        check_place("a = 1\r\nb = 2\r\n", 11, "2:5");
    }

    #[test]
    fn a_character_of_several_bytes_is_one_column() {
        check_place("ä = 'ö' # ü", 8, "1:7");
        check_place("ä = 1", 1, "1:1");
        check_place("\u{feff}a = 1", 4, "1:5");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        assert_eq!(document("").resolve("b.wasm"), Path::new("a/b.wasm"));
        assert_eq!(document("").resolve("/b.wasm"), Path::new("/b.wasm"));
    }
}
