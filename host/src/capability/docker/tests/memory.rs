//! An engine in memory. Over 500 lines because it is one engine: every function of the backend, and what they do to each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::time::Instant;

use super::super::backend::{Backend, Seen};
use super::super::grant::{
    AllowedRecreation, BuildableName, ControllableContainer, LoggedContainer, PullableImage, RemoteImage, RemovableContainer,
    RemovableImage,
};
use super::super::policy::{AllowedBuild, AllowedCreate, BuildMark, BuiltImage, CreationMark};
use super::super::reference::{ContainerName, ImageId, ImageName};
use crate::backend::engine::{
    ApiVersion, BuildError, BuildObserver, ContainerId, CreateError, Created, EngineAddress, EngineError, EngineVersion, LogRange,
    PullLine, RegistryAuth, Removal,
};
use crate::backend::operations::{Operation, Outcome, Recreated, Recreating, Recreation, RecreationProgress, Reserved, new_id};
use crate::backend::recreate::{RecreateError, Request};
use crate::backend::registry::RegistryError;
use crate::backend::stream::ByteStream;

mod build;

/// `web-1`, which runs.
pub(super) const WEB: &str = "a1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// `queue`, which is stopped. Its name cannot be taken for a prefix of an id.
pub(super) const DB: &str = "b1bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
pub(super) const REDIS: &str = "sha256:c1cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

struct Container {
    id: String,
    name: String,
    /// As it was created with.
    image: String,
    running: bool,
    labels: serde_json::Value,
}

/// The engine. It has two containers, one image, two networks and three volumes.
pub(super) struct MemoryEngine {
    containers: Mutex<Vec<Container>>,
    /// What was changed, in order: `start web-1`.
    acts: Mutex<Vec<String>>,
    /// What every call answers, if anything.
    broken: Mutex<Option<EngineError>>,
    /// Acts that fail: the first word of each, how, and until when; none is for ever.
    failing: Mutex<Vec<(&'static str, EngineError, Option<Instant>)>>,
    /// What becomes of creates whose answer is lost; none while all are answered.
    losing: Mutex<Option<Lost>>,
    /// The act that never ends.
    hanging: Mutex<Option<&'static str>>,
    /// The container that is being recreated.
    recreated: Mutex<Option<String>>,
    /// What was built.
    built: Mutex<Vec<Built>>,
    /// Which image has a name, of those that were given or taken.
    image_names: Mutex<BTreeMap<String, String>>,
    /// What a build whose client has gone will have made, and when.
    late: Mutex<Option<(Instant, Built)>>,
    /// What the context of the last build held.
    context: Mutex<BTreeMap<String, String>>,
}

/// An image that was built.
#[derive(Debug, Clone)]
struct Built {
    id: String,
    parent: String,
    /// The value of its label.
    mark: String,
}

/// On which instructions are carried out with what is built on it.
pub(super) const TRIGGERS: &str = "sha256:9999999999999999999999999999999999999999999999999999999999999999";
/// The container that a build leaves that hangs.
const BUILDER: &str = "f1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// What became of a create whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The container is there.
    Made,
    /// It never will be.
    NotMade,
    /// It is there when somebody has looked for it so many times.
    MadeAfter(usize),
    /// A container of that name is there, which somebody else made.
    MadeByOther,
}

impl Default for MemoryEngine {
    fn default() -> MemoryEngine {
        let web = Container {
            id: WEB.to_owned(),
            name: "web-1".to_owned(),
            image: "redis:7".to_owned(),
            running: true,
            labels: json!({ "tier": "front" }),
        };
        let db = Container { id: DB.to_owned(), name: "queue".to_owned(), image: "redis:7".to_owned(), running: false, labels: json!({}) };
        MemoryEngine {
            containers: Mutex::new(vec![web, db]),
            acts: Mutex::default(),
            broken: Mutex::default(),
            failing: Mutex::default(),
            losing: Mutex::default(),
            hanging: Mutex::default(),
            recreated: Mutex::default(),
            built: Mutex::default(),
            image_names: Mutex::new(
                [("redis:7", REDIS), ("triggers:1", TRIGGERS)].map(|(name, id)| (name.to_owned(), id.to_owned())).into(),
            ),
            late: Mutex::default(),
            context: Mutex::default(),
        }
    }
}

