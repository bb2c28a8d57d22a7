//! The hashrates in recent live messages of workers: their sum, and the slowest workers. Each live message updates both. A worker
//! that is paused has no hashrate: it is not slow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use task::Live;

use super::deadline_queue::DeadlineQueue;
use super::task::{Hashrate, Task};
use super::task_slab::{TaskKey, TaskSlab};

/// Hashrates per CPU are rounded to steps on a logarithmic scale, with this many steps for each factor of two. Workers in the
/// same step count as equally fast, so that small changes of a hashrate do not reorder the workers.
const STEPS: f64 = 16.0;

/// The recent hashrates of workers.
#[derive(Debug, Default)]
pub(super) struct Hashrates {
    count: usize,
    /// The sum of all hashrates, in hashes per 1,000 s. Integers, unlike floating-point numbers, can be subtracted again without
    /// rounding errors.
    sum: u128,
    by_step: BTreeMap<i32, BTreeSet<TaskKey>>,
    expiry: DeadlineQueue<TaskKey>,
}

impl Hashrates {
    /// The sum of all hashrates in H/s.
    pub fn sum(&self) -> f64 {
        self.sum as f64 / 1e3
    }

    /// How many workers have a recent hashrate.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The workers by hashrate per CPU, the slowest first.
    pub fn slowest(&self) -> impl Iterator<Item = TaskKey> + '_ {
        self.by_step.values().flatten().copied()
    }

    /// Stores the hashrate of a task's last live message, which was received at `now`; forgets it if the worker is paused.
    pub fn update(&mut self, key: TaskKey, task: &mut Task, now: Instant) {
        let Some((_, Live::Worker(live))) = &task.live else { return };
        if task.has_ended() {
            return;
        }
        if live.paused == Some(true) {
            return self.remove(key, task);
        }
        // The hashrate is clamped, so that the sum cannot overflow, whatever workers report.
        let millihashes = (live.hashrate.clamp(0.0, 1e15) * 1e3) as u64;
        let cpus = task.record.cpus_milli().max(1) as f64 / 1e3;
        let step = ((millihashes.max(1) as f64 / cpus).log2() * STEPS).floor() as i32;
        self.expiry.add(now + task.freshness(), key);
        match task.rate.replace(Hashrate { millihashes, step }) {
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

    /// Forgets the hashrate of a task.
    pub fn remove(&mut self, key: TaskKey, task: &mut Task) {
        if let Some(rate) = task.rate.take() {
            self.count -= 1;
            self.sum -= u128::from(rate.millihashes);
            self.leave(rate.step, key);
        }
    }

    fn leave(&mut self, step: i32, key: TaskKey) {
        if let Some(keys) = self.by_step.get_mut(&step) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_step.remove(&step);
            }
        }
    }

    /// Forgets the hashrates of live messages that are no longer recent.
    pub fn expire(&mut self, tasks: &mut TaskSlab, now: Instant) {
        let expiry = |key: &TaskKey| {
            let task = tasks.get(*key).filter(|task| task.rate.is_some())?;
            task.live.as_ref().map(|(at, _)| *at + task.freshness())
        };
        for key in self.expiry.take_expired(now, expiry) {
            if let Some(task) = tasks.get_mut(key) {
                self.remove(key, task);
            }
        }
    }
}
