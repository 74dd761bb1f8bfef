//! `cargo xtask bench updates`: what it costs to know of many containers whether they are outdated, and for how long one is away while it is replaced.
//!
//! A real engine runs [`CONTAINERS`] containers of [`IMAGES`] images, each from a repository of its own at Debian's registry, whose answers are [`DELAY`] away. The host's binary has the plugin `update-checker`.
//!
//! - `first`: the first check of a host that has never run, from the moment at which its turn is in the queue to the end of its job.
//! - `check`: the same for each later one, while nothing changes.
//! - `plain`: the reference, a client ([`plain`](super::plain)) that asks the engine for its containers and its images and the registry for all digests, on as many connections as the host makes.
//! - `recreated`: how long a container is away while the plugin moves it to a new image that is there already: by the engine's own events, from the first signal to the old one to the start of the new one.
//! - `by hand`: the reference, `docker stop`, `rm`, `create` and `start` for an equal container, measured by the same events.
//!
//! The rows of a pair take turns, and each shows its middle round.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Runtime;
use wharf_harness::engine::{Engine, Network};
use wharf_harness::engine_proxy::EngineProxy;
use wharf_harness::http::Client;
use wharf_harness::registry::Registry;
use wharf_harness::wharf::Wharf;
use wharf_harness::{images, poll, programs};

use super::slow_proxy::{DELAY, Gate, SlowProxy};
use super::{middle, plain, publish};
use crate::stop::Stop;
use crate::{cargo, packages, step, toolchain};

const IMAGES: usize = 100;
const CONTAINERS: usize = 200;
/// How many connections the host makes to one registry.
const CONNECTIONS: usize = 32;
/// How many checks one round lasts.
const CHECKS: usize = 3;
/// The longest that anything may take.
const LIMIT: Duration = Duration::from_secs(120);
/// The repository of the containers that are replaced.
const APP: &str = "bench/app";

/// What the table shows.
#[derive(Debug, Serialize)]
struct Report {
    containers: usize,
    images: usize,
    delay_ms: u128,
    first_ms: f64,
    check: Check,
    plain_ms: f64,
    /// Time of a check as a multiple of the plain client's.
    check_of_plain: f64,
    recreated_ms: f64,
    by_hand_ms: f64,
    /// The same of the two ways to replace a container.
    recreated_of_by_hand: f64,
}

/// One check, or the mean of several.
#[derive(Debug, Clone, Copy, Serialize)]
struct Check {
    ms: f64,
    /// `HEAD` requests to the registry.
    heads: f64,
    /// All others to the registry.
    other_requests: f64,
    /// Calls of the engine.
    engine_calls: f64,
}

/// Measures and prints; writes the same to `json`.
///
/// # Errors
///
/// Something is missing, a build fails, a container is not what it should be, or we were asked to stop. Whatever was started has ended in any case.
pub(crate) fn updates(json: Option<&Path>, rounds: usize, stop: &Stop) -> anyhow::Result<()> {
    packages::ensure(&[programs::ENGINE, &[programs::REGISTRY, programs::DOCKER]].concat(), "which containers and images are on", stop)?;
    toolchain::ensure_wasm_target(stop)?;
    let binary = cargo::build_host(stop)?;
    let component = cargo::build_components(&["update-checker".to_owned()], stop)?.remove(0);

    let runtime = Runtime::new()?;
    let registry = Registry::start_fast(false)?;
    let slow = SlowProxy::start(runtime.handle(), registry.address(), Gate::Open)?;
    let engine = Engine::temporary(Network::Bridge)?;
    let stage = Stage { docker: engine.client(), engine: &engine, registry: &registry, slow: &slow, runtime: &runtime };
    let repositories: Vec<String> = (0..IMAGES).map(|number| format!("bench/image-{number:03}")).collect();
    step(&format!("{CONTAINERS} containers of {IMAGES} images"));
    stage.run_containers(&repositories, stop)?;

    let proxy = EngineProxy::start(&engine.socket())?;
    let host = Wharf::start(&binary, &configuration(&component, &proxy, &slow))?;
    let first_ms = checks(&host)?.remove(0);
    step(&format!("{rounds} rounds of checks"));
    let (mut measured, mut plains) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        stop.check()?;
        measured.push(measure_checks(&host, &slow, &proxy)?);
        plains.push(stage.plain(&repositories)?);
    }
    step(&format!("{rounds} rounds of replacing"));
    let (mut recreated, mut by_hand) = (Vec::new(), Vec::new());
    stage.publish_app(0)?;
    let ports = [free_port()?, free_port()?];
    for (name, port) in ["by-host", "by-hand"].into_iter().zip(ports) {
        stage.docker_command(&create(name, port, &stage.app()))?;
        stage.docker_command(&["start", name].map(str::to_owned))?;
    }
    for round in 1..=rounds {
        stop.check()?;
        stage.publish_app(round)?;
        recreated.push(stage.recreate(&host)?);
        by_hand.push(stage.replace(ports[1])?);
    }
    host.stop()?;

    let milliseconds = |rounds: Vec<Duration>| middle(rounds, Duration::as_secs_f64).map(|middle| middle.as_secs_f64() * 1e3);
    let check = middle(measured, |check| check.ms).context("no round was measured")?;
    let (plain_ms, recreated_ms, by_hand_ms) =
        (milliseconds(plains).unwrap_or_default(), milliseconds(recreated).unwrap_or_default(), milliseconds(by_hand).unwrap_or_default());
    let report = Report {
        containers: CONTAINERS,
        images: IMAGES,
        delay_ms: DELAY.as_millis(),
        first_ms,
        check,
        plain_ms,
        check_of_plain: check.ms / plain_ms,
        recreated_ms,
        by_hand_ms,
        recreated_of_by_hand: recreated_ms / by_hand_ms,
    };
    publish(&table(&report), &report, json)
}

