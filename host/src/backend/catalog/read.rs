//! From a JSON array to a catalogue. What is broken in it is left out, and said once for each reading.
//!
//! The words are those of the contract. People have such lists from the API of QNAP's Container Station, so its words are understood as well: `type` for `kind`, `arch` for `architecture`, a size in digits as
//! text. What else stands in an entry, such as `installed`, does not matter.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::{Catalog, Entry, Kind};
use crate::backend::reference::{ImageReference, is_digest};

/// The longest catalogue. One entry has some hundred bytes.
pub(super) const MAX_CATALOG_BYTES: usize = 16 * 1024 * 1024;
/// How many of the broken entries are named.
const MAX_NAMED: usize = 5;
/// The longest name or version of a template: they become names of files.
const MAX_NAME_BYTES: usize = 128;

/// A catalogue, and what was wrong with it.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) catalog: Catalog,
    /// The first of the entries that were left out, each with its place from 0 and the reason.
    pub(super) broken: Vec<String>,
}

/// An entry as people write it.
#[derive(Deserialize)]
struct Written {
    #[serde(default, alias = "type")]
    kind: Kind,
    name: String,
    version: Option<String>,
    title: Option<String>,
    description: Option<String>,
    #[serde(alias = "arch")]
    architecture: Option<String>,
    icon: Option<String>,
    location: Option<String>,
    size: Option<Value>,
    archive_url: Option<String>,
    archive_digest: Option<String>,
}

/// Reads a catalogue.
///
/// # Errors
///
/// Why it is none.
pub(super) fn catalog(bytes: &[u8]) -> Result<Reading, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let items: Vec<&RawValue> = serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON array: {error}"))?;
    let mut reading = Reading { catalog: Catalog::default(), broken: Vec::new() };
    for (index, item) in items.iter().enumerate() {
        match entry(item) {
            Ok(entry) => reading.catalog.entries.push(entry),
            Err(reason) => {
                reading.catalog.skipped = reading.catalog.skipped.saturating_add(1);
                if reading.broken.len() < MAX_NAMED {
                    reading.broken.push(format!("{index}: {reason}"));
                }
            }
        }
    }
    Ok(reading)
}

fn entry(item: &RawValue) -> Result<Entry, String> {
    // Through a value, so that reasons name no line and column, which would be those of the entry.
    let value: Value = serde_json::from_str(item.get()).map_err(|error| error.to_string())?;
    if !value.is_object() {
        return Err("it is no object".to_owned());
    }
    let written: Written = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let size = written.size.as_ref().map(size).transpose()?;
    let entry = Entry {
        kind: written.kind,
        name: written.name,
        version: written.version.filter(|version| !version.is_empty()).unwrap_or_else(|| "latest".to_owned()),
        title: written.title.unwrap_or_default(),
        description: written.description.unwrap_or_default(),
        architecture: written.architecture.unwrap_or_else(|| "amd64".to_owned()),
        icon: written.icon.unwrap_or_default(),
        location: written.location.unwrap_or_default(),
        size: size.filter(|_| written.kind == Kind::Lxc),
        archive_url: written.archive_url,
        archive_digest: written.archive_digest,
    };
    match entry.kind {
        Kind::Docker => check_image(&entry)?,
        Kind::Lxc => check_template(&entry)?,
    }
    Ok(entry)
}

/// A number of bytes, or its digits.
fn size(written: &Value) -> Result<u64, String> {
    let bytes = match written {
        Value::String(digits) => digits.parse().ok(),
        other => other.as_u64(),
    };
    bytes.ok_or_else(|| format!("{written} is no size in bytes"))
}

fn check_image(entry: &Entry) -> Result<(), String> {
    if entry.archive_url.is_some() || entry.archive_digest.is_some() {
        return Err("it has an archive, and its `kind` is not `lxc`".to_owned());
    }
    // A tag or a digest in the name leaves no room for another tag.
    ImageReference::parse(&format!("{}:{}", entry.name, entry.version)).map(drop)
}

fn check_template(entry: &Entry) -> Result<(), String> {
    for (of, text) in [("name", &entry.name), ("version", &entry.version)] {
        if !is_file_name(text) {
            return Err(format!("`{text}` cannot be the {of} of a template"));
        }
    }
    if let Some(address) = &entry.archive_url {
        let is_web = Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_web {
            return Err(format!("`{address}` is no address of an archive"));
        }
    }
    match &entry.archive_digest {
        Some(digest) if !is_digest(digest) => Err(format!("`{digest}` is no digest")),
        _ => Ok(()),
    }
}

/// Whether `text` can stand in the name of a file on every system and leads nowhere.
fn is_file_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    text.len() <= MAX_NAME_BYTES && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && text.bytes().all(allowed)
}
