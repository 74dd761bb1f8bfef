//! What is fetched: heads, manifests and configurations, each checked against its digest while it arrives.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};

use super::Client;
use super::ask::{Ask, scope};
use super::authority::Authority;
use super::error::RegistryError;
use super::manifest::{ACCEPT, Content, Hasher, MAX_MANIFEST_BYTES, Manifest, Platform, check_media_type};
use super::pool::Body;
use crate::backend::reference::{ImageReference, is_digest};

/// The largest configuration. Real ones have some kilobytes.
const MAX_CONFIG_BYTES: usize = 8 * 1024 * 1024;
/// How many references are remembered with their last head.
const MAX_SEEN: usize = 4_096;
/// How much of what never changes is kept.
const MAX_KEPT_BYTES: usize = 8 * 1024 * 1024;

/// What a registry says of a reference without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Of the index, if there is one: what `RepoDigests` has after a pull.
    pub(crate) digest: String,
    pub(crate) media_type: String,
    /// Of the manifest itself, in bytes; none if the registry does not say.
    pub(crate) size: Option<u64>,
}

/// The configuration of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageConfig {
    /// The image's id.
    pub(crate) digest: String,
    /// As it came: JSON.
    pub(crate) bytes: Bytes,
    /// The manifest that names it.
    pub(crate) manifest: Manifest,
}

/// The last head of each reference, by which a registry can say that nothing has changed.
#[derive(Default)]
pub(super) struct Seen(HashMap<String, (HeaderValue, Head)>);

/// Manifests by repository and digest, the oldest first. What has a digest never changes; a repository is part of the key because who may see one may not see another.
#[derive(Default)]
pub(super) struct Kept {
    manifests: VecDeque<(String, Manifest)>,
    bytes: usize,
}

impl Kept {
    fn get(&self, key: &str) -> Option<Manifest> {
        self.manifests.iter().find(|(kept, _)| kept == key).map(|(_, manifest)| manifest.clone())
    }

    fn keep(&mut self, key: String, manifest: &Manifest) {
        if self.get(&key).is_some() {
            return;
        }
        self.bytes += manifest.bytes.len();
        self.manifests.push_back((key, manifest.clone()));
        while self.bytes > MAX_KEPT_BYTES {
            let Some((_, oldest)) = self.manifests.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
        }
    }
}

