//! Between the engine's JSON and the records of the WIT. Nothing is decided here.
//!
//! The JSON itself crosses as it is: it is parsed for the few fields that stand beside it and otherwise kept as text, so that fields nobody knows, large numbers and the order of keys survive.
//! To take a key out, an object is opened only as far as its keys (see [`RawObject`]); its values stay text.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::grant::ReadableContainer;
use crate::backend::engine::{ContainerId, EngineError, LogRange};
use crate::bindings::wharf::docker::{containers_logs, containers_read, networks_read, types, volumes_read};

mod images;
mod operations;

pub(super) use images::{
    ImageIdentity, MarkedImage, base_identity, distribution, image, image_identity, image_summaries, marked_images, pruned, removal,
};
pub(super) use operations::{operation, progress};

/// What the engine says a container is: what grants are decided on.
#[derive(Debug, Clone)]
pub(super) struct ContainerIdentity {
    pub(super) id: ContainerId,
    /// Without the leading slash.
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    /// What it was created with: a reference, or an id; empty if the engine does not say.
    pub(super) image: String,
    /// Whether it has a terminal.
    pub(super) tty: bool,
    pub(super) stop_timeout_secs: Option<i64>,
}

/// A container, as `GET /containers/{id}/json` has it.
#[derive(Debug, Clone)]
pub(super) struct ContainerDetails {
    pub(super) identity: ContainerIdentity,
    state: String,
    json: String,
}