impl MemoryEngine {
    /// From now on everything answers `error`.
    pub(super) fn break_down(&self, error: EngineError) {
        *self.broken.lock().unwrap() = Some(error);
    }

    /// From now on acts of this kind answer `error`.
    pub(super) fn fail(&self, act: &'static str, error: EngineError) {
        self.failing.lock().unwrap().push((act, error, None));
    }

    /// For so long, by tokio's clock, acts of this kind answer `error`.
    pub(super) fn fail_for(&self, time: Duration, act: &'static str, error: EngineError) {
        self.failing.lock().unwrap().push((act, error, Some(Instant::now() + time)));
    }

    /// From now on this act never ends.
    pub(super) fn hang_at(&self, act: &'static str) {
        *self.hanging.lock().unwrap() = Some(act);
    }

    async fn hang(&self, act: &str) {
        if *self.hanging.lock().unwrap() == Some(act) {
            std::future::pending::<()>().await;
        }
    }

    /// From now on the answers to creates are lost.
    pub(super) fn lose(&self, lost: Lost) {
        *self.losing.lock().unwrap() = Some(lost);
    }

    /// The image that a container was created with.
    pub(super) fn image_of(&self, name: &str) -> String {
        self.containers.lock().unwrap().iter().find(|container| container.name == name).unwrap().image.clone()
    }

    /// The value of a label of a container.
    pub(super) fn label_of(&self, name: &str, label: &str) -> String {
        let containers = self.containers.lock().unwrap();
        containers.iter().find(|container| container.name == name).unwrap().labels[label].as_str().unwrap().to_owned()
    }

    /// The names of all containers.
    pub(super) fn names(&self) -> Vec<String> {
        self.containers.lock().unwrap().iter().map(|container| container.name.clone()).collect()
    }

    /// What was changed so far.
    pub(super) fn acts(&self) -> Vec<String> {
        self.acts.lock().unwrap().clone()
    }

    fn ask(&self) -> Result<(), EngineError> {
        self.broken.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn act(&self, act: &'static str, object: &str) -> Result<(), EngineError> {
        self.ask()?;
        self.acts.lock().unwrap().push(format!("{act} {object}"));
        let failing = self.failing.lock().unwrap();
        let mut failures = failing.iter().filter(|(kind, _, until)| *kind == act && until.is_none_or(|until| Instant::now() < until));
        failures.next().map_or(Ok(()), |(_, error, _)| Err(error.clone()))
    }

    fn with<T>(&self, id: &ContainerId, change: impl FnOnce(&mut Container) -> T) -> Result<T, EngineError> {
        let mut containers = self.containers.lock().unwrap();
        containers
            .iter_mut()
            .find(|container| container.id == id.as_str())
            .map(change)
            .ok_or_else(|| EngineError::NotFound("gone".to_owned()))
    }

    fn name_of(&self, id: &ContainerId) -> String {
        self.with(id, |container| container.name.clone()).unwrap_or_else(|_| "?".to_owned())
    }
}

fn bytes(value: &serde_json::Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn status(running: bool) -> &'static str {
    if running { "running" } else { "exited" }
}

#[async_trait]
impl Backend for MemoryEngine {
    async fn list_containers(&self, all: bool, labels: &[String]) -> Result<Bytes, EngineError> {
        self.ask()?;
        let containers = self.containers.lock().unwrap();
        let shown = containers
            .iter()
            .filter(|container| all || container.running)
            .filter(|container| labels.iter().all(|label| container.labels.get(label.split('=').next().unwrap()).is_some()));
        let items: Vec<_> = shown
            .map(|container| {
                json!({ "Id": container.id, "Names": ["/other/link", format!("/{}", container.name)], "Image": "redis:7", "ImageID": REDIS,
                        "State": status(container.running), "Labels": container.labels })
            })
            .collect();
        Ok(bytes(&items.into()))
    }

