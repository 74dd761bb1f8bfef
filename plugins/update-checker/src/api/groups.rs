//! `/api/groups/`: updating all containers of one image.
//!
//! The image stands in the body of `/api/groups/update` or in the path, `/api/groups/{image}/update`. It may have slashes and a colon, encoded or not, so a path is read from its end.

use wharf_sdk::{Request, Response, percent_decode};

use super::images::{order, updating};
use super::{check_method, texts};
use crate::document::Document;
use crate::failure::Failure;
use crate::reference::normalised;
use crate::snapshot::Snapshot;

const ACTION: &str = "update";
/// The longest key that a job can have.
const LONGEST_KEY: usize = 200;

/// Everything below `/api/groups/`.
pub(crate) fn below(request: &Request) -> Result<Response, Failure> {
    let path = percent_decode(request.path());
    let below = path.strip_prefix("/api/groups/").unwrap_or_default();
    if below.is_empty() {
        return Err(Failure::NotFound);
    }
    if below == ACTION {
        check_method(request, "POST")?;
        return update(&image_of_body(request)?);
    }
    match below.strip_suffix(ACTION).and_then(|image| image.strip_suffix('/')) {
        Some(image) if !image.is_empty() => {
            check_method(request, "POST")?;
            update(image)
        }
        _ => Err(Failure::UnknownAction),
    }
}

fn image_of_body(request: &Request) -> Result<String, Failure> {
    let [image] = texts(request, ["image"]).ok_or(Failure::BadRequest)?;
    if image.is_empty() { Err(Failure::BadRequest) } else { Ok(image) }
}

/// Updates every container of `image`. If there is none, nothing happens.
fn update(image: &str) -> Result<Response, Failure> {
    let snapshot = Snapshot::read()?;
    if let Some(group) = snapshot.group(image).or_else(|| snapshot.group(&normalised(image))) {
        let items: Vec<_> = group.containers.iter().collect();
        let key: String = format!("group {}", group.image).chars().take(LONGEST_KEY).collect();
        order(&items, &key)?;
    }
    Ok(updating())
}
