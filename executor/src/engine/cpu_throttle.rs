//! Limits a thread to a fraction of a CPU.

use std::time::{Duration, Instant};

/// How long a thread works before it may have to sleep. This time is short, so that shares are found steadily, but long compared
/// to the system call that reads the CPU time of the thread.
const SLICE: Duration = Duration::from_millis(10);
/// How much unused time a thread may make up for, for example after it waited for a busy CPU or overslept. This time is short, so
/// that an idle hour is not followed by a minute at full speed.
const CREDIT: Duration = Duration::from_millis(100);

/// Keeps the CPU time of a thread at a fraction of the elapsed time. Reads no clock: the caller passes both times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuThrottle {
    fraction: f64,
    checked: Instant,
    used: Duration,
    /// CPU seconds that the thread may use before it has to sleep; negative while it has to sleep.
    balance: f64,
}

impl CpuThrottle {
    /// Creates a throttle. `used` is the CPU time of the thread so far. Returns `None` if `fraction` is 1, because a thread that
    /// may use a whole CPU needs no throttle.
    pub fn new(fraction: f64, now: Instant, used: Duration) -> Option<Self> {
        (fraction < 1.0).then(|| CpuThrottle {
            fraction: fraction.max(0.001),
            checked: now,
            used,
            balance: 0.0,
        })
    }

    /// Whether a slice has passed, so that the caller should read the CPU time of the thread and call `pause`.
    pub fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.checked) >= SLICE
    }

    /// Returns how long to sleep, given the CPU time of the thread so far. If the sleep is cut short, the next call returns the
    /// remainder.
    pub fn pause(&mut self, now: Instant, used: Duration) -> Option<Duration> {
        let earned = self.fraction * now.duration_since(self.checked).as_secs_f64();
        let spent = used.saturating_sub(self.used).as_secs_f64();
        self.balance = (self.balance + earned - spent).min(self.fraction * CREDIT.as_secs_f64());
        (self.checked, self.used) = (now, used);
        (self.balance < 0.0).then(|| Duration::from_secs_f64(-self.balance / self.fraction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn near(pause: Option<Duration>, expected: Duration) {
        let pause = pause.unwrap_or_default();
        assert!(pause.abs_diff(expected) < Duration::from_micros(1), "{pause:?} instead of {expected:?}");
    }

    #[test]
    fn a_pause_restores_the_share() {
        let start = Instant::now();
        let mut throttle = CpuThrottle::new(0.25, start, ms(7)).expect("below one");
        assert!(!throttle.is_due(start + ms(9)) && throttle.is_due(start + ms(10)));
        near(throttle.pause(start + ms(10), ms(17)), ms(30));
        // The sleep is cut short after 20 ms, so the remainder is still due.
        near(throttle.pause(start + ms(30), ms(17)), ms(10));
        near(throttle.pause(start + ms(40), ms(17)), ms(0));
    }

    #[test]
    fn waiting_for_the_cpu_is_made_up_within_a_limit() {
        let start = Instant::now();
        let mut throttle = CpuThrottle::new(0.5, start, ms(0)).expect("below one");
        // In 60 ms the thread earned 30 ms of CPU time and used 10 ms. With the remaining 20 ms, it may run at full speed for 40
        // ms, because it earns another 20 ms meanwhile.
        near(throttle.pause(start + ms(60), ms(10)), ms(0));
        near(throttle.pause(start + ms(100), ms(50)), ms(0));
        near(throttle.pause(start + ms(110), ms(60)), ms(10));
        // Now the thread is idle for almost 9 s. Only 100 ms of this time count (`CREDIT`).
        near(throttle.pause(start + ms(9_000), ms(60)), ms(0));
        near(throttle.pause(start + ms(9_200), ms(260)), ms(100));
    }

    #[test]
    fn a_whole_cpu_needs_no_throttle() {
        assert_eq!(CpuThrottle::new(1.0, Instant::now(), ms(0)), None);
    }
}
