//! The name of an image: `[repository/]name[:tag]`, as the engine's own grammar has it.
//!
//! It is checked here and not left to the host, so that a name that is none is refused before anything is looked up or made, `skip_build` or not.

use std::fmt;

/// The longest name that an engine takes, without its tag.
const MAX_NAME: usize = 255;
/// The longest tag.
const MAX_TAG: usize = 128;

/// A name that was taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageName {
    /// What stands before the last slash, a registry included.
    pub(crate) repository: Option<String>,
    pub(crate) name: String,
    pub(crate) tag: String,
}

impl fmt::Display for ImageName {
    /// As the engine takes it, always with its tag.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(repository) = &self.repository {
            write!(formatter, "{repository}/")?;
        }
        write!(formatter, "{}:{}", self.name, self.tag)
    }
}

impl ImageName {
    /// Takes `text` apart; without a tag it is `latest`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<ImageName, String> {
        if text.contains('@') {
            return Err("a digest cannot be chosen".to_owned());
        }
        let (path, last) = text.rsplit_once('/').map_or((None, text), |(path, last)| (Some(path), last));
        let (name, tag) = last.split_once(':').map_or((last, "latest"), |(name, tag)| (name, tag));
        check_tag(tag)?;
        let parts: Vec<&str> = path.into_iter().flat_map(|path| path.split('/')).chain([name]).collect();
        let has_registry = parts.len() > 1 && parts.first().is_some_and(|first| is_registry(first));
        let checked = if has_registry { parts.get(1..) } else { parts.get(..) };
        for part in checked.unwrap_or_default() {
            check_part(part)?;
        }
        if has_registry {
            parts.first().map_or(Ok(()), |registry| check_registry(registry))?;
        } else if parts.len() == 1 && name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("`{name}` is an id and no name"));
        }
        let length = path.map_or(0, |path| path.len() + 1) + name.len();
        if length > MAX_NAME {
            return Err(format!("a name of {length} bytes, at most {MAX_NAME}"));
        }
        Ok(ImageName { repository: path.map(str::to_owned), name: name.to_owned(), tag: tag.to_owned() })
    }
}

/// Whether the engine takes the first of several parts for a registry.
fn is_registry(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port)));
    let port_fits = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    let label_fits = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    if port_fits && host.split('.').all(label_fits) { Ok(()) } else { Err(format!("`{registry}` is no registry")) }
}

fn check_tag(tag: &str) -> Result<(), String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let fits = (1..=MAX_TAG).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    if fits { Ok(()) } else { Err(format!("`{tag}` is no tag")) }
}

/// Lower case letters and digits, between which there may be one dot, one or two underscores, or any number of dashes.
fn check_part(part: &str) -> Result<(), String> {
    let is_word = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let separators = part.split(is_word).filter(|separator| !separator.is_empty());
    let separators_fit =
        separators.into_iter().all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'));
    if part.starts_with(is_word) && part.ends_with(is_word) && separators_fit {
        return Ok(());
    }
    Err(format!("`{part}` is no part of an image's name: lower case letters and digits, and between them `.`, `_`, `__` or `-`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, repository: Option<&str>, name: &str, tag: &str, written: &str) {
        let parsed = ImageName::parse(text).unwrap();
        assert_eq!((parsed.repository.as_deref(), parsed.name.as_str(), parsed.tag.as_str()), (repository, name, tag));
        assert_eq!(parsed.to_string(), written);
    }

    #[test]
    fn a_name_is_taken_apart_at_its_last_slash() {
        check("image_name", None, "image_name", "latest", "image_name:latest");
        check("image_name:latest", None, "image_name", "latest", "image_name:latest");
        check("task_one/image_name", Some("task_one"), "image_name", "latest", "task_one/image_name:latest");
        check("localhost:5000/a/b__c--d.e:V1.0-x_", Some("localhost:5000/a"), "b__c--d.e", "V1.0-x_", "localhost:5000/a/b__c--d.e:V1.0-x_");
        check("Registry.Local/a", Some("Registry.Local"), "a", "latest", "Registry.Local/a:latest");
    }

    #[test]
    fn what_the_engine_would_not_take_is_no_name() {
        let long = "a".repeat(256);
        let tag = format!("a:{}", "t".repeat(129));
        let id = "0123456789abcdef".repeat(4);
        let refused = [
            "",
            "/",
            ":",
            "a:",
            ":a",
            "a/",
            "/a",
            "a//b",
            "A",
            "a b",
            "a\n",
            "a_b_",
            "-a",
            "a..b",
            "a___b",
            "a._b",
            "ä",
            "a@sha256:00",
            "a:b:c",
            "a:-b",
            "a:b/c:d",
            "../x",
            "a/../b",
            "local_host.x/a",
            "localhost:/a",
            "localhost:x/a",
            "-a.b/c",
            "a..b/c",
            "a;b",
            "$(a)",
            long.as_str(),
            tag.as_str(),
            id.as_str(),
        ];
        for text in refused {
            assert!(ImageName::parse(text).is_err(), "{text:?}");
        }
        assert!(ImageName::parse(&"a".repeat(255)).is_ok());
        assert!(ImageName::parse(&format!("a/{id}")).is_ok());
    }
}
