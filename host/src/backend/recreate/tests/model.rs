//! An engine with a handful of containers, that obeys as a real one does and fails when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::backend::engine::scripted::{Reply, ScriptedEngine, Seen, socket_path};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is refused: nothing is done.
    Refused,
    /// It is not done, and the connection breaks.
    CutBefore,
    /// It is done, and the connection breaks.
    CutAfter,
    /// It is not done, and nothing is answered.
    HangsBefore,
    /// It is done, and nothing is answered.
    HangsAfter,
    /// The engine is restarted before it: what runs stops, and what is to be restarted runs again.
    Restarted,
    /// Whoever sent it is killed before it is done.
    KilledBefore,
    /// Whoever sent it is killed after it is done.
    KilledAfter,
}

/// What a container of an image does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Runs,
    Dies,
    IsUnhealthy,
    DoesNotStart,
}

#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) config: Value,
    pub(super) host: Value,
    pub(super) running: bool,
    started: u32,
    volumes: BTreeSet<String>,
}

/// What the engine has.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) containers: Vec<Container>,
    /// Images by their names.
    pub(super) images: BTreeMap<String, String>,
    pub(super) volumes: BTreeSet<String>,
    pub(super) behaviours: BTreeMap<String, Behaviour>,
    /// What the registry has under each name.
    pub(super) registry: BTreeMap<String, String>,
    /// At which request what happens, and how many there were.
    pub(super) fault: Option<(usize, Fault)>,
    pub(super) requests: Vec<String>,
    /// What it calls itself.
    pub(super) identity: String,
    made: u32,
}

/// The engine. Gone when it is dropped.
pub(super) struct ModelEngine {
    pub(super) model: Arc<Mutex<Model>>,
    pub(super) socket: PathBuf,
    pub(super) killed: watch::Receiver<bool>,
    _scripted: ScriptedEngine,
}

pub(super) const OLD: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";
pub(super) const NEW: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000002";

