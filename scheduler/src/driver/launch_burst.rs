//! A burst of launches delays the master's events.

use std::time::{Duration, Instant};

use super::call_queue::BURST;

/// The maximum time for which a burst of launches delays the master's events. Without this limit, the burst and the delay would
/// not end while writes to the disk fail.
const MAX_DELAY: Duration = Duration::from_secs(3);

/// Tracks whether a burst of launches is being written to the disk or sent to the master. Until the burst is over, other
/// frameworks cannot get the offered resources that the launches leave unused. To end the burst soon, the driver lets the
/// master's events wait.
#[derive(Debug, Default)]
pub(super) struct LaunchBurst {
    since: Option<Instant>,
}

impl LaunchBurst {
    /// Begins or ends the burst. `open` is the number of launches that are being written to the disk, plus the number of
    /// unanswered calls.
    pub fn update(&mut self, open: usize, now: Instant) {
        self.since = (open >= BURST).then(|| self.since.unwrap_or(now));
    }

    /// Whether the master's events have to wait, because a burst of launches has not ended. They wait at most [`MAX_DELAY`].
    pub fn delays_events(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) < MAX_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_launches_delays_events_but_not_for_ever() {
        let (mut burst, begin) = (LaunchBurst::default(), Instant::now());
        burst.update(BURST - 1, begin);
        assert!(!burst.delays_events(begin), "few launches are no burst");
        burst.update(BURST, begin);
        burst.update(10 * BURST, begin + MAX_DELAY / 2);
        assert!(burst.delays_events(begin + MAX_DELAY / 2));
        assert!(!burst.delays_events(begin + MAX_DELAY), "the disk fails");
        burst.update(0, begin + MAX_DELAY);
        burst.update(BURST, begin + MAX_DELAY);
        assert!(burst.delays_events(begin + MAX_DELAY), "the next burst");
    }
}
