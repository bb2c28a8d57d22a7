//! What is shown: a copy of the state for display and summary. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ::task::{Live, Totals};
use program::Summary;

use super::State;
use super::task::{Phase, Task};
use crate::journal::{Ledger, Line};
use crate::kind::Kind;

/// A live message older than this says nothing about now.
const LIVE: Duration = Duration::from_secs(20);

/// The state of the framework, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Whether there is a subscription.
    pub connected: bool,
    /// The framework's id.
    pub framework: Option<String>,
    /// The tasks that have not ended, in the order of their launch.
    pub tasks: Vec<TaskLine>,
    /// How many tasks are, or ended, in each state.
    pub states: BTreeMap<String, u64>,
    /// Both columns of the ledger.
    pub totals: Line,
    /// Blocks found.
    pub blocks: u64,
    /// The most workers that mined at once.
    pub peak: u64,
    /// Why nothing is launched somewhere.
    pub remarks: Vec<String>,
}

/// One task, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskLine {
    /// Its id.
    pub id: String,
    /// Server or worker.
    pub kind: Kind,
    /// Its agent's host name.
    pub host: String,
    /// Mesos' name of its state, or what comes before it has one.
    pub state: String,
    /// Whether it is well, if it says so.
    pub healthy: Option<bool>,
    /// Thousandths of a CPU.
    pub cpus_milli: u64,
    /// What it does right now, if it said so lately.
    pub live: Option<Live>,
    /// A worker's own account.
    pub totals: Totals,
}

impl TaskLine {
    /// H/s of a worker that tells.
    pub fn hashrate(&self) -> Option<f64> {
        match &self.live {
            Some(Live::Worker(live)) => Some(live.hashrate),
            _ => None,
        }
    }
}

impl Snapshot {
    /// The workers that tell their hashrates.
    pub fn hashrates(&self) -> impl Iterator<Item = f64> {
        self.tasks.iter().filter_map(TaskLine::hashrate)
    }

    /// H/s of all of them.
    pub fn hashrate(&self) -> f64 {
        // The sum of none is -0.
        self.hashrates().fold(0.0, |sum, hashrate| sum + hashrate)
    }
}

impl State {
    /// A copy for display.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let (totals, blocks) = self.ledger.sum();
        let mut alive: Vec<&Task> = self.tasks.values().filter(|task| !task.is_over()).collect();
        alive.sort_by_key(|task| (task.record.kind, task.record.id.len(), &task.record.id));
        // Agents of one machine have its name in common.
        let mut said = BTreeSet::new();
        let remarks = self.agents.remarks().map(ToString::to_string);
        let remarks = remarks.filter(|remark| said.insert(remark.clone())).collect();
        Snapshot {
            connected: self.connected,
            framework: self.framework.clone(),
            tasks: alive.into_iter().map(|task| line(task, &self.ledger, now)).collect(),
            states: self.states(),
            totals,
            blocks,
            peak: self.peak,
            remarks,
        }
    }

    /// The figures of the framework so far.
    pub fn summary(&self, now: Instant) -> Summary {
        let age = self.age_at_birth + now.duration_since(self.born);
        let (sum, blocks) = self.ledger.sum();
        let totals = Totals { blocks, ..sum.worker };
        Summary::new(totals, age.as_secs_f64(), self.peak, self.states())
    }

    /// How many tasks there are that may still be running.
    pub fn live_tasks(&self) -> usize {
        self.tasks.values().filter(|task| task.may_live()).count()
    }

    fn states(&self) -> BTreeMap<String, u64> {
        let mut states = BTreeMap::new();
        for task in self.tasks.values() {
            if let Some(state) = task.state {
                *states.entry(state.as_str_name().to_owned()).or_default() += 1;
            }
        }
        for (state, count) in self.past.states() {
            *states.entry(state.as_str_name().to_owned()).or_default() += count;
        }
        states
    }
}

fn line(task: &Task, ledger: &Ledger, now: Instant) -> TaskLine {
    let id = &task.record.id;
    let state = match (task.state, &task.phase) {
        (Some(state), _) => state.as_str_name(),
        (None, Phase::Writing(_)) => "writing",
        (None, Phase::Sent(_)) => "launched",
    };
    let live = task.live.as_ref().filter(|(at, _)| now.duration_since(*at) < LIVE);
    TaskLine {
        id: id.clone(),
        kind: task.record.kind,
        host: task.record.host.clone(),
        state: state.to_owned(),
        healthy: task.health.map(|(healthy, _)| healthy),
        cpus_milli: task.record.cpus_milli(),
        live: live.map(|(_, live)| live.clone()),
        totals: ledger.entry(id, id).map(|entry| entry.totals).unwrap_or_default(),
    }
}
