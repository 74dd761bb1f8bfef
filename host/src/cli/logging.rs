//! Where log lines go, and how they look: standard error, for people or as JSON.
//!
//! Every line of a request carries the fields of its span: the request's id, the site, the plugin and its generation.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::settings::LogFormat;

/// Begins to log. `RUST_LOG` wins over `filter`; one that cannot be read is said and done without.
pub(super) fn start(format: LogFormat, filter: &str) {
    let from_environment = EnvFilter::try_from_default_env();
    let filter = from_environment.unwrap_or_else(|_| EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_timer(SystemTime);
    // A second start, as in a test, keeps the first.
    let _ = match format {
        LogFormat::Pretty => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().with_current_span(true).with_span_list(false).try_init(),
    };
}
