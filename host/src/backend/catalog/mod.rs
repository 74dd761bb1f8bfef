//! Catalogues: curated lists of images, and of templates for LXC, that a person has put together.
//!
//! Two are part of the host, `official` and `qnap`, so that a site without a way out has something to choose from. They are written by ourselves, from what is public; there are no pictures in them, since logos
//! are trademarks. `[site.catalog.NAME]` replaces one or adds another, from a file or from an address.
//!
//! **A catalogue stays.** What was read once is answered until something better was read: a file is read again when it has changed, an address is asked again after [`Freshness::good`], and if either fails, the
//! last good one goes on and the log says so. Only one that was never read is an error. One broken entry is no reason to lose the others: see [`read`].
//!
//! **An archive is whole or not there**: what a catalogue says of a template's archive is held against what comes, before that becomes a blob. See [`template`].
//!
//! **Nobody waits in vain.** One caller at a time reads; the others get the last one meanwhile, if there is one.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use url::Url;

use crate::backend::registry::Registries;
use crate::settings::{CatalogSource, Located, Mistake};
use source::Source;

mod read;
mod source;
mod template;
#[cfg(test)]
mod tests;

pub(crate) use template::{ArchiveError, Template};

/// The catalogues that are part of the host, by name.
static BUNDLED: LazyLock<BTreeMap<&'static str, Arc<Catalog>>> = LazyLock::new(|| {
    let bundled = [("official", include_str!("official.json")), ("qnap", include_str!("qnap.json"))];
    let read = |text: &str| read::catalog(text.as_bytes()).map(|reading| Arc::new(reading.catalog)).unwrap_or_default();
    bundled.into_iter().map(|(name, text)| (name, read(text))).collect()
});

/// A catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    /// In the order of the file.
    pub(crate) entries: Vec<Entry>,
    /// How many were left out.
    pub(crate) skipped: u32,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// An image of a registry.
    #[default]
    Docker,
    /// A template of a whole system: an archive.
    Lxc,
}

/// One entry. Texts may be empty, but for name and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Of an image a reference without tag and digest, of a template a name of its own.
    pub(crate) name: String,
    /// Of an image the tag.
    pub(crate) version: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) architecture: String,
    pub(crate) icon: String,
    pub(crate) location: String,
    /// Of a template the size of the archive in bytes.
    pub(crate) size: Option<u64>,
    /// Of a template where the archive is.
    pub(crate) archive_url: Option<String>,
    /// The digest of the archive.
    pub(crate) archive_digest: Option<String>,
}

/// Why there is no catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CatalogError {
    /// The site knows none of that name, or it has no such template.
    #[error("there is no such catalogue or template")]
    NotFound,
    /// Its server did not answer in time.
    #[error("{0}")]
    Timeout(String),
    /// It was never read: a word of the contract, and a sentence for people.
    #[error("{reason}")]
    Unavailable {
        /// The word.
        word: &'static str,
        /// The sentence.
        reason: String,
    },
}

/// How long what an address answered is not asked for again.
#[derive(Debug, Clone, Copy)]
struct Freshness {
    /// After an answer.
    good: Duration,
    /// After a failure, of a file too.
    failed: Duration,
}

impl Default for Freshness {
    fn default() -> Freshness {
        Freshness { good: Duration::from_secs(600), failed: Duration::from_secs(30) }
    }
}

/// The catalogues of one site. Cheap to clone; all clones share what was read.
#[derive(Clone)]
pub(crate) struct Catalogs(Arc<Shared>);

struct Shared {
    registries: Registries,
    /// Those that the site replaces or adds. Replaced whole by a reload.
    own: ArcSwap<BTreeMap<String, Arc<Source>>>,
    freshness: Freshness,
}

impl Catalogs {
    /// The catalogues of a site that adds none. Addresses are asked by `registries`.
    pub(crate) fn new(registries: Registries) -> Catalogs {
        Catalogs::with(registries, Freshness::default())
    }

    fn with(registries: Registries, freshness: Freshness) -> Catalogs {
        Catalogs(Arc::new(Shared { registries, own: ArcSwap::default(), freshness }))
    }

    /// Puts `settings` into force, by name. Files are read at once, addresses when somebody asks. Answers what is wrong with the files; such a catalogue stays as it was, if it was read before.
    pub(crate) async fn configure(&self, settings: &BTreeMap<String, Located<CatalogSource>>) -> Vec<Mistake> {
        let before = self.0.own.load_full();
        let mut mistakes = Vec::new();
        let mut own = BTreeMap::new();
        for (name, Located { value, at }) in settings {
            let known = before.get(name).filter(|known| known.place == *value).map(Arc::clone);
            let source = known.unwrap_or_else(|| Arc::new(Source::new(name, value.clone())));
            source.forget_when();
            if let CatalogSource::File(_) = value {
                // What came of it is kept with the source, and one that was read before answers all the same.
                let _ = source.catalog(&self.0.registries, self.0.freshness).await;
                let remedy = "write the path of a file that holds a JSON array, relative to the file that this stands in";
                mistakes.extend(source.failure().map(|failure| Mistake {
                    at: Some(at.clone()),
                    message: failure.to_string(),
                    remedy: Some(remedy.to_owned()),
                }));
            }
            own.insert(name.clone(), source);
        }
        self.0.own.store(Arc::new(own));
        mistakes
    }

    /// The catalogue `name`.
    ///
    /// # Errors
    ///
    /// [`CatalogError`].
    pub(crate) async fn list(&self, name: &str) -> Result<Arc<Catalog>, CatalogError> {
        let own = self.0.own.load_full();
        match own.get(name) {
            Some(source) => source.catalog(&self.0.registries, self.0.freshness).await,
            None => BUNDLED.get(name).map(Arc::clone).ok_or(CatalogError::NotFound),
        }
    }

    /// The template `name` of the catalogue `catalog`, in `version` or else the first that it has.
    ///
    /// # Errors
    ///
    /// [`CatalogError`]; [`CatalogError::Unavailable`] for one whose archive is nowhere, too.
    pub(crate) async fn template(&self, catalog: &str, name: &str, version: Option<&str>) -> Result<Template, CatalogError> {
        let entries = self.list(catalog).await?;
        let is_meant =
            |entry: &&Entry| entry.kind == Kind::Lxc && entry.name == name && version.is_none_or(|version| entry.version == version);
        let entry = entries.entries.iter().find(is_meant).ok_or(CatalogError::NotFound)?;
        let nowhere = || CatalogError::Unavailable {
            word: "no-archive",
            reason: format!("the catalogue `{catalog}` does not say where the archive of `{name}` is"),
        };
        // Addresses were read when the catalogue was.
        let url = entry.archive_url.as_deref().and_then(|address| Url::parse(address).ok()).ok_or_else(nowhere)?;
        let own = self.0.own.load();
        Ok(Template::new(catalog, entry, url, own.get(catalog).map(|source| &source.place)))
    }
}
