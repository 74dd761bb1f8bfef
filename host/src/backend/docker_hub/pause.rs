//! A provider that could not be used is left alone for a while: as long as it says, within bounds, and else for [`USUAL`].
//!
//! Whoever asks meanwhile is told at once what it said, so that the next provider is asked without waiting for this one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Unusable;

/// How long, if it does not say: long enough that typing into a search field is not a request for each letter, short enough that nobody waits for long after a network came back.
const USUAL: Duration = Duration::from_secs(30);
/// The shortest pause that is kept to. The log has a line for each.
const LEAST: Duration = Duration::from_secs(5);
/// The longest. Docker Hub's limits are for minutes; who says hours is asked before.
const MOST: Duration = Duration::from_secs(600);

/// Whether one provider may be asked.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<Option<(Instant, Unusable)>>);

impl Pause {
    /// Answers nothing if the provider may be asked.
    ///
    /// # Errors
    ///
    /// What it said when it was asked last.
    pub(super) fn over(&self) -> Result<(), Unusable> {
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*paused {
            Some((until, why)) if *until > Instant::now() => Err(why.clone()),
            _ => {
                *paused = None;
                Ok(())
            }
        }
    }

    /// Leaves the provider `name` alone because of `why`.
    pub(super) fn begin(&self, name: &'static str, why: &Unusable) {
        let pause = length(why.retry_after);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now() + pause, why.clone()));
        tracing::warn!(provider = name, reason = why.reason, pause_secs = pause.as_secs(), "a provider of Docker Hub is left alone");
    }
}

fn length(retry_after: Option<Duration>) -> Duration {
    retry_after.map_or(USUAL, |asked| asked.clamp(LEAST, MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_as_long_as_the_provider_says_within_bounds() {
        let secs = |asked: Option<u64>| length(asked.map(Duration::from_secs)).as_secs();
        assert_eq!([None, Some(0), Some(42), Some(86_400)].map(secs), [30, 5, 42, 600]);
    }
}
