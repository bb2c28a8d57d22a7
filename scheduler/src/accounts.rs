//! The ledger for people: pool's and workers' accounts side by side. Pure; [`cli`] reads and prints.
//!
//! Both count the same shares, so where nothing was killed the columns agree. They differ by what a dead task could
//! not report any more: a worker's last shares (`unreported`), or a pool server's last ones (`uncounted`).

pub mod cli;
mod render;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use mesos::v1::TaskState;
use serde::Serialize;
use task::Totals;

use crate::journal::{Account, Assignment, LedgerLine, TaskRecord};
use crate::store::{FailedLaunches, LedgerSnapshot};
use crate::task_id::TaskKind;

/// All accounts of one framework, or of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Accounts {
    /// The frameworks' ids, oldest first.
    pub frameworks: Vec<String>,
    /// One line for each worker task, in the order of their launch; then those who mined without being a task.
    pub workers: Vec<Row>,
    /// One line for each server task: what it counted of all its workers.
    pub servers: Vec<Row>,
    /// The sum of `workers`.
    pub total: Row,
    /// Since when single shares are kept, milliseconds since the Unix epoch; `None` if there is none.
    pub shares_since_ms: Option<u64>,
    /// Since when single shares are complete in this state folder, milliseconds since the Unix epoch; `None` if
    /// schedulers elsewhere never led.
    pub rows_since_ms: Option<u64>,
    /// Launches that failed long ago without anything mined: they have no line.
    pub failed_launches: Vec<FailedLaunches>,
}

/// The line of tasks that ended before, and whose own lines are not kept here.
pub const EARLIER: &str = "(earlier)";

/// One line: what the pool servers count, and what the worker counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// The task's id, which is also the worker's name at the pool.
    pub task: String,
    /// Its agent's host name; `None` for whoever is no task.
    pub host: Option<String>,
    /// Mesos' name of its last state; `None` before the first.
    pub state: Option<String>,
    /// As the pool servers count.
    pub pool: Column,
    /// As the worker counts.
    pub worker: Column,
    /// Accepted shares that the pool counts and the worker did not live to report. Only of tasks that ended; a
    /// live one reports them soon. `None` also for those that mined at a pool of others.
    pub unreported: Option<u64>,
    /// Accepted shares that the worker counts and the pool server did not live to report. Only of tasks that ended.
    pub uncounted: Option<u64>,
    /// A server that ended without its last report: what it counted after the one before is not in its count, so that
    /// the count may be short by what came within one report interval.
    pub short: bool,
    /// It mined at a pool that reports to nobody here: there is nothing to compare.
    #[serde(skip)]
    elsewhere: bool,
}

/// One count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Hashes searched; zero in the pool's column, which cannot know it.
    pub hashes: u128,
    /// Expected hashes of the accepted shares.
    pub accepted_work: u128,
    /// Accepted shares.
    pub accepted: u64,
    /// Shares rejected for any reason but staleness.
    pub rejected: u64,
    /// Outdated shares.
    pub stale: u64,
    /// Shares never answered.
    pub unanswered: u64,
    /// Blocks found.
    pub blocks: u64,
    /// Single shares that were left out of the reports.
    pub rows_omitted: u64,
}

impl Column {
    fn add(&mut self, totals: &Totals, rows_omitted: u64) {
        self.hashes = self.hashes.saturating_add(totals.hashes);
        self.accepted_work = self.accepted_work.saturating_add(totals.accepted_work);
        self.accepted = self.accepted.saturating_add(totals.accepted);
        self.rejected = self.rejected.saturating_add(totals.rejected);
        self.stale = self.stale.saturating_add(totals.stale);
        self.unanswered = self.unanswered.saturating_add(totals.unanswered);
        self.blocks = self.blocks.saturating_add(totals.blocks);
        self.rows_omitted = self.rows_omitted.saturating_add(rows_omitted);
    }

    fn merge(&mut self, other: &Column) {
        let Column { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks, rows_omitted } =
            *other;
        let totals = Totals { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks };
        self.add(&totals, rows_omitted);
    }
}

