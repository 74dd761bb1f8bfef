//! Images of the fake host's engine.

use serde_json::{Value, json};

use super::engine::Engine;
use super::registry;
use crate::docker::distribution_read::Distribution;
use crate::docker::images_prune::Pruned;
use crate::docker::images_read::{Image as InspectedImage, ImageSummary};
use crate::docker::images_remove::Removal;
use crate::error::Error;
use crate::reference::{familiar, with_tag};

impl Engine {
    pub(super) fn list_images(&self) -> Vec<ImageSummary> {
        let summary = |image: &super::Image| {
            let size = image.details.get("Size").and_then(Value::as_u64).unwrap_or_default();
            ImageSummary {
                id: image.id.clone(),
                repo_tags: image.tags.clone(),
                repo_digests: image.digests.clone(),
                created_ms: 0,
                size,
                json: json!({"Id": image.id, "RepoTags": image.tags, "RepoDigests": image.digests, "Created": 0, "Size": size}).to_string(),
            }
        };
        self.images.iter().rev().map(summary).collect()
    }

    pub(super) fn inspect_image(&self, reference: &str) -> Result<InspectedImage, Error> {
        if reference.is_empty() || reference.contains(char::is_whitespace) {
            return Err(Error::Invalid(format!("`{reference}` is no reference of an image")));
        }
        let image = self.image(reference).ok_or(Error::NotFound)?;
        let mut details = json!({"Id": image.id, "RepoTags": image.tags, "RepoDigests": image.digests});
        super::objects::merge(&mut details, image.details.clone());
        Ok(InspectedImage {
            id: image.id.clone(),
            repo_tags: image.tags.clone(),
            repo_digests: image.digests.clone(),
            json: details.to_string(),
        })
    }

    pub(super) fn pull(&mut self, reference: &str) -> Result<(), Error> {
        registry::resolve(reference)?;
        let tag = with_tag(familiar(reference)).into_owned();
        let image = self.registry.iter().rev().find(|image| image.tags.contains(&tag) || image.digests.contains(&tag)).cloned();
        self.add_image(image.ok_or(Error::NotFound)?);
        Ok(())
    }

    pub(super) fn remove_image(&mut self, reference: &str) -> Result<Removal, Error> {
        registry::resolve(reference)?;
        let name = with_tag(familiar(reference)).into_owned();
        let used = self.used_images();
        let image = self.images.iter_mut().find(|image| image.tags.contains(&name) || image.digests.contains(&name));
        let image = image.ok_or(Error::NotFound)?;
        let last = image.tags.iter().chain(&image.digests).all(|other| *other == name) || image.tags == [name.clone()];
        if last && used.contains(&image.id) {
            return Err(Error::Conflict(format!("unable to remove repository reference \"{name}\": a container is using it")));
        }
        image.tags.retain(|tag| *tag != name);
        image.digests.retain(|digest| *digest != name);
        let mut removal = Removal { untagged: vec![name], deleted: Vec::new() };
        if last {
            removal.deleted.push(image.id.clone());
            self.images.retain(|image| !removal.deleted.contains(&image.id));
        }
        Ok(removal)
    }

    pub(super) fn prune_images(&mut self) -> Pruned {
        let used = self.used_images();
        let (gone, kept) = std::mem::take(&mut self.images)
            .into_iter()
            .partition(|image: &super::Image| image.tags.is_empty() && !used.contains(&image.id));
        self.images = kept;
        let size = |image: &super::Image| image.details.get("Size").and_then(Value::as_u64).unwrap_or_default();
        let gone: Vec<super::Image> = gone;
        Pruned { reclaimed: gone.iter().map(size).sum(), deleted: gone.into_iter().map(|image| image.id).collect() }
    }

    pub(super) fn distribution(&self, reference: &str) -> Result<Distribution, Error> {
        let head = registry::head(&self.remote, reference)?;
        let json = json!({"Descriptor": {"digest": head.digest, "mediaType": head.media_type}, "Platforms": []}).to_string();
        Ok(Distribution { digest: head.digest, media_type: head.media_type, json })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Container, Host, Image, RemoteImage};
    use crate::docker::{Error, distribution_read, images_prune, images_read, images_remove};

    #[test]
    fn images_are_removed_by_name_while_nothing_uses_them() {
        let host = Host::install();
        host.image(Image::new("redis:7").tag("redis:latest"));
        host.image(Image::new("web:1"));
        host.container(Container::new("web").image("web:1"));
        let removed = images_remove::remove(&["redis", "redis:7", "web:1", "nothing"].map(str::to_owned));
        let deleted: Vec<_> = removed.into_iter().map(|removal| removal.map(|removal| removal.deleted.len())).collect();
        assert!(matches!(deleted.as_slice(), [Ok(0), Ok(1), Err(Error::Conflict(_)), Err(Error::NotFound)]), "{deleted:?}");
        host.image(Image::new("").details(serde_json::json!({"Size": 5})));
        assert_eq!(images_prune::prune().unwrap().reclaimed, 5);
        assert_eq!(images_read::list().unwrap().len(), 1);
    }

    #[test]
    fn the_engine_finds_what_registries_have() {
        let host = Host::install();
        host.remote_image(RemoteImage::new("redis:7").digest("sha256:aa"));
        assert_eq!(distribution_read::inspect_one("redis:7").unwrap().digest, "sha256:aa");
        assert_eq!(distribution_read::inspect_one("redis:8").unwrap_err(), Error::NotFound);
    }
}
