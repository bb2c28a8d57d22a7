//! The tasks and agents of the framework, with what is counted and looked up of them.
//!
//! Rules only read it. Whatever changes a task or an agent goes through a method here, so that counts and indexes always
//! agree with them, and each question of a rule costs the same with a hundred tasks and with fifty thousand.

mod agent;
mod change;
mod due;
mod index;
mod kills;
mod launch_limit;
mod rates;
mod servers;
mod table;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::task::{Intervals, ServerAddress};
use mesos::v1::TaskState;

pub use self::agent::{Agent, Pause, Window};
pub use self::due::DueQueue;
pub use self::index::Present;
pub use self::launch_limit::{CommonFailure, LaunchLimit};
pub use self::servers::Service;
pub use self::task::{
    Health, INTERVALS_WAITED, LIVE, Lifecycle, PlannedLaunch, Slot, StateChange, Task, is_over,
};

use self::agent::Agents;
use self::index::Index;
use self::rates::Rates;
use self::servers::Servers;
use self::table::Table;
use crate::constraints::{Constraint, Occupancy};
use crate::journal::number;
use crate::kind::Kind;
use crate::offers::{self, AgentMarks, UnusedAgent};

/// All tasks and agents.
#[derive(Debug, Default)]
pub struct Fleet {
    tasks: Table,
    agents: Agents,
    servers: Servers,
    index: Index,
    rates: Rates,
    launch_limit: Option<LaunchLimit>,
    worker_intervals: Option<Intervals>,
}

impl Fleet {
    /// Nothing yet. `constraints` are those that workers have to meet.
    pub fn new(constraints: &[Constraint]) -> Self {
        Self { index: Index::new(constraints), ..Self::default() }
    }

    // What there is.

    /// The task with this id.
    pub fn get(&self, id: &str) -> Option<&Task> {
        self.tasks.get(self.tasks.key(id)?)
    }

    /// All tasks, those that are over too, in the order in which they came.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.tasks.keys().filter_map(|key| self.tasks.get(key))
    }

    /// The tasks that are not over, in the order in which they came.
    pub fn present(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.index.present.iter().filter_map(|key| self.tasks.get(*key))
    }

    /// The servers that are not over, those that were given up included.
    pub fn present_servers(&self) -> impl Iterator<Item = &Task> {
        self.index.present_servers.iter().filter_map(|key| self.tasks.get(*key))
    }

    /// The tasks that are not over in the order of their launch, as their numbers tell it, after the task with this id. That
    /// one may be gone. Tasks whose names are not of our making have no number, and come last.
    pub fn in_launch_order(&self, after: Option<&str>) -> impl Iterator<Item = &Task> {
        let place = |id: &str| (launch_number(id), Arc::from(id));
        let from = after.map_or(Unbounded, |after| Excluded(place(after)));
        self.index.in_launch_order.range((from, Unbounded)).filter_map(|(_, id)| self.get(id))
    }

    /// The tasks on an agent that are not over.
    pub fn on_agent(&self, agent: &str) -> impl Iterator<Item = &Task> {
        let keys = self.index.by_agent.get(agent).map(|agent| &agent.tasks);
        keys.into_iter().flatten().filter_map(|key| self.tasks.get(*key))
    }

    /// How many agents have tasks of ours, or had them lately.
    pub fn count_agents(&self) -> usize {
        self.index.by_agent.len()
    }

    /// How many workers on an agent are not over.
    pub fn count_workers_on(&self, agent: &str) -> usize {
        self.index.by_agent.get(agent).map_or(0, |agent| agent.workers)
    }

    /// The workers of a server that are not over.
    pub fn workers_of(&self, server: &str) -> impl Iterator<Item = &Task> {
        let keys = self.index.by_server.get(server);
        keys.into_iter().flatten().filter_map(|key| self.tasks.get(*key))
    }

    /// How many workers of a server are not over.
    pub fn count_workers_of(&self, server: &str) -> usize {
        self.index.by_server.get(server).map_or(0, |keys| keys.len())
    }

    /// The workers that are not over and whose server is given up, server by server.
    pub fn workers_without_server(&self) -> impl Iterator<Item = &Task> {
        let gone = self.index.by_server.keys().filter(|server| !self.servers.contains(server));
        let mut gone: Vec<&String> = gone.collect();
        gone.sort_unstable();
        gone.into_iter().flat_map(|server| self.workers_of(server))
    }

    /// Whether the task is one of those.
    pub fn has_lost_its_server(&self, worker: &Task) -> bool {
        let server = worker.record.server();
        !worker.is_over() && server.is_some_and(|server| !self.servers.contains(server))
    }

    /// The tasks whose launch is being written down.
    pub fn unsent(&self) -> impl Iterator<Item = &Task> {
        self.index.unsent.iter().filter_map(|key| self.tasks.get(*key))
    }

    /// The task for which an offer is held.
    pub fn holder_of(&self, offer: &str) -> Option<&Task> {
        self.tasks.get(*self.index.held_for.get(offer)?)
    }

    /// The tasks that are over, those first that are so for longest: those of which nothing new is to come, or the others.
    pub fn ended(&self, settled: bool) -> impl Iterator<Item = &Task> {
        let of_kind = self.index.ended.iter().filter(move |(is_settled, ..)| *is_settled == settled);
        of_kind.filter_map(|(.., key)| self.tasks.get(*key))
    }

    /// The servers in service: from the decision to launch one until it is given up.
    pub fn servers(&self) -> impl Iterator<Item = &Task> {
        self.servers.iter().filter_map(|(id, _)| self.get(id))
    }

    /// How the server with this id is used, if it is in service.
    pub fn service(&self, id: &str) -> Option<Service> {
        self.servers.get(id)
    }

    /// The servers that workers may work for: they run, say where they listen, and are not to move.
    pub fn open_servers(&self) -> impl Iterator<Item = (&Task, &ServerAddress)> {
        let open = self.servers.iter().filter(|(_, service)| *service == Service::Open);
        let running = open.filter_map(|(id, _)| self.get(id)).filter(|server| server.is_running());
        running.filter_map(|server| Some((server, server.record.address.as_ref()?)))
    }

    /// Among those the one with the fewest workers.
    pub fn least_busy_server(&self) -> Option<(&Task, &ServerAddress)> {
        self.open_servers().min_by_key(|(server, _)| self.count_workers_of(server.id()))
    }

    /// The next tasks to KILL, those first that wait for longest.
    pub fn kills_due(&self, now: Instant) -> impl Iterator<Item = &Task> {
        let due = self.index.kills.iter().take_while(move |(at, _)| *at <= now);
        due.filter_map(|(_, key)| self.tasks.get(*key))
    }

    /// The slowest of the workers that told their hashrate lately, by hashrate per CPU.
    pub fn slowest(&self) -> impl Iterator<Item = &Task> {
        self.rates.slowest().filter_map(|key| self.tasks.get(key))
    }

    /// What is known of an agent.
    pub fn agent(&self, id: &str) -> Option<&Agent> {
        self.agents.get(id)
    }

    /// All reasons why nothing is launched somewhere, each once.
    pub fn unused_reasons(&self) -> impl ExactSizeIterator<Item = &UnusedAgent> {
        self.agents.reasons()
    }

    /// What limits launches.
    pub fn launch_limit(&self) -> Option<&LaunchLimit> {
        self.launch_limit.as_ref()
    }

    /// How many launches may begin, if they are limited.
    pub fn launches_allowed(&self, now: Instant) -> Option<u64> {
        self.launch_limit.as_ref().map(|limit| limit.room(self.count_unsent() as u64, now))
    }

    /// The failure that agents have in common, while they are tried one at a time.
    pub fn common_failure(&self) -> Option<&CommonFailure> {
        self.launch_limit.as_ref().filter(|limit| limit.is_cautious())?.failure.as_ref()
    }

    /// The intervals that workers are to use; `None` before anything was decided.
    pub fn worker_intervals(&self) -> Option<Intervals> {
        self.worker_intervals
    }

    // Counts.

    /// How many tasks are in each of Mesos' states.
    pub fn states(&self) -> &BTreeMap<TaskState, u64> {
        &self.index.states
    }

    /// How many tasks that are not over are in each state; before its first update a task has none.
    pub fn present_states(&self) -> &BTreeMap<Option<TaskState>, u64> {
        &self.index.present_states
    }

    /// How many launches are being written down.
    pub fn count_unsent(&self) -> usize {
        self.index.unsent.len()
    }

    /// The tasks of one kind that are not over, in numbers.
    pub fn count(&self, kind: Kind) -> Present {
        self.index.of_kind(kind)
    }

    /// How many tasks may be alive on their agents.
    pub fn count_live(&self) -> usize {
        self.index.may_live
    }

    /// How many workers run.
    pub fn count_running_workers(&self) -> usize {
        self.index.running_workers
    }

    /// CPU (thousandths) and number of the workers that count against limits and constraints.
    pub fn placed(&self) -> (u64, u64) {
        self.index.placed
    }

    /// The workers that count, by what the constraints of workers look at.
    pub fn occupancy(&self) -> &Occupancy {
        &self.index.occupancy
    }

    /// H/s of the workers that told theirs lately, and how many they are.
    pub fn hashrate(&self) -> (f64, usize) {
        (self.rates.sum(), self.rates.count())
    }
}

