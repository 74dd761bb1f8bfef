//! The command line: what the program can be asked to do.
//!
//! Each command is a file. A command answers an [`ExitCode`] or an error, which `main` prints with its causes; nothing below exits by itself.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod check;
mod inspect;
mod logging;
mod password;
mod serve;
mod user;

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
    /// Look after the users of a site that its database has. Those of the configuration are looked after there.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Ask for a password and print its hash, for `password_hash` of a `[[site.user]]`.
    HashPassword,
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

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user. The password is asked for at the terminal, or is the first line of the standard input.
    Add {
        /// The name.
        name: String,
        /// A role; may be given several times.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        #[command(flatten)]
        site: SiteArguments,
    },
    /// List the users, those of the configuration too.
    List {
        #[command(flatten)]
        site: SiteArguments,
    },
    /// Remove a user, and end all sessions and tokens of theirs. The number is never given again.
    Remove {
        /// The name.
        name: String,
        /// Also if it is the last user, without whom the site lets everyone in.
        #[arg(long)]
        open_site: bool,
        #[command(flatten)]
        site: SiteArguments,
    },
    /// Give a user another password, asked for as by `add`, and end all sessions and tokens of theirs.
    Password {
        /// The name.
        name: String,
        #[command(flatten)]
        site: SiteArguments,
    },
}

#[derive(Debug, Args)]
struct SiteArguments {
    /// The site; may be left out where the configuration has only one.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    #[command(flatten)]
    config: ConfigArgument,
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
        Command::User { command } => user::run(command),
        Command::HashPassword => password::run(),
        Command::Plugin { command: PluginCommand::Inspect { file } } => inspect::run(&file),
    }
}
