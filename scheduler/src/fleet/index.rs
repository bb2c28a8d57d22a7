//! Counts and indexes of tasks, which are updated with each change of a task.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use mesos::v1::TaskState;

use super::launch_number;
use super::task::Task;
use super::task_slab::TaskKey;
use crate::constraints::{Constraint, Occupancy};
use crate::task_id::TaskKind;

/// The properties of a task that determine its place in the counts and indexes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct IndexKeys {
    kind: TaskKind,
    state: Option<TaskState>,
    unsent: bool,
    may_live: bool,
    occupies_slot: bool,
    /// For a task that has ended: whether it can send no more updates, and when it ended.
    ended: Option<(bool, Instant)>,
    kill_again: Option<Instant>,
    cpus_milli: u64,
}

impl IndexKeys {
    pub fn of(task: &Task) -> Self {
        Self {
            kind: task.record.kind,
            state: task.state(),
            unsent: task.is_unsent(),
            may_live: task.may_live(),
            occupies_slot: task.occupies_slot(),
            ended: task.since().filter(|_| task.has_ended()).map(|since| (task.is_final(), since)),
            kill_again: task.kill.map(|kill| kill.again).filter(|_| task.may_live()),
            // The CPU is capped, so that the sum over all tasks cannot overflow, whatever the offers contain.
            cpus_milli: task.record.cpus_milli().min(1 << 40),
        }
    }

    pub fn is_active(&self) -> bool {
        self.ended.is_none()
    }

    fn is_running_worker(&self) -> bool {
        self.kind == TaskKind::Worker && self.state == Some(TaskState::TaskRunning)
    }

    fn is_unreachable(&self) -> bool {
        self.state == Some(TaskState::TaskUnreachable)
    }
}

/// Counts of the tasks of one kind that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// The number of tasks of this kind that have not ended.
    pub tasks: usize,
    /// How many of these tasks are on unreachable agents.
    pub unreachable: usize,
    /// The sum of the CPU of the tasks of this kind that have not ended, in thousandths of a CPU.
    pub cpus_milli: u64,
}

/// The tasks of an agent that have not ended.
#[derive(Debug, Default)]
pub(super) struct OnAgent {
    /// The tasks in the order in which they were added; usually only one.
    pub tasks: Vec<TaskKey>,
    /// The number of workers among the tasks. The number is needed for every offer of the agent, so it is stored instead of
    /// being counted each time.
    pub workers: usize,
}

/// All counts and indexes.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The number of tasks in each of Mesos' states, including tasks that have ended.
    pub states: BTreeMap<TaskState, u64>,
    /// The number of tasks in each of Mesos' states, without tasks that have ended. The key `None` is for tasks without any
    /// update so far.
    pub active_states: BTreeMap<Option<TaskState>, u64>,
    pub unsent: BTreeSet<TaskKey>,
    pub active: BTreeSet<TaskKey>,
    /// The tasks that have not ended, sorted by the number in their id, and then by the id itself.
    pub in_launch_order: BTreeSet<(u64, Arc<str>)>,
    /// The servers that have not ended.
    pub active_servers: BTreeSet<TaskKey>,
    of_kind: BTreeMap<TaskKind, TaskCounts>,
    pub may_live: usize,
    pub running_workers: usize,
    /// The total CPU (in thousandths of a CPU) and the number of the workers that count against limits and constraints.
    pub placed: (u64, u64),
    /// Agent id → the tasks on this agent that have not ended.
    pub by_agent: HashMap<String, OnAgent>,
    /// Offer id → the task for which this offer is reserved, until it is accepted or declined.
    pub held_for: HashMap<String, TaskKey>,
    /// Task id of a server → the workers of this server that have not ended.
    pub by_server: HashMap<String, BTreeSet<TaskKey>>,
    /// The tasks that have ended: first those that may still send updates, then the others. Both groups are sorted by when the
    /// tasks ended.
    pub ended: BTreeSet<(bool, Instant, TaskKey)>,
    /// The tasks that are to be ended, sorted by when the next KILL of each is due.
    pub kills: BTreeSet<(Instant, TaskKey)>,
    /// The constraints for workers. For each constraint, `occupancy` has the number of workers for each value of the constraint's
    /// field.
    constraints: Vec<Constraint>,
    pub occupancy: Occupancy,
}

impl Index {
    pub fn new(constraints: &[Constraint]) -> Self {
        let occupancy = Occupancy::new(constraints);
        Self { constraints: constraints.to_owned(), occupancy, ..Self::default() }
    }

    /// An index without tasks, with the same constraints.
    pub fn empty(&self) -> Self {
        Self::new(&self.constraints)
    }

