//! The records that earlier runs of the scheduler left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use mesos::v1::TaskState;

use super::change::AvoidedAgent;
use super::command::Controls;
use super::framework_record::FrameworkRecord;
use super::ledger::Ledger;
use super::specification_key::SpecificationKey;
use super::task_numbers::TaskNumberSet;
use super::task_record::TaskRecord;
use crate::task_id::task_number;

/// The records that earlier runs of the scheduler left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveredState {
    /// The framework to resume.
    pub framework: Option<FrameworkRecord>,
    /// The framework's tasks in the order of their launch, without the tasks that ended long ago.
    pub tasks: Vec<TaskRecord>,
    /// What remains of the framework's retired tasks.
    pub retired: RetiredTasks,
    /// The framework's ledger.
    pub ledger: Ledger,
    /// The lowest number that was never used in a task id.
    pub next_number: u64,
    /// The highest number of workers that have run at the same time.
    pub peak_workers: u64,
    /// The agents on which nothing is to be launched.
    pub avoided: Vec<AvoidedAgent>,
    /// What holds because operators have said so.
    pub controls: Controls,
    /// The key for the fingerprints of task specifications. A store always sets it.
    pub specification_key: Option<SpecificationKey>,
}

impl RecoveredState {
    /// How many tasks have not ended, as far as is known.
    pub fn live_tasks(&self) -> usize {
        self.tasks.iter().filter(|task| task.state.is_none_or(|state| !state.is_terminal())).count()
    }

    /// How many tasks were running when the last update about them came.
    pub fn running_tasks(&self) -> usize {
        self.tasks.iter().filter(|task| task.state == Some(TaskState::TaskRunning)).count()
    }

    /// Aggregates the accounts of retired tasks, as was done when they retired. The accounts of a task whose record was lost are
    /// kept, because an update of this task may still be received.
    pub fn aggregate_retired(&mut self) {
        let RecoveredState { tasks, retired, ledger, .. } = self;
        let tasks: BTreeSet<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        let may_be_found = |task: &str| task_number(task).is_some() && !retired.contains(task);
        let _aggregated = ledger.aggregate_all_but(|task| tasks.contains(task) || may_be_found(task));
    }
}

/// What is kept of tasks that ended long ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetiredTasks {
    /// The numbers of the retired tasks whose agent has reported their end. Any further update only repeats an earlier one.
    pub done: TaskNumberSet,
    /// The numbers of the retired tasks whose end only the master has reported. Their agent may still report it, too.
    pub lost: TaskNumberSet,
    /// How many of the retired tasks ended in each state.
    pub states: BTreeMap<TaskState, u64>,
}

impl RetiredTasks {
    /// Whether this task has retired.
    pub fn contains(&self, id: &str) -> bool {
        self.done.contains_task(id) || self.lost.contains_task(id)
    }

    /// Adds a task. A task without a number or without a state cannot be added.
    pub fn insert(&mut self, task: &TaskRecord) {
        let (Some(number), Some(state)) = (task_number(&task.id), task.state) else { return };
        self.insert_all(number..=number, state, task.closed);
    }

    /// Adds the tasks with these numbers, which ended in the same state. A task that was added before is not counted again.
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
