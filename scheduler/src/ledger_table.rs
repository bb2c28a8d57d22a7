//! The ledger as a table: the pool servers' and the workers' accounts side by side. This module is pure; [`cli`] reads and
//! prints.
//!
//! Both sides count the same shares, so the columns agree unless a task ended without its last report. Then the last shares
//! of a worker (`unreported`) or of a pool server (`uncounted`) are missing on one side.

pub mod cli;
mod render;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use mesos::v1::TaskState;
use serde::Serialize;
use task::Totals;

use crate::journal::{Account, Assignment, LedgerLine, TaskRecord};
use crate::store::{FailedLaunches, LedgerSnapshot};
use crate::task_id::TaskKind;

/// All accounts of one framework, or of several frameworks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LedgerTable {
    /// The frameworks' ids, oldest first.
    pub frameworks: Vec<String>,
    /// A row for each worker task, in the order of their launch; then a row for each miner that is not a task.
    pub workers: Vec<LedgerRow>,
    /// A row for each server task, with its counts for all its workers.
    pub servers: Vec<LedgerRow>,
    /// The sum of `workers`.
    pub total: LedgerRow,
    /// When the oldest stored single share was received, milliseconds since the Unix epoch; `None` if no share is stored.
    pub shares_since_ms: Option<u64>,
    /// Shares that were received before this time may be missing here, because another scheduler led then. Milliseconds since the
    /// Unix epoch; `None` if no other scheduler has ever led.
    pub rows_since_ms: Option<u64>,
    /// The number of launches that failed long ago, for each state and reason. Their tasks never mined, and have no rows.
    pub failed_launches: Vec<FailedLaunches>,
}

/// The name of the row with the sum of all tasks that ended long ago and have no rows of their own.
pub const EARLIER: &str = "(earlier)";

/// A row: the pool servers' counts for a worker, and the worker's own counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LedgerRow {
    /// The task's id, which is also the worker's name at the pool. For a miner that is not a task, only its name at the pool.
    pub task: String,
    /// The host name of the task's agent; `None` for a miner that is not a task.
    pub host: Option<String>,
    /// Mesos' name for the task's last state; `None` before its first status update.
    pub state: Option<String>,
    /// The pool servers' counts.
    pub pool: LedgerColumn,
    /// The worker's counts.
    pub worker: LedgerColumn,
    /// The number of accepted shares that the pool counted, but that the worker had not reported when it ended. `None` for a live
    /// task, which will report them, and for a worker at a foreign pool.
    pub unreported: Option<u64>,
    /// The number of accepted shares that the worker counted, but that no pool server has reported. `None` in the same cases
    /// as `unreported`.
    pub uncounted: Option<u64>,
    /// In the row of a server: whether the server ended without its last report, so that its count may lack the shares of one
    /// report interval. A server that ended before it listened is not short.
    pub short: bool,
    /// Whether the worker mined at a foreign pool, which does not report to us: there is nothing to compare.
    #[serde(skip)]
    foreign_pool: bool,
}

/// The counts of one side: the pool servers, or the worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerColumn {
    /// The totals. `hashes` is zero in a pool server's counts, because the server does not know how many hashes a worker
    /// computes.
    #[serde(flatten, with = "TotalsFields")]
    pub totals: Totals,
    /// The number of single shares that the reports left out, because the number of shares in a report is limited. The totals
    /// include them.
    pub rows_omitted: u64,
}

/// The JSON of [`Totals`], with all sums as numbers.
#[derive(Serialize)]
#[serde(remote = "Totals")]
struct TotalsFields {
    hashes: u128,
    accepted_work: u128,
    accepted: u64,
    rejected: u64,
    stale: u64,
    unanswered: u64,
    blocks: u64,
    candidates: u64,
    orphaned: u64,
}

impl LedgerColumn {
    fn add(&mut self, totals: Totals, rows_omitted: u64) {
        self.totals += totals;
        self.rows_omitted = self.rows_omitted.saturating_add(rows_omitted);
    }
}

impl LedgerRow {
    fn of(task: &TaskRecord) -> Self {
        let state = task.state.map(|state| state.as_str_name().to_owned());
        let foreign_pool = matches!(task.assignment, Some(Assignment::Pool(_)));
        LedgerRow {
            task: task.id.clone(),
            host: Some(task.host.clone()),
            state,
            foreign_pool,
            ..LedgerRow::default()
        }
    }

    fn has_ended(&self) -> bool {
        let state = self.state.as_deref().and_then(TaskState::from_str_name);
        state.is_some_and(TaskState::is_terminal)
    }

