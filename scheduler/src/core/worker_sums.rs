//! What the recent live messages of workers say together: by host, by CPU model, and the longest delays. The tasks are read a part
//! at a time, with events between two parts. No decision depends on it.

use std::borrow::Cow;
use std::collections::HashMap;

use ::task::{DelayQuantiles, Live, Totals, WorkerDelays, WorkerLive};
use text::printable;

use crate::fleet::{Fleet, Task};

/// The number of tasks in a part: about half a millisecond of work. In tests, a few tasks are several parts.
const PART: usize = if cfg!(test) { 2 } else { 2000 };
/// Longer names of hosts are cut to this many characters.
const LONGEST_HOST: usize = 250;
/// Ids of tasks are cut to this many characters, which is more than Mesos allows: two of them must not become alike.
const LONGEST_ID: usize = 1000;
/// The model of CPUs without a name, and of those in messages of older executors.
const UNKNOWN: &str = "unknown";

/// Sums over the workers that tell their hashrate: those that mine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerSums {
    /// The sums for each host, by its name, as it can be shown.
    pub hosts: HashMap<String, WorkerSum>,
    /// The sums for each model of CPU.
    pub cpu_models: HashMap<String, WorkerSum>,
    /// The longest delays of any worker during the last minute, each for itself.
    pub delays: WorkerDelays,
    /// Each worker, if they are wanted.
    pub workers: Vec<WorkerRate>,
}

/// A sum over workers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkerSum {
    /// The hashrate in H/s.
    pub hashrate: f64,
    /// The CPU of the tasks, in thousandths of a CPU.
    pub cpus_milli: u64,
    /// The shares that the pool has accepted since the tasks began.
    pub accepted: u64,
    /// The shares that the pool has rejected since the tasks began; stale ones are not among them.
    pub rejected: u64,
}

/// A worker's hashrate.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerRate {
    /// The task's id, as it can be shown.
    pub task: String,
    /// The host name of the task's agent, as it can be shown.
    pub host: String,
    /// The hashrate in H/s.
    pub hashrate: f64,
}

/// Adds a part of the tasks, those after the task `after`, to `sums`, and each worker if `each` is true. Returns the id after which
/// the next part begins; `None` if this part was the last one.
pub(super) fn add_part(
    fleet: &Fleet,
    after: Option<&str>,
    each: bool,
    sums: &mut WorkerSums,
) -> Option<String> {
    let mut last = None;
    for (count, task) in fleet.in_launch_order(after).enumerate() {
        if count == PART {
            return last.map(str::to_owned);
        }
        last = Some(task.id());
        sums.add(task, each);
    }
    None
}

impl WorkerSums {
    fn add(&mut self, task: &Task, each: bool) {
        let (Some(hashrate), Some((_, Live::Worker(live)))) = (task.hashrate(), &task.live) else { return };
        let Totals { accepted, rejected, .. } = live.totals.unwrap_or_default();
        let sum = WorkerSum { hashrate, cpus_milli: task.record.cpus_milli(), accepted, rejected };
        let host = printable(task.host(), LONGEST_HOST);
        add_to(&mut self.hosts, &host, sum);
        add_to(&mut self.cpu_models, &cpu_model(live), sum);
        let delays = live.delays.unwrap_or_default();
        longest(&mut self.delays.notify_to_first_hash, delays.notify_to_first_hash);
        longest(&mut self.delays.share_round_trip, delays.share_round_trip);
        if each {
            let task = printable(task.id(), LONGEST_ID).into_owned();
            self.workers.push(WorkerRate { task, host: host.into_owned(), hashrate });
        }
    }
}

impl WorkerSum {
    /// Adds the figures of others.
    pub fn add(&mut self, more: WorkerSum) {
        self.hashrate += more.hashrate;
        self.cpus_milli += more.cpus_milli;
        self.accepted = self.accepted.saturating_add(more.accepted);
        self.rejected = self.rejected.saturating_add(more.rejected);
    }

    /// The hashrate per CPU in H/s.
    pub fn hashrate_per_cpu(&self) -> f64 {
        self.hashrate * 1e3 / self.cpus_milli.max(1) as f64
    }
}

fn cpu_model(live: &WorkerLive) -> Cow<'_, str> {
    match live.cpu_model.as_str() {
        "" => UNKNOWN.into(),
        model => printable(model, LONGEST_HOST),
    }
}

/// The name is copied only for the first worker that has it.
fn add_to(sums: &mut HashMap<String, WorkerSum>, name: &str, more: WorkerSum) {
    match sums.get_mut(name) {
        Some(sum) => sum.add(more),
        None => drop(sums.insert(name.to_owned(), more)),
    }
}

fn longest(longest: &mut Option<DelayQuantiles>, delay: Option<DelayQuantiles>) {
    if let Some(delay) = delay {
        let longest = longest.get_or_insert_default();
        longest.median = longest.median.max(delay.median);
        longest.p99 = longest.p99.max(delay.p99);
    }
}