/// What speaks against launching on agents, at one moment.
#[derive(Debug)]
pub struct Marks<'a> {
    /// The agents.
    pub fleet: &'a Fleet,
    /// An agent is left alone if its machine goes away within this time.
    pub notice: Duration,
    /// The moment.
    pub now: Instant,
}

impl offers::Agents for Marks<'_> {
    fn marks(&self, agent: &str) -> AgentMarks {
        let Some(agent) = self.fleet.agent(agent) else { return AgentMarks::default() };
        let window = agent.window.filter(|window| window.from <= self.now + self.notice);
        AgentMarks {
            failures: agent.pause.map_or(0, |pause| pause.failures),
            paused: agent.pause.filter(|pause| pause.until > self.now).map(|pause| pause.until - self.now),
            leaving: window.map(|window| window.from.saturating_duration_since(self.now)),
            held: agent.held,
            fetches: false,
        }
    }
}

/// Ids are numbered in the order of launches.
fn launch_number(id: &str) -> u64 {
    number(id).unwrap_or(u64::MAX)
}

/// The offers that are held for a task.
pub fn held_offers(task: &Task) -> &[String] {
    match task.lifecycle() {
        Lifecycle::Writing(launch) => &launch.accept.offers,
        Lifecycle::CalledOff { offers, .. } => offers,
        _ => &[],
    }
}

/// The launch that is being written down, unless it was called off.
pub fn planned_launch(task: &Task) -> Option<&PlannedLaunch> {
    match task.lifecycle() {
        Lifecycle::Writing(launch) => Some(launch),
        _ => None,
    }
}

/// The other tasks of the call that is to launch this one, if it is this one that holds the offers.
pub fn launched_with(task: &Task) -> Option<&[String]> {
    match task.lifecycle() {
        Lifecycle::Writing(launch) => launch.with.as_deref(),
        Lifecycle::CalledOff { with, .. } => with.as_deref(),
        _ => None,
    }
}
