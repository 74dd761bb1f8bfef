//! Digests: which of an image's own count, and how they are shown.

use crate::reference::repository;

/// What is shown where there is no digest, and the status of what cannot be compared.
pub(crate) const UNKNOWN: &str = "unknown";

/// How much of a digest is shown: `sha256:` and ten digits.
const SHOWN: usize = 17;

/// A digest as clients see it.
pub(crate) fn shown(digest: Option<&str>) -> &str {
    digest.map_or(UNKNOWN, |digest| digest.get(..SHOWN).unwrap_or(digest))
}

/// The digests of `repo_digests` (`repository@sha256:…`) that are of the repository of `reference`, each once.
///
/// An image has a digest for each repository that it was pulled from or pushed to, in no order. Those of others say nothing of what this one's tag leads to.
pub(crate) fn of_repository(repo_digests: &[String], reference: &str) -> Vec<String> {
    let wanted = repository(reference);
    let mut found: Vec<String> = Vec::new();
    for (name, digest) in repo_digests.iter().filter_map(|entry| entry.split_once('@')) {
        if repository(name) == wanted && !found.iter().any(|other| other == digest) {
            found.push(digest.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_shown_in_seventeen_characters() {
        let digest = format!("sha256:{}", "2".repeat(64));
        assert_eq!(shown(Some(&digest)), "sha256:2222222222");
        assert_eq!((shown(Some("sha256:aa")), shown(None)), ("sha256:aa", "unknown"));
    }

    #[test]
    fn only_digests_of_the_own_repository_count() {
        let digests = [
            "mirror.local/redis@sha256:11",
            "redis@sha256:22",
            "docker.io/library/redis@sha256:33",
            "redis@sha256:22",
            "redis-commander@sha256:44",
            "<none>@<none>",
        ]
        .map(str::to_owned);
        assert_eq!(of_repository(&digests, "redis:7"), ["sha256:22", "sha256:33"]);
        assert_eq!(of_repository(&digests, "mirror.local/redis"), ["sha256:11"]);
        assert_eq!(of_repository(&digests, "mirror.local:5000/redis"), [""; 0]);
        assert_eq!(of_repository(&[], "redis"), [""; 0]);
    }
}
