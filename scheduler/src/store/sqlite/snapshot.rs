//! The ledger, read beside a scheduler that may be writing it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{failed_launches, read, schema};
use crate::store::{DATABASE, LedgerSnapshot, StoreError};

/// Reads the last framework's ledger, or those of all. Nothing is locked, and nothing written; format 1 is read as it is.
///
/// # Errors
/// If there is none, or it cannot be read.
pub fn ledger_snapshot(folder: &Path, all: bool) -> Result<LedgerSnapshot, StoreError> {
    let path = folder.join(DATABASE);
    if !path.is_file() {
        return Err(StoreError::NoLedger { path: folder.to_owned() });
    }
    let database = |source| StoreError::Database { path: path.clone(), source };
    let mut connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(database)?;
    connection.busy_timeout(schema::PATIENCE).map_err(database)?;
    if schema::found(&connection, &path)? == 0 {
        return Err(StoreError::NoLedger { path: folder.to_owned() });
    }
    // All of one moment.
    let moment = connection.transaction().map_err(database)?;
    read_all(&moment, all).map_err(database)
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
    let oldest =
        connection.query_row("SELECT min(received_ms) FROM share", [], |row| row.get(0)).optional()?;
    let oldest: Option<i64> = oldest.flatten();
    snapshot.shares_since_ms = oldest.and_then(|oldest| oldest.try_into().ok());
    Ok(snapshot)
}
