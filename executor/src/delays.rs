//! The delays of the last minute, and their quantiles.
//!
//! A miner may have thousands of shares a second, so delays are counted in buckets, whose width is a sixteenth of their lower
//! bound or less.

use std::time::{Duration, Instant};

use task::{DelayQuantiles, WorkerDelays};

/// A minute has this many slices. The oldest slice is dropped as a whole, so that the last minute is up to a slice longer.
const SLICES: usize = 6;
/// The time of a slice.
const SLICE: Duration = Duration::from_secs(10);

/// The number of bits of a delay that its bucket keeps, after the highest one.
const PRECISION: u32 = 4;
/// The number of buckets of one power of two.
const PER_OCTAVE: usize = 1 << PRECISION;
/// The number of buckets, for all numbers of microseconds that a `u32` has.
const BUCKETS: usize = (u32::BITS - PRECISION + 1) as usize * PER_OCTAVE;

/// The delays of a miner.
#[derive(Debug)]
pub struct Delays {
    /// From the line with a job to the first hash of the job.
    pub notify_to_first_hash: RecentDelays,
    /// From the submission of a share to the answer.
    pub share_round_trip: RecentDelays,
}

impl Delays {
    /// No delays yet.
    pub fn new(now: Instant) -> Self {
        Delays { notify_to_first_hash: RecentDelays::new(now), share_round_trip: RecentDelays::new(now) }
    }

    /// The quantiles of the last minute.
    pub fn last_minute(&mut self, now: Instant) -> WorkerDelays {
        WorkerDelays {
            notify_to_first_hash: self.notify_to_first_hash.quantiles(now),
            share_round_trip: self.share_round_trip.quantiles(now),
        }
    }
}

/// The delays of one kind during the last minute. Takes 14 kB.
#[derive(derive_more::Debug)]
#[debug("RecentDelays")]
pub struct RecentDelays {
    slices: Box<[[u32; BUCKETS]; SLICES + 1]>,
    /// The index of the slice that is being filled, and when it began.
    current: usize,
    began: Instant,
}

impl RecentDelays {
    /// No delays yet.
    pub fn new(now: Instant) -> Self {
        RecentDelays { slices: Box::new([[0; BUCKETS]; SLICES + 1]), current: 0, began: now }
    }

    /// Counts a delay.
    pub fn record(&mut self, delay: Duration, now: Instant) {
        self.advance(now);
        let micros = u32::try_from(delay.as_micros()).unwrap_or(u32::MAX);
        if let Some(count) = self.slices[self.current].get_mut(bucket(micros)) {
            *count = count.saturating_add(1);
        }
    }

    /// The quantiles of the last minute; `None` if there was no delay.
    pub fn quantiles(&mut self, now: Instant) -> Option<DelayQuantiles> {
        self.advance(now);
        let sum = |bucket: usize| self.slices.iter().map(|slice| u64::from(slice[bucket])).sum::<u64>();
        let counts: Vec<u64> = (0..BUCKETS).map(sum).collect();
        let all: u64 = counts.iter().sum();
        let quantile = |per_cent: u64| {
            // How many delays are not longer than the quantile: at least one.
            let wanted = (all * per_cent).div_ceil(100);
            let mut below = 0;
            let found = counts.iter().position(|count| {
                below += count;
                below >= wanted
            });
            highest(found.unwrap_or(BUCKETS))
        };
        (all > 0).then(|| DelayQuantiles { median: quantile(50), p99: quantile(99) })
    }

    /// Forgets what is older than a minute.
    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began).as_secs() / SLICE.as_secs();
        let steps = usize::try_from(passed).unwrap_or(usize::MAX).min(self.slices.len());
        for _ in 0..steps {
            self.current = (self.current + 1) % self.slices.len();
            self.slices[self.current] = [0; BUCKETS];
        }
        self.began += SLICE * u32::try_from(passed).unwrap_or(0);
    }
}

/// The bucket of a number of microseconds.
fn bucket(micros: u32) -> usize {
    let Some(shift) = micros.checked_ilog2().and_then(|highest| highest.checked_sub(PRECISION)) else {
        return micros as usize;
    };
    (shift as usize) * PER_OCTAVE + (micros >> shift) as usize
}

/// The highest number of microseconds in a bucket.
fn highest(bucket: usize) -> u32 {
    let Some(octave) = (bucket / PER_OCTAVE).checked_sub(1) else {
        return u32::try_from(bucket).unwrap_or(u32::MAX);
    };
    let first = (bucket % PER_OCTAVE + PER_OCTAVE + 1) as u64;
    u32::try_from((first << octave) - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    proptest! {
        #[test]
        fn a_bucket_is_a_sixteenth_wide(micros in any::<u32>()) {
            let (bucket, top) = (bucket(micros), highest(bucket(micros)));
            prop_assert!(bucket < BUCKETS && micros <= top);
            prop_assert!(u64::from(top) <= u64::from(micros) + u64::from(micros) / 16);
            prop_assert!(bucket == 0 || highest(bucket - 1) < micros);
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_delays() {
        let now = Instant::now();
        let mut delays = RecentDelays::new(now);
        assert_eq!(delays.quantiles(now), None);
        delays.record(us(7), now);
        assert_eq!(delays.quantiles(now), Some(DelayQuantiles { median: 7, p99: 7 }));
        (1..=199).for_each(|n| delays.record(us(n * 1_000), now));
        let DelayQuantiles { median, p99 } = delays.quantiles(now).expect("delays");
        assert!((99_000..106_000).contains(&median), "{median}");
        assert!((197_000..210_000).contains(&p99), "{p99}");
        delays.record(Duration::MAX, now);
        delays.record(Duration::MAX, now);
        delays.record(Duration::MAX, now);
        assert_eq!(delays.quantiles(now).map(|quantiles| quantiles.p99), Some(u32::MAX));
    }

    #[test]
    fn a_delay_counts_for_a_minute() {
        let start = Instant::now();
        let mut delays = RecentDelays::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        delays.record(us(5), at(9));
        delays.record(us(1), at(31));
        assert_eq!(delays.quantiles(at(69)).map(|quantiles| quantiles.p99), Some(5));
        assert_eq!(delays.quantiles(at(70)).map(|quantiles| quantiles.p99), Some(1));
        assert_eq!(delays.quantiles(at(99)).map(|quantiles| quantiles.p99), Some(1));
        assert_eq!(delays.quantiles(at(100)), None);
        delays.record(us(3), at(1_000_000));
        assert_eq!(delays.quantiles(at(1_000_060)), Some(DelayQuantiles { median: 3, p99: 3 }));
        assert_eq!(delays.quantiles(start), Some(DelayQuantiles { median: 3, p99: 3 }), "no time goes back");
    }
}
