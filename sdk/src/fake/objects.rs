//! What a test puts into the engine of the fake host.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

/// Puts `patch` over `target`: objects key by key, everything else whole.
pub(super) fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}

/// A container for [`Host::container`](super::Host::container). A new one runs and has an image of its own name that the engine does not hold.
#[derive(Debug, Clone)]
#[must_use]
pub struct Container {
    /// What the engine answers to an inspect.
    pub(super) details: Value,
    /// When each line was written, and its bytes.
    pub(super) log: Vec<(Duration, Vec<u8>)>,
    /// Whether it is listed but cannot be found any more.
    pub(super) vanished: bool,
}

impl Container {
    /// A running container without labels, ports and environment.
    pub fn new(name: &str) -> Container {
        let details = json!({
            "Name": format!("/{name}"),
            "Created": "2020-11-20T08:35:45.978139375Z",
            "State": {"Status": "running", "StartedAt": "2020-11-20T08:35:46.58210553Z"},
            "RestartCount": 0,
            "Config": {"Image": name, "Labels": {}, "Env": []},
            "HostConfig": {},
            "NetworkSettings": {"Ports": {}},
        });
        Container { details, log: Vec::new(), vanished: false }
    }

    /// Puts `details` over the engine's inspect JSON; for everything that has no function here.
    pub fn details(mut self, details: Value) -> Container {
        merge(&mut self.details, details);
        self
    }

    /// Sets the full id. Without it the host makes one.
    pub fn id(self, id: &str) -> Container {
        self.details(json!({"Id": id}))
    }

    /// Sets the state: `running`, `exited`, …
    pub fn state(self, state: &str) -> Container {
        self.details(json!({"State": {"Status": state}}))
    }

    /// Adds a label.
    pub fn label(self, key: &str, value: &str) -> Container {
        self.details(json!({"Config": {"Labels": {key: value}}}))
    }

    /// Sets the reference that it was created with. An image of this reference that the host holds becomes its image.
    pub fn image(self, reference: &str) -> Container {
        self.details(json!({"Config": {"Image": reference}}))
    }

    /// Sets the environment, `NAME=value` each.
    pub fn env(self, env: &[&str]) -> Container {
        self.details(json!({"Config": {"Env": env}}))
    }

    /// Sets the engine's map of ports: `{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}`.
    pub fn ports(self, ports: Value) -> Container {
        self.details(json!({"NetworkSettings": {"Ports": ports}}))
    }

    /// Adds a line to the log that was written at `time`. A line break is added.
    pub fn log(mut self, time: SystemTime, line: impl Into<Vec<u8>>) -> Container {
        let mut line = line.into();
        line.push(b'\n');
        self.log.push((time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(), line));
        self
    }
}

/// An image for [`Host::image`](super::Host::image).
#[derive(Debug, Clone)]
#[must_use]
pub struct Image {
    pub(super) id: String,
    pub(super) tags: Vec<String>,
    pub(super) digests: Vec<String>,
    pub(super) details: Value,
}

impl Image {
    /// An image with one tag, `repository:tag`, or without any when it is empty. Its id is made of the tag.
    pub fn new(tag: &str) -> Image {
        let id = format!("sha256:{}", super::engine::hex_id(tag));
        let tags = if tag.is_empty() { Vec::new() } else { vec![tag.to_owned()] };
        Image { id, tags, digests: Vec::new(), details: json!({"Architecture": "amd64", "Os": "linux", "Size": 0}) }
    }

    /// Sets the full id, with `sha256:`.
    pub fn id(mut self, id: &str) -> Image {
        self.id = id.to_owned();
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: &str) -> Image {
        self.tags.push(tag.to_owned());
        self
    }

    /// Adds a digest, `repository@sha256:…`.
    pub fn digest(mut self, digest: &str) -> Image {
        self.digests.push(digest.to_owned());
        self
    }

    /// Puts `details` over the engine's inspect JSON.
    pub fn details(mut self, details: Value) -> Image {
        merge(&mut self.details, details);
        self
    }
}