/// What the measurements happen on.
struct Stage<'s> {
    engine: &'s Engine,
    docker: Client,
    registry: &'s Registry,
    slow: &'s SlowProxy,
    runtime: &'s Runtime,
}

impl Stage<'_> {
    /// Pushes an image for each of `repositories`, pulls it by the slow proxy's name and runs containers of it, two of each.
    fn run_containers(&self, repositories: &[String], stop: &Stop) -> anyhow::Result<()> {
        for (number, repository) in repositories.iter().enumerate() {
            stop.check()?;
            self.publish(repository, &format!("wharf/bench-{number}:1"))?;
            let reference = self.pull(repository)?;
            for copy in 0..CONTAINERS / IMAGES {
                let name = format!("idle-{number}-{copy}");
                let specification = json!({ "Image": reference, "HostConfig": { "NetworkMode": "none" } });
                self.docker.post_json(&format!("/containers/create?name={name}"), &specification)?.success("creating a container")?;
                self.docker.post(&format!("/containers/{name}/start"))?.success("starting a container")?;
            }
        }
        Ok(())
    }

    /// Lets `repository:1` be an image with the page `local`, which only the registry has afterwards.
    fn publish(&self, repository: &str, local: &str) -> anyhow::Result<()> {
        images::publish(&self.docker, local, &["/bin/serve"], &format!("{}/{repository}", self.registry.address()), "1")
    }

    /// Pulls `repository:1` and answers its reference.
    fn pull(&self, repository: &str) -> anyhow::Result<String> {
        let name = format!("{}/{repository}", self.slow.address());
        let pulled = self.docker.post(&format!("/images/create?fromImage={name}&tag=1"))?.success("pulling an image")?;
        anyhow::ensure!(!pulled.text()?.contains("\"error\""), "{}", pulled.text()?);
        Ok(format!("{name}:1"))
    }

    fn app(&self) -> String {
        format!("{}/{APP}:1", self.slow.address())
    }

    /// The next image of the application, which the engine has already: neither way waits for a download.
    fn publish_app(&self, round: usize) -> anyhow::Result<()> {
        self.publish(APP, &format!("wharf/app-{round}:1"))?;
        self.pull(APP).map(drop)
    }

    /// Asks everything that a check needs to know, plainly.
    fn plain(&self, repositories: &[String]) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.docker.get("/containers/json?all=1")?.success("listing containers")?;
        self.docker.get("/images/json")?.success("listing images")?;
        self.runtime.block_on(plain::heads(self.slow.address(), repositories, CONNECTIONS))?;
        Ok(began.elapsed())
    }

    /// Lets the plugin update the container `by-host`, and answers how long it was away.
    fn recreate(&self, host: &Wharf) -> anyhow::Result<Duration> {
        let api = host.client();
        let outdated = || {
            let mut items = get::<Vec<Group>>(&api, "/api/images")?.into_iter().flat_map(|group| group.containers);
            let item = items.find(|item| item.container_name == "by-host" && item.status == "outdated");
            anyhow::Ok(item.map(|item| item.container_id))
        };
        let id = poll(LIMIT, outdated)?.context("the container is not outdated")?;
        self.away(|| {
            api.post(&format!("/api/images/{id}/update"))?.success("updating")?;
            let ended = || {
                let newest = get::<Vec<Entry>>(&api, "/api/history")?.into_iter().next();
                Ok(newest.filter(|entry| entry.container_id == id))
            };
            let entry = poll(LIMIT, ended)?.context("the update did not end")?;
            anyhow::ensure!(entry.result == "updated", "{entry:?}");
            Ok(())
        })
    }

    /// Replaces the container `by-hand` by the command line, and answers how long it was away.
    fn replace(&self, port: u16) -> anyhow::Result<Duration> {
        self.away(|| {
            for command in [&["stop", "by-hand"], &["rm", "by-hand"]] {
                self.docker_command(&command.map(str::to_owned))?;
            }
            self.docker_command(&create("by-hand", port, &self.app()))?;
            self.docker_command(&["start", "by-hand"].map(str::to_owned))
        })
    }

    /// How long nothing ran while `act` replaced a container, by the events of the engine: from the first signal to the last start.
    fn away(&self, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
        let since = now()?;
        act()?;
        let path = format!("/events?since={}&until={}&filters=%7B%22type%22%3A%5B%22container%22%5D%7D", seconds(since), seconds(now()?));
        let events = self.docker.get(&path)?.success("reading events")?;
        away(events.text()?).with_context(|| format!("no container was replaced: {:?}", events.text()))
    }

    fn docker_command(&self, arguments: &[String]) -> anyhow::Result<()> {
        let output =
            Command::new("docker").arg("--host").arg(self.engine.url()).args(arguments).output().context("failed to start `docker`")?;
        anyhow::ensure!(output.status.success(), "docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }
}

/// A group of the plugin's list.
#[derive(Debug, Deserialize)]
struct Group {
    containers: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    container_id: String,
    container_name: String,
    status: String,
}

/// An update in the plugin's history, whose newest stands first.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "the reason is for people")]
struct Entry {
    container_id: String,
    result: String,
    error: Option<String>,
}

/// A job in the admin API's list, whose newest stands first.
#[derive(Debug, Deserialize)]
struct Job {
    kind: String,
    state: String,
    created_ms: u64,
    ended_ms: Option<u64>,
}

/// What happened to a container, as the engine tells it.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "timeNano")]
    nanoseconds: u64,
}

