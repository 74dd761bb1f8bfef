//! The search of Docker Hub and its tags, with everything that Docker Hub does to those who ask: the host's binary, the plugin `hub-search`, a real engine, and the stand-in for Docker Hub.
//!
//! Who answered shows in what the stand-in was asked. Each search is for another term, since what was found is kept.

use serde_json::{Value, json};
use wharf_harness::docker_hub::{DockerHub, Provider, Repository};
use wharf_harness::engine::{Engine, Network};
use wharf_harness::fault_proxy::Answer;
use wharf_harness::http::Response;
use wharf_harness::newer;
use wharf_harness::wharf::Wharf;
use wharf_tests::plugins::HUB_SEARCH;

use crate::site::{Version, host, left_out};

const SEARCHES: [Provider; 3] = [Provider::SearchV4, Provider::SearchV2, Provider::SearchV1];

struct Site {
    // In the order in which they end.
    wharf: Wharf,
    _engine: Engine,
    hub: DockerHub,
}

fn repositories() -> Vec<Repository> {
    // A word for each search.
    let description = "one two three four five six";
    let tags = (0..250).rev().map(|number| format!("7.0.{number}")).collect();
    vec![
        Repository { name: "redis", description, stars: 13_000, official: true, tags, ..Repository::default() },
        Repository { name: "redis/redisinsight", description, stars: 40, verified: true, ..Repository::default() },
        Repository { name: "someone/cache", description, stars: 7, automated: true, ..Repository::default() },
    ]
}

impl Site {
    #[track_caller]
    fn start(version: Version) -> Site {
        let hub = DockerHub::start(repositories()).unwrap();
        let engine = match version {
            Version::Installed => Engine::temporary(Network::None),
            Version::Newer => newer::engine(Network::None),
        };
        let engine = engine.unwrap();
        let wharf = host(&configuration(&engine, &hub));
        Site { wharf, _engine: engine, hub }
    }

    #[track_caller]
    fn search(&self, term: &str) -> Response {
        self.wharf.client().get(&format!("/api/v1/image/?category=dockerhub&filter_text={term}")).unwrap()
    }

    #[track_caller]
    fn tags(&self, repository: &str) -> Response {
        self.wharf.client().get(&format!("/api/v1/image/dockerhub/docker/{repository}/tags")).unwrap()
    }

    /// Searches for `term`, which is to find `trusted` besides the official image and one more, and to ask each of [`SEARCHES`] so many times.
    #[track_caller]
    fn check_search(&self, term: &str, trusted: &[&str], asked: [usize; 3]) {
        let before = SEARCHES.map(|provider| self.hub.count(provider));
        let answer = self.search(term);
        assert_eq!(answer.status, 200, "{} {}", answer.text().unwrap(), self.wharf.log());
        let list = answer.json().unwrap();
        let results = list["results"].as_array().unwrap();
        let names_with = |flag: &str| -> Vec<&str> {
            let found = results.iter().filter(|entry| flag.is_empty() || entry[flag] == true);
            found.map(|entry| entry["name"].as_str().unwrap()).collect()
        };
        assert_eq!(names_with(""), ["redis", "redis/redisinsight", "someone/cache"], "{term}");
        assert_eq!((names_with("is_official"), names_with("is_trusted")), (vec!["redis"], trusted.to_vec()), "{term}");
        let stars: Vec<&Value> = results.iter().map(|entry| &entry["star_count"]).collect();
        assert_eq!(stars, [13_000, 40, 7], "{term}");
        let after = SEARCHES.map(|provider| self.hub.count(provider));
        let new: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(new, asked, "{term}: {:?}", self.hub.asked());
    }
}

fn configuration(engine: &Engine, hub: &DockerHub) -> String {
    format!(
        r#"
[engine.default]
url = "{engine}"
[docker_hub]
search_v4 = "{hub}"
search_v2 = "{hub}"
tags = "{hub}"
engine_index = "{index}"
[[site]]
name = "nas"
[[site.plugin]]
name = "hub-search"
source = "{HUB_SEARCH}"
mount = "/"
[site.plugin.grants.docker]
allow = ["images.read", "images.pull", "images.remove", "operations.read"]
[site.plugin.grants.registry]
allow = ["manifests.read", "hub.read", "catalog.read", "catalog.download"]
[site.plugin.grants.storage]
allow = ["blobs"]
[site.plugin.grants.identity]
allow = ["principal", "sessions"]
"#,
        engine = engine.url(),
        hub = hub.url(),
        index = hub.address(),
    )
}

#[test]
fn docker_hub_is_searched_by_whoever_answers_on_the_distributions_engine() {
    tell(Version::Installed);
}

#[test]
fn docker_hub_is_searched_by_whoever_answers_on_a_newer_engine() {
    tell(Version::Newer);
}

fn tell(version: Version) {
    if left_out() {
        return;
    }
    let site = Site::start(version);
    check_tags(&site);
    // The newest search, and what was found is kept.
    site.check_search("one", &["redis/redisinsight"], [1, 0, 0]);
    site.check_search("one", &["redis/redisinsight"], [0, 0, 0]);
    // A page for people, on which the older one is asked; the newest has its rest.
    let page = "<!doctype html><html><title>Just a moment...</title></html>";
    site.hub.fail(Provider::SearchV4, Answer::new(403, page).with("content-type", "text/html"));
    site.check_search("two", &["someone/cache"], [1, 1, 0]);
    site.check_search("three", &["someone/cache"], [0, 1, 0]);
    // Too many questions for that one too, and the engine is left. Newer ones know of no trust.
    site.hub.fail(Provider::SearchV2, Answer::new(429, "{}").with("retry-after", "60"));
    let trusted: &[&str] = if version == Version::Installed { &["someone/cache"] } else { &[] };
    site.check_search("four", trusted, [0, 1, 1]);
    site.check_search("five", trusted, [0, 0, 1]);
    // Nobody is left. What was found before still is.
    site.hub.fail(Provider::SearchV1, Answer::new(503, ""));
    let refused = site.search("six");
    let envelope = refused.json().unwrap();
    let message = envelope["error"]["message"].as_str().unwrap();
    assert_eq!((refused.status, &envelope["error"]["code"]), (503, &json!(503)), "{envelope}");
    assert!(
        ["hub-v4: ", "hub-v2: ", "engine: "].iter().all(|name| message.contains(name)) && !message.contains("Just a moment"),
        "{message}"
    );
    site.check_search("one", &["redis/redisinsight"], [0, 0, 0]);
    assert!(site.wharf.stop().unwrap().success());
}

#[track_caller]
fn check_tags(site: &Site) {
    let newest_first: Vec<String> = (0..250).rev().map(|number| format!("7.0.{number}")).collect();
    for _ in 0..2 {
        let answer = site.tags("1/redis").json().unwrap();
        assert_eq!((&answer["installed"], &answer["tags"]), (&json!([]), &json!(newest_first)));
        assert_eq!(site.hub.count(Provider::Tags), 3, "{:?}", site.hub.asked());
    }
    assert_eq!(site.tags("0/someone/absent").status, 404);
    site.hub.fail(Provider::Tags, Answer::new(200, "<html>hotel</html>").with("content-type", "text/html"));
    let refused = site.tags("0/someone/cache");
    assert_eq!((refused.status, refused.text().unwrap().contains("hotel")), (503, false), "{}", refused.text().unwrap());
}
