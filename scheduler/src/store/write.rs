//! Changes → rows. Every statement may be repeated without changing the outcome.

use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use task::{Account, Verdict};

use super::outsiders;
use super::values::{integer, now_ms};
use crate::kind::Kind;
use crate::ledger;
use crate::record::{Change, StatusRecord, TaskRecord, Ticket};

/// Writes a batch in one transaction. `framework` is the one that the changes belong to; it follows them.
pub(super) fn write(
    connection: &mut Connection,
    framework: &mut Option<String>,
    batch: &[(Ticket, Change)],
) -> rusqlite::Result<()> {
    let mut current = framework.clone();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let writer = Changes { transaction: &transaction, now: integer(now_ms()) };
    for (_, change) in batch {
        writer.apply(&mut current, change)?;
    }
    transaction.commit()?;
    *framework = current;
    Ok(())
}

/// Removes rows of single shares that are older than `retention`.
pub(super) fn expire_rows(connection: &Connection, retention: Duration) -> rusqlite::Result<usize> {
    let oldest = integer(now_ms()).saturating_sub(retention.as_millis().try_into().unwrap_or(i64::MAX));
    connection.execute("DELETE FROM share WHERE received_ms < ?1", [oldest])
}

/// The number at the end of a task id.
pub(super) fn number(id: &str) -> i64 {
    id.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// One transaction's changes.
pub(super) struct Changes<'a> {
    pub transaction: &'a Transaction<'a>,
    /// Milliseconds since the Unix epoch.
    pub now: i64,
}

