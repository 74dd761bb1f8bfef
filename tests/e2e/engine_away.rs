//! An engine that ends, hangs or comes back while the host runs, and a host that is stopped while the engine works for it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use wharf_harness::http::Client;
use wharf_harness::wharf::Wharf;

use crate::refusals::check_without_engine;
use crate::site::{Site, check_empty, deployments, eventually, host, is_uuid4, scripted};

/// More than all the buffers between the engine and a client hold.
const LOG_BYTES: usize = 64 * 1024 * 1024;

/// What is there when somebody says so is answered as soon as the engine is back, by a host that never stopped and by one that was started meanwhile.
pub fn away_and_back(mut site: Site) {
    let name = site.deploy(&scripted("protocol-adapter", "away", "exec serve"));
    // A log of which the client has read the beginning when the engine ends.
    let writer = site.deploy(&scripted("worker", "away-log", &format!("yes 0123456789 | busybox head -c {LOG_BYTES}")));
    site.wait_for_end(&writer);
    let (status, _, mut log) = site.api().open("GET", &format!("/deployments/{writer}/log"), &[], &[]).unwrap();
    let mut seen = vec![0; 1000];
    log.read_exact(&mut seen).unwrap();
    site.engine.take_away().unwrap();
    let outcome = log.read_to_end(&mut seen);
    assert_eq!(status, 200);
    assert!(outcome.is_err() && seen.len() < LOG_BYTES, "a log that was cut looks like one that ended: {} bytes, {outcome:?}", seen.len());
    drop(log);
    check_unreachable(&site.api(), &name, Duration::from_secs(5));
    check_without_engine(&site.api());
    let late = host(&deployments(&site.engine));
    check_unreachable(&late.client(), &name, Duration::from_secs(5));
    let health = late.admin().get("/health").unwrap();
    assert!(health.text().unwrap().contains("default"), "{}", health.text().unwrap());

    site.engine.return_to_service().unwrap();
    for api in [site.api(), late.client()] {
        let list = api.get("/deployments").unwrap();
        assert_eq!(list.status, 200, "the first question after the return");
        assert!(list.json().unwrap().get(&name).is_some());
    }
    // It was not stopped by hand, so the engine starts it again.
    eventually("the adapter's own return", || site.record(&name)["status"] == "running");
    site.delete(&name);
    site.delete(&writer);
}

/// An engine that takes connections and says nothing: everybody gets an answer, within the plugin's deadline, and its turn afterwards.
pub fn hanging(site: Site) {
    let name = site.deploy(&scripted("protocol-adapter", "hanging", "exec serve"));
    site.engine.pause();
    thread::scope(|scope| {
        scope.spawn(|| check_unreachable(&site.api(), &name, Duration::from_secs(29)));
        check_without_engine(&site.api());
    });
    site.engine.go_on();
    assert_eq!(site.record(&name)["status"], "running");
    site.delete(&name);
    assert_eq!(site.containers_for("hanging"), [] as [Value; 0], "what was asked for in vain was not carried out later");
}

/// Every request that needs the engine is a 500 without a body, within `limit`, all at the same time.
#[track_caller]
fn check_unreachable(api: &Client, name: &str, limit: Duration) {
    let (container, log) = (format!("/deployments/{name}"), format!("/deployments/{name}/log"));
    let body = scripted("worker", "hanging", "true").to_string();
    let requests = [
        ("GET", "/deployments", ""),
        ("POST", "/deployments", body.as_str()),
        ("GET", &container, ""),
        ("PATCH", &container, r#"{"status":"stopped"}"#),
        ("DELETE", &container, ""),
        ("GET", &log, ""),
    ];
    thread::scope(|scope| {
        for (method, path, body) in requests {
            scope.spawn(move || {
                let began = Instant::now();
                let answer = api.send(method, path, &[("content-type", "application/json")], body.as_bytes()).unwrap();
                check_empty(&answer, 500, &format!("{method} {path}"));
                assert!(began.elapsed() < limit, "{method} {path} took {:?}", began.elapsed());
            });
        }
    });
}

/// A deploy that has begun is finished, whether its client waits for it or has gone, and the host ends well.
pub fn stopped_while_deploying(site: Site) {
    let Site { wharf: first, engine, version: _ } = site;
    let body = scripted("protocol-adapter", "stopping", "exec serve");
    let containers = |engine: &wharf_harness::engine::Engine| {
        let all = engine.client().get("/containers/json?all=1").unwrap().json().unwrap();
        all.as_array().unwrap().clone()
    };

    // The engine hangs, so that the deploy is certainly under way when the host is told to stop.
    engine.pause();
    let api = first.client();
    let sites = first.sites();
    thread::scope(|scope| {
        let deploy = scope.spawn(|| api.post_json("/deployments", &body).unwrap());
        eventually("the deploy's first question", || calls(&first, "images-read.inspect") > 0);
        let stop = scope.spawn(move || first.stop().unwrap());
        eventually("the end of new connections", || TcpStream::connect(sites).is_err());
        engine.go_on();
        let answer = deploy.join().unwrap();
        assert_eq!(answer.status, 200);
        assert!(is_uuid4(answer.text().unwrap()));
        assert!(stop.join().unwrap().success());
    });
    let left: Vec<Value> = containers(&engine);
    assert_eq!(left.iter().map(|container| &container["State"]).collect::<Vec<_>>(), ["running"]);

    let second = host(&deployments(&engine));
    let text = body.to_string();
    let mut client = TcpStream::connect(second.sites()).unwrap();
    write!(client, "POST /deployments HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{text}", text.len()).unwrap();
    eventually("the act", || calls(&second, "containers-create.run") > 0);
    drop(client);
    assert!(second.stop().unwrap().success());
    let left: Vec<Value> = containers(&engine);
    assert_eq!(left.iter().map(|container| &container["State"]).collect::<Vec<_>>(), ["running", "running"]);
}

/// How often the plugin has called `function` of the docker room.
#[track_caller]
fn calls(host: &Wharf, function: &str) -> u64 {
    let metrics = host.admin().get("/metrics").unwrap();
    let function = format!("function=\"docker.{function}\"");
    let mut lines = metrics.text().unwrap().lines();
    let line = lines
        .find(|line| line.starts_with("wharf_host_calls_total") && line.contains("plugin=\"deployments\"") && line.contains(&function));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}
