//! The clock of the machine, as what is kept and told has it.

use std::time::SystemTime;

/// Now, in milliseconds since 1970 (UTC); zero before.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