    async fn inspect_container(&self, name: &ContainerName) -> Result<Bytes, EngineError> {
        self.ask()?;
        if let Some(Lost::MadeAfter(questions)) = &mut *self.losing.lock().unwrap()
            && let Some(left) = questions.checked_sub(1)
        {
            *questions = left;
            return Err(EngineError::NotFound("no such container".to_owned()));
        }
        let containers = self.containers.lock().unwrap();
        let by_name = containers.iter().find(|container| container.name == name.as_str() || container.id == name.as_str());
        let mut by_prefix = containers.iter().filter(|container| container.id.starts_with(name.as_str()));
        let found = by_name.or_else(|| by_prefix.next()).ok_or_else(|| EngineError::NotFound("no such container".to_owned()))?;
        if by_name.is_none() && by_prefix.next().is_some() {
            return Err(EngineError::Invalid("multiple IDs found with provided prefix".to_owned()));
        }
        // Numbers that no float holds, and fields of an engine to come.
        let body = format!(
            r#"{{"Id":"{}","Future":123456789012345678901234567890,"Name":"/{}","State":{{"Status":"{}"}},"Config":{{"Env":["PASSWORD=secret"],"Image":"redis:7","Labels":{},"Tty":false,"Z":1.50}},"A":[]}}"#,
            found.id,
            found.name,
            status(found.running),
            found.labels
        );
        Ok(Bytes::from(body))
    }

    async fn log(&self, _: &LoggedContainer, range: &LogRange) -> Result<ByteStream, EngineError> {
        self.ask()?;
        let text = format!("log, tail {:?}", range.tail);
        Ok(ByteStream::new(futures_util::stream::iter([Ok(Bytes::from(text))])))
    }

    async fn start(&self, container: &ControllableContainer) -> Result<(), EngineError> {
        self.act("start", &self.name_of(container.id()))?;
        self.with(container.id(), |container| container.running = true)
    }

    async fn stop(&self, container: &ControllableContainer, grace_secs: Option<u32>) -> Result<(), EngineError> {
        let grace = grace_secs.map_or("default".to_owned(), |secs| secs.to_string());
        self.act("stop", &format!("{} {grace}", self.name_of(container.id())))?;
        self.with(container.id(), |container| container.running = false)
    }

    async fn create(&self, container: &AllowedCreate, mark: &CreationMark) -> Result<Created, CreateError> {
        self.act("create", container.name()).map_err(CreateError::Refused)?;
        if let Some(requirement) = container.requirement() {
            let spoken = ApiVersion::parse("1.41").unwrap();
            if requirement.since > spoken {
                return Err(CreateError::Refused(EngineError::TooOld { requirement: requirement.clone(), spoken }));
            }
        }
        let lost = *self.losing.lock().unwrap();
        let no_answer = CreateError::Unknown(EngineError::Lost("connection reset".to_owned()));
        if lost == Some(Lost::NotMade) {
            return Err(no_answer);
        }
        let mut containers = self.containers.lock().unwrap();
        if let Some(existing) = containers.iter().find(|existing| existing.name == container.name()) {
            let id = &existing.id;
            let reason = format!("Conflict. The container name \"/{}\" is already in use by container \"{id}\".", existing.name);
            return Err(CreateError::Refused(EngineError::Conflict(reason)));
        }
        let id = format!("{:064x}", 0xd000 + containers.len());
        let specification: serde_json::Value = serde_json::from_str(&container.body(mark)).unwrap();
        let labels = match lost {
            Some(Lost::MadeByOther) => json!({ "wharf.create": "another" }),
            _ => specification.get("Labels").cloned().unwrap(),
        };
        containers.push(Container {
            id: id.clone(),
            name: container.name().to_owned(),
            image: specification["Image"].as_str().unwrap().to_owned(),
            running: false,
            labels,
        });
        match lost {
            None => Ok(Created { id: ContainerId::parse(&id).unwrap(), warnings: Vec::new() }),
            Some(_) => Err(no_answer),
        }
    }

    async fn remove(&self, container: &RemovableContainer, removal: Removal) -> Result<(), EngineError> {
        let options = format!("{}{}", if removal.force { " force" } else { "" }, if removal.volumes { " volumes" } else { "" });
        self.act("remove", &(self.name_of(container.id()) + &options))?;
        if self.with(container.id(), |container| container.running)? && !removal.force {
            return Err(EngineError::Conflict("it is running".to_owned()));
        }
        self.containers.lock().unwrap().retain(|existing| existing.id != container.id().as_str());
        Ok(())
    }

