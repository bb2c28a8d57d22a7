//! Changes → rows: how the tables store what [`journal::apply`] decides.

use std::borrow::Cow;

use database::{integer, now_ms};
use rusqlite::{Connection, TransactionBehavior, params};
use task::ShareRow;

use super::schema::RETIRED_HERE;
use super::tables::Tables;
use super::{failed_launches, read, share_columns};
use crate::journal::{
    self, Account, AvoidedAgent, Change, ChangeId, Controls, Entry, OTHERS, Records, Removal, StatusRecord,
    TaskRecord, UNTRACKED_MINERS,
};
use crate::task_id::TaskKind;

/// Writes a batch in one transaction. `framework` is the id of the current framework, which a change in the batch may set.
pub(in crate::store) fn write(
    connection: &mut Connection,
    framework: &mut Option<String>,
    batch: &[(ChangeId, Change)],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let now = now_ms();
    let mut tables = Tables { transaction: &transaction, framework: framework.clone(), now: integer(now) };
    for (_, change) in batch {
        journal::apply(&mut tables, change, now)?;
    }
    let current = tables.framework;
    transaction.commit()?;
    *framework = current;
    Ok(())
}

impl Records for Tables<'_> {
    type Error = rusqlite::Error;

    fn framework(&self) -> rusqlite::Result<Option<Cow<'_, str>>> {
        Ok(self.framework.as_deref().map(Cow::Borrowed))
    }

    fn begin_framework(&mut self, id: &str, now_ms: u64) -> rusqlite::Result<()> {
        self.framework = Some(id.to_owned());
        self.run(
            "INSERT INTO framework (id, started_ms) VALUES (?1, ?2)
             ON CONFLICT (id) DO UPDATE SET ended_ms = NULL, removed_ms = NULL, silent_ms = NULL,
                 failover_ms = NULL, tearing_down = 0",
            params![id, integer(now_ms)],
        )
    }

    fn end_framework(&mut self, now_ms: u64) -> rusqlite::Result<()> {
        let id = self.framework.take();
        self.run("UPDATE framework SET ended_ms = ?2 WHERE id = ?1", params![id, integer(now_ms)])
    }

    fn set_failover_timeout(&mut self, ms: u64) -> rusqlite::Result<()> {
        self.run("UPDATE framework SET failover_ms = ?2 WHERE id = ?1", params![self.framework, integer(ms)])
    }

    fn set_tearing_down(&mut self, tearing_down: bool) -> rusqlite::Result<()> {
        let sql = "UPDATE framework SET tearing_down = ?2 WHERE id = ?1";
        self.run(sql, params![self.framework, tearing_down])
    }

    fn mark_removed(&mut self, removal: Removal) -> rusqlite::Result<()> {
        self.run(
            "UPDATE framework SET removed_ms = ?2, silent_ms = ?3 WHERE id = ?1",
            params![self.framework, integer(removal.removed_ms), removal.silent_ms.map(integer)],
        )
    }

    /// The task without its attributes. Writing the task back does not change the stored attributes.
    fn task(&self, id: &str) -> rusqlite::Result<Option<Cow<'_, TaskRecord>>> {
        let framework = self.framework.as_deref().unwrap_or_default();
        Ok(read::task(self.transaction, framework, id)?.map(Cow::Owned))
    }

    fn put_task(&mut self, task: TaskRecord) -> rusqlite::Result<()> {
        self.set_task(&task)
    }

    fn remove_task(&mut self, id: &str) -> rusqlite::Result<()> {
        self.delete_task(id)
    }

    fn has_retired(&self, id: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM task WHERE id = ?1 AND retired)";
        let has_row: bool = self.transaction.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
        Ok(has_row || failed_launches::contain(self, id)?)
    }

    fn retire_task(&mut self, task: TaskRecord) -> rusqlite::Result<()> {
        if failed_launches::replace_task(self, &task)? {
            return Ok(());
        }
        self.run("UPDATE task SET retired = ?2 WHERE id = ?1", params![task.id, RETIRED_HERE])
    }

    fn account(&self, reporter: &str, worker: &str) -> rusqlite::Result<Option<Entry>> {
        read::account(self.transaction, reporter, worker)
    }

    fn put_account(&mut self, account: Account<'_>) -> rusqlite::Result<()> {
        self.set_account(account)
    }

    /// Does nothing, because the tables keep all accounts.
    fn aggregate_accounts(&mut self, _retired: &[String]) -> rusqlite::Result<()> {
        Ok(())
    }

    /// Does nothing, because the next number is derived from the task numbers in the tables.
    fn raise_next_number(&mut self, _at_least: u64) -> rusqlite::Result<()> {
        Ok(())
    }

    fn raise_peak_workers(&mut self, at_least: u64) -> rusqlite::Result<()> {
        self.run(
            "UPDATE framework SET peak = max(peak, ?2) WHERE id = ?1",
            params![self.framework, integer(at_least)],
        )
    }

    fn avoid_agent(&mut self, agent: &AvoidedAgent) -> rusqlite::Result<()> {
        self.set_avoided(agent)
    }

    fn allow_agent(&mut self, agent: &str) -> rusqlite::Result<()> {
        self.run("DELETE FROM avoided_agent WHERE agent = ?1", [agent])
    }

    fn controls(&self) -> rusqlite::Result<Cow<'_, Controls>> {
        Ok(Cow::Owned(read::controls(self.transaction)?))
    }

    fn set_controls(&mut self, controls: Controls) -> rusqlite::Result<()> {
        self.write_controls(&controls)
    }

    /// Writes the reason and the message of a status update, but only if one of them has changed: most updates repeat both from
    /// the previous update.
    fn explain(&mut self, status: &StatusRecord) -> rusqlite::Result<()> {
        self.run(
            "UPDATE task SET reason = ?2, message = ?3, updated_ms = ?4
             WHERE id = ?1 AND (reason IS NOT ?2 OR message IS NOT ?3)",
            params![status.task, status.reason, status.message, self.now],
        )
    }

    /// A task's reports come in order, and each is repeated until it is acknowledged. A report is new if its number is higher
    /// than that of the last report whose shares were stored.
    fn add_shares(
        &mut self,
        reporter: &str,
        worker: &str,
        sequence: u64,
        shares: &[ShareRow],
    ) -> rusqlite::Result<()> {
        if shares.is_empty() {
            return Ok(());
        }
        let sequence = integer(sequence);
        let new = self
            .transaction
            .prepare_cached(
                "UPDATE account SET shares_sequence = ?3
                 WHERE task = ?1 AND worker = ?2 AND shares_sequence < ?3",
            )?
            .execute(params![reporter, worker, sequence])?;
        if new == 0 {
            return Ok(());
        }
        self.run(
            "INSERT INTO reported_shares (task, worker, sequence, received_ms, count, shares)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                reporter,
                (worker != reporter).then_some(worker),
                sequence,
                self.now,
                integer(shares.len() as u64),
                share_columns::encode(shares),
            ],
        )
    }

    fn late_update(&mut self, status: &StatusRecord) -> rusqlite::Result<()> {
        let Some(row) = read::retired_task(self.transaction, &status.task)? else {
            // A task without a row may be a failed launch. Its work is not part of any sum, so its late report is recorded.
            let failed = failed_launches::contain(self, &status.task)?;
            return if failed { journal::record_accounts(self, status) } else { Ok(()) };
        };
        if let Some(state) = journal::new_state(row.state, status) {
            self.run("UPDATE task SET state = ?2 WHERE id = ?1", params![status.task, state.as_str_name()])?;
            self.explain(status)?;
        }
        // If a sum already contains the task's accounts, rows of these accounts would count the same work twice.
        if row.in_sum { Ok(()) } else { journal::record_accounts(self, status) }
    }

    /// Replaces the accounts of untracked miners by their sum, except for the [`UNTRACKED_MINERS`] largest accounts. A second
    /// call changes nothing.
    fn aggregate_untracked_miners(&mut self, server: &str) -> rusqlite::Result<()> {
        let excess = read::accounts(
            self.transaction,
            "task = ?1 AND worker <> ?2 AND NOT EXISTS (SELECT 1 FROM task WHERE id = worker)
             ORDER BY accepted DESC, worker LIMIT -1 OFFSET ?3",
            params![server, OTHERS, UNTRACKED_MINERS as i64],
        )?;
        if excess.is_empty() {
            return Ok(());
        }
        let mut sum = read::account(self.transaction, server, OTHERS)?.unwrap_or_default();
        for row in &excess {
            let Entry { sequence, totals, rows_omitted } = row.entry;
            sum.sequence = sum.sequence.max(sequence);
            sum.totals += totals;
            sum.rows_omitted = sum.rows_omitted.saturating_add(rows_omitted);
            self.run("DELETE FROM account WHERE task = ?1 AND worker = ?2", params![server, row.worker])?;
        }
        self.set_account(Account { reporter: server, kind: TaskKind::Server, worker: OTHERS, entry: sum })
    }
}
