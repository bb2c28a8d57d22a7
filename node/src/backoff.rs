//! How long to wait between tries. Gives delays; sleeping is the caller's business.

use std::time::Duration;

use rand::RngExt;

/// Exponential backoff with jitter, so that many clients of one node don't all come back at once.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// The nth delay is between half and the whole of `first · 2ⁿ`, never more than `max`.
    pub(crate) fn new(first: Duration, max: Duration) -> Backoff {
        Backoff { first: first.min(max), max, next: first.min(max) }
    }

    /// How long to wait before the next try.
    pub(crate) fn delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.max);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// After a success: the next delay is the first one again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_maximum_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        for _ in 0..2 {
            for whole in [100, 200, 400, 500, 500] {
                let (delay, whole) = (backoff.delay(), Duration::from_millis(whole));
                assert!(whole / 2 <= delay && delay <= whole, "{delay:?} is not within {whole:?}");
            }
            backoff.reset();
        }
    }
}
