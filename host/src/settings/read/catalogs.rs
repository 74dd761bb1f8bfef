//! `[site.catalog.NAME]`: a catalogue of images that a site replaces or adds.
//!
//! Whether a file is there is not looked at here: it may be put there later, and loading the site says so.

use std::collections::BTreeMap;

use super::addresses::web_address;
use super::check_name;
use crate::settings::CatalogSource;
use crate::settings::location::Located;
use crate::settings::section::Section;

/// Reads `[site.catalog]`: a table for each name.
pub(super) fn read(section: &mut Section<'_>) -> BTreeMap<String, Located<CatalogSource>> {
    let mut catalogs = BTreeMap::new();
    for (name, mut catalog) in section.named_sections() {
        check_name(&catalog, "a catalogue", &name);
        if let Some(source) = read_one(&mut catalog) {
            catalogs.insert(name.value, source);
        }
    }
    catalogs
}

fn read_one(section: &mut Section<'_>) -> Option<Located<CatalogSource>> {
    let (file, url) = (section.string("file"), section.string("url"));
    let ways = [section.has("file"), section.has("url")];
    if ways == [true, true] || ways == [false, false] {
        let message = if ways == [true, true] { "`file` and `url` exclude each other" } else { "neither `file` nor `url`" };
        let remedy = "a catalogue is in one place: write `file = \"catalog.json\"` or `url = \"https://…\"`".to_owned();
        section.mistake(&section.at(), message, Some(remedy));
    }
    match (file, url) {
        (Some(file), None) if file.value.is_empty() => {
            section.mistake(&file.at, "`file` is empty", Some("write the path of a file".to_owned()));
            None
        }
        (Some(file), None) => Some(Located { value: CatalogSource::File(section.resolve(&file.value)), at: file.at }),
        (None, Some(url)) => {
            let address = web_address(section, "url", &url)?;
            Some(Located { value: CatalogSource::Url(address), at: url.at })
        }
        _ => None,
    }
}
