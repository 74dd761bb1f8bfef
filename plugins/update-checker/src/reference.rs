//! References of images as texts: under which name a container is shown, and what cannot be updated because it is none.

use std::borrow::Cow;

use wharf_sdk::reference::{familiar, split, with_tag};

/// What a container's image is shown and grouped as: without a digest, and with a tag. `app@sha256:…` is `app:latest`.
///
/// A colon is one of a tag only behind the last slash: `registry:5000/app` is `registry:5000/app:latest`.
pub(crate) fn normalised(reference: &str) -> Cow<'_, str> {
    with_tag(reference.split('@').next().unwrap_or_default())
}

/// Whether `reference` names one image for good, by its digest.
pub(crate) fn is_pinned(reference: &str) -> bool {
    reference.contains('@')
}

/// Whether `reference` is no name but the id of an image, as lists show it once a name leads to another image, or a beginning of that, as people type it.
///
/// `image_id` is the id of the container's image: what looks like an id and is not its own is a name, such as `cafe`.
pub(crate) fn is_id(reference: &str, image_id: &str) -> bool {
    let hexadecimal = image_id.strip_prefix("sha256:").unwrap_or(image_id);
    reference.starts_with("sha256:") || (!reference.is_empty() && hexadecimal.starts_with(reference))
}

/// The repository of `reference`, written the one way that references of one repository have in common.
pub(crate) fn repository(reference: &str) -> &str {
    familiar(split(reference).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_shown_with_a_tag_and_without_a_digest() {
        for (reference, shown) in [
            ("nginx", "nginx:latest"),
            ("nginx:1.27", "nginx:1.27"),
            ("registry:5000/app", "registry:5000/app:latest"),
            ("registry:5000/a/b:1", "registry:5000/a/b:1"),
            ("nginx@sha256:aa", "nginx:latest"),
            ("nginx:1@sha256:aa", "nginx:1"),
        ] {
            assert_eq!(normalised(reference), shown, "{reference}");
            assert_eq!(is_pinned(reference), reference.contains("sha256"), "{reference}");
        }
    }

    #[test]
    fn an_id_is_no_name() {
        let id = "sha256:cafe00112233445566778899aabbccddeeff00112233445566778899aabbccdd";
        for (reference, expected) in
            [(id, true), ("sha256:cafe", true), ("cafe00112233", true), ("cafe", true), ("beef", false), ("cafe:1", false), ("", false)]
        {
            assert_eq!(is_id(reference, id), expected, "{reference}");
        }
    }

    #[test]
    fn a_repository_is_the_same_however_it_is_written() {
        for reference in ["redis", "redis:7", "library/redis", "docker.io/library/redis@sha256:aa", "index.docker.io/library/redis:6"] {
            assert_eq!(repository(reference), "redis", "{reference}");
        }
        assert_eq!(repository("localhost:5000/library/redis:7"), "localhost:5000/library/redis");
    }
}
