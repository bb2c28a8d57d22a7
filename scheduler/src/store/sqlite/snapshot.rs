//! The ledger, read beside a scheduler that may be writing it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::kept_shares::{self, KeptShare};
use super::{failed_launches, read, schema};
use crate::store::{DATABASE, LedgerSnapshot, StoreError};

/// Reads the last framework's ledger, or those of all. Nothing is locked, and nothing written; earlier formats are read as they
/// are.
///
/// # Errors
/// If there is none, or it cannot be read.
pub fn ledger_snapshot(folder: &Path, all: bool) -> Result<LedgerSnapshot, StoreError> {
    let (mut connection, path) = open(folder)?;
    let database = |source| StoreError::Database { path: path.clone(), source };
    // All of one moment.
    let moment = connection.transaction().map_err(database)?;
    read_all(&moment, all).map_err(database)
}

/// Reads single shares, those of earlier formats first, then the oldest ones first, until `each` breaks. Nothing is
/// locked, and nothing written.
///
/// # Errors
/// As [`ledger_snapshot`].
pub fn kept_shares(
    folder: &Path,
    mut each: impl FnMut(KeptShare) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let (connection, path) = open(folder)?;
    kept_shares::read(&connection, &mut each).map_err(|source| StoreError::Database { path, source })
}

fn open(folder: &Path) -> Result<(Connection, PathBuf), StoreError> {
    let path = folder.join(DATABASE);
    if !path.is_file() {
        return Err(StoreError::NoLedger { path: folder.to_owned() });
    }
    let database = |source| StoreError::Database { path: path.clone(), source };
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(database)?;
    connection.busy_timeout(schema::PATIENCE).map_err(database)?;
    match schema::found(&connection, &path)? {
        0 => Err(StoreError::NoLedger { path: folder.to_owned() }),
        _ => Ok((connection, path)),
    }
}

/// [`LedgerSnapshot::rows_since_ms`] alone.
pub fn rows_since(folder: &Path) -> Option<u64> {
    ledger_snapshot(folder, false).ok()?.rows_since_ms
}

fn read_all(connection: &Connection, all: bool) -> rusqlite::Result<LedgerSnapshot> {
    let mut snapshot = LedgerSnapshot::default();
    let limit = if all { -1 } else { 1 };
    let mut query = connection.prepare(
        "SELECT id FROM (SELECT id, started_ms FROM framework ORDER BY started_ms DESC LIMIT ?1) ORDER BY started_ms",
    )?;
    for id in query.query_map([limit], |row| row.get::<_, String>(0))? {
        let id = id?;
        snapshot.tasks.extend(read::tasks(connection, &id)?.into_iter().map(|(task, _)| task));
        snapshot.failed_launches.extend(failed_launches::sums(connection, &id)?);
        read::ledger(connection, &id, &mut snapshot.ledger)?;
        snapshot.rows_since_ms =
            read::led_elsewhere(connection, &id)?.map(|elsewhere| elsewhere.rows_since_ms);
        snapshot.frameworks.push(id);
    }
    snapshot.shares_since_ms = kept_shares::oldest_ms(connection)?;
    Ok(snapshot)
}
