//! Being asked to stop: Ctrl-C, SIGTERM, or a terminal that was closed.
//!
//! A signal sets a flag and nothing else. Whoever waits looks at it, hands [`Asked`] up as an error, and everything that was started is stopped on the way,
//! in order. What we start is in groups of its own, so Ctrl-C reaches nobody but us: an engine does not end before the host that uses it, and `dpkg`
//! is not torn out of an installation.

use std::fmt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use wharf_harness::poll;
use wharf_harness::process::Process;

/// Whether we were asked to stop, and how: the last signal's number, or 0.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicUsize>);

/// A command ends early because we were asked to stop.
#[derive(Debug)]
pub(crate) struct Asked;

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked to stop")
    }
}

impl std::error::Error for Asked {}

impl Stop {
    /// From now on the signals only set the flag.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub(crate) fn listen() -> anyhow::Result<Stop> {
        let flag = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&flag), signal.try_into()?)?;
        }
        Ok(Stop(flag))
    }

    /// Whether we were asked.
    pub(crate) fn asked(&self) -> bool {
        self.exit_code().is_some()
    }

    /// Goes on only if we were not asked.
    ///
    /// # Errors
    ///
    /// We were.
    pub(crate) fn check(&self) -> Result<(), Asked> {
        if self.asked() { Err(Asked) } else { Ok(()) }
    }

    /// Why a step that asks an engine failed with `error`: a signal breaks off the request that is under way, which is no failure of the engine's.
    ///
    /// # Errors
    ///
    /// Always: [`Asked`] if we were asked, and else `error`.
    pub(crate) fn reason_of<T>(&self, error: anyhow::Error) -> anyhow::Result<T> {
        self.check()?;
        Err(error)
    }

    /// What a shell expects of a program that a signal ended: 128 and the signal's number, 130 for Ctrl-C. None if we were not asked.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        let signal = self.0.load(Ordering::SeqCst);
        u8::try_from(signal).ok().filter(|signal| *signal > 0).map(|signal| signal.saturating_add(128))
    }

    /// Waits for the end of `process`; none if we were asked to stop before.
    ///
    /// # Errors
    ///
    /// The system cannot say whether it ended.
    pub(crate) fn wait_for(&self, process: &mut Process) -> anyhow::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = process.ended()? {
                return Ok(Some(status));
            }
            if self.asked() {
                return Ok(None);
            }
            poll(Duration::from_secs(60), || Ok((self.asked() || process.ended()?.is_some()).then_some(())))?;
        }
    }
}
