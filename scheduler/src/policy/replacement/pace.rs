//! How fast workers are replaced.
//!
//! Workers are ended in batches, and new workers with the present options are launched in their place. A batch is 1 % of the
//! running workers, but at least one worker, and there is at most one batch a minute. When these new workers have begun to mine,
//! the next batch is ended. If they do not mine, the present options may be wrong. Then only one worker is replaced at a time,
//! after longer and longer pauses.
//!
//! The records have nothing of this. So a scheduler that has just started does not know whether the last batch of the one before
//! was replaced. Its first batch waits as long as a second one would, so restarts do not speed up the replacement. Unless a
//! worker with the present options mines, the first batch is only one worker.

use std::time::{Duration, Instant};

/// Minimum time between two batches.
const APART: Duration = Duration::from_secs(60);
/// The size of a batch is the number of running workers divided by this number, but at least 1.
const SHARE: usize = 100;
/// If the workers that replace a batch have not begun to mine after this time, no more workers are replaced for a while.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// If the workers that replace a batch do not mine, a pause follows before one more worker is replaced. The pauses grow from the
/// first of these times to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(6 * 3600));

/// Counts of workers that mine. Workers that were told to end are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    /// All workers that mine.
    pub all: usize,
    /// The workers that mine and need not be replaced.
    pub current: usize,
}

/// Workers that were told to end at the same time.
#[derive(Clone, Copy, Debug)]
struct Batch {
    at: Instant,
    /// The counts of mining workers just before this batch was told to end.
    before: Running,
    /// The number of workers in this batch that should each be replaced by a new worker.
    successors: usize,
    /// The number of workers in this batch that may remain without a replacement, because their agents may not suit a new worker.
    without_successor: usize,
}

impl Batch {
    /// Whether the workers that replace this batch have begun to mine. One of ten may be missing, since some agents may have gone
    /// meanwhile.
    fn is_replaced(&self, running: Running) -> bool {
        running.all + self.without_successor >= self.before.all
            || running.current >= self.before.current + self.successors - self.successors / 10
    }
}

/// The pace of replacements.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When this scheduler learned which tasks are there; `None` if it does not know yet.
    started: Option<Instant>,
    last: Option<Batch>,
    /// The number of batches in a row that failed, because the new workers in their place did not mine in time.
    failures: u32,
}

impl Pace {
    /// Records that this scheduler knows now which tasks are there.
    pub fn start(&mut self, now: Instant) {
        self.started.get_or_insert(now);
    }

    /// The number of workers that may be told to end now. `patience` is the time within which the workers that replace a batch
    /// must begin to mine.
    pub fn allowed(&mut self, running: Running, patience: Duration, now: Instant) -> usize {
        let share = (running.all / SHARE).max(1);
        let Some(last) = self.last else {
            let waits = self.started.is_none_or(|started| now.duration_since(started) < APART);
            let first = if running.current > 0 { share } else { 1 };
            return if waits { 0 } else { first };
        };
        let age = now.duration_since(last.at);
        if last.is_replaced(running) {
            self.failures = 0;
            return if age < APART { 0 } else { share };
        }
        if age >= patience && self.failures == 0 {
            self.failures = 1;
        }
        usize::from(self.failures > 0 && age >= patience + self.pause())
    }

    /// Whether replacing workers is paused. It is paused if the workers that replace the last batch have not begun to mine in
    /// time.
    pub fn is_paused(&self) -> bool {
        self.failures > 0
    }

    /// Records a batch.
    pub fn begin(&mut self, running: Running, successors: usize, without_successor: usize, now: Instant) {
        if self.failures > 0 {
            // Earlier batches failed, so this batch is only an attempt. If it fails, too, the pause before the next attempt is
            // longer.
            self.failures += 1;
        }
        self.last = Some(Batch { at: now, before: running, successors, without_successor });
    }

    /// This many workers of the last batch have no successor, because their agents have no room for one.
    pub fn forgo_successors(&mut self, count: usize) {
        if let Some(last) = &mut self.last {
            let count = count.min(last.successors);
            last.successors -= count;
            last.without_successor += count;
        }
    }

    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        (PAUSES.0 * 2_u32.pow(doublings)).min(PAUSES.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn running(all: usize, current: usize) -> Running {
        Running { all, current }
    }

    #[test]
    fn the_first_batch_waits_a_minute_and_is_one_worker_until_a_successor_mines() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.allowed(running(1000, 0), PATIENCE, now), 0);
        pace.start(now);
        pace.start(now + MINUTE / 2);
        assert_eq!(pace.allowed(running(1000, 0), PATIENCE, now + MINUTE * 59 / 60), 0);
        assert_eq!(pace.allowed(running(1000, 0), PATIENCE, now + MINUTE), 1);
        assert_eq!(pace.allowed(running(1000, 1), PATIENCE, now + MINUTE), 10);
    }

    #[test]
    fn one_percent_or_one_a_minute_and_only_when_the_successors_run() {
        for (fleet, batch) in [(1, 1), (6, 1), (199, 1), (200, 2), (50_000, 500)] {
            let (mut pace, now) = (Pace::default(), Instant::now());
            pace.start(now - MINUTE);
            assert_eq!(pace.allowed(running(fleet, 1), PATIENCE, now), batch, "{fleet} workers");
            pace.begin(running(fleet, 0), batch, 0, now);
            assert_eq!(
                pace.allowed(running(fleet - batch, 0), PATIENCE, now + 2 * MINUTE),
                0,
                "none runs yet"
            );
            assert_eq!(pace.allowed(running(fleet, batch), PATIENCE, now + MINUTE / 2), 0, "too early");
            assert_eq!(pace.allowed(running(fleet, batch), PATIENCE, now + MINUTE), batch);
        }
    }

    #[test]
    fn agents_that_go_meanwhile_are_no_failure() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.begin(running(1000, 0), 10, 0, now);
        assert_eq!(pace.allowed(running(900, 9), PATIENCE, now + MINUTE), 9);
        assert_eq!(pace.allowed(running(900, 8), PATIENCE, now + MINUTE), 0);
    }

    #[test]
    fn what_needs_no_successor_is_not_waited_for() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.begin(running(6, 3), 0, 1, now);
        assert_eq!(pace.allowed(running(5, 3), PATIENCE, now + MINUTE), 1);
    }

    #[test]
    fn failures_pause_it_for_longer_and_longer_until_a_successor_runs() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut fleet = 1000;
        pace.begin(running(fleet, 0), 10, 0, start);
        fleet -= 10;
        let mut tries = Vec::new();
        for minute in 1..=24 * 60 {
            let now = start + minute * MINUTE;
            let allowed = pace.allowed(running(fleet, 0), PATIENCE, now);
            assert_eq!(pace.is_paused(), minute >= 10);
            if allowed > 0 {
                assert_eq!(allowed, 1, "one is tried");
                pace.begin(running(fleet, 0), 1, 0, now);
                fleet -= 1;
                tries.push(minute);
            }
        }
        assert_eq!(tries, [20, 50, 100, 190, 360, 690, 1060, 1430], "after 10, 20, 40 … 360 min");
        let now = start + 24 * 60 * MINUTE;
        assert_eq!(
            pace.allowed(running(fleet, 1), PATIENCE, now),
            9,
            "a successor mines, so it goes on at the old rate"
        );
        assert!(!pace.is_paused());
    }
}
