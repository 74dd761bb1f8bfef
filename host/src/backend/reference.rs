//! The names of images, by the grammar of the `distribution` project.
//!
//! A reference is put into its full form (`redis` is `docker.io/library/redis:latest`), because grants are written in that form and registries are asked by it. The crates that parse
//! references bring an HTTP client or a derive framework along; the grammar is a page.

use std::fmt;

/// The longest repository name, as `distribution` has it.
const MAX_REPOSITORY_BYTES: usize = 255;
const MAX_TAG_BYTES: usize = 128;
/// How many digits a sha256 has.
pub(crate) const SHA256_DIGITS: usize = 64;

/// Whether `text` consists of lower-case hexadecimal digits, one or more.
pub(crate) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `text` has the form of the names that the engine gives to volumes without a name.
pub(crate) fn is_generated(text: &str) -> bool {
    text.len() == SHA256_DIGITS && is_hex(text)
}

/// The id that `text` is in the eyes of an engine, with `sha256:` before it: `sha256:` and hexadecimal digits, or 64 of these alone; none if it can only be a reference.
pub(crate) fn image_id(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_id = is_hex(digits) && digits.len() <= SHA256_DIGITS && (digits.len() < text.len() || digits.len() == SHA256_DIGITS);
    is_id.then(|| format!("sha256:{digits}"))
}

