//! What is counted and looked up of tasks. Follows each change of one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use mesos::v1::TaskState;

use super::launch_number;
use super::table::Key;
use super::task::Task;
use crate::constraints::{Constraint, Occupancy};
use crate::kind::Kind;

/// What of a task decides where it is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Facets {
    kind: Kind,
    state: Option<TaskState>,
    unsent: bool,
    over: bool,
    may_live: bool,
    takes_place: bool,
    /// Since when it is over, and whether nothing new is to come of it.
    ended: Option<(bool, Instant)>,
    kill_again: Option<Instant>,
    cpus_milli: u64,
}

impl Facets {
    pub fn of(task: &Task) -> Self {
        let over = task.is_over();
        Self {
            kind: task.record.kind,
            state: task.state(),
            unsent: task.is_unsent(),
            over,
            may_live: task.may_live(),
            takes_place: task.takes_place(),
            ended: task.since().filter(|_| over).map(|since| (task.is_settled(), since)),
            kill_again: task.kill.map(|kill| kill.again).filter(|_| task.may_live()),
            // Whatever an offer says: the sum of all tasks stays in range.
            cpus_milli: task.record.cpus_milli().min(1 << 40),
        }
    }

    pub fn is_present(&self) -> bool {
        !self.over
    }

    fn is_running_worker(&self) -> bool {
        self.kind == Kind::Worker && self.state == Some(TaskState::TaskRunning)
    }

    fn is_unreachable(&self) -> bool {
        self.state == Some(TaskState::TaskUnreachable)
    }
}

/// Numbers of tasks of one kind that are not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// All of them.
    pub tasks: usize,
    /// Those that are on agents that do not answer.
    pub unreachable: usize,
    /// Thousandths of a CPU of all of them.
    pub cpus_milli: u64,
}

/// The tasks of an agent that are not over.
#[derive(Debug, Default)]
pub(super) struct OnAgent {
    /// In the order in which they came. There are few, mostly one.
    pub tasks: Vec<Key>,
    /// How many of them are workers: each offer asks for it, and should not have to look at the tasks.
    pub workers: usize,
}

/// The counts and the sets.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// All tasks by Mesos' state.
    pub states: BTreeMap<TaskState, u64>,
    /// Those that are not over; before the first update by whether they were sent.
    pub present_states: BTreeMap<Option<TaskState>, u64>,
    pub unsent: BTreeSet<Key>,
    pub present: BTreeSet<Key>,
    /// The same in the order of their launch: number and name.
    pub in_launch_order: BTreeSet<(u64, Arc<str>)>,
    /// The servers among them.
    pub present_servers: BTreeSet<Key>,
    of_kind: BTreeMap<Kind, Present>,
    pub may_live: usize,
    pub running_workers: usize,
    /// Workers that count against limits and constraints, and their CPU.
    pub placed: (u64, u64),
    /// Those that are not over, by their agent.
    pub by_agent: HashMap<String, OnAgent>,
    /// The tasks for which offers are held, by offer.
    pub held_for: HashMap<String, Key>,
    /// By the server that they work for: workers that are not over.
    pub by_server: HashMap<String, BTreeSet<Key>>,
    /// Those that are over, by whether nothing new is to come of them and since when.
    pub ended: BTreeSet<(bool, Instant, Key)>,
    /// When to send the next KILL.
    pub kills: BTreeSet<(Instant, Key)>,
    /// The constraints of workers, and what they count.
    constraints: Vec<Constraint>,
    pub occupancy: Occupancy,
}

impl Index {
    pub fn new(constraints: &[Constraint]) -> Self {
        let occupancy = Occupancy::new(constraints);
        Self { constraints: constraints.to_owned(), occupancy, ..Self::default() }
    }

    /// The same for no tasks.
    pub fn empty(&self) -> Self {
        Self::new(&self.constraints)
    }

