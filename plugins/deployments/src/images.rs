//! `/images`: what the engine holds, pulling, and removing what no name leads to.
//!
//! An image with several tags stands in the list once under each, so that a client finds it by whichever it knows. Untagged images have no key to stand under.

use std::borrow::Cow;

use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use wharf_sdk::docker::images_read::{self, Image};
use wharf_sdk::docker::{Error, images_prune, images_pull};
use wharf_sdk::reference::split;
use wharf_sdk::tracing::{info, warn};
use wharf_sdk::{Request, Response, percent_decode};

use crate::failure::Failure;
use crate::json::{Json, Object};

/// One image, in the order in which this API documents its fields.
#[derive(Debug, Serialize)]
struct Record {
    /// The full id, with `sha256:`.
    hash: String,
    /// RFC 3339, as the engine has it.
    created: String,
    /// Bytes, the layers included that other images share.
    size: u64,
    architecture: String,
    digests: Vec<String>,
}

/// The parts of the engine's inspect that a record shows.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Details {
    created: Option<String>,
    size: Option<u64>,
    architecture: Option<String>,
}

impl From<Image> for Record {
    fn from(image: Image) -> Record {
        let details: Details = image.details().unwrap_or_else(|error| {
            warn!(image = image.id, %error, "the details of an image cannot be read");
            Details::default()
        });
        Record {
            hash: image.id,
            created: details.created.unwrap_or_default(),
            size: details.size.unwrap_or_default(),
            architecture: details.architecture.unwrap_or_default(),
            digests: image.repo_digests,
        }
    }
}

/// Records by each tag of theirs, in the engine's order.
struct Records(Vec<(Vec<String>, Record)>);

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (tags, record) in &self.0 {
            for tag in tags {
                map.serialize_entry(tag, record)?;
            }
        }
        map.end()
    }
}

/// `GET /images`: two calls however many images there are.
pub(crate) fn list(_: &Request) -> Result<Response, Failure> {
    let listed = images_read::list().map_err(Failure::Engine)?;
    let ids: Vec<String> = listed.into_iter().filter(|image| !image.repo_tags.is_empty()).map(|image| image.id).collect();
    let answers = if ids.is_empty() { Vec::new() } else { images_read::inspect(&ids) };
    let mut records = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Ok(image) => records.push((image.repo_tags.clone(), Record::from(image))),
            // Removed since it was listed.
            Err(Error::NotFound | Error::Denied) => {}
            Err(error) => return Err(Failure::Engine(error)),
        }
    }
    Ok(Response::json(&Records(records)))
}

/// `GET /images/{image}`: by reference or id.
pub(crate) fn get(request: &Request) -> Result<Response, Failure> {
    let image = images_read::inspect_one(&reference(request)).map_err(Failure::of_image)?;
    Ok(Response::json(&Record::from(image)))
}

/// The reference in the path. Clients encode it twice: the server that they were written for decoded the path before it looked for its routes, and the parameter once more.
pub(crate) fn reference(request: &Request) -> String {
    percent_decode(&request.param("image")).into_owned()
}

/// `POST /images`: pulls, and answers when the image is there.
pub(crate) fn pull(request: &Request) -> Result<Response, Failure> {
    match request.json()? {
        Json::Object(body) => pull_posted(body),
        _ => Err(Failure::Malformed("the body is no object")),
    }
}

/// `PATCH /images`: with a body that names a repository a pull, since this API's documentation has it so; else it removes the images that no name leads to.
pub(crate) fn patch(request: &Request) -> Result<Response, Failure> {
    if request.bytes()?.trim_ascii().is_empty() {
        return prune();
    }
    match request.json()? {
        Json::Object(body) if body.is_empty() => prune(),
        Json::Object(body) => pull_posted(body),
        _ => Err(Failure::Malformed("the body is no object")),
    }
}

fn pull_posted(body: Object) -> Result<Response, Failure> {
    let (Some(Json::Text(repository)), Some(tag)) = (body.get("repository"), body.get("tag")) else {
        return Err(Failure::Malformed("`repository` or `tag` is missing, or `repository` is no text"));
    };
    let tag = match tag {
        Json::Text(tag) => tag.as_str(),
        Json::Null => "",
        _ => return Err(Failure::Malformed("`tag` is neither text nor null")),
    };
    let image = tagged(repository, tag);
    images_pull::pull(&image).map_err(Failure::Engine)?;
    info!(%image, "pulled an image");
    Ok(Response::new(200))
}

/// The reference of `tag` in `repository`. Without a tag it is the one that the repository is written with, or else `latest`.
fn tagged<'a>(repository: &'a str, tag: &str) -> Cow<'a, str> {
    if tag.is_empty() {
        return repository.into();
    }
    let (name, _) = split(repository);
    let separator = if tag.contains(':') { '@' } else { ':' };
    format!("{name}{separator}{tag}").into()
}

fn prune() -> Result<Response, Failure> {
    let pruned = images_prune::prune().map_err(Failure::Engine)?;
    info!(layers = pruned.deleted.len(), reclaimed = pruned.reclaimed, "removed the images without a name");
    Ok(Response::new(200))
}
