//! Being asked to stop: Ctrl-C or SIGTERM.
//!
//! The signals set a flag and nothing else. Whoever waits looks at it, and everything that was started is stopped by its value being dropped,
//! in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether we were asked to stop.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the signals only set the flag.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub(crate) fn listen() -> anyhow::Result<Stop> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Stop(flag))
    }

    /// Whether we were asked.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
