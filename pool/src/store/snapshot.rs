//! Reads the accounts of a pool that may be running.

use std::collections::HashMap;
use std::path::Path;

use database::unsigned;
use rusqlite::Connection;
use task::Totals;

use super::read::{block, blocks, totals, workers};
use super::{DATA_FOLDER, StoreError, schema};
use crate::accounts::BlockRecord;

/// The accounts of a pool at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountsSnapshot {
    /// All workers, sorted by name.
    pub workers: Vec<WorkerAccount>,
    /// Sums over all workers.
    pub totals: Totals,
    /// The found blocks, accepted or not, sorted by height.
    pub blocks: Vec<BlockRecord>,
    /// When the oldest share that is still stored individually was accepted, in milliseconds since the Unix epoch.
    pub shares_since_ms: Option<u64>,
}

/// A worker's account.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerAccount {
    /// The worker's name.
    pub name: String,
    /// Sums since the accounts began.
    pub totals: Totals,
    /// Number of rows of individual accepted shares.
    pub rows: u64,
}

/// Reads the accounts in a pool's data folder, without locking or changing it.
///
/// # Errors
/// If there are no accounts, or they cannot be read.
pub fn read_accounts(folder: &Path) -> Result<AccountsSnapshot, StoreError> {
    let path = DATA_FOLDER.database_path(folder);
    let database = DATA_FOLDER.database_error(&path);
    let mut connection = DATA_FOLDER.open_read_only(folder)?;
    if !schema::exists(&connection, &path)? {
        return Err(DATA_FOLDER.missing(folder));
    }
    // In a transaction, all rows are from the same moment.
    let transaction = connection.transaction().map_err(&database)?;
    read(&transaction).map_err(database)
}

fn read(connection: &Connection) -> rusqlite::Result<AccountsSnapshot> {
    let mut snapshot = AccountsSnapshot::default();
    let mut query = connection.prepare("SELECT worker, count(*) FROM share GROUP BY worker")?;
    let kept = query.query_map([], |row| Ok((row.get(0)?, row.get(1).map(unsigned)?)))?;
    let kept: HashMap<i64, u64> = kept.collect::<rusqlite::Result<_>>()?;
    let mut query = workers(connection)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let rows = kept.get(&row.get(0)?).copied().unwrap_or(0);
        let worker = WorkerAccount { name: row.get(1)?, totals: totals(row)?, rows };
        snapshot.totals += worker.totals;
        snapshot.workers.push(worker);
    }
    let mut query = blocks(connection)?;
    snapshot.blocks = query.query_map([], block)?.collect::<rusqlite::Result<_>>()?;
    let oldest: Option<i64> =
        connection.query_row("SELECT min(accepted_ms) FROM share", [], |row| row.get(0))?;
    snapshot.shares_since_ms = oldest.map(unsigned);
    Ok(snapshot)
}
