//! What of the framework outlives its tasks: its id and age, its accounts, and what is left of tasks that ended long ago.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use crate::kind::Kind;
use crate::ledger::Ledger;
use crate::numbers::Numbers;
use crate::record::{PastRecord, Recovered};

/// The framework's records, as far as they are on disk.
#[derive(Debug)]
pub struct Records {
    /// Its id.
    pub framework: Option<String>,
    /// The accounts.
    pub ledger: Ledger,
    /// Tasks that ended long ago.
    pub retired: RetiredTasks,
    /// The most workers that ran at once.
    pub peak_workers: u64,
    /// The same as it was last written down.
    pub written_peak: u64,
    next_number: u64,
    /// The framework's age was this at that time.
    age: (Duration, Instant),
}

impl Records {
    /// Goes on with what was recovered, all but the tasks; `age` is how long ago the framework began.
    pub fn new(recovered: Recovered, age: Duration, now: Instant) -> Self {
        Self {
            framework: recovered.framework.map(|framework| framework.id),
            ledger: recovered.ledger,
            retired: recovered.past.into(),
            peak_workers: recovered.peak_workers,
            written_peak: recovered.peak_workers,
            next_number: recovered.next_number.max(1),
            age: (age, now),
        }
    }

    /// The framework is no more. Numbers are never used again.
    pub fn clear(&mut self, now: Instant) {
        let next_number = self.next_number;
        *self = Self::new(Recovered { next_number, ..Recovered::default() }, Duration::ZERO, now);
    }

    /// A name for a new task.
    pub fn name(&mut self, kind: Kind) -> String {
        let name = format!("miner-{}-{}", kind.name(), self.next_number);
        self.next_number += 1;
        name
    }

    /// A task with this number is there.
    pub fn use_number(&mut self, number: u64) {
        self.next_number = self.next_number.max(number.saturating_add(1));
    }

    /// The framework's age.
    pub fn age(&self, now: Instant) -> Duration {
        self.age.0 + now.duration_since(self.age.1)
    }
}

/// What is left of tasks that ended long ago.
#[derive(Debug, Default)]
pub struct RetiredTasks {
    /// Those whose last update is recorded.
    pub closed: Numbers,
    /// All others.
    pub lost: Numbers,
    states: BTreeMap<TaskState, u64>,
}

impl From<PastRecord> for RetiredTasks {
    fn from(record: PastRecord) -> Self {
        let PastRecord { done, lost, states } = record;
        let named = |(name, count): (String, u64)| Some((TaskState::from_str_name(&name)?, count));
        Self { closed: done, lost, states: states.into_iter().filter_map(named).collect() }
    }
}

impl RetiredTasks {
    /// How many of them ended in each state.
    pub fn states(&self) -> impl Iterator<Item = (TaskState, u64)> {
        self.states.iter().map(|(state, count)| (*state, *count))
    }

    /// Whether the task with this id is one of them.
    pub fn contains(&self, id: &str) -> bool {
        self.closed.contains_task(id) || self.lost.contains_task(id)
    }

    /// Adds one.
    pub fn add(&mut self, number: u64, state: TaskState, closed: bool) {
        let numbers = if closed { &mut self.closed } else { &mut self.lost };
        numbers.insert(number);
        *self.states.entry(state).or_default() += 1;
    }
}
