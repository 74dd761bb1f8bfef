//! For unit tests: a log that can be read.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// Everything that was logged, in the order in which it was.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

/// A log for `tracing::dispatcher::with_default`, all levels as JSON, and what arrives in it.
///
/// A subscriber for everything is the process's default from the first call on: without one, a line that another thread is the first to reach while this log begins may be found to interest nobody, and
/// be left out here too.
pub(crate) fn log() -> (Dispatch, Lines) {
    static EVERYTHING: Once = Once::new();
    EVERYTHING.call_once(|| {
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    });
    let lines = Lines::default();
    let log = tracing_subscriber::registry().with(json_subscriber::layer().with_writer(lines.clone()));
    (log.into(), lines)
}

impl Lines {
    /// The bytes as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// The lines of a log of JSON.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The messages of a log of JSON.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.json().iter().map(|line| line["fields"]["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}
