//! The tables, and how durable they are.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;

/// The format that this program writes, kept in SQLite's `user_version`.
const FORMAT: i64 = 1;

/// How long to wait for another connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The 128-bit sums are decimal text: SQLite's integers have 63 bits. `earlier` is about what was done while schedulers
/// elsewhere led: since when the rows are here, the sum of the accounts that are not, and the tasks that had long ended.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS framework (
    id         TEXT PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER,
    peak       INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS task (
    id           TEXT PRIMARY KEY,
    number       INTEGER NOT NULL,
    framework    TEXT NOT NULL,
    kind         TEXT NOT NULL,
    agent        TEXT NOT NULL,
    host         TEXT NOT NULL,
    server       TEXT,
    cpus_milli   INTEGER NOT NULL,
    stratum_host TEXT,
    stratum_port INTEGER,
    http_port    INTEGER,
    state        TEXT,
    reason       TEXT,
    message      TEXT,
    created_ms   INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS task_framework ON task (framework);

CREATE TABLE IF NOT EXISTS attribute (
    task  TEXT NOT NULL,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (task, name)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS closed (
    task TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS folder (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS earlier (
    framework     TEXT PRIMARY KEY,
    rows_since_ms INTEGER NOT NULL,
    sum           TEXT NOT NULL,
    past          TEXT NOT NULL,
    next_number   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS account (
    task          TEXT NOT NULL,
    worker        TEXT NOT NULL,
    kind          TEXT NOT NULL,
    framework     TEXT NOT NULL,
    sequence      INTEGER NOT NULL,
    hashes        TEXT NOT NULL,
    accepted_work TEXT NOT NULL,
    accepted      INTEGER NOT NULL,
    rejected      INTEGER NOT NULL,
    stale         INTEGER NOT NULL,
    unanswered    INTEGER NOT NULL,
    blocks        INTEGER NOT NULL,
    rows_omitted  INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    PRIMARY KEY (task, worker)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS share (
    task          TEXT NOT NULL,
    worker        TEXT NOT NULL,
    sequence      INTEGER NOT NULL,
    ordinal       INTEGER NOT NULL,
    job           TEXT NOT NULL,
    extranonce2   BLOB NOT NULL,
    ntime         INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    nonce         INTEGER NOT NULL,
    difficulty    REAL,
    verdict       TEXT NOT NULL,
    round_trip_us INTEGER NOT NULL,
    received_ms   INTEGER NOT NULL,
    PRIMARY KEY (task, worker, sequence, ordinal)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS share_received ON share (received_ms);
";

/// Makes the tables where they are missing. A commit returns when the disk has it.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let database = |source| StoreError::Database { path: path.to_owned(), source };
    found(connection, path)?;
    // In this mode readers (a `ledger` command, a backup) never block the writer.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(database)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(database)?;
    connection.busy_timeout(PATIENCE).map_err(database)?;
    connection.execute_batch(TABLES).map_err(database)?;
    connection.pragma_update(None, "user_version", FORMAT).map_err(database)
}

/// The folder's own name for itself; `new` if it has none yet.
pub(super) fn name(connection: &Connection, new: &str) -> rusqlite::Result<String> {
    connection
        .execute("INSERT INTO folder (name) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM folder)", [new])?;
    connection.query_row("SELECT name FROM folder", [], |row| row.get(0))
}

/// The format that is there, 0 if nothing is; refused if it is later than this program.
pub(super) fn found(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    let found = found.map_err(|source| StoreError::Database { path: path.to_owned(), source })?;
    if found > FORMAT {
        return Err(StoreError::Format { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(found)
}
