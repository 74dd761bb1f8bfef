//! A stand-in for Docker Hub, which tests cannot reach: its searches of three generations and its lists of tags.
//!
//! Paths, queries and fields are those that Docker Hub has in public, as far as anybody here reads them; what a test gives it is all that it holds. It knows no images: these come from a real
//! registry, which an engine takes for Docker Hub when its [`mirror`](crate::engine::Setup::mirror) is that.
//!
//! Three clients ask for three different searches. The site asks for v4, older tools for v2, and an engine for v1 when somebody searches `127.0.0.1:PORT/redis`. What looks like `/v2/` here is Docker Hub's
//! own API, which has the name in common with the registries' and nothing else.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::fault_proxy::{Answer, Asked, FaultProxy};

/// The most results of one page, of whatever.
const MAX_PAGE: usize = 100;

/// A repository on Docker Hub.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    /// As people write it: `redis`, `grafana/grafana`.
    pub name: &'static str,
    /// One line; may be empty.
    pub description: &'static str,
    /// How many like it.
    pub stars: u64,
    /// Whether it is an official image. Its name has no slash then.
    pub official: bool,
    /// Whether Docker has verified its publisher. Only the search v4 says so.
    pub verified: bool,
    /// Whether Docker Hub builds it from its source. The search v4 does not say so.
    pub automated: bool,
    /// The newest first.
    pub tags: Vec<String>,
}

/// A part of Docker Hub that can fail without the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// `/api/search/v4`
    SearchV4,
    /// `/v2/search/repositories/`
    SearchV2,
    /// `/v1/search`, and what an engine asks before: `/v1/_ping`.
    SearchV1,
    /// `/v2/namespaces/NAMESPACE/repositories/NAME/tags`, and the older `/v2/repositories/NAMESPACE/NAME/tags`.
    Tags,
}

/// A running stand-in. Dropping it ends it.
pub struct DockerHub {
    server: FaultProxy,
    failing: Arc<Failing>,
}

type Failing = Mutex<HashMap<Provider, Answer>>;

impl DockerHub {
    /// Starts one that holds `repositories`, which a search finds in this order.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub fn start(repositories: Vec<Repository>) -> anyhow::Result<DockerHub> {
        let failing = Arc::new(Failing::default());
        let of_server = Arc::clone(&failing);
        let server = FaultProxy::answering(move |asked| answer(&repositories, &of_server, asked))?;
        Ok(DockerHub { server, failing })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The same, as `wharf.toml` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// From now on `provider` answers every request by `answer`: a status with its headers, a web page.
    pub fn fail(&self, provider: Provider, answer: Answer) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, answer);
    }

    /// From now on `provider` works again.
    pub fn recover(&self, provider: Provider) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(&provider);
    }

    /// How many requests `provider` has had, those that failed too. Pings do not count.
    pub fn count(&self, provider: Provider) -> usize {
        let asked = self.server.asked();
        let targets = asked.iter().filter_map(|asked| asked.split_once(' ').map(|(_, target)| target));
        targets.filter(|target| Provider::of(target) == Some(provider) && !is_ping(target)).count()
    }

    /// Every request so far, as `GET /api/search/v4?query=redis`.
    pub fn asked(&self) -> Vec<String> {
        self.server.asked()
    }
}

impl Provider {
    fn of(target: &str) -> Option<Provider> {
        let begins_with = |prefix| target.starts_with(prefix);
        match () {
            () if begins_with("/api/search/v4") => Some(Provider::SearchV4),
            () if begins_with("/v2/search/repositories") => Some(Provider::SearchV2),
            () if begins_with("/v1/search") || is_ping(target) => Some(Provider::SearchV1),
            () if begins_with("/v2/namespaces/") || begins_with("/v2/repositories/") => Some(Provider::Tags),
            () => None,
        }
    }
}

fn is_ping(target: &str) -> bool {
    target == "/v1/_ping"
}

fn answer(repositories: &[Repository], failing: &Failing, asked: &Asked) -> Answer {
    let Some(provider) = Provider::of(&asked.target) else { return json_answer(404, &json!({ "message": "page not found" })) };
    if let Some(answer) = failing.lock().unwrap_or_else(PoisonError::into_inner).get(&provider) {
        return answer.clone();
    }
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let query = Query(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
    match provider {
        _ if is_ping(path) => json_answer(200, &json!({ "standalone": true })),
        Provider::SearchV4 => search_v4(repositories, &query),
        Provider::SearchV2 => search_v2(repositories, &query, asked.header("host")),
        Provider::SearchV1 => search_v1(repositories, &query),
        Provider::Tags => tags(repositories, path, &query, asked.header("host")),
    }
}

/// The fields of a query.
struct Query(HashMap<String, String>);

impl Query {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.text(name).parse().unwrap_or(default)
    }
}

/// Those in whose name or description `term` is.
fn found<'r>(repositories: &'r [Repository], term: &str) -> Vec<&'r Repository> {
    let term = term.to_lowercase();
    let is_in = |text: &str| text.to_lowercase().contains(&term);
    repositories.iter().filter(|repository| is_in(repository.name) || is_in(repository.description)).collect()
}

