//! A table of a configuration file while it is being read.
//!
//! Whoever reads a table asks for its keys, one after the other, and thereby says which keys there are; what was not asked for is reported when
//! the section ends. It ends with [`Section::finish`] or by being dropped, which is the same, so that nobody can forget it: ask for every key before
//! an early return, or the rest counts as unknown. A value of the wrong type is reported and answered like an absent one. Reading goes on after
//! mistakes, and what was read with one is never used.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::document::Document;
use super::location::{Located, Location};
use super::report::{Report, instead_of, listed, nearest, quoted};
use super::tree::{Entry, Node, Table, Value};

/// A table that is being read.
pub(crate) struct Section<'a> {
    document: &'a Document,
    report: &'a Report,
    table: &'a Table,
    /// The offset at which the table begins.
    start: usize,
    /// Its name with those of the tables around it, `site.plugin`; empty at the top level.
    path: String,
    /// Whether it is one of a list of tables, `[[site]]`.
    repeated: bool,
    /// The keys that were asked for.
    known: Vec<String>,
    /// Whether other keys are mistakes.
    closed: bool,
}

impl<'a> Section<'a> {
    /// The top level of `document`.
    pub(crate) fn root(document: &'a Document, report: &'a Report) -> Section<'a> {
        let table = document.table();
        Section { document, report, table, start: 0, path: String::new(), repeated: false, known: Vec::new(), closed: true }
    }

    /// The string at `key`; it may be empty.
    pub(crate) fn string(&mut self, key: &str) -> Option<Located<String>> {
        let node = self.node(key)?;
        self.string_of(key, node)
    }

    /// The string at `key`, which must be there; `example` is a line that would do.
    pub(crate) fn required_string(&mut self, key: &str, example: &str) -> Option<Located<String>> {
        if !self.has(key) {
            self.mistake(
                &self.at(),
                format!("missing {} {}", quoted(key), self.place()),
                Some(format!("add {}, for example", quoted(example))),
            );
        }
        self.string(key)
    }

    /// The list of strings at `key`; the strings of a list that also has other values are not answered.
    pub(crate) fn strings(&mut self, key: &str) -> Option<Vec<Located<String>>> {
        let node = self.node(key)?;
        let Value::List(items) = &node.value else {
            self.wrong_type(key, "a list of strings", node);
            return None;
        };
        let strings: Vec<_> = items.iter().map(|item| self.string_of(key, item)).collect();
        strings.into_iter().collect()
    }

    /// The integer at `key`, one of `range`.
    pub(crate) fn integer(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.node(key)?;
        let Value::Integer(integer) = &node.value else {
            self.wrong_type(key, "an integer", node);
            return None;
        };
        let number = integer.number.and_then(|number| u64::try_from(number).ok()).filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("{}: {} is out of range", quoted(key), quoted(&integer.written));
            self.mistake(&self.locate(node), message, Some(format!("it may be from {} to {}", range.start(), range.end())));
        }
        number
    }

    /// The boolean at `key`.
    pub(crate) fn flag(&mut self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        match &node.value {
            Value::Boolean(flag) => Some(*flag),
            _ => {
                self.wrong_type(key, "`true` or `false`", node);
                None
            }
        }
    }

    /// What the word at `key` stands for; `words` are the words that it may be.
    pub(crate) fn choice<T: Copy>(&mut self, key: &str, words: &[(&'static str, T)]) -> Option<T> {
        let word = self.string(key)?;
        let meaning = words.iter().find(|(known, _)| *known == word.value).map(|(_, meaning)| *meaning);
        if meaning.is_none() {
            let message = format!("unknown word {} for {}", quoted(&word.value), quoted(key));
            self.mistake(&word.at, message, Some(instead_of(&word.value, "words", words.iter().map(|(known, _)| *known))));
        }
        meaning
    }

    /// The table at `key`.
    pub(crate) fn section(&mut self, key: &str) -> Option<Section<'a>> {
        let node = self.node(key)?;
        let section = self.below(key, node, false);
        if section.is_none() {
            let remedy = is_table_list(node).then(|| format!("there can be only one: write `[{}]`", self.path_of(key)));
            self.wrong_type_with(key, "a table", node, remedy);
        }
        section
    }

    /// The tables of the list at `key`; none when it is absent.
    pub(crate) fn sections(&mut self, key: &str) -> Vec<Section<'a>> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            let remedy = matches!(&node.value, Value::Table(_)).then(|| format!("there can be several: write `[[{}]]`", self.path_of(key)));
            self.wrong_type_with(key, "a list of tables", node, remedy);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            match self.below(key, item, true) {
                Some(section) => sections.push(section),
                None => self.wrong_type(key, "a table", item),
            }
        }
        sections
    }

    /// The tables at all keys, for a table whose keys are names: `[engine.NAME]`. In the order of the file.
    pub(crate) fn named_sections(&mut self) -> Vec<(Located<String>, Section<'a>)> {
        let mut named = Vec::new();
        for Entry { key, node, .. } in self.entries() {
            match self.below(key, node, false) {
                Some(section) => named.push((Located { value: key.to_owned(), at: section.at() }, section)),
                None => self.wrong_type(key, "a table", node),
            }
        }
        named
    }

    /// All keys and values, for a table that may have any. In the order of the file.
    pub(crate) fn entries(&mut self) -> &'a [Entry] {
        self.closed = false;
        &self.table.entries
    }

    /// Whether `key` is there, of whatever type.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// The value at `key`, of whatever type.
    pub(crate) fn node(&mut self, key: &str) -> Option<&'a Node> {
        self.skip(key);
        self.table.get(key)
    }

    /// Says that `key` is known, though it is read elsewhere.
    pub(crate) fn skip(&mut self, key: &str) {
        if !self.known.iter().any(|known| known == key) {
            self.known.push(key.to_owned());
        }
    }

    /// Where the table begins.
    pub(crate) fn at(&self) -> Location {
        self.document.locate(self.start)
    }

    /// Where `node` begins.
    pub(crate) fn locate(&self, node: &Node) -> Location {
        self.document.locate(node.start)
    }

    /// `path` relative to the file that the table stands in.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.document.resolve(path)
    }

    /// Where the table is, in the words of a message: ``in `[server]` ``.
    pub(crate) fn place(&self) -> String {
        if self.path.is_empty() { "at the top level".to_owned() } else { format!("in {}", self.title()) }
    }

    /// The table as it is written, in backticks: `[server]`.
    pub(crate) fn title(&self) -> String {
        if self.repeated { format!("`[[{}]]`", self.path) } else { format!("`[{}]`", self.path) }
    }

    /// Reports a mistake at `at`; `remedy` is what to write instead.
    pub(crate) fn mistake(&self, at: &Location, message: impl Into<String>, remedy: Option<String>) {
        self.report.add(Some(at), message, remedy);
    }

    /// Reports that `node`, at `key`, is not `expected`.
    pub(crate) fn wrong_type(&self, key: &str, expected: &str, node: &Node) {
        self.wrong_type_with(key, expected, node, None);
    }

    /// Ends the reading and reports the keys that nobody asked for. Dropping does the same.
    pub(crate) fn finish(self) {}

    /// Ends the reading of a table that will be read again, without a word on the other keys.
    pub(crate) fn set_aside(mut self) {
        self.closed = false;
    }

    fn string_of(&self, key: &str, node: &Node) -> Option<Located<String>> {
        let Value::String(string) = &node.value else {
            self.wrong_type(key, "a string", node);
            return None;
        };
        Some(Located { value: string.to_string(), at: self.locate(node) })
    }

    fn wrong_type_with(&self, key: &str, expected: &str, node: &Node, remedy: Option<String>) {
        let message = format!("{}: expected {expected}, found {}", quoted(key), node.value.kind());
        self.mistake(&self.locate(node), message, remedy);
    }

    fn below(&self, key: &str, node: &'a Node, repeated: bool) -> Option<Section<'a>> {
        let table = node.value.as_table()?;
        let (start, path) = (node.start, self.path_of(key));
        let Section { document, report, .. } = *self;
        Some(Section { document, report, table, start, path, repeated, known: Vec::new(), closed: true })
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if !self.closed {
            return;
        }
        for Entry { key: word, key_start, .. } in &self.table.entries {
            if self.known.iter().any(|known| known == word) {
                continue;
            }
            // A key that is there already cannot have been meant.
            let unused = self.known.iter().map(String::as_str).filter(|known| self.table.get(known).is_none());
            let remedy = match nearest(word, unused) {
                Some(meant) => format!("did you mean {}?", quoted(meant)),
                None if self.known.is_empty() => "there are no keys here".to_owned(),
                None => format!("known keys: {}", listed(self.known.iter().map(String::as_str))),
            };
            let at = self.document.locate(*key_start);
            self.mistake(&at, format!("unknown key {} {}", quoted(word), self.place()), Some(remedy));
        }
    }
}

