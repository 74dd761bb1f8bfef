//! Starting, stopping and removing a container.

use serde_json::Value;
use wharf_sdk::docker::containers_lifecycle::{start, stop};
use wharf_sdk::docker::containers_read::inspect_one;
use wharf_sdk::docker::containers_remove::{RemoveOptions, remove};
use wharf_sdk::tracing::warn;
use wharf_sdk::{Request, Response};

use crate::failure::Failure;

/// `PATCH /deployments/{deployment}`: `{"status": "running"}` or `{"status": "stopped"}`.
pub(crate) fn patch(request: &Request) -> Result<Response, Failure> {
    if request.media_type() != "application/json" {
        return Err(Failure::MediaType);
    }
    let body: Value = request.json()?;
    let deployment = request.param("deployment");
    match body.get("status").and_then(Value::as_str) {
        Some("running") => start(&deployment),
        Some("stopped") => stop(&deployment, None),
        _ => return Err(Failure::Malformed("`status` is neither `running` nor `stopped`")),
    }
    .map_err(Failure::of_container)?;
    Ok(Response::new(200))
}

/// `DELETE /deployments/{deployment}`: stops it, waits, and removes it. Its anonymous volumes stay.
pub(crate) fn delete(request: &Request) -> Result<Response, Failure> {
    // By its full id from here on: when it removes itself as it stops, its name may be the beginning of another container's id.
    let id = inspect_one(&request.param("deployment")).map_err(Failure::of_container)?.id;
    stop(&id, None).map_err(Failure::of_container)?;
    if let Err(error) = remove(&id, RemoveOptions::default()) {
        // It is stopped; that it is still there, or gone already, does not concern the client.
        warn!(container = id, %error, "failed to remove a stopped container");
    }
    Ok(Response::new(200))
}
