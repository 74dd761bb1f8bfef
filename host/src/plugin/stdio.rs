//! A guest's standard output and standard error: lines in the host's log.
//!
//! A guest asks for its streams once and keeps them, while the requests that it serves come and go. A line belongs to the request in whose span it is written, like everything else that
//! a guest does; what is left of an unfinished line is written when its request ends, however it ends. A line that is longer than one of the log may be becomes several, each of which counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::backend::lines::LineMeter;
use crate::bindings::wharf::log::log::Level;
use crate::capability::log::{LogCtxView, MAX_LINE_BYTES};

/// What a guest may write in one go.
const WRITE_BUDGET_BYTES: usize = 64 * 1024;

/// What an instance writes.
pub(crate) struct Stdio {
    meter: Arc<LineMeter>,
    /// The unfinished lines of standard output and standard error.
    partial: [Mutex<Vec<u8>>; 2],
}

/// Which of the two.
#[derive(Clone, Copy)]
pub(crate) enum Output {
    /// Logged as `info`.
    Stdout,
    /// Logged as `warn`.
    Stderr,
}

impl Stdio {
    /// Output that is counted by `meter`.
    pub(crate) fn new(meter: Arc<LineMeter>) -> Arc<Stdio> {
        Arc::new(Stdio { meter, partial: [Mutex::default(), Mutex::default()] })
    }

    /// Writes what is left of unfinished lines.
    pub(crate) fn finish(&self) {
        for output in [Output::Stdout, Output::Stderr] {
            let rest = std::mem::take(&mut *self.partial(output));
            self.line(output, &rest);
        }
    }

    /// The stream for a guest.
    pub(crate) fn stream(self: &Arc<Self>, output: Output) -> GuestOutput {
        GuestOutput { stdio: Arc::clone(self), output }
    }

    fn write(&self, output: Output, bytes: &[u8]) {
        let mut partial = self.partial(output);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let mut rest = text;
            while !rest.is_empty() {
                if partial.len() == MAX_LINE_BYTES {
                    let end = last_boundary(&partial);
                    self.line(output, partial.get(..end).unwrap_or_default());
                    partial.drain(..end);
                }
                let (now, later) = rest.split_at(rest.len().min(MAX_LINE_BYTES - partial.len()));
                partial.extend_from_slice(now);
                rest = later;
            }
            if text.len() < part.len() {
                self.line(output, &partial);
                partial.clear();
            }
        }
    }

    fn line(&self, output: Output, line: &[u8]) {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return;
        }
        let level = match output {
            Output::Stdout => Level::Info,
            Output::Stderr => Level::Warn,
        };
        LogCtxView { meter: &self.meter }.write(level, &String::from_utf8_lossy(line), &[]);
    }

    fn partial(&self, output: Output) -> MutexGuard<'_, Vec<u8>> {
        let [stdout, stderr] = &self.partial;
        match output {
            Output::Stdout => lock(stdout),
            Output::Stderr => lock(stderr),
        }
    }
}

/// Where the last whole character of `text` ends, if it is UTF-8; otherwise where `text` ends. Never zero for text with something in it.
fn last_boundary(text: &[u8]) -> usize {
    match text.utf8_chunks().last() {
        Some(chunk) if (1..text.len().min(4)).contains(&chunk.invalid().len()) => text.len() - chunk.invalid().len(),
        _ => text.len(),
    }
}

impl Drop for Stdio {
    /// An instance that is dropped in the middle of a request has said something too.
    fn drop(&mut self) {
        self.finish();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of a guest's two output streams.
#[derive(Clone)]
pub(crate) struct GuestOutput {
    stdio: Arc<Stdio>,
    output: Output,
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Asked for by WASI 0.3 only, which is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.stdio.write(self.output, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BUDGET_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that the log gets of `writes`, at most `lines_per_second` of them, and in the end what is left.
    fn logged(lines_per_second: u64, writes: &[&[u8]]) -> Vec<String> {
        let (log, lines) = crate::testing::log();
        tracing::dispatcher::with_default(&log, || {
            let stdio = Stdio::new(Arc::new(LineMeter::new(lines_per_second)));
            writes.iter().for_each(|bytes| stdio.write(Output::Stdout, bytes));
        });
        lines.messages()
    }

    #[test]
    fn output_is_logged_line_by_line_and_the_last_one_needs_no_end() {
        assert_eq!(logged(9, &[b"one\ntwo\r\n\nthr", b"ee\nfour"]), ["one", "two", "three", "four"]);
    }

    #[test]
    fn a_long_line_becomes_several_and_loses_nothing() {
        let text = format!("x{}", "ä".repeat(MAX_LINE_BYTES));
        let lines = logged(9, &[text.as_bytes()]);
        assert_eq!((lines.len(), lines.concat()), (3, text));
        let invalid = logged(9, &[&[0xff; MAX_LINE_BYTES + 1]]);
        assert_eq!(invalid.len(), 2);
    }

    #[test]
    fn output_over_the_limit_is_dropped() {
        assert_eq!(logged(2, &[b"one\ntwo\nthree\n"]), ["one", "two"]);
    }

    #[test]
    fn output_cannot_steer_a_terminal() {
        assert_eq!(logged(9, &[b"a\rb\x1b[2Jc"]), ["a\\rb\\u{1b}[2Jc"]);
    }
}
