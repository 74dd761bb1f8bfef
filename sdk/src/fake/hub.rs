//! What the fake host knows of Docker Hub and of curated catalogues: what a test puts into it.

use std::collections::BTreeMap;

use super::registry::resolve;
use crate::error::Error;
use crate::registry::catalog_read::Catalog;
use crate::registry::hub_read::{HubRepository, SearchResults};

#[derive(Default)]
pub(super) struct Hub {
    pub(super) repositories: Vec<HubRepository>,
    /// By the repository's own path: `library/redis`.
    tags: BTreeMap<String, Vec<String>>,
    pub(super) catalogs: BTreeMap<String, Catalog>,
    /// What is fetched from an address.
    pub(super) archives: BTreeMap<String, Vec<u8>>,
}

impl Hub {
    pub(super) fn set_tags(&mut self, repository: &str, tags: &[&str]) {
        let path = resolve(repository).map_or_else(|_| repository.to_owned(), |reference| reference.repository);
        self.tags.insert(path, tags.iter().map(|tag| (*tag).to_owned()).collect());
    }

    /// All repositories with `term` in their name or description.
    pub(super) fn search(&self, term: &str, limit: u32) -> Result<SearchResults, Error> {
        if term.is_empty() {
            return Err(Error::Invalid("a search for nothing".to_owned()));
        }
        let found = self.repositories.iter().filter(|found| found.name.contains(term) || found.description.contains(term));
        Ok(SearchResults { provider: "hub-v4".to_owned(), repositories: found.take(limit as usize).cloned().collect() })
    }

    pub(super) fn tags(&self, repository: &str, limit: u32) -> Result<Vec<String>, Error> {
        let reference = resolve(repository)?;
        if reference.registry != "docker.io" {
            return Err(Error::Invalid(format!("`{repository}` is not on Docker Hub")));
        }
        let tags = self.tags.get(&reference.repository).ok_or(Error::NotFound)?;
        Ok(tags.iter().take(limit as usize).cloned().collect())
    }

    pub(super) fn catalog(&self, name: &str) -> Result<Catalog, Error> {
        self.catalogs.get(name).cloned().ok_or(Error::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Host;
    use crate::registry::Error;
    use crate::registry::catalog_read::{self, Catalog};
    use crate::registry::hub_read::{self, HubRepository};

    #[test]
    fn docker_hub_is_what_the_test_says() {
        let host = Host::install();
        host.hub_repository(HubRepository {
            name: "grafana/grafana".to_owned(),
            description: "Dashboards".to_owned(),
            stars: 3,
            official: false,
            trusted: true,
        });
        host.hub_tags("redis", &["latest", "7"]);
        assert_eq!(hub_read::search("Dash", 10).unwrap().repositories.len(), 1);
        assert_eq!(hub_read::search("x", 10).unwrap().repositories.len(), 0);
        assert!(matches!(hub_read::search("", 10), Err(Error::Invalid(_))));
        assert_eq!(hub_read::tags("docker.io/redis", 1), Ok(vec!["latest".to_owned()]));
        assert_eq!(hub_read::tags("nothing", 1), Err(Error::NotFound));
        assert!(matches!(hub_read::tags("ghcr.io/a/b", 1), Err(Error::Invalid(_))));
    }

    #[test]
    fn a_catalogue_has_a_name() {
        let host = Host::install();
        host.catalog("official", Catalog { entries: Vec::new(), skipped: 1 });
        assert_eq!(catalog_read::list("official").map(|catalog| catalog.skipped), Ok(1));
        assert_eq!(catalog_read::list("other"), Err(Error::NotFound));
    }
}