    /// Whether the task may have ended without sending its last report. A killed or finished task has sent it, and a task
    /// in state TASK_DROPPED or TASK_ERROR never started, so it had nothing to report.
    fn may_lack_last_report(&self) -> bool {
        use TaskState::{TaskDropped, TaskError, TaskFinished, TaskKilled};
        let complete = [TaskKilled, TaskFinished, TaskDropped, TaskError].map(|state| state.as_str_name());
        self.has_ended() && !complete.contains(&self.state.as_deref().unwrap_or_default())
    }

    fn compare(&mut self) {
        if self.has_ended() && !self.foreign_pool {
            let (pool, worker) = (self.pool.totals.accepted, self.worker.totals.accepted);
            self.unreported = Some(pool.saturating_sub(worker));
            self.uncounted = Some(worker.saturating_sub(pool));
        }
    }
}

impl LedgerTable {
    /// Makes the table from the accounts.
    pub fn new(snapshot: &LedgerSnapshot) -> Self {
        let of_kind = |kind| snapshot.tasks.iter().filter(move |task| task.kind == kind).map(LedgerRow::of);
        let (mut workers, mut servers) = (Rows::default(), Rows::default());
        of_kind(TaskKind::Worker).for_each(|row| workers.push(row));
        of_kind(TaskKind::Server).for_each(|row| servers.push(row));
        for Account { reporter, kind, worker, entry } in snapshot.ledger.iter() {
            let row = workers.named(worker);
            let column = if kind == TaskKind::Server { &mut row.pool } else { &mut row.worker };
            column.add(entry.totals, entry.rows_omitted);
            if kind == TaskKind::Server {
                servers.named(reporter).pool.add(entry.totals, entry.rows_omitted);
            }
        }
        let (earlier, blocks) = snapshot.ledger.aggregated();
        if blocks > 0 || earlier != LedgerLine::default() {
            workers.named(EARLIER).pool.add(earlier.pool, 0);
            workers.named(EARLIER).worker.add(earlier.worker, 0);
            servers.named(EARLIER).pool.add(earlier.pool, 0);
        }
        let (mut workers, mut servers) = (workers.rows, servers.rows);
        workers.iter_mut().for_each(LedgerRow::compare);
        let served = servers_that_served(snapshot);
        for server in &mut servers {
            server.short = server.may_lack_last_report() && served.contains(server.task.as_str());
        }
        LedgerTable {
            frameworks: snapshot.frameworks.clone(),
            total: total(&workers),
            workers,
            servers,
            shares_since_ms: snapshot.shares_since_ms,
            rows_since_ms: snapshot.rows_since_ms,
            failed_launches: snapshot.failed_launches.clone(),
        }
    }
}

/// The servers that may have counted something: those with a report, and those that a worker was launched for. A worker is launched
/// only after its server listens, so the others ended before that, and nothing of theirs can be missing.
fn servers_that_served(snapshot: &LedgerSnapshot) -> BTreeSet<&str> {
    let reporters = snapshot.ledger.iter().map(|account| account.reporter);
    reporters.chain(snapshot.tasks.iter().filter_map(TaskRecord::server)).collect()
}

/// Rows in the order in which they were added, with an index by name.
#[derive(Default)]
struct Rows {
    rows: Vec<LedgerRow>,
    positions: BTreeMap<String, usize>,
}

impl Rows {
    fn push(&mut self, row: LedgerRow) {
        self.positions.insert(row.task.clone(), self.rows.len());
        self.rows.push(row);
    }

    /// The row with this name. A missing row is created: it is for a miner that is not a task.
    fn named(&mut self, name: &str) -> &mut LedgerRow {
        let position = match self.positions.get(name) {
            Some(position) => *position,
            None => {
                self.push(LedgerRow { task: name.to_owned(), ..LedgerRow::default() });
                self.rows.len() - 1
            }
        };
        &mut self.rows[position]
    }
}

fn total(rows: &[LedgerRow]) -> LedgerRow {
    let mut total = LedgerRow { task: "total".to_owned(), ..LedgerRow::default() };
    let (mut unreported, mut uncounted) = (0u64, 0u64);
    for row in rows {
        total.pool.add(row.pool.totals, row.pool.rows_omitted);
        total.worker.add(row.worker.totals, row.worker.rows_omitted);
        unreported = unreported.saturating_add(row.unreported.unwrap_or(0));
        uncounted = uncounted.saturating_add(row.uncounted.unwrap_or(0));
    }
    (total.unreported, total.uncounted) = (Some(unreported), Some(uncounted));
    total.foreign_pool = !rows.is_empty() && rows.iter().all(|row| row.foreign_pool);
    total
}
