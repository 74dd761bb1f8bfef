//! The category `dockerhub`: a search of Docker Hub.

use serde::Serialize;
use serde_json::Value;
use wharf_sdk::registry::hub_read::{self, HubRepository};

use crate::failure::Failure;
use crate::list::{Filter, Here, entry};
use crate::path::Kind;

/// The most results of one search. No provider of the host gives more in one answer.
const LIMIT: u32 = 100;

/// A repository of Docker Hub.
#[derive(Serialize)]
struct Found<'a> {
    description: &'a str,
    downloading: bool,
    installed: bool,
    is_official: bool,
    is_trusted: bool,
    location: String,
    name: &'a str,
    repository: &'static str,
    star_count: u64,
    r#type: &'static str,
}

/// What Docker Hub finds, the most liked first. Nobody is asked for nothing, and there are no templates.
pub(crate) fn docker_hub(filter: &Filter<'_>) -> Result<Vec<Value>, Failure> {
    let term = filter.text.trim();
    if term.is_empty() || !filter.takes(Kind::Docker) {
        return Ok(Vec::new());
    }
    let found = hub_read::search(term, LIMIT).map_err(|error| Failure::of_remote(error, term))?;
    let mut repositories = found.repositories;
    repositories.sort_by_key(|repository| std::cmp::Reverse(repository.stars));
    let here = Here::read(true, false)?;
    let downloading = here.downloads.repositories();
    let found = |repository: &HubRepository| {
        entry(&Found {
            description: &repository.description,
            downloading: downloading.contains(repository.name.as_str()),
            installed: here.local.has(&repository.name),
            is_official: repository.official,
            is_trusted: repository.trusted,
            location: location(&repository.name),
            name: &repository.name,
            repository: "dockerhub",
            star_count: repository.stars,
            r#type: Kind::Docker.word(),
        })
    };
    Ok(repositories.iter().map(found).collect())
}

/// The page of a repository, where this API has always said that it is.
fn location(name: &str) -> String {
    match name.contains('/') {
        true => format!("https://registry.hub.docker.com/u/{name}"),
        false => format!("https://registry.hub.docker.com/_/{name}/"),
    }
}
