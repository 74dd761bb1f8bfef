//! The program `wharf`: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use wharf_host::cli;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // The one place where a chain of causes is printed.
            let _ = writeln!(std::io::stderr(), "wharf: {error:#}");
            ExitCode::FAILURE
        }
    }
}
