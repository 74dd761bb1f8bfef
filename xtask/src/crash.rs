//! `cargo xtask crash`: containers are recreated on real engines while the host is killed with SIGKILL and the engine fails, hundreds of times, and each time everything is looked at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wharf_harness::crash::{Event, KINDS, Kind, Plan, Stage, plans};
use wharf_harness::engine::{Engine, Network};
use wharf_harness::{newer, programs};

use crate::stop::Stop;
use crate::{cargo, packages, step};

/// How often to say how far it is.
const PROGRESS: Duration = Duration::from_secs(20);

/// What came of the runs of one kind.
#[derive(Default)]
struct Tally {
    runs: u64,
    kills: u64,
    replay_kills: u64,
    renewed: u64,
    longest: Duration,
}

/// Recreates so many times on each engine, on both at once: most of the time is spent waiting. `host` is the binary that is killed; none is one that is built first.
///
/// # Errors
///
/// Something was lost or left over, which ends it; a program is missing and cannot be installed; or we were asked to stop.
pub(crate) fn run(runs: usize, host: Option<PathBuf>, stop: &Stop) -> anyhow::Result<()> {
    packages::ensure(programs::ENGINE, "which `cargo xtask crash` needs", stop)?;
    let binary = host.map_or_else(|| cargo::build_host(stop), Ok)?;
    let components = cargo::build_components(&["guest-docker".to_owned()], stop)?;
    let component = components.first().map(|path| path.display().to_string()).unwrap_or_default();
    let starts: [fn() -> anyhow::Result<Engine>; 2] = [|| Engine::temporary(Network::Bridge), || newer::engine(Network::Bridge)];
    let (binary, component) = (&binary, component.as_str());
    let tables = std::thread::scope(|scope| {
        let engines = starts.map(|start| scope.spawn(move || on_engine(start, binary, component, runs, stop)));
        let tables = engines.into_iter().map(|engine| engine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        tables.collect::<anyhow::Result<Vec<_>>>()
    })?;
    println!(
        "\n| engine | container | runs | kills of the host | of them while it took up | on the new image | on the old one | longest way to rest | lost | left over |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (version, table) in &tables {
        for (kind, tally) in table {
            let Tally { runs, kills, replay_kills, renewed, longest } = tally;
            let (label, old, longest) = (kind.label(), runs - renewed, longest.as_secs_f64());
            println!("| {version} | {label} | {runs} | {kills} | {replay_kills} | {renewed} | {old} | {longest:.1} s | 0 | 0 |");
        }
    }
    Ok(())
}

fn on_engine(
    start: fn() -> anyhow::Result<Engine>,
    binary: &Path,
    component: &str,
    runs: usize,
    stop: &Stop,
) -> anyhow::Result<(String, BTreeMap<Kind, Tally>)> {
    stop.check()?;
    let engine = start()?;
    let version = engine.version()?;
    step(&format!("recreating containers {runs} times on engine {version}"));
    let mut stage = Stage::set(engine, binary, component)?;
    let mut calls = BTreeMap::new();
    for kind in KINDS {
        calls.insert(kind, stage.run(&Plan::new(kind, Event::None))?.calls.len());
    }
    let mut table: BTreeMap<Kind, Tally> = BTreeMap::new();
    let mut said = Instant::now();
    for (done, plan) in plans(&calls, runs).iter().enumerate() {
        stop.check()?;
        let outcome = stage.run(plan)?;
        let tally = table.entry(plan.kind).or_default();
        tally.runs += 1;
        tally.kills += outcome.kills;
        tally.replay_kills += outcome.replay_kills;
        tally.renewed += u64::from(outcome.renewed);
        tally.longest = tally.longest.max(outcome.rest);
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            let kills: u64 = table.values().map(|tally| tally.kills).sum();
            println!("    engine {version}: {} recreations, {kills} kills, nothing lost, nothing left over", done + 1);
        }
    }
    Ok((version, table))
}
