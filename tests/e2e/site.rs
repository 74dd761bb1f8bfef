//! Where the stories happen: an engine with images, a network and a volume, and the host's binary in front of it with the deployments API.
//!
//! A static is never dropped, and an engine that is never dropped outlives the tests. So what is shared belongs to the stories that run at the moment: the last of them ends it, and the
//! next one starts another. Stories of one version stand together in the order of the tests, so that this rarely happens.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::engine::{self, Engine, Network, ensure_network, ensure_volume};
use wharf_harness::http::{Client, Response};
use wharf_harness::wharf::Wharf;
use wharf_harness::{images, newer, poll, programs};
use wharf_tests::plugins::DEPLOYMENTS;

/// The image whose containers serve their image's name on port 80.
pub const SERVER: &str = "wharf/busybox:latest";
/// The image whose containers do what their variable `SCRIPT` says.
pub const SCRIPT: &str = "wharf/script:latest";
/// The network that deployed containers join. Its ports are published on loopback.
pub const NETWORK: &str = "lopco-network";
/// The volume that they share.
pub const VOLUME: &str = "data_cache";

/// That of engine 20.10.
const OLDEST_API: &str = "1.41";

/// The engines that stories are told on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// That of the distribution.
    Installed,
    /// That of [`newer`].
    Newer,
}

/// Held by a story that prunes images: an engine prunes once at a time, and whatever has no name at that moment.
pub static PRUNING: Mutex<()> = Mutex::new(());

/// A host that serves the deployments API, and its engine.
pub struct Site {
    // In the order in which they end.
    pub wharf: Wharf,
    pub engine: Engine,
    pub version: Version,
}

/// Tells a story on an engine and a host that other stories use at the same time.
pub fn tell_shared(version: Version, story: fn(&Site)) {
    if !left_out() {
        story(&shared(version));
    }
}

/// Tells a story on an engine and a host of its own.
pub fn tell_with_own(version: Version, story: fn(Site)) {
    if !left_out() {
        story(Site::start(version));
    }
}

/// Whether the stories are left out, because the environment says so.
pub fn left_out() -> bool {
    programs::skip(&[programs::ENGINE, &[programs::REGISTRY]].concat()).unwrap()
}

fn shared(version: Version) -> Arc<Site> {
    static INSTALLED: Mutex<Weak<Site>> = Mutex::new(Weak::new());
    static NEWER: Mutex<Weak<Site>> = Mutex::new(Weak::new());
    let place = match version {
        Version::Installed => &INSTALLED,
        Version::Newer => &NEWER,
    };
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    place.upgrade().unwrap_or_else(|| {
        let site = Arc::new(Site::start(version));
        *place = Arc::downgrade(&site);
        site
    })
}

impl Site {
    /// Starts an engine and a host.
    #[track_caller]
    pub fn start(version: Version) -> Site {
        let engine = match version {
            Version::Installed => Engine::temporary(Network::Bridge),
            Version::Newer => newer::engine(Network::Bridge),
        };
        let engine = engine.unwrap();
        announce(version, &engine);
        let client = engine.client();
        images::ensure(&client, SERVER).unwrap();
        images::import(&client, SCRIPT, &["sh", "-c", "eval \"$SCRIPT\""]).unwrap();
        ensure_network(&client, NETWORK).unwrap();
        ensure_volume(&client, VOLUME).unwrap();
        Site { wharf: host(&deployments(&engine)), engine, version }
    }

    /// A client of the API.
    pub fn api(&self) -> Client {
        self.wharf.client()
    }

    /// A client of the engine.
    pub fn docker(&self) -> Client {
        self.engine.client()
    }

    /// `GET path` of the API.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.api().get(path).unwrap()
    }

    /// Deploys what `body` says, which must succeed, and answers the name.
    #[track_caller]
    pub fn deploy(&self, body: &Value) -> String {
        let answer = self.api().post_json("/deployments", body).unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{body}\n{}", self.wharf.log());
        let name = answer.text().unwrap().to_owned();
        assert!(is_uuid4(&name), "{name}");
        name
    }

    /// The record of `deployment`.
    #[track_caller]
    pub fn record(&self, deployment: &str) -> Value {
        let answer = self.get(&format!("/deployments/{deployment}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{deployment}");
        answer.json().unwrap()
    }

    /// Asks for a state, which must succeed.
    #[track_caller]
    pub fn set(&self, deployment: &str, status: &str) {
        let body = json!({ "status": status }).to_string();
        let fields = [("content-type", "application/json")];
        let answer = self.api().send("PATCH", &format!("/deployments/{deployment}"), &fields, body.as_bytes()).unwrap();
        check_empty(&answer, 200, &format!("{deployment} is to be {status}"));
    }

    /// Deletes `deployment`, after which it is gone.
    #[track_caller]
    pub fn delete(&self, deployment: &str) {
        let path = format!("/deployments/{deployment}");
        check_empty(&self.api().delete(&path).unwrap(), 200, &path);
        check_empty(&self.get(&path), 404, &path);
    }

    /// Waits until `deployment` has ended by itself.
    #[track_caller]
    pub fn wait_for_end(&self, deployment: &str) {
        eventually("the end of a container", || self.record(deployment)["status"] == "stopped");
    }

    /// The engine's own details of a container.
    #[track_caller]
    pub fn inspect(&self, container: &str) -> Value {
        self.docker().get(&format!("/containers/{container}/json")).unwrap().success(container).unwrap().json().unwrap()
    }

    /// The engine's containers in any state that were deployed for `id`.
    #[track_caller]
    pub fn containers_for(&self, id: &str) -> Vec<Value> {
        let filters = escaped(&json!({ "label": [format!("lopco-id={id}")] }).to_string());
        let list = self.docker().get(&format!("/containers/json?all=1&filters={filters}")).unwrap().success("listing").unwrap();
        list.json().unwrap().as_array().unwrap().clone()
    }

    /// Makes a container without the API; it is not started.
    #[track_caller]
    pub fn create(&self, name: &str, specification: &Value) {
        let path = format!("/containers/create?name={name}");
        self.docker().post_json(&path, specification).unwrap().success("creating").unwrap();
    }
}

