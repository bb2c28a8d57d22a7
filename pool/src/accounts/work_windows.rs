//! The hashrate of a worker over the last minute, hour and day.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// A worker's hashrates in H/s: averages over a window of time. A worker that is known for a shorter time has averages over that
/// time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hashrates {
    /// Over the last minute.
    pub minute: f64,
    /// Over the last hour.
    pub hour: f64,
    /// Over the last day.
    pub day: f64,
}

impl AddAssign for Hashrates {
    fn add_assign(&mut self, other: Self) {
        self.minute += other.minute;
        self.hour += other.hour;
        self.day += other.day;
    }
}

/// The accepted work of the last day, in three rings of buckets: 464 bytes for each worker with an accepted share in this run.
#[derive(Clone, Debug)]
pub struct WorkWindows {
    /// When the first work came.
    begun: Instant,
    /// The time in which the first work was done, before it came.
    lead: Duration,
    minute: Ring<13, 5>,
    hour: Ring<13, 300>,
    day: Ring<25, 3600>,
}

impl WorkWindows {
    /// No work yet; the first is about to come, and was done within `lead`.
    pub fn new(lead: Duration, now: Instant) -> Self {
        let (minute, hour, day) = (Ring::default(), Ring::default(), Ring::default());
        WorkWindows { begun: now, lead, minute, hour, day }
    }

    /// Adds accepted work: expected hashes.
    pub fn add(&mut self, hashes: f64, now: Instant) {
        let second = self.age(now).as_secs();
        self.minute.add(hashes, second);
        self.hour.add(hashes, second);
        self.day.add(hashes, second);
    }

    /// The hashrates at this time.
    pub fn hashrates(&self, now: Instant) -> Hashrates {
        let age = self.age(now);
        let known = (age + self.lead).as_secs_f64();
        Hashrates {
            minute: self.minute.mean(age, known),
            hour: self.hour.mean(age, known),
            day: self.day.mean(age, known),
        }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }
}

/// Sums over the last `N` buckets of `WIDTH` seconds each. Of the last one, only a part has passed.
#[derive(Clone, Debug)]
struct Ring<const N: usize, const WIDTH: u64> {
    buckets: [f64; N],
    /// The number of the newest bucket.
    newest: u64,
}

impl<const N: usize, const WIDTH: u64> Default for Ring<N, WIDTH> {
    fn default() -> Self {
        Ring { buckets: [0.0; N], newest: 0 }
    }
}

impl<const N: usize, const WIDTH: u64> Ring<N, WIDTH> {
    fn add(&mut self, amount: f64, second: u64) {
        let bucket = second / WIDTH;
        let passed = bucket.saturating_sub(self.newest);
        for number in 0..passed.min(N as u64) {
            *self.bucket(bucket - number) = 0.0;
        }
        self.newest = self.newest.max(bucket);
        *self.bucket(self.newest) += amount;
    }

    fn bucket(&mut self, number: u64) -> &mut f64 {
        &mut self.buckets[(number % N as u64) as usize]
    }

