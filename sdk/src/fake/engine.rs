//! The engine of the fake host: containers, images, networks and volumes in memory, with the rules that plugins notice.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::hub::Hub;
use super::objects::{Container, Image, merge};
use super::operations::Task;
use super::registry::RemoteImage;
use super::stream;
use crate::docker::Container as Inspected;
use crate::docker::containers_create::Created;
use crate::docker::containers_logs::LogOptions;
use crate::docker::containers_read::{ContainerFilter, ContainerSummary};
use crate::docker::containers_remove::RemoveOptions;
use crate::docker::networks_read::Network;
use crate::docker::volumes_read::Volume;
use crate::error::Error;
use crate::reference::{familiar, with_tag};
use crate::stream::ByteStream;

pub(super) struct Engine {
    /// The newest last.
    containers: Vec<Container>,
    pub(super) images: Vec<Image>,
    /// What a pull can fetch.
    pub(super) registry: Vec<Image>,
    /// What registries answer when they are asked directly.
    pub(super) remote: Vec<RemoteImage>,
    pub(super) networks: BTreeSet<String>,
    pub(super) volumes: BTreeSet<String>,
    /// The operations, the newest last.
    pub(super) tasks: Vec<Task>,
    /// Whether pulls that are begun stay under way.
    pub(super) holds_pulls: bool,
    /// The same for builds.
    pub(super) holds_builds: bool,
    /// The same for downloads.
    pub(super) holds_downloads: bool,
    /// The same for recreations.
    pub(super) holds_recreations: bool,
    /// How recreations fail, if they do.
    pub(super) failing_recreations: Option<Error>,
    /// How many recreations have succeeded: each makes an id of its own.
    pub(super) recreated: u32,
    /// At which instruction builds fail, and why.
    pub(super) failing_builds: Option<(String, String)>,
    pub(super) hub: Hub,
    /// The last port that the engine chose by itself.
    last_port: u16,
}

