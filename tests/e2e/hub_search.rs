//! The plugin `hub-search` as its clients use it: a real engine, a real registry in the place of Docker Hub's, and the stand-in for Docker Hub's own API.
//!
//! The engine finds the registry as its mirror of Docker Hub, the host as the endpoint of `docker.io`. What the engine downloads comes through a gate, so that a download can be looked at while
//! it is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::docker_hub::{DockerHub, Repository};
use wharf_harness::engine::{Engine, Network, Setup};
use wharf_harness::fault_proxy::{Fault, FaultProxy};
use wharf_harness::http::{Client, Response};
use wharf_harness::registry::Registry;
use wharf_harness::wharf::Wharf;
use wharf_harness::{images, newer, poll};
use wharf_tests::plugins::HUB_SEARCH;

use crate::site::{Version, eventually, host, left_out};

/// Everything that a story needs, in the order in which it ends.
struct Site {
    wharf: Wharf,
    engine: Engine,
    gate: Gate,
    _mirror: FaultProxy,
    registry: Registry,
    _hub: DockerHub,
}

/// What lets blobs through, or not.
#[derive(Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn close(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// Waits until it is open, at most for a minute.
    fn pass(&self) {
        let _open = poll(Duration::from_secs(60), || Ok((!self.0.load(Ordering::SeqCst)).then_some(())));
    }
}

fn repositories() -> Vec<Repository> {
    let repository = |name, stars, official| Repository {
        name,
        description: "A server.",
        stars,
        official,
        verified: false,
        automated: !official,
        tags: ["latest", "2", "1"].map(str::to_owned).into(),
    };
    vec![repository("dorowu/server", 3, false), repository("server", 12, true)]
}

impl Site {
    #[track_caller]
    fn start(version: Version) -> Site {
        let hub = DockerHub::start(repositories()).unwrap();
        let registry = Registry::start(false).unwrap();
        let gate = Gate::default();
        let of_proxy = gate.clone();
        let mirror = FaultProxy::start(registry.address(), move |asked| {
            if asked.target.contains("/blobs/sha256:") {
                of_proxy.pass();
            }
            Fault::None
        })
        .unwrap();
        let at = format!("http://{}", mirror.address());
        let engine = match version {
            Version::Installed => Engine::start(&Setup { programs: &[], network: Network::None, data: None, mirror: Some(&at) }),
            Version::Newer => newer::engine_with(Network::None, Some(&at)),
        };
        let engine = engine.unwrap();
        let wharf = host(&configuration(&engine, &registry, &hub));
        let site = Site { wharf, engine, gate, _mirror: mirror, registry, _hub: hub };
        site.publish();
        site
    }

    /// Puts `library/server:1` into the registry, and `team/tool:1` and `team/tool:2` onto the engine.
    #[track_caller]
    fn publish(&self) {
        let docker = self.engine.client();
        let name = format!("{}/library/server", self.registry.address());
        images::import(&docker, &format!("{name}:1"), &["/bin/serve"]).unwrap();
        let path = format!("/images/{name}/push?tag=1");
        let pushed = docker.send("POST", &path, &[("x-registry-auth", "e30=")], &[]).unwrap().success("pushing").unwrap();
        assert!(pushed.text().unwrap().contains("digest: sha256:"), "{}", pushed.text().unwrap());
        docker.delete(&format!("/images/{name}:1")).unwrap().success("removing").unwrap();
        for tag in ["team/tool:2", "team/tool:1"] {
            images::import(&docker, tag, &["/bin/serve"]).unwrap();
        }
    }

    fn api(&self) -> Client {
        self.wharf.client()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = self.api().get(&format!("/api/v1/image/{path}")).unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{path}\n{}", self.wharf.log());
        answer.json().unwrap()
    }

    /// The entry of `name` in a list.
    #[track_caller]
    fn entry(&self, query: &str, name: &str) -> Value {
        let list = self.get(&format!("?{query}"));
        let results = list["results"].as_array().unwrap();
        assert_eq!(list["total_count"], results.len());
        results.iter().find(|entry| entry["name"] == name).cloned().unwrap_or_default()
    }

    #[track_caller]
    fn delete(&self, path: &str) -> Response {
        self.api().delete(&format!("/api/v1/image/{path}")).unwrap()
    }
}

fn configuration(engine: &Engine, registry: &Registry, hub: &DockerHub) -> String {
    format!(
        r#"
[engine.default]
url = "{engine}"
[docker_hub]
search_v4 = "{hub}"
search_v2 = "{hub}"
tags = "{hub}"
[registry."docker.io"]
endpoint = "http://{registry}"
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
        registry = registry.address(),
    )
}

#[track_caller]
fn check_failure(answer: &Response, code: u16, message: &str) {
    let envelope: Value = answer.json().unwrap();
    let said = envelope["error"]["message"].as_str().unwrap_or_default();
    assert_eq!((answer.status, &envelope["error"]["code"], said.starts_with(message)), (code, &json!(code), true), "{envelope}");
}

#[test]
fn images_are_found_and_downloaded_and_removed_on_the_distributions_engine() {
    tell(Version::Installed);
}

#[test]
fn images_are_found_and_downloaded_and_removed_on_a_newer_engine() {
    tell(Version::Newer);
}

