//! Numbers as SQLite has them: signed, with 63 bits.

use std::time::{SystemTime, UNIX_EPOCH};

/// A count beyond SQLite's integers can only come from a peer that lies.
pub(super) fn integer(n: u64) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

/// The other way round.
pub(super) fn unsigned(n: i64) -> u64 {
    n.try_into().unwrap_or(0)
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
