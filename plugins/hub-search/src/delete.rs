//! `DELETE local/{type}/{name}`: removes an image under all of its tags, or under one; or a stored template.
//!
//! Each tag is removed by itself and never forced, so that an image with names of other repositories keeps these, and one that a container uses stays.

use serde_json::json;
use wharf_sdk::Response;
use wharf_sdk::docker::{Error, images_remove};
use wharf_sdk::tracing::info;

use crate::failure::Failure;
use crate::local::Local;
use crate::path::{Kind, Named};
use crate::templates;

/// Removes the image `name`. Where there is none, and `tagged` (the same path read as a name and a tag) is there, that one tag is removed.
pub(crate) fn delete(repository: &str, kind: &str, name: &str, tagged: Option<Named>) -> Result<Response, Failure> {
    if repository != "local" {
        return Err(Failure::Malformed(format!("cannot delete from `{repository}`: expected `local`")));
    }
    let kind = Kind::parse(kind)?;
    match kind {
        Kind::Docker => remove(&references(name, tagged)?, name)?,
        Kind::Lxc => templates::delete(name, tagged.as_ref())?,
    }
    Ok(Response::json(&json!({"action": "delete", "name": name, "state": "success", "type": kind.word()})))
}

fn references(name: &str, tagged: Option<Named>) -> Result<Vec<String>, Failure> {
    let local = Local::read().map_err(|error| Failure::of_engine(error, name))?;
    if local.has(name) {
        return Ok(local.tags(name).into_iter().map(|tag| format!("{name}:{tag}")).collect());
    }
    let tagged = tagged.filter(|image| local.has_tag(&image.name, &image.tag));
    tagged.map(|image| vec![image.reference()]).ok_or_else(|| Failure::NoImage(name.to_owned()))
}

/// Removes all of `references`, and answers the first failure. One that went away by itself is none, unless all did.
fn remove(references: &[String], name: &str) -> Result<(), Failure> {
    let mut removed = 0_usize;
    let mut failure = None;
    for (reference, answer) in references.iter().zip(images_remove::remove(references)) {
        match answer {
            Ok(removal) => {
                removed += 1;
                info!(reference, layers = removal.deleted.len(), "removed an image");
            }
            Err(Error::NotFound) => {}
            Err(error) => drop(failure.get_or_insert(Failure::of_engine(error, reference))),
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None if removed == 0 => Err(Failure::NoImage(name.to_owned())),
        None => Ok(()),
    }
}
