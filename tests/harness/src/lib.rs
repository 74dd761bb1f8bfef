//! Starts what the tests and `cargo xtask` need beside the host's own code: private engines, a registry, images, the host's binary.
//!
//! Everything here is blocking and returns `anyhow::Result`: the callers are tests, which unwrap, and commands, which print. A started thing
//! is a value; dropping it stops what it started, by process id, and waits. Nothing here listens or connects beyond this machine, but
//! for [`newer`] and [`python`], which ask Debian's mirror, and [`s3`], which asks PyPI.

pub mod bridge;
pub mod crash;
pub mod docker_hub;
pub mod engine;
pub mod engine_proxy;
pub mod fake_engine;
pub mod fault_proxy;
mod firewall;
pub mod guest;
pub mod http;
pub mod images;
pub mod kill;
pub mod newer;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod python;
pub mod registry;
pub mod s3;
pub mod wharf;

use std::time::{Duration, Instant};

/// Asks `probe` every 20 ms until it answers, at most for `limit`; none if it never did.
///
/// # Errors
///
/// Those of `probe`, which end the waiting.
pub fn poll<T>(limit: Duration, probe: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<Option<T>> {
    poll_every(Duration::from_millis(20), limit, probe)
}

/// As [`poll`], with `pause` between two questions.
///
/// # Errors
///
/// Those of `probe`, which end the waiting.
#[expect(clippy::disallowed_methods, reason = "the one pause between two looks; whoever waits comes here and names a cap")]
pub fn poll_every<T>(pause: Duration, limit: Duration, mut probe: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<Option<T>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = probe()? {
            return Ok(Some(answer));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(pause);
    }
}
