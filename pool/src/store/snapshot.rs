//! The accounts, read beside a pool that may be writing them.

use std::collections::HashMap;
use std::path::Path;

use database::unsigned;
use rusqlite::Connection;
use task::Totals;

use super::read::{WORKERS, totals};
use super::{DATA_FOLDER, StoreError, schema};

/// What is in the books at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountsSnapshot {
    /// All workers, by name.
    pub workers: Vec<WorkerAccount>,
    /// Sums over all workers.
    pub totals: Totals,
    /// Blocks found, whatever became of them, by height.
    pub blocks: Vec<BlockRow>,
    /// When the oldest share that has a row was accepted, milliseconds since the Unix epoch.
    pub shares_since_ms: Option<u64>,
}

/// A worker's account.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerAccount {
    /// The worker's name.
    pub name: String,
    /// Sums for ever.
    pub totals: Totals,
    /// Rows of single accepted shares.
    pub rows: u64,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// Its hash in hex, as nodes write it.
    pub hash: String,
    /// Its height.
    pub height: u64,
    /// Who found it.
    pub worker: String,
    /// Why it did not become part of the chain; none if it did.
    pub refused: Option<String>,
}

/// Reads the accounts in a pool's data folder. Nothing is locked, and nothing changed.
///
/// # Errors
/// If there are none, or they can't be read.
pub fn read_accounts(folder: &Path) -> Result<AccountsSnapshot, StoreError> {
    let path = DATA_FOLDER.database_path(folder);
    let database = DATA_FOLDER.database_error(&path);
    let mut connection = DATA_FOLDER.open_read_only(folder)?;
    if !schema::exists(&connection, &path)? {
        return Err(DATA_FOLDER.missing(folder));
    }
    // All of one moment.
    let moment = connection.transaction().map_err(&database)?;
    read(&moment).map_err(database)
}

fn read(connection: &Connection) -> rusqlite::Result<AccountsSnapshot> {
    let mut books = AccountsSnapshot::default();
    let mut query = connection.prepare("SELECT worker, count(*) FROM share GROUP BY worker")?;
    let kept = query.query_map([], |row| Ok((row.get(0)?, row.get(1).map(unsigned)?)))?;
    let kept: HashMap<i64, u64> = kept.collect::<rusqlite::Result<_>>()?;
    let mut query = connection.prepare(WORKERS)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let rows = kept.get(&row.get(0)?).copied().unwrap_or(0);
        let worker = WorkerAccount { name: row.get(1)?, totals: totals(row)?, rows };
        books.totals += worker.totals;
        books.workers.push(worker);
    }
    let mut query =
        connection.prepare("SELECT hash, height, worker, refused FROM block ORDER BY height, found")?;
    let blocks = query.query_map([], |row| {
        Ok(BlockRow {
            hash: row.get(0)?,
            height: row.get(1).map(unsigned)?,
            worker: row.get(2)?,
            refused: row.get(3)?,
        })
    })?;
    books.blocks = blocks.collect::<rusqlite::Result<_>>()?;
    let oldest: Option<i64> =
        connection.query_row("SELECT min(accepted_ms) FROM share", [], |row| row.get(0))?;
    books.shares_since_ms = oldest.map(unsigned);
    Ok(books)
}
