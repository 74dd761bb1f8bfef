//! What a new container may be: the checks on the one form of its specification.
//!
//! Whatever gives a container a piece of the machine or of another container is denied unless the grant names it, and a few things that nobody needs through an API have no grant at
//! all. Everything here is decided on the tree of [`super::specification`], whose every key is listed there; a key that is not looked at here limits or
//! describes the container itself. What a build may be is in [`build`]. Mounts are in [`mounts`], networks and ports in [`network`], and in [`bounds`] how much of what is allowed one container may ask for.
//!
//! **Names.** A container answers on its networks to its own name, to its `Aliases` and, from engine 25 on, to its `Hostname`, and the engine shares requests for one name out among
//! all that answer to it. So where the grant narrows which containers there are for the plugin, these names are held against the same patterns as a container's own; otherwise a plugin for `web-*`
//! could take half of what others send to `db`. Without a scope they are free. Link-local addresses are not given at all: they bypass the address management of a network, so that one
//! container could take another's.
//!
//! **The mark.** A create whose answer is lost may or may not have made a container, and a container of that name may be somebody else's: one that was there before, or one that another
//! request made meanwhile. Name and time cannot tell these apart (two requests for one name, of which one gets the container and the other loses its answer, differ in neither), so each
//! create carries a value of its own in the label [`CREATION_LABEL`], and only a container that has it is removed again. It is the one thing that the host adds to what was checked,
//! and it replaces what a plugin puts there.

mod bounds;
mod build;
mod logging;
mod mounts;
mod network;

pub(super) use build::{
    AllowedBuild, BUILD_LABEL, BuildContext, BuildMark, BuiltImage, ContextRefusal, check_arguments, check_labels, names as check_names,
};

use super::super::call::Denied;
use super::grant::{AllowedImage, CreateGrant, DockerGrant, capability, security_option};
use super::reference::{ContainerName, ImageName, NewContainerName};
use super::specification::{self, Json};
use crate::backend::engine::Requirement;

/// The label in which a container carries the mark of the create that made it.
pub(super) const CREATION_LABEL: &str = "wharf.create";

/// Limits with which a container can slow down nobody but itself. The others give it priority over the machine's processes.
const ULIMITS: &[&str] =
    &["as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nofile", "nproc", "rss", "sigpending", "stack"];

/// Why a container may not be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The specification breaks a rule that holds for everyone.
    Invalid(String),
    /// The grant does not allow it.
    Denied(Denied),
}

/// A request for a container whose specification is in its one form. Nothing is checked yet.
#[derive(Debug, Clone)]
pub(super) struct CreateRequest {
    name: NewContainerName,
    image: ImageName,
    tree: Json,
}

/// A container that the plugin may create: a name, and a specification that was checked and not touched since.
#[derive(Debug, Clone)]
pub(crate) struct AllowedCreate {
    name: NewContainerName,
    tree: Json,
    requirement: Option<Requirement>,
}

/// What tells one create from every other, whoever sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreationMark(String);

impl CreationMark {
    /// A mark that no other create has.
    pub(super) fn new() -> CreationMark {
        CreationMark(format!("{:032x}", fastrand::u128(..)))
    }

    /// The value of the label.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a container with `labels` was made by this create.
    pub(super) fn is_on(&self, labels: &[(String, String)]) -> bool {
        labels.iter().any(|(key, value)| key == CREATION_LABEL && *value == self.0)
    }
}

impl CreateRequest {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub(super) fn parse(name: &str, specification: &str) -> Result<CreateRequest, String> {
        let name = NewContainerName::parse(name)?;
        let tree = specification::parse(specification)?;
        let image = ImageName::parse(tree.text("Image"))?;
        Ok(CreateRequest { name, image, tree })
    }

    /// The image that it asks for.
    pub(super) fn image(&self) -> &ImageName {
        &self.image
    }

    fn labels(&self) -> Vec<(String, String)> {
        self.tree.map("Labels").iter().map(|(key, value)| (key.clone(), value.as_text().to_owned())).collect()
    }
}