/// 64 hexadecimal digits that depend on `seed` alone.
pub(super) fn hex_id(seed: &str) -> String {
    let hash =
        |salt: u64| seed.bytes().fold(salt ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    [1, 2, 3, 4].map(|salt| format!("{:016x}", hash(salt))).concat()
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Container {
    pub(super) fn name(&self) -> &str {
        text(&self.details, "/Name").trim_start_matches('/')
    }

    pub(super) fn identity(&self) -> &str {
        text(&self.details, "/Id")
    }

    pub(super) fn status(&self) -> &str {
        text(&self.details, "/State/Status")
    }

    fn is_up(&self) -> bool {
        matches!(self.status(), "running" | "paused" | "restarting")
    }

    fn labels(&self) -> Vec<(String, String)> {
        let labels = self.details.pointer("/Config/Labels").and_then(Value::as_object);
        let pair = |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap_or_default().to_owned());
        labels.map(|labels| labels.iter().map(pair).collect()).unwrap_or_default()
    }
}

impl Engine {
    pub(super) fn new() -> Engine {
        Engine {
            containers: Vec::new(),
            images: Vec::new(),
            registry: Vec::new(),
            remote: Vec::new(),
            networks: ["bridge", "host", "none"].map(str::to_owned).into(),
            volumes: BTreeSet::new(),
            tasks: Vec::new(),
            holds_pulls: false,
            holds_builds: false,
            holds_downloads: false,
            holds_recreations: false,
            failing_recreations: None,
            recreated: 0,
            failing_builds: None,
            hub: Hub::default(),
            last_port: 49152,
        }
    }

    pub(super) fn add_container(&mut self, mut container: Container) {
        if container.identity().is_empty() {
            container = container.clone().id(&hex_id(container.name()));
        }
        if text(&container.details, "/Image").is_empty() {
            let reference = text(&container.details, "/Config/Image").to_owned();
            let id = self.image(&reference).map_or_else(|| Image::new(&reference).id, |image| image.id.clone());
            merge(&mut container.details, json!({"Image": id}));
        }
        self.containers.push(container);
    }

    pub(super) fn add_image(&mut self, image: Image) {
        self.images.retain(|other| other.id != image.id);
        for other in &mut self.images {
            other.tags.retain(|tag| !image.tags.contains(tag));
        }
        self.images.push(image);
    }

    pub(super) fn vanish(&mut self, name: &str) {
        if let Some(container) = self.containers.iter_mut().find(|container| container.name() == name) {
            container.vanished = true;
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.containers.iter().rev().map(|container| container.name().to_owned()).collect()
    }

    /// The container called `name`, or the only one whose id begins with it.
    pub(super) fn find(&self, name: &str) -> Result<&Container, Error> {
        self.place(name).and_then(|place| self.containers.get(place).ok_or(Error::NotFound))
    }

    pub(super) fn find_mut(&mut self, name: &str) -> Result<&mut Container, Error> {
        let place = self.place(name)?;
        self.containers.get_mut(place).ok_or(Error::NotFound)
    }

    fn place(&self, name: &str) -> Result<usize, Error> {
        let name = name.strip_prefix('/').unwrap_or(name);
        let mut characters = name.chars();
        let first_fits = characters.next().is_some_and(|first| first.is_ascii_alphanumeric());
        if !first_fits || !characters.all(|other| other.is_ascii_alphanumeric() || "_.-".contains(other)) {
            return Err(Error::Invalid(format!("`{name}` is no name and no id of a container")));
        }
        let present = || self.containers.iter().enumerate().filter(|(_, container)| !container.vanished);
        if let Some((place, _)) = present().find(|(_, container)| container.name() == name || container.identity() == name) {
            return Ok(place);
        }
        let mut candidates = present().filter(|(_, container)| container.identity().starts_with(name));
        match (candidates.next(), candidates.next()) {
            (Some((place, _)), None) => Ok(place),
            _ => Err(Error::NotFound),
        }
    }

    pub(super) fn image(&self, reference: &str) -> Option<&Image> {
        let tag = with_tag(familiar(reference)).into_owned();
        self.images.iter().find(|image| {
            image.id == reference
                || image.id.strip_prefix("sha256:") == Some(reference)
                || image.tags.contains(&tag)
                || image.digests.contains(&tag)
        })
    }

    pub(super) fn list(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>, Error> {
        let matches = |container: &&Container| {
            let labels = container.labels();
            let has = |condition: &String| match condition.split_once('=') {
                Some((key, value)) => labels.iter().any(|label| label.0 == key && label.1 == value),
                None => labels.iter().any(|label| label.0 == *condition),
            };
            (filter.all || container.is_up()) && filter.labels.iter().all(has)
        };
        // The reference, until that leads to another image.
        let shown = |container: &Container| {
            let (reference, id) = (text(&container.details, "/Config/Image"), text(&container.details, "/Image"));
            let is_moved = self.image(reference).is_some_and(|image| image.id != id);
            if is_moved { id.to_owned() } else { reference.to_owned() }
        };
        let summary = |container: &Container| ContainerSummary {
            id: container.identity().to_owned(),
            names: vec![container.name().to_owned()],
            image: shown(container),
            image_id: text(&container.details, "/Image").to_owned(),
            state: container.status().to_owned(),
            labels: container.labels(),
            json: json!({"Id": container.identity(), "State": container.status()}).to_string(),
        };
        Ok(self.containers.iter().rev().filter(matches).map(summary).collect())
    }

    pub(super) fn inspect(&self, name: &str, with_env: bool) -> Result<Inspected, Error> {
        let container = self.find(name)?;
        let mut details = container.details.clone();
        if !with_env && let Some(config) = details.pointer_mut("/Config").and_then(Value::as_object_mut) {
            config.remove("Env");
        }
        Ok(Inspected {
            id: container.identity().to_owned(),
            name: container.name().to_owned(),
            state: container.status().to_owned(),
            labels: container.labels(),
            json: details.to_string(),
        })
    }

    pub(super) fn log(&self, name: &str, options: &LogOptions) -> Result<ByteStream, Error> {
        if !options.stdout && !options.stderr {
            return Err(Error::Invalid("a log of neither output".to_owned()));
        }
        let time = |time: Option<SystemTime>| time.map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        let (since, until) = (time(options.since), time(options.until));
        let in_range = |line: &&(_, Vec<u8>)| since.is_none_or(|since| line.0 >= since) && until.is_none_or(|until| line.0 < until);
        let lines: Vec<_> = self.find(name)?.log.iter().filter(in_range).map(|line| Ok(line.1.clone())).collect();
        let tail = options.tail.map_or(lines.len(), |tail| tail as usize);
        let skipped = lines.len().saturating_sub(tail);
        Ok(ByteStream(stream::ByteStream::new(lines.into_iter().skip(skipped))))
    }

    pub(super) fn start(&mut self, name: &str) -> Result<(), Error> {
        let container = self.find(name)?;
        if container.status() == "running" {
            return Ok(());
        }
        let network = text(&container.details, "/HostConfig/NetworkMode").to_owned();
        if !network.is_empty() && network != "default" && !self.networks.contains(&network) {
            return Err(Error::Internal(format!("network {network} not found")));
        }
        let ports = self.publish(&container.details.clone())?;
        let container = self.find_mut(name)?;
        merge(&mut container.details, json!({"State": {"Status": "running", "StartedAt": "2020-11-20T09:55:26.5Z"}}));
        merge(&mut container.details, json!({"NetworkSettings": {"Ports": ports}}));
        Ok(())
    }

    /// The ports of a container that starts: exposed ones are null, published ones have a binding for each family of addresses.
    fn publish(&mut self, details: &Value) -> Result<Value, Error> {
        let object = |pointer| details.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
        let mut ports: Map<String, Value> = object("/Config/ExposedPorts").into_iter().map(|(port, _)| (port, Value::Null)).collect();
        for (port, bindings) in object("/HostConfig/PortBindings") {
            let mut published = Vec::new();
            for binding in bindings.as_array().into_iter().flatten() {
                let wanted = text(binding, "/HostPort");
                let (first, last) = wanted.split_once('-').unwrap_or((wanted, wanted));
                let host_port = match (first.parse::<u16>(), last.parse::<u16>()) {
                    (Ok(0), Ok(_)) => self.free_port(),
                    (Ok(first), Ok(_)) => first,
                    _ if wanted.is_empty() => self.free_port(),
                    _ => return Err(Error::Invalid(format!("invalid port specification: `{wanted}`"))),
                }
                .to_string();
                if self.is_taken(&host_port) {
                    return Err(Error::Internal(format!("port {host_port} is already allocated")));
                }
                match text(binding, "/HostIp") {
                    "" => published.extend(["0.0.0.0", "::"].map(|address| json!({"HostIp": address, "HostPort": host_port}))),
                    address => published.push(json!({"HostIp": address, "HostPort": host_port})),
                }
            }
            ports.insert(port, published.into());
        }
        Ok(ports.into())
    }

    fn free_port(&mut self) -> u16 {
        self.last_port += 1;
        self.last_port
    }

    fn is_taken(&self, host_port: &str) -> bool {
        let running = self.containers.iter().filter(|container| container.is_up());
        let ports = running.filter_map(|container| container.details.pointer("/NetworkSettings/Ports")?.as_object());
        let mut bindings = ports.flat_map(|ports| ports.values().filter_map(Value::as_array).flatten());
        bindings.any(|binding| text(binding, "/HostPort") == host_port)
    }

    pub(super) fn stop(&mut self, name: &str) -> Result<(), Error> {
        let container = self.find_mut(name)?;
        if container.is_up() {
            merge(&mut container.details, json!({"State": {"Status": "exited"}}));
            if let Some(networks) = container.details.pointer_mut("/NetworkSettings/Ports") {
                *networks = json!({});
            }
        }
        Ok(())
    }

    pub(super) fn create(&mut self, name: &str, specification: &str) -> Result<Created, Error> {
        let specification: Value = serde_json::from_str(specification).map_err(|error| Error::Invalid(error.to_string()))?;
        match self.find(name) {
            Ok(_) => return Err(Error::Conflict(format!("the name `{name}` is taken"))),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        let reference = text(&specification, "/Image").to_owned();
        let image = self.image(&reference).ok_or(Error::NotFound)?.id.clone();
        let mut config = specification;
        let host_config = config.as_object_mut().and_then(|config| config.remove("HostConfig")).unwrap_or_else(|| json!({}));
        let container = Container::new(name).id(&hex_id(name)).details(json!({
            "Image": image,
            "State": {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"},
            "Config": config,
            "HostConfig": host_config,
        }));
        self.containers.push(container);
        Ok(Created { id: hex_id(name), warnings: Vec::new() })
    }

    pub(super) fn run(&mut self, name: &str, specification: &str) -> Result<Created, Error> {
        let created = self.create(name, specification)?;
        match self.start(name) {
            Ok(()) => Ok(created),
            Err(error) => {
                self.containers.retain(|container| container.name() != name);
                Err(error)
            }
        }
    }

    pub(super) fn remove(&mut self, name: &str, options: RemoveOptions) -> Result<(), Error> {
        let place = self.place(name)?;
        if self.find(name)?.is_up() && !options.force {
            return Err(Error::Conflict(format!("container `{name}` is running")));
        }
        drop(self.containers.remove(place));
        Ok(())
    }

    /// The ids of the images that containers are made of.
    pub(super) fn used_images(&self) -> BTreeSet<String> {
        self.containers.iter().map(|container| text(&container.details, "/Image").to_owned()).collect()
    }

    pub(super) fn list_networks(&self) -> Vec<Network> {
        let network = |name: &String| {
            let (id, driver) = (hex_id(name), if name == "host" { "host" } else { "bridge" }.to_owned());
            let json = json!({"Id": id, "Name": name, "Driver": driver}).to_string();
            Network { id, name: name.clone(), driver, labels: Vec::new(), json }
        };
        self.networks.iter().map(network).collect()
    }

    pub(super) fn list_volumes(&self) -> Vec<Volume> {
        let volume = |name: &String| {
            let json = json!({"Name": name, "Driver": "local"}).to_string();
            Volume { name: name.clone(), driver: "local".to_owned(), labels: Vec::new(), json }
        };
        self.volumes.iter().map(volume).collect()
    }
}
