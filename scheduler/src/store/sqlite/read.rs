//! Rows → the records of earlier runs of the scheduler.

use std::collections::HashMap;

use database::{sum, unsigned};
use mesos::v1::TaskState;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use serde::de::DeserializeOwned;
use task::{ServerAddress, Totals};

use super::failed_launches::failed_runs;
use super::schema::{RETIRED_ELSEWHERE, has_table};
use crate::attributes::Attributes;
use crate::journal::{
    self, Assignment, AvoidedAgent, Controls, Entry, FrameworkRecord, Ledger, LedgerLine, Origin,
    RecoveredState, Removal, RetiredTasks, SpecificationKey, TaskRecord,
};
use crate::store::{totals_json::RetiredJson, totals_json::SumJson};
use crate::task_id::TaskKind;

/// Reads the framework that has not ended, with all its tasks and accounts, including those of retired tasks.
pub(in crate::store) fn recover(connection: &Connection) -> rusqlite::Result<RecoveredState> {
    let last_numbers = "SELECT max((SELECT coalesce(max(number), 0) FROM task),
        (SELECT coalesce(max(last), 0) FROM failed_launches))";
    let last: i64 = connection.query_row(last_numbers, [], |row| row.get(0))?;
    let mut recovered = RecoveredState {
        next_number: unsigned(last).saturating_add(1),
        avoided: avoided(connection)?,
        controls: controls(connection)?,
        specification_key: specification_key(connection)?,
        ..RecoveredState::default()
    };
    let Some((framework, peak)) = framework(connection)? else { return Ok(recovered) };
    let id = framework.id.clone();
    let mut tasks = tasks(connection, &id)?;
    if let Some(OtherLeaders { retired, next_number, .. }) = other_leaders(connection, &id)? {
        recovered.next_number = recovered.next_number.max(next_number);
        recovered.retired = retired;
        tasks.retain(|(task, _)| !recovered.retired.contains(&task.id));
    }
    for (task, retired) in tasks {
        if retired {
            recovered.retired.insert(&task);
        } else {
            recovered.tasks.push(task);
        }
    }
    for run in failed_runs(connection, &id)? {
        recovered.retired.insert_all(run.first..=run.last, state_named(2, &run.state)?, run.closed);
    }
    ledger(connection, &id, &mut recovered.ledger)?;
    recovered.peak_workers = peak;
    recovered.framework = Some(framework);
    Ok(recovered)
}

/// The framework that has not ended, and the highest number of workers that mined at the same time.
pub(super) fn framework(connection: &Connection) -> rusqlite::Result<Option<(FrameworkRecord, u64)>> {
    let sql = "SELECT id, started_ms, peak, removed_ms, silent_ms, failover_ms, tearing_down FROM framework
         WHERE ended_ms IS NULL ORDER BY started_ms DESC LIMIT 1";
    let record = |row: &Row<'_>| {
        let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(unsigned));
        let silent_ms = time(4)?;
        let removal = time(3)?.map(|removed_ms| Removal { removed_ms, silent_ms });
        let framework = FrameworkRecord {
            id: row.get(0)?,
            started_ms: unsigned(row.get(1)?),
            failover_ms: time(5)?,
            tearing_down: row.get(6)?,
            removal,
        };
        Ok((framework, unsigned(row.get(2)?)))
    };
    connection.query_row(sql, [], record).optional()
}

/// When the last launch or report of a framework was recorded, in milliseconds since the Unix epoch. If there is no launch or
/// report, this is the time when the framework began.
pub(super) fn last_recorded_ms(
    connection: &Connection,
    framework: &FrameworkRecord,
) -> rusqlite::Result<u64> {
    let sql = "SELECT max(coalesce((SELECT max(updated_ms) FROM account WHERE framework = ?1), 0),
        coalesce((SELECT max(created_ms) FROM task WHERE framework = ?1), 0))";
    let last: i64 = connection.query_row(sql, [&framework.id], |row| row.get(0))?;
    Ok(unsigned(last).max(framework.started_ms))
}

