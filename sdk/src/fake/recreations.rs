//! Recreations of the fake host's engine: the container gets another id and another image, or nothing changes.
//!
//! The specification is taken over as it is; how the real host tells what the user set from what came from the image is not repeated here.

use serde_json::{Value, json};

use super::engine::{Engine, hex_id, text};
use super::objects::merge;
use super::registry;
use crate::docker::containers_recreate::{Change, RecreateOptions};
use crate::error::Error;

/// A recreation that a plugin began.
pub(super) struct Recreation {
    /// The container's name.
    pub(super) name: String,
    /// The id of the old container.
    container: String,
    options: RecreateOptions,
    /// The reference of the new image.
    image: String,
    step: &'static str,
    /// The engine's word, and how many bytes of how many there are.
    pull: (Option<String>, u64, u64),
    replacement: Option<String>,
    from: String,
    to: Option<String>,
    digest: Option<String>,
    changed: bool,
    rolled_back: bool,
}

const STEPS: [&str; 7] = ["pulling", "creating", "stopping", "starting", "verifying", "removing", "undoing"];

impl Recreation {
    /// What the JSON of the operation has of it.
    pub(super) fn progress(&self) -> Value {
        let (status, current, total) = &self.pull;
        json!({
            "step": self.step, "status": status, "current": current, "total": total, "layers": [], "container": self.container,
            "replacement": self.replacement, "image": self.image, "from": self.from, "to": self.to, "digest": self.digest,
            "changed": self.changed, "also": [], "stopped_ms": self.changed.then_some(1_000), "rolled_back": self.rolled_back,
        })
    }

    pub(super) fn take_back(&mut self) {
        (self.step, self.rolled_back) = ("undoing", true);
    }
}

impl Engine {
    pub(super) fn begin_recreation(&mut self, container: &str, options: &RecreateOptions) -> Result<String, Error> {
        let image = self.image_to_recreate_on(container, options.image.as_deref())?;
        let found = self.find(container)?;
        let recreation = Recreation {
            name: found.name().to_owned(),
            container: found.identity().to_owned(),
            options: options.clone(),
            image,
            step: if options.pull { "pulling" } else { "creating" },
            pull: (None, 0, 0),
            replacement: None,
            from: text(&found.details, "/Image").to_owned(),
            to: None,
            digest: None,
            changed: false,
            rolled_back: false,
        };
        self.begin_checked_recreation(recreation)
    }

    pub(super) fn preview_recreation(&self, container: &str, image: Option<&str>) -> Result<Vec<Change>, Error> {
        let reference = self.image_to_recreate_on(container, image)?;
        let (found, image) = (self.find(container)?, self.image(&reference).ok_or(Error::NotFound)?);
        let change = |path: &str, from: &str, to: &str| {
            (from != to).then(|| Change { path: path.to_owned(), from: Some(from.into()), to: Some(to.into()) })
        };
        let changes = [
            change("/Config/Image", text(&found.details, "/Config/Image"), &reference),
            change("/Image", text(&found.details, "/Image"), &image.id),
        ];
        Ok(changes.into_iter().flatten().collect())
    }

    fn image_to_recreate_on(&self, container: &str, image: Option<&str>) -> Result<String, Error> {
        let image = image.unwrap_or_else(|| self.find(container).map_or("", |found| text(&found.details, "/Config/Image")));
        self.find(container)?;
        registry::resolve(image)?;
        Ok(image.to_owned())
    }

    pub(super) fn carry_out_recreation(&mut self, recreation: &mut Recreation) -> Result<(), Error> {
        let done = self.recreate(recreation);
        if done.is_err() {
            recreation.take_back();
        }
        done
    }

    fn recreate(&mut self, recreation: &mut Recreation) -> Result<(), Error> {
        if recreation.options.pull {
            self.pull(&recreation.image)?;
        }
        let image = self.image(&recreation.image).ok_or(Error::NotFound)?;
        let (id, digest) =
            (image.id.clone(), image.digests.first().and_then(|digest| digest.split_once('@')).map(|(_, digest)| digest.to_owned()));
        (recreation.to, recreation.digest) = (Some(id.clone()), digest);
        if let Some(error) = &self.failing_recreations {
            return Err(error.clone());
        }
        self.recreated += 1;
        let replacement = hex_id(&format!("{} {}", recreation.name, self.recreated));
        let container = self.find_mut(&recreation.container)?;
        if recreation.from == id && !recreation.options.again {
            return Ok(());
        }
        merge(&mut container.details, json!({"Id": replacement, "Image": id, "Config": {"Image": recreation.image}, "RestartCount": 0}));
        (recreation.step, recreation.changed, recreation.replacement) = ("removing", true, Some(replacement));
        Ok(())
    }

