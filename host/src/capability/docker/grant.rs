//! The `docker` grant: what a plugin may do on an engine, and to which of its objects.
//!
//! Read from `[site.plugin.grants.docker]` of `wharf.toml`. Pure: nothing here talks to the engine, so every rule can be tested as a table. A power (`allow`) links an interface;
//! a scope narrows it to some objects; each check answers a proof value, and the backend takes nothing else. What a new container may be is in `policy`.
//!
//! A scope is decided on what the engine says an object is (its own name and its labels), never on the text by which a plugin asked for it. The answer to the plugin must not tell
//! whether an object outside the scope exists: see [`DockerGrant::answer_for_absent`].

use std::sync::Arc;

use super::super::call::Denied;
use super::super::powers::{self, Powers};
use super::convert::{ContainerDetails, ContainerIdentity, ImageIdentity};
use super::reference::{ContainerName, ImageName, ImageReference, NewContainerName, is_generated};
use crate::backend::pattern::Pattern;
use crate::backend::recreate::{RecreateOptions, Request};
use crate::settings::location::{Located, Location};

mod proof;
mod settings;

use proof::ImageInUse;
pub(crate) use proof::{
    AllowedImage, AllowedRecreation, BuildableName, ControllableContainer, LoggedContainer, PullableImage, ReadableContainer, RemoteImage,
    RemovableContainer, RemovableImage,
};

/// One word of `allow`: it links one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    ContainersRead,
    ContainersEnv,
    ContainersLogs,
    ContainersLifecycle,
    ContainersCreate,
    ContainersRemove,
    ContainersRecreate,
    ImagesRead,
    ImagesPull,
    ImagesBuild,
    ImagesRemove,
    ImagesPrune,
    DistributionRead,
    OperationsRead,
    OperationsCancel,
    NetworksRead,
    VolumesRead,
    SystemRead,
}

impl powers::Power for Power {
    const ROOM: &'static str = "docker";
    const WORDS: &'static [(&'static str, Power)] = &[
        ("containers.read", Power::ContainersRead),
        ("containers.env", Power::ContainersEnv),
        ("containers.logs", Power::ContainersLogs),
        ("containers.lifecycle", Power::ContainersLifecycle),
        ("containers.create", Power::ContainersCreate),
        ("containers.remove", Power::ContainersRemove),
        ("containers.recreate", Power::ContainersRecreate),
        ("images.read", Power::ImagesRead),
        ("images.pull", Power::ImagesPull),
        ("images.build", Power::ImagesBuild),
        ("images.remove", Power::ImagesRemove),
        ("images.prune", Power::ImagesPrune),
        ("distribution.read", Power::DistributionRead),
        ("operations.read", Power::OperationsRead),
        ("operations.cancel", Power::OperationsCancel),
        ("networks.read", Power::NetworksRead),
        ("volumes.read", Power::VolumesRead),
        ("system.read", Power::SystemRead),
    ];
}

/// What the operator allows one plugin on one engine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DockerGrant {
    engine: Located<String>,
    powers: Powers<Power>,
    containers: ContainerScope,
    /// Patterns on full references; none covers all images.
    images: Option<Vec<Pattern>>,
    /// The networks that a new container may join, by name.
    pub(super) networks: Vec<String>,
    /// Patterns on names; none covers all volumes that people named.
    volumes: Option<Vec<Pattern>>,
    pub(super) create: CreateGrant,
}

/// Which containers: both conditions hold.
#[derive(Debug, Clone, Default, PartialEq)]
struct ContainerScope {
    /// None covers every name.
    names: Option<Vec<Pattern>>,
    /// One of them must be there; none asks for no label.
    labels: Option<Vec<LabelCondition>>,
}

/// `key` or `key=value`.
#[derive(Debug, Clone, PartialEq)]
struct LabelCondition {
    key: String,
    value: Option<String>,
}

/// What else a new container may be: `[site.plugin.grants.docker.create]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CreateGrant {
    pub(super) privileged: bool,
    /// Absolute paths without `.`, `..` and double slashes. What lies below is covered too.
    ///
    /// The path is checked as text and the engine follows symbolic links, when a container is created and again at each start. So a link below such a path leads wherever it points, and
    /// whoever may write there can make one, a container that has it mounted among them. To a plugin that is not trusted with the whole machine, give only paths below which neither containers
    /// nor other users can write.
    pub(super) host_paths: Vec<String>,
    /// `KIND=MODE` as `docker run` has them: `network=host`, `pid=container:db`.
    pub(super) namespaces: Vec<String>,
    pub(super) devices: Vec<String>,
    pub(super) device_requests: bool,
    /// In upper case, without `CAP_`.
    pub(super) capabilities: Vec<String>,
    /// With `=` between key and value.
    pub(super) security_options: Vec<String>,
    pub(super) cgroup_parents: Vec<String>,
    pub(super) runtimes: Vec<String>,
    pub(super) sysctls: Vec<String>,
    pub(super) lowest_port: u16,
    /// The socket of the room's own engine, which no bind may lead to. Not from the configuration.
    pub(super) guarded_socket: Option<String>,
}

