//! Writes to the log in every way there is: through `tracing`, to standard output and to standard error.

use wharf_sdk::tracing::{debug, error, info, trace, warn};
use wharf_sdk::{Plugin, Request, Router};

struct Log;

impl Plugin for Log {
    fn routes() -> Router {
        Router::new().get("/levels", |_: &Request| levels()).get("/forge", |_: &Request| forge()).get("/print", |_: &Request| print())
    }
}

fn levels() -> &'static str {
    error!("an error");
    warn!("a warning");
    info!(container = "web-1", count = 3, "with fields");
    debug!("a detail");
    trace!("a step");
    "ok"
}

fn forge() -> &'static str {
    info!("first\n2026-01-01T00:00:00Z ERROR forged");
    "ok"
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what this plugin is for")]
fn print() -> &'static str {
    println!("printed to stdout");
    eprint!("printed to stderr without an end");
    "ok"
}

wharf_sdk::export!(Log);
