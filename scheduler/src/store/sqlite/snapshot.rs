//! Reads the ledger while a scheduler may be writing it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::stored_shares::{self, StoredShare};
use super::{failed_launches, migration, read};
use crate::store::{LedgerSnapshot, STATE_FOLDER, StoreError};

/// Reads the ledger of the last framework, or of all frameworks. This function neither locks nor writes anything, and reads
/// earlier formats without converting them.
///
/// # Errors
/// If there is no ledger, or it cannot be read.
pub fn ledger_snapshot(folder: &Path, all: bool) -> Result<LedgerSnapshot, StoreError> {
    let (mut connection, path) = open(folder)?;
    let error = STATE_FOLDER.database_error(&path);
    // All reads within one transaction see the same state of the database.
    let transaction = connection.transaction().map_err(&error)?;
    read_all(&transaction, all).map_err(&error)
}

/// Calls `each` with one stored share after another, the oldest first, until `each` breaks. This function neither locks nor
/// writes anything.
///
/// # Errors
/// Under the same conditions as [`ledger_snapshot`].
pub fn stored_shares(
    folder: &Path,
    mut each: impl FnMut(StoredShare) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let (connection, path) = open(folder)?;
    stored_shares::read(&connection, &mut each).map_err(STATE_FOLDER.database_error(&path))
}

fn open(folder: &Path) -> Result<(Connection, PathBuf), StoreError> {
    let path = STATE_FOLDER.database_path(folder);
    let connection = STATE_FOLDER.open_read_only(folder)?;
    match migration::known_format(&connection, &path)? {
        0 => Err(STATE_FOLDER.missing(folder)),
        _ => Ok((connection, path)),
    }
}

/// The [`LedgerSnapshot::rows_since_ms`] of a folder; `None` also if the folder cannot be read.
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
        snapshot.failed_launches.extend(failed_launches::failed_launches(connection, &id)?);
        read::ledger(connection, &id, &mut snapshot.ledger)?;
        snapshot.rows_since_ms = read::other_leaders(connection, &id)?.map(|others| others.rows_since_ms);
        snapshot.frameworks.push(id);
    }
    snapshot.shares_since_ms = stored_shares::oldest_ms(connection)?;
    Ok(snapshot)
}
