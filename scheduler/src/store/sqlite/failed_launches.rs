//! Launches that failed before they mined anything. When the tasks of such launches retire, their own rows are deleted. Instead,
//! each run of consecutive task numbers with the same state and reason has one row. So even thousands of failures take little
//! space.

use database::{integer, unsigned};
use mesos::v1::TaskState;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::schema::has_table;
use super::tables::Tables;
use crate::journal::TaskRecord;
use crate::store::FailedLaunches;
use crate::task_id::task_number;

/// The SQL query for one framework's failed launches. Each row becomes a [`FailedRun`].
const FAILED_LAUNCHES: &str =
    "SELECT first, last, state, reason, closed FROM failed_launches WHERE framework = ?1";

/// Consecutive task numbers of launches that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FailedRun {
    pub first: u64,
    pub last: u64,
    pub state: String,
    pub reason: String,
    pub closed: bool,
}

impl FailedRun {
    pub fn ended_like(&self, other: &FailedRun) -> bool {
        (&self.state, &self.reason, self.closed) == (&other.state, &other.reason, other.closed)
    }
}

/// `row` is a result row of the query [`FAILED_LAUNCHES`].
fn failed_run(row: &Row<'_>) -> rusqlite::Result<FailedRun> {
    Ok(FailedRun {
        first: unsigned(row.get(0)?),
        last: unsigned(row.get(1)?),
        state: row.get(2)?,
        reason: row.get(3)?,
        closed: row.get(4)?,
    })
}

/// All rows of the table `failed_launches` for a framework, in the order of the task numbers.
pub(super) fn failed_runs(connection: &Connection, framework: &str) -> rusqlite::Result<Vec<FailedRun>> {
    connection
        .prepare(&format!("{FAILED_LAUNCHES} ORDER BY first"))?
        .query_map([framework], failed_run)?
        .collect()
}

/// The number of a framework's launches that failed in each way, the highest number first.
pub(in crate::store) fn failed_launches(
    connection: &Connection,
    framework: &str,
) -> rusqlite::Result<Vec<FailedLaunches>> {
    // Folders of earlier formats do not have this table, and `mesos-miner ledger` reads such folders without converting them.
    if !has_table(connection, "failed_launches")? {
        return Ok(Vec::new());
    }
    let sql =
        "SELECT state, reason, sum(last - first + 1) AS launches FROM failed_launches WHERE framework = ?1
         GROUP BY state, reason ORDER BY launches DESC, state, reason";
    let sum = |row: &Row<'_>| {
        let reason: String = row.get(1)?;
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        Ok(FailedLaunches { launches: unsigned(row.get(2)?), state: row.get(0)?, reason })
    };
    connection.prepare(sql)?.query_map([framework], sum)?.collect()
}

/// If a retiring task failed before it mined anything, deletes the task's own row and adds the task to a run of consecutive
/// failed launches. Returns whether this was done. The cost does not depend on the number of tasks and accounts.
pub(super) fn replace_task(tables: &Tables<'_>, task: &TaskRecord) -> rusqlite::Result<bool> {
    let failed = [TaskState::TaskFailed, TaskState::TaskError, TaskState::TaskDropped];
    let Some(state) = task.state.filter(|state| failed.contains(state)) else { return Ok(false) };
    // SQLite's integers are signed 64-bit numbers, so a higher number would be stored as a negative one. A task with such a
    // number keeps its row.
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
    insert(tables, FailedRun { first: number, last: number, state, reason, closed: task.closed })?;
    tables.delete_task(&task.id)?;
    tables.run("DELETE FROM closed WHERE task = ?1", [&task.id])?;
    Ok(true)
}

/// Whether the task or its server has reported work of this task.
fn has_account(tables: &Tables<'_>, task: &TaskRecord) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM account WHERE task = ?1)
         OR EXISTS (SELECT 1 FROM account WHERE task = ?2 AND worker = ?1)";
    let mut query = tables.transaction.prepare_cached(sql)?;
    query.query_row(params![task.id, task.server()], |row| row.get(0))
}

/// Inserts a run of failed launches, and joins it with the runs directly before and after it if those failed in the same way.
fn insert(tables: &Tables<'_>, mut run: FailedRun) -> rusqlite::Result<()> {
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

/// Returns the last [`FailedRun`] that begins at or before `number`. No other one can contain `number`, because they do not
/// overlap.
fn find(tables: &Tables<'_>, number: u64) -> rusqlite::Result<Option<FailedRun>> {
    let sql = format!("{FAILED_LAUNCHES} AND first <= ?2 ORDER BY first DESC LIMIT 1");
    let framework = tables.framework.as_deref().unwrap_or_default();
    let mut query = tables.transaction.prepare_cached(&sql)?;
    query.query_row(params![framework, i64::try_from(number).unwrap_or(i64::MAX)], failed_run).optional()
}

/// Whether a run of consecutive failed launches contains this task.
pub(super) fn contain(tables: &Tables<'_>, id: &str) -> rusqlite::Result<bool> {
    let Some(number) = task_number(id) else { return Ok(false) };
    Ok(find(tables, number)?.is_some_and(|run| run.last >= number))
}

/// Removes a task's number from the failed launches. The caller then stores a row for the task, because ZooKeeper has a record of
/// it.
pub(super) fn remove_task(tables: &Tables<'_>, id: &str) -> rusqlite::Result<()> {
    let Some(number) = task_number(id) else { return Ok(()) };
    let Some(run) = find(tables, number)?.filter(|run| run.last >= number) else { return Ok(()) };
    delete(tables, run.first)?;
    if run.first < number {
        insert(tables, FailedRun { last: number - 1, ..run.clone() })?;
    }
    if run.last > number {
        insert(tables, FailedRun { first: number + 1, ..run })?;
    }
    Ok(())
}
