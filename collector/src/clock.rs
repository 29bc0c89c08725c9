//! The one clock of the collector. What must be the same on every run takes its time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time, ns since 1970.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
