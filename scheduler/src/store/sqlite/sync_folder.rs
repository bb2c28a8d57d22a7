//! Brings the state folder of a new leader up to date with the tree in ZooKeeper, which other leaders may have written since
//! this folder's scheduler led.
//!
//! The tree has the accounts of current tasks, and one sum of all accounts of retired tasks. The accounts are copied to the
//! folder. The folder may still have some of the accounts that the sum includes. The folder stores the sum minus these accounts,
//! so that nothing is counted twice.

use std::collections::BTreeSet;

use database::{integer, now_ms};
use mesos::v1::TaskState;
use rusqlite::{Connection, TransactionBehavior, params};
use task::Totals;

use super::schema::RETIRED_ELSEWHERE;
use super::tables::Tables;
use super::{failed_launches, read};
use crate::journal::{Account, Entry, FrameworkRecord, Ledger, LedgerLine, RecoveredState, SpecificationKey};
use crate::store::totals_json::{RetiredJson, SumJson};

/// What a new leader takes over from ZooKeeper.
#[derive(Clone, Debug)]
pub(in crate::store) struct Handover {
    pub recovered: RecoveredState,
    /// Whether this folder's scheduler was the last leader, or no scheduler has ever led. In both cases, no other folder has
    /// newer single shares.
    pub was_last_leader: bool,
}

/// Brings the folder up to date with the records in `handover`, in one transaction. Repeating it changes nothing.
pub(in crate::store) fn sync_folder(
    connection: &mut Connection,
    handover: &Handover,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let recovered = &handover.recovered;
    let framework = recovered.framework.as_ref().map(|framework| framework.id.clone());
    let tables = Tables { transaction: &transaction, framework, now: integer(now_ms()) };
    tables.run(
        "UPDATE framework SET ended_ms = ?2 WHERE ended_ms IS NULL AND id <> coalesce(?1, '')",
        params![tables.framework, tables.now],
    )?;
    set_key(&tables, recovered.specification_key.as_ref())?;
    replace_avoided(&tables, recovered)?;
    tables.write_controls(&recovered.controls)?;
    if let Some(framework) = &recovered.framework {
        set_framework(&tables, framework, recovered.peak_workers)?;
        retire_or_delete_tasks(&tables, &framework.id, recovered)?;
        for task in &recovered.tasks {
            failed_launches::remove_task(&tables, &task.id)?;
            tables.set_task(task)?;
        }
        replace_accounts(&tables, &framework.id, recovered)?;
        set_sum_of_others(&tables, &framework.id, handover)?;
    }
    transaction.commit()
}

fn set_key(tables: &Tables<'_>, key: Option<&SpecificationKey>) -> rusqlite::Result<()> {
    match key {
        Some(key) => tables.run("UPDATE folder SET specification_key = ?1", [key.to_hex()]),
        None => Ok(()),
    }
}

fn replace_avoided(tables: &Tables<'_>, recovered: &RecoveredState) -> rusqlite::Result<()> {
    tables.run("DELETE FROM avoided_agent", [])?;
    recovered.avoided.iter().try_for_each(|agent| tables.set_avoided(agent))
}

fn set_framework(tables: &Tables<'_>, framework: &FrameworkRecord, peak: u64) -> rusqlite::Result<()> {
    tables.run(
        "INSERT INTO framework (id, started_ms, peak, removed_ms, silent_ms, failover_ms, tearing_down)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET ended_ms = NULL, peak = max(peak, excluded.peak),
             removed_ms = excluded.removed_ms, silent_ms = excluded.silent_ms,
             failover_ms = excluded.failover_ms, tearing_down = excluded.tearing_down",
        params![
            framework.id,
            integer(framework.started_ms),
            integer(peak),
            framework.removal.map(|removal| integer(removal.removed_ms)),
            framework.removal.and_then(|removal| removal.silent_ms).map(integer),
            framework.failover_ms.map(integer),
            framework.tearing_down,
        ],
    )
}

/// Marks the rows of tasks that retired under other leaders as retired. If the folder does not record how such a task ended, its
/// state becomes unknown. A task that is not in ZooKeeper, and whose end is not recorded in the folder, was never launched. Its
/// row is deleted.
fn retire_or_delete_tasks(
    tables: &Tables<'_>,
    framework: &str,
    recovered: &RecoveredState,
) -> rusqlite::Result<()> {
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

/// Replaces the folder's accounts by those in the tree. The folder may have stored a report that never reached the tree. The
/// status update with this report was not acknowledged, so Mesos will send it again. `shares_sequence` is kept, so that the
/// shares in this report are not stored a second time.
fn replace_accounts(
    tables: &Tables<'_>,
    framework: &str,
    recovered: &RecoveredState,
) -> rusqlite::Result<()> {
    for row in read::accounts(tables.transaction, "framework = ?1", [framework])? {
        let in_tree = recovered.ledger.entry(&row.task, &row.worker).is_some();
        if !in_tree && !recovered.retired.contains(&row.task) {
            tables.set_account(Account { entry: Entry::default(), ..row.account() })?;
        }
    }
    recovered.ledger.iter().try_for_each(|account| tables.set_account(account))
}

/// Stores the total of the work that other leaders recorded and this folder lacks. It is the sum of the accounts in `handover`
/// minus the sum of those in the folder.
fn set_sum_of_others(tables: &Tables<'_>, framework: &str, handover: &Handover) -> rusqlite::Result<()> {
    let mut here = Ledger::default();
    for row in read::accounts(tables.transaction, "framework = ?1", [framework])? {
        here.put(row.account());
    }
    let recovered = &handover.recovered;
    let ((all, blocks), (here, blocks_here)) = (recovered.ledger.sum(), here.sum());
    let others = LedgerLine { worker: less(all.worker, here.worker), pool: less(all.pool, here.pool) };
    let sum = SumJson::from((others, blocks.saturating_sub(blocks_here)));
    let known = read::other_leaders(tables.transaction, framework)?.map(|row| row.rows_since_ms);
    let since = match known {
        None if handover.was_last_leader && others == LedgerLine::default() => return Ok(()),
        Some(since) if handover.was_last_leader => integer(since),
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
    // The values consist of numbers, text, and maps with text keys, so this cannot fail.
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
        candidates: all.candidates.saturating_sub(part.candidates),
        orphaned: all.orphaned.saturating_sub(part.orphaned),
    }
}

#[cfg(test)]
mod tests;
