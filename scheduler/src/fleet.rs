//! The tasks and agents of the framework, with counts and indexes.
//!
//! Policies only read the fleet. Each change of a task or an agent goes through a method of this module, which also updates the
//! counts and indexes. So a policy's query costs the same with fifty thousand tasks as with a hundred.

mod agent;
mod change;
mod deadline_queue;
mod executor_status;
mod hashrates;
mod index;
mod launch_limit;
mod lifecycle;
mod task;
mod task_slab;
#[cfg(test)]
mod tests;
mod unaccounted;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::task::{Intervals, ServerAddress, Totals};
use mesos::v1::TaskState;

pub use self::agent::{Agent, Agents, MaintenanceWindow, Pause};
pub use self::deadline_queue::DeadlineQueue;
pub use self::executor_status::ExecutorStatus;
pub use self::index::TaskCounts;
pub use self::launch_limit::{CommonFailure, LaunchFailure, LaunchLimit};
pub use self::lifecycle::{Lifecycle, PlannedLaunch, Slot, StateChange, has_ended};
pub use self::task::{Health, INTERVALS_WAITED, LIVE, Task};

use self::hashrates::Hashrates;
use self::index::Index;
use self::task_slab::{TaskKey, TaskSlab};
use self::unaccounted::Unaccounted;
use crate::constraints::{Constraint, Occupancy};
use crate::offers::AgentMarks;
use crate::task_id::{TaskKind, task_number};

/// All tasks and agents.
#[derive(Debug, Default)]
pub struct Fleet {
    /// What is known about agents, apart from their tasks.
    pub agents: Agents,
    /// Task id → the server, for each server in service. A server is in service from the decision to launch it until the
    /// scheduler gives up on it. Usually there is one.
    pub servers: BTreeMap<String, ServerState>,
    /// The limit on launches; `None` if as many tasks are launched as resources allow.
    pub launch_limit: Option<LaunchLimit>,
    /// The intervals of workers' live messages and reports; `None` until they are first decided.
    pub worker_intervals: Option<Intervals>,
    /// Whether the scheduler looks for offers with room for a server that will replace the present one.
    pub seeks_server_place: bool,
    tasks: TaskSlab,
    index: Index,
    hashrates: Hashrates,
    unaccounted: Unaccounted,
    /// The tasks that have not ended and that say that they wait for something.
    with_problem: BTreeSet<TaskKey>,
}

/// The state of a server in service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Workers may be assigned to this server, once it runs.
    Open,
    /// This server is to be ended, so no more workers are assigned to it.
    Draining,
}

impl Fleet {
    /// A fleet without tasks. `constraints` are those for workers.
    pub fn new(constraints: &[Constraint]) -> Self {
        Self { index: Index::new(constraints), ..Self::default() }
    }

    /// The task with this id.
    pub fn get(&self, id: &str) -> Option<&Task> {
        self.tasks.get(self.tasks.key(id)?)
    }

