//! The tables, and how durable they are.
//!
//! ```sql
//! worker(id, name, accepted, rejected, stale, unanswered, accepted_work, blocks, updated_ms)
//! share(id, worker, accepted_ms, job, extranonce2, ntime, version, nonce, difficulty, work)
//! block(hash, height, worker, found, transactions, value, refused)
//! ```
//!
//! Every share that a miner was told is accepted is in its worker's row; those of the last days have a row of their own,
//! too. `accepted_work` and `work` are expected hashes, as decimal text, since SQLite's integers have 63 bits. Times in
//! `_ms` are milliseconds since the Unix epoch, `found` and `ntime` seconds; `value` is in satoshi; `refused` is NULL
//! for a block that became part of the chain.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::StoreError;

/// Says in the file's header whose it is (`PRAGMA application_id`): "MMPO".
const APPLICATION: i64 = 0x4d4d_504f;
/// The format that this program writes, kept in SQLite's `user_version`.
const FORMAT: i64 = 1;
/// How long to wait for another connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS worker (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    accepted      INTEGER NOT NULL,
    rejected      INTEGER NOT NULL,
    stale         INTEGER NOT NULL,
    unanswered    INTEGER NOT NULL,
    accepted_work TEXT NOT NULL,
    blocks        INTEGER NOT NULL,
    updated_ms    INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS share (
    id          INTEGER PRIMARY KEY,
    worker      INTEGER NOT NULL REFERENCES worker (id),
    accepted_ms INTEGER NOT NULL,
    job         TEXT NOT NULL,
    extranonce2 BLOB NOT NULL,
    ntime       INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    nonce       INTEGER NOT NULL,
    difficulty  REAL NOT NULL,
    work        TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS share_accepted ON share (accepted_ms);

CREATE TABLE IF NOT EXISTS block (
    hash         TEXT PRIMARY KEY,
    height       INTEGER NOT NULL,
    worker       TEXT NOT NULL,
    found        INTEGER NOT NULL,
    transactions INTEGER NOT NULL,
    value        INTEGER NOT NULL,
    refused      TEXT
) WITHOUT ROWID;
";

/// Makes the tables where they are missing. A commit returns when the disk has it.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let database = |source| error(path, source);
    connection.busy_timeout(PATIENCE).map_err(database)?;
    if !exists(connection, path)? {
        connection.pragma_update(None, "application_id", APPLICATION).map_err(database)?;
    }
    // In this mode readers never block the writer.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(database)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(database)?;
    connection.execute_batch(TABLES).map_err(database)?;
    connection.pragma_update(None, "user_version", FORMAT).map_err(database)
}

/// Whether a pool has written there. Refused if somebody else has, or a later version of this program.
pub(super) fn exists(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let number = |sql| number(sql).map_err(|source| error(path, source));
    let (application, found) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if (application, found, tables) == (0, 0, 0) {
        return Ok(false);
    }
    // A start that was cut off between the first two lines of `prepare` leaves an id without tables.
    if application != APPLICATION {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if found > FORMAT {
        return Err(StoreError::Format { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(found > 0)
}

/// SQLite's finding about a file.
pub(super) fn error(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path },
        _ => StoreError::Database { path, source },
    }
}
