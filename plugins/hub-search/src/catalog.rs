//! The curated categories: QNAP's list and the official images, as the site has them.

use serde::Serialize;
use serde_json::Value;
use wharf_sdk::registry::catalog_read::{self, CatalogEntry, CatalogKind};

use crate::failure::Failure;
use crate::list::{Filter, Here, entry, here};
use crate::path::Kind;

/// An entry of QNAP's list. `inspect` and `size` are of other shapes for templates than for images, and always were.
#[derive(Serialize)]
struct QnapImage<'a> {
    arch: &'a str,
    description: &'a str,
    downloading: bool,
    icon: &'a str,
    inspect: &'static str,
    installed: bool,
    name: &'a str,
    /// What a client puts into the path of a download: QNAP keeps templates, Docker Hub images.
    repository: &'static str,
    size: Option<String>,
    title: &'a str,
    r#type: &'static str,
    version: &'a str,
}

/// An entry of the official images.
#[derive(Serialize)]
struct OfficialImage<'a> {
    arch: &'a str,
    description: &'a str,
    downloading: bool,
    icon: &'a str,
    installed: bool,
    location: &'a str,
    name: &'a str,
    repository: &'static str,
    title: &'a str,
    r#type: &'static str,
    version: &'a str,
}

/// QNAP's list: templates first, then images, each by name.
pub(crate) fn qnap(filter: &Filter<'_>) -> Result<Vec<Value>, Failure> {
    let entries = read("qnap", filter)?;
    let here = here()?;
    let (templates, images): (Vec<&CatalogEntry>, Vec<&CatalogEntry>) = entries.iter().partition(|entry| entry.kind == CatalogKind::Lxc);
    Ok(templates.into_iter().chain(images).map(|image| entry(&qnap_image(image, &here))).collect())
}

/// The official images by name. There are no templates among them.
pub(crate) fn official(filter: &Filter<'_>) -> Result<Vec<Value>, Failure> {
    let entries = read("official", filter)?;
    let here = here()?;
    Ok(entries.iter().filter(|entry| entry.kind == CatalogKind::Docker).map(|image| entry(&official_image(image, &here))).collect())
}

/// The template `name` of QNAP's list.
pub(crate) fn template(name: &str) -> Result<CatalogEntry, Failure> {
    let catalog = catalog_read::list("qnap").map_err(|error| Failure::of_remote(error, name))?;
    let template = catalog.entries.into_iter().find(|entry| entry.kind == CatalogKind::Lxc && entry.name == name);
    template.ok_or_else(|| Failure::NoImage(name.to_owned()))
}

/// The entries of a catalogue that the filter lets through, sorted by name.
fn read(catalog: &str, filter: &Filter<'_>) -> Result<Vec<CatalogEntry>, Failure> {
    let unavailable = |error| Failure::of_remote(error, &format!("catalogue {catalog}"));
    let mut entries = catalog_read::list(catalog).map_err(unavailable)?.entries;
    entries.retain(|entry| filter.takes(kind(entry)) && filter.finds(&[&entry.name, &entry.description]));
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(entries)
}

fn kind(entry: &CatalogEntry) -> Kind {
    match entry.kind {
        CatalogKind::Docker => Kind::Docker,
        CatalogKind::Lxc => Kind::Lxc,
    }
}

/// Whether this version of an image is here, and whether it is on its way. Of templates none is: there is nowhere to store them.
fn presence(entry: &CatalogEntry, here: &Here) -> (bool, bool) {
    match entry.kind {
        CatalogKind::Docker => {
            (here.local.has_tag(&entry.name, &entry.version), here.downloads.has(&format!("{}:{}", entry.name, entry.version)))
        }
        CatalogKind::Lxc => (false, false),
    }
}

fn qnap_image<'a>(entry: &'a CatalogEntry, here: &Here) -> QnapImage<'a> {
    let (installed, downloading) = presence(entry, here);
    let is_template = entry.kind == CatalogKind::Lxc;
    QnapImage {
        arch: &entry.architecture,
        description: &entry.description,
        downloading,
        icon: &entry.icon,
        inspect: if is_template { "{}" } else { "" },
        installed,
        name: &entry.name,
        repository: if is_template { "qnap" } else { "dockerhub" },
        size: entry.size.filter(|_| is_template).map(|size| size.to_string()),
        title: &entry.title,
        r#type: kind(entry).word(),
        version: &entry.version,
    }
}

fn official_image<'a>(entry: &'a CatalogEntry, here: &Here) -> OfficialImage<'a> {
    let (installed, downloading) = presence(entry, here);
    OfficialImage {
        arch: &entry.architecture,
        description: &entry.description,
        downloading,
        icon: &entry.icon,
        installed,
        location: &entry.location,
        name: &entry.name,
        repository: "dockerhub",
        title: &entry.title,
        r#type: kind(entry).word(),
        version: &entry.version,
    }
}
