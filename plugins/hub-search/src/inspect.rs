//! `…/inspect` and `…/remote_inspect`: all that is known of one image. Of templates see [`templates`](crate::templates).

use serde_json::{Value, json};
use wharf_sdk::Response;
use wharf_sdk::docker::images_read;
use wharf_sdk::registry::{manifests_read, references};

use crate::failure::Failure;
use crate::path::Named;

/// An image of the engine, in the engine's own words.
pub(crate) fn local(image: &Named) -> Result<Response, Failure> {
    let reference = image.reference();
    let inspected = images_read::inspect_one(&reference).map_err(|error| Failure::of_engine(error, &reference))?;
    Ok(Response::new(200).header("content-type", "application/json").body(inspected.json.into_bytes()))
}

/// An image that its registry has, in the shape of an inspect. What only an engine can know is empty.
pub(crate) fn remote(image: &Named) -> Result<Response, Failure> {
    let reference = image.reference();
    let resolved = references::resolve(&reference).map_err(|error| Failure::of_remote(error, &reference))?;
    let config = manifests_read::fetch_config(&reference, None).map_err(|error| match resolved.registry.as_str() {
        "docker.io" => Failure::of_docker_hub(error, &reference),
        _ => Failure::of_remote(error, &reference),
    })?;
    let details: Value = config.details().map_err(|error| Failure::Unavailable(error.to_string()))?;
    // Builders leave out what they have nothing to say for, or write null.
    let text = |key| details.get(key).and_then(Value::as_str).unwrap_or_default();
    let object = |key| details.get(key).cloned().unwrap_or_default();
    Ok(Response::json(&json!({
        "Architecture": text("architecture"),
        "Author": text("author"),
        "Comment": text("comment"),
        "Config": object("config"),
        "Container": text("container"),
        "ContainerConfig": object("container_config"),
        "Created": text("created"),
        "DockerVersion": text("docker_version"),
        "Id": config.digest,
        "Os": text("os"),
        "Parent": text("parent"),
        "Remote": true,
        "Size": 0,
        "VirtualSize": 0,
    })))
}
