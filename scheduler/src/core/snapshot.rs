//! What is shown: a copy of the state for display and summary. Decides nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use ::task::{Live, Totals};
use program::Summary;

use super::{History, Session};
use crate::fleet::{Fleet, LIVE, Task};
use crate::journal::{Ledger, Line};
use crate::kind::Kind;

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

/// A copy for display.
pub(super) fn snapshot(session: &Session, fleet: &Fleet, history: &History, now: Instant) -> Snapshot {
    let (totals, blocks) = history.ledger.sum();
    let mut alive: Vec<&Task> = fleet.present().collect();
    alive.sort_by_key(|task| (task.record().kind, task.id().len(), task.id()));
    Snapshot {
        connected: session.connected,
        framework: history.framework.clone(),
        tasks: alive.into_iter().map(|task| line(task, &history.ledger, now)).collect(),
        states: states(fleet, history),
        totals,
        blocks,
        peak: history.peak_workers,
        remarks: fleet.unused_reasons().map(|unused| unused.to_string()).collect(),
    }
}

/// The figures of the framework so far.
pub(super) fn summary(fleet: &Fleet, history: &History, now: Instant) -> Summary {
    let (sum, blocks) = history.ledger.sum();
    let totals = Totals { blocks, ..sum.worker };
    Summary::new(totals, history.age(now).as_secs_f64(), history.peak_workers, states(fleet, history))
}

fn states(fleet: &Fleet, history: &History) -> BTreeMap<String, u64> {
    let mut states = BTreeMap::new();
    let present = fleet.states().iter().map(|(state, count)| (*state, *count));
    for (state, count) in present.chain(history.retired.states.iter().map(|(state, count)| (*state, *count)))
    {
        *states.entry(state.as_str_name().to_owned()).or_default() += count;
    }
    states
}

fn line(task: &Task, ledger: &Ledger, now: Instant) -> TaskLine {
    let id = task.id();
    let state = match task.state() {
        Some(state) => state.as_str_name(),
        None if task.is_unsent() => "writing",
        None => "launched",
    };
    let live = task.live().filter(|(at, _)| now.duration_since(*at) < LIVE);
    TaskLine {
        id: id.to_owned(),
        kind: task.record().kind,
        host: task.host().to_owned(),
        state: state.to_owned(),
        healthy: task.health().map(|health| health.healthy),
        cpus_milli: task.record().cpus_milli(),
        live: live.map(|(_, live)| live.clone()),
        totals: ledger.entry(id, id).map(|entry| entry.totals).unwrap_or_default(),
    }
}
