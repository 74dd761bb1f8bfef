//! When a schedule has its turns: each so many minutes, or as a cron expression says. Pure.
//!
//! A turn has a *nominal* time, by which turns are counted, and is due a random time later, up to its jitter. Cron expressions have the five fields of crontab, and mean UTC unless a time zone is named: the
//! hosts of a site agree on it whatever their machines are set to.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 86_400 * SECOND_MS;

/// The longest interval.
const LONGEST_MS: u64 = 366 * DAY_MS;

/// How many turns of a cron expression are counted one by one, when a host was away for long. More are told as so many.
const COUNTED: u64 = 10_000;

/// When a schedule has its turns.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    when: When,
    jitter_ms: u64,
    /// Whether it has a turn when the host starts, too.
    pub(crate) at_start: bool,
}

#[derive(Debug, Clone)]
enum When {
    Every { interval_ms: u64 },
    Cron { expression: String, zone: Tz, cron: Box<Cron> },
}

/// What is said of a timing, key by key.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimingParts<'a> {
    pub(crate) every: Option<&'a str>,
    pub(crate) cron: Option<&'a str>,
    pub(crate) timezone: Option<&'a str>,
    pub(crate) jitter: Option<&'a str>,
    pub(crate) at_start: bool,
}

/// What is wrong with a timing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {reason}")]
pub(crate) struct TimingError {
    /// The key at which it is; that of another one where something is missing.
    pub(crate) key: &'static str,
    pub(crate) reason: String,
}

/// The turns up to a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turns {
    /// The nominal time of the last one.
    pub(crate) last_ms: u64,
    /// How many there were before that one.
    pub(crate) before: u64,
}

impl TryFrom<TimingParts<'_>> for Timing {
    type Error = TimingError;

    fn try_from(parts: TimingParts<'_>) -> Result<Timing, TimingError> {
        let TimingParts { every, cron, timezone, jitter, at_start } = parts;
        let wrong = |key, reason: String| TimingError { key, reason };
        let when = match (every, cron) {
            (Some(every), None) => {
                When::Every { interval_ms: duration(every).and_then(interval).map_err(|reason| wrong("every", reason))? }
            }
            (None, Some(expression)) => {
                let zone = timezone.unwrap_or("UTC");
                let zone = zone
                    .parse()
                    .map_err(|_| wrong("timezone", format!("there is no time zone `{zone}`; write one such as `Europe/Berlin`")))?;
                When::cron(expression, zone).map_err(|reason| wrong("cron", reason))?
            }
            (Some(_), Some(_)) => return Err(wrong("cron", "a schedule has `every` or `cron`, not both".to_owned())),
            (None, None) => return Err(wrong("every", "a schedule has `every`, such as `10m`, or `cron`, such as `0 4 * * *`".to_owned())),
        };
        if let (When::Every { .. }, Some(_)) = (&when, timezone) {
            return Err(wrong("timezone", "it is of use only beside `cron`".to_owned()));
        }
        let jitter_ms = jitter.map_or(Ok(0), duration).map_err(|reason| wrong("jitter", reason))?;
        match when {
            When::Every { interval_ms } if jitter_ms >= interval_ms => Err(wrong("jitter", "it is as long as the interval".to_owned())),
            _ if jitter_ms > DAY_MS => Err(wrong("jitter", "it is longer than a day".to_owned())),
            when => Ok(Timing { when, jitter_ms, at_start }),
        }
    }
}

fn interval(interval_ms: u64) -> Result<u64, String> {
    if (SECOND_MS..=LONGEST_MS).contains(&interval_ms) { Ok(interval_ms) } else { Err("it may be from `1s` to `366d`".to_owned()) }
}

/// `text`, numbers with units such as `90s` or `1h30m`, in milliseconds.
fn duration(text: &str) -> Result<u64, String> {
    let wrong = || "a time is a number with one of the units `s`, `m`, `h` and `d`, such as `90s` or `1h30m`".to_owned();
    let mut rest = text;
    let mut sum = Some(0_u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let mut letters = after.chars();
        let unit = match letters.next() {
            Some('s') => SECOND_MS,
            Some('m') => 60 * SECOND_MS,
            Some('h') => 3_600 * SECOND_MS,
            Some('d') => DAY_MS,
            _ => return Err(wrong()),
        };
        if number.is_empty() {
            return Err(wrong());
        }
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        sum = sum.zip(part).and_then(|(sum, part)| sum.checked_add(part));
        rest = letters.as_str();
    }
    if text.is_empty() {
        return Err(wrong());
    }
    sum.ok_or_else(|| "it is too long".to_owned())
}

