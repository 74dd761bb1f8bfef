//! Where log lines go, and how they look: standard error, for people or as JSON.
//!
//! Every line of a request carries the fields of its span: the request's id, the site, the plugin and its generation.
//!
//! Nobody waits for the log. Lines are written by a thread of their own, many at a time when there are many; a request makes its line and leaves it there. When whoever reads standard error is so slow that
//! [`WAITING_LINES`] wait, further ones are lost, and a line says how many as soon as there is room.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Duration;

use tracing::Dispatch;
use tracing::dispatcher::set_global_default;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::settings::LogFormat;

/// Lines that may wait to be written: some seconds of a busy host's, and a few MiB.
const WAITING_LINES: usize = 16_384;

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 64 * 1024;

/// How long further lines are gathered after some were written: to wake the thread for a line takes longer than to make the line.
const GATHER: Duration = Duration::from_millis(5);

/// How often to look whether lines were lost.
const LOOK: Duration = Duration::from_secs(10);

/// The log. What was logged is written when it is dropped, as far as somebody takes it within a second.
pub(super) struct Log {
    lost: ErrorCounter,
    /// How many lost lines were spoken of.
    said: usize,
    _writer: WorkerGuard,
}

/// Begins to log. `RUST_LOG` wins over `filter`; one that cannot be read is said and done without.
pub(super) fn start(format: LogFormat, filter: &str) -> Log {
    let from_environment = EnvFilter::try_from_default_env();
    let filter = from_environment.unwrap_or_else(|_| EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info")));
    let (log, lines) = Log::new(io::stderr(), WAITING_LINES);
    // A second start, as in a test, keeps the first.
    let _ = set_global_default(dispatch(format, filter, io::stderr().is_terminal(), lines));
    log
}

/// What makes lines of events. `colour`: for a terminal.
fn dispatch<W>(format: LogFormat, filter: EnvFilter, colour: bool, lines: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Pretty => log.with(tracing_subscriber::fmt::layer().with_writer(lines).with_timer(SystemTime).with_ansi(colour)).into(),
        LogFormat::Json => log.with(json_subscriber::layer().with_writer(lines).with_timer(SystemTime).with_span_list(false)).into(),
    }
}

impl Log {
    fn new(out: impl Write + Send + 'static, waiting_lines: usize) -> (Log, NonBlocking) {
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(waiting_lines).thread_name("log");
        let (lines, writer) = builder.finish(Gathered(BufWriter::with_capacity(WRITE_BYTES, out)));
        (Log { lost: lines.error_counter(), said: 0, _writer: writer }, lines)
    }

    /// Says what was lost, whenever something was. Never ends.
    pub(super) async fn report_lost(&mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.say_lost();
        }
    }

    fn say_lost(&mut self) {
        let lost = self.lost.dropped_lines();
        if lost > self.said {
            tracing::warn!(lost = lost - self.said, "lost lines of the log, since nobody took them in time");
            // Unless this one was lost too.
            if self.lost.dropped_lines() == lost {
                self.said = lost;
            }
        }
    }
}

/// Where lines are gathered.
struct Gathered<W: Write>(BufWriter<W>);

impl<W: Write> Write for Gathered<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// The thread flushes whenever nothing more waits. What comes while it sleeps does not wake it.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        #[expect(clippy::disallowed_methods, reason = "the thread has nothing else to do, and nobody waits for it")]
        std::thread::sleep(GATHER);
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.say_lost();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Lines;
    use std::sync::mpsc;

    /// The log that `events` make, as people see it.
    fn pretty(colour: bool, events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let log = dispatch(LogFormat::Pretty, EnvFilter::new("trace"), colour, lines.clone());
        tracing::dispatcher::with_default(&log, events);
        lines.text()
    }

    #[test]
    fn nothing_that_is_logged_forges_a_line_or_steers_a_terminal() {
        let evil = "x\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}31m";
        let text = pretty(false, || {
            let span = tracing::info_span!("request", request_id = evil, plugin = evil);
            span.in_scope(|| tracing::info!(path = evil, error = ?io::Error::other(evil), "request"));
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("forged"), "{text}");
        let shown = text.trim_end();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }

    #[test]
    fn a_plugins_line_is_one_line_for_people_too() {
        use crate::backend::lines::LineMeter;
        use crate::bindings::wharf::log::log::Level;
        use crate::capability::log::LogCtxView;

        let evil = "x\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J";
        let text = pretty(false, || {
            let view = LogCtxView { meter: &LineMeter::new(9) };
            view.write(Level::Info, evil, &[(evil.to_owned(), evil.to_owned())]);
        });
        let shown = text.trim_end();
        assert!(shown.contains("forged") && !shown.chars().any(char::is_control), "{shown:?}");
    }

    /// A reader of the log that takes nothing until it is told to.
    struct Blocked(mpsc::Receiver<()>, Lines);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once the sender is gone nothing blocks any more.
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_stops_nobody_and_says_what_was_lost() {
        let (go, blocked) = mpsc::channel();
        let lines = Lines::default();
        let (mut log, writer) = Log::new(Blocked(blocked, lines.clone()), 10);
        // Too long to be kept by the thread that writes.
        let long = "x".repeat(WRITE_BYTES);
        tracing::dispatcher::with_default(&dispatch(LogFormat::Json, EnvFilter::new("info"), false, writer), || {
            (0..100).for_each(|_| tracing::info!(long, "a state"));
            drop(go);
            let began = std::time::Instant::now();
            while log.said == 0 && began.elapsed() < Duration::from_secs(10) {
                log.say_lost();
                std::thread::yield_now();
            }
            drop(log);
        });
        let written = lines.messages().iter().filter(|message| *message == "a state").count();
        let said = lines.json().into_iter().filter_map(|line| line["fields"]["lost"].as_u64()).sum::<u64>();
        assert!((10..=12).contains(&written) && said >= 100 - written as u64, "{written} written, {said} lost");
    }

    #[test]
    fn what_was_logged_is_written_before_the_end() {
        let lines = Lines::default();
        let (log, writer) = Log::new(lines.clone(), WAITING_LINES);
        tracing::dispatcher::with_default(&dispatch(LogFormat::Json, EnvFilter::new("info"), false, writer), || {
            (0..1_000).for_each(|_| tracing::info!("a state"));
        });
        drop(log);
        assert_eq!(lines.messages().len(), 1_000);
    }
}
