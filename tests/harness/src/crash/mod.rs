//! Recreates containers on a real engine while the host is killed with SIGKILL, or the engine fails, and looks each time what is left.
//!
//! Between the host and the engine stands an [`EngineProxy`], which shows every call that changes something: the host is killed when such a call arrives there, and nothing was done yet, or when the engine has carried it out and the host
//! has not heard so. That is before and after each step of the journal. Other times it is killed at a random moment, and once or twice more while it takes up what it had begun.
//!
//! Whatever happened, there must be one container of each name in the end, on its old image or on the new one as the operation says, with its volumes and what is in them, its addresses, its restart policy and those that depend on it; and
//! nothing else: no container, no volume, no moved name of an image. The containers go from one image to the other and back all the time, so a run begins where another one has ended.

mod plan;
mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::engine_proxy::{EngineProxy, Fault};
use crate::guest::DOCKER_POWERS;
use crate::images;
use crate::poll_every;
use crate::wharf::Wharf;
pub use plan::{Event, KINDS, Kind, Plan, plans};
use state::{text, volumes};

/// How long everything may take to be at rest again.
const PATIENCE: Duration = Duration::from_secs(150);
/// Between two looks.
const POLL: Duration = Duration::from_millis(50);
/// How long an engine stands still.
const HANG: Duration = Duration::from_secs(3);
/// How long the new container must run.
const SETTLE_MS: u64 = 200;
/// The network with a place for a static address, and the address.
const NETWORK: &str = "crash-net";
/// What is in each volume.
const MARKER: &str = "crash-marker";

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the containers have the new image now.
    pub renewed: bool,
    /// How often the host was killed.
    pub kills: u64,
    /// How many of them while it took up what another run had begun.
    pub replay_kills: u64,
    /// The calls that it made, in a run in which nothing happened.
    pub calls: Vec<String>,
    /// How long it took until all was at rest after the last event.
    pub rest: Duration,
}

/// An engine with containers, and a host that recreates them.
#[derive(Debug)]
pub struct Stage {
    // In the order in which they end.
    wharf: Wharf,
    proxy: EngineProxy,
    engine: Engine,
    binary: PathBuf,
    images: BTreeMap<&'static str, String>,
    address: String,
}

impl Stage {
    /// Puts containers on `engine` and starts the host `binary` before it. `component` is the guest `docker`.
    ///
    /// # Errors
    ///
    /// The engine or the host fails.
    pub fn set(engine: Engine, binary: &Path, component: &str) -> anyhow::Result<Stage> {
        let proxy = EngineProxy::start(&engine.socket())?;
        let url = proxy.url();
        let plugin = format!("[[site]]\nname = \"plant-a\"\n[[site.plugin]]\nname = \"guest\"\nsource = \"{component}\"\nmount = \"/\"\n");
        let grant = format!(
            "[site.plugin.grants.docker]\nengine = \"default\"\nallow = {DOCKER_POWERS:?}\ncontainers.names = [\"*\"]\nimages = [\"docker.io/crash/*\"]\n"
        );
        let wharf = Wharf::start(binary, &format!("[engine.default]\nurl = \"{url}\"\n{plugin}{grant}"))?;
        let mut stage = Stage { wharf, proxy, engine, binary: binary.to_owned(), images: BTreeMap::new(), address: String::new() };
        stage.prepare()?;
        Ok(stage)
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        let client = self.engine.client();
        images::import(&client, "crash/base:1", &["/bin/serve"])?;
        self.post("/containers/create?name=base", &json!({ "Image": "crash/base:1" }))?;
        let configs = [
            ("a", json!({ "Cmd": ["/bin/serve"], "Env": ["RELEASE=a"], "Volumes": { "/data": {} } })),
            ("b", json!({ "Cmd": ["/bin/serve"], "Env": ["RELEASE=b"], "Volumes": { "/data": {}, "/more": {} } })),
            ("bad", json!({ "Cmd": ["sh", "-c", "exit 7"], "Volumes": { "/other": {} } })),
        ];
        for (tag, config) in configs {
            let made = self.post(&format!("/commit?container=base&repo=crash%2Fimage&tag={tag}"), &config)?;
            self.images.insert(tag, text(&made, "/Id").to_owned());
        }
        client.delete("/containers/base?force=1&v=1")?.success("removing")?;
        let own = client.get("/networks/bridge")?.success("the engine's network")?.json()?;
        let index = text(&own, "/IPAM/Config/0/Subnet").split('.').nth(2).context("no subnet")?.to_owned();
        let ipam = json!({ "Config": [{ "Subnet": format!("198.19.{index}.0/27") }] });
        self.post("/networks/create", &json!({ "Name": NETWORK, "Driver": "bridge", "IPAM": ipam }))?;
        self.address = format!("198.19.{index}.9");
        self.containers()
    }

