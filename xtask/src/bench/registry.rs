//! `cargo xtask bench registry`: how fast the host learns the digests of many images, and what that costs their registry.
//!
//! Debian's registry with 500 repositories of one tag, each answer [`DELAY`] away. The host's binary with a plugin asks for all of them in one call:
//!
//! - `open`: a registry that anybody may use, which the host has never asked before.
//! - `again`: the same question once more, on connections that were kept. The registry says that nothing has changed.
//! - `password`: a registry that wants a password with every request, and has to compute a hash each time.
//! - `token`: a registry that wants a token (a stand-in, see [`slow_proxy`](super::slow_proxy)).
//! - `beside`: `open`, while another registry in the same call takes connections and answers nothing.
//! - `one each`: the reference, a plain client ([`plain`](super::plain)) on the same registry that makes a connection for each image, all at once.
//! - `kept`: the same client with as many connections as the host makes, which is the most that these can carry here.
//!
//! The rows take turns, each round has registries that the host has not seen, and each row shows its middle round. A row of the host is measured from a client's request to the end of the plugin's answer;
//! `beside`, whose call lasts as long as the host waits for the silent one, until the last answer of the good registry, and is compared with `open` by the same. Everything runs on one machine, whose
//! processors the registry needs most of: the numbers are for comparing rows, and for counting.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wharf_harness::programs;
use wharf_harness::registry::{PASSWORD, Registry, USER};
use wharf_harness::wharf::Wharf;

use super::slow_proxy::{Counts, DELAY, Gate, SlowProxy};
use super::{middle, plain, publish};
use crate::stop::Stop;
use crate::{cargo, packages, step, toolchain};

const IMAGES: usize = 500;
/// How many images the silent registry is asked for.
const SILENT_IMAGES: usize = 50;
/// How many connections the host makes to one registry.
const CONNECTIONS: usize = 32;
/// How many push at once.
const PUSHERS: usize = 4;

/// What the table shows.
#[derive(Serialize)]
struct Report {
    images: usize,
    delay_ms: u128,
    rows: Vec<Row>,
    /// Images per second of `beside` as a share of `open`'s, both until the registry's last answer.
    beside_of_open: f64,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    #[serde(flatten)]
    measurement: Measurement,
    requests_per_image: f64,
    /// Images per second as a share of `one each`'s.
    of_one_each: f64,
    /// The same of `kept`'s.
    of_kept: f64,
}

/// One call.
#[derive(Debug, Clone, Copy, Serialize)]
struct Measurement {
    images_per_second: f64,
    /// The same, until the registry's last answer.
    answered_per_second: f64,
    #[serde(flatten)]
    counts: Counts,
}

/// Measures and prints; writes the same to `json`.
///
/// # Errors
///
/// Something is missing, a build fails, an image has no digest, or we were asked to stop. Whatever was started has ended in any case.
pub(crate) fn registry(json: Option<&Path>, rounds: usize, stop: &Stop) -> anyhow::Result<()> {
    packages::ensure(&[programs::REGISTRY], "which has the images", stop)?;
    toolchain::ensure_wasm_target(stop)?;
    let binary = cargo::build_host(stop)?;
    let component = cargo::build_components(&["guest-registry".to_owned()], stop)?.remove(0);

    step(&format!("two registries with {IMAGES} repositories each"));
    let repositories: Vec<String> = (0..IMAGES).map(|number| format!("bench/image-{number:03}")).collect();
    let (open, closed) = (Registry::start_fast(false)?, Registry::start_fast(true)?);
    for registry in [&open, &closed] {
        push(registry, &repositories, stop)?;
    }
    let runtime = Runtime::new()?;
    let mut proxies = Vec::new();
    for _ in 0..rounds {
        proxies.push(Proxies::start(&runtime, &open, &closed)?);
    }
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let folder = tempfile::Builder::new().prefix("wharf-bench-").tempdir()?;
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD)?;
    let closed: Vec<SocketAddr> = proxies.iter().map(|proxies| proxies.password.address()).collect();
    let host = Wharf::start(&binary, &configuration(&component, &closed, &password))?;

    step(&format!("{rounds} rounds of {} rows", ROWS.len()));
    let mut measured = ROWS.map(|_| Vec::new());
    for proxies in &proxies {
        stop.check()?;
        let round = measure_round(&host, proxies, &repositories, &silent, &runtime)?;
        for (row, measurement) in measured.iter_mut().zip(round) {
            row.push(measurement);
        }
    }
    host.stop()?;
    let report = report(measured).context("no round was measured")?;
    publish(&table(&report), &report, json)
}

const ROWS: [&str; 7] = ["one each", "kept", "open", "again", "password", "token", "beside"];

/// The registries of one round, each with an address that nobody has asked before.
struct Proxies {
    open: SlowProxy,
    password: SlowProxy,
    token: SlowProxy,
    beside: SlowProxy,
}