/// Task id → launch time in milliseconds since the Unix epoch, for each task that has not reached TASK_RUNNING. Tasks of all
/// frameworks are included.
pub(super) fn launch_times(connection: &Connection) -> rusqlite::Result<HashMap<String, u64>> {
    let sql = "SELECT id, created_ms FROM task WHERE NOT retired
         AND (state IS NULL OR state IN ('TASK_STAGING', 'TASK_STARTING'))";
    let mut query = connection.prepare(sql)?;
    let times = query.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
    times.collect()
}

/// A task that has not retired, without its attributes.
pub(super) fn task(
    connection: &Connection,
    framework: &str,
    id: &str,
) -> rusqlite::Result<Option<TaskRecord>> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT {TASK}, NULL FROM task WHERE id = ?1 AND framework = ?2 AND NOT retired"
    ))?;
    query.query_row([id, framework], task_in).optional()
}

/// The row of a retired task.
pub(super) struct RetiredTask {
    /// The task's last known state; `None` if no state was recorded.
    pub state: Option<TaskState>,
    /// Whether the task retired under another leader. If so, [`OtherLeaders::sum`] may already include this task's work. Then the
    /// task's accounts are no longer changed, because work must not be counted twice.
    pub in_sum: bool,
}

/// A retired task of any framework.
pub(super) fn retired_task(connection: &Connection, id: &str) -> rusqlite::Result<Option<RetiredTask>> {
    let sql = "SELECT state, retired FROM task WHERE id = ?1 AND retired";
    let task = |row: &Row<'_>| {
        let state: Option<String> = row.get(0)?;
        let state = state.map(|name| state_named(0, &name)).transpose()?;
        Ok(RetiredTask { state, in_sum: row.get::<_, i64>(1)? == RETIRED_ELSEWHERE })
    };
    connection.prepare_cached(sql)?.query_row([id], task).optional()
}

/// The SQL columns that make a [`TaskRecord`], except its attributes, in databases of format 2 and later.
const TASK: &str =
    "id, kind, agent, host, server, cpus_milli, stratum_host, stratum_port, http_port, state, pool,
    origin, agent_url, specification, retired, EXISTS (SELECT 1 FROM closed WHERE closed.task = task.id)";

/// The SQL columns that have the same meaning as [`TASK`], in databases of format 1.
const TASK_1: &str =
    "id, kind, agent, host, CASE WHEN server LIKE 'miner-%' THEN server END, cpus_milli, stratum_host,
    stratum_port, http_port, state, CASE WHEN server NOT LIKE 'miner-%' THEN server END,
    CASE cpus_milli WHEN 0 THEN 'found' ELSE 'launched' END, NULL, NULL, 0,
    EXISTS (SELECT 1 FROM closed WHERE closed.task = task.id)";

/// The SQL expression for a task's attributes as a JSON object, in databases before format 3.
const ATTRIBUTES_2: &str =
    "(SELECT json_group_object(name, value) FROM attribute WHERE attribute.task = task.id)";

/// The tasks of a framework in the order of their launch. The `bool` says whether the task has retired.
pub(super) fn tasks(connection: &Connection, framework: &str) -> rusqlite::Result<Vec<(TaskRecord, bool)>> {
    let format: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let columns = if format < 2 { TASK_1 } else { TASK };
    let attributes = if format < 3 { ATTRIBUTES_2 } else { "attributes" };
    let sql = format!("SELECT {columns}, {attributes} FROM task WHERE framework = ?1 ORDER BY number");
    let mut query = connection.prepare(&sql)?;
    query.query_map([framework], |row| Ok((task_in(row)?, row.get(14)?)))?.collect()
}

