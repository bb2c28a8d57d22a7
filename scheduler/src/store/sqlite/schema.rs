//! The tables, and how durable they are.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::{failed_launches, migration};
use crate::store::StoreError;

/// The format that this program writes, kept in SQLite's `user_version`. [`migration`] tells what came before.
pub(super) const FORMAT: i64 = 2;

/// What the column `retired` says of a task that retired while this scheduler led, as far as is known; 0 if it has not.
pub(super) const RETIRED_HERE: i64 = 1;
/// What it says of one that was found to have retired when this scheduler began to lead.
pub(super) const RETIRED_ELSEWHERE: i64 = 2;

/// How long to wait for another connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The 128-bit sums are decimal text: SQLite's integers have 64 bits. `earlier` is about what was done while schedulers
/// elsewhere led: since when the rows are here, the sum of the accounts that are not, and the tasks that had retired.
/// `retired` is 0, [`RETIRED_HERE`] or [`RETIRED_ELSEWHERE`]. New columns stand last, where ALTER TABLE puts them.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS framework (
    id         TEXT PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER,
    peak       INTEGER NOT NULL DEFAULT 0,
    removed_ms INTEGER
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS task (
    id            TEXT PRIMARY KEY,
    number        INTEGER NOT NULL,
    framework     TEXT NOT NULL,
    kind          TEXT NOT NULL,
    agent         TEXT NOT NULL,
    host          TEXT NOT NULL,
    server        TEXT,
    cpus_milli    INTEGER NOT NULL,
    stratum_host  TEXT,
    stratum_port  INTEGER,
    http_port     INTEGER,
    state         TEXT,
    reason        TEXT,
    message       TEXT,
    created_ms    INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL,
    pool          TEXT,
    origin        TEXT NOT NULL DEFAULT 'launched',
    agent_url     TEXT,
    specification TEXT,
    retired       INTEGER NOT NULL DEFAULT 0
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
    name              TEXT PRIMARY KEY,
    specification_key TEXT
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS avoided_agent (
    agent    TEXT PRIMARY KEY,
    why      TEXT NOT NULL,
    since_ms INTEGER NOT NULL
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

/// Makes the tables where there are none, and brings those of an earlier format up to date. A commit returns when the
/// disk has it.
pub(in crate::store) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let database = |source| StoreError::Database { path: path.to_owned(), source };
    let found = found(connection, path)?;
    // In this mode readers (a `ledger` command, a backup) never block the writer.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(database)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(database)?;
    connection.busy_timeout(PATIENCE).map_err(database)?;
    if found < FORMAT {
        migration::migrate(connection, path)?;
    }
    connection.execute_batch(failed_launches::TABLE).map_err(database)
}

/// The format that is there, 0 if nothing is; refused if it is later than this program.
pub(super) fn found(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    let found = found.map_err(|source| StoreError::Database { path: path.to_owned(), source })?;
    if found > FORMAT {
        let copy = migration::copy_path(path, FORMAT);
        let copy = copy.exists().then_some(copy);
        return Err(StoreError::Format { path: path.to_owned(), found, known: FORMAT, copy });
    }
    Ok(found)
}
