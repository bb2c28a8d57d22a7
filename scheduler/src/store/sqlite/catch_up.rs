//! ZooKeeper → a state folder whose scheduler begins to lead: its records are brought up to date, whatever happened while
//! schedulers elsewhere led.
//!
//! Accounts that are kept apart in ZooKeeper are taken over one by one. Of those that are only part of a sum there, the
//! folder has some, from when its own scheduler led; the rest becomes a sum here, too.

use std::collections::BTreeSet;

use mesos::v1::TaskState;
use rusqlite::{Connection, TransactionBehavior, params};
use task::Totals;

use super::schema::RETIRED_ELSEWHERE;
use super::tables::Tables;
use super::values::{integer, now_ms};
use super::{failed_launches, read};
use crate::journal::{Account, Entry, FrameworkRecord, Ledger, LedgerLine, RecoveredState, SpecificationKey};
use crate::store::totals_json::{RetiredJson, SumJson};

/// What the leader before has left in ZooKeeper.
#[derive(Clone, Debug)]
pub(in crate::store) struct Handover {
    pub recovered: RecoveredState,
    /// Nobody else has led since this folder's scheduler did: all rows are here.
    pub continued: bool,
}

/// Brings the folder up to date, in one transaction. Repeating it changes nothing.
pub(in crate::store) fn catch_up(connection: &mut Connection, handover: &Handover) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let recovered = &handover.recovered;
    let framework = recovered.framework.as_ref().map(|framework| framework.id.clone());
    let tables = Tables { transaction: &transaction, framework, now: integer(now_ms()) };
    tables.run(
        "UPDATE framework SET ended_ms = ?2 WHERE ended_ms IS NULL AND id <> coalesce(?1, '')",
        params![tables.framework, tables.now],
    )?;
    take_key(&tables, recovered.specification_key.as_ref())?;
    take_avoided(&tables, recovered)?;
    if let Some(framework) = &recovered.framework {
        take_framework(&tables, framework, recovered.peak_workers)?;
        forget_tasks(&tables, &framework.id, recovered)?;
        for task in &recovered.tasks {
            failed_launches::take_out(&tables, &task.id)?;
            tables.set_task(task)?;
        }
        take_accounts(&tables, &framework.id, recovered)?;
        take_sum(&tables, &framework.id, handover)?;
    }
    transaction.commit()
}

fn take_key(tables: &Tables<'_>, key: Option<&SpecificationKey>) -> rusqlite::Result<()> {
    match key {
        Some(key) => tables.run("UPDATE folder SET specification_key = ?1", [key.to_hex()]),
        None => Ok(()),
    }
}

fn take_avoided(tables: &Tables<'_>, recovered: &RecoveredState) -> rusqlite::Result<()> {
    tables.run("DELETE FROM avoided_agent", [])?;
    recovered.avoided.iter().try_for_each(|agent| tables.set_avoided(agent))
}

fn take_framework(tables: &Tables<'_>, framework: &FrameworkRecord, peak: u64) -> rusqlite::Result<()> {
    tables.run(
        "INSERT INTO framework (id, started_ms, peak, removed_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET ended_ms = NULL, peak = max(peak, excluded.peak),
             removed_ms = excluded.removed_ms",
        params![
            framework.id,
            integer(framework.started_ms),
            integer(peak),
            framework.removed_ms.map(integer)
        ],
    )
}

/// Tasks that retired while others led have retired here, too; if they had not ended before, their state is not known.
/// What ZooKeeper never heard of was never launched.
fn forget_tasks(tables: &Tables<'_>, framework: &str, recovered: &RecoveredState) -> rusqlite::Result<()> {
    let known: BTreeSet<&str> = recovered.tasks.iter().map(|task| task.id.as_str()).collect();
    for (task, retired) in read::tasks(tables.transaction, framework)? {
        let is_final = task.state.is_some_and(TaskState::is_final);
        if known.contains(task.id.as_str()) || retired {
            continue;
        }
        if !recovered.retired.contains(&task.id) {
            if !is_final {
                tables.delete_task(&task.id)?;
            }
            continue;
        }
        tables.run("UPDATE task SET retired = ?2 WHERE id = ?1", params![task.id, RETIRED_ELSEWHERE])?;
        if !is_final {
            let message = "it ended while another scheduler led";
            tables
                .run("UPDATE task SET state = NULL, message = ?2 WHERE id = ?1", params![task.id, message])?;
        }
    }
    Ok(())
}

/// Those that ZooKeeper keeps apart are as they are there. One that is ahead of it was never acknowledged: the same
/// report comes again. Its shares were taken in.
fn take_accounts(tables: &Tables<'_>, framework: &str, recovered: &RecoveredState) -> rusqlite::Result<()> {
    for row in read::accounts(tables.transaction, "framework = ?1", [framework])? {
        let kept_apart = recovered.ledger.entry(&row.task, &row.worker).is_some();
        if !kept_apart && !recovered.retired.contains(&row.task) {
            // Which shares were taken in stays known.
            let nothing = Entry::default();
            tables.set_account(Account { entry: nothing, ..row.account() })?;
        }
    }
    recovered.ledger.iter().try_for_each(|account| tables.set_account(account))
}

/// The sum of what is not here.
fn take_sum(tables: &Tables<'_>, framework: &str, handover: &Handover) -> rusqlite::Result<()> {
    let mut here = Ledger::default();
    for row in read::accounts(tables.transaction, "framework = ?1", [framework])? {
        here.put(row.account());
    }
    let recovered = &handover.recovered;
    let ((all, blocks), (here, blocks_here)) = (recovered.ledger.sum(), here.sum());
    let elsewhere = LedgerLine { worker: less(all.worker, here.worker), pool: less(all.pool, here.pool) };
    let sum = SumJson::from((elsewhere, blocks.saturating_sub(blocks_here)));
    let known = read::led_elsewhere(tables.transaction, framework)?.map(|row| row.rows_since_ms);
    let since = match known {
        None if handover.continued && elsewhere == LedgerLine::default() => return Ok(()),
        Some(since) if handover.continued => integer(since),
        _ => tables.now,
    };
    let retired = RetiredJson::from(recovered.retired.clone());
    tables.run(
        "INSERT OR REPLACE INTO earlier (framework, rows_since_ms, sum, past, next_number)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![framework, since, json(&sum), json(&retired), integer(recovered.next_number)],
    )
}

fn json(value: &impl serde::Serialize) -> String {
    // Text, numbers and maps of them: there is nothing in it that JSON has not.
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
