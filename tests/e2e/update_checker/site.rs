//! Where the story of updates happens: an engine, a registry behind a gate, and the host with the plugin.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::engine::{Engine, Network, ensure_network, ensure_volume};
use wharf_harness::fault_proxy::{Answer, Fault, FaultProxy};
use wharf_harness::http::{Client, Response};
use wharf_harness::registry::Registry;
use wharf_harness::wharf::Wharf;
use wharf_harness::{images, newer, poll};
use wharf_tests::plugins::UPDATE_CHECKER;

use crate::site::{Version, eventually, free_port, host, page};

pub(super) const NETWORK: &str = "web-network";
pub(super) const VOLUME: &str = "web-data";
const REPOSITORY: &str = "team/app";

/// Everything that the story needs, in the order in which it ends.
pub(super) struct Site {
    wharf: Option<Wharf>,
    engine: Engine,
    pub(super) gate: Gate,
    proxy: FaultProxy,
    registry: Registry,
    /// Who is told of updates.
    pub(super) hook: FaultProxy,
    /// Where `web` serves its page.
    pub(super) port: u16,
}

/// What lets layers through, or not.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(super) fn close(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn open(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// Waits until it is open, at most for a minute.
    fn pass(&self) {
        let _open = poll(Duration::from_secs(60), || Ok((!self.0.load(Ordering::SeqCst)).then_some(())));
    }
}

impl Site {
    #[track_caller]
    pub(super) fn start(version: Version) -> Site {
        let registry = Registry::start(false).unwrap();
        let gate = Gate::default();
        let of_proxy = gate.clone();
        let proxy = FaultProxy::start(registry.address(), move |asked| {
            if asked.method == "GET" && asked.target.contains("/blobs/sha256:") {
                of_proxy.pass();
            }
            Fault::None
        })
        .unwrap();
        let hook = FaultProxy::answering(|_| Answer::new(204, "")).unwrap();
        let engine = match version {
            Version::Installed => Engine::temporary(Network::Bridge),
            Version::Newer => newer::engine(Network::Bridge),
        }
        .unwrap();
        let docker = engine.client();
        ensure_network(&docker, NETWORK).unwrap();
        ensure_volume(&docker, VOLUME).unwrap();
        let wharf = host(&configuration(&engine, &proxy, &hook));
        let site = Site { wharf: Some(wharf), engine, gate, proxy, registry, hook, port: free_port() };
        site.publish("first", &["/bin/serve"]);
        let path = format!("/images/create?fromImage={}/{REPOSITORY}&tag=1", site.proxy.address());
        let pulled = docker.post(&path).unwrap().success("pulling").unwrap();
        assert!(!pulled.text().unwrap().contains("\"error\""), "{}", pulled.text().unwrap());
        site
    }

    /// Lets the tag lead to an image whose page is `wharf/NAME:1`.
    #[track_caller]
    pub(super) fn publish(&self, name: &str, command: &[&str]) {
        let docker = self.engine.client();
        let repository = format!("{}/{REPOSITORY}", self.registry.address());
        images::publish(&docker, &format!("wharf/{name}:1"), command, &repository, "1").unwrap();
    }

    /// The reference of all containers, as lists show it.
    pub(super) fn reference(&self) -> String {
        format!("{}/{REPOSITORY}:1", self.proxy.address())
    }

    /// What the tag leads to.
    #[track_caller]
    pub(super) fn digest(&self) -> String {
        let accept = [("accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json")];
        let head = self.registry.client(false).send("HEAD", &format!("/v2/{REPOSITORY}/manifests/1"), &accept, &[]).unwrap();
        head.header("docker-content-digest").unwrap().to_owned()
    }

