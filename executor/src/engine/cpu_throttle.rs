//! Rests for threads that may not use a whole CPU.

use std::time::{Duration, Instant};

/// How long a thread works before it may have to rest. Short, so that a rest is no gap in a pool's view; long
/// against the price of asking for the thread's CPU time (one system call).
const SLICE: Duration = Duration::from_millis(10);
/// For how much past time a thread may still catch up: what it waited for a CPU that others had, or overslept. Short,
/// so that an idle hour is not followed by a minute of full speed.
const CREDIT: Duration = Duration::from_millis(100);

/// Keeps a thread's CPU time at a share of the time that passes. Pure: it is told both times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuThrottle {
    share: f64,
    checked: Instant,
    used: Duration,
    /// CPU seconds that the thread may still use; negative when it has to rest.
    balance: f64,
}

impl CpuThrottle {
    /// `share` is above 0 and below 1; a thread of share 1 needs no `CpuThrottle`. `used` is the thread's CPU time so far.
    pub fn new(share: f64, now: Instant, used: Duration) -> Option<CpuThrottle> {
        (share < 1.0).then(|| CpuThrottle { share: share.max(0.001), checked: now, used, balance: 0.0 })
    }

    /// Whether a slice is over, so that it is worth asking for the thread's CPU time.
    pub fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.checked) >= SLICE
    }

    /// The rest that is due when the thread has used so much CPU time. A rest that is cut short stays due.
    pub fn rest(&mut self, now: Instant, used: Duration) -> Option<Duration> {
        let earned = self.share * now.duration_since(self.checked).as_secs_f64();
        let spent = used.saturating_sub(self.used).as_secs_f64();
        self.balance = (self.balance + earned - spent).min(self.share * CREDIT.as_secs_f64());
        (self.checked, self.used) = (now, used);
        (self.balance < 0.0).then(|| Duration::from_secs_f64(-self.balance / self.share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn near(rest: Option<Duration>, expected: Duration) {
        let rest = rest.unwrap_or_default();
        assert!(rest.abs_diff(expected) < Duration::from_micros(1), "{rest:?} instead of {expected:?}");
    }

    #[test]
    fn a_rest_makes_up_the_share() {
        let start = Instant::now();
        let mut duty = CpuThrottle::new(0.25, start, ms(7)).expect("below one");
        assert!(!duty.is_due(start + ms(9)) && duty.is_due(start + ms(10)));
        near(duty.rest(start + ms(10), ms(17)), ms(30));
        // Cut short after 20 ms: the remainder is still due.
        near(duty.rest(start + ms(30), ms(17)), ms(10));
        near(duty.rest(start + ms(40), ms(17)), ms(0));
    }

    #[test]
    fn waiting_for_the_cpu_is_made_up_but_not_without_bound() {
        let start = Instant::now();
        let mut duty = CpuThrottle::new(0.5, start, ms(0)).expect("below one");
        // It got 10 of 60 ms, so it is owed 20 ms of CPU: 40 ms at full speed leave none.
        near(duty.rest(start + ms(60), ms(10)), ms(0));
        near(duty.rest(start + ms(100), ms(50)), ms(0));
        near(duty.rest(start + ms(110), ms(60)), ms(10));
        // A long sleep counts as 100 ms.
        near(duty.rest(start + ms(9_000), ms(60)), ms(0));
        near(duty.rest(start + ms(9_200), ms(260)), ms(100));
    }

    #[test]
    fn a_whole_cpu_needs_no_rest() {
        assert_eq!(CpuThrottle::new(1.0, Instant::now(), ms(0)), None);
    }
}