fn tell(version: Version) {
    if left_out() {
        return;
    }
    let site = Site::start(version);
    check_lists(&site);
    check_remote(&site);
    check_download(&site);
    check_removal(&site);
    assert!(site.wharf.stop().unwrap().success());
}

#[track_caller]
fn check_lists(site: &Site) {
    let tool = site.entry("category=local", "team/tool");
    assert_eq!((&tool["tags"], &tool["is_latest"], &tool["installed"]), (&json!(["1", "2"]), &json!([]), &json!(true)));
    assert!(tool["size"].as_array().unwrap().iter().all(|size| size.as_u64().unwrap() > 100_000), "{tool}");
    assert_eq!(site.entry("filter_text=TEAM", "team/tool"), tool);
    let official = site.get("?category=official");
    assert!(official["total_count"].as_u64().unwrap() >= 100);
    assert_eq!(site.entry("category=official", "redis")["installed"], false);
    assert_eq!(site.entry("category=qnap&type=lxc", "debian-wheezy")["size"], "173363200");
    let found = site.get("?category=dockerhub&filter_text=server");
    let names: Vec<&str> = found["results"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["server", "dorowu/server"]);
    assert_eq!(site.get("?category=dockerhub")["results"], json!([]));
    check_failure(&site.api().get("/api/v1/image/?category=private").unwrap(), 400, "unknown category");
}

#[track_caller]
fn check_remote(site: &Site) {
    assert_eq!(site.get("dockerhub/docker/1/server/tags"), json!({ "installed": [], "tags": ["latest", "2", "1"] }));
    check_failure(&site.api().get("/api/v1/image/dockerhub/docker/0/nobody/nothing/tags").unwrap(), 404, "Image not found: nobody/nothing");
    let remote = site.get("docker/server/1/remote_inspect");
    assert_eq!((&remote["Remote"], &remote["Os"], &remote["Config"]["Cmd"]), (&json!(true), &json!("linux"), &json!(["/bin/serve"])));
    check_failure(&site.api().get("/api/v1/image/docker/server/absent/remote_inspect").unwrap(), 404, "Image not found: server:absent");
    check_failure(&site.api().get("/api/v1/image/docker/localhost:1/x/1/remote_inspect").unwrap(), 503, "Service Unavailable: ");
}

/// From the first to the last of it.
#[track_caller]
fn check_download(site: &Site) {
    assert_eq!(site.get("downloadstatus"), json!([]));
    site.gate.close();
    let body =
        json!({ "description": "I am description.", "location": "https://registry.hub.docker.com/_/server/", "icon": "" }).to_string();
    for _ in 0..2 {
        let fields = [("content-type", "application/x-www-form-urlencoded")];
        let answer = site.api().send("POST", "/api/v1/image/dockerhub/docker/server/1/download", &fields, body.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.text().unwrap()), (200, "{}"));
    }
    assert_eq!(site.get("downloadstatus"), json!([{ "name": "server", "percent": null, "status": "downloading" }]));
    assert_eq!(site.entry("category=dockerhub&filter_text=server", "server")["downloading"], true);
    check_failure(&site.delete("local/docker/server"), 404, "Image not found: server");
    site.gate.open();
    eventually("the end of the download", || site.get("downloadstatus") == json!([]));
    let server = site.entry("category=local", "server");
    assert_eq!((&server["tags"], &server["downloading"]), (&json!(["1"]), &json!(false)), "{}", site.wharf.log());
    let found = site.entry("category=dockerhub&filter_text=server", "server");
    assert_eq!((&found["installed"], &found["downloading"]), (&json!(true), &json!(false)));
    assert_eq!(site.get("dockerhub/docker/1/server/tags")["installed"], json!(["1"]));
    assert_eq!(site.get("docker/server/1/inspect")["RepoTags"], json!(["server:1"]));
    // One that fails goes away as well, and says so in the log.
    let answer = site.api().post("/api/v1/image/dockerhub/docker/server/absent/download").unwrap();
    assert_eq!((answer.status, answer.text().unwrap()), (200, "{}"));
    eventually("the end of a download of nothing", || site.get("downloadstatus") == json!([]));
    eventually("its line in the log", || site.wharf.log().contains("docker.io/library/server:absent"));
}

#[track_caller]
fn check_removal(site: &Site) {
    let docker = site.engine.client();
    docker.post_json("/containers/create?name=user", &json!({ "Image": "server:1" })).unwrap().success("creating").unwrap();
    check_failure(&site.delete("local/docker/server"), 409, "");
    docker.delete("/containers/user").unwrap().success("removing").unwrap();
    let removed = site.delete("local/docker/server");
    assert_eq!(
        (removed.status, removed.json().unwrap()),
        (200, json!({ "action": "delete", "name": "server", "state": "success", "type": "docker" }))
    );
    check_failure(&site.delete("local/docker/server"), 404, "Image not found: server");
    assert_eq!(site.delete("local/docker/team/tool/1").status, 200);
    assert_eq!(site.entry("", "team/tool")["tags"], json!(["2"]));
    assert_eq!(site.delete("local/docker/team/tool").status, 200);
    assert_eq!(site.entry("", "team/tool"), Value::Null);
    check_failure(&site.delete("qnap/docker/server"), 400, "cannot delete from `qnap`");
}