fn is_table_list(node: &Node) -> bool {
    matches!(&node.value, Value::List(items) if !items.is_empty() && items.iter().all(|item| item.value.as_table().is_some()))
}

/// What `read` makes of `text`, and all mistakes as they are shown. `text` is the table's content, its file `wharf.toml`.
#[cfg(test)]
pub(crate) fn read_for_test<T>(text: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> (T, Vec<String>) {
    let file: std::sync::Arc<std::path::Path> = std::path::Path::new("wharf.toml").into();
    let report = Report::default();
    let document = Document::parse(std::sync::Arc::clone(&file), text.into(), &report);
    let mut section = Section::root(&document, &report);
    let value = read(&mut section);
    section.finish();
    (value, report.into_mistakes(&[file]).iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T>(text: &str, read: impl FnOnce(&mut Section<'_>) -> T, expected: &[&str]) -> T {
        let (value, mistakes) = read_for_test(text, read);
        assert_eq!(mistakes, expected);
        value
    }

    #[test]
    fn a_section_that_nobody_finished_still_reports_its_unknown_keys() {
        let unknown = "wharf.toml:1:17: unknown key `y` in `[a]`\n    help: known keys: `x`";
        let x = |section: &mut Section<'_>| section.section("a").and_then(|mut a| a.flag("x"));
        assert_eq!(check("a = { x = true, y = 1 }", x, &[unknown]), Some(true));
        let none = "wharf.toml:1:7: unknown key `x` in `[a]`\n    help: there are no keys here";
        check("a = { x = 1 }", |section| section.section("a").map(Section::finish), &[none]);
    }

    #[test]
    fn a_section_that_is_set_aside_says_nothing() {
        check("a = { x = 1 }", |section| section.section("a").map(Section::set_aside), &[]);
    }

    #[test]
    fn a_section_knows_its_place_in_either_notation() {
        let place = |section: &mut Section<'_>| {
            section.sections("a").iter_mut().map(|a| a.section("b").unwrap().at().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(check("[[a]]\n  [a.b]\n[[a]]\nb = {}", place, &[]), ["wharf.toml:2:3", "wharf.toml:4:5"]);
        assert_eq!(
            check(
                "a = [{ b = {} }, { b.c = 1 }]",
                place,
                &["wharf.toml:1:22: unknown key `c` in `[a.b]`\n    help: there are no keys here"]
            ),
            ["wharf.toml:1:12", "wharf.toml:1:20"]
        );
    }

    #[test]
    fn a_list_with_a_wrong_value_is_not_answered() {
        let wrong =
            ["wharf.toml:1:11: `a`: expected a string, found an integer", "wharf.toml:1:14: `a`: expected a string, found a boolean"];
        assert_eq!(check("a = [\"x\", 1, true]", |section| section.strings("a"), &wrong), None);
        assert_eq!(check("a = []", |section| section.strings("a"), &[]), Some(Vec::new()));
        assert_eq!(check("", |section| section.strings("a"), &[]), None);
    }

    #[test]
    fn a_long_value_is_cut_in_messages() {
        let text = format!("a = \"{}\"", "é".repeat(500));
        let cut = format!("wharf.toml:1:5: unknown word `{}…` for `a`\n    help: known words: `b`, `c`", "é".repeat(80));
        assert_eq!(check(&text, |section| section.choice("a", &[("b", 1), ("c", 2)]), &[cut.as_str()]), None);
    }
}
