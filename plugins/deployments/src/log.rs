//! `GET /deployments/{deployment}/log`: what a container wrote, both outputs as they came, without times.
//!
//! The log is handed back to the host unread, so its size does not matter here, and bytes that are no UTF-8 go out as they are. A parameter that this API does not
//! know is an error rather than ignored: whoever mistypes `lines` should not get a log of several gigabytes.

use std::time::{Duration, SystemTime};

use wharf_sdk::docker::containers_logs::{self, LogOptions};
use wharf_sdk::{Query, Request, Response};

use crate::failure::Failure;

pub(crate) fn read(request: &Request) -> Result<Response, Failure> {
    let options = options(request.query())?;
    let log = containers_logs::read(&request.param("deployment"), &options).map_err(Failure::of_container)?;
    Ok(Response::stream(log).header("content-type", "text/plain; charset=utf-8"))
}

/// Reads `lines`, or `since` and `until`; each at most once.
fn options(query: Query<'_>) -> Result<LogOptions, Failure> {
    let (mut lines, mut since, mut until) = (None, None, None);
    for (name, value) in query.pairs() {
        let parameter = match &*name {
            "lines" => &mut lines,
            "since" => &mut since,
            "until" => &mut until,
            _ => return Err(Failure::Malformed("the query has an unknown parameter")),
        };
        if parameter.replace(value).is_some() {
            return Err(Failure::Malformed("the query has a parameter twice"));
        }
    }
    if lines.is_some() && (since.is_some() || until.is_some()) {
        return Err(Failure::Malformed("the query has `lines` beside `since` or `until`"));
    }
    let time = |text: &str| parse_time(text).ok_or(Failure::Malformed("`since` or `until` is no time like 2020-11-20T09:55:26Z"));
    Ok(LogOptions {
        tail: match lines {
            Some(lines) => parse_tail(&lines).ok_or(Failure::Malformed("`lines` is no integer"))?,
            None => None,
        },
        since: since.as_deref().map(time).transpose()?,
        until: until.as_deref().map(time).transpose()?,
        ..LogOptions::default()
    })
}

/// How many lines, none for all: a negative number means all. The outer none is for what is no integer.
fn parse_tail(text: &str) -> Option<Option<u32>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More lines than fit into the number are more than any log has.
    let lines = digits.parse().unwrap_or(u32::MAX);
    Some((!negative || lines == 0).then_some(lines))
}

/// `YYYY-MM-DDTHH:MM:SSZ`, where all but the year may have one digit. A time before 1970 is 1970.
fn parse_time(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let year_digits = date.find('-')?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year_digits != 4 || year == 0 || day == 0 || day > days_in_month || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// Three numbers, each of at most so many digits.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut number = |digits: usize| {
        let part = parts.next()?;
        let fits = !part.is_empty() && part.len() <= digits && part.bytes().all(|byte| byte.is_ascii_digit());
        if fits { part.parse().ok() } else { None }
    };
    let [first, second, third] = digits;
    let numbers = [number(first)?, number(second)?, number(third)?];
    parts.next().is_none().then_some(numbers)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}
