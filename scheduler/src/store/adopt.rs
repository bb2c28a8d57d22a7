//! ZooKeeper → a state folder whose scheduler begins to lead: the books are brought up to date, whatever happened while
//! schedulers elsewhere led.
//!
//! Accounts that are kept apart in ZooKeeper are taken over one by one. Of those that are only part of a sum there, the
//! folder has some, from when its own scheduler led; the rest becomes a sum here, too.

use std::collections::BTreeSet;

use mesos::v1::TaskState;
use rusqlite::{Connection, TransactionBehavior, params};
use task::Totals;

use super::read;
use super::sum::Sum;
use super::values::{integer, now_ms};
use super::write::Changes;
use crate::ledger::{Ledger, Line};
use crate::record::{FrameworkRecord, Recovered, TaskRecord};

/// What the scheduler before has left in ZooKeeper.
#[derive(Clone, Debug)]
pub(super) struct Adopted {
    pub recovered: Recovered,
    /// Nobody else has led since this folder's scheduler did: all rows are here.
    pub continued: bool,
}

/// Brings the books up to date, in one transaction. Repeating it changes nothing.
pub(super) fn adopt(connection: &mut Connection, adopted: &Adopted) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let changes = Changes { transaction: &transaction, now: integer(now_ms()) };
    let recovered = &adopted.recovered;
    let id = recovered.framework.as_ref().map(|framework| framework.id.as_str());
    changes.run(
        "UPDATE framework SET ended_ms = ?2 WHERE ended_ms IS NULL AND id <> coalesce(?1, '')",
        params![id, changes.now],
    )?;
    if let Some(framework) = &recovered.framework {
        take_framework(&changes, framework, recovered.peak_workers)?;
        forget_tasks(&changes, &framework.id, recovered)?;
        for task in &recovered.tasks {
            take_task(&changes, &framework.id, task)?;
        }
        take_accounts(&changes, &framework.id, recovered)?;
        take_sum(&changes, &framework.id, adopted)?;
    }
    transaction.commit()
}

fn take_framework(changes: &Changes<'_>, framework: &FrameworkRecord, peak: u64) -> rusqlite::Result<()> {
    changes.run(
        "INSERT INTO framework (id, started_ms, peak) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET ended_ms = NULL, peak = max(peak, excluded.peak)",
        params![framework.id, integer(framework.started_ms), integer(peak)],
    )
}

/// Tasks that ended while others led have a state that is not known here. What ZooKeeper never heard of was never
/// launched.
fn forget_tasks(changes: &Changes<'_>, framework: &str, recovered: &Recovered) -> rusqlite::Result<()> {
    let known: BTreeSet<&str> = recovered.tasks.iter().map(|task| task.id.as_str()).collect();
    for task in read::tasks(changes.transaction, framework)? {
        let past = &recovered.past;
        if known.contains(task.id.as_str()) || is_final(&task) {
            continue;
        }
        if past.done.contains_task(&task.id) || past.lost.contains_task(&task.id) {
            changes.run(
                "UPDATE task SET state = NULL, message = 'it ended while another scheduler led' WHERE id = ?1",
                params![task.id],
            )?;
        } else {
            changes.run("DELETE FROM attribute WHERE task = ?1", params![task.id])?;
            changes.run("DELETE FROM task WHERE id = ?1", params![task.id])?;
        }
    }
    Ok(())
}

fn is_final(task: &TaskRecord) -> bool {
    task.state.as_deref().and_then(TaskState::from_str_name).is_some_and(TaskState::is_final)
}

fn take_task(changes: &Changes<'_>, framework: &str, task: &TaskRecord) -> rusqlite::Result<()> {
    changes.task(Some(framework), task)?;
    let address = task.address.as_ref();
    changes.run(
        "UPDATE task SET state = ?2, stratum_host = ?3, stratum_port = ?4, http_port = ?5 WHERE id = ?1",
        params![
            task.id,
            task.state,
            address.map(|address| &address.host),
            address.map(|address| address.stratum_port),
            address.map(|address| address.http_port),
        ],
    )?;
    if task.closed {
        changes.run("INSERT OR IGNORE INTO closed (task) VALUES (?1)", params![task.id])?;
    }
    Ok(())
}

/// Those that ZooKeeper keeps apart are as they are there. One that is ahead of it was never acknowledged: the same
/// report comes again.
fn take_accounts(changes: &Changes<'_>, framework: &str, recovered: &Recovered) -> rusqlite::Result<()> {
    let past = &recovered.past;
    for account in read::accounts(changes.transaction, "framework = ?1", [framework])? {
        let over = past.done.contains_task(&account.task) || past.lost.contains_task(&account.task);
        if !over || recovered.ledger.entry(&account.task, &account.worker).is_some() {
            changes.run(
                "DELETE FROM account WHERE task = ?1 AND worker = ?2",
                params![account.task, account.worker],
            )?;
        }
    }
    for (task, worker, kind, entry) in recovered.ledger.iter() {
        changes.account(Some(framework), task, kind, worker, entry)?;
    }
    Ok(())
}

/// The sum of what is not here.
fn take_sum(changes: &Changes<'_>, framework: &str, adopted: &Adopted) -> rusqlite::Result<()> {
    let mut here = Ledger::default();
    for account in read::accounts(changes.transaction, "framework = ?1", [framework])? {
        here.insert(&account.task, &account.worker, account.kind, account.entry);
    }
    let ((all, blocks), (here, blocks_here)) = (adopted.recovered.ledger.sum(), here.sum());
    let elsewhere = Line { worker: less(all.worker, here.worker), pool: less(all.pool, here.pool) };
    let sum = Sum::from((elsewhere, blocks.saturating_sub(blocks_here)));
    let known = read::earlier(changes.transaction, framework)?.map(|earlier| earlier.rows_since_ms);
    let since = match known {
        None if adopted.continued && elsewhere == Line::default() => return Ok(()),
        Some(since) if adopted.continued => integer(since),
        _ => changes.now,
    };
    let recovered = &adopted.recovered;
    changes.run(
        "INSERT OR REPLACE INTO earlier (framework, rows_since_ms, sum, past, next_number)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![framework, since, json(&sum), json(&recovered.past), integer(recovered.next_number)],
    )
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn less(all: Totals, part: Totals) -> Totals {
    Totals {
        hashes: all.hashes.saturating_sub(part.hashes),
        accepted_work: all.accepted_work.saturating_sub(part.accepted_work),
        accepted: all.accepted.saturating_sub(part.accepted),
        rejected: all.rejected.saturating_sub(part.rejected),
        stale: all.stale.saturating_sub(part.stale),
        unanswered: all.unanswered.saturating_sub(part.unanswered),
        blocks: all.blocks.saturating_sub(part.blocks),
    }
}

#[cfg(test)]
mod tests;
