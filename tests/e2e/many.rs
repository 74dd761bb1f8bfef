//! Many containers, and containers that come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use wharf_harness::engine::{Engine, Network};
use wharf_harness::images;

use crate::site::{SERVER, Site, deployments, host, left_out};

const MANY: usize = 300;
/// How often a list is asked for while containers vanish.
const LISTS: usize = 40;

/// Three hands make containers and remove them at once; every list meanwhile is whole, and has those that stay.
pub fn vanishing(site: &Site) {
    site.create("staying", &json!({ "Image": SERVER, "Labels": { "lopco-type": "worker" } }));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for hand in 0..3 {
            let done = &done;
            scope.spawn(move || {
                let name = format!("vanishing-{hand}");
                while !done.load(Ordering::Relaxed) {
                    site.create(&name, &json!({ "Image": SERVER, "Labels": { "lopco-type": "worker" } }));
                    site.docker().delete(&format!("/containers/{name}?force=1")).unwrap().success("removing").unwrap();
                }
            });
        }
        let mut seen = 0;
        let mut wrong = Vec::new();
        for _ in 0..LISTS {
            let list = site.get("/deployments?type=worker");
            let records = list.json().unwrap_or_default();
            if list.status != 200 || records.get("staying").is_none() {
                wrong.push((list.status, records.to_string()));
            }
            seen += records.as_object().map_or(0, |records| records.keys().filter(|name| name.starts_with("vanishing-")).count());
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(wrong, [], "of {LISTS} lists");
        assert!(seen > 0, "no list met a container that vanishes");
    });
    site.delete("staying");
}

#[test]
fn three_hundred_containers_are_listed() {
    if left_out() {
        return;
    }
    let engine = Engine::temporary(Network::None).unwrap();
    let client = engine.client();
    images::ensure(&client, SERVER).unwrap();
    for index in 0..MANY {
        let specification = json!({
            "Image": SERVER, "Labels": { "lopco-type": "worker", "lopco-id": index.to_string() }, "HostConfig": { "NetworkMode": "none" },
        });
        client.post_json(&format!("/containers/create?name=many-{index}"), &specification).unwrap().success("creating").unwrap();
    }
    let host = host(&deployments(&engine));
    let list = || host.client().get("/deployments").unwrap();
    let began = Instant::now();
    let records = list().json().unwrap();
    let first = began.elapsed();
    assert_eq!(list().status, 200);
    eprintln!("{MANY} containers: listed in {first:?}, and again in {:?}", began.elapsed() - first);
    for index in 0..MANY {
        assert_eq!(records[format!("many-{index}")]["labels"]["lopco-id"], index.to_string());
    }
    assert_eq!(records.as_object().map(serde_json::Map::len), Some(MANY));
    let others = host.client().get("/deployments?type=core").unwrap().json().unwrap();
    assert_eq!(others, Value::Object(serde_json::Map::new()));
}
