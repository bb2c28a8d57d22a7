//! Delays between attempts. The caller does the waiting.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Truncated exponential backoff with jitter. The jitter keeps a thousand clients that lost the same peer from reconnecting
/// at the same time.
///
/// The nth delay is random, between 50% and 100% of `min(first · 2ⁿ, max)`; the first delay has n = 0.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// The first delay is `first`. Each further delay is twice as long, but at most `max`. Jitter shortens every delay by up to a
    /// half.
    pub fn new(first: Duration, max: Duration) -> Self {
        let first = first.min(max);
        Self { first, max, next: first }
    }

    /// The delay before the next attempt.
    pub fn delay(&mut self) -> Duration {
        self.delay_with(&mut rand::rng())
    }

    /// Like [`delay`](Self::delay), with the caller's random numbers.
    pub fn delay_with(&mut self, random: &mut impl Rng) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.max);
        let half = whole / 2;
        half + half.mul_f64(random.random_range(0.0..=1.0))
    }

    /// Starts over: the next delay is the first one. Call this after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for _ in 0..2 {
            for whole in [100, 200, 400, 800, 1000, 1000] {
                let delay = backoff.delay();
                let whole = Duration::from_millis(whole);
                assert!(whole / 2 <= delay && delay <= whole, "{delay:?} is not within {whole:?}");
            }
            backoff.reset();
        }
    }

    #[test]
    fn no_delay_exceeds_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_secs(9), Duration::from_secs(2));
        assert!(backoff.delay() <= Duration::from_secs(2));
        let mut endless = Backoff::new(Duration::MAX, Duration::MAX);
        let (first, second) = (endless.delay(), endless.delay());
        assert!(first <= Duration::MAX && second <= Duration::MAX);
    }
}
