//! `cargo xtask run`, `cargo xtask test`, `cargo xtask bench`: everything that a fresh machine needs, done or said.
//!
//! A command installs what is missing where it can (as root on Debian), shows each step before it does it, and stops whatever it started. It
//! is a crate of the workspace and not a script, so that it is checked, tested and read like the rest.
//!
//! The exit code is 0, 1 for a failure, 2 for wrong arguments, and 128 and the signal's number when it was asked to stop: 130 after Ctrl-C, `run` included.

mod bench;
mod cargo;
mod configuration;
mod crash;
mod engine;
mod fuzz;
mod kill;
mod lock;
mod packages;
mod run;
mod stop;
mod test;
mod toolchain;
mod wrk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::stop::{Asked, Stop};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Builds, runs, tests and measures Wharf")]
#[command(arg_required_else_help = true, flatten_help = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds host and plugins and serves the default site, with an engine of its own if none answers. Ctrl-C stops everything.
    Run {
        /// The configuration to serve.
        #[arg(long, value_name = "FILE", default_value = "wharf.toml")]
        config: PathBuf,
        /// Where a private engine keeps its images and containers. A later run finds them there.
        #[arg(long, value_name = "FOLDER", default_value = "wharf-data")]
        data_dir: PathBuf,
    },
    /// Installs what compiling and testing need, and nothing else. `test` does it itself.
    Prepare(TestArguments),
    /// Runs every test. What is left out is listed in the end.
    Test(TestArguments),
    /// Kills the host under writes, again and again, and looks whether everything is there that it had acknowledged.
    Kill {
        /// How often, on each database. Each time takes about a second.
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
        runs: u64,
    },
    /// Recreates containers while the host is killed and the engine fails, again and again, and looks whether everything is there.
    Crash {
        /// How often, on each engine. Each time takes a few seconds; 301 are needed for every call in every way.
        #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        runs: u64,
        /// A binary of the host that is there already, instead of building one for use.
        #[arg(long)]
        host: Option<PathBuf>,
    },
    /// Feeds what is read of strangers with whatever libFuzzer finds, and keeps what it found in `target/fuzz`.
    Fuzz {
        /// How long each target takes.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// Only this target: `catalog-filter` or `portable-sql`.
        #[arg(long)]
        target: Option<String>,
    },
    /// What `bench catalog` compares with.
    #[command(hide = true)]
    ServeNatively { folder: PathBuf },
    /// Measures, and prints a table.
    #[command(arg_required_else_help = true, flatten_help = true, disable_help_subcommand = true)]
    Bench {
        #[command(subcommand)]
        subject: Bench,
    },
}

/// What every measurement takes.
#[derive(clap::Args)]
struct BenchArguments {
    /// Writes what the tables show to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(clap::Args)]
struct TestArguments {
    /// Leaves out the tests that need a Docker engine or a registry.
    #[arg(long)]
    skip_engine: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// Creating, loading and listing in a catalogue of 100,000 images, on both databases, beside the same questions without the host.
    Catalog {
        #[command(flatten)]
        arguments: BenchArguments,
        /// How often each row is measured. A round takes about ten seconds.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=40))]
        rounds: u8,
    },
    /// Requests per second of native handlers and of plugins on one listener, start-up time, memory.
    Http {
        #[command(flatten)]
        arguments: BenchArguments,
        /// How long each of the 36 measurements takes.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// Images per second whose digests the host learns from registries that are 20 ms away, connections and requests.
    Registry {
        #[command(flatten)]
        arguments: BenchArguments,
        /// How often each row is measured. A round takes fifteen seconds.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=40))]
        rounds: u8,
    },
    /// How long it takes to know of 200 containers whether they are outdated, what that asks of the engine and the registry, and how long a container is away while it is replaced.
    Updates {
        #[command(flatten)]
        arguments: BenchArguments,
        /// How often each row is measured. A round takes ten seconds.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=40))]
        rounds: u8,
    },
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let (outcome, signal) = match Stop::listen() {
        Ok(stop) => (carry_out(command, &stop), stop.exit_code()),
        Err(error) => (Err(error), None),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if error.is::<Asked>() {
        step("stopped");
    } else {
        eprintln!("error: {error:#}");
    }
    signal.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn carry_out(command: Command, stop: &Stop) -> anyhow::Result<()> {
    match command {
        Command::Run { config, data_dir } => run::run(&config, &data_dir, stop),
        Command::Prepare(TestArguments { skip_engine }) => test::prepare(skip_engine, stop),
        Command::Test(TestArguments { skip_engine }) => test::run(skip_engine, stop),
        Command::Kill { runs } => kill::run(runs, stop),
        Command::Crash { runs, host } => crash::run(usize::try_from(runs)?, host, stop),
        Command::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref(), stop),
        Command::ServeNatively { folder } => bench::serve_natively(&folder),
        Command::Bench { subject } => {
            bench::built_for_use()?;
            match subject {
                Bench::Catalog { arguments, rounds } => bench::catalog(arguments.json.as_deref(), usize::from(rounds), stop),
                Bench::Http { arguments, seconds } => bench::http(arguments.json.as_deref(), seconds, stop),
                Bench::Registry { arguments, rounds } => bench::registry(arguments.json.as_deref(), usize::from(rounds), stop),
                Bench::Updates { arguments, rounds } => bench::updates(arguments.json.as_deref(), usize::from(rounds), stop),
            }
        }
    }
}

/// Says what is being done.
fn step(what: &str) {
    println!("==> {what}");
}