type Labels = Option<HashMap<String, String>>;

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerFields {
    id: String,
    name: String,
    state: StateFields,
    #[serde(default)]
    config: Option<ConfigFields>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StateFields {
    status: String,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigFields {
    labels: Labels,
    image: Option<String>,
    tty: Option<bool>,
    stop_timeout: Option<i64>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryFields {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    image: String,
    #[serde(default, rename = "ImageID")]
    image_id: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    labels: Labels,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkFields {
    id: String,
    name: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    labels: Labels,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeFields {
    name: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    labels: Labels,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeList {
    #[serde(default)]
    volumes: Option<Vec<Box<RawValue>>>,
}

impl ContainerDetails {
    /// Reads the engine's answer.
    pub(super) fn parse(body: &[u8]) -> Result<ContainerDetails, EngineError> {
        let json = text(body)?;
        let fields: ContainerFields = parse(&json)?;
        let config = fields.config.unwrap_or_default();
        let id =
            ContainerId::parse(&fields.id).ok_or_else(|| EngineError::Unintelligible(format!("`{}` is no container id", fields.id)))?;
        let identity = ContainerIdentity {
            id,
            name: without_slash(&fields.name).to_owned(),
            labels: pairs(config.labels),
            image: config.image.unwrap_or_default(),
            tty: config.tty.unwrap_or(false),
            stop_timeout_secs: config.stop_timeout,
        };
        Ok(ContainerDetails { identity, state: fields.state.status, json })
    }

    /// The record, with the environment in its JSON.
    fn into_record(self) -> types::Container {
        types::Container {
            id: self.identity.id.as_str().to_owned(),
            name: self.identity.name,
            state: self.state,
            labels: self.identity.labels,
            json: self.json,
        }
    }

    /// The record, without `Config.Env` in its JSON.
    fn into_record_without_environment(mut self) -> Result<types::Container, EngineError> {
        let mut container: RawObject = parse(&self.json)?;
        for config in container.values_mut("Config") {
            if let Ok(mut fields) = serde_json::from_str::<RawObject>(config.get()) {
                fields.remove("Env");
                *config = serde_json::value::to_raw_value(&fields).map_err(|error| EngineError::Unintelligible(error.to_string()))?;
            }
        }
        self.json = serde_json::to_string(&container).map_err(|error| EngineError::Unintelligible(error.to_string()))?;
        Ok(self.into_record())
    }
}

/// The record of a container, with the environment in its JSON.
pub(super) fn with_environment(container: ReadableContainer) -> types::Container {
    container.into_details().into_record()
}

/// The record of a container, without `Config.Env` in its JSON.
pub(super) fn without_environment(container: ReadableContainer) -> Result<types::Container, EngineError> {
    container.into_details().into_record_without_environment()
}

/// The items of `GET /containers/json`.
pub(super) fn container_summaries(body: &[u8]) -> Result<Vec<containers_read::ContainerSummary>, EngineError> {
    let items: Vec<Box<RawValue>> = parse(&text(body)?)?;
    items.iter().map(|item| container_summary(item)).collect()
}

fn container_summary(item: &RawValue) -> Result<containers_read::ContainerSummary, EngineError> {
    let fields: SummaryFields = parse(item.get())?;
    let mut names: Vec<String> = fields.names.unwrap_or_default().iter().map(|name| without_slash(name).to_owned()).collect();
    // A link of another container's is `other/alias`, and stands anywhere among them.
    names.sort_by_key(|name| name.contains('/'));
    Ok(containers_read::ContainerSummary {
        id: fields.id,
        names,
        image: fields.image,
        image_id: fields.image_id,
        state: fields.state,
        labels: pairs(fields.labels),
        json: item.get().to_owned(),
    })
}

/// The items of `GET /networks`.
pub(super) fn networks(body: &[u8]) -> Result<Vec<networks_read::Network>, EngineError> {
    let items: Vec<Box<RawValue>> = parse(&text(body)?)?;
    items.iter().map(|item| network(item)).collect()
}

fn network(item: &RawValue) -> Result<networks_read::Network, EngineError> {
    let fields: NetworkFields = parse(item.get())?;
    let json = item.get().to_owned();
    Ok(networks_read::Network { id: fields.id, name: fields.name, driver: fields.driver, labels: pairs(fields.labels), json })
}

/// The items of `GET /volumes`.
pub(super) fn volumes(body: &[u8]) -> Result<Vec<volumes_read::Volume>, EngineError> {
    let list: VolumeList = parse(&text(body)?)?;
    list.volumes.unwrap_or_default().iter().map(|item| volume(item)).collect()
}

fn volume(item: &RawValue) -> Result<volumes_read::Volume, EngineError> {
    let fields: VolumeFields = parse(item.get())?;
    let json = item.get().to_owned();
    Ok(volumes_read::Volume { name: fields.name, driver: fields.driver, labels: pairs(fields.labels), json })
}

/// The range that `options` ask for.
pub(super) fn log_range(options: &containers_logs::LogOptions) -> LogRange {
    LogRange {
        stdout: options.stdout,
        stderr: options.stderr,
        timestamps: options.timestamps,
        follow: options.follow,
        tail: options.tail,
        since_ms: options.since_ms,
        until_ms: options.until_ms,
    }
}

fn without_slash(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

fn pairs(labels: Labels) -> Vec<(String, String)> {
    labels.unwrap_or_default().into_iter().collect()
}

fn text(body: &[u8]) -> Result<String, EngineError> {
    String::from_utf8(body.to_vec()).map_err(|_| EngineError::Unintelligible("it is no UTF-8".to_owned()))
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, EngineError> {
    serde_json::from_str(json).map_err(|error| EngineError::Unintelligible(error.to_string()))
}

/// An object opened as far as its keys, in their order; the values are text.
struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    fn remove(&mut self, key: &str) {
        self.0.retain(|(own, _)| own != key);
    }

    fn values_mut(&mut self, key: &str) -> impl Iterator<Item = &mut Box<RawValue>> {
        self.0.iter_mut().filter(move |(own, _)| own == key).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawObject, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = RawObject;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(RawObject(entries))
            }
        }

        deserializer.deserialize_map(RawVisitor)
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// What changes at API 1.52 and later, as transcripts written after the published list of changes. No such engine was at hand.
#[cfg(test)]
mod transcripts_of_newer_engines {
    use super::*;

    #[test]
    fn a_container_without_the_fields_that_were_dropped_is_read() {
        let id = "a".repeat(64);
        let rest = r#""Name":"/web","State":{"Status":"running"},"Config":{"Env":["A=1"],"Labels":null},"NetworkSettings":{"Networks":{"n":{"MacAddress":"02:42"}}}}"#;
        let details = ContainerDetails::parse(format!(r#"{{"Id":"{id}",{rest}"#).as_bytes()).unwrap();
        assert_eq!((details.identity.name.as_str(), details.identity.tty, details.identity.labels.len()), ("web", false, 0));
        let container = details.into_record_without_environment().unwrap();
        assert_eq!(container.json, format!(r#"{{"Id":"{id}",{}"#, rest.replace(r#""Env":["A=1"],"#, "")));
    }

    #[test]
    fn a_list_item_with_health_crosses_whole() {
        let item = r#"{"Id":"x","Names":["/a/link","/own"],"Image":"redis","ImageID":"sha256:1","State":"running","Labels":{"a":"b"},"Health":{"Status":"healthy","FailingStreak":0},"ImageManifestDescriptor":{"size":12345678901234567890123}}"#;
        let summaries = container_summaries(format!("[{item}]").as_bytes()).unwrap();
        let summary = summaries.first().unwrap();
        assert_eq!((summary.json.as_str(), summary.names.as_slice()), (item, ["own".to_owned(), "a/link".to_owned()].as_slice()));
    }
}
