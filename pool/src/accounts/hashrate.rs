//! Estimates a hashrate from shares.

use std::time::Instant;

/// An estimate of a hashrate from accepted work; the weight of work decays exponentially.
#[derive(Clone, Copy, Debug)]
pub struct HashrateMeter {
    /// The weight of observed work falls to 1/e within this many seconds.
    memory: f64,
    /// The expected number of hashes of all work so far. The older the work is, the less weight it has in this sum.
    hashes: f64,
    /// The number of seconds observed so far. Older seconds have less weight in this sum, exactly like the work in `hashes`.
    seconds: f64,
    observed: Instant,
}

impl HashrateMeter {
    /// A meter without any work. `memory` is the time, in seconds, after which the weight of work is 1/e.
    pub fn new(memory: f64, now: Instant) -> Self {
        HashrateMeter { memory, hashes: 0.0, seconds: 0.0, observed: now }
    }

    /// Starts over as if a miner with this hashrate (H/s) had been observed for this number of seconds.
    pub fn assume(&mut self, hashrate: f64, seconds: f64, now: Instant) {
        *self = HashrateMeter { hashes: hashrate * seconds, seconds, observed: now, ..*self };
    }

    /// Excludes the time since the last observation from the estimate.
    pub fn skip(&mut self, now: Instant) {
        self.observed = self.observed.max(now);
    }

    /// Adds a share with this many expected hashes.
    pub fn add(&mut self, hashes: f64, now: Instant) {
        self.pass(now);
        self.hashes += hashes;
    }

    /// The estimate at this time in H/s; 0 without any observation.
    pub fn hashrate(&self, now: Instant) -> f64 {
        let mut meter = *self;
        meter.pass(now);
        if meter.seconds > 0.0 { meter.hashes / meter.seconds } else { 0.0 }
    }

    /// Adds the time since the last observation, and reduces the weight of all earlier work and time.
    fn pass(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.observed).as_secs_f64();
        let kept = (-seconds / self.memory).exp();
        self.hashes *= kept;
        // The moment `t` seconds ago has the weight exp(-t / memory). The second summand is the integral of this weight since the
        // last observation.
        self.seconds = self.seconds * kept + self.memory * (1.0 - kept);
        self.observed = self.observed.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn follows_a_steady_miner_and_decays_without_shares() {
        let start = Instant::now();
        let mut meter = HashrateMeter::new(30.0, start);
        assert_eq!(meter.hashrate(start), 0.0);
        for second in 1..=300 {
            meter.add(5e6, start + Duration::from_secs(second));
        }
        let end = start + Duration::from_secs(300);
        assert!((meter.hashrate(end) / 5e6 - 1.0).abs() < 0.05, "{}", meter.hashrate(end));
        assert!(meter.hashrate(end + Duration::from_secs(300)) < 5e3);
        // The estimate is finite even at a time before the last share.
        assert!(meter.hashrate(start).is_finite());
    }
}
