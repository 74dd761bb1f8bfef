//! The `storage` grant: what kinds of storage a plugin has, and how much of it.
//!
//! Read from `[site.plugin.grants.storage]` of `wharf.toml`. Pure. A power (`allow`) links an interface. Nothing narrows it further: a space has one owner.

use super::super::call::Denied;
use super::super::powers::{self, Powers};
use crate::settings::section::Section;

/// One word of `allow`: it links one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    Sql,
    Keyvalue,
    Blobs,
    Sealed,
}

impl powers::Power for Power {
    const ROOM: &'static str = "storage";
    const WORDS: &'static [(&'static str, Power)] =
        &[("sql", Power::Sql), ("keyvalue", Power::Keyvalue), ("blobs", Power::Blobs), ("sealed", Power::Sealed)];
}

/// Room for a million rows of a catalogue; one that a plugin fills by mistake harms nobody.
const QUOTA_MIB: u64 = 256;

/// Room for some archives.
const BLOBS_QUOTA_MIB: u64 = 1_024;

/// What the operator allows one plugin to keep. The default is nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StorageGrant {
    powers: Powers<Power>,
    /// Of tables and values together.
    quota_mib: u64,
    blobs_quota_mib: u64,
}

impl Default for StorageGrant {
    fn default() -> StorageGrant {
        StorageGrant { powers: Powers::default(), quota_mib: QUOTA_MIB, blobs_quota_mib: BLOBS_QUOTA_MIB }
    }
}

impl StorageGrant {
    /// Reads `[site.plugin.grants.storage]`. What is wrong is reported to the section; the answer is then not to be used.
    pub(crate) fn read(section: &mut Section<'_>) -> StorageGrant {
        let powers = Powers::read(section);
        let quota_mib = section.integer("quota_mib", 1..=1_048_576).unwrap_or(QUOTA_MIB);
        let blobs_quota_mib = section.integer("blobs_quota_mib", 1..=1_073_741_824).unwrap_or(BLOBS_QUOTA_MIB);
        StorageGrant { powers, quota_mib, blobs_quota_mib }
    }

    /// Whether `power` was granted.
    pub(crate) fn has(&self, power: &str) -> bool {
        self.powers.has(power)
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
        self.powers.check(power)
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
