//! `cargo xtask kill`: the host is killed with SIGKILL under writes, hundreds of times, on SQLite and on PostgreSQL, and everything is looked for that it had acknowledged.

use std::cell::Cell;
use std::time::{Duration, Instant};

use wharf_harness::kill::{Counts, kill_under_writes};
use wharf_harness::postgres::Postgres;
use wharf_harness::programs;

use crate::stop::Stop;
use crate::{cargo, packages, step};

/// How often to say how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// Kills the host `runs` times on each database.
///
/// # Errors
///
/// Something was lost, which ends it; PostgreSQL is missing and cannot be installed; or we were asked to stop.
pub(crate) fn run(runs: u64, stop: &Stop) -> anyhow::Result<()> {
    packages::ensure(&[programs::POSTGRES], "which `cargo xtask kill` needs", stop)?;
    let binary = cargo::build_host(stop)?;
    let components = cargo::build_components(&["guest-storage".to_owned()], stop)?;
    let component = components.first().map(|path| path.display().to_string()).unwrap_or_default();
    let kill = |database: &str, storage: &str| -> anyhow::Result<Counts> {
        step(&format!("killing the host {runs} times under writes on {database}"));
        let said = Cell::new(Instant::now());
        kill_under_writes(&binary, &component, storage, runs, |counts| {
            if said.get().elapsed() >= PROGRESS {
                said.set(Instant::now());
                println!("    {} kills, {} acknowledged writes, none lost", counts.kills, counts.acknowledged);
            }
        })
    };
    let sqlite = kill("SQLite", "")?;
    stop.check()?;
    let server = Postgres::start()?;
    let postgres = kill("PostgreSQL", &format!("[storage]\nurl = \"{}\"\n", server.url()))?;
    println!("\n| database | kills | acknowledged writes | of them lost | not acknowledged, and there |");
    println!("|---|---:|---:|---:|---:|");
    for (database, counts) in [("SQLite", sqlite), ("PostgreSQL", postgres)] {
        println!("| {database} | {} | {} | 0 | {} |", counts.kills, counts.acknowledged, counts.unacknowledged);
    }
    Ok(())
}