    pub(super) fn advance_recreations(&mut self, step: &str) {
        let known = STEPS.into_iter().find(|known| *known == step);
        for recreation in self.recreations() {
            recreation.step = known.unwrap_or(recreation.step);
        }
    }

    pub(super) fn advance_recreation_pulls(&mut self, status: &str, current: u64, total: u64) {
        for recreation in self.recreations() {
            recreation.pull = (Some(status.to_owned()), current, total);
        }
    }

    pub(super) fn fail_recreations(&mut self, error: Option<Error>) {
        let failing = error.is_some();
        self.failing_recreations = error;
        if failing {
            self.finish_all_recreations();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{Container, Host, Image};
    use crate::docker::containers_recreate::{self, RecreateOptions};
    use crate::docker::operations_read::{self, Operation, OperationState};
    use crate::docker::{Error, operations_cancel};

    /// A host on which `web` runs an image that has been published anew since.
    fn host() -> Host {
        let host = Host::install();
        host.image(Image::new("redis:7").id("sha256:old"));
        host.registry_image(Image::new("redis:7").id("sha256:new").digest("redis@sha256:aa"));
        host.container(Container::new("web").image("redis:7"));
        host
    }

    fn begin(again: bool) -> Result<String, Error> {
        containers_recreate::begin("web", &RecreateOptions { pull: true, again, ..RecreateOptions::default() })
    }

    #[track_caller]
    fn check(operation: &Operation, state: OperationState, changed: bool, rolled_back: bool) {
        let details: Value = operation.details().unwrap();
        assert_eq!((operation.kind.as_str(), operation.subject.as_str(), operation.state), ("recreate", "web", state), "{details}");
        assert_eq!((&details["changed"], &details["rolled_back"]), (&changed.into(), &rolled_back.into()), "{details}");
    }

    #[test]
    fn a_container_keeps_its_name_and_gets_another_id() {
        let host = host();
        let before = host.details("web").unwrap()["Id"].clone();
        let done = operations_read::get_one(&begin(false).unwrap()).unwrap();
        check(&done, OperationState::Succeeded, true, false);
        let (details, now): (Value, Value) = (done.details().unwrap(), host.details("web").unwrap());
        assert_eq!((&now["Image"], &now["Id"]), (&"sha256:new".into(), &details["replacement"]));
        assert_eq!((&before, "sha256:aa"), (&details["container"], details["digest"].as_str().unwrap()));
        check(&operations_read::get_one(&begin(false).unwrap()).unwrap(), OperationState::Succeeded, false, false);
        check(&operations_read::get_one(&begin(true).unwrap()).unwrap(), OperationState::Succeeded, true, false);
        assert_ne!(host.details("web").unwrap()["Id"], now["Id"]);
    }

    #[test]
    fn what_fails_or_is_cancelled_changes_nothing() {
        let host = host();
        let before = host.details("web");
        host.hold_recreations();
        let (first, busy) = (begin(false).unwrap(), begin(false));
        assert!(matches!(busy, Err(Error::Conflict(_))));
        host.advance_recreation_pulls("Downloading", 3, 9);
        host.advance_recreations("verifying");
        let seen: Value = operations_read::get_one(&first).unwrap().details().unwrap();
        assert_eq!((&seen["step"], &seen["status"], &seen["current"]), (&"verifying".into(), &"Downloading".into(), &3.into()));
        host.fail_recreations(Some(Error::Internal("the new container died".to_owned())));
        let failed = operations_read::get_one(&first).unwrap();
        check(&failed, OperationState::Failed, false, true);
        assert_eq!(failed.failure, Some(Error::Internal("the new container died".to_owned())));
        host.fail_recreations(None);
        let second = begin(false).unwrap();
        operations_cancel::cancel(&second).unwrap();
        host.finish_recreations();
        check(&operations_read::get_one(&second).unwrap(), OperationState::Cancelled, false, true);
        assert_eq!(host.details("web"), before);
        assert_eq!(containers_recreate::begin("gone", &RecreateOptions::default()), Err(Error::NotFound));
    }

    #[test]
    fn a_preview_changes_nothing() {
        let host = host();
        host.image(Image::new("redis:8").id("sha256:other"));
        assert_eq!(containers_recreate::preview("web", None).unwrap(), []);
        let paths: Vec<_> = containers_recreate::preview("web", Some("redis:8")).unwrap().into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["/Config/Image", "/Image"]);
        assert_eq!(containers_recreate::preview("web", Some("nothing")), Err(Error::NotFound));
    }
}
