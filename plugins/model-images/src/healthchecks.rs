//! `/healthchecks/{docker|metadata|artifact}`: whether what this API stands on answers.

use serde_json::json;
use wharf_sdk::docker::containers_read::{self, ContainerFilter};
use wharf_sdk::storage::{blobs, sql};
use wharf_sdk::tracing::warn;
use wharf_sdk::{Error, Request, Response};

use crate::database;
use crate::failure::Failure;
use crate::instances::TOKEN_LABEL;

pub(crate) fn check(request: &Request) -> Result<Response, Failure> {
    let what = request.param("what");
    let answer: Result<(), Error> = match &*what {
        // A list of nothing, for which the engine is asked all the same.
        "docker" => containers_read::list(&ContainerFilter { all: false, labels: vec![TOKEN_LABEL.to_owned()] }).map(drop),
        "metadata" => database::ready().and_then(|()| sql::query_one("SELECT 1", &[]).map(drop)),
        "artifact" => blobs::list("", None, 1).map(drop),
        _ => return Err(Failure::NoPath),
    };
    match answer {
        Ok(()) => Ok(Response::json(&json!({"msg": format!("Healthcheck of {what} successful")}))),
        Err(error) => {
            warn!(what = &*what, %error, "a healthcheck failed");
            Err(Failure::NotFound(format!("Healthcheck of {what} failed")))
        }
    }
}
