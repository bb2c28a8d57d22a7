//! Accounts of workers that are no tasks, with a server that has ended: the excess becomes one.

use rusqlite::{Connection, params};

use super::read::{self, Account};
use super::values::integer;
use crate::ledger::{Entry, OTHERS, OUTSIDERS};

/// Adds up all but the largest accounts. Repeating it changes nothing, since few are left after the first time.
pub(super) fn fold(connection: &Connection, server: &str) -> rusqlite::Result<()> {
    let excess = read::accounts(
        connection,
        "task = ?1 AND worker <> ?2 AND worker NOT IN (SELECT id FROM task)
         ORDER BY accepted DESC, worker LIMIT -1 OFFSET ?3",
        params![server, OTHERS, OUTSIDERS as i64],
    )?;
    if excess.is_empty() {
        return Ok(());
    }
    let known = read::accounts(connection, "task = ?1 AND worker = ?2", params![server, OTHERS])?;
    let mut sum = Entry::default();
    for Account { entry, .. } in excess.iter().chain(&known) {
        sum.sequence = sum.sequence.max(entry.sequence);
        sum.totals += entry.totals;
        sum.rows_omitted = sum.rows_omitted.saturating_add(entry.rows_omitted);
    }
    for account in &excess {
        connection
            .prepare_cached("DELETE FROM account WHERE task = ?1 AND worker = ?2")?
            .execute(params![server, account.worker])?;
    }
    set(connection, server, &sum)
}

fn set(connection: &Connection, server: &str, sum: &Entry) -> rusqlite::Result<()> {
    let totals = &sum.totals;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO account (task, worker, kind, framework, sequence, hashes, accepted_work, accepted,
                 rejected, stale, unanswered, blocks, rows_omitted, updated_ms)
             SELECT ?1, ?2, 'server', framework, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, updated_ms
             FROM task WHERE id = ?1",
        )?
        .execute(params![
            server,
            OTHERS,
            integer(sum.sequence),
            totals.hashes.to_string(),
            totals.accepted_work.to_string(),
            integer(totals.accepted),
            integer(totals.rejected),
            integer(totals.stale),
            integer(totals.unanswered),
            integer(totals.blocks),
            integer(sum.rows_omitted),
        ])
        .map(drop)
}
