//! Times as this API writes them: RFC 3339 in UTC with six decimals, so that the texts sort as the times do.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

fn written(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Now.
pub(crate) fn now() -> String {
    written(Timestamp::now())
}

/// The time that `text` says: with an offset, or without one in UTC, or a day; none if it says none.
pub(crate) fn read(text: &str) -> Option<String> {
    let with_offset = text.parse::<Timestamp>().ok();
    let without = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned: Zoned| zoned.timestamp());
    with_offset.or_else(without).map(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(read(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        check("2020-11-20T08:24:37.9223712Z", Some("2020-11-20T08:24:37.922371Z"));
        check("2020-11-20T10:24:37+02:00", Some("2020-11-20T08:24:37.000000Z"));
        check("2020-11-20 08:24", Some("2020-11-20T08:24:00.000000Z"));
        check("2020-11-20", Some("2020-11-20T00:00:00.000000Z"));
        for text in ["", "yesterday", "2020-13-01", "1605861345"] {
            check(text, None);
        }
    }

    #[test]
    fn now_is_a_time() {
        let now = now();
        assert_eq!((read(&now).as_ref(), now.len()), (Some(&now), "2020-11-20T08:24:37.922371Z".len()));
    }
}
