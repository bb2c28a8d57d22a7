//! When a task sends its live messages and reports.
//!
//! Thousands of tasks may be launched together or receive new intervals together. If all of them then sent at the same time,
//! the master would receive their messages in waves. Therefore each task starts at a random point of its interval.

use std::time::Duration;

use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use task::Intervals;
use tokio::time::Instant;

/// The delay of a task's first message is the interval times a random number in this range. The range is 1 wide, so the first
/// messages of many tasks are spread over one whole interval. It starts above 0, so that each task has something to report in its
/// first message.
const FIRST: std::ops::Range<f64> = 0.25..1.25;
/// The maximum time until a task confirms new intervals. The confirmations of many tasks are spread over this time.
const CONFIRM: Duration = Duration::from_secs(5);

/// The times of the next live message and the next report.
#[derive(Debug)]
pub struct Timers {
    intervals: Intervals,
    live: Instant,
    report: Instant,
    /// Whether the next live message confirms new intervals to the scheduler. The time of the message after the confirmation is
    /// random, so that many tasks do not send at once.
    confirming: bool,
    random: StdRng,
}

impl Timers {
    /// The timers of a task that starts now.
    pub fn new(intervals: Intervals, seed: u64, now: Instant) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let mut timers = Timers { intervals, live: now, report: now, confirming: false, random };
        timers.restart(now);
        timers
    }

    /// Starts the timers again when the task begins to work.
    pub fn restart(&mut self, now: Instant) {
        self.live = first(&mut self.random, self.intervals.live(), now);
        self.report = first(&mut self.random, self.intervals.report(), now);
    }

    /// The intervals in use.
    pub fn intervals(&self) -> Intervals {
        self.intervals
    }

    /// When the next live message is due.
    pub fn live_due(&self) -> Instant {
        self.live
    }

    /// When the next report is due.
    pub fn report_due(&self) -> Instant {
        self.report
    }

    /// Sets the time of the next live message, after one was sent.
    pub fn live_sent(&mut self, now: Instant) {
        self.live = match std::mem::take(&mut self.confirming) {
            true => first(&mut self.random, self.intervals.live(), now),
            false => now + self.intervals.live(),
        };
    }

    /// Sets the time of the next report, after a report was sent or because there is nothing new to report.
    pub fn report_sent(&mut self, now: Instant) {
        self.report = now + self.intervals.report();
    }

    /// Sets new intervals. The next live message is sent soon, because it confirms the new intervals. The next report is sent no
    /// later than with the old intervals.
    pub fn set_intervals(&mut self, intervals: Intervals, now: Instant) {
        self.intervals = intervals;
        self.confirming = true;
        let confirm = first(&mut self.random, intervals.live().min(CONFIRM.mul_f64(1.0 / FIRST.end)), now);
        self.live = self.live.min(confirm);
        let report = first(&mut self.random, intervals.report(), now);
        self.report = self.report.min(report);
    }
}

fn first(random: &mut StdRng, interval: Duration, now: Instant) -> Instant {
    now + interval.mul_f64(random.random_range(FIRST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intervals(live: u64, report: u64) -> Intervals {
        Intervals::new(Duration::from_secs(live), Duration::from_secs(report))
    }

    fn after(at: Instant, now: Instant) -> f64 {
        at.duration_since(now).as_secs_f64()
    }

    /// Takes the times modulo the interval, and counts how many fall into each tenth of the interval.
    fn spread(times: impl Iterator<Item = f64>, interval: f64) -> [usize; 10] {
        let mut tenths = [0; 10];
        times.for_each(|time| tenths[(time / interval * 10.0) as usize % 10] += 1);
        tenths
    }

    fn assert_even(tenths: [usize; 10]) {
        assert!(tenths.iter().all(|count| (60..=140).contains(count)), "{tenths:?}");
    }

    #[test]
    fn tasks_launched_together_do_not_send_in_step() {
        let now = Instant::now();
        let timers = || (0..1000).map(|seed| Timers::new(intervals(20, 60), seed, now));
        assert_even(spread(timers().map(|timers| after(timers.live_due(), now)), 20.0));
        assert_even(spread(timers().map(|timers| after(timers.report_due(), now)), 60.0));
        assert!(
            timers().all(|timers| after(timers.live_due(), now) >= 5.0),
            "they have something to report by then"
        );
    }

    #[test]
    fn messages_follow_at_the_interval() {
        let now = Instant::now();
        let mut timers = Timers::new(intervals(5, 60), 1, now);
        let at = timers.live_due();
        timers.live_sent(at);
        assert_eq!(after(timers.live_due(), at), 5.0);
        timers.report_sent(at);
        assert_eq!(after(timers.report_due(), at), 60.0);
    }

    #[test]
    fn new_intervals_are_confirmed_soon_and_later_messages_are_spread() {
        let now = Instant::now();
        let confirmed = |seed| {
            let mut timers = Timers::new(intervals(5, 60), seed, now);
            timers.live_sent(now);
            timers.set_intervals(intervals(100, 250), now);
            let confirmed = timers.live_due();
            assert!((0.9..=5.0).contains(&after(confirmed, now)), "{:?}", confirmed - now);
            assert!(after(timers.report_due(), now) <= 75.0, "a report comes no later than it would have");
            timers.live_sent(confirmed);
            (after(confirmed, now), after(timers.live_due(), confirmed), timers)
        };
        assert_even(spread((0..1000).map(|seed| confirmed(seed).1), 100.0));
        let early = (0..1000).filter(|seed| confirmed(*seed).0 < 2.5).count();
        assert!((250..=650).contains(&early), "{early} of 1000 in the first half");
        let mut timers = confirmed(1).2;
        let at = timers.live_due();
        timers.live_sent(at);
        assert_eq!(after(timers.live_due(), at), 100.0);
    }

    #[test]
    fn a_shorter_interval_takes_effect_at_once() {
        let now = Instant::now();
        let mut timers = Timers::new(intervals(100, 250), 1, now);
        timers.live_sent(now);
        timers.report_sent(now);
        timers.set_intervals(intervals(5, 60), now);
        assert!(after(timers.live_due(), now) <= 5.0);
        assert!(after(timers.report_due(), now) <= 75.0);
    }
}