    async fn recreate(&self, recreation: AllowedRecreation, reserved: Reserved, _: Duration) -> Result<Arc<Operation>, RecreateError> {
        let Request { container, name, labels, spelling, .. } = recreation.into_request();
        self.act("recreate", &format!("{} on {spelling}", self.name_of(&container)))?;
        let engine = EngineAddress::Unix(super::SOCKET.into());
        let progress = Arc::new(RecreationProgress::new(Recreating::new(container.as_str().to_owned(), spelling, REDIS.to_owned())));
        let work = Box::new(|_| Box::pin(std::future::ready(Outcome::Succeeded)) as BoxFuture<'static, Outcome>);
        Ok(reserved.recreate(Recreation { id: new_id(), container: Recreated { name, labels, engine }, progress, work }))
    }

    async fn preview(&self, recreation: AllowedRecreation) -> Result<String, RecreateError> {
        self.ask()?;
        Ok(json!([{ "path": "/Config/Image", "from": "redis:7", "to": recreation.into_request().spelling }]).to_string())
    }

    fn is_recreated(&self, name: &str, _: &str) -> bool {
        *self.recreated.lock().unwrap() == Some(name.to_owned())
    }

    fn is_aside(&self, name: &str) -> bool {
        name.contains(".new-")
    }

    async fn inspect_image(&self, name: &ImageName) -> Result<Bytes, EngineError> {
        self.ask()?;
        let asked = name.for_engine();
        let by_id = REDIS.starts_with(&asked).then(|| REDIS.to_owned());
        let id = by_id.or_else(|| self.image_called(&asked)).ok_or_else(|| EngineError::NotFound("no such image".to_owned()))?;
        let triggers = if id == TRIGGERS { json!(["RUN evil"]) } else { json!(null) };
        let config = json!({ "OnBuild": triggers });
        let (name, platform) = (if id == REDIS { "redis:7" } else { &asked }, ["linux", "amd64"]);
        Ok(bytes(
            &json!({ "Id": id, "RepoTags": [name], "RepoDigests": null, "Os": platform[0], "Architecture": platform[1], "Config": config }),
        ))
    }

    async fn list_images(&self) -> Result<Bytes, EngineError> {
        self.ask()?;
        let digest = format!("redis@{REDIS}");
        Ok(bytes(&json!([
            { "Id": REDIS, "RepoTags": ["redis:7", "other.example/redis:7"], "RepoDigests": [digest], "Created": 1_600_000_000, "Size": 5 },
            { "Id": "sha256:d1", "RepoTags": ["nginx:1"], "RepoDigests": null, "Size": 5 },
            { "Id": "sha256:e1", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"], "Size": 5 },
        ])))
    }

    async fn pull(&self, image: &PullableImage, auth: Option<&RegistryAuth>, seen: &mut Seen<'_>) -> Result<(), EngineError> {
        let name = format!("{} {}", image.repository(), image.tag_or_digest());
        let status = if auth.is_some() { "Downloading" } else { "Downloading for nobody" };
        seen(PullLine { id: "c1cccccccccc".to_owned(), status: status.to_owned(), current: Some(5), total: Some(10) });
        self.act("pull", &name)?;
        self.hang(&format!("pull {name}")).await;
        Ok(())
    }

    async fn remove_image(&self, image: &RemovableImage) -> Result<Bytes, EngineError> {
        let name = image.for_engine();
        self.act("remove-image", &name)?;
        self.hang(&format!("remove-image {name}")).await;
        match name.as_str() {
            "redis:7" => Ok(bytes(&json!([{ "Untagged": "redis:7" }, { "Untagged": "redis@sha256:2" }, { "Deleted": REDIS }]))),
            "redis:used" => {
                Err(EngineError::Conflict(format!("unable to remove redis:used (must force) - container {} is using it", &WEB[..12])))
            }
            _ => Err(EngineError::NotFound("no such image".to_owned())),
        }
    }

    async fn build(&self, build: AllowedBuild, observer: Arc<dyn BuildObserver>) -> Result<String, BuildError> {
        self.carry_out(build, &*observer).await
    }

    async fn images_of_build(&self, mark: &BuildMark) -> Result<Bytes, EngineError> {
        self.ask()?;
        let names = self.image_names.lock().unwrap();
        let names_of = |id: &str| -> Vec<String> { names.iter().filter(|(_, named)| *named == id).map(|(name, _)| name.clone()).collect() };
        let mut built = self.built.lock().unwrap();
        built.extend(self.late.lock().unwrap().take_if(|(at, _)| *at <= Instant::now()).map(|(_, image)| image));
        let items = built.iter().filter(|built| mark.label() == format!("wharf.build={}", built.mark)).map(|built| {
            json!({ "Id": built.id, "ParentId": built.parent, "RepoTags": names_of(&built.id), "Labels": { "wharf.build": built.mark } })
        });
        Ok(bytes(&items.collect()))
    }

    async fn name_image(&self, image: &ImageId, name: &BuildableName) -> Result<(), EngineError> {
        let name = name.reference().familiar();
        self.act("name", &name)?;
        if self.failing.lock().unwrap().iter().any(|(act, ..)| *act == "name-second") && name.starts_with("second") {
            return Err(EngineError::Failed { status: 500, reason: "no space".to_owned() });
        }
        self.image_names.lock().unwrap().insert(name, image.as_str().to_owned());
        Ok(())
    }

    async fn unname_image(&self, name: &BuildableName) -> Result<(), EngineError> {
        let name = name.reference().familiar();
        self.act("unname", &name)?;
        self.image_names.lock().unwrap().remove(&name);
        Ok(())
    }

    async fn remove_built(&self, image: &BuiltImage) -> Result<(), EngineError> {
        self.act("remove-built", "")?;
        let id = image.id().as_str();
        let mut built = self.built.lock().unwrap();
        if built.iter().any(|built| built.parent == id) {
            return Err(EngineError::Conflict("image has dependent child images".to_owned()));
        }
        built.retain(|built| built.id != id);
        Ok(())
    }

    async fn prune_images(&self) -> Result<Bytes, EngineError> {
        self.act("prune-images", "")?;
        Ok(bytes(&json!({ "ImagesDeleted": [{ "Deleted": REDIS }], "SpaceReclaimed": 5 })))
    }

    async fn distribution(&self, image: &RemoteImage, auth: Option<&RegistryAuth>) -> Result<Bytes, EngineError> {
        self.ask()?;
        if image.for_engine() != "redis:7" {
            return Err(EngineError::NotFound("manifest unknown".to_owned()));
        }
        let media_type = if auth.is_some() { "in-a-name" } else { "in-no-name" };
        Ok(bytes(&json!({ "Descriptor": { "mediaType": media_type, "digest": REDIS, "size": 1 }, "Platforms": [] })))
    }

    async fn registry_auth(&self, registry: &str) -> Result<Option<RegistryAuth>, RegistryError> {
        match registry {
            "docker.io" => Ok(Some(RegistryAuth::new("secret".to_owned()))),
            "broken.example" => {
                Err(RegistryError::Credentials { registry: registry.to_owned(), reason: "there is no such file".to_owned() })
            }
            _ => Ok(None),
        }
    }

    async fn list_networks(&self) -> Result<Bytes, EngineError> {
        self.ask()?;
        Ok(bytes(
            &json!([{ "Id": "n1", "Name": "lopco-network", "Driver": "bridge" }, { "Id": "n2", "Name": "bridge", "Driver": "bridge" }]),
        ))
    }

    async fn list_volumes(&self) -> Result<Bytes, EngineError> {
        self.ask()?;
        let anonymous = "e".repeat(64);
        Ok(bytes(
            &json!({ "Volumes": [{ "Name": "data_cache", "Driver": "local" }, { "Name": "other", "Driver": "local" }, { "Name": anonymous }] }),
        ))
    }

    async fn version(&self) -> Result<EngineVersion, EngineError> {
        self.ask()?;
        let api_version = ApiVersion::parse("1.41").unwrap();
        Ok(EngineVersion { version: "20.10".to_owned(), api_version, os: "linux".to_owned(), architecture: "amd64".to_owned() })
    }
}
