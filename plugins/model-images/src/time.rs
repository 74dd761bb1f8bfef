//! Times as this API writes them: in UTC, with six decimals, and with a space at the end where its original has the offset of a time that has none.

use jiff::Timestamp;

/// Now, as `1970-01-01 00:00:00.000000 `.
pub(crate) fn now() -> String {
    written(Timestamp::now())
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S.%6f ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_six_decimals_and_ends_in_a_space() {
        assert_eq!(written(Timestamp::UNIX_EPOCH), "1970-01-01 00:00:00.000000 ");
        assert_eq!(written("2020-11-20T08:24:37.92237199Z".parse().unwrap()), "2020-11-20 08:24:37.922371 ");
    }
}
