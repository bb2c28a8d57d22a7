//! How long to wait between tries. Gives delays; sleeping is the caller's business.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Truncated exponential backoff with jitter, so that a thousand clients that lost the same peer do not all
/// come back at once.
///
/// The nth delay is evenly spread between half and the whole of `first · 2ⁿ`, which is never more than `max`.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first` (whole, before jitter) and doubles up to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        let first = first.min(max);
        Self { first, max, next: first }
    }

    /// How long to wait before the next try.
    pub fn delay(&mut self) -> Duration {
        self.delay_with(&mut rand::rng())
    }

    /// The same with the caller's random numbers.
    pub fn delay_with(&mut self, random: &mut impl Rng) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.max);
        let half = whole / 2;
        half + half.mul_f64(random.random_range(0.0..=1.0))
    }

    /// To be called after a success: the next delay is the first one again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_maximum_and_starts_over() {
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
    fn never_exceeds_the_maximum_even_at_first() {
        let mut backoff = Backoff::new(Duration::from_secs(9), Duration::from_secs(2));
        assert!(backoff.delay() <= Duration::from_secs(2));
        let mut endless = Backoff::new(Duration::MAX, Duration::MAX);
        let (first, second) = (endless.delay(), endless.delay());
        assert!(first <= Duration::MAX && second <= Duration::MAX);
    }
}