impl When {
    fn cron(expression: &str, zone: Tz) -> Result<When, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let said = |error: croner::errors::CronError| {
            let reason = error.to_string();
            format!("`{expression}` is no cron expression of five fields: {}", reason.trim_end_matches('.'))
        };
        let cron = parser.parse(expression).map_err(said)?;
        let when = When::Cron { expression: expression.split_whitespace().collect::<Vec<_>>().join(" "), zone, cron: Box::new(cron) };
        // From a moment with a leap year ahead.
        match when.after(1_700_000_000_000) {
            Some(_) => Ok(when),
            None => Err(format!("`{expression}` never comes")),
        }
    }

    /// The first turn after `after_ms`; none if there is none.
    fn after(&self, after_ms: u64) -> Option<u64> {
        match self {
            When::Every { interval_ms } => after_ms.checked_add(*interval_ms),
            When::Cron { cron, zone, .. } => milliseconds(&cron.find_next_occurrence(&moment(after_ms, *zone)?, false).ok()?),
        }
    }
}

fn moment(milliseconds: u64, zone: Tz) -> Option<DateTime<Tz>> {
    Some(DateTime::<Utc>::from_timestamp_millis(i64::try_from(milliseconds).ok()?)?.with_timezone(&zone))
}

fn milliseconds(moment: &DateTime<Tz>) -> Option<u64> {
    u64::try_from(moment.timestamp_millis()).ok()
}

impl Timing {
    /// The nominal time of the first turn after that of another one, or after now; none if there is none.
    pub(crate) fn after(&self, nominal_ms: u64) -> Option<u64> {
        self.when.after(nominal_ms)
    }

    /// When the turn of `nominal_ms` is due. `chance` is from 0 to 1.
    pub(crate) fn due(&self, nominal_ms: u64, chance: f64) -> u64 {
        let jitter = Duration::from_millis(self.jitter_ms).mul_f64(chance.clamp(0.0, 1.0));
        nominal_ms.saturating_add(u64::try_from(jitter.as_millis()).unwrap_or(0))
    }

    /// The turns from that of `nominal_ms`, which is one, up to `now_ms`.
    pub(crate) fn turns(&self, nominal_ms: u64, now_ms: u64) -> Turns {
        if let When::Every { interval_ms } = self.when {
            let before = now_ms.saturating_sub(nominal_ms) / interval_ms;
            return Turns { last_ms: nominal_ms + before * interval_ms, before };
        }
        let mut turns = Turns { last_ms: nominal_ms, before: 0 };
        while let Some(next) = self.after(turns.last_ms).filter(|next| *next <= now_ms) {
            if turns.before == COUNTED {
                return Turns { last_ms: now_ms, ..turns };
            }
            turns = Turns { last_ms: next, before: turns.before + 1 };
        }
        turns
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.when {
            When::Cron { expression, zone: Tz::UTC, .. } => write!(formatter, "cron {expression}"),
            When::Cron { expression, zone, .. } => write!(formatter, "cron {expression} {zone}"),
            When::Every { interval_ms } => {
                formatter.write_str("every ")?;
                let mut rest = *interval_ms;
                for (unit, name) in [(DAY_MS, 'd'), (3_600 * SECOND_MS, 'h'), (60 * SECOND_MS, 'm'), (SECOND_MS, 's')] {
                    if rest >= unit {
                        write!(formatter, "{}{name}", rest / unit)?;
                        rest %= unit;
                    }
                }
                Ok(())
            }
        }
    }
}

