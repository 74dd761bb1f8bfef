//! The load generator `wrk`, and its answer as numbers.
//!
//! wrk prints for people, in units that change with the value. Its script's last function gets the numbers themselves, so a script of ours
//! prints them as one line of JSON.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use wharf_harness::process::{output, search_path};

/// Prints one line of JSON at the end of a run. Times are microseconds.
pub(crate) const SCRIPT: &str = r#"function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local line = '{"per_second":%f,"p50_us":%f,"p99_us":%f,"failed":%d}\n'
  local per_second = summary.requests / summary.duration * 1000000
  io.write(string.format(line, per_second, latency:percentile(50), latency:percentile(99), failed))
end
"#;

/// What one run measured.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub(crate) struct Measurement {
    /// Answered requests for each second.
    pub(crate) per_second: f64,
    /// Half of the requests took no longer, in microseconds.
    pub(crate) p50_us: f64,
    /// 99 of 100 requests took no longer, in microseconds.
    pub(crate) p99_us: f64,
    /// Requests without an answer, or with a status of 400 or higher.
    pub(crate) failed: u64,
}

/// Asks `http://address/path` over `connections` connections at once for `seconds`.
///
/// # Errors
///
/// wrk cannot be run, or a request failed: then the numbers measure something else.
pub(crate) fn measure(script: &Path, address: SocketAddr, path: &str, connections: u64, seconds: u64) -> anyhow::Result<Measurement> {
    // One thread of wrk asks faster than two cores answer; on more, a quarter of them goes to asking.
    let cores = std::thread::available_parallelism()?.get() as u64;
    let threads = (cores / 4).clamp(1, connections);
    let mut command = Command::new("wrk");
    command.env("PATH", search_path(&[])?).args([
        format!("-t{threads}"),
        format!("-c{connections}"),
        format!("-d{seconds}s"),
        "-s".to_owned(),
    ]);
    let printed = output(command.arg(script).arg(format!("http://{address}{path}")))?;
    let line = printed.lines().find(|line| line.starts_with('{')).context("wrk printed no result")?;
    let measurement: Measurement = serde_json::from_str(line).context("wrk's result is not what our script prints")?;
    anyhow::ensure!(measurement.failed == 0, "{} requests for {path} failed with {connections} connections", measurement.failed);
    Ok(measurement)
}