/// Ports below this one belong to the machine's own services.
const FIRST_USER_PORT: u16 = 1024;

impl Default for CreateGrant {
    fn default() -> CreateGrant {
        CreateGrant {
            privileged: false,
            host_paths: Vec::new(),
            namespaces: Vec::new(),
            devices: Vec::new(),
            device_requests: false,
            capabilities: Vec::new(),
            security_options: Vec::new(),
            cgroup_parents: Vec::new(),
            runtimes: Vec::new(),
            sysctls: Vec::new(),
            lowest_port: FIRST_USER_PORT,
            guarded_socket: None,
        }
    }
}

/// What to answer a plugin about an object that is not there, or that it may not know to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    NotFound,
    Denied,
}

impl DockerGrant {
    /// A grant of nothing.
    pub(super) fn nothing() -> DockerGrant {
        let nowhere = Location { file: std::path::Path::new("").into(), line: 1, column: 1 };
        DockerGrant {
            engine: Located { value: "default".to_owned(), at: nowhere },
            powers: Powers::default(),
            containers: ContainerScope::default(),
            images: None,
            networks: Vec::new(),
            volumes: None,
            create: CreateGrant::default(),
        }
    }

    /// The engine that the grant is for, by the name of its table `[engine.NAME]`. Without the key it is `default`, at the place of the grant.
    pub(crate) fn engine(&self) -> &Located<String> {
        &self.engine
    }

    /// Whether `other` allows the same, wherever in the file it stands.
    pub(crate) fn same_as(&self, other: &DockerGrant) -> bool {
        self.engine.value == other.engine.value && *self == DockerGrant { engine: self.engine.clone(), ..other.clone() }
    }

    /// Whether `power`, a word of `allow`, was granted.
    pub(crate) fn has(&self, power: &str) -> bool {
        self.powers.has(power)
    }

    /// The same grant on an engine that listens at `socket`; none for one without a socket of its own.
    pub(super) fn on_engine_at(mut self, socket: Option<&std::path::Path>) -> DockerGrant {
        self.create.guarded_socket = socket.map(|path| path.to_string_lossy().into_owned());
        self
    }

    /// Checks that `power` was granted.
    pub(super) fn power(&self, power: Power) -> Result<(), Denied> {
        self.powers.check(power)
    }

    /// What to answer about `name` if no container answers to it, or one that the grant does not cover: the same for both, so that the answer tells nothing.
    ///
    /// `denied` if a name like it is never covered. A prefix of an id may be anybody's, and a container that was removed must be seen to be gone: `not-found`.
    pub(super) fn answer_for_absent(&self, name: &ContainerName) -> Absent {
        if name.may_be_id() || self.covers_name(name.as_str()) { Absent::NotFound } else { Absent::Denied }
    }

    /// Checks what can be checked before the engine is asked about `name`.
    pub(super) fn may_ask_for(&self, action: &'static str, name: &ContainerName) -> Result<(), Denied> {
        match self.answer_for_absent(name) {
            Absent::NotFound => Ok(()),
            Absent::Denied => Err(self.outside(action, name.as_str())),
        }
    }

    /// Checks that the container of `details` may be read.
    pub(super) fn readable(&self, details: ContainerDetails) -> Result<ReadableContainer, Denied> {
        self.within("read", &details.identity)?;
        Ok(ReadableContainer(details))
    }

    /// Whether a list shows a container of this name and these labels. Its name is empty while it is being removed.
    pub(super) fn lists(&self, name: &str, labels: &[(String, String)]) -> bool {
        self.covers_name(name) && self.covers_labels(labels)
    }

    /// Checks that the log of `container` may be read.
    pub(super) fn logged(&self, container: &ContainerIdentity) -> Result<LoggedContainer, Denied> {
        self.within("read the log of", container)?;
        Ok(LoggedContainer { id: container.id.clone(), tty: container.tty })
    }

