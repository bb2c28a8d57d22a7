//! The current time of this machine's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use node::BootTime;

/// The current time of this machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock, for intervals.
    pub at: Instant,
    /// The clock that also counts while the machine is suspended, for the time of a node's clock.
    pub boot: BootTime,
    /// The system clock: seconds since the Unix epoch. It may be wrong, so headers go by the node's clock
    /// ([`node::NodeClock`]); only the built-in chain has no other.
    pub unix: u32,
    /// The system clock for records: milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl Now {
    /// Reads all clocks.
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            at: Instant::now(),
            boot: BootTime::now(),
            unix: u32::try_from(unix.as_secs()).unwrap_or(u32::MAX),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
impl Now {
    /// A time at which the system clock shows `unix`.
    pub fn with_unix(unix: u32) -> Self {
        Now { unix, unix_ms: u64::from(unix) * 1000, ..Now::read() }
    }

    /// A time this much later on all clocks.
    pub fn later(self, seconds: u32) -> Self {
        let passed = std::time::Duration::from_secs(seconds.into());
        let (unix, unix_ms) = (self.unix + seconds, self.unix_ms + u64::from(seconds) * 1000);
        Now { at: self.at + passed, boot: self.boot + passed, unix, unix_ms }
    }
}
