//! What the workers say of their speed: the sum, and who is slowest. Kept up to date with each live message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use task::Live;

use super::due::DueQueue;
use super::table::{Key, Table};
use super::task::{Rate, Task};

/// Steps of speed to one doubling: workers within one step count as equally fast, so that a worker whose figure moves a
/// little stays where it is.
const STEPS: f64 = 16.0;

/// The hashrates of the workers that told theirs lately.
#[derive(Debug, Default)]
pub(super) struct Rates {
    count: usize,
    /// Hashes of all of them in 1,000 s. Whole numbers, so that what is added can be taken away again without a rest.
    sum: u128,
    by_step: BTreeMap<i32, BTreeSet<Key>>,
    expiry: DueQueue<Key>,
}

impl Rates {
    /// H/s of all of them.
    pub fn sum(&self) -> f64 {
        self.sum as f64 / 1e3
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The slowest first, by hashrate per CPU.
    pub fn slowest(&self) -> impl Iterator<Item = Key> + '_ {
        self.by_step.values().flatten().copied()
    }

    /// A live message of this task came at `now`.
    pub fn hear(&mut self, key: Key, task: &mut Task, now: Instant) {
        let Some((_, Live::Worker(live))) = task.live() else { return };
        if task.is_over() {
            return;
        }
        // Whatever a worker says: no sum of such figures overflows.
        let millihashes = (live.hashrate.clamp(0.0, 1e15) * 1e3) as u64;
        let cpus = task.record().cpus_milli().max(1) as f64 / 1e3;
        let step = ((millihashes.max(1) as f64 / cpus).log2() * STEPS).floor() as i32;
        self.expiry.add(now + task.freshness(), key);
        match task.rate.replace(Rate { millihashes, step }) {
            None => {
                self.count += 1;
                self.by_step.entry(step).or_default().insert(key);
            }
            Some(before) => {
                self.sum -= u128::from(before.millihashes);
                if before.step != step {
                    self.leave(before.step, key);
                    self.by_step.entry(step).or_default().insert(key);
                }
            }
        }
        self.sum += u128::from(millihashes);
    }

    /// It says nothing any more.
    pub fn remove(&mut self, key: Key, task: &mut Task) {
        if let Some(rate) = task.rate.take() {
            self.count -= 1;
            self.sum -= u128::from(rate.millihashes);
            self.leave(rate.step, key);
        }
    }

    fn leave(&mut self, step: i32, key: Key) {
        if let Some(keys) = self.by_step.get_mut(&step) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_step.remove(&step);
            }
        }
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, tasks: &mut Table, now: Instant) {
        while let Some(key) = self.expiry.take(now) {
            let Some(task) = tasks.get_mut(key).filter(|task| task.rate.is_some()) else { continue };
            match task.live() {
                Some((at, _)) if *at + task.freshness() > now => {
                    self.expiry.add(*at + task.freshness(), key);
                }
                _ => self.remove(key, task),
            }
        }
    }
}
