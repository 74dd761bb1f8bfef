//! Downloads: `…/download` begins one, `downloadstatus` shows those under way.
//!
//! A download is an operation of the host, which goes on when the request is answered and when this plugin is swapped, and whose end the host writes to its log.

use serde_json::{Map, Value, json};
use wharf_sdk::docker::{Error, images_pull};
use wharf_sdk::reference::familiar;
use wharf_sdk::registry::{catalog_download, references};
use wharf_sdk::tracing::{info, warn};
use wharf_sdk::{Request, Response};

use crate::catalog;
use crate::failure::Failure;
use crate::local::{Downloads, Local};
use crate::path::{Kind, Named};
use crate::templates::{Templates, blob_name};

/// `GET /api/v1/image/downloadstatus`.
pub(crate) fn status(_: &Request) -> Result<Response, Failure> {
    let downloads = Downloads::read().map_err(|error| Failure::of_engine(error, ""))?;
    let status: Vec<Value> =
        downloads.each().map(|(name, percent)| json!({"name": name, "percent": percent, "status": "downloading"})).collect();
    Ok(Response::json(&status))
}

/// `POST {repository}/{kind}/{name}/{tag}/download`.
pub(crate) fn download(request: &Request, repository: &str, kind: &str, image: &Named) -> Result<Response, Failure> {
    if !matches!(repository, "dockerhub" | "qnap") {
        return Err(Failure::Malformed(format!("cannot download from `{repository}`: expected `dockerhub` or `qnap`")));
    }
    let kind = Kind::parse(kind)?;
    let description = description(request)?;
    match (kind, repository) {
        (Kind::Docker, _) => begin(repository, image, &description)?,
        (Kind::Lxc, "qnap") => begin_template(image, &description)?,
        (Kind::Lxc, _) => return Err(Failure::NoImage(image.name.clone())),
    }
    Ok(Response::json(&json!({})))
}

/// What the client says of the image: an object, or nothing. It is only written to the log.
fn description(request: &Request) -> Result<Map<String, Value>, Failure> {
    if request.bytes()?.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match request.json()? {
        Value::Object(description) => Ok(description),
        _ => Err(Failure::Malformed("the body is no JSON object".to_owned())),
    }
}

fn begin(repository: &str, image: &Named, description: &Map<String, Value>) -> Result<(), Failure> {
    let of_engine = |error| Failure::of_engine(error, &image.reference());
    let reference = references::resolve(&image.reference()).map_err(of_engine)?.full;
    let text = |key| description.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, tag) = (&image.name, &image.tag);
    if Downloads::read().map_err(of_engine)?.has(&reference) {
        warn!(repository, name, tag, "this image is being downloaded already");
        return Ok(());
    }
    if Local::read().map_err(of_engine)?.has_tag(name, tag) {
        warn!(repository, name, tag, "this image is here already, and is downloaded anew");
    }
    let operation = images_pull::begin(&reference).map_err(|error| match error {
        Error::Denied => Failure::NotAllowed(familiar(&reference).to_owned()),
        error => of_engine(error),
    })?;
    let (location, description) = (text("location"), text("description"));
    info!(repository, name, tag, operation, location, description, "began to download an image");
    Ok(())
}

/// Has the host fetch the archive that the catalogue names for a template.
fn begin_template(wanted: &Named, description: &Map<String, Value>) -> Result<(), Failure> {
    let template = catalog::template(wanted)?;
    let (repository, name, version) = (catalog::QNAP, template.name.as_str(), template.version.as_str());
    if Downloads::read().map_err(|error| Failure::of_engine(error, name))?.has_template(name, version) {
        warn!(repository, name, version, "this template is being downloaded already");
        return Ok(());
    }
    if Templates::read()?.has(name) {
        warn!(repository, name, version, "a template of this name is here already, and is downloaded anew");
    }
    let begun = catalog_download::begin(repository, name, Some(version), &blob_name(name));
    let operation = begun.map_err(|error| match error {
        Error::Conflict(reason) => Failure::InUse(reason),
        error => Failure::of_remote(error, name),
    })?;
    let text = |key| description.get(key).and_then(Value::as_str).unwrap_or_default();
    let (location, description) = (text("location"), text("description"));
    info!(repository, name, version, operation, location, description, "began to download a template");
    Ok(())
}
