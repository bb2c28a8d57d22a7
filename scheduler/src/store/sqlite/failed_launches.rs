//! Launches that failed without anything mined: when they retire, of their rows remain runs of numbers with state and
//! reason. Thousands that failed one after the other are one row.

use mesos::v1::TaskState;
use rusqlite::{Connection, OptionalExtension, params};

use super::tables::Tables;
use super::values::{integer, unsigned};
use crate::journal::TaskRecord;
use crate::store::FailedLaunches;
use crate::task_id::task_number;

/// Numbers of tasks that ended alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub first: u64,
    pub last: u64,
    pub state: String,
    reason: String,
    pub closed: bool,
}

impl Run {
    fn ended_like(&self, other: &Run) -> bool {
        (&self.state, &self.reason, self.closed) == (&other.state, &other.reason, other.closed)
    }
}

/// Takes a task that retires out of the tables if it is one of these; whether it is. What it asks for costs the same
/// however many tasks and accounts there are.
pub(super) fn take_in(tables: &Tables<'_>, task: &TaskRecord) -> rusqlite::Result<bool> {
    let failed = [TaskState::TaskFailed, TaskState::TaskError, TaskState::TaskDropped];
    let Some(state) = task.state.filter(|state| failed.contains(state)) else { return Ok(false) };
    // Beyond this, numbers have no order here.
    let Some(number) = task_number(&task.id).filter(|number| i64::try_from(*number).is_ok()) else {
        return Ok(false);
    };
    if has_account(tables, task)? {
        return Ok(false);
    }
    let sql = "SELECT coalesce(reason, '') FROM task WHERE id = ?1";
    let reason =
        tables.transaction.prepare_cached(sql)?.query_row([&task.id], |row| row.get(0)).optional()?;
    let (state, reason) = (state.as_str_name().to_owned(), reason.unwrap_or_default());
    insert(tables, Run { first: number, last: number, state, reason, closed: task.closed })?;
    tables.delete_task(&task.id)?;
    tables.run("DELETE FROM closed WHERE task = ?1", [&task.id])?;
    Ok(true)
}

/// Whether it reported anything, or its server of it.
fn has_account(tables: &Tables<'_>, task: &TaskRecord) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM account WHERE task = ?1)
         OR EXISTS (SELECT 1 FROM account WHERE task = ?2 AND worker = ?1)";
    let mut query = tables.transaction.prepare_cached(sql)?;
    query.query_row(params![task.id, task.server()], |row| row.get(0))
}

/// Adds a run that is not there, and joins it to those beside it.
fn insert(tables: &Tables<'_>, mut run: Run) -> rusqlite::Result<()> {
    if let Some(before) = find(tables, run.first)?
        && before.last.checked_add(1) == Some(run.first)
        && before.ended_like(&run)
    {
        delete(tables, before.first)?;
        run.first = before.first;
    }
    if let Some(after) = find(tables, run.last.saturating_add(1))?
        && run.last.checked_add(1) == Some(after.first)
        && after.ended_like(&run)
    {
        delete(tables, after.first)?;
        run.last = after.last;
    }
    tables.run(
        "INSERT OR REPLACE INTO failed_launches (framework, first, last, state, reason, closed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            tables.framework.as_deref().unwrap_or_default(),
            integer(run.first),
            integer(run.last),
            run.state,
            run.reason,
            run.closed
        ],
    )
}

fn delete(tables: &Tables<'_>, first: u64) -> rusqlite::Result<()> {
    let framework = tables.framework.as_deref().unwrap_or_default();
    tables.run(
        "DELETE FROM failed_launches WHERE framework = ?1 AND first = ?2",
        params![framework, integer(first)],
    )
}

/// The run that begins last of those up to this number.
fn find(tables: &Tables<'_>, number: u64) -> rusqlite::Result<Option<Run>> {
    let sql =
        "SELECT first, last, state, reason, closed FROM failed_launches WHERE framework = ?1 AND first <= ?2
         ORDER BY first DESC LIMIT 1";
    let framework = tables.framework.as_deref().unwrap_or_default();
    let mut query = tables.transaction.prepare_cached(sql)?;
    query.query_row(params![framework, i64::try_from(number).unwrap_or(i64::MAX)], run_in).optional()
}

fn run_in(row: &rusqlite::Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        first: unsigned(row.get(0)?),
        last: unsigned(row.get(1)?),
        state: row.get(2)?,
        reason: row.get(3)?,
        closed: row.get(4)?,
    })
}

/// Whether the task with this id is one of them.
pub(super) fn contain(tables: &Tables<'_>, id: &str) -> rusqlite::Result<bool> {
    let Some(number) = task_number(id) else { return Ok(false) };
    Ok(find(tables, number)?.is_some_and(|run| run.last >= number))
}

/// The task with this id is none of them after all: schedulers elsewhere have it as one that has not retired.
pub(super) fn take_out(tables: &Tables<'_>, id: &str) -> rusqlite::Result<()> {
    let Some(number) = task_number(id) else { return Ok(()) };
    let Some(run) = find(tables, number)?.filter(|run| run.last >= number) else { return Ok(()) };
    delete(tables, run.first)?;
    if run.first < number {
        insert(tables, Run { last: number - 1, ..run.clone() })?;
    }
    if run.last > number {
        insert(tables, Run { first: number + 1, ..run })?;
    }
    Ok(())
}

/// Whether the folder has the table: those of earlier formats have none, and `mesos-miner ledger` changes no folder.
fn exist(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'failed_launches')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// All runs of a framework, in order.
pub(super) fn runs(connection: &Connection, framework: &str) -> rusqlite::Result<Vec<Run>> {
    if !exist(connection)? {
        return Ok(Vec::new());
    }
    let sql =
        "SELECT first, last, state, reason, closed FROM failed_launches WHERE framework = ?1 ORDER BY first";
    connection.prepare(sql)?.query_map([framework], run_in)?.collect()
}

/// The lowest number that is above all of all frameworks.
pub(super) fn next_number(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(last), 0) + 1 FROM failed_launches";
    connection.query_row(sql, [], |row| row.get(0)).map(unsigned)
}

/// How many of a framework's launches failed in which way, most first.
pub(in crate::store) fn sums(
    connection: &Connection,
    framework: &str,
) -> rusqlite::Result<Vec<FailedLaunches>> {
    if !exist(connection)? {
        return Ok(Vec::new());
    }
    let sql =
        "SELECT state, reason, sum(last - first + 1) AS launches FROM failed_launches WHERE framework = ?1
         GROUP BY state, reason ORDER BY launches DESC, state, reason";
    let sum = |row: &rusqlite::Row<'_>| {
        let reason: String = row.get(1)?;
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        Ok(FailedLaunches { launches: unsigned(row.get(2)?), state: row.get(0)?, reason })
    };
    connection.prepare(sql)?.query_map([framework], sum)?.collect()
}
