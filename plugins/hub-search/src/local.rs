//! What the engine holds, and what is being downloaded, at this moment.

use std::collections::{BTreeMap, BTreeSet};

use wharf_sdk::docker::operations_read;
use wharf_sdk::docker::{Error, images_read};
use wharf_sdk::reference::{familiar, split};

/// The tagged images of the engine, by repository as people write it; each tag with its size in bytes.
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

/// The pulls under way, whoever began them: by reference as people write it, with the percent that is done.
pub(crate) struct Downloads(BTreeMap<String, Option<u8>>);

impl Downloads {
    pub(crate) fn read() -> Result<Downloads, Error> {
        let mut downloads: BTreeMap<String, Option<u8>> = BTreeMap::new();
        for pull in operations_read::list()?.iter().filter(|operation| operation.kind == "pull" && operation.is_running()) {
            let percent = downloads.entry(familiar(&pull.subject).to_owned()).or_default();
            *percent = pull.percent.max(*percent);
        }
        Ok(Downloads(downloads))
    }

    /// Each download: the repository, and the percent.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, Option<u8>)> {
        self.0.iter().map(|(reference, percent)| (split(reference).0, *percent))
    }

    /// The repositories of which something is being downloaded.
    pub(crate) fn repositories(&self) -> BTreeSet<&str> {
        self.each().map(|(repository, _)| repository).collect()
    }

    pub(crate) fn has(&self, reference: &str) -> bool {
        self.0.contains_key(familiar(reference))
    }
}