    fn containers(&self) -> anyhow::Result<()> {
        let volume = |name: &str| json!({ "Type": "volume", "Source": name, "Target": "/named" });
        let own = |mut body: Value| {
            if let Some(body) = body.as_object_mut() {
                body.insert("Image".to_owned(), json!("crash/image:a"));
                body.insert("Env".to_owned(), json!(["OWN=1"]));
                // Whoever does not know whether a stop is under way waits for so long.
                body.insert("StopTimeout".to_owned(), json!(1));
            }
            body
        };
        let endpoint = json!({ "IPAMConfig": { "IPv4Address": self.address }, "Aliases": ["alias"] });
        let running = json!({
            "HostConfig": { "NetworkMode": NETWORK, "RestartPolicy": { "Name": "always" }, "Mounts": [volume("crash-named")] },
            "NetworkingConfig": { "EndpointsConfig": { NETWORK: endpoint } },
        });
        for (name, body) in [
            ("running", running),
            ("stopped", json!({})),
            ("shared", json!({})),
            ("sidecar", json!({ "HostConfig": { "NetworkMode": "container:shared" } })),
            ("removed", json!({ "HostConfig": { "AutoRemove": true } })),
            ("bad", json!({ "HostConfig": { "RestartPolicy": { "Name": "unless-stopped" } } })),
        ] {
            self.post(&format!("/containers/create?name={name}"), &own(body))?;
            if name != "stopped" {
                self.post(&format!("/containers/{name}/start"), &Value::Null)?;
            }
            for place in volumes(&self.inspect(name)?).into_iter().filter_map(|volume| Some(volume.split_once(' ')?.1.to_owned())) {
                self.mark(name, &place)?;
            }
        }
        Ok(())
    }

