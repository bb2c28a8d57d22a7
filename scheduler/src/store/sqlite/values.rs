//! Numbers as SQLite has them: signed, with 64 bits.

use std::time::{SystemTime, UNIX_EPOCH};

/// The same bits: a count with 64 bits, which only a peer that lies can have, reads back as it was.
pub(super) fn integer(n: u64) -> i64 {
    n.cast_signed()
}

/// The other way round.
pub(super) fn unsigned(n: i64) -> u64 {
    n.cast_unsigned()
}

/// Milliseconds since the Unix epoch.
pub(in crate::store) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
