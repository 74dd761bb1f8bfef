//! `cargo xtask bench http`: what a plugin costs, against a native handler in the same process.
//!
//! One process serves all four rows on one listener and one event loop, so that they differ in nothing but what they are:
//!
//! - `bare` (a0): an axum handler that answers 12 bytes.
//! - `native` (a): the same behind the host's request id, log line and metrics, which every request of a plugin pays too.
//! - `pooled` (b): the same answer from a plugin whose instances are kept.
//! - `request` (c): from a plugin with a fresh instance for each request.
//!
//! The rows take turns, and each shows the middle one of its rounds, so that a machine that gets busy or warm harms all of them alike. The
//! load generator runs on the same machine: the numbers are for comparing rows, not machines.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use wharf_harness::http::Client;
use wharf_harness::process::Process;
use wharf_harness::{poll_every, programs};

use super::{middle, publish};
use crate::stop::Stop;
use crate::wrk::{self, Measurement};
use crate::{cargo, packages, step, toolchain};

const ROWS: [&str; 4] = ["bare", "native", "pooled", "request"];
const CONNECTIONS: [u64; 3] = [1, 32, 256];
const ROUNDS: usize = 3;
const STARTS: usize = 9;

/// What the tables show.
#[derive(Serialize)]
struct Report {
    start: StartReport,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct StartReport {
    /// From the start of the process to the first answer of a plugin that has to be compiled, in milliseconds.
    cold_ms: f64,
    /// The same with compiled code in the cache: the middle one of several starts.
    warm_ms: f64,
    /// Resident memory after the first answer, in KiB: the most of several starts.
    resident_kib: u64,
    /// Resident memory after the load, in KiB.
    resident_after_load_kib: u64,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    connections: u64,
    #[serde(flatten)]
    measurement: Measurement,
    /// Requests per second as a share of `native`'s with as many connections.
    of_native: f64,
    /// The same of `bare`'s.
    of_bare: f64,
}

/// Measures and prints; writes the same to `json`.
///
/// # Errors
///
/// Something is missing, a build fails, a request fails, or we were asked to stop. The host has ended in any case.
pub(crate) fn http(json: Option<&Path>, seconds: u64, stop: &Stop) -> anyhow::Result<()> {
    packages::ensure(&[programs::WRK], "which makes the load", stop)?;
    toolchain::ensure_wasm_target(stop)?;
    let binary = cargo::build_host(stop)?;
    let component = cargo::build_components(&["guest-bench".to_owned()], stop)?.remove(0);
    let site = Site::new(binary, &component)?;

    step(&format!("{} starts", STARTS + 1));
    let mut start = measure_start(&site, stop)?;
    let mut host = site.start(Path::new("/dev/null"))?;
    site.first_answer(&mut host)?;
    let rows = measure_rows(&site, seconds, stop)?;
    start.resident_after_load_kib = resident_kib(&host)?;
    host.stop()?;

    let report = Report { start, rows };
    publish(&table(&report), &report, json)
}

/// What is served, and where.
struct Site {
    binary: PathBuf,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Site {
    fn new(binary: PathBuf, component: &Path) -> anyhow::Result<Site> {
        let folder = tempfile::Builder::new().prefix("wharf-bench-").tempdir()?;
        // The clock of a start runs before the host can say where it listens, so the port is chosen here.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        std::fs::write(folder.path().join("wharf.toml"), configuration(address, component))?;
        std::fs::write(folder.path().join("done.lua"), wrk::SCRIPT)?;
        Ok(Site { binary, address, folder })
    }

    fn start(&self, log: &Path) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--config", "wharf.toml", "--bench-routes"]).current_dir(self.folder.path()).env_remove("RUST_LOG");
        Process::start(command, log.to_path_buf())
    }

