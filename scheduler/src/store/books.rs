//! The ledger, read beside a scheduler that may be writing it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{DATABASE, StoreError, read, schema};
use crate::ledger::Ledger;
use crate::record::TaskRecord;

/// What is in the books at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Books {
    /// The frameworks' ids, oldest first.
    pub frameworks: Vec<String>,
    /// Their tasks, in the order of their launch.
    pub tasks: Vec<TaskRecord>,
    /// Their accounts.
    pub ledger: Ledger,
    /// Time of the oldest single share kept, milliseconds since the Unix epoch.
    pub shares_since_ms: Option<u64>,
    /// Since when all of the last framework's single shares were kept here, milliseconds since the Unix epoch, if
    /// schedulers elsewhere have led before.
    pub rows_since_ms: Option<u64>,
}

/// Reads the last framework's books, or those of all. Nothing is locked, and nothing written.
///
/// # Errors
/// If there are none, or they can't be read.
pub fn books(folder: &Path, all: bool) -> Result<Books, StoreError> {
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

/// [`Books::rows_since_ms`] alone.
pub fn rows_since(folder: &Path) -> Option<u64> {
    books(folder, false).ok()?.rows_since_ms
}

fn read_all(connection: &Connection, all: bool) -> rusqlite::Result<Books> {
    let mut books = Books::default();
    let limit = if all { -1 } else { 1 };
    let mut query = connection.prepare(
        "SELECT id FROM (SELECT id, started_ms FROM framework ORDER BY started_ms DESC LIMIT ?1) ORDER BY started_ms",
    )?;
    for id in query.query_map([limit], |row| row.get::<_, String>(0))? {
        let id = id?;
        books.tasks.extend(read::tasks(connection, &id)?);
        read::ledger(connection, &id, &mut books.ledger)?;
        books.rows_since_ms = read::earlier(connection, &id)?.map(|earlier| earlier.rows_since_ms);
        books.frameworks.push(id);
    }
    let oldest =
        connection.query_row("SELECT min(received_ms) FROM share", [], |row| row.get(0)).optional()?;
    let oldest: Option<i64> = oldest.flatten();
    books.shares_since_ms = oldest.and_then(|oldest| oldest.try_into().ok());
    Ok(books)
}