fn task_in(row: &Row<'_>) -> rusqlite::Result<TaskRecord> {
    let (server, pool): (Option<String>, Option<String>) = (row.get(4)?, row.get(10)?);
    let origin: String = row.get(11)?;
    let state: Option<String> = row.get(9)?;
    Ok(TaskRecord {
        id: row.get(0)?,
        kind: kind_at(row, 1)?,
        agent: row.get(2)?,
        host: row.get(3)?,
        agent_url: row.get(12)?,
        assignment: server.map(Assignment::Server).or(pool.map(Assignment::Pool)),
        origin: match origin.as_str() {
            "found" => Origin::Unrecorded,
            "launched" => Origin::Launched { cpus_milli: unsigned(row.get(5)?) },
            _ => return Err(invalid(11, &format!("unknown origin of a task {origin:?}"))),
        },
        address: address(row)?,
        attributes: attributes(row, 16)?,
        state: state.map(|name| state_named(9, &name)).transpose()?,
        closed: row.get(15)?,
        specification: row.get(13)?,
    })
}

/// The attributes of a task's agent.
fn attributes(row: &Row<'_>, column: usize) -> rusqlite::Result<Attributes> {
    let Some(text) = row.get_ref(column)?.as_str_or_null()? else { return Ok(Attributes::default()) };
    serde_json::from_str(text)
        .map_err(|error| invalid(column, &format!("column attributes of table task: {error}")))
}

fn address(row: &Row<'_>) -> rusqlite::Result<Option<ServerAddress>> {
    let Some(host) = row.get::<_, Option<String>>(6)? else { return Ok(None) };
    Ok(Some(ServerAddress { host, stratum_port: row.get(7)?, http_port: row.get(8)? }))
}

fn kind_at(row: &Row<'_>, column: usize) -> rusqlite::Result<TaskKind> {
    let name: String = row.get(column)?;
    TaskKind::named(&name).ok_or_else(|| invalid(column, &format!("unknown kind of task {name:?}")))
}

fn state_named(column: usize, name: &str) -> rusqlite::Result<TaskState> {
    TaskState::from_str_name(name).ok_or_else(|| invalid(column, &format!("unknown task state {name:?}")))
}

fn invalid(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}

/// Adds the framework's accounts in this database to `ledger`. Accounts that only other schedulers' databases have are added as
/// one sum.
pub(in crate::store) fn ledger(
    connection: &Connection,
    framework: &str,
    ledger: &mut Ledger,
) -> rusqlite::Result<()> {
    for row in accounts(connection, "framework = ?1", [framework])? {
        ledger.put(row.account());
    }
    if let Some(elsewhere) = other_leaders(connection, framework)? {
        let (line, blocks) = elsewhere.sum;
        ledger.add_aggregated(line, blocks);
    }
    Ok(())
}

/// A row of the table `earlier`: the work of a framework under other leaders, for which this folder has no rows.
pub(super) struct OtherLeaders {
    /// Shares from before this time, in milliseconds since the Unix epoch, may be missing in the folder.
    pub rows_since_ms: u64,
    /// The totals of the work that other leaders recorded and this folder lacks, and the number of blocks that this work found.
    pub sum: (LedgerLine, u64),
    /// The tasks that had already retired when this scheduler began to lead.
    pub retired: RetiredTasks,
    /// The lowest number that had not been used in a task id when this scheduler began to lead.
    pub next_number: u64,
}

/// The work of this framework under other leaders, if there were any.
pub(super) fn other_leaders(
    connection: &Connection,
    framework: &str,
) -> rusqlite::Result<Option<OtherLeaders>> {
    // A folder that an earlier version wrote may have no table `earlier` until a scheduler of this version opens the folder.
    if !has_table(connection, "earlier")? {
        return Ok(None);
    }
    let sql = "SELECT rows_since_ms, sum, past, next_number FROM earlier WHERE framework = ?1";
    let row = |row: &Row<'_>| {
        Ok(OtherLeaders {
            rows_since_ms: unsigned(row.get(0)?),
            sum: json::<SumJson>(row, 1, "sum")?.into(),
            retired: json::<RetiredJson>(row, 2, "past")?.into(),
            next_number: unsigned(row.get(3)?),
        })
    };
    connection.query_row(sql, [framework], row).optional()
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize, name: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| invalid(column, &format!("column {name} of table earlier: {error}")))
}

