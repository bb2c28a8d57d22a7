//! When a stream that says nothing is to be taken for dead.

use std::time::Duration;

use tokio::time::Instant;

/// Counts heartbeats that did not come. Pure: it is told the time.
#[derive(Debug, Clone)]
pub struct Watchdog {
    interval: Option<Duration>,
    missed: u32,
    heard: Instant,
}

impl Watchdog {
    /// Expects something every `interval` (`None`: never), and gives up after `missed` of them.
    pub fn new(interval: Option<Duration>, missed: u32, now: Instant) -> Self {
        Self { interval, missed, heard: now }
    }

    /// From now on something is expected every `interval` (`None`: never).
    pub fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    /// Something came.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The silence that is too long.
    pub fn limit(&self) -> Option<Duration> {
        self.interval.map(|interval| interval.saturating_mul(self.missed))
    }

    /// When the silence will have been too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.heard.checked_add(self.limit()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_after_the_last_missed_heartbeat() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(15)), 5, start);
        assert_eq!(watchdog.deadline(), Some(start + Duration::from_secs(75)));
        watchdog.heard(start + Duration::from_secs(10));
        watchdog.set_interval(Some(Duration::from_secs(2)));
        assert_eq!(watchdog.deadline(), Some(start + Duration::from_secs(20)));
        watchdog.set_interval(None);
        assert_eq!(watchdog.deadline(), None);
        watchdog.set_interval(Some(Duration::MAX));
        assert_eq!(watchdog.deadline(), None);
    }
}
