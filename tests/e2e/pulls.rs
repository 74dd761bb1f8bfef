//! Pulls by a real engine from a real registry, behind a proxy that makes them take long enough to be looked at.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_harness::fault_proxy::{Asked, Fault, FaultProxy};
use wharf_harness::http::Client;
use wharf_harness::images;
use wharf_harness::registry::Registry;
use wharf_harness::wharf::Wharf;

use crate::docker::{ask, engine_and_site, guest, word};
use crate::site::{Site, eventually, host};

/// An image at a registry that the engine does not have, and the way there.
struct Remote {
    // In the order in which they end.
    proxy: FaultProxy,
    _registry: Registry,
    /// As it is pulled, through the proxy.
    reference: String,
}

impl Remote {
    /// Publishes an image as `team/NAME:1`, whose layers go the way of `plan`.
    #[track_caller]
    fn publish(site: &Site, name: &str, plan: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Remote {
        let registry = Registry::start(false).unwrap();
        let docker = site.docker();
        let repository = format!("{}/team/{name}", registry.address());
        images::publish(&docker, &format!("wharf/{name}:1"), &["true"], &repository, "1").unwrap();
        let is_layer = |asked: &Asked| asked.method == "GET" && asked.target.contains("/blobs/");
        let proxy = FaultProxy::start(registry.address(), move |asked| if is_layer(asked) { plan(asked) } else { Fault::None }).unwrap();
        let reference = format!("{}/team/{name}:1", proxy.address());
        Remote { proxy, _registry: registry, reference }
    }

    /// How many blobs were asked for: the image has one layer and a configuration.
    fn blobs(&self) -> usize {
        self.proxy.asked().iter().filter(|asked| asked.starts_with("GET ") && asked.contains("/blobs/")).count()
    }

    /// Whether the engine has the image.
    fn is_there(&self, site: &Site) -> bool {
        site.docker().get(&format!("/images/{}/json", self.reference)).unwrap().status == 200
    }

    #[track_caller]
    fn remove(&self, site: &Site) {
        site.docker().delete(&format!("/images/{}", self.reference)).unwrap().success("removing").unwrap();
    }
}

/// Two plugins on the site's engine, which may do everything, at `/` and `/other`. `limits` are those of the first.
fn configuration(site: &Site, limits: &str) -> String {
    let first = guest("first", "/", "").replace("mount = \"/\"", &format!("mount = \"/\"\n{limits}"));
    format!("{}{first}{}", engine_and_site(site), guest("second", "/other", ""))
}

#[track_caller]
fn begin(guest: &Client, mount: &str, remote: &Remote) -> String {
    let id = ask(guest, &format!("{}images-pull.begin", mount.trim_start_matches('/')), &json!({ "name": remote.reference }));
    id.as_str().unwrap_or_else(|| panic!("{id}")).to_owned()
}

#[track_caller]
fn operation(guest: &Client, id: &str) -> Value {
    ask(guest, "operations-read.get", &json!({ "names": [id] }))[0].clone()
}

#[track_caller]
fn wait(guest: &Client, id: &str) -> Value {
    ask(guest, "operations-read.wait", &json!({ "name": id }))
}

/// From the beginning to the end, by the stream that the host makes.
pub fn watched(site: &Site) {
    let remote = Remote::publish(site, "watched", |_| Fault::Slowly(Duration::from_secs(2)));
    let host = host(&configuration(site, ""));
    let guest = host.client();
    let id = begin(&guest, "", &remote);
    let lines = guest.get(&format!("/operations/{id}/lines")).unwrap().text().unwrap().to_owned();
    let states: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let percents: Vec<Option<u64>> = states.iter().map(|state| state["percent"].as_u64()).collect();
    assert!(percents.is_sorted(), "{percents:?}");
    assert_eq!((&states.first().unwrap()["state"], percents.last().unwrap()), (&json!("running"), &Some(100)));
    let last = states.last().unwrap();
    assert_eq!((&last["state"], &last["reason"]), (&json!("succeeded"), &Value::Null));
    let halfway = percents.iter().flatten().filter(|percent| (1..100).contains(*percent)).count();
    assert!(halfway >= 5, "{percents:?}");
    assert!(states.iter().all(|state| (state["percent"] == 100) == (state["state"] == "succeeded")), "{percents:?}");
    // A tar of busybox has more than a megabyte, and less than half of it when it is packed.
    assert!(last["total"].as_u64().unwrap() > 300_000 && last["current"] == last["total"], "{last}");
    assert!(remote.is_there(site));
    let logged = host.log();
    assert!(logged.contains("an operation began") && logged.contains("an operation succeeded"), "{logged}");
    remote.remove(site);
}

/// Two plugins want the same; one loses interest, then the other, and then the engine has forgotten it.
pub fn shared_and_cancelled(site: &Site) {
    let stuck = Arc::new(AtomicBool::new(true));
    let is_stuck = Arc::clone(&stuck);
    let remote = Remote::publish(site, "shared", move |_| if is_stuck.load(Ordering::SeqCst) { Fault::SilentBody } else { Fault::None });
    let host = host(&configuration(site, ""));
    let guest = host.client();
    let first = begin(&guest, "", &remote);
    eventually("the layer's beginning", || operation(&guest, &first)["percent"].as_u64() > Some(0));
    // A pull of its own would begin with the manifest, even where the engine fetches each layer once.
    let (asked, before) = (remote.proxy.asked(), remote.blobs());
    let second = begin(&guest, "/other/", &remote);
    eventually("the other's progress", || operation(&guest, &second)["percent"] == operation(&guest, &first)["percent"]);
    assert_eq!(remote.proxy.asked(), asked);

    assert_eq!(ask(&guest, "operations-cancel.cancel", &json!({ "name": second }))["error"], "denied");
    assert_eq!(ask(&guest, "operations-cancel.cancel", &json!({ "name": first })), "done");
    assert_eq!((&operation(&guest, &first)["state"], &operation(&guest, &second)["state"]), (&json!("cancelled"), &json!("running")));
    assert_eq!(ask(&guest, "other/operations-cancel.cancel", &json!({ "name": second })), "done");
    assert_eq!(wait(&guest, &second)["state"], "cancelled");
    assert!(!remote.is_there(site));
    // Had the engine gone on, a further pull would wait with it for a layer that never comes.
    stuck.store(false, Ordering::SeqCst);
    let third = begin(&guest, "", &remote);
    let ended = wait(&guest, &third);
    assert_eq!((&ended["state"], &ended["percent"]), (&json!("succeeded"), &json!(100)), "{ended}");
    assert!(remote.blobs() > before && remote.is_there(site));
    remote.remove(site);
}

/// The client hangs up, the plugin is loaded anew, and the pull goes on.
pub fn outlives(site: &Site) {
    let remote = Remote::publish(site, "outlives", |_| Fault::Slowly(Duration::from_secs(3)));
    let host = host(&configuration(site, ""));
    let guest = host.client();
    let body = json!({ "name": remote.reference }).to_string();
    let mut client = TcpStream::connect(host.sites()).unwrap();
    write!(client, "POST /images-pull.pull HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    eventually("the layer", || remote.blobs() > 0);
    drop(client);
    let listed = ask(&guest, "operations-read.list", &json!({}));
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    reload(&host, &configuration(site, "limits = { memory_mib = 32 }"));
    let plugins = host.admin().get("/plugins").unwrap().json().unwrap();
    assert_eq!(plugins[0]["generation"], 2);
    assert_eq!((&operation(&guest, &id)["state"], &operation(&guest, &id)["owned"]), (&json!("running"), &json!(true)));
    assert_eq!(wait(&guest, &id)["state"], "succeeded");
    assert!(remote.is_there(site));
    assert_eq!(host.admin().get("/operations").unwrap().json().unwrap()[0]["id"], id);
    remote.remove(site);
}

/// Puts another configuration in the place of the host's.
#[track_caller]
fn reload(host: &Wharf, configuration: &str) {
    let file = host.folder().join("wharf.toml");
    let mut before = String::new();
    std::fs::File::open(&file).unwrap().read_to_string(&mut before).unwrap();
    let (server, _) = before.split_once("[engine.default]").unwrap();
    std::fs::write(&file, format!("{server}{configuration}")).unwrap();
    let answer = host.admin().post("/reload").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text().unwrap());
}

/// What goes wrong after the engine has answered 200 is the outcome; a pull after it is another one.
pub fn broken_inside(site: &Site) {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let spoilt = |mut answer: wharf_harness::fault_proxy::Answer| {
        answer.body.reverse();
        answer
    };
    let remote =
        Remote::publish(site, "broken", move |_| if is_broken.load(Ordering::SeqCst) { Fault::Altered(spoilt) } else { Fault::None });
    let host = host(&configuration(site, ""));
    let guest = host.client();
    let id = begin(&guest, "", &remote);
    let ended = wait(&guest, &id);
    assert_eq!((&ended["state"], &ended["failure"]["error"]), (&json!("failed"), &json!("internal")), "{ended}");
    assert!(!ended["reason"].as_str().unwrap().is_empty() && ended["percent"] != 100, "{ended}");
    assert_eq!(word(&ask(&guest, "images-pull.pull", &json!({ "name": remote.reference }))), "internal");
    assert!(!remote.is_there(site));
    broken.store(false, Ordering::SeqCst);
    assert_eq!(word(&ask(&guest, "images-pull.pull", &json!({ "name": remote.reference }))), "done");
    remote.remove(site);
}