    /// Checks that `container` may be started and stopped.
    pub(super) fn controllable(&self, container: &ContainerIdentity) -> Result<ControllableContainer, Denied> {
        self.within("start or stop", container)?;
        Ok(ControllableContainer { id: container.id.clone(), stop_timeout_secs: container.stop_timeout_secs })
    }

    /// Checks that `container` may be removed.
    pub(super) fn removable(&self, container: &ContainerIdentity) -> Result<RemovableContainer, Denied> {
        self.within("remove", container)?;
        Ok(RemovableContainer(container.id.clone()))
    }

    /// Checks that `container` is one that may be recreated, on whichever image.
    pub(super) fn covered(&self, container: &ContainerIdentity) -> Result<(), Denied> {
        self.within("recreate", container)
    }

    /// Checks that `container` may be recreated on the image that `reference` stands for. Containers that depend on it must be covered too, which is found out when it is known which they are.
    pub(super) fn recreation(
        &self,
        container: &ContainerIdentity,
        reference: &ImageReference,
        options: RecreateOptions,
    ) -> Result<AllowedRecreation, Denied> {
        self.within("recreate", container)?;
        if !self.covers_image(reference) {
            return Err(outside_images("recreate a container on", &ImageName::Reference(reference.clone())));
        }
        // As it was spelled, if that is what it is to be: whoever compares the two finds the same text.
        let own = ImageReference::parse(&container.image).is_ok_and(|own| own == *reference);
        let scope = self.clone();
        Ok(AllowedRecreation(Request {
            container: container.id.clone(),
            name: container.name.clone(),
            labels: container.labels.clone(),
            image: reference.clone(),
            spelling: if own { container.image.clone() } else { reference.familiar() },
            options,
            covers: Arc::new(move |name, labels| scope.lists(name, labels)),
        }))
    }

    /// Why a dependent that the grant does not cover stands in the way.
    pub(super) fn outside_dependent(&self, name: &str) -> Denied {
        self.outside("recreate", name)
    }

    /// Checks that a container of this name and these labels may be made.
    pub(super) fn may_create(&self, name: &NewContainerName, labels: &[(String, String)]) -> Result<(), Denied> {
        if self.covers_name(name.as_str()) && self.covers_labels(labels) { Ok(()) } else { Err(self.outside("create", name.as_str())) }
    }

    /// Checks that the image that `reference` stands for may be used.
    pub(super) fn image(&self, action: &'static str, reference: &ImageReference) -> Result<AllowedImage, Denied> {
        if self.covers_image(reference) {
            return Ok(AllowedImage(ImageInUse::Reference(reference.clone())));
        }
        Err(outside_images(action, &ImageName::Reference(reference.clone())))
    }

    /// Checks that the image that was named by an id, and of which the engine says `identity`, may be used. It is covered by its tags and digests.
    pub(super) fn image_by_id(&self, action: &'static str, identity: &ImageIdentity) -> Result<AllowedImage, Denied> {
        if self.lists_image(identity.references.iter()) {
            return Ok(AllowedImage(ImageInUse::Id(identity.id.clone())));
        }
        Err(outside_images(action, &ImageName::Id(identity.id.as_str().to_owned())))
    }

