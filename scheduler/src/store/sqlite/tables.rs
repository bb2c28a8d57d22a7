//! Changes → rows.

use std::borrow::Cow;

use rusqlite::{Connection, Params, Transaction, TransactionBehavior, params};
use task::ShareRow;

use super::schema::RETIRED_HERE;
use super::values::{integer, now_ms};
use super::{failed_launches, read, share_columns, untracked_miners};
use crate::journal::{
    self, Account, Assignment, AvoidedAgent, Change, Entry, Origin, Records, StatusRecord, TaskRecord, Ticket,
};

/// Writes a batch in one transaction. `framework` is the one that the changes belong to; it follows them.
pub(in crate::store) fn write(
    connection: &mut Connection,
    framework: &mut Option<String>,
    batch: &[(Ticket, Change)],
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

/// The number at the end of a task id, by which rows are in the order of their launch.
fn number(id: &str) -> i64 {
    id.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The tables, within a transaction. They keep all tasks and accounts; those that have retired are marked.
pub(super) struct Tables<'a> {
    pub transaction: &'a Transaction<'a>,
    /// The id of the framework to which new rows belong.
    pub framework: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub now: i64,
}

impl Tables<'_> {
    pub fn run(&self, sql: &str, values: impl Params) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// Writes an account, whatever is there. Which shares of it were taken in stays known.
    pub fn set_account(&self, account: Account<'_>) -> rusqlite::Result<()> {
        let Entry { sequence, totals, rows_omitted } = account.entry;
        self.run(
            "INSERT INTO account (task, worker, kind, framework, sequence, hashes, accepted_work, accepted, rejected,
                 stale, unanswered, blocks, rows_omitted, updated_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (task, worker) DO UPDATE SET kind = excluded.kind, framework = excluded.framework,
                 sequence = excluded.sequence, hashes = excluded.hashes, accepted_work = excluded.accepted_work,
                 accepted = excluded.accepted, rejected = excluded.rejected, stale = excluded.stale,
                 unanswered = excluded.unanswered, blocks = excluded.blocks, rows_omitted = excluded.rows_omitted,
                 updated_ms = excluded.updated_ms",
            params![
                account.reporter,
                account.worker,
                account.kind.name(),
                self.framework.as_deref().unwrap_or_default(),
                integer(sequence),
                totals.hashes.to_string(),
                totals.accepted_work.to_string(),
                integer(totals.accepted),
                integer(totals.rejected),
                integer(totals.stale),
                integer(totals.unanswered),
                integer(totals.blocks),
                integer(rows_omitted),
                self.now,
            ],
        )
    }

    /// Writes a task, whatever is there. Attributes and an end are never taken back.
    pub fn set_task(&self, task: &TaskRecord) -> rusqlite::Result<()> {
        let address = task.address.as_ref();
        let pool = match &task.assignment {
            Some(Assignment::Pool(url)) => Some(url),
            _ => None,
        };
        self.run(
            "INSERT INTO task (id, number, framework, kind, agent, host, server, cpus_milli, stratum_host,
                 stratum_port, http_port, state, created_ms, updated_ms, pool, origin, agent_url, specification,
                 attributes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14, ?15, ?16, ?17, ?18)
             ON CONFLICT (id) DO UPDATE SET agent = excluded.agent, host = excluded.host, server = excluded.server,
                 cpus_milli = excluded.cpus_milli, stratum_host = excluded.stratum_host,
                 stratum_port = excluded.stratum_port, http_port = excluded.http_port, state = excluded.state,
                 updated_ms = excluded.updated_ms, pool = excluded.pool, origin = excluded.origin,
                 agent_url = excluded.agent_url, specification = excluded.specification, retired = 0,
                 attributes = coalesce(excluded.attributes, attributes)",
            params![
                task.id,
                number(&task.id),
                self.framework.as_deref().unwrap_or_default(),
                task.kind.name(),
                task.agent,
                task.host,
                task.server(),
                integer(task.cpus_milli()),
                address.map(|address| &address.host),
                address.map(|address| address.stratum_port),
                address.map(|address| address.http_port),
                task.state.map(|state| state.as_str_name()),
                self.now,
                pool,
                origin(task.origin),
                task.agent_url,
                task.specification,
                attributes(task),
            ],
        )?;
        if task.closed {
            self.run("INSERT OR IGNORE INTO closed (task) VALUES (?1)", [&task.id])?;
        }
        Ok(())
    }

    /// Removes a task that was never launched.
    pub fn delete_task(&self, id: &str) -> rusqlite::Result<()> {
        self.run("DELETE FROM task WHERE id = ?1", [id])
    }

    pub fn set_avoided(&self, agent: &AvoidedAgent) -> rusqlite::Result<()> {
        self.run(
            "INSERT OR REPLACE INTO avoided_agent (agent, why, since_ms) VALUES (?1, ?2, ?3)",
            params![agent.agent, agent.why, integer(agent.since_ms)],
        )
    }
}

impl Records for Tables<'_> {
    type Error = rusqlite::Error;

    fn framework(&self) -> rusqlite::Result<Option<Cow<'_, str>>> {
        Ok(self.framework.as_deref().map(Cow::Borrowed))
    }

    fn begin_framework(&mut self, id: &str, now_ms: u64) -> rusqlite::Result<()> {
        self.framework = Some(id.to_owned());
        self.run(
            "INSERT INTO framework (id, started_ms) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET ended_ms = NULL",
            params![id, integer(now_ms)],
        )
    }

    fn end_framework(&mut self, now_ms: u64) -> rusqlite::Result<()> {
        let id = self.framework.take();
        self.run("UPDATE framework SET ended_ms = ?2 WHERE id = ?1", params![id, integer(now_ms)])
    }

    /// Without its attributes: what is written of a task never takes one back.
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
        if failed_launches::take_in(self, &task)? {
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

    /// All accounts are kept.
    fn aggregate_accounts(&mut self, _retired: &[String]) -> rusqlite::Result<()> {
        Ok(())
    }

    /// It follows from the tasks, which are all kept.
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

    /// Most updates say the same as the one before: then no page changes.
    fn explain(&mut self, status: &StatusRecord) -> rusqlite::Result<()> {
        self.run(
            "UPDATE task SET reason = ?2, message = ?3, updated_ms = ?4
             WHERE id = ?1 AND (reason IS NOT ?2 OR message IS NOT ?3)",
            params![status.task, status.reason, status.message, self.now],
        )
    }

    /// A task's reports come in order, each again until it is acknowledged: a later one than the last whose shares were
    /// taken in is new.
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
            // It had no account before, so none of it is in a sum.
            let failed = failed_launches::contain(self, &status.task)?;
            return if failed { journal::record_accounts(self, status) } else { Ok(()) };
        };
        if let Some(state) = journal::new_state(row.state, status) {
            self.run("UPDATE task SET state = ?2 WHERE id = ?1", params![status.task, state.as_str_name()])?;
            self.explain(status)?;
        }
        // What is in a sum already would be counted twice.
        if row.in_sum { Ok(()) } else { journal::record_accounts(self, status) }
    }

    fn aggregate_untracked_miners(&mut self, server: &str) -> rusqlite::Result<()> {
        untracked_miners::aggregate(self, server)
    }
}

/// As they are stored. There is nothing in them that JSON has not.
fn attributes(task: &TaskRecord) -> Option<String> {
    if task.attributes.is_empty() { None } else { serde_json::to_string(&task.attributes).ok() }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Launched { .. } => "launched",
        Origin::Unrecorded => "found",
    }
}
