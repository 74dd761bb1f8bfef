//! The three shapes in which a search is answered, and the addresses of the two that are asked over the web.
//!
//! None of the shapes is promised to anybody, so little is asked of them: that there is a list, and of each item a name that can be one. An item without is left out; a list of which nothing can be read is no answer.

use serde_json::Value;
use url::Url;

use super::{HubRepository, Unusable};
use crate::backend::reference::ImageReference;
use crate::backend::registry::DocumentError;

/// `GET {base}/api/search/v4`: where, and the base that it is for.
pub(super) fn v4(base: &Url, term: &str, limit: u32) -> (Url, Url) {
    let mut url = below(base, "api/search/v4");
    url.query_pairs_mut()
        .append_pair("query", term)
        .append_pair("from", "0")
        .append_pair("size", &limit.max(1).to_string())
        .append_pair("type", "image");
    (url, base.clone())
}

/// `GET {base}/v2/search/repositories/`: where, and the base that it is for.
pub(super) fn v2(base: &Url, term: &str, limit: u32) -> (Url, Url) {
    let mut url = below(base, "v2/search/repositories/");
    url.query_pairs_mut().append_pair("query", term).append_pair("page", "1").append_pair("page_size", &limit.max(1).to_string());
    (url, base.clone())
}

/// `path` below `base`, which may have a path of its own.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// What the search v4 found.
pub(super) fn of_v4(document: &Value) -> Result<Vec<HubRepository>, Unusable> {
    let item = |item: &Value| {
        // What is published for money has a title as its name, and its repository as its slug.
        let name = ["name", "slug"].into_iter().find_map(|key| name(item, key))?;
        let badge = text(item, "badge");
        let repository = HubRepository {
            description: text(item, "short_description"),
            stars: stars(item),
            official: badge == "official",
            trusted: badge == "verified_publisher",
            name,
        };
        Some(repository)
    };
    of_list(document.get("results"), item)
}

/// What the search v2 found.
pub(super) fn of_v2(document: &Value) -> Result<Vec<HubRepository>, Unusable> {
    of_list(document.get("results"), |item| classic(item, "repo_name", "short_description"))
}

/// What an engine found.
pub(super) fn of_engine(body: &[u8]) -> Result<Vec<HubRepository>, Unusable> {
    let document: Value = serde_json::from_slice(body).map_err(|error| DocumentError::Unintelligible(error.to_string()))?;
    of_list(Some(&document), |item| classic(item, "name", "description"))
}

/// An item as it has been since the first search.
fn classic(item: &Value, name_key: &str, description_key: &str) -> Option<HubRepository> {
    Some(HubRepository {
        name: name(item, name_key)?,
        description: text(item, description_key),
        stars: stars(item),
        official: flag(item, "is_official"),
        trusted: flag(item, "is_automated"),
    })
}

fn of_list(list: Option<&Value>, read: impl Fn(&Value) -> Option<HubRepository>) -> Result<Vec<HubRepository>, Unusable> {
    let unintelligible = |reason: &str| Unusable::from(DocumentError::Unintelligible(reason.to_owned()));
    let items = match list {
        Some(Value::Array(items)) => items,
        // Where the program that answers has no list for "nothing".
        Some(Value::Null) => return Ok(Vec::new()),
        _ => return Err(unintelligible("there is no list of results")),
    };
    let repositories: Vec<HubRepository> = items.iter().filter_map(read).collect();
    if repositories.is_empty() && !items.is_empty() {
        return Err(unintelligible("none of the results names a repository"));
    }
    Ok(repositories)
}

/// The name at `key` as people write it; none for what can be no repository of Docker Hub.
fn name(item: &Value, key: &str) -> Option<String> {
    let written = item.get(key)?.as_str()?;
    let reference = ImageReference::parse(&format!("{written}:latest")).ok().filter(|reference| reference.registry() == "docker.io")?;
    reference.familiar().strip_suffix(":latest").map(str::to_owned)
}

