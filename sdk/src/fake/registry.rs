//! The registries of the fake host: images that are there, by reference, and nothing of how registries fail; for that there is [`Host::fail`](super::Host::fail).

use serde_json::{Value, json};

use super::engine::hex_id;
use crate::error::Error;
use crate::registry::digests_read::Head;
use crate::registry::manifests_read::{ImageConfig, Manifest};
use crate::registry::references::Reference;
use crate::registry::tags_read::TagList;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image in a registry. Its digest depends on its reference alone unless it is set.
#[derive(Debug, Clone)]
pub struct RemoteImage {
    reference: String,
    digest: String,
    config: Value,
    /// The platform that it is for, if it is in an index, of which `digest` is then.
    platform: Option<String>,
}

impl RemoteImage {
    /// The image that `reference` leads to, for linux/amd64.
    #[must_use]
    pub fn new(reference: &str) -> RemoteImage {
        let full = resolve(reference).map_or_else(|_| reference.to_owned(), |reference| reference.full);
        let digest = format!("sha256:{}", hex_id(&full));
        RemoteImage { reference: full, digest, config: json!({"os": "linux", "architecture": "amd64", "config": {}}), platform: None }
    }

    /// With this digest.
    #[must_use]
    pub fn digest(mut self, digest: &str) -> RemoteImage {
        digest.clone_into(&mut self.digest);
        self
    }

    /// With this configuration.
    #[must_use]
    pub fn config(mut self, config: Value) -> RemoteImage {
        self.config = config;
        self
    }

    /// In an index that has it for `platform` and nothing for any other; the digest is that of the index.
    #[must_use]
    pub fn in_index_for(mut self, platform: &str) -> RemoteImage {
        self.platform = Some(platform.to_owned());
        self
    }

    /// The digest of its configuration, which is the image's id where an engine has it.
    #[must_use]
    pub fn config_digest(&self) -> String {
        format!("sha256:{}", hex_id(&self.config.to_string()))
    }
}

/// Takes a reference apart, as far as tests need it: by the host's rules for what is left out, without its whole grammar.
pub(super) fn resolve(text: &str) -> Result<Reference, Error> {
    let invalid = || Error::Invalid(format!("`{text}` is no image reference"));
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest.to_owned())));
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let colon = rest.get(last..).and_then(|component| component.find(':')).map(|colon| last + colon);
    let (name, tag) = match colon.and_then(|colon| Some((rest.get(..colon)?, rest.get(colon + 1..)?))) {
        Some((name, tag)) => (name, Some(tag.to_owned())),
        None => (rest, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first == "localhost" || first.contains(['.', ':']) => (first, path),
        _ => ("docker.io", name),
    };
    let repository = if registry == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
    let is_tag = |tag: &str| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let is_path = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
    };
    if !repository.split('/').all(is_path)
        || repository.contains("..")
        || tag.as_ref().is_some_and(|tag| !is_tag(tag))
        || registry.starts_with('.')
    {
        return Err(invalid());
    }
    let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
    let suffix = tag.iter().map(|tag| format!(":{tag}")).chain(digest.iter().map(|digest| format!("@{digest}"))).collect::<String>();
    let full = format!("{registry}/{repository}{suffix}");
    let short = full.strip_prefix("docker.io/").map(|rest| rest.strip_prefix("library/").unwrap_or(rest));
    let familiar = short.unwrap_or(&full).to_owned();
    Ok(Reference { full, familiar, registry: registry.to_owned(), repository, tag, digest })
}

fn find<'i>(images: &'i [RemoteImage], reference: &str) -> Result<&'i RemoteImage, Error> {
    let reference = resolve(reference)?;
    let repository = format!("{}/{}", reference.registry, reference.repository);
    let by_digest = |image: &&RemoteImage| {
        reference.digest.as_ref().is_some_and(|digest| *digest == image.digest && image.reference.starts_with(&format!("{repository}:")))
    };
    let by_tag = |image: &&RemoteImage| reference.digest.is_none() && image.reference == reference.full;
    // A reference leads to what was published last.
    images.iter().rev().find(|image| by_tag(image) || by_digest(image)).ok_or(Error::NotFound)
}