    /// Puts a file into a volume.
    fn mark(&self, container: &str, folder: &str) -> anyhow::Result<()> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(1);
        archive.append_data(&mut header, MARKER, &b"x"[..])?;
        let path = format!("/containers/{container}/archive?path={}", folder.replace('/', "%2F"));
        let sent = self.engine.client().send("PUT", &path, &[("content-type", "application/x-tar")], &archive.into_inner()?)?;
        sent.success("marking a volume")?;
        Ok(())
    }

    /// Recreates once.
    ///
    /// # Errors
    ///
    /// Something is not as it must be, with what the host has logged.
    pub fn run(&mut self, plan: &Plan) -> anyhow::Result<Outcome> {
        let done = self.carry_out(plan);
        done.with_context(|| {
            let log = self.wharf.log();
            // Without the requests, which are mostly questions whether it has ended.
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("\"message\":\"request\"")).collect();
            let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n");
            format!("{plan:?}, calls {:?}:\n{last}", self.proxy.calls())
        })
    }

    fn carry_out(&mut self, plan: &Plan) -> anyhow::Result<Outcome> {
        let (before, known) = (self.kept(plan.kind)?, self.all_volumes()?);
        let main = before.get(plan.kind.name()).context("the container is not there")?;
        let is_on = |tag: &str| self.images.get(tag) == Some(&main.image);
        let next = if plan.kind == Kind::Bad {
            "bad"
        } else if is_on("a") {
            "b"
        } else {
            "a"
        };
        let mut outcome = Outcome { renewed: false, kills: 0, replay_kills: 0, calls: Vec::new(), rest: Duration::ZERO };
        let mut events = std::iter::once(plan.event).chain(plan.replays.iter().copied());
        let mut event = events.next();
        arm(&self.proxy, event);
        let body = json!({ "name": plan.kind.name(), "image": format!("crash/image:{next}"), "settle_ms": SETTLE_MS, "again": true });
        let begun = self.wharf.client().post_json("/containers-recreate.begin", &body)?.json()?;
        let operation = begun.as_str().with_context(|| format!("not begun: {begun}"))?.to_owned();
        while let Some(now) = event {
            event = events.next();
            if self.happen(now, event, &operation)? {
                outcome.replay_kills += u64::from(outcome.kills > 0);
                outcome.kills += 1;
            }
        }
        let since = Instant::now();
        let ended = self.rest(&operation)?;
        outcome.rest = since.elapsed();
        outcome.calls = self.proxy.calls();
        outcome.renewed = text(&ended, "/state") == "succeeded";
        self.check(plan.kind, &before, &known, next, &ended)?;
        Ok(outcome)
    }

    /// Waits for `event`, and does what is to be done then. `next` is what is to happen after it. Whether the host was killed.
    fn happen(&mut self, event: Event, next: Option<Event>, operation: &str) -> anyhow::Result<bool> {
        match event {
            Event::None | Event::Fail(..) => return Ok(false),
            Event::KillAfter(later) => {
                poll_every(Duration::from_millis(1), later, || Ok(None::<()>))?;
            }
            Event::Kill(..) => {
                if !self.reached(operation)? {
                    return Ok(false);
                }
            }
            Event::Hang(_) => {
                if self.reached(operation)? {
                    self.engine.pause();
                    self.proxy.release();
                    poll_every(HANG, HANG, || Ok(None::<()>))?;
                    self.engine.go_on();
                }
                return Ok(false);
            }
            Event::Restart(_) => {
                if self.reached(operation)? {
                    self.engine.take_away()?;
                    self.proxy.release();
                    self.engine.return_to_service()?;
                }
                return Ok(false);
            }
        }
        let (binary, proxy) = (self.binary.clone(), &self.proxy);
        self.wharf.kill_and_start_again_after(&binary, || arm(proxy, next))?;
        Ok(true)
    }

    /// Waits for the call that was armed; false if all was over before it came.
    fn reached(&self, operation: &str) -> anyhow::Result<bool> {
        let found = poll_every(POLL, PATIENCE, || {
            if self.proxy.reached() {
                return Ok(Some(true));
            }
            Ok(self.ended(operation)?.is_some().then_some(false))
        })?;
        // It may have come with the end.
        Ok(found.context("neither did the call come nor the end")? || self.proxy.reached())
    }

    /// The operation, if it has ended.
    fn ended(&self, operation: &str) -> anyhow::Result<Option<Value>> {
        let asked = self.wharf.client().post_json("/operations-read.get", &json!({ "names": [operation] }))?.json()?;
        let found = asked.get(0).cloned().unwrap_or_default();
        ensure!(found.get("state").is_some(), "the operation is not known any more: {asked}");
        Ok((text(&found, "/state") != "running").then_some(found))
    }

    /// Waits until the operation has ended.
    fn rest(&self, operation: &str) -> anyhow::Result<Value> {
        let ended = poll_every(POLL, PATIENCE, || self.ended(operation))?;
        ended.with_context(|| format!("the operation did not end within {} s", PATIENCE.as_secs()))
    }

    fn inspect(&self, container: &str) -> anyhow::Result<Value> {
        self.engine.client().get(&format!("/containers/{container}/json"))?.success(&format!("`{container}`"))?.json()
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let client = self.engine.client();
        let answer = if body.is_null() { client.post(path) } else { client.post_json(path, body) };
        Ok(answer?.success(path)?.json().unwrap_or_default())
    }
}

fn arm(proxy: &EngineProxy, event: Option<Event>) {
    match event {
        Some(Event::Kill(call, fault) | Event::Fail(call, fault)) => proxy.arm(call, fault),
        Some(Event::Hang(call) | Event::Restart(call)) => proxy.arm(call, Fault::Wait),
        Some(Event::None | Event::KillAfter(_)) | None => proxy.arm(0, Fault::Wait),
    }
}