impl Client {
    /// The head of `reference`.
    pub(super) async fn head(&self, authority: &Authority, reference: &ImageReference, until: Instant) -> Result<Head, RegistryError> {
        let name = reference.decisive();
        let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).0.get(&name).cloned();
        let (etag, known) = known.map_or((None, None), |(etag, head)| (Some(etag), Some(head)));
        let ask = Ask { method: Method::HEAD, etag, ..of_manifest(authority, reference, until)? };
        let response = self.ask(authority, &ask).await?;
        if let (StatusCode::NOT_MODIFIED, Some(head)) = (response.status(), known) {
            return Ok(head);
        }
        let head = read_head(response.headers())?;
        if let Some(expected) = reference.digest()
            && expected != head.digest
        {
            return Err(RegistryError::DigestMismatch { expected: expected.to_owned(), actual: head.digest });
        }
        if let Some(etag) = response.headers().get(ETAG) {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.0.len() >= MAX_SEEN {
                seen.0.clear();
            }
            seen.0.insert(name, (etag.clone(), head.clone()));
        }
        Ok(head)
    }

    /// The manifest of `reference`.
    pub(super) async fn manifest(&self, reference: &ImageReference, until: Instant) -> Result<Manifest, RegistryError> {
        let key = reference.decisive();
        if reference.digest().is_some()
            && let Some(manifest) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
        {
            return Ok(manifest);
        }
        let authority = self.authority(reference.registry())?;
        let ask = of_manifest(&authority, reference, until)?;
        let response = self.ask(&authority, &ask).await?;
        let media_type = check_media_type(text(response.headers(), CONTENT_TYPE.as_str()))?;
        let said = text(response.headers(), "docker-content-digest").filter(|digest| is_digest(digest)).map(str::to_owned);
        let expected = reference.digest().map(str::to_owned).or(said);
        let (bytes, digest) = self.checked(response, expected.as_deref(), MAX_MANIFEST_BYTES, until).await?;
        let manifest = Manifest::read(media_type, digest, bytes)?;
        let key = reference.at_digest(&manifest.digest).decisive();
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).keep(key, &manifest);
        Ok(manifest)
    }

    /// The manifest of the image for `platform`.
    pub(super) async fn platform_manifest(
        &self,
        reference: &ImageReference,
        platform: &Platform,
        until: Instant,
    ) -> Result<Manifest, RegistryError> {
        let manifest = self.manifest(reference, until).await?;
        let Some(chosen) = manifest.select(platform)? else { return Ok(manifest) };
        let chosen = self.manifest(&reference.at_digest(&chosen.digest), until).await?;
        match chosen.content {
            Content::Image { .. } => Ok(chosen),
            Content::Index(_) => Err(RegistryError::Unintelligible("the index holds another index".to_owned())),
        }
    }

    /// The configuration of the image for `platform`.
    pub(super) async fn config(
        &self,
        reference: &ImageReference,
        platform: &Platform,
        until: Instant,
    ) -> Result<ImageConfig, RegistryError> {
        let manifest = self.platform_manifest(reference, platform, until).await?;
        let Content::Image { config: Some(config) } = &manifest.content else {
            return Err(RegistryError::Unintelligible("the manifest has no configuration".to_owned()));
        };
        if !is_digest(&config.digest) {
            return Err(RegistryError::Unintelligible("the manifest's configuration has no digest".to_owned()));
        }
        let limit = usize::try_from(config.size).unwrap_or(usize::MAX);
        if limit > MAX_CONFIG_BYTES {
            return Err(RegistryError::TooLong { limit_bytes: MAX_CONFIG_BYTES });
        }
        let authority = self.authority(reference.registry())?;
        let url = at(&authority, &format!("/v2/{}/blobs/{}", reference.path(), config.digest))?;
        let ask = Ask { method: Method::GET, url, accept: None, etag: None, scope: scope(reference), repeatable: true, until };
        let response = self.ask(&authority, &ask).await?;
        let (bytes, digest) = self.checked(response, Some(&config.digest), limit, until).await?;
        if !serde_json::from_slice::<serde_json::Value>(&bytes).is_ok_and(|document| document.is_object()) {
            return Err(RegistryError::Unintelligible("the configuration is no JSON object".to_owned()));
        }
        Ok(ImageConfig { digest, bytes, manifest })
    }

    /// The body of `response`, hashed while it arrives, and its digest.
    async fn checked(
        &self,
        response: Response<Body>,
        expected: Option<&str>,
        limit_bytes: usize,
        until: Instant,
    ) -> Result<(Bytes, String), RegistryError> {
        let mut body = response.into_body();
        let mut hasher = Hasher::like(expected);
        let mut whole = BytesMut::new();
        while let Some(piece) = body.piece(self.wire.patience.idle, until).await? {
            if piece.len() > limit_bytes.saturating_sub(whole.len()) {
                return Err(RegistryError::TooLong { limit_bytes });
            }
            hasher.update(&piece);
            whole.extend_from_slice(&piece);
        }
        let actual = hasher.digest();
        match expected {
            Some(expected) if expected != actual => Err(RegistryError::DigestMismatch { expected: expected.to_owned(), actual }),
            _ => Ok((whole.freeze(), actual)),
        }
    }
}

/// The question for a manifest, by `GET`.
fn of_manifest(authority: &Authority, reference: &ImageReference, until: Instant) -> Result<Ask, RegistryError> {
    let url = at(authority, &format!("/v2/{}/manifests/{}", reference.path(), reference.tag_or_digest()))?;
    Ok(Ask { method: Method::GET, url, accept: Some(ACCEPT), etag: None, scope: scope(reference), repeatable: false, until })
}

/// `path` at the registry. The grammar of references lets nothing into it that a URL would take for something else.
pub(super) fn at(authority: &Authority, path: &str) -> Result<url::Url, RegistryError> {
    authority.base.join(path).map_err(|error| RegistryError::Unreachable(error.to_string()))
}

fn read_head(headers: &HeaderMap) -> Result<Head, RegistryError> {
    let media_type = check_media_type(text(headers, CONTENT_TYPE.as_str()))?;
    let digest = text(headers, "docker-content-digest").filter(|digest| is_digest(digest)).ok_or(RegistryError::NoDigest)?;
    let size = text(headers, CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
    Ok(Head { digest: digest.to_owned(), media_type, size })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
