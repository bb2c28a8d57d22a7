//! A burst of launches comes before what the master says.

use std::time::{Duration, Instant};

use super::call_queue::BURST;

/// So long at most the master's events wait for a burst to be sent.
const LAUNCHES_FIRST: Duration = Duration::from_secs(3);

/// Whether a burst of launches is on its way to the disk or to the master. The offers are held meanwhile, and others wait for what of them is
/// left, so these launches come before the updates of those that were sent already.
#[derive(Debug, Default)]
pub(super) struct Launching {
    since: Option<Instant>,
}

impl Launching {
    /// So many launches are being written down, or calls are not answered.
    pub fn note(&mut self, open: usize, now: Instant) {
        self.since = (open >= BURST).then(|| self.since.unwrap_or(now));
    }

    /// Whether the master's events wait. Not for long: the disk may refuse.
    pub fn comes_first(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) < LAUNCHES_FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_launches_comes_first_but_not_for_ever() {
        let (mut launching, begin) = (Launching::default(), Instant::now());
        launching.note(BURST - 1, begin);
        assert!(!launching.comes_first(begin), "few launches are no burst");
        launching.note(BURST, begin);
        launching.note(10 * BURST, begin + LAUNCHES_FIRST / 2);
        assert!(launching.comes_first(begin + LAUNCHES_FIRST / 2));
        assert!(!launching.comes_first(begin + LAUNCHES_FIRST), "the disk refuses");
        launching.note(0, begin + LAUNCHES_FIRST);
        launching.note(BURST, begin + LAUNCHES_FIRST);
        assert!(launching.comes_first(begin + LAUNCHES_FIRST), "the next burst");
    }
}
