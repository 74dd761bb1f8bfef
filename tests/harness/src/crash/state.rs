//! What must be there after a recreation, whatever happened to it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use serde_json::{Value, json};

use super::plan::{KINDS, Kind};
use super::{MARKER, NETWORK, Stage};

/// What a container must keep.
#[derive(Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) image: String,
    volumes: BTreeSet<String>,
    running: bool,
    policy: Value,
    environment: BTreeSet<String>,
}

impl Stage {
    pub(super) fn kept(&self, kind: Kind) -> anyhow::Result<BTreeMap<String, Kept>> {
        kind.names().iter().map(|name| Ok(((*name).to_owned(), Kept::of(&self.inspect(name)?)))).collect()
    }

    /// The names of all volumes.
    pub(super) fn all_volumes(&self) -> anyhow::Result<BTreeSet<String>> {
        let all = self.engine.client().get("/volumes")?.success("listing volumes")?.json()?;
        let all = all.get("Volumes").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(all.iter().map(|volume| text(volume, "/Name").to_owned()).collect())
    }

    /// Checks that everything is as it must be. `known` are the volumes that were there before.
    pub(super) fn check(
        &self,
        kind: Kind,
        before: &BTreeMap<String, Kept>,
        known: &BTreeSet<String>,
        next: &str,
        ended: &Value,
    ) -> anyhow::Result<()> {
        let renewed = text(ended, "/state") == "succeeded";
        ensure!(!(renewed && kind == Kind::Bad), "an image that dies was taken for a good one: {ended}");
        for (name, old) in before {
            let document = self.inspect(name)?;
            let new = Kept::of(&document);
            let is_main = name == kind.name();
            let image = if renewed && is_main { self.images.get(next).cloned().unwrap_or_default() } else { old.image.clone() };
            ensure!(new.image == image, "`{name}` has the image {}, expected {image}: {ended}", new.image);
            // What the engine has removed is made anew, with those that depend on it.
            let is_same = new.id == old.id;
            ensure!(is_same != renewed || kind == Kind::Removed, "`{name}` is {} and was {}: {ended}", new.id, old.id);
            ensure!(new.running == old.running, "`{name}` runs: {}, before: {}: {ended}", new.running, old.running);
            ensure!(new.policy == old.policy, "`{name}` has the restart policy {}, expected {}", new.policy, old.policy);
            ensure!(new.environment.contains("OWN=1"), "`{name}` has lost what its user said: {:?}", new.environment);
            ensure!(new.volumes.is_superset(&old.volumes), "`{name}` has the volumes {:?}, expected {:?}", new.volumes, old.volumes);
            for volume in &new.volumes {
                let place = volume.split_once(' ').map(|(_, place)| place).unwrap_or_default();
                if old.volumes.contains(volume) {
                    self.check_marked(name, place)?;
                } else {
                    self.mark(name, place)?;
                }
            }
        }
        self.check_network(kind)?;
        self.check_leftovers(known)
    }

    fn check_marked(&self, container: &str, folder: &str) -> anyhow::Result<()> {
        let path = format!("/containers/{container}/archive?path={}", format!("{folder}/{MARKER}").replace('/', "%2F"));
        self.engine.client().get(&path)?.success(&format!("what was in {folder} of `{container}`"))?;
        Ok(())
    }

    fn check_network(&self, kind: Kind) -> anyhow::Result<()> {
        match kind {
            Kind::Running => {
                let document = self.inspect("running")?;
                let endpoint = document.pointer(&format!("/NetworkSettings/Networks/{NETWORK}")).cloned().unwrap_or_default();
                ensure!(text(&endpoint, "/IPAddress") == self.address, "the address is gone: {endpoint}");
                let aliases = endpoint.get("Aliases").and_then(Value::as_array).cloned().unwrap_or_default();
                ensure!(aliases.contains(&json!("alias")), "the alias is gone: {endpoint}");
            }
            Kind::Shared => {
                let (shared, sidecar) = (self.inspect("shared")?, self.inspect("sidecar")?);
                let (mode, expected) = (text(&sidecar, "/HostConfig/NetworkMode"), format!("container:{}", text(&shared, "/Id")));
                ensure!(mode == expected, "the dependent has the network `{mode}`, expected `{expected}`");
            }
            Kind::Stopped | Kind::Removed | Kind::Bad => {}
        }
        Ok(())
    }

    /// Nothing is there that nobody has asked for.
    ///
    /// A volume that was there before is not: an engine that is started anew removes a container that is to be removed when it stops, and keeps those of its volumes that were named, as they are after a recreation.
    fn check_leftovers(&self, before: &BTreeSet<String>) -> anyhow::Result<()> {
        let client = self.engine.client();
        let listed = client.get("/containers/json?all=1")?.success("listing")?.json()?;
        let containers: Vec<&Value> = listed.as_array().into_iter().flatten().collect();
        let known: BTreeSet<&str> = KINDS.iter().flat_map(|kind| kind.names()).copied().collect();
        let name = |container: &Value| text(container, "/Names/0").trim_start_matches('/').to_owned();
        let left: Vec<String> = containers.iter().map(|container| name(container)).filter(|name| !known.contains(name.as_str())).collect();
        ensure!(left.is_empty(), "containers are left over: {left:?}");
        let mut mounted = BTreeSet::new();
        for container in &containers {
            mounted.extend(
                volumes(&self.inspect(text(container, "/Id"))?).iter().filter_map(|volume| Some(volume.split_once(' ')?.0.to_owned())),
            );
        }
        let all = self.all_volumes()?;
        let left: Vec<&String> = all.iter().filter(|name| !mounted.contains(*name) && !before.contains(*name)).collect();
        ensure!(left.is_empty(), "volumes are left over: {left:?}");
        for (tag, id) in &self.images {
            let image = client.get(&format!("/images/crash/image:{tag}/json"))?.success("the image's name")?.json()?;
            ensure!(text(&image, "/Id") == id, "`crash/image:{tag}` leads to another image");
            let names = image.get("RepoTags").and_then(Value::as_array).map_or(0, Vec::len);
            ensure!(names == 1, "the image has further names: {image}");
        }
        Ok(())
    }
}

impl Kept {
    fn of(container: &Value) -> Kept {
        let environment = container.pointer("/Config/Env").and_then(Value::as_array).cloned().unwrap_or_default();
        Kept {
            id: text(container, "/Id").to_owned(),
            image: text(container, "/Image").to_owned(),
            volumes: volumes(container),
            running: container.pointer("/State/Running") == Some(&json!(true)),
            policy: container.pointer("/HostConfig/RestartPolicy/Name").cloned().unwrap_or_default(),
            environment: environment.iter().filter_map(|entry| entry.as_str().map(str::to_owned)).collect(),
        }
    }
}

/// The volumes of an inspected container, each as its name and where it is mounted.
pub(super) fn volumes(container: &Value) -> BTreeSet<String> {
    let mounts = container.get("Mounts").and_then(Value::as_array).into_iter().flatten();
    let volumes = mounts.filter(|mount| text(mount, "/Type") == "volume");
    volumes.map(|mount| format!("{} {}", text(mount, "/Name"), text(mount, "/Destination"))).collect()
}

pub(super) fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
