//! The current time of the monotonic clock and of the system clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The current time of the monotonic clock and of the system clock.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock, for intervals.
    pub at: Instant,
    /// The system clock for headers: seconds since the Unix epoch.
    pub unix: u32,
    /// The system clock for records: milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            at: Instant::now(),
            unix: u32::try_from(unix.as_secs()).unwrap_or(u32::MAX),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
