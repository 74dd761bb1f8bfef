//! References as texts: what can be said of one without asking what it leads to.
//!
//! Engines write references in their lists the short way (`redis:7`), some the long way, and people either way. To hold them against each other a plugin needs no grammar: what is no reference
//! is refused by the host as soon as it is used. For everything else there is [`references::resolve`](crate::registry::references::resolve).

use std::borrow::Cow;

/// `reference` as people write it: without Docker Hub's own names.
///
/// ```
/// use wharf_sdk::reference::familiar;
///
/// assert_eq!(familiar("docker.io/library/redis:7"), "redis:7");
/// assert_eq!(familiar("index.docker.io/grafana/grafana"), "grafana/grafana");
/// assert_eq!(familiar("ghcr.io/library/redis"), "ghcr.io/library/redis");
/// ```
#[must_use]
pub fn familiar(reference: &str) -> &str {
    let short = ["docker.io/", "index.docker.io/"].iter().find_map(|host| reference.strip_prefix(host)).unwrap_or(reference);
    short.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(short)
}

/// The repository of `reference`, and its tag if it has one. A digest is left out.
///
/// ```
/// use wharf_sdk::reference::split;
///
/// assert_eq!(split("localhost:5000/a/b:1"), ("localhost:5000/a/b", Some("1")));
/// assert_eq!(split("localhost:5000/a/b"), ("localhost:5000/a/b", None));
/// assert_eq!(split("redis:7@sha256:aa"), ("redis", Some("7")));
/// ```
#[must_use]
pub fn split(reference: &str) -> (&str, Option<&str>) {
    let name = reference.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

/// `reference` with the tag `latest` if it has neither tag nor digest.
///
/// ```
/// use wharf_sdk::reference::with_tag;
///
/// assert_eq!(with_tag("localhost:5000/a"), "localhost:5000/a:latest");
/// assert_eq!(with_tag("redis@sha256:aa"), "redis@sha256:aa");
/// ```
#[must_use]
pub fn with_tag(reference: &str) -> Cow<'_, str> {
    if reference.contains('@') || split(reference).1.is_some() { reference.into() } else { format!("{reference}:latest").into() }
}
