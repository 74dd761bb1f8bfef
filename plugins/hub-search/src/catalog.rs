//! The curated categories: QNAP's list and the official images, as the site has them.

use serde::Serialize;
use serde_json::Value;
use wharf_sdk::registry::Error;
use wharf_sdk::registry::catalog_read::{self, CatalogEntry, CatalogKind};

use crate::failure::Failure;
use crate::list::{Filter, Here, entry};
use crate::path::{Kind, Named};
use crate::templates;

/// The catalogue that has templates.
pub(crate) const QNAP: &str = "qnap";

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
    let entries = read(QNAP, filter)?;
    let (templates, images): (Vec<&CatalogEntry>, Vec<&CatalogEntry>) = entries.iter().partition(|entry| entry.kind == CatalogKind::Lxc);
    let here = Here::read(!images.is_empty(), !templates.is_empty())?;
    Ok(templates.into_iter().chain(images).map(|image| entry(&qnap_image(image, &here))).collect())
}

/// The official images by name. There are no templates among them.
pub(crate) fn official(filter: &Filter<'_>) -> Result<Vec<Value>, Failure> {
    let entries = read("official", filter)?;
    let here = Here::read(true, false)?;
    Ok(entries.iter().filter(|entry| entry.kind == CatalogKind::Docker).map(|image| entry(&official_image(image, &here))).collect())
}

/// The templates of QNAP's list.
pub(crate) fn templates() -> Result<Vec<CatalogEntry>, Failure> {
    let mut entries = catalog_read::list(QNAP).map_err(unavailable(QNAP))?.entries;
    entries.retain(|entry| entry.kind == CatalogKind::Lxc);
    Ok(entries)
}

/// The template of QNAP's list that `wanted` is: in the version that is its tag, or the first where that is `latest`.
pub(crate) fn template(wanted: &Named) -> Result<CatalogEntry, Failure> {
    let Named { name, tag } = wanted;
    let named: Vec<CatalogEntry> = templates()?.into_iter().filter(|entry| entry.name == *name).collect();
    if named.is_empty() {
        return Err(Failure::NoImage(name.clone()));
    }
    let template = named.into_iter().find(|entry| entry.version == *tag || tag == templates::TAG);
    template.ok_or_else(|| Failure::NoImage(wanted.reference()))
}

/// The entries of a catalogue that the filter lets through, sorted by name.
fn read(catalog: &str, filter: &Filter<'_>) -> Result<Vec<CatalogEntry>, Failure> {
    let mut entries = catalog_read::list(catalog).map_err(unavailable(catalog))?.entries;
    entries.retain(|entry| filter.takes(kind(entry)) && filter.finds(&[&entry.name, &entry.description]));
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(entries)
}

fn unavailable(catalog: &str) -> impl Fn(Error) -> Failure {
    move |error| Failure::of_remote(error, &format!("catalogue {catalog}"))
}

fn kind(entry: &CatalogEntry) -> Kind {
    match entry.kind {
        CatalogKind::Docker => Kind::Docker,
        CatalogKind::Lxc => Kind::Lxc,
    }
}

/// Whether this version of an image is here, or a template of the name, and whether it is on its way.
fn presence(entry: &CatalogEntry, here: &Here) -> (bool, bool) {
    match entry.kind {
        CatalogKind::Docker => {
            (here.local.has_tag(&entry.name, &entry.version), here.downloads.has(&format!("{}:{}", entry.name, entry.version)))
        }
        CatalogKind::Lxc => (here.templates.has(&entry.name), here.downloads.has_template(&entry.name, &entry.version)),
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