impl Row {
    fn of(task: &TaskRecord) -> Row {
        let state = task.state.map(|state| state.as_str_name().to_owned());
        let elsewhere = matches!(task.assignment, Some(Assignment::Pool(_)));
        Row { task: task.id.clone(), host: Some(task.host.clone()), state, elsewhere, ..Row::default() }
    }

    fn has_ended(&self) -> bool {
        let state = self.state.as_deref().and_then(TaskState::from_str_name);
        state.is_some_and(TaskState::is_terminal)
    }

    /// Only the end that was asked for, or its own, comes for sure with a task's last report. Some never began.
    fn may_lack_last_report(&self) -> bool {
        use TaskState::{TaskDropped, TaskError, TaskFinished, TaskKilled};
        let whole = [TaskKilled, TaskFinished, TaskDropped, TaskError].map(|state| state.as_str_name());
        self.has_ended() && !whole.contains(&self.state.as_deref().unwrap_or_default())
    }

    fn compare(&mut self) {
        if self.has_ended() && !self.elsewhere {
            let (pool, worker) = (self.pool.accepted, self.worker.accepted);
            self.unreported = Some(pool.saturating_sub(worker));
            self.uncounted = Some(worker.saturating_sub(pool));
        }
    }
}

impl Accounts {
    /// Puts the columns side by side.
    pub fn new(snapshot: &LedgerSnapshot) -> Accounts {
        let of_kind = |kind| snapshot.tasks.iter().filter(move |task| task.kind == kind).map(Row::of);
        let (mut workers, mut servers) = (Rows::default(), Rows::default());
        of_kind(TaskKind::Worker).for_each(|row| workers.push(row));
        of_kind(TaskKind::Server).for_each(|row| servers.push(row));
        for Account { reporter, kind, worker, entry } in snapshot.ledger.iter() {
            let row = workers.named(worker);
            let column = if kind == TaskKind::Server { &mut row.pool } else { &mut row.worker };
            column.add(&entry.totals, entry.rows_omitted);
            if kind == TaskKind::Server {
                servers.named(reporter).pool.add(&entry.totals, entry.rows_omitted);
            }
        }
        let (earlier, blocks) = snapshot.ledger.aggregated();
        if blocks > 0 || earlier != LedgerLine::default() {
            workers.named(EARLIER).pool.add(&earlier.pool, 0);
            workers.named(EARLIER).worker.add(&earlier.worker, 0);
            servers.named(EARLIER).pool.add(&earlier.pool, 0);
        }
        let (mut workers, mut servers) = (workers.rows, servers.rows);
        workers.iter_mut().for_each(Row::compare);
        servers.iter_mut().for_each(|server| server.short = server.may_lack_last_report());
        Accounts {
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

/// Lines in order, found by name.
#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    places: BTreeMap<String, usize>,
}

impl Rows {
    fn push(&mut self, row: Row) {
        self.places.insert(row.task.clone(), self.rows.len());
        self.rows.push(row);
    }

    /// The line of that name, a new one if there is none: of a miner that is no task.
    fn named(&mut self, name: &str) -> &mut Row {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => {
                self.push(Row { task: name.to_owned(), ..Row::default() });
                self.rows.len() - 1
            }
        };
        &mut self.rows[place]
    }
}

fn total(rows: &[Row]) -> Row {
    let mut total = Row { task: "total".to_owned(), ..Row::default() };
    let (mut unreported, mut uncounted) = (0u64, 0u64);
    for row in rows {
        total.pool.merge(&row.pool);
        total.worker.merge(&row.worker);
        unreported = unreported.saturating_add(row.unreported.unwrap_or(0));
        uncounted = uncounted.saturating_add(row.uncounted.unwrap_or(0));
    }
    (total.unreported, total.uncounted) = (Some(unreported), Some(uncounted));
    total.elsewhere = !rows.is_empty() && rows.iter().all(|row| row.elsewhere);
    total
}
