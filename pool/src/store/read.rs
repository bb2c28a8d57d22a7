//! Rows → what they were written from.

use database::{sum, unsigned};
use rusqlite::{Connection, Row};
use task::Totals;

use super::write::WorkerIds;
use crate::accounts::RecoveredAccounts;

/// All workers: their number, their name, and what [`totals`] reads.
pub(super) const WORKERS: &str =
    "SELECT id, name, accepted, rejected, stale, unanswered, accepted_work, blocks FROM worker ORDER BY name";

/// Reads all workers, with the numbers that stand for them.
pub(super) fn recover(connection: &Connection) -> rusqlite::Result<(RecoveredAccounts, WorkerIds)> {
    let (mut recovered, mut ids) = (RecoveredAccounts::default(), WorkerIds::new());
    let mut query = connection.prepare(WORKERS)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let name: std::sync::Arc<str> = row.get(1)?;
        ids.insert(name.clone(), row.get(0)?);
        recovered.workers.push((name, totals(row)?));
    }
    let refused = "SELECT count(*) FROM block WHERE refused IS NOT NULL";
    recovered.refused_blocks = connection.query_row(refused, [], |row| row.get(0)).map(unsigned)?;
    Ok((recovered, ids))
}

/// Whether a block's verdict is there.
pub(super) fn has_block(connection: &Connection, hash: &str) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM block WHERE hash = ?1)", [hash], |row| row.get(0))
}

/// The totals in a row of [`WORKERS`].
pub(super) fn totals(row: &Row<'_>) -> rusqlite::Result<Totals> {
    let count = |column| row.get(column).map(unsigned);
    Ok(Totals {
        accepted: count(2)?,
        rejected: count(3)?,
        stale: count(4)?,
        unanswered: count(5)?,
        accepted_work: sum(row, 6)?,
        blocks: count(7)?,
        ..Totals::default()
    })
}
