//! Manifests and indexes: which there are, what they hold, and which one is for a platform.
//!
//! The bytes are kept as they came, since their digest is over them; what is parsed is only what a choice needs.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};

use super::error::RegistryError;
use crate::backend::reference::is_digest;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What is asked for. Not schema 1, which registries make up on the fly from whatever they have.
pub(super) const ACCEPT: &str = concat!(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
);
/// The largest manifest, as `distribution` has it.
pub(super) const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// What a registry has by one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Of [`Manifest::bytes`].
    pub(crate) digest: String,
    pub(crate) media_type: String,
    /// As they came: JSON.
    pub(crate) bytes: Bytes,
    pub(super) content: Content,
}

/// What a manifest says, as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// One image for each of several platforms.
    Index(Vec<Descriptor>),
    /// One image; none for an artifact without a configuration.
    Image { config: Option<Descriptor> },
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

/// What an image runs on, in Docker's words: `linux/arm64/v8`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parsed {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

/// Checks that a registry names `media_type` for a manifest.
///
/// # Errors
///
/// [`RegistryError::Unintelligible`] for manifests of old; [`RegistryError::NotARegistry`] for everything else.
pub(super) fn check_media_type(content_type: Option<&str>) -> Result<String, RegistryError> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        OCI_INDEX | OCI_MANIFEST | DOCKER_LIST | DOCKER_MANIFEST => Ok(essence),
        "application/vnd.docker.distribution.manifest.v1+json" | "application/vnd.docker.distribution.manifest.v1+prettyjws" => {
            Err(RegistryError::Unintelligible("its manifest has the abandoned schema 1".to_owned()))
        }
        "" => Err(RegistryError::NotARegistry("it has no content type".to_owned())),
        other => Err(RegistryError::NotARegistry(format!("its content type is `{}`", other.chars().take(80).collect::<String>()))),
    }
}

impl Manifest {
    /// Reads a manifest of `media_type` whose bytes have the digest `digest`.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unintelligible`].
    pub(crate) fn read(media_type: String, digest: String, bytes: Bytes) -> Result<Manifest, RegistryError> {
        let parsed: Parsed = serde_json::from_slice(&bytes)
            .map_err(|error| RegistryError::Unintelligible(format!("the manifest is not as it should be: {error}")))?;
        let wrong = |what: &str| Err(RegistryError::Unintelligible(format!("the manifest {what}")));
        if parsed.schema_version != 2 {
            return wrong("has another schema than 2");
        }
        // One document that is read as an index here and as an image there has tricked others before.
        if parsed.media_type.as_ref().is_some_and(|own| *own != media_type) {
            return wrong("says that it is of another type than the registry says");
        }
        let content = match (is_index(&media_type), parsed.manifests, parsed.config) {
            (true, Some(manifests), None) => Content::Index(manifests),
            (false, None, config) => Content::Image { config },
            _ => return wrong("is an index and an image, or neither"),
        };
        Ok(Manifest { digest, media_type, bytes, content })
    }

    /// The one for `platform`; none when this is an image itself, whatever it is for.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NoPlatform`], and [`RegistryError::Unintelligible`] when what is for the platform is an index again.
    pub(super) fn select(&self, platform: &Platform) -> Result<Option<&Descriptor>, RegistryError> {
        let Content::Index(descriptors) = &self.content else { return Ok(None) };
        let fits = |descriptor: &&Descriptor| descriptor.platform.as_ref().is_some_and(|offered| platform.accepts(offered).is_some());
        let rank = |descriptor: &&Descriptor| descriptor.platform.as_ref().and_then(|offered| platform.accepts(offered));
        let Some(chosen) = descriptors.iter().filter(fits).min_by_key(rank) else {
            let nested = descriptors.iter().any(|descriptor| is_index(&descriptor.media_type));
            if nested {
                return Err(RegistryError::Unintelligible("the index holds another index".to_owned()));
            }
            // What BuildKit adds to say how an image was built has the platform `unknown/unknown`.
            let known =
                descriptors.iter().filter_map(|descriptor| descriptor.platform.as_ref()).filter(|platform| platform.os != "unknown");
            let mut offered: Vec<String> = known.map(ToString::to_string).collect();
            offered.dedup();
            let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
            return Err(RegistryError::NoPlatform { wanted: platform.to_string(), offered });
        };
        if is_index(&chosen.media_type) {
            return Err(RegistryError::Unintelligible("the index holds another index".to_owned()));
        }
        if !is_digest(&chosen.digest) {
            return Err(RegistryError::Unintelligible("the index holds something that is no digest".to_owned()));
        }
        Ok(Some(chosen))
    }
}

fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

impl Platform {
    /// Reads `os/architecture[/variant]`, for example `linux/arm64`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, naming it.
    pub(crate) fn parse(text: &str) -> Result<Platform, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let sound = |part: &&str| {
            !part.is_empty() && part.len() <= 64 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        };
        match parts.as_slice() {
            [os, architecture] if parts.iter().all(sound) => {
                Ok(Platform { os: (*os).to_owned(), architecture: (*architecture).to_owned(), variant: None })
            }
            [os, architecture, variant] if parts.iter().all(sound) => {
                Ok(Platform { os: (*os).to_owned(), architecture: (*architecture).to_owned(), variant: Some((*variant).to_owned()) })
            }
            _ => Err(format!("`{text}` is no platform such as `linux/arm64` or `linux/arm/v7`")),
        }
    }

    /// That of this machine. Containers are Linux's, whatever the host runs on.
    pub(crate) fn of_host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7")),
            "x86" => ("386", None),
            "powerpc64" => ("ppc64le", None),
            other => (other, None),
        };
        Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.map(str::to_owned) }
    }

    /// How well an image for `offered` runs here: zero is best; none if it does not.
    fn accepts(&self, offered: &Platform) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        let implied = |platform: &Platform| match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("arm64", None) => Some("v8".to_owned()),
            (_, variant) => variant.map(str::to_owned),
        };
        match (implied(self), implied(offered)) {
            (wanted, offered) if wanted == offered => Some(0),
            (None, _) | (_, None) => Some(100),
            (Some(wanted), Some(offered)) => {
                // An ARMv7 runs what was built for v6 and v5.
                let version = |variant: &str| variant.strip_prefix('v')?.parse::<u32>().ok();
                let (wanted, offered) = (version(&wanted)?, version(&offered)?);
                (self.architecture == "arm" && offered < wanted).then(|| wanted - offered)
            }
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(formatter, "/{variant}"))
    }
}