fn avoided(connection: &Connection) -> rusqlite::Result<Vec<AvoidedAgent>> {
    let mut query = connection.prepare("SELECT agent, why, since_ms FROM avoided_agent ORDER BY agent")?;
    let agent = |row: &Row<'_>| {
        Ok(AvoidedAgent { agent: row.get(0)?, why: row.get(1)?, since_ms: unsigned(row.get(2)?) })
    };
    query.query_map([], agent)?.collect()
}

/// What holds because operators have said so.
pub(super) fn controls(connection: &Connection) -> rusqlite::Result<Controls> {
    let mut query = connection.prepare_cached("SELECT json FROM controls WHERE id = 1")?;
    let text: Option<String> = query.query_row([], |row| row.get(0)).optional()?;
    let read = |text: String| serde_json::from_str(&text);
    let controls = text.map(read).transpose();
    controls
        .map(Option::unwrap_or_default)
        .map_err(|error| invalid(0, &format!("column json of table controls: {error}")))
}

/// The secret key with which fingerprints of task specifications are computed. `None` if the database has no key yet.
pub(super) fn specification_key(connection: &Connection) -> rusqlite::Result<Option<SpecificationKey>> {
    let sql = "SELECT specification_key FROM folder WHERE specification_key IS NOT NULL";
    let text: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    let key = |text: String| {
        SpecificationKey::from_hex(&text)
            .ok_or_else(|| invalid(0, "column specification_key of table folder is not a key"))
    };
    text.map(key).transpose()
}

/// A row of the table `account`.
pub(super) struct AccountRow {
    /// The reporting task.
    pub task: String,
    /// The worker whose work the task reported.
    pub worker: String,
    /// The kind of the reporting task.
    pub kind: TaskKind,
    /// The totals, and the number of the last report.
    pub entry: Entry,
}

impl AccountRow {
    pub fn account(&self) -> journal::Account<'_> {
        journal::Account { reporter: &self.task, kind: self.kind, worker: &self.worker, entry: self.entry }
    }
}

/// The accounts that meet a condition, which may include ORDER BY and LIMIT.
pub(super) fn accounts(
    connection: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Vec<AccountRow>> {
    let select = |last: &str| {
        connection.prepare_cached(&format!(
            "SELECT task, worker, kind, sequence, hashes, accepted_work, accepted, rejected, stale, unanswered, blocks,
                 rows_omitted, {last}
             FROM account WHERE {condition}"
        ))
    };
    // A folder that an earlier version wrote has no such columns until a scheduler of this version opens the folder.
    let mut query = select("candidates, orphaned").or_else(|_| select("0, 0"))?;
    let account = |row: &Row<'_>| {
        Ok(AccountRow { task: row.get(0)?, worker: row.get(1)?, kind: kind_at(row, 2)?, entry: entry(row)? })
    };
    query.query_map(values, account)?.collect()
}

/// The work that the task `reporter` has counted for `worker`.
pub(super) fn account(
    connection: &Connection,
    reporter: &str,
    worker: &str,
) -> rusqlite::Result<Option<Entry>> {
    let found = accounts(connection, "task = ?1 AND worker = ?2", params![reporter, worker])?;
    Ok(found.first().map(|row| row.entry))
}

/// Converts a row of the query in [`accounts`] to an entry of the ledger.
fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let count = |column| row.get(column).map(unsigned);
    Ok(Entry {
        sequence: count(3)?,
        totals: Totals {
            hashes: sum(row, 4)?,
            accepted_work: sum(row, 5)?,
            accepted: count(6)?,
            rejected: count(7)?,
            stale: count(8)?,
            unanswered: count(9)?,
            blocks: count(10)?,
            candidates: count(12)?,
            orphaned: count(13)?,
        },
        rows_omitted: count(11)?,
    })
}
