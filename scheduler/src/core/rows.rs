//! The rows of long lists for users. They are read a slice at a time, with events between two slices, so that a list of any
//! length does not hold up the framework. No decision depends on them.

mod agents;

use std::time::{Duration, Instant};

use ::task::Totals;

pub use self::agents::{AgentRow, AgentState, agent_rows};

use super::overview::{TaskOverview, line};
use crate::fleet::{Agent, Fleet};
use crate::history::History;
use crate::journal::LedgerLine;
use crate::offers::{Demand, UnusedAgent};
use crate::policy::maintenance_notice;

/// The number of rows in a slice: about half a millisecond of work.
const SLICE: usize = 500;
/// The name of the row with the blocks of workers that have no account of their own any more.
const RETIRED: &str = "(retired)";

/// Some rows of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// The name of the last row, after which the next slice begins; `None` if this slice is the last one.
    pub next: Option<String>,
}

/// What is known about an agent, apart from its tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentFacts {
    /// The agent's id.
    pub id: String,
    /// How many launches in a row have failed there.
    pub failures: u32,
    /// For how long nothing is launched there, since tasks failed.
    pub paused: Option<Duration>,
    /// How soon the agent's machine becomes unavailable because of maintenance. Nothing is launched there any more.
    pub leaving: Option<Duration>,
    /// Why the agent has no more tasks.
    pub unused: Option<UnusedAgent>,
}

/// A worker that has found blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockFinder {
    /// The worker's name.
    pub worker: String,
    /// The host name of the worker's agent, if the worker is a task that has not retired.
    pub host: Option<String>,
    /// The number of blocks that the worker has found.
    pub blocks: u64,
    /// The accepted shares of the worker that met the network's target.
    pub candidates: u64,
    /// How many of the blocks have left the node's chain.
    pub orphaned: u64,
    /// How long ago this run of the scheduler learned of the worker's last block; `None` if that was before this run.
    pub last: Option<Duration>,
}

/// The figures of one moment that a series records.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pulse {
    /// The sum of the hashrates that workers state in recent live messages, in H/s.
    pub hashrate: f64,
    /// The number of running workers.
    pub workers: u64,
    /// What workers have done according to the ledger.
    pub accounted: Totals,
    /// What only their live messages say so far.
    pub live: Totals,
    /// The number of blocks found.
    pub blocks: u64,
}

/// Takes a slice of `rows`, each with its name.
fn slice<T>(rows: impl Iterator<Item = (String, T)>) -> Slice<T> {
    let mut rows = rows.peekable();
    let mut taken = Vec::with_capacity(SLICE);
    let mut next = None;
    while taken.len() < SLICE
        && let Some((name, row)) = rows.next()
    {
        taken.push(row);
        next = Some(name);
    }
    Slice { rows: taken, next: next.filter(|_| rows.peek().is_some()) }
}

/// The tasks that have not ended, in the order of their launch.
pub(super) fn tasks(
    fleet: &Fleet,
    history: &History,
    after: Option<&str>,
    now: Instant,
) -> Slice<TaskOverview> {
    slice(fleet.in_launch_order(after).map(|task| (task.id().to_owned(), line(task, &history.ledger, now))))
}

/// The agents about which something is known, by id.
pub(super) fn agents(fleet: &Fleet, after: Option<&str>, now: Instant) -> Slice<AgentFacts> {
    slice(fleet.agents.known(after).map(|(id, agent)| (id.to_owned(), facts(id, agent, now))))
}

fn facts(id: &str, agent: &Agent, now: Instant) -> AgentFacts {
    let paused = agent.pause.filter(|pause| pause.until > now);
    let notice = maintenance_notice(Demand::Workers);
    let window = agent.window.filter(|window| window.from <= now + notice);
    AgentFacts {
        id: id.to_owned(),
        failures: agent.pause.map_or(0, |pause| pause.failures),
        paused: paused.map(|pause| pause.until - now),
        leaving: window.map(|window| window.from.saturating_duration_since(now)),
        unused: agent.unused().cloned(),
    }
}

/// The workers that have found blocks, by name. The last row of all has the blocks of workers that have no account of their own
/// any more.
pub(super) fn blocks(
    fleet: &Fleet,
    history: &History,
    after: Option<&str>,
    now: Instant,
) -> Slice<BlockFinder> {
    let finder = |worker: &str, line: LedgerLine| BlockFinder {
        worker: worker.to_owned(),
        host: fleet.get(worker).map(|task| task.host().to_owned()),
        blocks: line.blocks(),
        candidates: line.candidates(),
        orphaned: line.pool.orphaned,
        last: history.block_times.last(worker).map(|at| now.saturating_duration_since(at)),
    };
    let own =
        history.ledger.with_blocks(after).map(|(worker, line)| (worker.to_owned(), finder(worker, line)));
    let mut slice = slice(own);
    let (line, blocks) = history.ledger.aggregated();
    if slice.next.is_none() && blocks > 0 {
        slice.rows.push(BlockFinder { blocks, ..finder(RETIRED, line) });
    }
    slice
}

/// The figures of this moment.
pub(super) fn pulse(fleet: &Fleet, history: &History) -> Pulse {
    let (sum, blocks) = history.ledger.sum();
    let (hashrate, workers) = (fleet.hashrate().0, fleet.count_running_workers() as u64);
    Pulse { hashrate, workers, accounted: sum.worker, live: fleet.unaccounted(), blocks }
}
