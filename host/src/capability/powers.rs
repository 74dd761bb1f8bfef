//! Powers: the words of `allow` in `[site.plugin.grants.ROOM]`, each of which links an interface.
//!
//! Every room has words of its own, as an enum that implements [`Power`]; how they are read and asked for is the same in all.

use std::collections::BTreeSet;

use super::call::Denied;
use crate::settings::report::instead_of;
use crate::settings::section::Section;

/// A word of a room's `allow`.
pub(crate) trait Power: Copy + Ord + 'static {
    /// The room, as the configuration names it.
    const ROOM: &'static str;
    /// Every power by its word, in the order of the WIT.
    const WORDS: &'static [(&'static str, Self)];

    /// The word in the configuration.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, power)| *power == self).map_or("", |(word, _)| word)
    }
}

/// The powers that a grant has. The default is none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Powers<P>(BTreeSet<P>);

impl<P> Default for Powers<P> {
    fn default() -> Powers<P> {
        Powers(BTreeSet::new())
    }
}

impl<P: Power> Powers<P> {
    /// Reads `allow`. A word that there is not is reported to the section.
    pub(crate) fn read(section: &mut Section<'_>) -> Powers<P> {
        let mut powers = BTreeSet::new();
        for word in section.strings("allow").unwrap_or_default() {
            match P::WORDS.iter().find(|(known, _)| *known == word.value) {
                Some((_, power)) => {
                    powers.insert(*power);
                }
                None => {
                    let remedy = instead_of(&word.value, "powers", P::WORDS.iter().map(|(known, _)| *known));
                    section.mistake(&word.at, format!("there is no power `{}`", word.value), Some(remedy));
                }
            }
        }
        Powers(powers)
    }

    /// Whether the power of this word was granted.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|granted| granted.word() == word)
    }

    /// Whether `power` was granted.
    pub(crate) fn contains(&self, power: P) -> bool {
        self.0.contains(&power)
    }

    /// Checks that `power` was granted.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(crate) fn check(&self, power: P) -> Result<(), Denied> {
        if self.contains(power) { Ok(()) } else { Err(Self::missing(power)) }
    }

    /// The refusal of somebody who does not have `power`.
    pub(crate) fn missing(power: P) -> Denied {
        let word = power.word();
        Denied { action: "use", object: format!("power {word}"), remedy: format!("grants.{}.allow = [\"{word}\"]", P::ROOM) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::section::read_for_test;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Tool {
        Hammer,
        Saw,
    }

    impl Power for Tool {
        const ROOM: &'static str = "tools";
        const WORDS: &'static [(&'static str, Tool)] = &[("hammer", Tool::Hammer), ("saw", Tool::Saw)];
    }

    #[test]
    fn what_is_in_the_list_is_there_and_nothing_else() {
        let (powers, mistakes) = read_for_test("allow = [\"saw\", \"saw\"]", Powers::<Tool>::read);
        assert!(mistakes.is_empty() && powers.has("saw") && powers.contains(Tool::Saw));
        assert!(!powers.has("hammer") && !powers.has("") && powers.check(Tool::Saw).is_ok());
        let refusal = Denied { action: "use", object: "power hammer".to_owned(), remedy: "grants.tools.allow = [\"hammer\"]".to_owned() };
        assert_eq!(powers.check(Tool::Hammer), Err(refusal));
        assert_eq!(read_for_test("", Powers::<Tool>::read).0, Powers::default());
    }

    #[test]
    fn a_word_that_there_is_not_is_reported_where_it_stands() {
        let mistakes = read_for_test("allow = [\"saw\", \"hamer\"]", Powers::<Tool>::read).1;
        assert_eq!(mistakes, ["wharf.toml:1:17: there is no power `hamer`\n    help: did you mean `hammer`?"]);
    }
}
