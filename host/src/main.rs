//! The program `wharf`: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use wharf_host::cli;

/// A call's future and its records are a few KiB that come and go with each request, for which glibc's allocator goes its slow way.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
