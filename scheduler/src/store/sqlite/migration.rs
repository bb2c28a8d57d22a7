//! Prepares the database: creates its tables, or converts formats 1 and 2 to format 3.
//!
//! 1. Everything but the single shares is copied to a backup file with a temporary name.
//! 2. When the backup is on disk, it is renamed to its final name.
//! 3. The tables are converted, in one transaction with the format number.
//!
//! The tables do not change before the third step is complete, so if the process is killed before that, the next start begins
//! with the first step again. No step touches the single shares, of which there may be gigabytes: those of earlier formats stay
//! in their table until they are removed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use database::{has_column, make_durable, user_version};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::schema::{FORMAT, SHARES_2, TABLES, has_table, has_tables};
use crate::store::{STATE_FOLDER, StoreError};

/// The number of the first format. Format 0 is an empty database, or one whose creation was interrupted.
const FIRST: i64 = 1;

/// The columns that were added after format 1: table, name, and SQL type.
const NEW_COLUMNS: [(&str, &str, &str); 14] = [
    ("framework", "removed_ms", "INTEGER"),
    ("framework", "silent_ms", "INTEGER"),
    ("framework", "failover_ms", "INTEGER"),
    ("framework", "tearing_down", "INTEGER NOT NULL DEFAULT 0"),
    ("task", "pool", "TEXT"),
    ("task", "origin", "TEXT NOT NULL DEFAULT 'launched'"),
    ("task", "agent_url", "TEXT"),
    ("task", "specification", "TEXT"),
    ("task", "retired", "INTEGER NOT NULL DEFAULT 0"),
    ("task", "attributes", "TEXT"),
    ("folder", "specification_key", "TEXT"),
    ("account", "shares_sequence", "INTEGER NOT NULL DEFAULT 0"),
    ("account", "candidates", "INTEGER NOT NULL DEFAULT 0"),
    ("account", "orphaned", "INTEGER NOT NULL DEFAULT 0"),
];

/// The SQL statements that convert the database. Each is run on databases whose format is lower than its number. In format 1, 0
/// CPUs meant a task that the scheduler had found running at its start, and `server` held a task's id or a pool's URL. Before
/// format 3, all stored shares are in the table `share`, and each attribute is a separate row.
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

/// When SQLite's write-ahead log has this number of pages (8 MB), they are written to the database. A long log saves writes: a
/// page that has changed several times since the last such write is written only once.
const LOG_PAGES: i64 = 2000;

/// Maximum number of prepared statements that a connection caches. The program has fewer statements, so each is prepared only
/// once.
const STATEMENTS: usize = 64;

/// Creates missing tables, and converts tables of an earlier format. From then on, a commit returns when its changes are on disk,
/// and readers (a `ledger` command, a backup) never block the writer.
pub(in crate::store) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let error = STATE_FOLDER.database_error(path);
    let format = known_format(connection, path)?;
    if format == 0 && !has_tables(connection).map_err(&error)? {
        // With this setting, free pages can later be given back to the file system. SQLite accepts it only for an empty database.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(&error)?;
    }
    make_durable(connection).map_err(&error)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES).map_err(&error)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    if format < FORMAT {
        migrate(connection, path, format)
    } else {
        // A database in the current format may lack newer columns and tables, because the format number stays the same when one
        // is added.
        let columns = missing_columns(connection).map_err(&error)?.join(";");
        connection.execute_batch(&format!("{columns};{TABLES}")).map_err(error)
    }
}

/// The format of the database, 0 if it is empty.
///
/// # Errors
/// If this program does not know the format.
pub(super) fn known_format(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let found = user_version(connection).map_err(STATE_FOLDER.database_error(path))?;
    if found > FORMAT {
        let copy = Some(backup_path(path, FORMAT)).filter(|copy| copy.exists());
        return Err(StoreError::Format { path: path.to_owned(), found, known: FORMAT, copy });
    }
    Ok(found)
}

/// The path of the backup of a database in this format.
fn backup_path(database: &Path, format: i64) -> PathBuf {
    database.with_extension(format!("format-{format}.sqlite"))
}

/// Converts a database from the format `found`, and leaves a backup in that format.
fn migrate(connection: &mut Connection, path: &Path, found: i64) -> Result<(), StoreError> {
    let error = STATE_FOLDER.database_error(path);
    if has_tables(connection).map_err(&error)? {
        let before = found.max(FIRST);
        let copy = backup_path(path, before);
        let partial = copy.with_extension("sqlite.partial");
        write_backup(connection, &partial, before)?;
        publish(&partial, &copy)?;
        tracing::info!(path = %path.display(), copy = %copy.display(), "converting format {before} to {FORMAT}");
    }
    convert(connection, found, |_| Ok(())).map_err(error)
}

/// Writes the backup: everything but the single shares, whose table stays empty.
fn write_backup(connection: &Connection, partial: &Path, format: i64) -> Result<(), StoreError> {
    remove(partial)?;
    let error = STATE_FOLDER.database_error(partial);
    let not_utf8 = || STATE_FOLDER.io_error(partial)(std::io::Error::other("its name is not UTF-8"));
    let name = partial.to_str().ok_or_else(not_utf8)?;
    connection.execute("ATTACH ?1 AS copy", [name]).map_err(&error)?;
    let copied = copy_tables(connection, format);
    // An error of the copy takes precedence over an error of DETACH.
    let detached = connection.execute_batch("DETACH copy");
    copied.and(detached).map_err(error)
}

fn copy_tables(connection: &Connection, format: i64) -> rusqlite::Result<()> {
    // The backup is synced to disk before it is renamed, so SQLite need not sync it.
    connection.execute_batch("PRAGMA copy.journal_mode = OFF; PRAGMA copy.synchronous = OFF;")?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for statement in copy_statements(&transaction)? {
        transaction.execute_batch(&statement)?;
    }
    transaction.execute_batch(&format!("PRAGMA copy.user_version = {format}"))?;
    transaction.commit()
}

/// The statements that create and fill the backup's tables. Tables whose names begin with `sqlite_` are left out: only SQLite can
/// create them, and they contain only statistics.
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

/// Renames the backup to its final name, once it is on disk.
fn publish(partial: &Path, copy: &Path) -> Result<(), StoreError> {
    let io = STATE_FOLDER.io_error(copy);
    File::open(partial).and_then(|file| file.sync_all()).map_err(&io)?;
    fs::rename(partial, copy).map_err(&io)?;
    let folder = copy.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(STATE_FOLDER.io_error(path)(error)),
        _ => Ok(()),
    }
}

/// Converts the tables. `before` is called before each statement, so that a test can stop there.
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

/// The statements that convert the tables. Missing tables are created in the current format.
fn conversion(connection: &Connection, found: i64) -> rusqlite::Result<Vec<String>> {
    let mut statements = missing_columns(connection)?;
    statements.push(TABLES.to_owned());
    let conversions = CONVERSIONS.iter().filter(|(since, _)| found < *since);
    statements.extend(conversions.map(|(_, statement)| (*statement).to_owned()));
    statements.push(format!("PRAGMA user_version = {FORMAT}"));
    Ok(statements)
}

/// The statements that add the columns that existing tables lack.
fn missing_columns(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statements = Vec::new();
    for (table, column, definition) in NEW_COLUMNS {
        if has_table(connection, table)? && !has_column(connection, table, column)? {
            statements.push(format!("ALTER TABLE {table} ADD COLUMN {column} {definition}"));
        }
    }
    Ok(statements)
}

#[cfg(test)]
mod tests;
