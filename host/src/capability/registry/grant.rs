//! The `registry` grant: what a plugin may ask registries, and of which repositories.
//!
//! Read from `[site.plugin.grants.registry]` of `wharf.toml`. Pure: nothing here asks a registry. A power (`allow`) links an interface; `repositories` narrows it, by patterns on the full name
//! (`docker.io/library/*`); without it every repository is covered that the host can reach. What a search finds is narrowed by it too; a catalogue is not, since the operator has put it together. A check answers a proof value, and the backend takes nothing else.

use super::super::call::Denied;
use super::super::powers::{self, Powers};
use crate::backend::pattern::Pattern;
use crate::backend::reference::ImageReference;
use crate::settings::location::Located;
use crate::settings::section::Section;

/// One word of `allow`: it links one interface. All but the last only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    Digests,
    Manifests,
    Tags,
    Hub,
    Catalog,
    CatalogDownload,
}

impl powers::Power for Power {
    const ROOM: &'static str = "registry";
    const WORDS: &'static [(&'static str, Power)] = &[
        ("digests.read", Power::Digests),
        ("manifests.read", Power::Manifests),
        ("tags.read", Power::Tags),
        ("hub.read", Power::Hub),
        ("catalog.read", Power::Catalog),
        ("catalog.download", Power::CatalogDownload),
    ];
}

/// What the operator allows one plugin with registries. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RegistryGrant {
    powers: Powers<Power>,
    /// None covers every repository.
    repositories: Option<Vec<Pattern>>,
}

/// A reference whose repository the grant covered when [`RegistryGrant::readable`] looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadableImage(ImageReference);

impl ReadableImage {
    pub(super) fn reference(&self) -> &ImageReference {
        &self.0
    }
}

impl RegistryGrant {
    /// Reads `[site.plugin.grants.registry]`. What is wrong is reported to the section; the answer is then not to be used.
    pub(crate) fn read(section: &mut Section<'_>) -> RegistryGrant {
        let powers = Powers::read(section);
        let repositories = section.strings("repositories");
        let repositories = repositories.map(|patterns| patterns.iter().map(|pattern| read_pattern(section, pattern)).collect());
        RegistryGrant { powers, repositories }
    }

    /// Whether `power` was granted.
    pub(crate) fn has(&self, power: &str) -> bool {
        self.powers.has(power)
    }

    /// Checks that `power` was granted.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(super) fn power(&self, power: Power) -> Result<(), Denied> {
        self.powers.check(power)
    }

    /// Checks that the repository of `reference` is covered.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(super) fn readable(&self, reference: ImageReference) -> Result<ReadableImage, Denied> {
        if self.covers(&reference) {
            return Ok(ReadableImage(reference));
        }
        let repository = reference.repository();
        let remedy = format!("grants.registry.repositories = [\"{repository}\"]");
        Err(Denied { action: "read", object: format!("repository {repository}"), remedy })
    }

    /// Whether the repository `name` may be heard of, as people write it without a tag. One that a search found and that is not covered was not asked for: it is left out, and no refusal.
    pub(super) fn shows(&self, name: &str) -> bool {
        ImageReference::parse(&format!("{name}:latest")).is_ok_and(|reference| self.covers(&reference))
    }

    fn covers(&self, reference: &ImageReference) -> bool {
        let repository = reference.repository();
        self.repositories.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.covers(&repository)))
    }
}

fn read_pattern(section: &Section<'_>, pattern: &Located<String>) -> Pattern {
    let text = &pattern.value;
    let registry = text.split('/').next().unwrap_or_default();
    let has_registry = text.contains('/') && (registry == "localhost" || registry.contains(['.', ':', '*']));
    let last = text.rsplit('/').next().unwrap_or_default();
    if !has_registry && text != "**" {
        let full = ImageReference::parse(&text.replace('*', "")).map(|reference| reference.repository());
        let remedy = full.ok().map(|full| format!("write `{full}` or the like"));
        section.mistake(&pattern.at, format!("the pattern `{text}` names no registry, so that it covers nothing"), remedy);
    } else if last.contains([':', '@']) {
        let remedy = Some("leave it out: a repository is covered with all of its tags".to_owned());
        section.mistake(&pattern.at, format!("the pattern `{text}` has a tag or a digest, so that it covers nothing"), remedy);
    }
    Pattern::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::section::read_for_test;

    #[track_caller]
    fn check_readable(patterns: &str, reference: &str, covered: bool) {
        let (grant, mistakes) = read_for_test(&format!("repositories = {patterns}"), RegistryGrant::read);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(grant.readable(ImageReference::parse(reference).unwrap()).is_ok(), covered, "{patterns} {reference}");
    }

    #[test]
    fn patterns_are_held_against_the_full_name_without_the_tag() {
        check_readable("[\"docker.io/library/*\"]", "redis:7", true);
        check_readable("[\"docker.io/library/redis\"]", "index.docker.io/redis:7", true);
        check_readable("[\"docker.io/library/*\"]", "grafana/grafana", false);
        check_readable("[\"localhost:5000/**\"]", "localhost:5000/a/b:1", true);
        check_readable("[\"localhost:5000/**\"]", "localhost:5001/a/b:1", false);
        check_readable("[\"**\"]", "ghcr.io/a/b", true);
        check_readable("[]", "redis", false);
    }

    #[track_caller]
    fn check_mistakes(text: &str, expected: &[&str]) {
        assert_eq!(read_for_test(text, RegistryGrant::read).1, expected);
    }

    #[test]
    fn words_and_patterns_that_mean_nothing_are_reported() {
        check_mistakes(
            "allow = [\"digest.read\"]\nrepositories = [\"redis\", \"docker.io/library/redis:7\"]",
            &[
                "wharf.toml:1:10: there is no power `digest.read`\n    help: did you mean `digests.read`?",
                "wharf.toml:2:17: the pattern `redis` names no registry, so that it covers nothing\n    help: write `docker.io/library/redis` or the like",
                "wharf.toml:2:26: the pattern `docker.io/library/redis:7` has a tag or a digest, so that it covers nothing\n    help: leave it out: a repository is covered with all of its tags",
            ],
        );
    }

    #[test]
    fn nothing_is_granted_without_a_word_for_it() {
        let grant = RegistryGrant::default();
        assert!(!grant.has("digests.read") && grant.power(Power::Digests).is_err());
    }
}