    /// All tasks, including those that have ended, in the order in which they were added.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.tasks.keys().filter_map(|key| self.tasks.get(key))
    }

    /// The tasks that have not ended, in the order in which they were added.
    pub fn active(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.index.active.iter().filter_map(|key| self.tasks.get(*key))
    }

    /// How many tasks have not ended.
    pub fn count_active(&self) -> usize {
        self.index.active.len()
    }

    /// The servers that have not ended, including those that the scheduler has given up on.
    pub fn active_servers(&self) -> impl Iterator<Item = &Task> {
        self.index.active_servers.iter().filter_map(|key| self.tasks.get(*key))
    }

    /// The tasks that have not ended, in the order of their launch. The list begins after the task with the id `after`, which
    /// need not exist any more. Tasks whose ids this program did not create have no number and come last.
    pub fn in_launch_order(&self, after: Option<&str>) -> impl DoubleEndedIterator<Item = &Task> {
        let position = |id: &str| (launch_number(id), Arc::from(id));
        let from = after.map_or(Unbounded, |after| Excluded(position(after)));
        self.index.in_launch_order.range((from, Unbounded)).filter_map(|(_, id)| self.get(id))
    }

    /// The tasks on an agent that have not ended.
    pub fn on_agent(&self, agent: &str) -> impl Iterator<Item = &Task> {
        let keys = self.index.by_agent.get(agent).map(|agent| &agent.tasks);
        keys.into_iter().flatten().filter_map(|key| self.tasks.get(*key))
    }

    /// How many agents have tasks that have not ended.
    pub fn count_agents(&self) -> usize {
        self.index.by_agent.len()
    }

    /// How many workers on an agent have not ended.
    pub fn count_workers_on(&self, agent: &str) -> usize {
        self.index.by_agent.get(agent).map_or(0, |agent| agent.workers)
    }

    /// All workers of a server, except workers that have ended.
    pub fn workers_of(&self, server: &str) -> impl Iterator<Item = &Task> {
        let keys = self.index.by_server.get(server);
        keys.into_iter().flatten().filter_map(|key| self.tasks.get(*key))
    }

    /// How many workers of a server have not ended.
    pub fn count_workers_of(&self, server: &str) -> usize {
        self.index.by_server.get(server).map_or(0, |keys| keys.len())
    }

    /// The workers that have not ended and whose server is not in service, grouped by server.
    pub fn workers_without_server(&self) -> impl Iterator<Item = &Task> {
        let gone = self.index.by_server.keys().filter(|server| !self.servers.contains_key(*server));
        let mut gone: Vec<&String> = gone.collect();
        gone.sort_unstable();
        gone.into_iter().flat_map(|server| self.workers_of(server))
    }

    /// Whether the worker is one of [`Self::workers_without_server`].
    pub fn has_lost_its_server(&self, worker: &Task) -> bool {
        let server = worker.record.server();
        !worker.has_ended() && server.is_some_and(|server| !self.servers.contains_key(server))
    }

    /// The tasks whose launch has not been sent yet.
    pub fn unsent(&self) -> impl Iterator<Item = &Task> {
        self.index.unsent.iter().filter_map(|key| self.tasks.get(*key))
    }

    /// The task for which this offer is reserved until it is accepted or declined.
    pub fn holder_of(&self, offer: &str) -> Option<&Task> {
        self.tasks.get(*self.index.held_for.get(offer)?)
    }

    /// Tasks that have ended, in the order in which they ended. If `settled` is true, these are the tasks that can send no more
    /// updates, otherwise the tasks that may still send some.
    pub fn ended(&self, settled: bool) -> impl Iterator<Item = &Task> {
        let of_kind = self.index.ended.iter().filter(move |(is_settled, ..)| *is_settled == settled);
        of_kind.filter_map(|(.., key)| self.tasks.get(*key))
    }

    /// The tasks of the servers in service.
    pub fn servers_in_service(&self) -> impl Iterator<Item = &Task> {
        self.servers.keys().filter_map(|id| self.get(id))
    }

    /// The servers to which workers may be assigned. They run, they are neither draining nor known to be ending, and their
    /// address is known.
    pub fn open_servers(&self) -> impl Iterator<Item = (&Task, &ServerAddress)> {
        let open = self.servers.iter().filter(|(_, state)| **state == ServerState::Open);
        let runs = |server: &&Task| server.is_running() && !server.is_ending;
        let running = open.filter_map(|(id, _)| self.get(id)).filter(runs);
        running.filter_map(|server| Some((server, server.record.address.as_ref()?)))
    }

    /// The open server with the fewest workers.
    pub fn least_busy_server(&self) -> Option<(&Task, &ServerAddress)> {
        self.open_servers().min_by_key(|(server, _)| self.count_workers_of(server.id()))
    }

    /// The tasks whose next KILL is due, in the order of their deadlines.
    pub fn kills_due(&self, now: Instant) -> impl Iterator<Item = &Task> {
        let due = self.index.kills.iter().take_while(move |(at, _)| *at <= now);
        due.filter_map(|(_, key)| self.tasks.get(*key))
    }

    /// The tasks that are to end and may still be on their agents.
    pub fn ending(&self) -> impl Iterator<Item = &Task> {
        self.index.kills.iter().filter_map(|(_, key)| self.tasks.get(*key))
    }

    /// The workers with a recent live message, by hashrate per CPU, the slowest first.
    pub fn slowest(&self) -> impl Iterator<Item = &Task> {
        self.hashrates.slowest().filter_map(|key| self.tasks.get(key))
    }

    /// The tasks that have not ended and that said in their last message that they wait for something, in the order in which they
    /// were added.
    pub fn with_problem(&self) -> impl Iterator<Item = &Task> {
        self.with_problem.iter().filter_map(|key| self.tasks.get(*key))
    }

    /// What workers have done according to their live messages, and the ledger does not have yet: hashes and shares.
    pub fn unaccounted(&self) -> Totals {
        self.unaccounted.sum()
    }

    /// The number of launches that may begin now; `None` if launches are not limited.
    pub fn launches_allowed(&self, now: Instant) -> Option<u64> {
        self.launch_limit.as_ref().map(|limit| limit.room(self.count_unsent() as u64, now))
    }

    /// The failure that limits launches to one agent at a time; `None` if no failure does so.
    pub fn common_failure(&self) -> Option<&CommonFailure> {
        self.launch_limit.as_ref().filter(|limit| limit.is_cautious())?.failure.as_ref()
    }

    /// What affects launches on an agent, except for what the agent's id does not tell. A machine that becomes unavailable within `notice` counts as leaving.
    pub fn marks(&self, agent: &str, notice: Duration, now: Instant) -> AgentMarks {
        let Some(agent) = self.agents.get(agent) else { return AgentMarks::default() };
        let window = agent.window.filter(|window| window.from <= now + notice);
        AgentMarks {
            failures: agent.pause.map_or(0, |pause| pause.failures),
            paused: agent.pause.filter(|pause| pause.until > now).map(|pause| pause.until - now),
            leaving: window.map(|window| window.from.saturating_duration_since(now)),
            held: agent.held,
            avoided: false,
            fetches: false,
        }
    }

    /// The number of tasks in each of Mesos' states.
    pub fn states(&self) -> &BTreeMap<TaskState, u64> {
        &self.index.states
    }

    /// State → the number of tasks in this state that have not ended. The key is `None` for tasks without any update so far.
    pub fn active_states(&self) -> &BTreeMap<Option<TaskState>, u64> {
        &self.index.active_states
    }

    /// How many launches have not been sent yet.
    pub fn count_unsent(&self) -> usize {
        self.index.unsent.len()
    }

    /// The counts of the tasks of one kind that have not ended.
    pub fn count(&self, kind: TaskKind) -> TaskCounts {
        self.index.of_kind(kind)
    }

    /// The number of tasks whose launch was sent and whose end is not known.
    pub fn count_live(&self) -> usize {
        self.index.may_live
    }

    /// The number of running workers.
    pub fn count_running_workers(&self) -> usize {
        self.index.running_workers
    }

    /// The total CPU (in thousandths of a CPU) and the number of the workers that count against limits and constraints.
    pub fn placed(&self) -> (u64, u64) {
        self.index.placed
    }

    /// For each constraint, how many workers there are for each value of the constraint's field. Only workers that count against
    /// constraints are counted.
    pub fn occupancy(&self) -> &Occupancy {
        &self.index.occupancy
    }

    /// The sum of the recent hashrates of workers in H/s, and the number of these workers.
    pub fn hashrate(&self) -> (f64, usize) {
        (self.hashrates.sum(), self.hashrates.count())
    }
}

/// The number in a task's id, by which launches are ordered. Tasks whose ids this program did not create come last.
fn launch_number(id: &str) -> u64 {
    task_number(id).unwrap_or(u64::MAX)
}
