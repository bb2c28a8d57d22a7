//! Accounts of miners that are no tasks, with a server that has ended: the excess becomes one.

use rusqlite::params;

use super::read;
use super::tables::Tables;
use crate::journal::{Account, Entry, OTHERS, UNTRACKED_MINERS};
use crate::task_id::TaskKind;

/// Adds up all but the largest accounts. Repeating it changes nothing, since few are left after the first time.
pub(super) fn aggregate(tables: &Tables<'_>, server: &str) -> rusqlite::Result<()> {
    let excess = read::accounts(
        tables.transaction,
        "task = ?1 AND worker <> ?2 AND NOT EXISTS (SELECT 1 FROM task WHERE id = worker)
         ORDER BY accepted DESC, worker LIMIT -1 OFFSET ?3",
        params![server, OTHERS, UNTRACKED_MINERS as i64],
    )?;
    if excess.is_empty() {
        return Ok(());
    }
    let mut sum = read::account(tables.transaction, server, OTHERS)?.unwrap_or_default();
    for row in &excess {
        let Entry { sequence, totals, rows_omitted } = row.entry;
        sum.sequence = sum.sequence.max(sequence);
        sum.totals += totals;
        sum.rows_omitted = sum.rows_omitted.saturating_add(rows_omitted);
        tables.run("DELETE FROM account WHERE task = ?1 AND worker = ?2", params![server, row.worker])?;
    }
    tables.set_account(Account { reporter: server, kind: TaskKind::Server, worker: OTHERS, entry: sum })
}
