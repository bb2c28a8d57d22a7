//! Rows → what an earlier life of the scheduler left behind.

use std::collections::BTreeMap;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::DeserializeOwned;
use task::{ServerAddress, Totals};

use super::sum::Sum;
use super::values::unsigned;
use crate::kind::Kind;
use crate::ledger::{Entry, Ledger, Line};
use crate::record::{FrameworkRecord, PastRecord, Recovered, TaskRecord};

/// Reads the framework that has not ended, with its tasks and accounts.
pub(super) fn recover(connection: &Connection) -> rusqlite::Result<Recovered> {
    let next: i64 =
        connection.query_row("SELECT coalesce(max(number), 0) + 1 FROM task", [], |row| row.get(0))?;
    let mut recovered = Recovered { next_number: unsigned(next), ..Recovered::default() };
    let Some((framework, peak)) = framework(connection)? else { return Ok(recovered) };
    let id = framework.id.clone();
    recovered.tasks = tasks(connection, &id)?;
    attributes(connection, &id, &mut recovered.tasks)?;
    let mut closed = connection.prepare("SELECT EXISTS (SELECT 1 FROM closed WHERE task = ?1)")?;
    for task in &mut recovered.tasks {
        task.closed = closed.query_row([&task.id], |row| row.get(0))?;
    }
    ledger(connection, &id, &mut recovered.ledger)?;
    if let Some(Earlier { past, next_number, .. }) = earlier(connection, &id)? {
        recovered
            .tasks
            .retain(|task| !past.done.contains_task(&task.id) && !past.lost.contains_task(&task.id));
        recovered.next_number = recovered.next_number.max(next_number);
        recovered.past = past;
    }
    recovered.peak_workers = peak;
    recovered.framework = Some(framework);
    Ok(recovered)
}

/// The framework that has not ended, and the most workers that mined at once.
pub(super) fn framework(connection: &Connection) -> rusqlite::Result<Option<(FrameworkRecord, u64)>> {
    let sql =
        "SELECT id, started_ms, peak FROM framework WHERE ended_ms IS NULL ORDER BY started_ms DESC LIMIT 1";
    let record = |row: &Row<'_>| {
        let (id, started_ms) = (row.get(0)?, unsigned(row.get(1)?));
        Ok((FrameworkRecord { id, started_ms }, unsigned(row.get(2)?)))
    };
    connection.query_row(sql, [], record).optional()
}

/// The tasks of a framework, in the order of their launch.
pub(super) fn tasks(connection: &Connection, framework: &str) -> rusqlite::Result<Vec<TaskRecord>> {
    let mut query = connection.prepare(
        "SELECT id, kind, agent, host, server, cpus_milli, stratum_host, stratum_port, http_port, state
         FROM task WHERE framework = ?1 ORDER BY number",
    )?;
    let rows = query.query_map([framework], |row| {
        Ok(TaskRecord {
            id: row.get(0)?,
            kind: kind_at(row, 1)?,
            agent: row.get(2)?,
            host: row.get(3)?,
            server: row.get(4)?,
            cpus_milli: unsigned(row.get(5)?),
            address: address(row)?,
            attributes: BTreeMap::new(),
            state: row.get(9)?,
            closed: false,
        })
    })?;
    rows.collect()
}

/// What the tasks' agents have for attributes. Only launches need it.
fn attributes(connection: &Connection, framework: &str, tasks: &mut [TaskRecord]) -> rusqlite::Result<()> {
    let mut places: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut query = connection.prepare(
        "SELECT task, name, value FROM attribute JOIN task ON task.id = attribute.task WHERE framework = ?1",
    )?;
    let mut rows = query.query([framework])?;
    while let Some(row) = rows.next()? {
        places.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
    }
    for task in tasks {
        task.attributes = places.remove(&task.id).unwrap_or_default();
    }
    Ok(())
}

fn address(row: &Row<'_>) -> rusqlite::Result<Option<ServerAddress>> {
    let Some(host) = row.get::<_, Option<String>>(6)? else { return Ok(None) };
    Ok(Some(ServerAddress { host, stratum_port: row.get(7)?, http_port: row.get(8)? }))
}

fn kind_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Kind> {
    let name: String = row.get(column)?;
    Kind::named(&name).ok_or_else(|| invalid(column, &format!("unknown kind of task {name:?}")))
}

fn invalid(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}

/// Adds the accounts of a framework.
pub(super) fn ledger(connection: &Connection, framework: &str, ledger: &mut Ledger) -> rusqlite::Result<()> {
    for account in accounts(connection, "framework = ?1", [framework])? {
        ledger.insert(&account.task, &account.worker, account.kind, account.entry);
    }
    if let Some(earlier) = earlier(connection, framework)? {
        let (line, blocks) = earlier.sum;
        ledger.add_folded(line, blocks);
    }
    Ok(())
}

/// What was done while schedulers elsewhere led.
pub(super) struct Earlier {
    /// Since when rows are kept here.
    pub rows_since_ms: u64,
    /// Both columns and the blocks of accounts that are not here.
    pub sum: (Line, u64),
    /// Tasks that had long ended when this one began to lead.
    pub past: PastRecord,
    /// The lowest number that was not used in a task id.
    pub next_number: u64,
}

/// What was done while schedulers elsewhere led this framework, if any did.
pub(super) fn earlier(connection: &Connection, framework: &str) -> rusqlite::Result<Option<Earlier>> {
    // A folder of an earlier version has no such table before its scheduler starts again.
    let there = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'earlier')";
    if !connection.query_row(there, [], |row| row.get(0))? {
        return Ok(None);
    }
    let sql = "SELECT rows_since_ms, sum, past, next_number FROM earlier WHERE framework = ?1";
    let earlier = |row: &Row<'_>| {
        let sum: Sum = json(row, 1)?;
        Ok(Earlier {
            rows_since_ms: unsigned(row.get(0)?),
            sum: sum.into(),
            past: json(row, 2)?,
            next_number: unsigned(row.get(3)?),
        })
    };
    connection.query_row(sql, [framework], earlier).optional()
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| invalid(column, &error.to_string()))
}

/// A row of the accounts.
pub(super) struct Account {
    /// Who reports.
    pub task: String,
    /// Of whom.
    pub worker: String,
    /// What the reporter is.
    pub kind: Kind,
    /// The account.
    pub entry: Entry,
}

/// The accounts that meet a condition, which may end in an order and a limit.
pub(super) fn accounts(
    connection: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Account>> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT task, worker, kind, sequence, hashes, accepted_work, accepted, rejected, stale, unanswered, blocks,
             rows_omitted
         FROM account WHERE {condition}"
    ))?;
    let account = |row: &Row<'_>| {
        Ok(Account { task: row.get(0)?, worker: row.get(1)?, kind: kind_at(row, 2)?, entry: entry(row)? })
    };
    query.query_map(values, account)?.collect()
}

/// The account in a row of [`accounts`].
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
        },
        rows_omitted: count(11)?,
    })
}

fn sum(row: &Row<'_>, column: usize) -> rusqlite::Result<u128> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| invalid(column, &format!("not a sum: {text:?}")))
}
