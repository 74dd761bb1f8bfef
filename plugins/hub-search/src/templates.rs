//! Templates: archives of whole systems, which the host fetches into blobs of this plugin.
//!
//! There is one of a name, whatever its version: a download of another version takes its place. So its one tag is always `latest`. What else is known of a stored template is the blob's, and what the catalogue says if it
//! still says it of this very archive.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use wharf_sdk::Response;
use wharf_sdk::registry::catalog_read::CatalogEntry;
use wharf_sdk::storage::blobs::{self, Blob};
use wharf_sdk::tracing::{debug, info};

use crate::catalog;
use crate::failure::Failure;
use crate::list::{Filter, Here, entry};
use crate::path::{Kind, Named};

/// What the names of their blobs begin with.
const PREFIX: &str = "lxc/";
/// The tag of every template that is stored.
pub(crate) const TAG: &str = "latest";
/// The most blobs of one page.
const PAGE: u32 = 1_000;

/// The blob that the template `name` is stored as.
pub(crate) fn blob_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The templates that are stored, by name.
#[derive(Default)]
pub(crate) struct Templates(BTreeMap<String, Blob>);

impl Templates {
    pub(crate) fn read() -> Result<Templates, Failure> {
        let mut templates = BTreeMap::new();
        let mut cursor = None;
        loop {
            let page = blobs::list(PREFIX, cursor.as_deref(), PAGE).map_err(Failure::of_storage)?;
            let named = |blob: Blob| Some((blob.name.strip_prefix(PREFIX)?.to_owned(), blob));
            templates.extend(page.blobs.into_iter().filter_map(named));
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(Templates(templates));
            }
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// A template in the list of what is local. Its size is a text, and always was.
#[derive(Serialize)]
struct LocalTemplate<'a> {
    description: &'a str,
    downloading: bool,
    icon: &'a str,
    installed: bool,
    name: &'a str,
    repository: &'static str,
    size: [String; 1],
    tags: [&'static str; 1],
    r#type: &'static str,
}

/// The stored templates, sorted by name.
pub(crate) fn local(filter: &Filter<'_>, here: &Here) -> Vec<Value> {
    let Templates(templates) = &here.templates;
    if templates.is_empty() {
        return Vec::new();
    }
    // The list goes without what it says.
    let catalog = catalog::templates().unwrap_or_else(|error| {
        debug!(%error, "the stored templates are listed without their descriptions");
        Vec::new()
    });
    let listed = templates.iter().filter_map(|(name, blob)| {
        let origin = catalog.iter().find(|entry| entry.name == *name && is_of(blob, entry));
        let description = origin.map(|entry| format!("{} {}", entry.title, entry.version).trim_start().to_owned()).unwrap_or_default();
        let template = LocalTemplate {
            description: &description,
            downloading: here.downloads.has_template_of(name),
            icon: origin.map_or("", |entry| &entry.icon),
            installed: true,
            name,
            repository: "local",
            size: [blob.size.to_string()],
            tags: [TAG],
            r#type: Kind::Lxc.word(),
        };
        filter.finds(&[name, &description]).then(|| entry(&template))
    });
    listed.collect()
}

/// Whether `blob` is the archive of `entry`, as far as that says what it is.
fn is_of(blob: &Blob, entry: &CatalogEntry) -> bool {
    let size = entry.size.map(|size| size == blob.size);
    let digest = entry.archive_digest.as_ref().filter(|digest| digest.starts_with("sha256:")).map(|digest| *digest == blob.digest);
    digest.or(size) == Some(true)
}

/// `GET lxc/{name}/{tag}/inspect`: what is known of a stored template.
pub(crate) fn inspect(template: &Named) -> Result<Response, Failure> {
    let Templates(templates) = Templates::read()?;
    let stored = templates.get(&template.name).filter(|_| template.tag == TAG);
    let blob = stored.ok_or_else(|| Failure::NoImage(template.reference()))?;
    let stored_ms = blob.stored.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok());
    let created = stored_ms.and_then(|stored_ms| Timestamp::from_millisecond(stored_ms).ok()).unwrap_or_default();
    Ok(Response::json(&json!({
        "Created": created.to_string(),
        "Id": blob.digest,
        "RepoTags": [template.reference()],
        "Size": blob.size,
    })))
}

/// Deletes the template `name`, which may be followed by its tag.
pub(crate) fn delete(name: &str, tagged: Option<&Named>) -> Result<(), Failure> {
    let stored = match tagged {
        Some(Named { name, tag }) if tag == TAG => name,
        _ => name,
    };
    let templates = Templates::read()?;
    if !templates.has(stored) || !blobs::delete(&blob_name(stored)).map_err(Failure::of_storage)? {
        return Err(Failure::NoImage(name.to_owned()));
    }
    info!(template = stored, "deleted a template");
    Ok(())
}