/// Says once on which engine the stories are told, where also a passing test is heard, and what that leaves untested.
///
/// The distribution's may be any that we support. The oldest is engine 20.10, which speaks API 1.41; a distribution that has moved on
/// still tells every story.
#[track_caller]
fn announce(version: Version, engine: &Engine) {
    let found = engine::version(&engine.client()).unwrap();
    let (whose, remark) = match version {
        Version::Newer => ("newer", String::new()),
        Version::Installed if found.api == OLDEST_API => ("distribution's", String::new()),
        Version::Installed => {
            ("distribution's", format!("; the oldest that is supported, with API {OLDEST_API}, is NOT TESTED on this machine"))
        }
    };
    static SAID: [Once; 2] = [Once::new(), Once::new()];
    SAID[usize::from(version == Version::Newer)].call_once(|| {
        std::io::stderr().write_all(format!("the {whose} engine is {found}{remark}\n").as_bytes()).unwrap();
    });
    let minor = |api: &str| api.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
    assert!(minor(&found.api) >= minor(OLDEST_API), "the {whose} engine is {found}; API {OLDEST_API} is the oldest that is supported");
}

/// Starts the host's binary with `configuration`.
#[track_caller]
pub fn host(configuration: &str) -> Wharf {
    Wharf::start(Path::new(env!("CARGO_BIN_EXE_wharf-under-test")), configuration).unwrap()
}

/// The configuration of the deployments API on `engine`, as an operator has it. At `/elsewhere` is the same with a network that the engine does not have.
pub fn deployments(engine: &Engine) -> String {
    let mut configuration = format!("[engine.default]\nurl = \"{}\"\n[[site]]\nname = \"plant-a\"\n", engine.url());
    for (name, mount, network) in [("deployments", "/", NETWORK), ("elsewhere", "/elsewhere", "missing-network")] {
        write!(
            configuration,
            r#"
[[site.plugin]]
name = "{name}"
source = "{DEPLOYMENTS}"
mount = "{mount}"
config = {{ network = "{network}", data_cache_volume = "{VOLUME}" }}
[site.plugin.grants.docker]
engine = "default"
allow = [
    "containers.read", "containers.env", "containers.logs", "containers.lifecycle", "containers.create", "containers.remove",
    "images.read", "images.pull", "images.prune", "distribution.read",
]
networks = ["{network}"]
volumes = ["{VOLUME}"]
[site.plugin.grants.registry]
allow = ["digests.read"]
"#
        )
        .unwrap();
    }
    configuration
}

/// The body that deploys a container of `kind` for `id` which does what `script` says.
pub fn scripted(kind: &str, id: &str, script: &str) -> Value {
    json!({ "id": id, "image": SCRIPT, "data_cache_path": "/data_cache", "configs": { "SCRIPT": script }, "type": kind })
}

/// Checks a status, and that nothing comes with it.
#[track_caller]
pub fn check_empty(answer: &Response, status: u16, what: &str) {
    assert_eq!((answer.status, answer.text().unwrap()), (status, ""), "{what}");
}

/// A port of loopback that nobody listens on.
#[track_caller]
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What is served at `path` of `port` of loopback; empty if nobody answers.
pub fn page(port: u16, path: &str) -> String {
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let page = Client::tcp(address).get(path).ok();
    page.and_then(|page| page.text().map(str::to_owned).ok()).unwrap_or_default()
}

/// Asks `probe` until it is true, at most for a minute.
#[track_caller]
pub fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let found = poll(Duration::from_secs(60), || Ok(probe().then_some(()))).unwrap();
    assert!(found.is_some(), "{what} did not come to pass");
}

/// Whether `text` is a random UUID with dashes.
pub fn is_uuid4(text: &str) -> bool {
    let digits = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<&str> = text.split('-').filter(digits).collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b'])
}

/// `text` for a query.
pub fn escaped(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
