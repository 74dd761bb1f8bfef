//! What this API says of a container.
//!
//! The engine's JSON is read leniently: whatever is absent or of another shape counts as not there, since one odd container must not hide all others. The fields
//! that every engine has come from the contract and not from the JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wharf_sdk::docker::images_read::{self, Image};
use wharf_sdk::docker::{Container, Error};
use wharf_sdk::reference::{familiar, with_tag};
use wharf_sdk::tracing::warn;

use crate::environment;
use crate::failure::Failure;
use crate::ports;

/// One container, in the order in which this API documents its fields.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    id: String,
    labels: BTreeMap<String, String>,
    status: &'static str,
    image: ImageRecord,
    ports: Option<Map<String, Value>>,
    created: String,
    started: String,
    restarts: i64,
    environment: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct ImageRecord {
    /// Until [`Record::named`] this is the reference that the container was created with.
    name: String,
    hash: String,
}

/// The parts of the engine's inspect that a record shows.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Details {
    image: Option<String>,
    created: Option<String>,
    restart_count: Option<i64>,
    config: Option<Config>,
    state: Option<State>,
    host_config: Option<HostConfig>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: Option<String>,
    env: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    started_at: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    port_bindings: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    ports: Option<Map<String, Value>>,
}

impl Record {
    /// The record of `container`, but for the name of its image.
    pub(crate) fn unnamed(container: &Container) -> Record {
        let details: Details = container.details().unwrap_or_else(|error| {
            warn!(container = container.name, %error, "the details of a container cannot be read");
            Details::default()
        });
        let config = details.config.unwrap_or_default();
        Record {
            id: container.id.clone(),
            labels: container.labels.iter().filter(|(key, _)| key.contains("lopco")).cloned().collect(),
            status: status(&container.state),
            image: ImageRecord { name: config.image.unwrap_or_default(), hash: details.image.unwrap_or_default() },
            ports: ports::shown(
                details.network_settings.unwrap_or_default().ports.unwrap_or_default(),
                &details.host_config.unwrap_or_default().port_bindings.unwrap_or_default(),
            ),
            created: details.created.unwrap_or_default(),
            started: details.state.unwrap_or_default().started_at.unwrap_or_default(),
            restarts: details.restart_count.unwrap_or_default(),
            environment: environment::shown(config.env.unwrap_or_default()),
        }
    }

    /// The full id of the image; empty when the engine does not say.
    pub(crate) fn image_id(&self) -> &str {
        &self.image.hash
    }

    /// The same with the name that the image has now.
    pub(crate) fn named(mut self, images: &Images) -> Record {
        self.image.name = images.name(&self.image.name, &self.image.hash);
        self
    }
}

/// The two words that this API has for the states of a container.
fn status(state: &str) -> &'static str {
    match state {
        // `stopping` is Podman's.
        "running" | "restarting" | "removing" | "stopping" => "running",
        _ => "stopped",
    }
}

/// The images of some containers, by id.
pub(crate) struct Images(BTreeMap<String, Image>);

impl Images {
    /// Asks the engine about the images `ids`, once about each. One that was deleted under its container is left out.
    pub(crate) fn inspect<'a>(ids: impl Iterator<Item = &'a str>) -> Result<Images, Failure> {
        let mut unique: Vec<String> = ids.filter(|id| !id.is_empty()).map(str::to_owned).collect();
        unique.sort_unstable();
        unique.dedup();
        let mut images = BTreeMap::new();
        let answers = if unique.is_empty() { Vec::new() } else { images_read::inspect(&unique) };
        for (id, answer) in unique.into_iter().zip(answers) {
            match answer {
                Ok(image) => drop(images.insert(id, image)),
                Err(Error::NotFound | Error::Denied | Error::Invalid(_)) => {}
                Err(error) => return Err(Failure::Engine(error)),
            }
        }
        Ok(Images(images))
    }

    /// The name of the image `id` of a container that was created with `reference`: that reference while its tag still belongs to the image, else the last of the
    /// image's tags, else the beginning of its id.
    fn name(&self, reference: &str, id: &str) -> String {
        let tags = self.0.get(id).map_or(&[][..], |image| &image.repo_tags);
        let reference = with_tag(reference).into_owned();
        let wanted = familiar(&reference);
        if tags.iter().any(|tag| familiar(tag) == wanted) {
            return reference;
        }
        tags.last().cloned().unwrap_or_else(|| short_id(id))
    }
}

fn short_id(id: &str) -> String {
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(10).collect()
}
