//! When a stream that says nothing is to be taken for dead.

use std::time::Duration;

use tokio::time::Instant;

/// Counts heartbeats that did not come. Pure: it is told the time.
#[derive(Debug, Clone)]
pub struct Watchdog {
    interval: Option<Duration>,
    missed: u32,
    heard: Instant,
    /// Until when something may still turn up that had already arrived when the time was over.
    last_look: Option<Instant>,
}

/// Enough for a reader that was busy, or a process that was stopped, to find what lies in its socket.
const LAST_LOOK: Duration = Duration::from_secs(1);

impl Watchdog {
    /// Expects something every `interval` (`None`: never), and gives up after `missed` of them.
    pub fn new(interval: Option<Duration>, missed: u32, now: Instant) -> Self {
        Self { interval, missed, heard: now, last_look: None }
    }

    /// From now on something is expected every `interval` (`None`: never).
    pub fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    /// Something came.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.last_look = None;
    }

    /// The time is over: whether to look once more, until a new deadline, before taking the stream for dead.
    pub fn look_again(&mut self, now: Instant) -> bool {
        let first = self.last_look.is_none();
        self.last_look.get_or_insert(now + LAST_LOOK.min(self.interval.unwrap_or(LAST_LOOK)));
        first
    }

    /// The silence that is too long.
    pub fn limit(&self) -> Option<Duration> {
        self.interval.map(|interval| interval.saturating_mul(self.missed))
    }

    /// When the silence will have been too long.
    pub fn deadline(&self) -> Option<Instant> {
        let limit = self.limit()?;
        self.last_look.or_else(|| self.heard.checked_add(limit))
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

    #[test]
    fn looks_once_more_before_it_gives_up() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut watchdog = Watchdog::new(Some(15 * second), 5, start);
        let late = start + 100 * second;
        assert!(watchdog.look_again(late));
        assert_eq!(watchdog.deadline(), Some(late + second));
        assert!(!watchdog.look_again(late + second));
        watchdog.heard(late);
        assert_eq!(watchdog.deadline(), Some(late + 75 * second));
        assert!(watchdog.look_again(late + 75 * second));
    }
}