impl Changes<'_> {
    fn apply(&self, framework: &mut Option<String>, change: &Change) -> rusqlite::Result<()> {
        match change {
            Change::Framework { id } => {
                *framework = Some(id.clone());
                self.run(
                    "INSERT INTO framework (id, started_ms) VALUES (?1, ?2)
                     ON CONFLICT (id) DO UPDATE SET ended_ms = NULL",
                    params![id, self.now],
                )
            }
            Change::FrameworkEnded => {
                let id = framework.take();
                self.run("UPDATE framework SET ended_ms = ?2 WHERE id = ?1", params![id, self.now])
            }
            Change::Task(record) => self.task(framework.as_deref(), record),
            Change::Forget { task } => {
                self.run("DELETE FROM attribute WHERE task = ?1", params![task])?;
                self.run("DELETE FROM task WHERE id = ?1", params![task])
            }
            Change::Status(status) => self.status(framework.as_deref(), status),
            Change::Employer { task, server } => {
                self.run("UPDATE task SET server = ?2 WHERE id = ?1", params![task, server])
            }
            Change::FoldOutsiders { server } => outsiders::fold(self.transaction, server),
            // All is kept on disk.
            Change::Past { .. } => Ok(()),
            Change::Peak(workers) => self.run(
                "UPDATE framework SET peak = max(peak, ?2) WHERE id = ?1",
                params![framework.as_deref(), integer(*workers)],
            ),
        }
    }

    pub fn run(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// Writes a task down that may be there already.
    pub fn task(&self, framework: Option<&str>, record: &TaskRecord) -> rusqlite::Result<()> {
        let address = record.address.as_ref();
        self.run(
            "INSERT INTO task (id, number, framework, kind, agent, host, server, cpus_milli, stratum_host,
                 stratum_port, http_port, state, created_ms, updated_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)
             ON CONFLICT (id) DO NOTHING",
            params![
                record.id,
                number(&record.id),
                framework.unwrap_or_default(),
                record.kind.name(),
                record.agent,
                record.host,
                record.server,
                integer(record.cpus_milli),
                address.map(|address| &address.host),
                address.map(|address| address.stratum_port),
                address.map(|address| address.http_port),
                record.state,
                self.now,
            ],
        )?;
        for (name, value) in &record.attributes {
            self.run(
                "INSERT OR IGNORE INTO attribute (task, name, value) VALUES (?1, ?2, ?3)",
                params![record.id, name, value],
            )?;
        }
        Ok(())
    }

    fn status(&self, framework: Option<&str>, status: &StatusRecord) -> rusqlite::Result<()> {
        if let Some(state) = &status.state {
            self.run(
                "UPDATE task SET state = ?2, reason = ?3, message = ?4, updated_ms = ?5
                 WHERE id = ?1 AND coalesce(state, '') NOT IN
                     ('TASK_FINISHED', 'TASK_FAILED', 'TASK_KILLED', 'TASK_ERROR')",
                params![status.task, state, status.reason, status.message, self.now],
            )?;
        }
        if status.last {
            self.run("INSERT OR IGNORE INTO closed (task) VALUES (?1)", params![status.task])?;
        }
        let Some(report) = &status.report else { return Ok(()) };
        if let Some(address) = &report.server {
            self.run(
                "UPDATE task SET stratum_host = ?2, stratum_port = ?3, http_port = ?4 WHERE id = ?1",
                params![status.task, address.host, address.stratum_port, address.http_port],
            )?;
        }
        let entries = ledger::entries(&status.task, status.kind, report);
        for ((worker, entry), account) in entries.zip(&report.accounts) {
            self.account(framework, &status.task, status.kind, worker, &entry)?;
            self.rows(&status.task, worker, entry.sequence, account)?;
        }
        Ok(())
    }

    /// Sets an account unless a later one is there.
    pub fn account(
        &self,
        framework: Option<&str>,
        task: &str,
        kind: Kind,
        worker: &str,
        entry: &ledger::Entry,
    ) -> rusqlite::Result<()> {
        let totals = &entry.totals;
        self.run(
            "INSERT INTO account (task, worker, kind, framework, sequence, hashes, accepted_work, accepted, rejected,
                 stale, unanswered, blocks, rows_omitted, updated_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (task, worker) DO UPDATE SET sequence = excluded.sequence, hashes = excluded.hashes,
                 accepted_work = excluded.accepted_work, accepted = excluded.accepted,
                 rejected = excluded.rejected, stale = excluded.stale, unanswered = excluded.unanswered,
                 blocks = excluded.blocks, rows_omitted = excluded.rows_omitted, updated_ms = excluded.updated_ms
             WHERE excluded.sequence > sequence",
            params![
                task,
                worker,
                kind.name(),
                framework.unwrap_or_default(),
                integer(entry.sequence),
                totals.hashes.to_string(),
                totals.accepted_work.to_string(),
                integer(totals.accepted),
                integer(totals.rejected),
                integer(totals.stale),
                integer(totals.unanswered),
                integer(totals.blocks),
                integer(entry.rows_omitted),
                self.now,
            ],
        )
    }

    /// The key keeps a repeated report from bringing its rows twice.
    fn rows(&self, task: &str, worker: &str, sequence: u64, account: &Account) -> rusqlite::Result<()> {
        for (ordinal, row) in account.rows.iter().enumerate() {
            self.run(
                "INSERT OR IGNORE INTO share (task, worker, sequence, ordinal, job, extranonce2, ntime, version, nonce,
                     difficulty, verdict, round_trip_us, received_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                params![
                    task,
                    worker,
                    integer(sequence),
                    integer(ordinal as u64),
                    row.job,
                    row.extranonce2,
                    row.ntime,
                    row.version,
                    row.nonce,
                    row.difficulty,
                    verdict(row.verdict),
                    i64::try_from(row.round_trip.as_micros()).unwrap_or(i64::MAX),
                    self.now,
                ],
            )?;
        }
        Ok(())
    }
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Accepted => "accepted".to_owned(),
        Verdict::Rejected(code) => format!("rejected {code}"),
        Verdict::Stale => "stale".to_owned(),
        Verdict::Unanswered => "unanswered".to_owned(),
    }
}