fn get<T: DeserializeOwned>(client: &Client, path: &str) -> anyhow::Result<T> {
    Ok(serde_json::from_value(client.get(path)?.success(path)?.json()?)?)
}

/// What of a container is the same however it is replaced.
fn create(name: &str, port: u16, image: &str) -> Vec<String> {
    [
        "create",
        "--name",
        name,
        "--publish",
        &format!("127.0.0.1:{port}:80"),
        "--volume",
        &format!("{name}:/data"),
        "--restart",
        "unless-stopped",
        image,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn configuration(component: &Path, engine: &EngineProxy, registry: &SlowProxy) -> String {
    format!(
        r#"
[engine.default]
url = "{engine}"
[registry."{registry}"]
plain_http = true
[[site]]
name = "bench"
[[site.plugin]]
name = "update-checker"
source = "{component}"
mount = "/"
config = {{ settle_secs = 1, cooldown_secs = 0 }}
[site.plugin.schedules]
check = {{ every = "1s", at_start = true }}
[site.plugin.grants.docker]
allow = ["containers.read", "containers.recreate", "images.read", "operations.read"]
[site.plugin.grants.registry]
allow = ["digests.read", "manifests.read"]
[site.plugin.grants.storage]
allow = ["keyvalue"]
[site.plugin.grants.jobs]
allow = ["queue", "webhooks"]
[site.plugin.grants.identity]
allow = ["principal", "sessions"]
"#,
        engine = engine.url(),
        registry = registry.address(),
        component = component.display(),
    )
}

/// How long each check took that has ended, in milliseconds, the oldest first; waits for one.
fn checks(host: &Wharf) -> anyhow::Result<Vec<f64>> {
    let ended = || {
        let jobs = get::<Vec<Job>>(&host.admin(), "/jobs?plugin=update-checker&limit=1000")?;
        let checks: Vec<&Job> = jobs.iter().filter(|job| job.kind == "check" && job.ended_ms.is_some()).collect();
        if let Some(failed) = checks.iter().find(|check| check.state != "succeeded") {
            anyhow::bail!("a check failed: {failed:?}");
        }
        let took = |check: &&Job| Some(check.ended_ms?.saturating_sub(check.created_ms) as f64);
        let took: Vec<f64> = checks.iter().rev().filter_map(took).collect();
        Ok((!took.is_empty()).then_some(took))
    };
    poll(LIMIT, ended)?.context("there was no check")
}

/// The mean of the next [`CHECKS`] checks.
fn measure_checks(host: &Wharf, registry: &SlowProxy, engine: &EngineProxy) -> anyhow::Result<Check> {
    let seen = checks(host)?.len();
    // From the end of one check to the end of another, so that none is counted in parts.
    let after = |count: usize| {
        poll(LIMIT, || Ok(Some(checks(host)?).filter(|checks| checks.len() >= count)))?.context("there was no further check")
    };
    let begin = after(seen + 1)?.len();
    let (requests, calls) = (registry.counts(), engine.asked());
    let all = after(begin + CHECKS)?;
    let (requests, calls) = (registry.counts().since(requests), engine.asked() - calls);
    let took = all.get(begin..).unwrap_or_default();
    let mean = |sum: f64| sum / took.len() as f64;
    Ok(Check {
        ms: mean(took.iter().sum()),
        heads: mean(requests.heads as f64),
        other_requests: mean((requests.requests() - requests.heads) as f64),
        engine_calls: mean(calls as f64),
    })
}

/// From the first signal that a container got to the last start of one, in `events`, a JSON object on each line; none if there was neither.
fn away(events: &str) -> Option<Duration> {
    let events: Vec<Event> = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let times = |action: &'static str| events.iter().filter(move |event| event.action == action).map(|event| event.nanoseconds);
    Some(Duration::from_nanos(times("start").max()?.checked_sub(times("kill").min()?)?))
}

fn now() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

/// A time as the engine's list of events takes it.
fn seconds(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn table(report: &Report) -> String {
    let Report { containers, images, delay_ms, first_ms, check, plain_ms, check_of_plain, recreated_ms, by_hand_ms, recreated_of_by_hand } =
        report;
    let Check { ms, heads, other_requests, engine_calls } = check;
    format!(
        "
{:<10} {:>8} {:>10} {:>6} {:>7} {:>13}
{:<10} {first_ms:>8.0}
{:<10} {ms:>8.0} {check_of_plain:>10.2} {heads:>6.1} {other_requests:>7.1} {engine_calls:>13.1}
{:<10} {plain_ms:>8.0} {:>10.2} {images:>6.1}

{:<10} {:>8} {:>10}
{:<10} {recreated_ms:>8.0} {recreated_of_by_hand:>10.2}
{:<10} {by_hand_ms:>8.0} {:>10.2}

{containers} containers of {images} images in as many repositories, {delay_ms} ms for each answer of the registry
",
        "a check",
        "ms",
        "of plain",
        "HEAD",
        "others",
        "engine calls",
        "first",
        "check",
        "plain",
        1.0,
        "away",
        "ms",
        "of by hand",
        "recreated",
        "by hand",
        1.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_away_from_the_first_signal_to_the_last_start() {
        let event = |action: &str, nanoseconds: u64| format!("{}\n", json!({ "Action": action, "timeNano": nanoseconds }));
        let events =
            [("create", 1), ("kill", 5), ("die", 6), ("kill", 7), ("start", 15), ("rename", 18)].map(|(action, time)| event(action, time));
        assert_eq!(away(&events.concat()), Some(Duration::from_nanos(10)));
        assert_eq!(away(&event("start", 1)), None);
    }

    #[test]
    fn a_time_has_nine_digits_behind_its_point() {
        assert_eq!(seconds(Duration::new(7, 5)), "7.000000005");
    }

    #[test]
    fn the_table_shows_each_pair_and_its_ratio() {
        let check = Check { ms: 150.0, heads: 100.0, other_requests: 0.0, engine_calls: 2.0 };
        let report = Report {
            containers: CONTAINERS,
            images: IMAGES,
            delay_ms: 20,
            first_ms: 400.0,
            check,
            plain_ms: 100.0,
            check_of_plain: 1.5,
            recreated_ms: 300.0,
            by_hand_ms: 600.0,
            recreated_of_by_hand: 0.5,
        };
        let table = table(&report);
        assert!(table.contains("check           150       1.50  100.0     0.0           2.0\n"), "{table}");
        assert!(table.contains("recreated       300       0.50\n"), "{table}");
    }
}