    /// Waits until a plugin answers.
    fn first_answer(&self, host: &mut Process) -> anyhow::Result<()> {
        let client = Client::tcp(self.address);
        let answer = poll_every(Duration::from_millis(1), Duration::from_secs(60), || match client.get("/bench/pooled") {
            Ok(response) if response.status == 200 => Ok(Some(())),
            _ => match host.ended()? {
                Some(status) => anyhow::bail!("the host ended with {status}\n{}", host.last_lines(20)),
                None => Ok(None),
            },
        })?;
        answer.with_context(|| format!("no plugin answered within 60 s\n{}", host.last_lines(20)))
    }
}

/// The plugin twice, once for each isolation, with room for as many requests at once as there are connections.
fn configuration(address: SocketAddr, component: &Path) -> String {
    let component = component.display();
    let plugin = |name: &str| {
        format!(
            "
[[site.plugin]]
name = \"{name}\"
source = \"{component}\"
mount = \"/bench/{name}\"
isolation = \"{name}\"
limits = {{ concurrency = 256, queue = 1024 }}
"
        )
    };
    format!(
        "[server]
listen = \"{address}\"
data_dir = \"data\"
log_format = \"json\"

[[site]]
name = \"bench\"
{}{}",
        plugin("pooled"),
        plugin("request")
    )
}

/// Starts and stops the host: once with an empty code cache, then several times with a full one.
fn measure_start(site: &Site, stop: &Stop) -> anyhow::Result<StartReport> {
    let log = site.folder.path().join("log");
    let mut resident = 0;
    let mut start = || {
        stop.check()?;
        let began = Instant::now();
        let mut host = site.start(&log)?;
        site.first_answer(&mut host)?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        resident = resident.max(resident_kib(&host)?);
        host.stop()?;
        anyhow::Ok(took)
    };
    let cold_ms = start()?;
    let warm = (0..STARTS).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    let warm_ms = middle(warm, |took| *took).unwrap_or_default();
    Ok(StartReport { cold_ms, warm_ms, resident_kib: resident, resident_after_load_kib: 0 })
}

fn measure_rows(site: &Site, seconds: u64, stop: &Stop) -> anyhow::Result<Vec<Row>> {
    let script = site.folder.path().join("done.lua");
    let measure = |name: &str, connections, seconds| {
        stop.check()?;
        wrk::measure(&script, site.address, &format!("/bench/{name}"), connections, seconds)
    };
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        step(&format!("{connections} connections: {ROUNDS} rounds of {} rows, {seconds} s each", ROWS.len()));
        for name in ROWS {
            // Fills the pool of instances, and is not counted.
            measure(name, connections, 1)?;
        }
        let mut measured = ROWS.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (name, rounds) in ROWS.iter().zip(&mut measured) {
                rounds.push(measure(name, connections, seconds)?);
            }
        }
        let per_second = |measurement: &Measurement| measurement.per_second;
        let [bare, native, pooled, request] = measured.map(|rounds| middle(rounds, per_second).context("no round"));
        let (bare, native) = (bare?, native?);
        for (name, measurement) in ROWS.into_iter().zip([bare, native, pooled?, request?]) {
            let share = |of: Measurement| measurement.per_second / of.per_second;
            rows.push(Row { name, connections, measurement, of_native: share(native), of_bare: share(bare) });
        }
    }
    Ok(rows)
}

fn resident_kib(host: &Process) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "\n{:>11}  {:<8} {:>10} {:>9} {:>9} {:>10} {:>8}\n",
        "connections", "row", "requests/s", "p50 ms", "p99 ms", "of native", "of bare"
    );
    for Row { name, connections, measurement, of_native, of_bare } in &report.rows {
        let (p50, p99) = (measurement.p50_us / 1000.0, measurement.p99_us / 1000.0);
        let per_second = measurement.per_second;
        text += &format!("{connections:>11}  {name:<8} {per_second:>10.0} {p50:>9.3} {p99:>9.3} {of_native:>10.2} {of_bare:>8.2}\n");
    }
    let StartReport { cold_ms, warm_ms, resident_kib, resident_after_load_kib } = report.start;
    let (idle, after) = (resident_kib as f64 / 1024.0, resident_after_load_kib as f64 / 1024.0);
    text += &format!("\nfirst answer after {warm_ms:.0} ms with compiled code in the cache, {cold_ms:.0} ms without\n");
    text += &format!("resident memory {idle:.0} MiB after the first answer, {after:.0} MiB after the load\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_and_mounts_the_plugin_twice() {
        let document: toml::Table = configuration("127.0.0.1:8080".parse().unwrap(), Path::new("/x/guest_bench.wasm")).parse().unwrap();
        assert_eq!(document["site"][0]["plugin"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn the_script_of_the_load_generator_prints_what_is_read() {
        if programs::skip(&[programs::WRK]).unwrap() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("done.lua");
        std::fs::write(&script, wrk::SCRIPT).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || listener.incoming().for_each(|stream| drop(stream.map(|stream| std::thread::spawn(|| answer(stream))))));
        let measurement = wrk::measure(&script, address, "/", 2, 1).unwrap();
        assert!(measurement.per_second > 10.0 && measurement.p50_us > 0.0 && measurement.p99_us >= measurement.p50_us, "{measurement:?}");
    }

    /// Answers each request of one connection.
    fn answer(stream: std::net::TcpStream) {
        use std::io::{BufRead, BufReader, Write};
        let reader = BufReader::new(stream.try_clone().unwrap());
        for line in reader.lines().map_while(Result::ok).filter(String::is_empty) {
            if (&stream).write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{line}").as_bytes()).is_err() {
                return;
            }
        }
    }
}
