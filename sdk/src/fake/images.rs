//! Images and operations of the fake host's engine.
//!
//! A pull is done when it is asked for, unless the test holds pulls back: then one that was begun stays under way until the test, or a plugin that waits, lets it end.

use serde_json::{Value, json};

use super::engine::{Engine, hex_id};
use super::registry;
use crate::docker::distribution_read::Distribution;
use crate::docker::images_prune::Pruned;
use crate::docker::images_read::{Image as InspectedImage, ImageSummary};
use crate::docker::images_remove::Removal;
use crate::docker::operations_read::{Operation, OperationState, ProgressFormat};
use crate::error::Error;
use crate::reference::{familiar, with_tag};
use crate::stream::ByteStream;

/// When everything happens here, in milliseconds since 1970.
const NOW_MS: u64 = 1_605_861_345_978;

/// A pull that was begun.
pub(super) struct Pull {
    id: String,
    /// As the plugin wrote it.
    reference: String,
    state: OperationState,
    percent: Option<u8>,
    failure: Option<Error>,
}

impl Pull {
    fn operation(&self) -> Operation {
        let subject = registry::resolve(&self.reference).map_or_else(|_| self.reference.clone(), |reference| reference.full);
        let state = match self.state {
            OperationState::Running => "running",
            OperationState::Succeeded => "succeeded",
            OperationState::Failed => "failed",
            OperationState::Cancelled => "cancelled",
        };
        let json = json!({"id": self.id, "kind": "pull", "subject": subject, "state": state, "percent": self.percent});
        Operation {
            id: self.id.clone(),
            kind: "pull".to_owned(),
            subject,
            owned: true,
            state: self.state,
            percent: self.percent,
            began_ms: NOW_MS,
            ended_ms: (self.state != OperationState::Running).then_some(NOW_MS),
            failure: self.failure.clone(),
            json: json.to_string(),
        }
    }
}

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
        let image = self.registry.iter().find(|image| image.tags.contains(&tag) || image.digests.contains(&tag)).cloned();
        self.add_image(image.ok_or(Error::NotFound)?);
        Ok(())
    }

    pub(super) fn begin_pull(&mut self, reference: &str) -> Result<String, Error> {
        registry::resolve(reference)?;
        let id = hex_id(&format!("{} {reference}", self.pulls.len())).chars().take(16).collect::<String>();
        let (reference, state) = (reference.to_owned(), OperationState::Running);
        self.pulls.push(Pull { id: id.clone(), reference, state, percent: None, failure: None });
        if !self.holds_pulls {
            self.finish_pulls(|pull| pull.id == id);
        }
        Ok(id)
    }

    /// Lets the pulls under way that are `meant` end.
    fn finish_pulls(&mut self, meant: impl Fn(&Pull) -> bool) {
        let mut pulls = std::mem::take(&mut self.pulls);
        for pull in pulls.iter_mut().filter(|pull| pull.state == OperationState::Running && meant(pull)) {
            match self.pull(&pull.reference) {
                Ok(()) => (pull.state, pull.percent) = (OperationState::Succeeded, Some(100)),
                Err(error) => (pull.state, pull.failure) = (OperationState::Failed, Some(error)),
            }
        }
        self.pulls = pulls;
    }

    pub(super) fn finish_all_pulls(&mut self) {
        self.finish_pulls(|_| true);
    }

    pub(super) fn advance_pulls(&mut self, percent: u8) {
        for pull in self.pulls.iter_mut().filter(|pull| pull.state == OperationState::Running) {
            pull.percent = Some(percent);
        }
    }

    pub(super) fn list_operations(&self) -> Vec<Operation> {
        self.pulls.iter().rev().map(Pull::operation).collect()
    }

    pub(super) fn operation(&self, id: &str) -> Result<Operation, Error> {
        self.pulls.iter().find(|pull| pull.id == id).map(Pull::operation).ok_or(Error::NotFound)
    }

    pub(super) fn wait_for_operation(&mut self, id: &str) -> Result<Operation, Error> {
        self.finish_pulls(|pull| pull.id == id);
        self.operation(id)
    }

    pub(super) fn watch_operation(&mut self, id: &str, format: ProgressFormat) -> Result<ByteStream, Error> {
        let states = [self.operation(id)?, self.wait_for_operation(id)?].map(|operation| {
            Ok(match format {
                ProgressFormat::JsonLines => format!("{}\n", operation.json),
                ProgressFormat::ServerSentEvents => format!("data: {}\n\n", operation.json),
            }
            .into_bytes())
        });
        Ok(ByteStream(super::stream::ByteStream::new(states)))
    }

    pub(super) fn cancel_operation(&mut self, id: &str) -> Result<(), Error> {
        let pull = self.pulls.iter_mut().find(|pull| pull.id == id).ok_or(Error::NotFound)?;
        if pull.state == OperationState::Running {
            pull.state = OperationState::Cancelled;
        }
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
    use crate::docker::operations_read::{self, OperationState, ProgressFormat};
    use crate::docker::{Error, distribution_read, images_prune, images_pull, images_read, images_remove, operations_cancel};

    #[test]
    fn a_pull_is_done_at_once_unless_it_is_held() {
        let host = Host::install();
        host.registry_image(Image::new("redis:7"));
        let id = images_pull::begin("redis:7").unwrap();
        assert_eq!(operations_read::get_one(&id).unwrap().state, OperationState::Succeeded);
        host.hold_pulls();
        let held = images_pull::begin("nowhere:1").unwrap();
        host.advance_pulls(40);
        let seen = operations_read::list().unwrap();
        assert_eq!((seen[0].subject.as_str(), seen[0].percent, seen.len()), ("docker.io/library/nowhere:1", Some(40), 2));
        host.finish_pulls();
        assert_eq!(operations_read::get_one(&held).unwrap().failure, Some(Error::NotFound));
        assert!(matches!(images_pull::begin("../x"), Err(Error::Invalid(_))));
    }

    #[test]
    fn an_operation_is_waited_for_watched_and_cancelled() {
        let host = Host::install();
        host.registry_image(Image::new("redis:7"));
        host.hold_pulls();
        let begin = || images_pull::begin("redis:7").unwrap();
        let (first, second, third) = (begin(), begin(), begin());
        assert_eq!(operations_read::wait(&first).unwrap().state, OperationState::Succeeded);
        let states = operations_read::watch(&second, ProgressFormat::JsonLines).unwrap().read_to_end().unwrap();
        assert_eq!(String::from_utf8(states).unwrap().matches("\"state\":").count(), 2);
        operations_cancel::cancel(&third).unwrap();
        host.finish_pulls();
        assert_eq!(operations_read::get_one(&third).unwrap().state, OperationState::Cancelled);
        assert_eq!(operations_cancel::cancel("other"), Err(Error::NotFound));
    }

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
