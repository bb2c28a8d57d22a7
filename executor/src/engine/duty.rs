//! Rests for threads that may not use a whole CPU.

use std::time::Duration;

/// How long a thread works before it may have to rest. Short, so that a rest is no gap in a pool's view; long
/// against the price of asking for the thread's CPU time (one system call).
pub const SLICE: Duration = Duration::from_millis(10);

/// Keeps a thread's CPU time at a share of the time that passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duty {
    share: f64,
}

impl Duty {
    /// `share` is above 0 and below 1; a thread of share 1 needs no `Duty`.
    pub fn new(share: f64) -> Option<Duty> {
        (share < 1.0).then(|| Duty { share: share.max(0.001) })
    }

    /// The rest that is due after `used` CPU time in `elapsed` time. Time in which other processes had the CPU
    /// counts as rest.
    pub fn rest(&self, used: Duration, elapsed: Duration) -> Duration {
        Duration::from_secs_f64(used.as_secs_f64() / self.share).saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn rest_makes_up_the_share() {
        let duty = Duty::new(0.25).expect("below one");
        assert_eq!(duty.rest(ms(10), ms(10)), ms(30));
        assert_eq!(duty.rest(ms(10), ms(25)), ms(15));
        assert_eq!(duty.rest(ms(10), ms(99)), ms(0));
    }

    #[test]
    fn a_whole_cpu_needs_no_rest() {
        assert_eq!(Duty::new(1.0), None);
    }
}