pub(super) fn head(images: &[RemoteImage], reference: &str) -> Result<Head, Error> {
    let image = find(images, reference)?;
    let media_type = if image.platform.is_some() { INDEX } else { MANIFEST };
    Ok(Head { digest: image.digest.clone(), media_type: media_type.to_owned(), size: None })
}

/// The manifest for `platform`; none is linux/amd64.
pub(super) fn platform_manifest(images: &[RemoteImage], reference: &str, platform: Option<&str>) -> Result<Manifest, Error> {
    let image = find(images, reference)?;
    let Some(own) = &image.platform else { return manifest(images, reference) };
    let wanted = platform.unwrap_or("linux/amd64");
    if own != wanted {
        return Err(Error::Unavailable(format!("no-platform: the index has nothing for {wanted}")));
    }
    let digest = format!("sha256:{}", hex_id(&format!("{wanted} {}", image.config_digest())));
    Ok(Manifest { digest, ..manifest(images, reference)? })
}

pub(super) fn manifest(images: &[RemoteImage], reference: &str) -> Result<Manifest, Error> {
    let image = find(images, reference)?;
    let json = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": image.config_digest()}, "layers": []}).to_string();
    Ok(Manifest { digest: image.digest.clone(), media_type: MANIFEST.to_owned(), json })
}

pub(super) fn config(images: &[RemoteImage], reference: &str) -> Result<ImageConfig, Error> {
    let image = find(images, reference)?;
    Ok(ImageConfig { digest: image.config_digest(), manifest_digest: image.digest.clone(), json: image.config.to_string() })
}

pub(super) fn tags(images: &[RemoteImage], reference: &str, limit: u32) -> Result<TagList, Error> {
    let reference = resolve(reference)?;
    let prefix = format!("{}/{}:", reference.registry, reference.repository);
    let mut tags: Vec<String> = images.iter().filter_map(|image| image.reference.strip_prefix(&prefix)).map(str::to_owned).collect();
    if tags.is_empty() {
        return Err(Error::NotFound);
    }
    tags.sort();
    tags.dedup();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let complete = tags.len() <= limit;
    tags.truncate(limit);
    Ok(TagList { tags, complete })
}

#[cfg(test)]
mod tests {
    use super::super::Host;
    use super::RemoteImage;
    use crate::registry::{Error, digests_read, manifests_read, problem, references, tags_read};

    #[test]
    fn an_image_of_a_registry_is_found_by_tag_and_by_digest() {
        let host = Host::install();
        host.remote_image(RemoteImage::new("redis:7").digest("sha256:aa").config(serde_json::json!({"os": "linux"})));
        host.remote_image(RemoteImage::new("redis:6"));
        let heads = digests_read::heads(&["docker.io/library/redis:7", "redis@sha256:aa", "redis"].map(str::to_owned));
        let digests: Vec<_> = heads.into_iter().map(|head| head.map(|head| head.digest)).collect();
        assert_eq!(digests, [Ok("sha256:aa".to_owned()), Ok("sha256:aa".to_owned()), Err(Error::NotFound)]);
        assert_eq!(manifests_read::fetch_config("redis:7", None).unwrap().json, r#"{"os":"linux"}"#);
        assert_eq!(tags_read::list("redis", 1).map(|list| (list.tags, list.complete)), Ok((vec!["6".to_owned()], false)));
    }

    #[test]
    fn what_a_registry_did_wrong_has_a_word() {
        let host = Host::install();
        host.fail("registry.manifests-read.fetch", Error::Unavailable("rate-limited: come again".to_owned()));
        assert_eq!(problem(&manifests_read::fetch("redis").unwrap_err()), Some("rate-limited"));
        assert_eq!(problem(&Error::NotFound), None);
        assert!(matches!(references::resolve("../x"), Err(Error::Invalid(_))));
    }
}
