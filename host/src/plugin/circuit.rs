//! A plugin that traps each time is left alone for a while: each trap costs an instance, and a line in the log that nobody needs twenty times a second.
//!
//! It takes [`THRESHOLD`] failures with no answer between them, so that one bad path does not take the others of the plugin along. While the circuit is open requests are answered 503
//! with `Retry-After`; after each pause one request is let through to see. An answer, whatever its status, closes the circuit.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open the circuit.
const THRESHOLD: u32 = 20;

/// The first pause. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: an operator who mends what a plugin needs should not have to wait for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whether one plugin is called at all.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    /// Failures since the last answer. Below [`THRESHOLD`] nothing else is looked at.
    failures: AtomicU32,
    open: Mutex<Option<Open>>,
}

/// An open circuit.
#[derive(Debug)]
struct Open {
    /// When the next request is let through.
    until: Instant,
    pause: Duration,
}

impl Circuit {
    /// May the plugin be called at `now`?
    ///
    /// # Errors
    ///
    /// How long it will be left alone.
    pub(crate) fn pass(&self, now: Instant) -> Result<(), Duration> {
        if self.failures.load(Ordering::Relaxed) < THRESHOLD {
            return Ok(());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &mut *open else { return Ok(()) };
        if now < open.until {
            return Err(open.until - now);
        }
        // This request is the one that sees. Until it is answered the others wait for the next pause.
        open.pause = (open.pause * 2).min(LONGEST_PAUSE);
        open.until = now + open.pause;
        Ok(())
    }

    /// The plugin has answered.
    pub(crate) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.failures.swap(0, Ordering::Relaxed) >= THRESHOLD {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
            tracing::info!("the plugin answers again");
        }
    }

    /// The plugin has trapped, or no instance of it could be made.
    pub(crate) fn failed(&self, now: Instant) {
        if self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1) == THRESHOLD {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE });
            tracing::error!(failures = THRESHOLD, "the plugin failed each time; leaving it alone for a while");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(now: Instant) -> Circuit {
        let circuit = Circuit::default();
        (0..THRESHOLD).for_each(|_| circuit.failed(now));
        circuit
    }

    #[test]
    fn failures_with_an_answer_between_them_change_nothing() {
        let (circuit, now) = (Circuit::default(), Instant::now());
        for _ in 0..3 {
            (1..THRESHOLD).for_each(|_| circuit.failed(now));
            assert_eq!(circuit.pass(now), Ok(()));
            circuit.answered();
        }
    }

    #[test]
    fn after_each_pause_one_request_is_let_through_and_the_pauses_grow() {
        let now = Instant::now();
        let circuit = broken(now);
        assert_eq!(circuit.pass(now), Err(FIRST_PAUSE));
        let mut then = now + FIRST_PAUSE;
        for pause in [2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(circuit.pass(then), Ok(()));
            circuit.failed(then);
            assert_eq!(circuit.pass(then), Err(Duration::from_secs(pause)));
            then += Duration::from_secs(pause);
        }
    }

    #[test]
    fn an_answer_closes_it() {
        let now = Instant::now();
        let circuit = broken(now);
        assert_eq!(circuit.pass(now + FIRST_PAUSE), Ok(()));
        circuit.answered();
        assert_eq!(circuit.pass(now), Ok(()));
        circuit.failed(now);
        assert_eq!(circuit.pass(now), Ok(()));
    }
}