    /// Follows a change of a task; `None` is what it is before it is there, and after it is gone.
    pub fn follow(&mut self, key: Key, task: &Task, before: Option<Facets>, after: Option<Facets>) {
        if let Some(before) = &before {
            self.count(before, false);
        }
        if let Some(after) = &after {
            self.count(after, true);
        }
        let (before, after) = (before.as_ref(), after.as_ref());
        let is = |facets: Option<&Facets>, facet: fn(&Facets) -> bool| facets.is_some_and(facet);
        let unsent = |facets: &Facets| facets.unsent;
        move_in(&mut self.unsent, is(before, unsent).then_some(key), is(after, unsent).then_some(key));
        let ended = |facets: &Facets| facets.ended.map(|(settled, since)| (settled, since, key));
        move_in(&mut self.ended, before.and_then(ended), after.and_then(ended));
        let kill = |facets: &Facets| facets.kill_again.map(|again| (again, key));
        move_in(&mut self.kills, before.and_then(kill), after.and_then(kill));
        let present = |facets: &Facets| !facets.over;
        let (was, is) = (is(before, present), is(after, present));
        move_in(&mut self.present, was.then_some(key), is.then_some(key));
        if !task.is_worker() {
            move_in(&mut self.present_servers, was.then_some(key), is.then_some(key));
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
        let takes_place = |facets: Option<&Facets>| facets.is_some_and(|facets| facets.takes_place);
        match (takes_place(before), takes_place(after)) {
            (false, true) => self.occupancy.add(&self.constraints, &task.place()),
            (true, false) => self.occupancy.remove(&self.constraints, &task.place()),
            _ => {}
        }
    }

    /// These offers are held for no task any more.
    pub fn release(&mut self, offers: &[String]) {
        for offer in offers {
            self.held_for.remove(offer);
        }
        if self.held_for.is_empty() {
            // What a burst of offers took is given back.
            self.held_for = HashMap::new();
        }
    }

    fn come_to_agent(&mut self, key: Key, task: &Task) {
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

    fn leave_agent(&mut self, key: Key, task: &Task) {
        let Some(agent) = self.by_agent.get_mut(task.agent()) else { return };
        agent.tasks.retain(|there| *there != key);
        agent.workers -= usize::from(task.is_worker());
        if agent.tasks.is_empty() {
            self.by_agent.remove(task.agent());
        }
    }

    /// Notes which server a worker that is not over works for.
    pub fn assign(&mut self, key: Key, task: &Task) {
        if let Some(server) = task.record.server() {
            insert_in(&mut self.by_server, server, key);
        }
    }

    pub fn unassign(&mut self, key: Key, task: &Task) {
        if let Some(server) = task.record.server() {
            remove_in(&mut self.by_server, server, key);
        }
    }

    pub fn of_kind(&self, kind: Kind) -> Present {
        self.of_kind.get(&kind).copied().unwrap_or_default()
    }

    fn count(&mut self, facets: &Facets, more: bool) {
        let step = |count: &mut usize, counts: bool| {
            if counts {
                *count = if more { *count + 1 } else { *count - 1 };
            }
        };
        if let Some(state) = facets.state {
            count_in(&mut self.states, state, more);
        }
        step(&mut self.may_live, facets.may_live);
        step(&mut self.running_workers, facets.is_running_worker());
        if facets.takes_place {
            let (cpus, workers) = self.placed;
            let cpu = facets.cpus_milli;
            self.placed = if more { (cpus + cpu, workers + 1) } else { (cpus - cpu, workers - 1) };
        }
        if !facets.over {
            count_in(&mut self.present_states, facets.state, more);
            let present = self.of_kind.entry(facets.kind).or_default();
            step(&mut present.tasks, true);
            step(&mut present.unreachable, facets.is_unreachable());
            let cpu = facets.cpus_milli;
            present.cpus_milli = if more { present.cpus_milli + cpu } else { present.cpus_milli - cpu };
        }
    }
}

fn insert_in(sets: &mut HashMap<String, BTreeSet<Key>>, name: &str, key: Key) {
    match sets.get_mut(name) {
        Some(keys) => drop(keys.insert(key)),
        None => drop(sets.insert(name.to_owned(), [key].into())),
    }
}

fn remove_in(sets: &mut HashMap<String, BTreeSet<Key>>, name: &str, key: Key) {
    if let Some(keys) = sets.get_mut(name) {
        keys.remove(&key);
        if keys.is_empty() {
            sets.remove(name);
        }
    }
}

/// Puts what stands for a task where it belongs.
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
