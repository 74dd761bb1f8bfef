//! Images: the engine's JSON and the records of the WIT.

use serde_json::value::RawValue;

use super::super::reference::ImageId;
use super::{parse, text};
use crate::backend::engine::EngineError;
use crate::bindings::wharf::docker::{distribution_read, images_prune, images_read, images_remove};

/// What the engine says an image is.
#[derive(Debug, Clone)]
pub(in crate::capability::docker) struct ImageIdentity {
    pub(in crate::capability::docker) id: ImageId,
    /// Its tags and digests.
    pub(in crate::capability::docker) references: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageFields {
    id: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BaseFields {
    id: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    config: Option<BaseConfig>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BaseConfig {
    #[serde(default)]
    on_build: Option<Vec<String>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MarkedFields {
    id: String,
    #[serde(default)]
    parent_id: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    labels: super::Labels,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryFields {
    id: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    /// Seconds since 1970.
    #[serde(default)]
    created: i64,
    #[serde(default)]
    size: i64,
    /// Engines before API 1.44 have it: the same as the size, or more where the size leaves out what is shared.
    #[serde(default)]
    virtual_size: Option<i64>,
}

/// One line of what a removal did.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RemovalItem {
    #[serde(default)]
    untagged: Option<String>,
    #[serde(default)]
    deleted: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PruneFields {
    #[serde(default)]
    images_deleted: Option<Vec<RemovalItem>>,
    #[serde(default)]
    space_reclaimed: u64,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DistributionFields {
    descriptor: Descriptor,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
}

/// The names among `references`. Old engines show an image without a tag as one with `<none>`.
fn named(references: Option<Vec<String>>) -> Vec<String> {
    references.unwrap_or_default().into_iter().filter(|reference| !reference.starts_with("<none>")).collect()
}

/// The answer of `GET /images/{name}/json`.
pub(in crate::capability::docker) fn image(body: &[u8]) -> Result<images_read::Image, EngineError> {
    let json = text(body)?;
    let fields: ImageFields = parse(&json)?;
    Ok(images_read::Image { id: fields.id, repo_tags: named(fields.repo_tags), repo_digests: named(fields.repo_digests), json })
}

/// What grants are decided on.
pub(in crate::capability::docker) fn image_identity(image: &images_read::Image) -> Result<ImageIdentity, EngineError> {
    Ok(ImageIdentity { id: image_id(&image.id)?, references: image.repo_tags.iter().chain(&image.repo_digests).cloned().collect() })
}

/// The items of `GET /images/json`.
pub(in crate::capability::docker) fn image_summaries(body: &[u8]) -> Result<Vec<images_read::ImageSummary>, EngineError> {
    let items: Vec<Box<RawValue>> = parse(&text(body)?)?;
    items.iter().map(|item| image_summary(item)).collect()
}

fn image_summary(item: &RawValue) -> Result<images_read::ImageSummary, EngineError> {
    let SummaryFields { id, repo_tags, repo_digests, created, size, virtual_size } = parse(item.get())?;
    Ok(images_read::ImageSummary {
        id,
        repo_tags: named(repo_tags),
        repo_digests: named(repo_digests),
        created_ms: created.saturating_mul(1000),
        size: u64::try_from(size.max(virtual_size.unwrap_or_default())).unwrap_or_default(),
        json: item.get().to_owned(),
    })
}

/// The answer of `DELETE /images/{name}`.
pub(in crate::capability::docker) fn removal(body: &[u8]) -> Result<images_remove::Removal, EngineError> {
    let items: Vec<RemovalItem> = parse(&text(body)?)?;
    let (untagged, deleted): (Vec<_>, Vec<_>) = items.into_iter().map(|item| (item.untagged, item.deleted)).unzip();
    Ok(images_remove::Removal { untagged: untagged.into_iter().flatten().collect(), deleted: deleted.into_iter().flatten().collect() })
}

/// The answer of `POST /images/prune`.
pub(in crate::capability::docker) fn pruned(body: &[u8]) -> Result<images_prune::Pruned, EngineError> {
    let fields: PruneFields = parse(&text(body)?)?;
    let deleted = fields.images_deleted.unwrap_or_default().into_iter().filter_map(|item| item.deleted).collect();
    Ok(images_prune::Pruned { deleted, reclaimed: fields.space_reclaimed })
}

/// What a build needs to know of an image on which it builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capability::docker) struct BaseIdentity {
    pub(in crate::capability::docker) id: ImageId,
    /// `os/architecture`.
    pub(in crate::capability::docker) platform: String,
    /// Whether it has instructions for what is built on it.
    pub(in crate::capability::docker) has_triggers: bool,
}

/// The answer of `GET /images/{name}/json`, for a build on that image.
pub(in crate::capability::docker) fn base_identity(body: &[u8]) -> Result<BaseIdentity, EngineError> {
    let fields: BaseFields = parse(&text(body)?)?;
    let id = image_id(&fields.id)?;
    let triggers = fields.config.and_then(|config| config.on_build).unwrap_or_default();
    Ok(BaseIdentity { id, platform: format!("{}/{}", fields.os, fields.architecture), has_triggers: !triggers.is_empty() })
}

/// An image that a build has made, or may have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capability::docker) struct MarkedImage {
    pub(in crate::capability::docker) id: ImageId,
    /// The image on which it stands; empty if there is none.
    pub(in crate::capability::docker) parent: String,
    /// `repository:tag`.
    pub(in crate::capability::docker) names: Vec<String>,
    pub(in crate::capability::docker) labels: Vec<(String, String)>,
}

/// The items of `GET /images/json`, for what a build has made.
pub(in crate::capability::docker) fn marked_images(body: &[u8]) -> Result<Vec<MarkedImage>, EngineError> {
    let items: Vec<MarkedFields> = parse(&text(body)?)?;
    let image = |item: MarkedFields| {
        let MarkedFields { id, parent_id, repo_tags, labels } = item;
        Ok(MarkedImage { id: image_id(&id)?, parent: parent_id, names: named(repo_tags), labels: super::pairs(labels) })
    };
    items.into_iter().map(image).collect()
}

fn image_id(text: &str) -> Result<ImageId, EngineError> {
    ImageId::parse(text).ok_or_else(|| EngineError::Unintelligible(format!("`{text}` is no image id")))
}

/// The answer of `GET /distribution/{name}/json`.
pub(in crate::capability::docker) fn distribution(body: &[u8]) -> Result<distribution_read::Distribution, EngineError> {
    let json = text(body)?;
    let Descriptor { media_type, digest } = parse::<DistributionFields>(&json)?.descriptor;
    Ok(distribution_read::Distribution { digest, media_type, json })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_size(fields: &str, size: u64) {
        let summaries = image_summaries(format!(r#"[{{"Id":"sha256:1",{fields}}}]"#).as_bytes()).unwrap();
        assert_eq!(summaries.first().unwrap().size, size, "{fields}");
    }

    #[test]
    fn a_size_is_that_of_all_layers_whichever_api_says_it() {
        check_size(r#""Size":5,"VirtualSize":5,"SharedSize":-1"#, 5);
        check_size(r#""Size":5,"SharedSize":-1"#, 5);
        check_size(r#""Size":0,"VirtualSize":7"#, 7);
        check_size(r#""Size":-1"#, 0);
        check_size(r#""Containers":-1"#, 0);
    }

    #[test]
    fn an_item_crosses_whole_and_names_that_are_none_do_not_count() {
        let item = r#"{"Id":"sha256:1","RepoTags":["<none>:<none>"],"RepoDigests":["<none>@<none>","<none>@sha256:2"],"Created":-62135596800,"Size":1,"Future":1.50}"#;
        let summaries = image_summaries(format!("[{item}]").as_bytes()).unwrap();
        let summary = summaries.first().unwrap();
        assert_eq!((summary.repo_tags.len(), summary.repo_digests.len(), summary.created_ms), (0, 0, -62_135_596_800_000));
        assert_eq!(summary.json, item);
    }

    #[test]
    fn what_is_gone_is_told_by_names_and_layers() {
        let removal = removal(br#"[{"Untagged":"redis:7"},{"Untagged":"redis@sha256:2"},{"Deleted":"sha256:1"}]"#).unwrap();
        assert_eq!(
            (removal.untagged, removal.deleted),
            (vec!["redis:7".to_owned(), "redis@sha256:2".to_owned()], vec!["sha256:1".to_owned()])
        );
        let pruned = pruned(br#"{"ImagesDeleted":[{"Untagged":"<none>@sha256:2"},{"Deleted":"sha256:1"}],"SpaceReclaimed":9}"#).unwrap();
        assert_eq!((pruned.deleted, pruned.reclaimed), (vec!["sha256:1".to_owned()], 9));
        assert_eq!(super::pruned(br#"{"ImagesDeleted":null,"SpaceReclaimed":0}"#).unwrap().deleted, [""; 0]);
    }

    #[test]
    fn an_image_without_graph_driver_and_digests_is_read() {
        let found = image(br#"{"Id":"sha256:1","RepoTags":null,"Descriptor":{"mediaType":"x"}}"#).unwrap();
        assert_eq!((found.repo_tags.len(), found.repo_digests.len()), (0, 0));
    }
}
