//! A burst of launches delays the master's events.

use std::time::{Duration, Instant};

use super::call_queue::BURST;

/// How long the master's events wait for a burst at most.
const MAX_DELAY: Duration = Duration::from_secs(3);

/// Whether a burst of launches is on its way to the disk or to the master. Its offers are held until then, and other frameworks
/// wait for the rest of them, so these launches come before the updates of earlier ones.
#[derive(Debug, Default)]
pub(super) struct LaunchBurst {
    since: Option<Instant>,
}

impl LaunchBurst {
    /// Takes the number of launches that are being written and of calls that are not answered.
    pub fn update(&mut self, open: usize, now: Instant) {
        self.since = (open >= BURST).then(|| self.since.unwrap_or(now));
    }

    /// Whether the master's events have to wait. The time is limited, because the disk may fail.
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
