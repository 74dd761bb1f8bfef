//! A guest's standard output and standard error: lines in the host's log.
//!
//! A guest asks for its streams once and keeps them, while the requests that it serves come and go. A line belongs to the request in whose span it is written, like everything else that
//! a guest does; what is left of an unfinished line is written when its request ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::bindings::wharf::log::log::Level;
use crate::capability::log::{LineMeter, LogCtxView, MAX_LINE_BYTES};

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
        let mut rest = bytes;
        while let Some((line, after)) = rest.iter().position(|byte| *byte == b'\n').and_then(|end| rest.split_at_checked(end)) {
            partial.extend_from_slice(line);
            self.line(output, &partial);
            partial.clear();
            rest = after.strip_prefix(b"\n").unwrap_or(after);
        }
        partial.extend_from_slice(rest);
        if partial.len() > MAX_LINE_BYTES {
            self.line(output, &partial);
            partial.clear();
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

    #[test]
    fn lines_are_cut_where_they_end_and_long_ones_where_they_must() {
        let stdio = Stdio::new(Arc::new(LineMeter::new(0)));
        stdio.write(Output::Stdout, b"one\ntwo\nthr");
        assert_eq!(*stdio.partial(Output::Stdout), b"thr");
        stdio.write(Output::Stdout, &[b'x'; 3 * MAX_LINE_BYTES]);
        assert!(stdio.partial(Output::Stdout).len() <= MAX_LINE_BYTES);
        stdio.finish();
        assert!(stdio.partial(Output::Stdout).is_empty());
    }
}
