//! `dockerhub/docker/{is_official}/{name}/tags`: the tags that Docker Hub has, and which of them are here.

use serde_json::json;
use wharf_sdk::Response;
use wharf_sdk::registry::hub_read;

use crate::failure::Failure;
use crate::local::Local;

/// The most tags of one answer: more than ten pages of Docker Hub, which nobody reads.
const LIMIT: u32 = 1_000;

pub(crate) fn tags(is_official: &str, name: &str) -> Result<Response, Failure> {
    let repository = match is_official {
        "1" => format!("library/{name}"),
        "0" => name.to_owned(),
        other => return Err(Failure::Malformed(format!("is_official is `{other}`: expected `0` or `1`"))),
    };
    let tags = hub_read::tags(&repository, LIMIT).map_err(|error| Failure::of_remote(error, name))?;
    let local = Local::read().map_err(|error| Failure::of_engine(error, name))?;
    Ok(Response::json(&json!({"installed": local.tags(&repository), "tags": tags})))
}