    /// The mean over the window in amounts per second, or over the `known` seconds if these are fewer.
    fn mean(&self, age: Duration, known: f64) -> f64 {
        // Work may have come since the clock was read.
        let bucket = (age.as_secs() / WIDTH).max(self.newest);
        let oldest = bucket.saturating_sub(N as u64 - 1);
        let bucket_of = |number| self.buckets[(number % N as u64) as usize];
        // An empty sum of floats would be -0.
        let sum = (oldest..=self.newest).fold(0.0, |sum, number| sum + bucket_of(number));
        let whole = ((N as u64 - 1) * WIDTH) as f64;
        let part = (age.as_secs_f64() - (bucket * WIDTH) as f64).max(0.0);
        let seconds = (whole + part).min(known);
        if seconds > 0.0 { sum / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: f64 = 5e6;

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn near(hashrate: f64, wanted: f64, tolerance: f64) -> bool {
        (hashrate / wanted - 1.0).abs() <= tolerance
    }

    #[test]
    fn a_steady_worker_has_the_same_hashrate_in_all_windows_from_its_first_share_on() {
        let start = Instant::now();
        let mut windows = WorkWindows::new(second(10), start);
        for share in 0..=20_000 {
            let now = start + second(share * 10);
            windows.add(RATE * 10.0, now);
            let Hashrates { minute, hour, day } = windows.hashrates(now);
            // A window of a minute has six or seven shares.
            assert!(near(minute, RATE, 0.17) && near(hour, RATE, 0.01) && near(day, RATE, 0.01), "{share}");
        }
    }

    #[test]
    fn the_work_of_a_worker_that_has_left_leaves_one_window_after_the_other() {
        let start = Instant::now();
        let mut windows = WorkWindows::new(second(1), start);
        (0..7_200).for_each(|at| windows.add(RATE, start + second(at)));
        let after = |seconds| windows.hashrates(start + second(7_199 + seconds));
        assert!(near(after(0).minute, RATE, 0.02) && near(after(30).minute, RATE / 2.0, 0.1));
        assert!(after(66).minute == 0.0 && near(after(1_800).hour, RATE / 2.0, 0.1));
        assert!(after(3_901).hour == 0.0 && near(after(3_901).day, RATE * 7_200.0 / 11_101.0, 0.01));
        assert_eq!(after(26 * 3_600), Hashrates::default());
        assert_eq!(after(u64::from(u32::MAX)), Hashrates::default());
        // It comes back.
        let back = start + second(100 * 3_600);
        windows.add(RATE * 60.0, back);
        let Hashrates { minute, hour, day } = windows.hashrates(back);
        assert!(near(minute, RATE, 0.1) && near(hour, RATE / 60.0, 0.1) && near(day, RATE / 1_440.0, 0.1));
    }

    #[test]
    fn no_time_gives_no_hashrate_and_an_earlier_time_is_harmless() {
        let start = Instant::now() + second(100);
        let mut windows = WorkWindows::new(Duration::ZERO, start);
        windows.add(RATE, start);
        assert_eq!(windows.hashrates(start), Hashrates::default());
        windows.add(RATE, start + second(60));
        windows.add(RATE, start - second(60));
        assert!(windows.hashrates(start - second(60)).day.is_finite());
        assert!(near(windows.hashrates(start + second(60)).hour, RATE * 3.0 / 60.0, 1e-9));
    }

    #[test]
    fn the_memory_of_a_worker_is_as_stated() {
        assert_eq!(size_of::<WorkWindows>(), 464);
    }

    proptest! {
        /// Each ring agrees with a list of all work.
        #[test]
        fn windows_agree_with_a_list(steps in prop::collection::vec((0_u64..5_000, 0_u32..1_000), 1..200)) {
            let start = Instant::now();
            let mut windows = WorkWindows::new(second(7), start);
            let (mut at, mut all) = (0, Vec::new());
            for (step, work) in steps {
                if !all.is_empty() {
                    at += step;
                }
                windows.add(work.into(), start + second(at));
                all.push((at, f64::from(work)));
                let mean = |buckets: u64, width: u64| {
                    let oldest = (at / width).saturating_sub(buckets - 1) * width;
                    let sum: f64 = all.iter().filter(|(at, _)| *at >= oldest).map(|(_, work)| work).sum();
                    sum / (((buckets - 1) * width + at % width).min(at + 7)) as f64
                };
                let got = windows.hashrates(start + second(at));
                for (got, wanted) in [(got.minute, mean(13, 5)), (got.hour, mean(13, 300)), (got.day, mean(25, 3_600))] {
                    prop_assert!((got - wanted).abs() <= 1e-9 * wanted.abs(), "{got} {wanted}");
                }
            }
        }
    }
}