impl PartialEq for Timing {
    fn eq(&self, other: &Timing) -> bool {
        (self.to_string(), self.jitter_ms, self.at_start) == (other.to_string(), other.jitter_ms, other.at_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-01-01T00:00:00Z, a Monday.
    const NEW_YEAR_MS: u64 = 1_704_067_200_000;

    fn every(interval: &str) -> Timing {
        TimingParts { every: Some(interval), ..TimingParts::default() }.try_into().unwrap()
    }

    fn cron(expression: &str, timezone: &str) -> Timing {
        TimingParts { cron: Some(expression), timezone: Some(timezone), ..TimingParts::default() }.try_into().unwrap()
    }

    #[track_caller]
    fn check_after(timing: &Timing, after: &str, expected: &str) {
        let ms = |text: &str| u64::try_from(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()).unwrap();
        let next = timing.after(ms(after)).map(|next| DateTime::<Utc>::from_timestamp_millis(i64::try_from(next).unwrap()).unwrap());
        assert_eq!(next.map(|next| next.to_rfc3339()), Some(expected.replace('Z', "+00:00")), "{timing}");
    }

    #[test]
    fn an_interval_is_counted_and_shown() {
        for (text, shown) in
            [("10m", "every 10m"), ("90s", "every 1m30s"), ("1h30m", "every 1h30m"), ("36h", "every 1d12h"), ("7d", "every 7d")]
        {
            assert_eq!(every(text).to_string(), shown);
        }
        check_after(&every("10m"), "2024-01-01T00:03:00Z", "2024-01-01T00:13:00Z");
    }

    #[test]
    fn a_cron_expression_means_its_time_zone() {
        check_after(&cron("0 4 * * *", "UTC"), "2024-01-01T04:00:00Z", "2024-01-02T04:00:00Z");
        check_after(&cron("0 4 * * *", "Europe/Berlin"), "2024-01-01T00:00:00Z", "2024-01-01T03:00:00Z");
        check_after(&cron("0 4 * * *", "Europe/Berlin"), "2024-07-01T00:00:00Z", "2024-07-01T02:00:00Z");
        check_after(&cron("*/15 9-17 * * MON-FRI", "UTC"), "2024-01-05T17:50:00Z", "2024-01-08T09:00:00Z");
        // The night in which half past two does not come, and the one in which it comes twice.
        check_after(&cron("30 2 * * *", "Europe/Berlin"), "2024-03-30T12:00:00Z", "2024-03-31T01:00:00Z");
        check_after(&cron("30 2 * * *", "Europe/Berlin"), "2024-10-26T12:00:00Z", "2024-10-27T00:30:00Z");
        check_after(&cron("30 2 * * *", "Europe/Berlin"), "2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z");
        assert_eq!(
            (cron("0  4 * * *", "UTC").to_string(), cron("@daily", "Asia/Tokyo").to_string()),
            ("cron 0 4 * * *".to_owned(), "cron @daily Asia/Tokyo".to_owned())
        );
    }

    #[track_caller]
    fn check_turns(timing: &Timing, nominal_ms: u64, now_ms: u64, last_ms: u64, before: u64) {
        assert_eq!(timing.turns(NEW_YEAR_MS + nominal_ms, NEW_YEAR_MS + now_ms), Turns { last_ms: NEW_YEAR_MS + last_ms, before });
    }

    #[test]
    fn turns_that_nobody_took_are_counted() {
        check_turns(&every("10s"), 0, 9_999, 0, 0);
        check_turns(&every("10s"), 0, 10_000, 10_000, 1);
        check_turns(&every("10s"), 5_000, 36_000, 35_000, 3);
        check_turns(&cron("* * * * *", "UTC"), 0, 59_999, 0, 0);
        check_turns(&cron("* * * * *", "UTC"), 0, 180_001, 180_000, 3);
        let long = 60_000 * (COUNTED + 500);
        check_turns(&cron("* * * * *", "UTC"), 0, long, long, COUNTED);
        check_turns(&every("1s"), 5_000, 0, 5_000, 0);
    }

    #[test]
    fn a_turn_is_due_within_its_jitter() {
        let timing: Timing = TimingParts { every: Some("10m"), jitter: Some("30s"), ..TimingParts::default() }.try_into().unwrap();
        assert_eq!([0.0, 0.5, 1.0].map(|chance| timing.due(1_000, chance)), [1_000, 16_000, 31_000]);
        assert_eq!(every("10m").due(1_000, 1.0), 1_000);
    }

    #[track_caller]
    fn check_wrong(parts: TimingParts<'_>, expected: &str) {
        let error = Timing::try_from(parts).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_is_no_timing_says_at_which_key() {
        let parts = TimingParts::default();
        check_wrong(parts, "`every`: a schedule has");
        check_wrong(TimingParts { every: Some("1h"), cron: Some("* * * * *"), ..parts }, "`cron`: a schedule has `every` or `cron`");
        for wrong in ["", "10", "m", "10 m", "10w", "-1s", "1h30"] {
            check_wrong(TimingParts { every: Some(wrong), ..parts }, "`every`: a time is a number");
        }
        for wrong in ["0s", "367d"] {
            check_wrong(TimingParts { every: Some(wrong), ..parts }, "`every`: it may be from");
        }
        check_wrong(TimingParts { every: Some("99999999999999999999d"), ..parts }, "`every`: it is too long");
        for wrong in ["", "x", "* * * *", "0 0 4 * * *", "60 * * * *", "* * 32 * *"] {
            check_wrong(TimingParts { cron: Some(wrong), ..parts }, "is no cron expression of five fields");
        }
        check_wrong(TimingParts { cron: Some("0 0 30 2 *"), ..parts }, "never comes");
        check_wrong(TimingParts { cron: Some("* * * * *"), timezone: Some("Mars"), ..parts }, "`timezone`: there is no time zone `Mars`");
        check_wrong(TimingParts { every: Some("1h"), timezone: Some("UTC"), ..parts }, "`timezone`: it is of use");
        check_wrong(TimingParts { every: Some("10s"), jitter: Some("10s"), ..parts }, "`jitter`: it is as long");
        check_wrong(TimingParts { cron: Some("* * * * *"), jitter: Some("25h"), ..parts }, "`jitter`: it is longer");
        check_wrong(TimingParts { every: Some("1h"), jitter: Some("x"), ..parts }, "`jitter`: a time is");
    }
}
