//! The names by which plugins speak of containers and images, by the engine's grammar.
//!
//! A text that can be no name is refused here and never reaches the engine. Image references are put into their full form, which is in `backend/reference.rs`: an engine takes a bare
//! word of hexadecimal digits for the prefix of an image's id when no image has that name; with a tag behind it, it cannot.

use std::fmt;

use crate::backend::engine::ContainerId;
pub(super) use crate::backend::reference::{ImageReference, is_generated};
use crate::backend::reference::{SHA256_DIGITS, image_id, is_hex};

/// The longest container name that is looked up. Engines have no limit; a host name, which it may become, has this one.
const MAX_NAME_BYTES: usize = 255;

/// A container's name, its id, or a prefix of its id. Which of these, only the engine can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerName(String);

impl ContainerName {
    /// Reads a name or id, with or without the engine's leading slash.
    ///
    /// # Errors
    ///
    /// What is wrong with it, naming it.
    pub(super) fn parse(text: &str) -> Result<ContainerName, String> {
        let name = text.strip_prefix('/').unwrap_or(text);
        if is_name(name) || is_hex(name) { Ok(ContainerName(name.to_owned())) } else { Err(format!("`{text}` is no container name or id")) }
    }

    /// The full id of a container.
    pub(super) fn of(id: &ContainerId) -> ContainerName {
        ContainerName(id.as_str().to_owned())
    }

    /// The name of a container that was to be made.
    pub(super) fn of_new(name: &NewContainerName) -> ContainerName {
        ContainerName(name.0.clone())
    }

    /// The name, without a slash.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the engine may take it for a prefix of several ids.
    pub(super) fn may_be_prefix(&self) -> bool {
        self.0.len() < SHA256_DIGITS && is_hex(&self.0)
    }

    /// Whether the engine may take it for an id or a prefix of one.
    pub(super) fn may_be_id(&self) -> bool {
        self.0.len() <= SHA256_DIGITS && is_hex(&self.0)
    }
}

/// The name that a new container is to have: two characters or more, without a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewContainerName(String);

impl NewContainerName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// What is wrong with it, naming it.
    pub(super) fn parse(text: &str) -> Result<NewContainerName, String> {
        if is_name(text) {
            return Ok(NewContainerName(text.to_owned()));
        }
        Err(format!("`{text}` is no name for a container: letters, digits, `_`, `.` and `-`, two or more, the first a letter or a digit"))
    }

    /// The name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is a name for containers and volumes: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && (2..=MAX_NAME_BYTES).contains(&text.len())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// An image as a plugin names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImageName {
    /// By the name that registries know.
    Reference(ImageReference),
    /// By id or a prefix of it: `sha256:` and hexadecimal digits, or 64 of these alone. Kept with `sha256:`.
    Id(String),
}

impl ImageName {
    /// Reads `repository[:tag][@digest]` or an id.
    ///
    /// # Errors
    ///
    /// What is wrong with it, naming it.
    pub(super) fn parse(text: &str) -> Result<ImageName, String> {
        match image_id(text) {
            Some(id) => Ok(ImageName::Id(id)),
            None => ImageReference::parse(text).map(ImageName::Reference),
        }
    }

    /// What the engine is asked for.
    pub(super) fn for_engine(&self) -> String {
        match self {
            ImageName::Reference(reference) => reference.familiar(),
            ImageName::Id(id) => id.clone(),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageName::Reference(reference) => reference.fmt(formatter),
            ImageName::Id(id) => formatter.write_str(id),
        }
    }
}

/// The full id of an image: `sha256:` and 64 hexadecimal digits. Not proof that it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageId(String);

impl ImageId {
    /// `text`, if it is a full id.
    pub(super) fn parse(text: &str) -> Option<ImageId> {
        let digits = text.strip_prefix("sha256:")?;
        is_generated(digits).then(|| ImageId(text.to_owned()))
    }

    /// The id as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_for_a_reference_is_never_taken_for_an_id() {
        for (text, sent) in [
            ("docker.io/library/sha256:beef", "docker.io/library/sha256:beef"),
            ("docker.io/library/redis:7", "redis:7"),
            ("docker.io/library/a/b", "docker.io/library/a/b:latest"),
            ("beef", "beef:latest"),
        ] {
            let Ok(ImageName::Reference(reference)) = ImageName::parse(text) else { panic!("{text} is no reference") };
            assert_eq!(reference.familiar(), sent);
        }
    }

    #[test]
    fn an_image_may_be_named_by_id() {
        let digits = "b".repeat(64);
        assert_eq!(ImageName::parse(&digits), Ok(ImageName::Id(format!("sha256:{digits}"))));
        assert_eq!(ImageName::parse("sha256:bb"), Ok(ImageName::Id("sha256:bb".to_owned())));
        assert!(matches!(ImageName::parse("bbbb"), Ok(ImageName::Reference(_))));
        assert!(ImageName::parse(&format!("sha256:{digits}0")).is_ok_and(|name| matches!(name, ImageName::Reference(_))));
    }

    #[test]
    fn a_container_is_named_by_the_grammar_of_the_engine() {
        for good in ["web-1", "/web", "a", "0f", "A_b.c-d"] {
            assert!(ContainerName::parse(good).is_ok(), "`{good}`");
        }
        for bad in ["", "/", "//web", "x", "-web", "we b", "web/1", "..", "../../info", "web?x", "web#", "wéb", "web\n", "web%2F"] {
            assert!(ContainerName::parse(bad).is_err(), "`{bad}`");
        }
        assert!(ContainerName::parse("0f3").unwrap().may_be_id());
        assert!(!ContainerName::parse("0F3").unwrap().may_be_id());
        assert!(NewContainerName::parse("a").is_err());
        assert!(NewContainerName::parse("/web").is_err());
    }
}
