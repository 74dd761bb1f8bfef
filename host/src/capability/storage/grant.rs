//! The `storage` grant: what kinds of storage a plugin has, and how much of it.
//!
//! Read from `[site.plugin.grants.storage]` of `wharf.toml`. Pure. A power (`allow`) links an interface. Nothing narrows it further: a space has one owner.

use std::collections::BTreeSet;

use super::super::call::Denied;
use crate::settings::report::instead_of;
use crate::settings::section::Section;

/// One word of `allow`: it links one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    Sql,
    Keyvalue,
    Blobs,
    Sealed,
}

impl Power {
    /// Every power by its word, in the order of the WIT.
    const WORDS: &'static [(&'static str, Power)] =
        &[("sql", Power::Sql), ("keyvalue", Power::Keyvalue), ("blobs", Power::Blobs), ("sealed", Power::Sealed)];

    /// The word in the configuration.
    fn word(self) -> &'static str {
        Power::WORDS.iter().find(|(_, power)| *power == self).map_or("", |(word, _)| word)
    }
}

/// Room for a million rows of a catalogue; one that a plugin fills by mistake harms nobody.
const QUOTA_MIB: u64 = 256;

/// Room for some archives.
const BLOBS_QUOTA_MIB: u64 = 1_024;

/// What the operator allows one plugin to keep. The default is nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StorageGrant {
    powers: BTreeSet<Power>,
    /// Of tables and values together.
    quota_mib: u64,
    blobs_quota_mib: u64,
}

impl Default for StorageGrant {
    fn default() -> StorageGrant {
        StorageGrant { powers: BTreeSet::new(), quota_mib: QUOTA_MIB, blobs_quota_mib: BLOBS_QUOTA_MIB }
    }
}

impl StorageGrant {
    /// Reads `[site.plugin.grants.storage]`. What is wrong is reported to the section; the answer is then not to be used.
    pub(crate) fn read(section: &mut Section<'_>) -> StorageGrant {
        let mut powers = BTreeSet::new();
        for word in section.strings("allow").unwrap_or_default() {
            match Power::WORDS.iter().find(|(known, _)| *known == word.value) {
                Some((_, power)) => {
                    powers.insert(*power);
                }
                None => {
                    let remedy = instead_of(&word.value, "powers", Power::WORDS.iter().map(|(known, _)| *known));
                    section.mistake(&word.at, format!("there is no power `{}`", word.value), Some(remedy));
                }
            }
        }
        let quota_mib = section.integer("quota_mib", 1..=1_048_576).unwrap_or(QUOTA_MIB);
        let blobs_quota_mib = section.integer("blobs_quota_mib", 1..=1_073_741_824).unwrap_or(BLOBS_QUOTA_MIB);
        StorageGrant { powers, quota_mib, blobs_quota_mib }
    }

    /// Whether `power` was granted.
    pub(crate) fn has(&self, power: &str) -> bool {
        self.powers.iter().any(|granted| granted.word() == power)
    }

    /// How much tables and values may take.
    pub(crate) fn quota_bytes(&self) -> u64 {
        self.quota_mib << 20
    }

    /// How much blobs may take.
    pub(crate) fn blobs_quota_bytes(&self) -> u64 {
        self.blobs_quota_mib << 20
    }

    /// Checks that `power` was granted.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(super) fn power(&self, power: Power) -> Result<(), Denied> {
        if self.powers.contains(&power) {
            return Ok(());
        }
        let word = power.word();
        Err(Denied { action: "use", object: format!("power {word}"), remedy: format!("grants.storage.allow = [\"{word}\"]") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::section::read_for_test;

    #[test]
    fn words_and_quotas_that_mean_nothing_are_reported() {
        let mistakes = read_for_test("allow = [\"sqll\"]\nquota_mib = 0", StorageGrant::read).1;
        let expected = [
            "wharf.toml:1:10: there is no power `sqll`\n    help: did you mean `sql`?",
            "wharf.toml:2:13: `quota_mib`: `0` is out of range\n    help: it may be from 1 to 1048576",
        ];
        assert_eq!(mistakes, expected);
    }

    #[test]
    fn nothing_is_granted_without_a_word_for_it() {
        let (grant, _) = read_for_test("allow = [\"sql\"]", StorageGrant::read);
        assert!(grant.has("sql") && grant.power(Power::Sql).is_ok());
        assert!(!grant.has("keyvalue") && grant.power(Power::Keyvalue).is_err());
        assert!(!StorageGrant::default().has("sql"));
    }
}