/// A reference in its full form: a registry, a repository, and a tag or a digest. Shown as `docker.io/library/redis:7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageReference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageReference {
    /// Reads a reference. Without tag and digest the tag is `latest`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, naming it.
    pub(crate) fn parse(text: &str) -> Result<ImageReference, String> {
        Self::read(text).ok_or_else(|| format!("`{text}` is no image reference"))
    }

    fn read(text: &str) -> Option<ImageReference> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon after the last slash begins a tag; one before it belongs to the registry's port.
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(last..)?.split_once(':') {
            Some((component, tag)) => (rest.get(..last + component.len())?, Some(tag)),
            None => (rest, None),
        };
        let (domain, path) = match name.split_once('/') {
            Some((first, path)) if is_domain_like(first) => (first, path.to_owned()),
            _ => ("docker.io", name.to_owned()),
        };
        let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
        let path = if domain == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };
        let sound = is_domain(domain)
            && path.split('/').all(is_path_component)
            && domain.len() + path.len() < MAX_REPOSITORY_BYTES
            && !is_generated(name)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest);
        let tag = match (tag, digest) {
            (None, None) => Some("latest"),
            (tag, _) => tag,
        };
        sound.then(|| ImageReference { domain: domain.to_owned(), path, tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }

    /// The registry's host, with a port if it has one: `docker.io`, `localhost:5000`.
    pub(crate) fn registry(&self) -> &str {
        &self.domain
    }

    /// The repository as its registry knows it: `library/redis`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The tag; none if there was only a digest.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The same repository, and `digest` in it, which must be one.
    pub(crate) fn at_digest(&self, digest: &str) -> ImageReference {
        ImageReference { domain: self.domain.clone(), path: self.path.clone(), tag: None, digest: Some(digest.to_owned()) }
    }

    /// Registry and repository: `docker.io/library/redis`.
    pub(crate) fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The digest, or else the tag: what decides which image it is.
    pub(crate) fn tag_or_digest(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// What patterns are held against: the full form, and without the tag when there is a digest, because the engine does not look at the tag then.
    pub(crate) fn decisive(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.repository()),
            None => self.to_string(),
        }
    }

    /// As people write it and as the engine shows it: `redis:7`. Always with a tag or a digest.
    pub(crate) fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").map(|rest| rest.strip_prefix("library/").unwrap_or(rest));
        // What is short must still name the same: `docker.io/library/a/b` is no official image, a first component that looks like a registry's name must not
        // become one, and `docker.io/library/sha256:beef` must not become the id of an image that nobody was asked about.
        let same = |short: &str| image_id(short).is_none() && ImageReference::parse(short).is_ok_and(|reference| reference == *self);
        match short {
            Some(short) if same(short) => short.to_owned(),
            _ => full,
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(formatter, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Whether a first component names a registry and not a part of a repository on Docker Hub.
fn is_domain_like(component: &str) -> bool {
    component == "localhost" || component.contains(['.', ':']) || component.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Whether `domain` can be a registry's host: a name or an address, and a port if there is one.
pub(crate) fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rfind(':') {
        Some(colon) if !domain.ends_with(']') => domain.split_at(colon),
        _ => (domain, ""),
    };
    let port_sound =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    let host_sound = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }),
    };
    host_sound && port_sound
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bounded = component.bytes().next().is_some_and(is_word) && component.bytes().last().is_some_and(is_word);
    bounded
        && component
            .split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MAX_TAG_BYTES
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether `digest` is one: `sha256:` or `sha512:` and as many hexadecimal digits as that has.
pub(crate) fn is_digest(digest: &str) -> bool {
    match digest.split_once(':') {
        Some(("sha256", digits)) => digits.len() == SHA256_DIGITS && is_hex(digits),
        Some(("sha512", digits)) => digits.len() == 2 * SHA256_DIGITS && is_hex(digits),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[track_caller]
    fn check_reference(text: &str, full: &str, familiar: &str) {
        let reference = ImageReference::parse(text).unwrap();
        assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (full, familiar));
    }

    #[test]
    fn a_reference_has_one_full_form() {
        check_reference("redis", "docker.io/library/redis:latest", "redis:latest");
        check_reference("redis:7", "docker.io/library/redis:7", "redis:7");
        check_reference("docker.io/redis:7", "docker.io/library/redis:7", "redis:7");
        check_reference("index.docker.io/library/redis", "docker.io/library/redis:latest", "redis:latest");
        check_reference("grafana/grafana:11.0.0", "docker.io/grafana/grafana:11.0.0", "grafana/grafana:11.0.0");
        check_reference("localhost/a", "localhost/a:latest", "localhost/a:latest");
        check_reference("localhost:5000/a/b__c:1", "localhost:5000/a/b__c:1", "localhost:5000/a/b__c:1");
        check_reference("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest");
        check_reference("ghcr.io/x/y---z", "ghcr.io/x/y---z:latest", "ghcr.io/x/y---z:latest");
        check_reference("docker.io/library/a/b:1", "docker.io/library/a/b:1", "docker.io/library/a/b:1");
        check_reference(&format!("redis@{DIGEST}"), &format!("docker.io/library/redis@{DIGEST}"), &format!("redis@{DIGEST}"));
        check_reference("deadbeef", "docker.io/library/deadbeef:latest", "deadbeef:latest");
    }

    #[test]
    fn what_breaks_the_grammar_is_no_reference() {
        let long = "a".repeat(300);
        let bad = [
            "",
            " ",
            "Redis",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:-x",
            "a@",
            "a@sha256:12",
            "a@md5:00",
            "redis:7 ",
            "a b",
            "../etc",
            "a/../b",
            "redis?x=1",
            "redis#x",
            "a%2Fb",
            "-a",
            "a-",
            "a___b",
            "a..b",
            "http://x/y",
            "[::1/a",
            "x.y:port/a",
            ".x/a",
            "redis\n",
            "é",
            long.as_str(),
        ];
        for text in bad {
            assert!(ImageReference::parse(text).is_err(), "`{text}`");
        }
    }

    #[test]
    fn the_tag_does_not_decide_when_there_is_a_digest() {
        let both = ImageReference::parse(&format!("redis:7@{DIGEST}")).unwrap();
        assert_eq!(both.decisive(), format!("docker.io/library/redis@{DIGEST}"));
        assert_eq!(both.tag_or_digest(), DIGEST);
    }
}