impl AllowedCreate {
    /// The container's name.
    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The container by its name, to look it up.
    pub(super) fn container_name(&self) -> ContainerName {
        ContainerName::of_new(&self.name)
    }

    /// What the engine must know, if not every engine does.
    pub(super) fn requirement(&self) -> Option<&Requirement> {
        self.requirement.as_ref()
    }

    /// The specification with `mark` among its labels, as JSON text.
    pub(super) fn body(&self, mark: &CreationMark) -> String {
        let mut labels = Json::Object(self.tree.map("Labels").to_vec());
        labels.set(CREATION_LABEL, Json::Text(mark.as_str().to_owned()));
        let mut tree = self.tree.clone();
        tree.set("Labels", labels);
        tree.to_text()
    }
}

impl DockerGrant {
    /// Checks that `request` may be carried out, with `image` for its image.
    pub(super) fn creation(&self, request: &CreateRequest, image: &AllowedImage) -> Result<AllowedCreate, Refusal> {
        self.may_create(&request.name, &request.labels()).map_err(Refusal::Denied)?;
        Check { grant: self, name: request.name.as_str() }.specification(&request.tree)?;
        let mut tree = request.tree.clone();
        tree.set("Image", Json::Text(image.for_engine()));
        let requirement = specification::requirement(&tree);
        Ok(AllowedCreate { name: request.name.clone(), tree, requirement })
    }
}

/// The check of one specification.
struct Check<'a> {
    grant: &'a DockerGrant,
    name: &'a str,
}

type Outcome = Result<(), Refusal>;

