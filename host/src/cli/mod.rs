//! The command line: what the program can be asked to do.
//!
//! Each command is a file. A command answers an [`ExitCode`] or an error, which `main` prints with its causes; nothing below exits by itself.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod check;
mod inspect;
mod logging;
mod serve;

/// Serves the HTTP APIs of a container site from sandboxed WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the sites of a configuration until SIGINT or SIGTERM. SIGHUP reads the configuration again.
    Serve(ServeArguments),
    /// Read a configuration, load every plugin, show imports beside grants, and serve nothing.
    Check(ConfigArgument),
    /// Look at components.
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Show what a component imports, exports and says of itself, without giving it any power.
    Inspect {
        /// The component.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct ServeArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Serve only the site of this name.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Serve the native routes of the benchmark too.
    #[arg(long, hide = true)]
    bench_routes: bool,
}

#[derive(Debug, Args)]
struct ConfigArgument {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "wharf.toml")]
    config: PathBuf,
}

/// Carries out what was asked for.
///
/// # Errors
///
/// Why it could not be, for `main` to print.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments.config),
        Command::Plugin { command: PluginCommand::Inspect { file } } => inspect::run(&file),
    }
}
