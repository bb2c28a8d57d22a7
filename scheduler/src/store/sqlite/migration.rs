//! Formats 1 and 2 → format 3.
//!
//! 1. All but the single shares is copied into a file of its own, under a temporary name.
//! 2. When the disk has the copy, it gets its name.
//! 3. The tables are changed, in one transaction with the number of the format.
//!
//! Whoever is killed on the way begins anew: until the third step has come about, nothing has changed. No step looks at
//! the single shares, of which there may be gigabytes: those of earlier formats stay where they are until they go.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::schema::{FORMAT, SHARES_2, TABLES, has_table, has_tables};
use crate::store::StoreError;

/// The first format. Format 0 is an empty database, or one whose maker was killed before the end.
const FIRST: i64 = 1;

/// The columns that came after format 1.
const NEW_COLUMNS: [(&str, &str, &str); 9] = [
    ("framework", "removed_ms", "INTEGER"),
    ("task", "pool", "TEXT"),
    ("task", "origin", "TEXT NOT NULL DEFAULT 'launched'"),
    ("task", "agent_url", "TEXT"),
    ("task", "specification", "TEXT"),
    ("task", "retired", "INTEGER NOT NULL DEFAULT 0"),
    ("task", "attributes", "TEXT"),
    ("folder", "specification_key", "TEXT"),
    ("account", "shares_sequence", "INTEGER NOT NULL DEFAULT 0"),
];

/// What formats meant otherwise, and the first format that means it as now. In format 1, a task without CPU was one that
/// had been found running, and `server` had a task's id or a pool's URL. Before format 3 the shares of all reports that
/// were taken in stand in the table of those formats, and each attribute is a row.
const CONVERSIONS: [(i64, &str); 6] = [
    (2, "UPDATE task SET origin = 'found' WHERE cpus_milli = 0"),
    (2, "UPDATE task SET pool = server, server = NULL WHERE server NOT LIKE 'miner-%'"),
    (3, "UPDATE account SET shares_sequence = sequence"),
    (3, "CREATE TABLE IF NOT EXISTS attribute (task, name, value)"),
    (
        3,
        "UPDATE task SET attributes = (SELECT json_group_object(name, value) FROM attribute WHERE attribute.task = task.id)
         WHERE EXISTS (SELECT 1 FROM attribute WHERE attribute.task = task.id)",
    ),
    (3, "DROP TABLE attribute"),
];

/// Where the copy of a database of this format is.
pub(super) fn copy_path(database: &Path, format: i64) -> PathBuf {
    database.with_extension(format!("format-{format}.sqlite"))
}

/// Migrates from the format that was found, and leaves a copy of what was there.
pub(super) fn migrate(connection: &mut Connection, path: &Path, found: i64) -> Result<(), StoreError> {
    let error = |source| StoreError::Database { path: path.to_owned(), source };
    if has_tables(connection).map_err(error)? {
        let before = found.max(FIRST);
        let copy = copy_path(path, before);
        let partial = copy.with_extension("sqlite.partial");
        write_copy(connection, &partial, before)?;
        publish(&partial, &copy)?;
        tracing::info!(path = %path.display(), copy = %copy.display(), "converting format {before} to {FORMAT}");
    }
    convert(connection, found, |_| Ok(())).map_err(error)
}

/// Copies all but the single shares: their table is empty there.
fn write_copy(connection: &Connection, partial: &Path, format: i64) -> Result<(), StoreError> {
    remove(partial)?;
    let error = |source| StoreError::Database { path: partial.to_owned(), source };
    let name = partial.to_str().ok_or_else(|| StoreError::Io {
        path: partial.to_owned(),
        source: std::io::Error::other("its name is not UTF-8"),
    })?;
    connection.execute("ATTACH ?1 AS copy", [name]).map_err(error)?;
    let copied = copy_tables(connection, format);
    // The copy's error comes first, if there is one.
    let detached = connection.execute_batch("DETACH copy");
    copied.and(detached).map_err(error)
}

fn copy_tables(connection: &Connection, format: i64) -> rusqlite::Result<()> {
    // Nobody relies on the copy before it is renamed, and that waits for the disk.
    connection.execute_batch("PRAGMA copy.journal_mode = OFF; PRAGMA copy.synchronous = OFF;")?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for statement in copy_statements(&transaction)? {
        transaction.execute_batch(&statement)?;
    }
    transaction.execute_batch(&format!("PRAGMA copy.user_version = {format}"))?;
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
        if kind == "table" && name != SHARES_2 {
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
    found: i64,
    mut before: impl FnMut(&str) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for statement in conversion(&transaction, found)? {
        before(&statement)?;
        transaction.execute_batch(&statement)?;
    }
    before("COMMIT")?;
    transaction.commit()
}

/// The statements that change the tables. One that is missing altogether comes about as it is now.
fn conversion(connection: &Connection, found: i64) -> rusqlite::Result<Vec<String>> {
    let mut statements = Vec::new();
    for (table, column, definition) in NEW_COLUMNS {
        if has_table(connection, table)? && !has_column(connection, table, column)? {
            statements.push(format!("ALTER TABLE {table} ADD COLUMN {column} {definition}"));
        }
    }
    statements.push(TABLES.to_owned());
    let conversions = CONVERSIONS.iter().filter(|(since, _)| found < *since);
    statements.extend(conversions.map(|(_, statement)| (*statement).to_owned()));
    statements.push(format!("PRAGMA user_version = {FORMAT}"));
    Ok(statements)
}

fn has_column(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
    connection.query_row(sql, [table, column], |row| row.get(0))
}

#[cfg(test)]
mod tests;
