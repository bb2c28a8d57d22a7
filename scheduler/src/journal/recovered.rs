//! What an earlier run of the scheduler left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use mesos::v1::TaskState;

use super::change::AvoidedAgent;
use super::ledger::Ledger;
use super::specification_key::SpecificationKey;
use super::task_numbers::{TaskNumberSet, number};
use super::task_record::TaskRecord;

/// What an earlier run of the scheduler left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The framework to go on with.
    pub framework: Option<FrameworkRecord>,
    /// Its tasks that have not retired, those that ended too, in the order of their launch.
    pub tasks: Vec<TaskRecord>,
    /// What is left of others that ended.
    pub retired: RetiredTasks,
    /// Its accounts.
    pub ledger: Ledger,
    /// The lowest number that was never used in a task id.
    pub next_number: u64,
    /// The most workers that mined at once.
    pub peak_workers: u64,
    /// Agents where nothing is to be launched.
    pub avoided: Vec<AvoidedAgent>,
    /// For the fingerprints of specifications. A store always has one.
    pub specification_key: Option<SpecificationKey>,
}

impl Recovered {
    /// How many of its tasks have not ended, as far as is known.
    pub fn live_tasks(&self) -> usize {
        self.tasks.iter().filter(|task| task.state.is_none_or(|state| !state.is_terminal())).count()
    }

    /// Aggregates the accounts of tasks that have retired, as was done when they did. A task that stands in no record may
    /// yet be found.
    pub fn aggregate_retired(&mut self) {
        let Recovered { tasks, retired, ledger, .. } = self;
        let tasks: BTreeSet<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        let may_be_found = |task: &str| number(task).is_some() && !retired.contains(task);
        let _aggregated = ledger.aggregate_all_but(|task| tasks.contains(task) || may_be_found(task));
    }
}

/// What is left of tasks that ended long ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetiredTasks {
    /// Those whose last update is recorded.
    pub done: TaskNumberSet,
    /// All others.
    pub lost: TaskNumberSet,
    /// How many of them ended in each state.
    pub states: BTreeMap<TaskState, u64>,
}

impl RetiredTasks {
    /// Whether this task has retired.
    pub fn contains(&self, id: &str) -> bool {
        self.done.contains_task(id) || self.lost.contains_task(id)
    }

    /// A task retires. One that has no number, or no state yet, cannot.
    pub fn insert(&mut self, task: &TaskRecord) {
        let (Some(number), Some(state)) = (number(&task.id), task.state) else { return };
        self.insert_all(number..=number, state, task.closed);
    }

    /// Tasks with these numbers have retired that ended alike. One that is known to have retired counts once.
    pub fn insert_all(&mut self, numbers: RangeInclusive<u64>, state: TaskState, closed: bool) {
        for number in numbers {
            if self.done.contains(number) || self.lost.contains(number) {
                continue;
            }
            let numbers = if closed { &mut self.done } else { &mut self.lost };
            numbers.insert(number);
            *self.states.entry(state).or_default() += 1;
        }
    }
}

/// A framework, present or past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkRecord {
    /// Its id.
    pub id: String,
    /// When it was first subscribed, milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When the master was found to have removed it, milliseconds since the Unix epoch.
    pub removed_ms: Option<u64>,
}
