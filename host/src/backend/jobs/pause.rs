//! How long a job waits after a failure. Pure: chance is passed in.

use std::time::Duration;

/// About how long it waits after the first failure. Each further pause is twice as long.
const FIRST: Duration = Duration::from_secs(10);

/// About the longest pause.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The pause after the attempt `attempt` (1 for the first) has failed. `chance`, from 0 to 1, moves it by up to a fifth either way, so that jobs which failed together do not come back together.
pub(crate) fn pause(attempt: u32, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST).mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(attempt: u32, chance: f64, secs: u64) {
        assert_eq!(pause(attempt, chance).as_millis(), u128::from(secs) * 1_000, "{attempt}");
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_differ_by_a_fifth() {
        for (attempt, secs) in [(1, 10), (2, 20), (3, 40), (9, 2_560), (10, 3_600), (33, 3_600), (100, 3_600)] {
            check(attempt, 0.5, secs);
        }
        check(1, 0.0, 8);
        check(1, 1.0, 12);
        check(0, 0.5, 10);
    }
}