/// The text at `key` on one line; empty if there is none.
fn text(item: &Value, key: &str) -> String {
    let text = item.get(key).and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn stars(item: &Value) -> u64 {
    item.get("star_count").and_then(Value::as_u64).unwrap_or_default()
}

fn flag(item: &Value, key: &str) -> bool {
    item.get(key).and_then(Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(found: Result<Vec<HubRepository>, Unusable>) -> Vec<String> {
        let shown = |repository: &HubRepository| {
            let HubRepository { name, description, stars, official, trusted } = repository;
            format!("{name} {stars} {}{} {description}", if *official { "official" } else { "" }, if *trusted { "trusted" } else { "" })
        };
        match found {
            Ok(repositories) => repositories.iter().map(shown).collect(),
            Err(why) => vec![why.reason],
        }
    }

    #[test]
    fn the_search_v4_has_badges() {
        let document = json!({"total": 5, "results": [
            {"id": "redis", "name": "library/redis", "slug": "redis", "short_description": "A store.\n", "badge": "official", "star_count": 13},
            {"name": "grafana/grafana", "badge": "verified_publisher", "star_count": 3},
            {"name": "A Product", "slug": "vendor/product", "badge": "none", "star_count": null, "short_description": null},
            {"name": "ghcr.io/other/place"},
            {"name": "linux", "badge": "open_source"},
            7,
        ]});
        let expected = ["redis 13 official A store.", "grafana/grafana 3 trusted ", "vendor/product 0  ", "linux 0  "];
        assert_eq!(shown(of_v4(&document)), expected);
    }

    #[test]
    fn the_search_v2_and_engines_have_flags() {
        let document = json!({"count": 2, "next": null, "results": [
            {"repo_name": "library/redis", "short_description": "A store.", "star_count": 13, "is_official": true, "is_automated": false},
            {"repo_name": "dorowu/x", "short_description": "", "star_count": 1, "is_official": false, "is_automated": true},
        ]});
        assert_eq!(shown(of_v2(&document)), ["redis 13 official A store.", "dorowu/x 1 trusted "]);
        let list = br#"[{"name": "redis", "description": "A store.", "star_count": 13, "is_official": true, "is_automated": false}]"#;
        assert_eq!(shown(of_engine(list)), ["redis 13 official A store."]);
    }

    #[test]
    fn nothing_found_is_an_answer_and_nothing_readable_is_none() {
        for nothing in [json!({"results": []}), json!({"results": null})] {
            assert_eq!((of_v4(&nothing), of_v2(&nothing)), (Ok(Vec::new()), Ok(Vec::new())));
        }
        let no_list = ["it is not as it should be: there is no list of results"];
        for wrong in [json!({}), json!([]), json!(1), json!({"results": {}}), json!({"message": "deprecated"})] {
            assert_eq!(
                (shown(of_v4(&wrong)), shown(of_v2(&wrong))),
                (no_list.map(str::to_owned).to_vec(), no_list.map(str::to_owned).to_vec())
            );
        }
        assert_eq!(shown(of_engine(b"{}")), no_list);
        let nameless = json!({"results": [{"name": "Redis"}, {"repo_name": "redis:7"}]});
        assert_eq!(shown(of_v2(&nameless)), ["it is not as it should be: none of the results names a repository"]);
    }

    #[test]
    fn a_term_stays_in_the_query_and_a_base_keeps_its_path() {
        let base = Url::parse("https://proxy.example/hub/").unwrap();
        let (url, written) = v4(&base, "a b&size=9#/../é", 25);
        assert_eq!(url.as_str(), "https://proxy.example/hub/api/search/v4?query=a+b%26size%3D9%23%2F..%2F%C3%A9&from=0&size=25&type=image");
        assert_eq!(written, base);
        let (url, _) = v2(&Url::parse("http://127.0.0.1:5099").unwrap(), "redis", 0);
        assert_eq!(url.as_str(), "http://127.0.0.1:5099/v2/search/repositories/?query=redis&page=1&page_size=1");
    }
}