impl Proxies {
    fn start(runtime: &Runtime, open: &Registry, closed: &Registry) -> anyhow::Result<Proxies> {
        let start = |registry: &Registry, gate| SlowProxy::start(runtime.handle(), registry.address(), gate);
        Ok(Proxies {
            open: start(open, Gate::Open)?,
            password: start(closed, Gate::Open)?,
            token: start(open, Gate::Token)?,
            beside: start(open, Gate::Open)?,
        })
    }
}

fn push(registry: &Registry, repositories: &[String], stop: &Stop) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let parts = repositories.chunks(repositories.len().div_ceil(PUSHERS).max(1));
        let pushing: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    for repository in part {
                        stop.check()?;
                        registry.push_image(repository, "1", "amd64")?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        pushing.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread that pushes images panicked")))
    })
}

/// The plugin that asks, and a table for each registry that wants a password.
fn configuration(component: &Path, closed: &[SocketAddr], password: &Path) -> String {
    let (component, password) = (component.display(), password.display());
    let tables = closed
        .iter()
        .map(|address| format!("[registry.\"{address}\"]\nusername = \"{USER}\"\npassword = {{ secret_file = \"{password}\" }}\n\n"));
    let tables: String = tables.collect();
    format!(
        "{tables}[[site]]
name = \"bench\"

[[site.plugin]]
name = \"registry\"
source = \"{component}\"
mount = \"/\"

[site.plugin.grants.registry]
allow = [\"digests.read\", \"manifests.read\", \"tags.read\", \"hub.read\", \"catalog.read\"]
"
    )
}

/// Measures every row once, in their order.
fn measure_round(
    host: &Wharf,
    proxies: &Proxies,
    repositories: &[String],
    silent: &TcpListener,
    runtime: &Runtime,
) -> anyhow::Result<[Measurement; ROWS.len()]> {
    let Proxies { open, password, token, beside } = proxies;
    let of = |registry: SocketAddr| repositories.iter().map(move |repository| format!("{registry}/{repository}:1"));
    let ask = |registry: &SlowProxy| {
        let references: Vec<String> = of(registry.address()).collect();
        measure(registry, || heads(host, &references, 0))
    };
    let plain = |connections| measure(open, || runtime.block_on(plain::heads(open.address(), repositories, connections)));
    let silent: Vec<String> = of(silent.local_addr()?).take(SILENT_IMAGES).collect();
    let with_silent: Vec<String> = of(beside.address()).chain(silent).collect();
    Ok([
        plain(IMAGES)?,
        plain(CONNECTIONS)?,
        ask(open)?,
        ask(open)?,
        ask(password)?,
        ask(token)?,
        measure(beside, || heads(host, &with_silent, SILENT_IMAGES))?,
    ])
}

/// What `act` takes, and what it makes of requests to `registry`.
fn measure(registry: &SlowProxy, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Measurement> {
    let (before, began) = (registry.counts(), Instant::now());
    act()?;
    let took = began.elapsed();
    let answered = registry.last_answer().context("the registry was not asked")?.duration_since(began);
    let rate = |time: Duration| IMAGES as f64 / time.as_secs_f64();
    Ok(Measurement { images_per_second: rate(took), answered_per_second: rate(answered), counts: registry.counts().since(before) })
}

/// Asks the host for all of `references` in one call. The last `silent` of them have no answer, and all others have a digest.
fn heads(host: &Wharf, references: &[String], silent: usize) -> anyhow::Result<()> {
    let answer =
        host.client().post_json("/digests-read.heads", &json!({ "references": references }))?.success("asking for digests")?.json()?;
    let answers = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let with_digest = answers.iter().take_while(|answer| answer.is_string()).count();
    let expected = references.len() - silent;
    let other = answers.get(with_digest).unwrap_or(&Value::Null);
    anyhow::ensure!(
        answers.len() == references.len() && with_digest == expected,
        "{with_digest} of {expected} images have a digest: {other}"
    );
    Ok(())
}

/// The middle round of each row, and what it is of the reference; none if there is no round.
fn report(measured: [Vec<Measurement>; ROWS.len()]) -> Option<Report> {
    let middles: Option<Vec<Measurement>> = ROWS
        .into_iter()
        .zip(measured)
        .map(|(name, rounds)| middle(rounds, |round| if name == "beside" { round.answered_per_second } else { round.images_per_second }))
        .collect();
    let middles = middles?;
    let [one_each, kept, open, .., beside] = middles.as_slice() else { return None };
    let rows = ROWS.into_iter().zip(middles.iter()).map(|(name, measurement)| {
        let shown = if name == "beside" { measurement.answered_per_second } else { measurement.images_per_second };
        let measurement = Measurement { images_per_second: shown, ..*measurement };
        let requests_per_image = measurement.counts.requests() as f64 / IMAGES as f64;
        let (of_one_each, of_kept) = (shown / one_each.images_per_second, shown / kept.images_per_second);
        Row { name, measurement, requests_per_image, of_one_each, of_kept }
    });
    let beside_of_open = beside.answered_per_second / open.answered_per_second;
    Some(Report { images: IMAGES, delay_ms: DELAY.as_millis(), rows: rows.collect(), beside_of_open })
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "\n{:<9} {:>9} {:>12} {:>8} {:>12} {:>15} {:>6} {:>6} {:>6} {:>6}\n",
        "row", "images/s", "of one each", "of kept", "connections", "requests/image", "HEAD", "GET", "token", "pulls"
    );
    for Row { name, measurement, requests_per_image, of_one_each, of_kept } in &report.rows {
        let Measurement { images_per_second, counts, .. } = measurement;
        let Counts { connections, heads, pulls, tokens, others } = counts;
        text += &format!(
            "{name:<9} {images_per_second:>9.0} {of_one_each:>12.2} {of_kept:>8.2} {connections:>12} {requests_per_image:>15.3} {heads:>6} {others:>6} {tokens:>6} {pulls:>6}\n"
        );
    }
    let Report { images, delay_ms, beside_of_open, .. } = report;
    text += &format!("\n{images} images in as many repositories, {delay_ms} ms for each answer of a registry\n");
    text += &format!("beside a registry that never answers: {beside_of_open:.2} of the images per second of `open`\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_harness::fault_proxy::{Answer, FaultProxy};
    use wharf_harness::http::Client;

    #[test]
    fn the_configuration_is_toml_and_names_each_registry_with_a_password() {
        let closed = ["127.0.0.1:5000", "127.0.0.1:5001"].map(|address| address.parse().unwrap());
        let text = configuration(Path::new("/x/guest_registry.wasm"), &closed, Path::new("/x/password"));
        let document: toml::Table = text.parse().unwrap();
        assert_eq!(document["registry"].as_table().unwrap().len(), 2);
        assert_eq!(document["site"][0]["plugin"][0]["source"].as_str(), Some("/x/guest_registry.wasm"));
    }

    #[test]
    fn the_table_compares_the_middle_rounds_with_the_reference() {
        let counts = Counts { connections: 32, heads: 500, others: 1, ..Counts::default() };
        let round = |rate| Measurement { images_per_second: rate, answered_per_second: rate * 2.0, counts };
        let mut rates = [100.0, 400.0, 200.0, 300.0, 50.0, 150.0, 100.0].into_iter();
        let measured = ROWS.map(|_| rates.next().map(|rate| [rate, rate * 10.0, rate / 10.0].map(round).into()).unwrap());
        let report = report(measured).unwrap();
        let shares: Vec<f64> = report.rows.iter().map(|row| row.of_one_each).collect();
        assert_eq!(shares, [1.0, 4.0, 2.0, 3.0, 0.5, 1.5, 2.0]);
        assert_eq!(report.beside_of_open, 0.5);
        let table = table(&report);
        assert!(
            table.contains("open            200         2.00     0.50           32           1.002    500      1      0      0\n"),
            "{table}"
        );
    }

    /// A registry that has everything.
    fn upstream() -> FaultProxy {
        FaultProxy::answering(|_| Answer::new(200, "{}").with("docker-content-digest", "sha256:0")).unwrap()
    }

    #[test]
    fn a_plain_client_makes_as_many_connections_as_it_is_told_and_the_proxy_counts_them() {
        let (runtime, upstream) = (Runtime::new().unwrap(), upstream());
        let proxy = SlowProxy::start(runtime.handle(), upstream.address(), Gate::Open).unwrap();
        let repositories = ["a", "b", "c"].map(str::to_owned);
        runtime.block_on(plain::heads(proxy.address(), &repositories, 3)).unwrap();
        let counts = Counts { connections: 4, heads: 3, others: 1, ..Counts::default() };
        assert_eq!((proxy.counts(), upstream.count("HEAD ")), (counts, 3));
        runtime.block_on(plain::heads(proxy.address(), &repositories, 2)).unwrap();
        assert_eq!(proxy.counts().since(counts), Counts { connections: 3, heads: 3, others: 1, ..Counts::default() });
        Client::tcp(proxy.address()).get("/v2/a/manifests/1").unwrap();
        assert_eq!(proxy.counts().pulls, 1);
    }

    #[test]
    fn the_stand_in_for_a_token_server_passes_on_what_has_its_token() {
        let (runtime, upstream) = (Runtime::new().unwrap(), upstream());
        let proxy = SlowProxy::start(runtime.handle(), upstream.address(), Gate::Token).unwrap();
        let client = Client::tcp(proxy.address());
        let refused = client.get("/v2/").unwrap();
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"stand-in\"", proxy.address());
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some(challenge.as_str())));
        let token = client.get("/token?service=stand-in").unwrap().json().unwrap();
        let with_token = client.with_header("authorization", &format!("Bearer {}", token["token"].as_str().unwrap()));
        assert_eq!(with_token.get("/v2/").unwrap().status, 200);
        assert_eq!((proxy.counts().tokens, upstream.asked().len()), (1, 1));
    }
}
