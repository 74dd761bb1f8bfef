//! `cargo xtask run`, `cargo xtask test`, `cargo xtask bench http`: everything that a fresh machine needs, done or said.
//!
//! A command installs what is missing where it can (as root on Debian), shows each step before it does it, and stops whatever it started. It
//! is a crate of the workspace and not a script, so that it is checked, tested and read like the rest.

mod bench;
mod cargo;
mod packages;
mod run;
mod stop;
mod test;
mod toolchain;
mod wrk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs, tests and measures Wharf")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds host and plugins and serves the default site, with an engine of its own if none answers. Ctrl-C stops everything.
    Run {
        /// The configuration to serve.
        #[arg(long, default_value = "wharf.toml")]
        config: PathBuf,
        /// Where a private engine keeps its images and containers.
        #[arg(long, default_value = "wharf-data")]
        data_dir: PathBuf,
    },
    /// Installs what compiling and testing need, and nothing else. `run` and `test` do it themselves.
    Prepare,
    /// Runs every test.
    Test {
        /// Leaves out the tests that need a Docker engine or a registry.
        #[arg(long)]
        skip_engine: bool,
    },
    /// Measures.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// Requests per second of native handlers and of plugins on one listener, start-up time, memory.
    Http {
        /// Writes what the tables show to this file.
        #[arg(long)]
        json: Option<PathBuf>,
        /// How long each of the 36 measurements takes.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run { config, data_dir } => run::run(&config, &data_dir),
        Command::Prepare => test::prepare(),
        Command::Test { skip_engine } => test::run(skip_engine),
        Command::Bench(Bench::Http { json, seconds }) => bench::http(json.as_deref(), seconds),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is being done.
fn step(what: &str) {
    println!("==> {what}");
}