    /// Updates the index after a change of a task. `before` is `None` for a new task, and `after` for a removed one.
    pub fn follow(&mut self, key: TaskKey, task: &Task, before: Option<IndexKeys>, after: Option<IndexKeys>) {
        if let Some(before) = &before {
            self.count(before, false);
        }
        if let Some(after) = &after {
            self.count(after, true);
        }
        let (before, after) = (before.as_ref(), after.as_ref());
        let is = |keys: Option<&IndexKeys>, property: fn(&IndexKeys) -> bool| keys.is_some_and(property);
        let unsent = |keys: &IndexKeys| keys.unsent;
        move_in(&mut self.unsent, is(before, unsent).then_some(key), is(after, unsent).then_some(key));
        let ended = |keys: &IndexKeys| keys.ended.map(|(settled, since)| (settled, since, key));
        move_in(&mut self.ended, before.and_then(ended), after.and_then(ended));
        let kill = |keys: &IndexKeys| keys.kill_again.map(|again| (again, key));
        move_in(&mut self.kills, before.and_then(kill), after.and_then(kill));
        let (was, is) = (is(before, IndexKeys::is_active), is(after, IndexKeys::is_active));
        move_in(&mut self.active, was.then_some(key), is.then_some(key));
        if !task.is_worker() {
            move_in(&mut self.active_servers, was.then_some(key), is.then_some(key));
        }
        match (was, is) {
            (false, true) => {
                self.in_launch_order.insert((launch_number(task.id()), Arc::clone(task.shared_id())));
                self.come_to_agent(key, task);
                self.assign(key, task);
            }
            (true, false) => {
                self.in_launch_order.remove(&(launch_number(task.id()), Arc::clone(task.shared_id())));
                self.leave_agent(key, task);
                self.unassign(key, task);
            }
            _ => {}
        }
        if self.constraints.is_empty() {
            return;
        }
        let occupies_slot = |keys: Option<&IndexKeys>| keys.is_some_and(|keys| keys.occupies_slot);
        match (occupies_slot(before), occupies_slot(after)) {
            (false, true) => self.occupancy.add(&self.constraints, &task.place()),
            (true, false) => self.occupancy.remove(&self.constraints, &task.place()),
            _ => {}
        }
    }

    /// Ends the reservation of these offers for a task.
    pub fn release(&mut self, offers: &[String]) {
        for offer in offers {
            self.held_for.remove(offer);
        }
        if self.held_for.is_empty() {
            // Frees the memory that a burst of offers took.
            self.held_for = HashMap::new();
        }
    }

    fn come_to_agent(&mut self, key: TaskKey, task: &Task) {
        if !self.by_agent.contains_key(task.agent()) {
            self.by_agent.insert(task.agent().to_owned(), OnAgent::default());
        }
        if let Some(agent) = self.by_agent.get_mut(task.agent()) {
            if let Err(at) = agent.tasks.binary_search(&key) {
                agent.tasks.reserve_exact(1);
                agent.tasks.insert(at, key);
            }
            agent.workers += usize::from(task.is_worker());
        }
    }

    fn leave_agent(&mut self, key: TaskKey, task: &Task) {
        let Some(agent) = self.by_agent.get_mut(task.agent()) else { return };
        agent.tasks.retain(|there| *there != key);
        agent.workers -= usize::from(task.is_worker());
        if agent.tasks.is_empty() {
            self.by_agent.remove(task.agent());
        }
    }

    /// Adds a worker to the workers of its server.
    pub fn assign(&mut self, key: TaskKey, task: &Task) {
        if let Some(server) = task.record.server() {
            insert_in(&mut self.by_server, server, key);
        }
    }

    /// Removes a worker from the workers of its server.
    pub fn unassign(&mut self, key: TaskKey, task: &Task) {
        if let Some(server) = task.record.server() {
            remove_in(&mut self.by_server, server, key);
        }
    }

    pub fn of_kind(&self, kind: TaskKind) -> TaskCounts {
        self.of_kind.get(&kind).copied().unwrap_or_default()
    }

    fn count(&mut self, keys: &IndexKeys, more: bool) {
        let step = |count: &mut usize, counts: bool| {
            if counts {
                *count = if more { *count + 1 } else { *count - 1 };
            }
        };
        if let Some(state) = keys.state {
            count_in(&mut self.states, state, more);
        }
        step(&mut self.may_live, keys.may_live);
        step(&mut self.running_workers, keys.is_running_worker());
        if keys.occupies_slot {
            let (cpus, workers) = self.placed;
            let cpu = keys.cpus_milli;
            self.placed = if more { (cpus + cpu, workers + 1) } else { (cpus - cpu, workers - 1) };
        }
        if keys.is_active() {
            count_in(&mut self.active_states, keys.state, more);
            let present = self.of_kind.entry(keys.kind).or_default();
            step(&mut present.tasks, true);
            step(&mut present.unreachable, keys.is_unreachable());
            let cpu = keys.cpus_milli;
            present.cpus_milli = if more { present.cpus_milli + cpu } else { present.cpus_milli - cpu };
        }
    }
}

fn insert_in(sets: &mut HashMap<String, BTreeSet<TaskKey>>, name: &str, key: TaskKey) {
    match sets.get_mut(name) {
        Some(keys) => drop(keys.insert(key)),
        None => drop(sets.insert(name.to_owned(), [key].into())),
    }
}

fn remove_in(sets: &mut HashMap<String, BTreeSet<TaskKey>>, name: &str, key: TaskKey) {
    if let Some(keys) = sets.get_mut(name) {
        keys.remove(&key);
        if keys.is_empty() {
            sets.remove(name);
        }
    }
}

/// Replaces the entry `before` of a set by `after`.
fn move_in<T: Ord>(set: &mut BTreeSet<T>, before: Option<T>, after: Option<T>) {
    if before == after {
        return;
    }
    if let Some(before) = before {
        set.remove(&before);
    }
    set.extend(after);
}

fn count_in<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, more: bool) {
    let count = counts.entry(key).or_default();
    if more {
        *count += 1;
        return;
    }
    *count -= 1;
    if *count == 0 {
        counts.retain(|_, count| *count > 0);
    }
}
