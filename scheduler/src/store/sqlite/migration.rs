//! Format 1 → format 2.
//!
//! 1. All but the single shares is copied into a file of its own, under a temporary name.
//! 2. When the disk has the copy, it gets its name.
//! 3. The tables are changed, in one transaction with the number of the format.
//!
//! Whoever is killed on the way begins anew: until the third step has come about, nothing has changed. No step looks at
//! the single shares, of which there may be gigabytes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::schema::{FORMAT, TABLES};
use crate::store::StoreError;

/// The format that is migrated from. Format 0 is an empty database, or one whose maker was killed before the end.
const BEFORE: i64 = 1;

/// The columns that format 1 lacks.
const NEW_COLUMNS: [(&str, &str, &str); 7] = [
    ("framework", "removed_ms", "INTEGER"),
    ("task", "pool", "TEXT"),
    ("task", "origin", "TEXT NOT NULL DEFAULT 'launched'"),
    ("task", "agent_url", "TEXT"),
    ("task", "specification", "TEXT"),
    ("task", "retired", "INTEGER NOT NULL DEFAULT 0"),
    ("folder", "specification_key", "TEXT"),
];

/// In format 1, a task without CPU was one that had been found running, and `server` had a task's id or a pool's URL.
const CONVERSIONS: [&str; 2] = [
    "UPDATE task SET origin = 'found' WHERE cpus_milli = 0",
    "UPDATE task SET pool = server, server = NULL WHERE server NOT LIKE 'miner-%'",
];

/// Where the copy of a database of this format is.
pub(super) fn copy_path(database: &Path, format: i64) -> PathBuf {
    database.with_extension(format!("format-{format}.sqlite"))
}

/// Migrates, and leaves a copy of what was there.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let error = |source| StoreError::Database { path: path.to_owned(), source };
    if has_tables(connection).map_err(error)? {
        let copy = copy_path(path, BEFORE);
        let partial = copy.with_extension("sqlite.partial");
        write_copy(connection, &partial)?;
        publish(&partial, &copy)?;
        tracing::info!(path = %path.display(), copy = %copy.display(), "converting format {BEFORE} to {FORMAT}");
    }
    convert(connection, |_| Ok(())).map_err(error)
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get(0))
}

/// Copies all but the single shares: their table is empty there.
fn write_copy(connection: &Connection, partial: &Path) -> Result<(), StoreError> {
    remove(partial)?;
    let error = |source| StoreError::Database { path: partial.to_owned(), source };
    let name = partial.to_str().ok_or_else(|| StoreError::Io {
        path: partial.to_owned(),
        source: std::io::Error::other("its name is not UTF-8"),
    })?;
    connection.execute("ATTACH ?1 AS copy", [name]).map_err(error)?;
    let copied = copy_tables(connection);
    // The copy's error comes first, if there is one.
    let detached = connection.execute_batch("DETACH copy");
    copied.and(detached).map_err(error)
}

fn copy_tables(connection: &Connection) -> rusqlite::Result<()> {
    // Nobody relies on the copy before it is renamed, and that waits for the disk.
    connection.execute_batch("PRAGMA copy.journal_mode = OFF; PRAGMA copy.synchronous = OFF;")?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for statement in copy_statements(&transaction)? {
        transaction.execute_batch(&statement)?;
    }
    transaction.execute_batch(&format!("PRAGMA copy.user_version = {BEFORE}"))?;
    transaction.commit()
}

/// What makes and fills the copy's tables. SQLite alone makes tables whose names begin with `sqlite_`, such as the
/// statistics that ANALYZE leaves; nothing is lost without them.
fn copy_statements(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = connection.prepare(
        "SELECT type, name, sql FROM main.sqlite_master
         WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type = 'index'",
    )?;
    let mut rows = query.query([])?;
    let mut statements = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, name, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let create = format!("CREATE {} ", kind.to_uppercase());
        statements.push(sql.replacen(&create, &format!("{create}copy."), 1));
        if kind == "table" && name != "share" {
            statements.push(format!("INSERT INTO copy.{name} SELECT * FROM main.{name}"));
        }
    }
    Ok(statements)
}

/// Gives the copy its name when the disk has it.
fn publish(partial: &Path, copy: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::Io { path: copy.to_owned(), source };
    File::open(partial).and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(partial, copy).map_err(io)?;
    let folder = copy.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Io { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// Changes the tables. `before` is called with each statement, for tests that stop there.
fn convert(
    connection: &mut Connection,
    mut before: impl FnMut(&str) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for statement in conversion(&transaction)? {
        before(&statement)?;
        transaction.execute_batch(&statement)?;
    }
    before("COMMIT")?;
    transaction.commit()
}

/// The statements that change the tables. One that is missing altogether comes about as it is now.
fn conversion(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statements = Vec::new();
    for (table, column, definition) in NEW_COLUMNS {
        if has_table(connection, table)? && !has_column(connection, table, column)? {
            statements.push(format!("ALTER TABLE {table} ADD COLUMN {column} {definition}"));
        }
    }
    statements.push(TABLES.to_owned());
    statements.extend(CONVERSIONS.map(str::to_owned));
    statements.push(format!("PRAGMA user_version = {FORMAT}"));
    Ok(statements)
}

fn has_table(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)";
    connection.query_row(sql, [table], |row| row.get(0))
}

fn has_column(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
    connection.query_row(sql, [table, column], |row| row.get(0))
}

#[cfg(test)]
mod tests;
