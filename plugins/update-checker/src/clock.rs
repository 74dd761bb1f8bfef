//! The time, which tests set.

use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(test)]
std::thread_local! {
    static SET: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// Now, in milliseconds since 1970 (UTC).
pub(crate) fn now_ms() -> u64 {
    #[cfg(test)]
    if let Some(now_ms) = SET.get() {
        return now_ms;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Lets it be `now_ms` on this thread.
#[cfg(test)]
pub(crate) fn set(now_ms: u64) {
    SET.set(Some(now_ms));
}
