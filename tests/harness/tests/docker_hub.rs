//! The stand-in for Docker Hub answers in the shapes that Docker Hub has, and a real engine takes it, and a registry, for Docker Hub.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail at any line")]

use serde_json::{Value, json};
use wharf_harness::docker_hub::{DockerHub, Provider, Repository};
use wharf_harness::engine::{Engine, Network, Setup};
use wharf_harness::fault_proxy::Answer;
use wharf_harness::http::Client;
use wharf_harness::registry::Registry;
use wharf_harness::{images, newer, programs};

const V4: &str = "/api/search/v4?query=redis&from=0&size=25&type=image";
const V2: &str = "/v2/search/repositories/?query=redis&page=1&page_size=25";
const V1: &str = "/v1/search?q=redis&n=25";
const TAGS: &str = "/v2/namespaces/library/repositories/redis/tags?page_size=100&page=1";

fn hub() -> DockerHub {
    let redis = Repository {
        name: "redis",
        description: "A data structure server.",
        stars: 13_000,
        official: true,
        tags: (0..250).rev().map(|number| format!("7.0.{number}")).collect(),
        ..Repository::default()
    };
    let insight = Repository { name: "redis/redisinsight", description: "A GUI", stars: 40, verified: true, ..Repository::default() };
    let built = Repository { name: "someone/cache", description: "Built on Redis", automated: true, ..Repository::default() };
    let other = Repository { name: "nginx", description: "A web server", official: true, ..Repository::default() };
    DockerHub::start(vec![redis, insight, built, other]).unwrap()
}

fn get(hub: &DockerHub, path: &str) -> Value {
    Client::tcp(hub.address()).get(path).unwrap().success(path).unwrap().json().unwrap()
}

/// The values of the fields at these pointers, of each item of a list.
fn fields(list: &Value, pointers: [&str; 4]) -> Value {
    let items = list.as_array().unwrap().iter();
    items.map(|item| pointers.iter().map(|pointer| item.pointer(pointer).unwrap().clone()).collect::<Value>()).collect()
}

#[test]
fn every_search_finds_the_same_and_says_it_in_its_own_words() {
    let hub = hub();
    let v4 = get(&hub, V4);
    let expected = json!([
        ["redis", "A data structure server.", 13_000, "official"],
        ["redis/redisinsight", "A GUI", 40, "verified_publisher"],
        ["someone/cache", "Built on Redis", 0, "none"],
    ]);
    assert_eq!((&v4["total"], fields(&v4["results"], ["/name", "/short_description", "/star_count", "/badge"])), (&json!(3), expected));
    let v2 = get(&hub, V2);
    let expected = json!([["redis", 13_000, true, false], ["redis/redisinsight", 40, false, false], ["someone/cache", 0, false, true]]);
    assert_eq!(fields(&v2["results"], ["/repo_name", "/star_count", "/is_official", "/is_automated"]), expected);
    assert_eq!((&v2["count"], &v2["next"]), (&json!(3), &Value::Null));
    let v1 = get(&hub, V1);
    assert_eq!(fields(&v1["results"], ["/name", "/star_count", "/is_official", "/is_automated"]), expected);
    let searches = [Provider::SearchV4, Provider::SearchV2, Provider::SearchV1, Provider::Tags];
    assert_eq!(searches.map(|provider| hub.count(provider)), [1, 1, 1, 0]);
}

#[test]
fn results_come_in_pages() {
    let hub = hub();
    let first = |path: &str, field: &str| get(&hub, path)["results"][0][field].clone();
    assert_eq!(first("/api/search/v4?query=redis&from=1&size=1", "name"), "redis/redisinsight");
    assert_eq!(first("/v1/search?q=redis&n=1&page=3", "name"), "someone/cache");
    let page = get(&hub, "/v2/search/repositories/?query=redis&page_size=2");
    let next = page["next"].as_str().unwrap().strip_prefix(&hub.url()).unwrap();
    assert_eq!(first(next, "repo_name"), "someone/cache");
    let names = |path: &str| {
        let page = get(&hub, path);
        let tags: Vec<Value> = page["results"].as_array().unwrap().iter().map(|tag| tag["name"].clone()).collect();
        (tags[0].clone(), tags.len(), page["count"].clone(), page["next"].is_string())
    };
    assert_eq!(names(TAGS), (json!("7.0.249"), 100, json!(250), true));
    assert_eq!(names("/v2/repositories/library/redis/tags/?page_size=100&page=3"), (json!("7.0.49"), 50, json!(250), false));
    assert_eq!(Client::tcp(hub.address()).get("/v2/repositories/library/absent/tags").unwrap().status, 404);
}

#[test]
fn a_provider_fails_alone_and_recovers() {
    let hub = hub();
    let client = Client::tcp(hub.address());
    let page = Answer::new(403, "<html>Attention required</html>").with("content-type", "text/html").with("retry-after", "7");
    hub.fail(Provider::SearchV4, page);
    let refused = client.get(V4).unwrap();
    assert_eq!((refused.status, refused.header("retry-after"), refused.text().unwrap().contains("<html>")), (403, Some("7"), true));
    assert!([V2, V1, TAGS].iter().all(|path| client.get(path).unwrap().status == 200));
    hub.recover(Provider::SearchV4);
    assert_eq!((client.get(V4).unwrap().status, hub.count(Provider::SearchV4)), (200, 2));
}

#[test]
fn an_engine_searches_it_and_pulls_what_is_on_docker_hub_from_a_mirror() {
    if programs::skip(&[programs::ENGINE, &[programs::REGISTRY]].concat()).unwrap() {
        return;
    }
    let (hub, registry) = (hub(), Registry::start(false).unwrap());
    let mirror = format!("http://{}", registry.address());
    check_engine(
        &Engine::start(&Setup { programs: &[], network: Network::None, data: None, mirror: Some(&mirror) }).unwrap(),
        &hub,
        &registry,
    );
    check_engine(&newer::engine_with(Network::None, Some(&mirror)).unwrap(), &hub, &registry);
}

#[track_caller]
fn check_engine(engine: &Engine, hub: &DockerHub, registry: &Registry) {
    let client = engine.client();
    let found = client.get(&format!("/images/search?term={}/redis", hub.address())).unwrap().success("searching").unwrap();
    assert_eq!(found.json().unwrap().as_array().unwrap().len(), 3, "{}", found.text().unwrap());
    hub.fail(Provider::SearchV1, Answer::new(503, ""));
    assert_eq!(client.get(&format!("/images/search?term={}/redis", hub.address())).unwrap().status, 500);
    hub.recover(Provider::SearchV1);
    // What a mirror has, it has under whole names.
    let repository = format!("{}/library/redis", registry.address());
    images::import(&client, &format!("{repository}:latest"), &["/bin/serve"]).unwrap();
    let nobody = ("x-registry-auth", "e30=");
    let pushed = client.send("POST", &format!("/images/{repository}/push?tag=latest"), &[nobody], &[]).unwrap();
    let progress = pushed.success("pushing").unwrap();
    let (_, rest) = progress.text().unwrap().split_once("digest: ").unwrap();
    let digest = rest.split(' ').next().unwrap();
    client.delete(&format!("/images/{repository}:latest")).unwrap().success("removing").unwrap();
    assert_eq!(client.get("/images/redis:latest/json").unwrap().status, 404);
    client.post("/images/create?fromImage=redis&tag=latest").unwrap().success("pulling").unwrap();
    let image = client.get("/images/redis:latest/json").unwrap().success("inspecting").unwrap().json().unwrap();
    assert_eq!(image["RepoDigests"], json!([format!("redis@{digest}")]));
}