impl Check<'_> {
    fn specification(&self, tree: &Json) -> Outcome {
        let nothing = Json::Object(Vec::new());
        let host = tree.get("HostConfig").unwrap_or(&nothing);
        bounds::check(tree)?;
        self.volumes_of_config(tree)?;
        self.network(host)?;
        self.hostname(tree.text("Hostname"))?;
        self.endpoints(tree.get("NetworkingConfig").unwrap_or(&nothing))?;
        self.ports(host)?;
        self.mounts(host)?;
        self.privileges(host)?;
        self.namespaces(host)?;
        self.devices(host)?;
        self.placement(host)?;
        self.limits(host)?;
        self.logging(host)
    }

    fn privileges(&self, host: &Json) -> Outcome {
        let granted = self.granted();
        if host.flag("Privileged") && !granted.privileged {
            return self.denied("Privileged", "create.privileged = true");
        }
        for name in host.texts("CapAdd") {
            if !granted.capabilities.contains(&capability(name)) {
                return self.denied(&format!("CapAdd {name}"), &format!("create.capabilities = [\"{}\"]", capability(name)));
            }
        }
        for option in host.texts("SecurityOpt") {
            let option = security_option(option);
            let hardens = matches!(option.as_str(), "no-new-privileges" | "no-new-privileges=true");
            if !hardens && !granted.security_options.contains(&option) {
                return self.denied(&format!("SecurityOpt {option}"), &format!("create.security_options = [\"{option}\"]"));
            }
        }
        // Lists of one's own are another way to say `systempaths=unconfined`.
        for key in ["MaskedPaths", "ReadonlyPaths"] {
            if host.get(key).is_some() && !granted.security_options.iter().any(|option| option == "systempaths=unconfined") {
                return self.denied(key, "create.security_options = [\"systempaths=unconfined\"]");
            }
        }
        for (key, _) in host.map("Sysctls") {
            if !granted.sysctls.contains(key) {
                return self.denied(&format!("Sysctls {key}"), &format!("create.sysctls = [\"{key}\"]"));
            }
        }
        if host.texts("GroupAdd").any(|group| group == "keep-groups") {
            return self.never("GroupAdd keep-groups");
        }
        Ok(())
    }

    /// The namespaces but for the network's. What an engine does not name here is its default, a namespace of the container's own.
    fn namespaces(&self, host: &Json) -> Outcome {
        let own: [(&str, &str, &[&str]); 5] = [
            ("PidMode", "pid", &["", "private"]),
            ("IpcMode", "ipc", &["", "none", "private", "shareable"]),
            ("UTSMode", "uts", &["", "private"]),
            ("UsernsMode", "userns", &["", "private"]),
            ("CgroupnsMode", "cgroupns", &["", "private"]),
        ];
        for (key, kind, harmless) in own {
            let mode = host.text(key);
            if !harmless.contains(&mode) {
                self.namespace(key, kind, mode)?;
            }
        }
        if host.text("Cgroup").is_empty() { Ok(()) } else { self.never("Cgroup") }
    }

    fn namespace(&self, key: &str, kind: &str, mode: &str) -> Outcome {
        let word = format!("{kind}={mode}");
        if self.granted().namespaces.contains(&word) {
            return Ok(());
        }
        self.denied(&format!("{key} {mode}"), &format!("create.namespaces = [\"{word}\"]"))
    }

    fn devices(&self, host: &Json) -> Outcome {
        for device in host.list("Devices") {
            let path = device.text("PathOnHost");
            if !self.granted().devices.iter().any(|granted| granted == path) {
                return self.denied(&format!("device {path}"), &format!("create.devices = [\"{path}\"]"));
            }
            if !device.text("CgroupPermissions").chars().all(|permission| "rwm".contains(permission)) {
                return invalid("HostConfig.Devices.CgroupPermissions", device.text("CgroupPermissions"), "letters of `rwm`");
            }
        }
        if !host.list("DeviceRequests").is_empty() && !self.granted().device_requests {
            return self.denied("DeviceRequests", "create.device_requests = true");
        }
        if host.list("DeviceCgroupRules").is_empty() { Ok(()) } else { self.never("DeviceCgroupRules") }
    }

    /// Where the container runs, and as what.
    fn placement(&self, host: &Json) -> Outcome {
        for (key, granted, word) in
            [("CgroupParent", &self.granted().cgroup_parents, "cgroup_parents"), ("Runtime", &self.granted().runtimes, "runtimes")]
        {
            let value = host.text(key);
            if !value.is_empty() && !granted.iter().any(|granted| granted == value) {
                return self.denied(&format!("{key} {value}"), &format!("create.{word} = [\"{value}\"]"));
            }
        }
        if !matches!(host.text("Isolation"), "" | "default") {
            return self.never("Isolation");
        }
        // Runtimes take orders in annotations: hooks, other seccomp listeners, groups of the host.
        if host.map("Annotations").is_empty() { Ok(()) } else { self.never("Annotations") }
    }

    /// Limits that harm others when they are taken off.
    fn limits(&self, host: &Json) -> Outcome {
        if host.integer("OomScoreAdj").is_some_and(|score| score < 0) {
            return self.never("OomScoreAdj below 0");
        }
        if host.flag("OomKillDisable") {
            return self.never("OomKillDisable");
        }
        for key in ["CpuRealtimePeriod", "CpuRealtimeRuntime"] {
            if host.integer(key).is_some_and(|value| value != 0) {
                return self.never(key);
            }
        }
        // They name devices of the machine.
        for key in ["BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps", "BlkioDeviceWriteIOps"] {
            if !host.list(key).is_empty() {
                return self.never(key);
            }
        }
        for limit in host.list("Ulimits") {
            let name = limit.text("Name");
            if !ULIMITS.contains(&name) {
                return self.never(&format!("Ulimits {name}"));
            }
        }
        match host.map("StorageOpt").iter().find(|(key, _)| key != "size") {
            Some((key, _)) => self.never(&format!("StorageOpt {key}")),
            None => Ok(()),
        }
    }

    fn granted(&self) -> &CreateGrant {
        &self.grant.create
    }

    fn denied(&self, what: &str, remedy: &str) -> Outcome {
        Err(Refusal::Denied(Denied { action: "create", object: format!("container {} with {what}", self.name), remedy: remedy.to_owned() }))
    }

    /// Denies what no grant allows.
    fn never(&self, what: &str) -> Outcome {
        self.denied(what, "none: no grant allows it")
    }
}

fn invalid(place: &str, value: &str, expected: &str) -> Outcome {
    Err(Refusal::Invalid(format!("`{place}` is `{value}`, expected {expected}")))
}
