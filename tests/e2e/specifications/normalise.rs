//! Documents of an engine without what is different each time: ids, times, addresses, the machine.
//!
//! Ids stay ids, as what reads them looks at their form. The same thing has the same id in each document of a corpus.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What is replaced by what.
#[derive(Debug, Default)]
pub struct Names {
    /// Wherever it stands, the longest first, so that the beginning of an id is not replaced in the id.
    parts: Vec<(String, String)>,
    /// Where it is the whole text: the machine's name may be any word.
    machine: String,
}

impl Names {
    /// Replaces the id `id` of what is called `name` (`container web`), and what is shown of it, by one that depends on the name alone.
    pub fn id(&mut self, id: &str, name: &str) {
        let id = id.trim_start_matches("sha256:");
        let digest: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
        self.text(id.to_owned(), digest.clone());
        if let (Some(short), Some(other)) = (id.get(..12), digest.get(..12)) {
            self.text(short.to_owned(), other.to_owned());
        }
    }

    /// Replaces `text`.
    pub fn text(&mut self, text: String, by: String) {
        if !text.is_empty() && !self.parts.iter().any(|(known, _)| *known == text) {
            self.parts.push((text, by));
            self.parts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
    }

    /// Calls the machine `machine`.
    pub fn machine(&mut self, name: &str) {
        self.machine = name.to_owned();
    }

    /// `document` with other names.
    pub fn replace(&self, document: &Value) -> Value {
        match document {
            Value::String(text) if *text == self.machine => json!("machine"),
            Value::String(text) => json!(self.parts.iter().fold(text.clone(), |text, (from, to)| text.replace(from, to))),
            Value::Array(items) => items.iter().map(|item| self.replace(item)).collect(),
            Value::Object(entries) => {
                let named = entries
                    .iter()
                    .map(|(key, value)| (self.replace(&json!(key)).as_str().unwrap_or_default().to_owned(), self.replace(value)));
                Value::Object(named.collect())
            }
            other => other.clone(),
        }
    }
}

/// An inspected container.
pub fn container(document: &Value, names: &Names) -> Value {
    let mut document = names.replace(document);
    let Some(all) = document.as_object_mut() else { return document };
    // Where files are, how they are stored, and who guards them.
    const LEFT_OUT: [&str; 11] = [
        "LogPath",
        "ResolvConfPath",
        "HostnamePath",
        "HostsPath",
        "GraphDriver",
        "AppArmorProfile",
        "ProcessLabel",
        "MountLabel",
        "ImageManifestDescriptor",
        "Storage",
        "Driver",
    ];
    all.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
    set(all, "Created", json!("2026-01-01T00:00:00Z"));
    if let Some(state) = all.get_mut("State").and_then(Value::as_object_mut) {
        state.retain(|key, _| matches!(key.as_str(), "Status" | "Running" | "Paused" | "Restarting" | "Dead"));
    }
    if let Some(settings) = all.get_mut("NetworkSettings").and_then(Value::as_object_mut) {
        settings.retain(|key, _| key == "Networks");
        for endpoint in settings.get_mut("Networks").and_then(Value::as_object_mut).into_iter().flatten() {
            endpoint.1.as_object_mut().into_iter().for_each(running);
        }
    }
    if let Some(mounts) = all.get_mut("Mounts").and_then(Value::as_array_mut) {
        mounts.sort_by_key(|mount| mount["Destination"].to_string());
    }
    if let Some(host) = all.get_mut("HostConfig").and_then(Value::as_object_mut) {
        // One for each processor.
        if let Some(masked) = host.get_mut("MaskedPaths").and_then(Value::as_array_mut) {
            masked.retain(|path| !path.as_str().unwrap_or_default().contains("thermal_throttle"));
        }
        if let Some(links) = host.get_mut("Links").and_then(Value::as_array_mut) {
            links.sort_by_key(Value::to_string);
        }
    }
    document
}

/// What an endpoint has while the container runs, which must not be carried on: other values than nothing, so that it would be seen.
fn running(endpoint: &mut Map<String, Value>) {
    let values = [
        ("EndpointID", json!("e".repeat(64))),
        ("Gateway", json!("198.51.100.1")),
        ("IPAddress", json!("198.51.100.2")),
        ("MacAddress", json!("02:42:c6:33:64:02")),
    ];
    for (key, value) in values {
        if endpoint.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty()) {
            set(endpoint, key, value);
        }
    }
}

/// An inspected image.
pub fn image(document: &Value, names: &Names) -> Value {
    let mut document = names.replace(document);
    if let Some(all) = document.as_object_mut() {
        all.retain(|key, _| matches!(key.as_str(), "Id" | "RepoTags" | "Os" | "Architecture" | "Config"));
    }
    document
}

/// What is read of an engine's answers about itself.
pub fn engine(document: &Value, names: &Names) -> Value {
    let mut document = names.replace(document);
    if let Some(all) = document.as_object_mut() {
        all.retain(|key, _| matches!(key.as_str(), "Name" | "DefaultRuntime" | "CgroupVersion" | "Components"));
        for component in all.get_mut("Components").and_then(Value::as_array_mut).into_iter().flatten() {
            *component = json!({ "Name": component["Name"] });
        }
    }
    document
}

fn set(object: &mut Map<String, Value>, key: &str, value: Value) {
    if let Some(place) = object.get_mut(key) {
        *place = value;
    }
}
