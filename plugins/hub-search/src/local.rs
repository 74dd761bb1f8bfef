//! What the engine holds, and what is being downloaded, at this moment. Of stored templates see [`templates`](crate::templates).

use std::collections::{BTreeMap, BTreeSet};

use wharf_sdk::docker::operations_read::{self, Operation};
use wharf_sdk::docker::{Error, images_read};
use wharf_sdk::reference::{familiar, split};

use crate::catalog::QNAP;

/// The tagged images of the engine, by repository as people write it; each tag with its size in bytes.
#[derive(Default)]
pub(crate) struct Local(BTreeMap<String, BTreeMap<String, u64>>);

impl Local {
    pub(crate) fn read() -> Result<Local, Error> {
        let mut repositories: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for image in images_read::list()? {
            for reference in &image.repo_tags {
                if let (repository, Some(tag)) = split(familiar(reference)) {
                    repositories.entry(repository.to_owned()).or_default().insert(tag.to_owned(), image.size);
                }
            }
        }
        Ok(Local(repositories))
    }

    /// All repositories, sorted by name.
    pub(crate) fn repositories(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, u64>)> {
        self.0.iter().map(|(name, tags)| (name.as_str(), tags))
    }

    /// The tags of a repository, sorted; none that is not there has any.
    pub(crate) fn tags(&self, name: &str) -> Vec<&str> {
        self.0.get(familiar(name)).into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect()
    }

    /// Whether any tag of the repository is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(familiar(name))
    }

    pub(crate) fn has_tag(&self, name: &str, tag: &str) -> bool {
        self.0.get(familiar(name)).is_some_and(|tags| tags.contains_key(tag))
    }
}

/// What is under way, with the percent that is done.
#[derive(Default)]
pub(crate) struct Downloads {
    /// Pulls, whoever began them: by reference as people write it.
    images: BTreeMap<String, Option<u8>>,
    /// Templates by name, each with its version.
    templates: BTreeMap<String, (String, Option<u8>)>,
}

impl Downloads {
    pub(crate) fn read() -> Result<Downloads, Error> {
        let mut downloads = Downloads::default();
        for operation in operations_read::list()?.iter().filter(|operation| operation.is_running()) {
            match operation.kind.as_str() {
                "pull" => {
                    let percent = downloads.images.entry(familiar(&operation.subject).to_owned()).or_default();
                    *percent = operation.percent.max(*percent);
                }
                "download" if operation.owned => downloads.templates.extend(template(operation)),
                _ => {}
            }
        }
        Ok(downloads)
    }

    /// Each download, templates first: the repository or the template's name, and the percent.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, Option<u8>)> {
        let templates = self.templates.iter().map(|(name, (_, percent))| (name.as_str(), *percent));
        templates.chain(self.images())
    }

    /// Each pull: the repository, and the percent.
    fn images(&self) -> impl Iterator<Item = (&str, Option<u8>)> {
        self.images.iter().map(|(reference, percent)| (split(reference).0, *percent))
    }

    /// The repositories of which something is being downloaded.
    pub(crate) fn repositories(&self) -> BTreeSet<&str> {
        self.images().map(|(repository, _)| repository).collect()
    }

    pub(crate) fn has(&self, reference: &str) -> bool {
        self.images.contains_key(familiar(reference))
    }

    /// Whether this version of a template is being downloaded.
    pub(crate) fn has_template(&self, name: &str, version: &str) -> bool {
        self.templates.get(name).is_some_and(|(downloading, _)| downloading == version)
    }

    /// Whether any version of a template is being downloaded.
    pub(crate) fn has_template_of(&self, name: &str) -> bool {
        self.templates.contains_key(name)
    }
}

/// The template that `operation` downloads, with its version and the percent: its subject is `catalogue/name:version`.
fn template(operation: &Operation) -> Option<(String, (String, Option<u8>))> {
    let (name, version) = operation.subject.strip_prefix(QNAP)?.strip_prefix('/')?.split_once(':')?;
    Some((name.to_owned(), (version.to_owned(), operation.percent)))
}