    /// Starts the container `name`; `web` serves its page on [`Site::port`].
    #[track_caller]
    pub(super) fn run(&self, name: &str, labels: &[(&str, &str)]) {
        let docker = self.engine.client();
        let labels: serde_json::Map<String, Value> = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let ports =
            if name == "web" { json!({ "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": self.port.to_string() }] }) } else { json!({}) };
        let specification = json!({
            "Image": self.reference(),
            "Env": ["GREETING=hello"],
            "Labels": labels,
            "ExposedPorts": { "80/tcp": {} },
            "HostConfig": {
                "PortBindings": ports,
                "Mounts": [{ "Type": "volume", "Source": VOLUME, "Target": "/data" }],
                "RestartPolicy": { "Name": "unless-stopped" },
                "NetworkMode": NETWORK,
            },
            "NetworkingConfig": { "EndpointsConfig": { NETWORK: { "Aliases": [format!("{name}-alias")] } } },
        });
        let created = docker.post_json(&format!("/containers/create?name={name}"), &specification).unwrap();
        created.success("creating").unwrap();
        docker.post(&format!("/containers/{name}/start")).unwrap().success("starting").unwrap();
        if name == "web" {
            eventually("its page", || page(self.port, "/").starts_with("wharf/"));
        }
    }

    #[track_caller]
    pub(super) fn remove(&self, name: &str) {
        self.engine.client().delete(&format!("/containers/{name}?force=1")).unwrap().success("removing").unwrap();
    }

    #[track_caller]
    pub(super) fn inspect(&self, name: &str) -> Value {
        self.engine.client().get(&format!("/containers/{name}/json")).unwrap().success(name).unwrap().json().unwrap()
    }

    /// The short id of the container `name`.
    #[track_caller]
    pub(super) fn id(&self, name: &str) -> String {
        self.inspect(name)["Id"].as_str().unwrap()[..12].to_owned()
    }

    /// The names of all containers of the engine, in any state, sorted.
    #[track_caller]
    pub(super) fn names(&self) -> Vec<String> {
        let list: Value = self.engine.client().get("/containers/json?all=1").unwrap().success("listing").unwrap().json().unwrap();
        let name = |container: &Value| container["Names"][0].as_str().unwrap().trim_start_matches('/').to_owned();
        let mut names: Vec<String> = list.as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    }

    /// Checks that what the user has set is the same in two inspected containers, and that the second one runs.
    #[track_caller]
    pub(super) fn check_same(&self, before: &Value, after: &Value) {
        for pointer in [
            "/Name",
            "/Config/Env",
            "/Config/Labels",
            "/Config/ExposedPorts",
            "/HostConfig/PortBindings",
            "/HostConfig/Mounts",
            "/HostConfig/RestartPolicy",
            "/HostConfig/NetworkMode",
            "/Mounts",
        ] {
            assert_eq!(before.pointer(pointer), after.pointer(pointer), "{pointer}");
        }
        assert_eq!(after["State"]["Running"], true, "{}", after["State"]);
        let networks =
            |inspected: &Value| inspected["NetworkSettings"]["Networks"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(networks(before), networks(after));
        let name = after["Name"].as_str().unwrap().trim_start_matches('/');
        let aliases = after["NetworkSettings"]["Networks"][NETWORK]["Aliases"].to_string();
        assert!(aliases.contains(&format!("{name}-alias")), "{aliases}");
    }

    fn wharf(&self) -> &Wharf {
        self.wharf.as_ref().unwrap()
    }

    pub(super) fn api(&self) -> Client {
        self.wharf().client()
    }

    #[track_caller]
    pub(super) fn get(&self, path: &str) -> Response {
        self.api().get(path).unwrap()
    }

    #[track_caller]
    pub(super) fn post(&self, path: &str) -> Response {
        self.api().post(path).unwrap()
    }

    /// The one group; null if there is none.
    #[track_caller]
    pub(super) fn group(&self) -> Value {
        self.get("/api/images").json().unwrap().get(0).cloned().unwrap_or_default()
    }

    /// The container `name` of it.
    #[track_caller]
    pub(super) fn container(&self, name: &str) -> Value {
        let group = self.group();
        group["containers"].as_array().unwrap().iter().find(|item| item["container_name"] == name).unwrap().clone()
    }

    /// The status of the group, and behind each container's name its own.
    #[track_caller]
    pub(super) fn statuses(&self) -> Vec<String> {
        let group = self.group();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let containers = group["containers"].as_array().cloned().unwrap_or_default();
        let containers = containers.iter().map(|item| format!("{} {}", text(&item["container_name"]), text(&item["status"])));
        [text(&group["status"])].into_iter().chain(containers).collect()
    }

    /// Which layer the update of the container `id` is at; empty if it is at none.
    #[track_caller]
    pub(super) fn layer(&self, id: &str) -> String {
        let progress = self.get(&format!("/api/images/{id}/progress")).json().unwrap_or_default();
        progress["layer"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(super) fn history(&self) -> Value {
        self.get("/api/history").json().unwrap()
    }

    /// How often the registry was asked where the tag leads.
    pub(super) fn checks(&self) -> usize {
        self.proxy.count(&format!("HEAD /v2/{REPOSITORY}/manifests/1"))
    }

    /// The last lines of the host.
    pub(super) fn log(&self) -> String {
        self.wharf().log()
    }

    #[track_caller]
    pub(super) fn kill_and_start_again(&mut self) {
        let wharf = self.wharf.as_mut().unwrap();
        wharf.kill_and_start_again(Path::new(env!("CARGO_BIN_EXE_wharf-under-test"))).unwrap();
    }

    #[track_caller]
    pub(super) fn stop(mut self) -> ExitStatus {
        self.wharf.take().unwrap().stop().unwrap()
    }
}

fn configuration(engine: &Engine, proxy: &FaultProxy, hook: &FaultProxy) -> String {
    format!(
        r#"
[engine.default]
url = "{engine}"
[registry."{registry}"]
plain_http = true
[[site]]
name = "plant-a"
[[site.plugin]]
name = "update-checker"
source = "{UPDATE_CHECKER}"
mount = "/"
auth = "plugin"
config = {{ settle_secs = 2, cooldown_secs = 0, webhook = "ops" }}
limits = {{ jobs = 4 }}
[site.plugin.schedules]
check = {{ every = "1s", at_start = true }}
[site.plugin.grants.docker]
allow = ["containers.read", "containers.recreate", "images.read", "operations.read"]
images = ["{registry}/team/*"]
[site.plugin.grants.registry]
allow = ["digests.read", "manifests.read"]
[site.plugin.grants.storage]
allow = ["keyvalue"]
[site.plugin.grants.jobs]
allow = ["queue", "webhooks"]
[site.plugin.grants.jobs.webhooks.ops]
url = "http://{hook}/updates"
[site.plugin.grants.identity]
allow = ["principal", "sessions"]
"#,
        engine = engine.url(),
        registry = proxy.address(),
        hook = hook.address(),
    )
}
