//! Hashrate seen through shares.

use std::time::Instant;

/// Estimates a hashrate from accepted work; older work weighs exponentially less.
#[derive(Clone, Copy, Debug)]
pub struct HashrateMeter {
    /// Seconds after which work weighs 1/e.
    memory: f64,
    /// Decayed expected hashes.
    hashes: f64,
    /// Decayed seconds in which they came.
    seconds: f64,
    observed: Instant,
}

impl HashrateMeter {
    /// A meter that has seen nothing. `memory` is the time, in seconds, after which work weighs 1/e.
    pub fn new(memory: f64, now: Instant) -> HashrateMeter {
        HashrateMeter { memory, hashes: 0.0, seconds: 0.0, observed: now }
    }

    /// Forgets all and goes on as if a miner of this hashrate (H/s) had been seen for these seconds.
    pub fn assume(&mut self, hashrate: f64, seconds: f64, now: Instant) {
        *self = HashrateMeter { hashes: hashrate * seconds, seconds, observed: now, ..*self };
    }

    /// Leaves out the time until now.
    pub fn skip(&mut self, now: Instant) {
        self.observed = self.observed.max(now);
    }

    /// Counts a share that took this many hashes on average.
    pub fn add(&mut self, hashes: f64, now: Instant) {
        self.pass(now);
        self.hashes += hashes;
    }

    /// The estimate at this time in H/s; 0 as long as there is none.
    pub fn hashrate(&self, now: Instant) -> f64 {
        let mut meter = *self;
        meter.pass(now);
        if meter.seconds > 0.0 { meter.hashes / meter.seconds } else { 0.0 }
    }

    /// Lets time pass without a share.
    fn pass(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.observed).as_secs_f64();
        let kept = (-seconds / self.memory).exp();
        self.hashes *= kept;
        // The integral of the weight over the time that passed.
        self.seconds = self.seconds * kept + self.memory * (1.0 - kept);
        self.observed = self.observed.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn follows_a_steady_miner_and_forgets_one_that_left() {
        let start = Instant::now();
        let mut meter = HashrateMeter::new(30.0, start);
        assert_eq!(meter.hashrate(start), 0.0);
        for second in 1..=300 {
            meter.add(5e6, start + Duration::from_secs(second));
        }
        let end = start + Duration::from_secs(300);
        assert!((meter.hashrate(end) / 5e6 - 1.0).abs() < 0.05, "{}", meter.hashrate(end));
        assert!(meter.hashrate(end + Duration::from_secs(300)) < 5e3);
        // A clock that stands still is no reason for infinities.
        assert!(meter.hashrate(start).is_finite());
    }
}
