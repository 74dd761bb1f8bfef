//! The algebra of recreating a container: documents of the engine in, the body of `POST /containers/create` out. No engine is asked here, nothing is stored, and nothing is decided about order or failure.
//!
//! **Raw documents only.** What an engine knows and a typed model does not is lost on the way through that model, and with it volumes and containers. So everything here reads and edits [`serde_json::Value`], and a key that nobody
//! knows here is passed on.
//!
//! **From what is there to what was meant.** An inspect document is the result of the engine's merges; [`specify`] undoes them: that of the image's configuration (`merge.rs`), that of the engine's own defaults (`host_config.rs`), of what it
//! gave the endpoints (`networks.rs`), of volumes nobody named (`mounts.rs`) and of names that became ids (`references.rs`). The inspect documents are of version 1.51 of the API or older: from 1.52 on the hardware address that was asked for
//! is not shown any more.
//!
//! **What comes out is checked by what the engine makes of it**: [`differences`] compares the new container, created and not yet started, with what it should be. Only what an engine is known to fill in may differ. This is what ends a
//! recreation before anything was lost, when an engine does something that is not foreseen here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::backend::engine::ApiVersion;

mod differences;
mod host_config;
mod json;
mod merge;
mod mounts;
mod networks;
mod preview;
mod references;
mod refusal;
#[cfg(test)]
mod tests;

pub(crate) use differences::differences;
use json::{Object, at, object, text_at};
pub(crate) use preview::preview;
use references::Directory;
pub(crate) use references::dependents;
pub(crate) use refusal::Refusal;

/// The label by which compose tells whether a container runs what its image is now.
const COMPOSE_IMAGE: &str = "com.docker.compose.image";

/// What must be known of an engine to read its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The version of the API that the documents are of, and in which the container will be created.
    pub(crate) api: ApiVersion,
    /// The machine's name, which containers in its network have too.
    pub(crate) machine: String,
    /// The runtime of a container that names none; empty if the engine does not say.
    pub(crate) default_runtime: String,
    /// Whether it is Podman's imitation.
    pub(crate) podman: bool,
    /// Whether the machine has cgroups of version 2.
    pub(crate) cgroup_v2: bool,
    /// The full id of the container that this process runs in; none if it runs in none.
    pub(crate) own_container: Option<String>,
}

impl Facts {
    /// Reads the engine's answers to `GET /info` and `GET /version`.
    pub(crate) fn read(api: ApiVersion, info: &Value, version: &Value, own_container: Option<String>) -> Facts {
        let is_podman = |component: &Value| text_at(component, "/Name").starts_with("Podman");
        Facts {
            api,
            machine: text_at(info, "/Name").to_owned(),
            default_runtime: text_at(info, "/DefaultRuntime").to_owned(),
            podman: json::items(at(version, "/Components")).iter().any(is_podman),
            cgroup_v2: text_at(info, "/CgroupVersion") == "2",
            own_container,
        }
    }
}

/// The container to recreate, as it was before anything was changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// `GET /containers/{id}/json`.
    pub(crate) container: &'a Value,
    /// `GET /images/{id}/json` of the image that it was created from: by the id in `Image`, never by name, and before anything is pulled.
    pub(crate) image: &'a Value,
    /// Of the engine that both are from.
    pub(crate) facts: &'a Facts,
    /// All containers of the engine, inspected, or listed with `all=1` if this one takes volumes from no other.
    pub(crate) others: &'a [Value],
    /// The containers that were recreated before this one in the same operation: the new id of each old one.
    pub(crate) replaced: &'a BTreeMap<String, String>,
}

/// The image of the new container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// What the container will be said to run: `nginx:1.29`. When the container is created it must lead to `image`, which [`differences`] checks.
    pub(crate) reference: &'a str,
    /// `GET /images/{id}/json`, from 1.48 on with `manifests=1`, without which compose would recreate containers of an engine with containerd's image store once more.
    pub(crate) image: &'a Value,
}

/// How to create the new container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Specification {
    /// The body of `POST /containers/create`.
    pub(crate) body: Value,
    /// What the container is to be connected to afterwards, before it is started. Empty from 1.44 of the API on.
    pub(crate) connect: Vec<Connection>,
}

/// A network for `POST /networks/{network}/connect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connection {
    /// Its name.
    pub(crate) network: String,
    /// `EndpointConfig` of the body, beside `Container`.
    pub(crate) endpoint: Value,
}

/// How to create `subject` anew on `target`.
///
/// # Errors
///
/// [`Refusal`] for a container that is not to be recreated.
pub(crate) fn specify(subject: &Subject<'_>, target: &Target<'_>) -> Result<Specification, Refusal> {
    let Subject { container, image, facts, others, replaced } = *subject;
    refusal::check(container, facts)?;
    let directory = Directory { others, replaced };
    let mut config = merge::intent(&object(at(container, "/Config")), &object(at(image, "/Config")));
    config.insert("Image".to_owned(), json!(target.reference));
    compose_label(&mut config, container, target.image);
    let mut host = host_config::host_config(&object(at(container, "/HostConfig")), facts, &directory)?;
    mounts::mounts(&mut host, container, &directory)?;
    let (endpoints, connect) = networks::networks(&mut config, &mut host, container, facts);
    config.insert("HostConfig".to_owned(), Value::Object(host));
    if !endpoints.is_empty() {
        config.insert("NetworkingConfig".to_owned(), json!({ "EndpointsConfig": endpoints }));
    }
    Ok(Specification { body: Value::Object(config), connect })
}

/// The configuration that a container of `specification` has: its own and the image's. Without `HostConfig` and `NetworkingConfig`.
fn effective_config(specification: &Specification, image: &Value) -> Object {
    let mut own = object(&specification.body);
    json::remove(&mut own, &["HostConfig", "NetworkingConfig"]);
    merge::merge(&own, &object(at(image, "/Config")))
}

/// Says to compose what the container runs, or it would recreate it at its next `up`. On the image that the container has already the label stays.
fn compose_label(config: &mut Object, container: &Value, image: &Value) {
    let is_same = text_at(container, "/Image") == text_at(image, "/Id");
    let Some(Value::Object(labels)) = config.get_mut("Labels") else { return };
    if !is_same && let Some(label) = labels.get_mut(COMPOSE_IMAGE) {
        *label = json!(content_digest(image));
    }
}

/// What compose calls an image by (its `localContentDigest`): the manifest of its platform where the engine has several manifests under one id, else the id.
fn content_digest(image: &Value) -> &str {
    let manifests = json::items(at(image, "/Manifests")).iter();
    let here: Vec<&Value> =
        manifests.filter(|manifest| text_at(manifest, "/Kind") == "image" && at(manifest, "/Available") == true).collect();
    let is_ours = |manifest: &&&Value| {
        let platform = at(manifest, "/ImageData/Platform");
        text_at(platform, "/os") == text_at(image, "/Os") && text_at(platform, "/architecture") == text_at(image, "/Architecture")
    };
    let only = if here.len() == 1 { here.first() } else { None };
    here.iter().find(is_ours).or(only).map_or_else(|| text_at(image, "/Id"), |manifest| text_at(manifest, "/ID"))
}