    /// Whether a list shows an image of these tags and digests. It is covered when one of them is; one without a name only where the grant does not narrow images.
    pub(super) fn lists_image<'a>(&self, references: impl Iterator<Item = &'a String>) -> bool {
        let mut references = references.filter_map(|reference| ImageReference::parse(reference).ok());
        self.images.is_none() || references.any(|reference| self.covers_image(&reference))
    }

    /// Checks that `reference` may be pulled.
    pub(super) fn pullable(&self, reference: &ImageReference) -> Result<PullableImage, Denied> {
        if self.covers_image(reference) {
            return Ok(PullableImage(reference.clone()));
        }
        Err(outside_images("pull", &ImageName::Reference(reference.clone())))
    }

    /// Checks that an image may be built that is called `reference`, which has a tag.
    pub(super) fn buildable(&self, reference: &ImageReference) -> Result<BuildableName, Denied> {
        if self.covers_image(reference) {
            return Ok(BuildableName(reference.clone()));
        }
        Err(outside_images("build", &ImageName::Reference(reference.clone())))
    }

    /// Checks that the name `reference` may be removed. Where it has a tag and a digest it is the digest that is removed, which is what was checked.
    pub(super) fn removable_image(&self, reference: &ImageReference) -> Result<RemovableImage, Denied> {
        if !self.covers_image(reference) {
            return Err(outside_images("remove", &ImageName::Reference(reference.clone())));
        }
        Ok(RemovableImage(reference.digest().map_or_else(|| reference.clone(), |digest| reference.at_digest(digest))))
    }

    /// Checks that the engine may ask a registry about `reference`.
    pub(super) fn remote_image(&self, reference: &ImageReference) -> Result<RemoteImage, Denied> {
        if self.covers_image(reference) {
            return Ok(RemoteImage(reference.clone()));
        }
        Err(outside_images("ask a registry about", &ImageName::Reference(reference.clone())))
    }

    /// Whether a container called `own` may be known to others on its networks as `alias` too.
    ///
    /// A scope by labels says nothing of names, and whatever answers to a name that is not its own could be taken for a container outside of the scope.
    pub(super) fn covers_alias(&self, own: &str, alias: &str) -> bool {
        match &self.containers.names {
            Some(_) => self.covers_name(alias),
            None => self.containers.labels.is_none() || alias == own,
        }
    }

    /// Whether the grant names the network called `name`.
    pub(super) fn covers_network(&self, name: &str) -> bool {
        self.networks.iter().any(|granted| granted == name)
    }

    /// Whether the grant covers the volume called `name`. A volume without a name of its own belongs to the container that it was made for.
    pub(super) fn covers_volume(&self, name: &str) -> bool {
        match &self.volumes {
            None => !is_generated(name),
            Some(patterns) => patterns.iter().any(|pattern| pattern.covers(name)),
        }
    }

    /// A pattern covers a reference if it covers its full form, or its repository, and with that every tag and digest.
    pub(super) fn covers_image(&self, reference: &ImageReference) -> bool {
        let (decisive, repository) = (reference.decisive(), reference.repository());
        self.images.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.covers(&decisive) || pattern.covers(&repository)))
    }

    fn within(&self, action: &'static str, container: &ContainerIdentity) -> Result<(), Denied> {
        if self.lists(&container.name, &container.labels) { Ok(()) } else { Err(self.outside(action, &container.name)) }
    }

    fn covers_name(&self, name: &str) -> bool {
        self.containers.names.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.covers(name)))
    }

    fn covers_labels(&self, labels: &[(String, String)]) -> bool {
        self.containers.labels.as_ref().is_none_or(|conditions| conditions.iter().any(|condition| condition.holds(labels)))
    }

    fn outside(&self, action: &'static str, name: &str) -> Denied {
        let remedy = if self.covers_name(name) {
            let labels = self.containers.labels.iter().flatten().map(LabelCondition::to_string);
            format!("give the container one of the labels {}", labels.collect::<Vec<_>>().join(", "))
        } else {
            format!("containers.names = [\"{name}\"]")
        };
        Denied { action, object: format!("container {name}"), remedy }
    }
}

impl LabelCondition {
    fn parse(text: &str) -> LabelCondition {
        match text.split_once('=') {
            Some((key, value)) => LabelCondition { key: key.to_owned(), value: Some(value.to_owned()) },
            None => LabelCondition { key: text.to_owned(), value: None },
        }
    }

    fn holds(&self, labels: &[(String, String)]) -> bool {
        labels.iter().any(|(key, value)| *key == self.key && self.value.as_ref().is_none_or(|wanted| wanted == value))
    }
}

impl std::fmt::Display for LabelCondition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            Some(value) => write!(formatter, "`{}={value}`", self.key),
            None => write!(formatter, "`{}`", self.key),
        }
    }
}

fn outside_images(action: &'static str, name: &ImageName) -> Denied {
    let remedy = match name {
        ImageName::Reference(reference) => format!("images = [\"{}\"]", reference.decisive()),
        ImageName::Id(_) => "name the image by a reference that `images` covers".to_owned(),
    };
    Denied { action, object: format!("image {name}"), remedy }
}

/// The one spelling of a capability: the engine takes any case, with or without `CAP_`.
pub(super) fn capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").map(str::to_owned).unwrap_or(upper)
}

/// The one spelling of a security option: the engine takes `key=value` and `key:value`.
pub(super) fn security_option(option: &str) -> String {
    match option.split_once(if option.contains('=') { '=' } else { ':' }) {
        Some((key, value)) => format!("{key}={value}"),
        None => option.to_owned(),
    }
}

/// Whether `path` is absolute and means what it says: no `.`, no `..`, no double or trailing slash.
pub(super) fn is_plain_path(path: &str) -> bool {
    match path.strip_prefix('/') {
        Some("") => true,
        Some(rest) => !path.contains('\0') && rest.split('/').all(|component| !matches!(component, "" | "." | "..")),
        None => false,
    }
}