fn search_v4(repositories: &[Repository], query: &Query) -> Answer {
    let found = found(repositories, query.text("query"));
    let page = found.iter().skip(query.number("from", 0)).take(query.number("size", 25).min(MAX_PAGE));
    let results: Vec<Value> = page
        .map(|repository| {
            let badge = match repository {
                Repository { official: true, .. } => "official",
                Repository { verified: true, .. } => "verified_publisher",
                _ => "none",
            };
            let publisher = namespace(repository.name).0;
            json!({
                "id": repository.name,
                "name": repository.name,
                "slug": repository.name,
                "type": "image",
                "publisher": { "id": publisher, "name": publisher },
                "created_at": "2014-06-05T20:04:14Z",
                "updated_at": "2026-08-19T11:03:52Z",
                "short_description": repository.description,
                "badge": badge,
                "star_count": repository.stars,
                "pull_count": "1K+",
                "raw_pull_count": 1234,
                "logo_url": { "large": "", "small": "" },
                "categories": [],
                "operating_systems": [{ "name": "linux", "label": "Linux" }],
                "architectures": [{ "name": "amd64", "label": "x86-64" }],
                "media_types": ["application/vnd.oci.image.index.v1+json"],
                "content_types": ["image"],
                "archived": false,
            })
        })
        .collect();
    json_answer(200, &json!({ "total": found.len(), "results": results }))
}

fn search_v2(repositories: &[Repository], query: &Query, host: &str) -> Answer {
    let found = found(repositories, query.text("query"));
    let results = found.iter().map(|repository| {
        json!({
            "repo_name": repository.name,
            "short_description": repository.description,
            "star_count": repository.stars,
            "pull_count": 1234,
            "repo_owner": "",
            "is_automated": repository.automated,
            "is_official": repository.official,
        })
    });
    let path = format!("/v2/search/repositories/?query={}", encoded(query.text("query")));
    json_answer(200, &page(results.collect(), query, &format!("http://{host}{path}&")))
}

fn search_v1(repositories: &[Repository], query: &Query) -> Answer {
    let found = found(repositories, query.text("q"));
    let (number, size) = (query.number("page", 1).max(1), query.number("n", 25).clamp(1, MAX_PAGE));
    let results: Vec<Value> = (found.iter().skip((number - 1) * size).take(size))
        .map(|repository| {
            json!({
                "name": repository.name,
                "description": repository.description,
                "star_count": repository.stars,
                "is_official": repository.official,
                "is_automated": repository.automated,
                "is_trusted": repository.automated,
            })
        })
        .collect();
    let pages = found.len().div_ceil(size);
    let (count, term) = (found.len(), query.text("q"));
    json_answer(
        200,
        &json!({ "num_pages": pages, "num_results": count, "page": number, "page_size": size, "query": term, "results": results }),
    )
}

fn tags(repositories: &[Repository], path: &str, query: &Query, host: &str) -> Answer {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let asked = match parts.as_slice() {
        ["v2", "namespaces", namespace, "repositories", name, "tags"] | ["v2", "repositories", namespace, name, "tags"] => {
            Some((*namespace, *name))
        }
        _ => None,
    };
    let Some(repository) = repositories.iter().find(|repository| Some(namespace(repository.name)) == asked) else {
        return json_answer(404, &json!({ "message": "object not found", "errinfo": {} }));
    };
    let results = repository.tags.iter().enumerate().map(|(index, tag)| {
        // A day apart, the newest first.
        let pushed = format!("{}-{:02}-{:02}T00:00:00.000000Z", 2026 - index / 336, 12 - index / 28 % 12, 28 - index % 28);
        let digest = format!("sha256:{index:064x}");
        let image = json!({ "architecture": "amd64", "os": "linux", "variant": null, "digest": digest, "size": 1234, "status": "active", "last_pushed": pushed });
        json!({
            "name": tag,
            "full_size": 1234,
            "digest": digest,
            "images": [image],
            "last_updated": pushed,
            "last_updater_username": "publisher",
            "tag_status": "active",
            "tag_last_pulled": pushed,
            "tag_last_pushed": pushed,
            "content_type": "image",
            "media_type": "application/vnd.oci.image.index.v1+json",
        })
    });
    json_answer(200, &page(results.collect(), query, &format!("http://{host}{path}?")))
}

/// The page of `results` that `query` asks for, with the address of the next one, which begins with `address`.
fn page(results: Vec<Value>, query: &Query, address: &str) -> Value {
    let (number, size) = (query.number("page", 1).max(1), query.number("page_size", 10).clamp(1, MAX_PAGE));
    let count = results.len();
    let page: Vec<Value> = results.into_iter().skip((number - 1) * size).take(size).collect();
    let at = |number: usize| format!("{address}page={number}&page_size={size}");
    let next = (number * size < count).then(|| at(number + 1));
    let previous = (number > 1).then(|| at(number - 1));
    json!({ "count": count, "next": next, "previous": previous, "results": page })
}

/// Namespace and name: `redis` is in `library`.
fn namespace(repository: &str) -> (&str, &str) {
    repository.split_once('/').unwrap_or(("library", repository))
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn json_answer(status: u16, document: &Value) -> Answer {
    Answer::new(status, &document.to_string()).with("content-type", "application/json")
}
