//! Decides when a silent stream is assumed to be dead.

use std::time::Duration;

use tokio::time::Instant;

/// Detects missed heartbeats. A pure state machine: the caller passes in the time.
#[derive(Debug, Clone)]
pub struct Watchdog {
    interval: Option<Duration>,
    missed: u32,
    /// When the last bytes arrived.
    last_bytes: Instant,
    /// After too long a silence, the caller tries once more to read until this time. If no bytes come, the stream is assumed to be
    /// dead. `None` while the silence is not too long.
    last_look: Option<Instant>,
}

/// How long the caller still looks for bytes once the silence has become too long. A reader that was busy, or a process that was
/// stopped, may not have read bytes that arrived at its socket in time.
const LAST_LOOK: Duration = Duration::from_secs(1);

impl Watchdog {
    /// Expects bytes every `interval` (`None`: never). The limit is `missed` intervals.
    pub fn new(interval: Option<Duration>, missed: u32, now: Instant) -> Self {
        Self { interval, missed, last_bytes: now, last_look: None }
    }

    /// From now on, expects bytes every `interval` (`None`: never).
    pub fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    /// Call this when bytes have arrived.
    pub fn on_bytes(&mut self, now: Instant) {
        self.last_bytes = now;
        self.last_look = None;
    }

    /// Call this when the deadline has passed. If it returns `true`, read once more until the new deadline. If it returns
    /// `false`, the stream is assumed to be dead.
    pub fn begin_last_look(&mut self, now: Instant) -> bool {
        let first = self.last_look.is_none();
        self.last_look.get_or_insert(now + LAST_LOOK.min(self.interval.unwrap_or(LAST_LOOK)));
        first
    }

    /// The longest silence that is allowed.
    pub fn limit(&self) -> Option<Duration> {
        self.interval.map(|interval| interval.saturating_mul(self.missed))
    }

    /// The time at which the silence becomes too long.
    pub fn next_deadline(&self) -> Option<Instant> {
        let limit = self.limit()?;
        self.last_look.or_else(|| self.last_bytes.checked_add(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_after_the_last_missed_heartbeat() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(15)), 5, start);
        assert_eq!(watchdog.next_deadline(), Some(start + Duration::from_secs(75)));
        watchdog.on_bytes(start + Duration::from_secs(10));
        watchdog.set_interval(Some(Duration::from_secs(2)));
        assert_eq!(watchdog.next_deadline(), Some(start + Duration::from_secs(20)));
        watchdog.set_interval(None);
        assert_eq!(watchdog.next_deadline(), None);
        watchdog.set_interval(Some(Duration::MAX));
        assert_eq!(watchdog.next_deadline(), None);
    }

    #[test]
    fn allows_a_last_look_before_it_gives_up() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut watchdog = Watchdog::new(Some(15 * second), 5, start);
        let late = start + 100 * second;
        assert!(watchdog.begin_last_look(late));
        assert_eq!(watchdog.next_deadline(), Some(late + second));
        assert!(!watchdog.begin_last_look(late + second));
        watchdog.on_bytes(late);
        assert_eq!(watchdog.next_deadline(), Some(late + 75 * second));
        assert!(watchdog.begin_last_look(late + 75 * second));
    }
}