impl Model {
    /// Adds a container with these `HostConfig` and volumes, which runs or not.
    pub(super) fn add(&mut self, name: &str, image: &str, host: Value, volumes: &[&str], running: bool) -> String {
        self.made += 1;
        let id = format!("{:064x}", self.made);
        let mut whole = json!({ "NetworkMode": "bridge", "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "AutoRemove": false });
        merge(&mut whole, host);
        let config =
            json!({ "Image": image, "Env": ["A=1"], "Labels": { "tier": "front" }, "Hostname": "host-of-its-own", "StopTimeout": 0 });
        let volumes: BTreeSet<String> = volumes.iter().map(|name| (*name).to_owned()).collect();
        self.volumes.extend(volumes.clone());
        let image = self.images[image].clone();
        self.containers.push(Container {
            id: id.clone(),
            name: name.to_owned(),
            image,
            config,
            host: whole,
            running,
            started: u32::from(running),
            volumes,
        });
        id
    }

    pub(super) fn named(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    fn find(&mut self, name: &str) -> Option<usize> {
        self.containers.iter().position(|container| container.id == name || container.name == name)
    }

    fn restart(&mut self) {
        for container in &mut self.containers {
            let policy = container.host["RestartPolicy"]["Name"].as_str().unwrap_or("no");
            let comes_back = policy == "always" || policy == "unless-stopped" && container.running;
            container.running = comes_back;
            container.started += u32::from(comes_back);
        }
        self.containers.retain(|container| container.running || container.host["AutoRemove"] != true || container.started == 0);
    }

    fn answer(&mut self, line: &str, body: &str) -> Reply {
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        match (method, parts.as_slice()) {
            ("GET", ["info"]) => ok(&json!({ "ID": self.identity, "Name": "machine", "DefaultRuntime": "runc", "CgroupVersion": "2" })),
            ("GET", ["version"]) => ok(&json!({ "Components": [] })),
            ("GET", ["networks"]) => ok(&json!([{ "Name": "bridge", "Id": "n1" }])),
            ("GET", ["volumes"]) => ok(&json!({ "Volumes": self.volumes.iter().map(|name| json!({ "Name": name })).collect::<Vec<_>>() })),
            ("DELETE", ["volumes", name]) => self.remove_volume(name),
            ("GET", ["images", middle @ .., "json"]) => self.image(&middle.join("/")),
            ("POST", ["images", "create"]) => self.pull(&query),
            ("POST", ["images", middle @ .., "tag"]) => {
                let repository = query["repo"].trim_start_matches("docker.io/library/").to_owned();
                self.images.insert(format!("{repository}:{}", query["tag"]), middle.join("/"));
                Reply::empty(201)
            }
            ("GET", ["containers", "json"]) => {
                let items =
                    self.containers.iter().map(|container| json!({ "Id": container.id, "Names": [format!("/{}", container.name)] }));
                ok(&items.collect())
            }
            ("POST", ["containers", "create"]) => self.create(&query["name"], body),
            (_, ["containers", name, rest @ ..]) => match self.find(name) {
                None => Reply::json(404, r#"{"message":"no such container"}"#),
                Some(place) => self.act(method, place, rest, &query, &body),
            },
            other => panic!("the model knows no {other:?}"),
        }
    }

    fn image(&self, name: &str) -> Reply {
        let name = percent_encoding::percent_decode_str(name).decode_utf8().unwrap().into_owned();
        let known = |id: &&String| {
            self.images.values().any(|image| image == *id) || self.containers.iter().any(|container| container.image == **id)
        };
        match self.images.get(&name).or(Some(&name).filter(known)) {
            None => Reply::json(404, r#"{"message":"no such image"}"#),
            Some(id) => {
                let digest = format!("redis@sha256:{}", &id[7..]);
                ok(&json!({ "Id": id, "Os": "linux", "Architecture": "amd64", "Config": {}, "RepoDigests": [digest] }))
            }
        }
    }

    fn pull(&mut self, query: &BTreeMap<String, String>) -> Reply {
        let name = format!("{}:{}", query["fromImage"].trim_start_matches("docker.io/library/"), query["tag"]);
        match self.registry.get(&name).cloned() {
            None => Reply::json(404, r#"{"message":"manifest unknown"}"#),
            Some(id) => {
                self.images.insert(name, id);
                // Not in chunks: the scripted engine closes after those without a word, and the next request may meet that.
                Reply::json(200, r#"{"status":"Downloading","id":"c1","progressDetail":{"current":1,"total":2}}"#)
            }
        }
    }

    fn remove_volume(&mut self, name: &str) -> Reply {
        if self.containers.iter().any(|container| container.volumes.contains(name)) {
            return Reply::json(409, r#"{"message":"volume is in use"}"#);
        }
        if self.volumes.remove(name) { Reply::empty(204) } else { Reply::json(404, r#"{"message":"no such volume"}"#) }
    }

    fn create(&mut self, name: &str, mut body: Value) -> Reply {
        if self.named(name).is_some() {
            return Reply::json(409, r#"{"message":"the name is in use"}"#);
        }
        let Some(image) = self.images.get(body["Image"].as_str().unwrap()).cloned() else {
            return Reply::json(404, r#"{"message":"no such image"}"#);
        };
        for key in ["NetworkMode", "PidMode"] {
            let shared = body["HostConfig"][key].as_str().and_then(|mode| mode.strip_prefix("container:")).map(str::to_owned);
            if shared.is_some_and(|other| self.find(&other).is_none()) {
                return Reply::json(404, r#"{"message":"no such container to share with"}"#);
            }
        }
        let fields = body.as_object_mut().unwrap();
        let host = fields.remove("HostConfig").unwrap();
        fields.remove("NetworkingConfig");
        self.made += 1;
        let id = format!("{:064x}", self.made);
        let mounts = host["Mounts"].as_array().cloned().unwrap_or_default();
        let mut volumes: BTreeSet<String> = mounts.iter().map(|mount| mount["Source"].as_str().unwrap().to_owned()).collect();
        if image == NEW {
            // The new image has a volume that the old one had not.
            let fresh = format!("{:064x}", u64::from(self.made) + 0xfeed_0000);
            self.volumes.insert(fresh.clone());
            volumes.insert(fresh);
        }
        self.volumes.extend(volumes.clone());
        self.containers.push(Container {
            id: id.clone(),
            name: name.to_owned(),
            image,
            config: body,
            host,
            running: false,
            started: 0,
            volumes,
        });
        Reply::json(201, &json!({ "Id": id, "Warnings": [] }).to_string())
    }

    fn act(&mut self, method: &str, place: usize, rest: &[&str], query: &BTreeMap<String, String>, body: &Value) -> Reply {
        let image = self.containers[place].image.clone();
        let behaviour = self.behaviours.get(&image).copied().unwrap_or(Behaviour::Runs);
        match (method, rest) {
            ("GET", ["json"]) => {
                let container = &mut self.containers[place];
                container.running &= behaviour != Behaviour::Dies;
                ok(&inspect(container, behaviour))
            }
            ("POST", ["start"]) => {
                if behaviour == Behaviour::DoesNotStart {
                    return Reply::json(500, r#"{"message":"no such command"}"#);
                }
                let shared =
                    self.containers[place].host["NetworkMode"].as_str().and_then(|mode| mode.strip_prefix("container:")).map(str::to_owned);
                if let Some(other) = shared
                    && !self.find(&other).is_some_and(|other| self.containers[other].running)
                {
                    return Reply::json(409, r#"{"message":"cannot join the network of a container that does not run"}"#);
                }
                let container = &mut self.containers[place];
                container.started += u32::from(!container.running);
                container.running = true;
                Reply::empty(204)
            }
            ("POST", ["stop"]) => {
                self.containers[place].running = false;
                if self.containers[place].host["AutoRemove"] == true && self.containers[place].started > 0 {
                    self.remove(place, true);
                }
                Reply::empty(204)
            }
            ("POST", ["update"]) => {
                self.containers[place].host["RestartPolicy"] = body["RestartPolicy"].clone();
                ok(&json!({}))
            }
            ("POST", ["rename"]) => {
                if self.named(&query["name"]).is_some() {
                    return Reply::json(409, r#"{"message":"the name is in use"}"#);
                }
                self.containers[place].name.clone_from(&query["name"]);
                Reply::empty(204)
            }
            ("DELETE", []) => {
                if self.containers[place].running && query["force"] != "true" {
                    return Reply::json(409, r#"{"message":"it is running"}"#);
                }
                self.remove(place, query["v"] == "true");
                Reply::empty(204)
            }
            other => panic!("the model knows no {other:?}"),
        }
    }

    /// Removes a container, and with `volumes` those that it alone has, whatever their names: harder than a real one.
    fn remove(&mut self, place: usize, volumes: bool) {
        let gone = self.containers.remove(place);
        let used: BTreeSet<&String> = self.containers.iter().flat_map(|container| &container.volumes).collect();
        let lost: Vec<String> = gone.volumes.iter().filter(|volume| volumes && !used.contains(volume)).cloned().collect();
        self.volumes.retain(|volume| !lost.contains(volume));
    }
}

fn inspect(container: &Container, behaviour: Behaviour) -> Value {
    let status = match (container.running, container.started) {
        (true, _) => "running",
        (false, 0) => "created",
        (false, _) => "exited",
    };
    let started_at =
        if container.started == 0 { "0001-01-01T00:00:00Z".to_owned() } else { format!("2026-01-01T00:00:{:02}Z", container.started) };
    let mut state = json!({ "Status": status, "Running": container.running, "Restarting": false, "Paused": false, "ExitCode": 1, "StartedAt": started_at });
    if behaviour == Behaviour::IsUnhealthy {
        state["Health"] = json!({ "Status": "unhealthy", "Log": [{ "Output": "no answer" }] });
    }
    let mounts: Vec<Value> = container
        .volumes
        .iter()
        .map(|name| json!({ "Type": "volume", "Name": name, "Source": "", "Destination": format!("/{}", &name[..4]), "Driver": "local", "RW": true }))
        .collect();
    let mode = container.host["NetworkMode"].as_str().unwrap_or_default();
    let mut networks = Map::new();
    if !mode.starts_with("container:") {
        networks.insert("bridge".to_owned(), json!({}));
    }
    json!({
        "Id": container.id, "Name": format!("/{}", container.name), "Image": container.image, "Platform": "linux", "RestartCount": 0,
        "State": state, "Config": container.config, "HostConfig": container.host, "Mounts": mounts,
        "NetworkSettings": { "Networks": networks },
    })
}

fn ok(value: &Value) -> Reply {
    Reply::json(200, &value.to_string())
}

fn merge(target: &mut Value, patch: Value) {
    if let (Value::Object(target), Value::Object(patch)) = (target, patch) {
        target.extend(patch);
    }
}

impl ModelEngine {
    /// Starts it, on the runtime of whoever calls.
    pub(super) fn start() -> ModelEngine {
        let mut model = Model { identity: "engine".to_owned(), ..Model::default() };
        model.images.insert("redis:7".to_owned(), OLD.to_owned());
        model.registry.insert("redis:7".to_owned(), NEW.to_owned());
        let (model, socket) = (Arc::new(Mutex::new(model)), socket_path());
        let (kill, killed) = watch::channel(false);
        let answering = Arc::clone(&model);
        let scripted = ScriptedEngine::start_reading(&socket, ("1.51", "1.24"), move |seen: &Seen, _| {
            let mut model = answering.lock().unwrap();
            let fault = model.fault.filter(|(at, _)| *at == model.requests.len()).map(|(_, fault)| fault);
            model.requests.push(seen.line.clone());
            let mut answer = || model.answer(&seen.line, &seen.body);
            match fault {
                None => answer(),
                Some(Fault::Refused) => Reply::json(500, r#"{"message":"out of order"}"#),
                Some(Fault::CutBefore) => Reply::nothing(),
                Some(Fault::HangsBefore) => Reply::silence(),
                Some(Fault::CutAfter) => {
                    answer();
                    Reply::nothing()
                }
                Some(Fault::HangsAfter) => {
                    answer();
                    Reply::silence()
                }
                Some(Fault::Restarted) => {
                    model.restart();
                    Reply::nothing()
                }
                Some(Fault::KilledBefore) => {
                    kill.send_replace(true);
                    Reply::silence()
                }
                Some(Fault::KilledAfter) => {
                    answer();
                    kill.send_replace(true);
                    Reply::silence()
                }
            }
        });
        ModelEngine { model, socket, killed, _scripted: scripted }
    }
}