/// Computes a digest while bytes arrive.
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// One of the kind of `expected`; sha256 without.
    pub(crate) fn like(expected: Option<&str>) -> Hasher {
        match expected {
            Some(digest) if digest.starts_with("sha512:") => Hasher::Sha512(Sha512::new()),
            _ => Hasher::Sha256(Sha256::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hash) => hash.update(bytes),
            Hasher::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of all of it.
    pub(crate) fn digest(self) -> String {
        let (name, bytes) = match self {
            Hasher::Sha256(hash) => ("sha256", hash.finalize().to_vec()),
            Hasher::Sha512(hash) => ("sha512", hash.finalize().to_vec()),
        };
        bytes.iter().fold(format!("{name}:"), |text, byte| text + &format!("{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn index(platforms: &[&str]) -> Manifest {
        let entry = |(number, platform): (usize, &&str)| {
            let mut parts = platform.split('/');
            let mut described = json!({"os": parts.next(), "architecture": parts.next()});
            if let Some(variant) = parts.next() {
                described["variant"] = variant.into();
            }
            json!({"mediaType": OCI_MANIFEST, "digest": format!("sha256:{number:064x}"), "size": 1, "platform": described})
        };
        let manifests: Vec<_> = platforms.iter().enumerate().map(entry).collect();
        let text = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string();
        Manifest::read(OCI_INDEX.to_owned(), "sha256:0".to_owned(), text.into()).unwrap()
    }

    #[track_caller]
    fn check_select(platforms: &[&str], wanted: &str, expected: Option<usize>) {
        let index = index(platforms);
        let found = index.select(&Platform::parse(wanted).unwrap());
        let expected = expected.map(|number| format!("sha256:{number:064x}"));
        assert_eq!(found.ok().flatten().map(|chosen| chosen.digest.clone()), expected, "{wanted} of {platforms:?}");
    }

    #[test]
    fn the_platform_that_fits_best_is_taken() {
        check_select(&["linux/amd64", "linux/arm64/v8"], "linux/arm64", Some(1));
        check_select(&["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", Some(2));
        check_select(&["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", Some(1));
        check_select(&["linux/arm/v7"], "linux/arm/v6", None);
        check_select(&["linux/amd64/v2", "linux/amd64"], "linux/amd64", Some(1));
        check_select(&["windows/amd64", "unknown/unknown"], "linux/amd64", None);
        check_select(&[], "linux/amd64", None);
    }

    #[test]
    fn what_there_is_instead_is_said_without_attestations() {
        let error = index(&["linux/arm64", "linux/arm64", "unknown/unknown"]).select(&Platform::parse("linux/amd64").unwrap()).unwrap_err();
        assert_eq!(error, RegistryError::NoPlatform { wanted: "linux/amd64".to_owned(), offered: "linux/arm64".to_owned() });
    }

    #[track_caller]
    fn check_refused(media_type: &str, document: &serde_json::Value) {
        let read = Manifest::read(media_type.to_owned(), String::new(), document.to_string().into());
        assert!(matches!(read, Err(RegistryError::Unintelligible(_))), "{document}");
    }

    #[test]
    fn a_document_that_is_two_things_is_none() {
        check_refused(OCI_INDEX, &json!({"schemaVersion": 2, "manifests": [], "config": {"digest": "x", "size": 1}}));
        check_refused(OCI_MANIFEST, &json!({"schemaVersion": 2, "manifests": []}));
        check_refused(OCI_MANIFEST, &json!({"schemaVersion": 2, "mediaType": OCI_INDEX}));
        check_refused(OCI_MANIFEST, &json!({"schemaVersion": 1}));
        check_refused(OCI_INDEX, &json!({"schemaVersion": 2}));
        check_refused(OCI_INDEX, &json!([]));
    }

    #[test]
    fn only_types_of_manifests_are_manifests() {
        assert_eq!(check_media_type(Some("Application/vnd.oci.image.index.v1+json; charset=utf-8")).unwrap(), OCI_INDEX);
        assert!(matches!(check_media_type(Some("text/html")), Err(RegistryError::NotARegistry(_))));
        assert!(matches!(check_media_type(None), Err(RegistryError::NotARegistry(_))));
        let old = check_media_type(Some("application/vnd.docker.distribution.manifest.v1+prettyjws"));
        assert!(matches!(old, Err(RegistryError::Unintelligible(_))));
    }

    #[test]
    fn a_platform_has_two_or_three_parts() {
        for good in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(Platform::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "linux/../x"] {
            assert!(Platform::parse(bad).is_err(), "`{bad}`");
        }
    }

    #[test]
    fn a_digest_is_computed_in_its_own_kind() {
        let digest = |kind| {
            let mut hasher = Hasher::like(kind);
            hasher.update(b"a");
            hasher.update(b"bc");
            hasher.digest()
        };
        assert_eq!(digest(None), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(digest(Some("sha512:00")).starts_with("sha512:ddaf35a193617abacc417349ae204131"));
    }
}
