//! The tables, and the settings that make them durable.
//!
//! ```sql
//! worker(id, name, accepted, rejected, stale, unanswered, accepted_work, blocks, updated_ms, candidates, orphaned, best_share,
//!     last_share_ms, rejections)
//! share(id, worker, accepted_ms, job, extranonce2, ntime, version, nonce, difficulty, work)
//! block(hash, height, worker, found, transactions, value, refused, orphaned)
//! found_block(id, hash, height, worker, found, transactions, value, effort, pool_work)
//! ```
//!
//! Every share that was accepted is in the totals of its worker's row; the shares of the last days also have rows of their
//! own. `accepted_work` and `work` are expected hashes, as decimal text, since SQLite's integers have only 63 bits. Times
//! in `_ms` are milliseconds since the Unix epoch, `found` and `ntime` seconds; `value` is in satoshi; `refused` is NULL
//! for a block that a node has accepted; `orphaned` is 1 if the block has left the chain since. `rejections` is a JSON object: reasons,
//! and how many shares were rejected for each. A block is in `found_block` as soon as it is found, and in `block` once it is judged;
//! `effort` is in percent, and NULL if it is unknown; `pool_work` is the sum of all `accepted_work` when the block was found. Columns
//! and tables that were added after the first version come last. Earlier versions ignore them, so the format is the same.

use std::path::Path;

use database::{StoreError, has_column, make_durable};
use rusqlite::Connection;

use super::DATA_FOLDER;

/// `PRAGMA application_id`, which marks the file as a pool's database: "MMPO".
const APPLICATION: i64 = 0x4d4d_504f;
/// The format that this program writes, in `PRAGMA user_version`.
const FORMAT: i64 = 1;

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
    updated_ms    INTEGER NOT NULL,
    candidates    INTEGER NOT NULL DEFAULT 0,
    orphaned      INTEGER NOT NULL DEFAULT 0,
    best_share    REAL NOT NULL DEFAULT 0,
    last_share_ms INTEGER,
    rejections    TEXT NOT NULL DEFAULT '{}'
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
    refused      TEXT,
    orphaned     INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS found_block (
    id           INTEGER PRIMARY KEY,
    hash         TEXT NOT NULL UNIQUE,
    height       INTEGER NOT NULL,
    worker       TEXT NOT NULL,
    found        INTEGER NOT NULL,
    transactions INTEGER NOT NULL,
    value        INTEGER NOT NULL,
    effort       REAL,
    pool_work    TEXT NOT NULL
);
";

/// The columns that were added after the first version: table, name, and SQL type.
const NEW_COLUMNS: [(&str, &str, &str); 6] = [
    ("worker", "candidates", "INTEGER NOT NULL DEFAULT 0"),
    ("worker", "orphaned", "INTEGER NOT NULL DEFAULT 0"),
    ("block", "orphaned", "INTEGER NOT NULL DEFAULT 0"),
    ("worker", "best_share", "REAL NOT NULL DEFAULT 0"),
    ("worker", "last_share_ms", "INTEGER"),
    ("worker", "rejections", "TEXT NOT NULL DEFAULT '{}'"),
];

/// Creates missing tables and columns, and makes each commit wait for the disk.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let exists = exists(connection, path)?;
    let prepare = || {
        if !exists {
            connection.pragma_update(None, "application_id", APPLICATION)?;
        }
        make_durable(connection)?;
        connection.execute_batch(TABLES)?;
        for (table, column, kind) in NEW_COLUMNS {
            if !has_column(connection, table, column)? {
                connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))?;
            }
        }
        connection.pragma_update(None, "user_version", FORMAT)
    };
    prepare().map_err(DATA_FOLDER.database_error(path))
}

/// Whether the file is a pool's database; `false` if the file is empty or was not completely prepared.
///
/// # Errors
/// If another program or a later version of this program wrote the file.
pub(super) fn exists(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let database = DATA_FOLDER.database_error(path);
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(&database);
    let (application, found) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if (application, found, tables) == (0, 0, 0) {
        return Ok(false);
    }
    if application != APPLICATION {
        return Err(StoreError::Foreign { kind: &DATA_FOLDER, path: path.to_owned() });
    }
    if found > FORMAT {
        return Err(StoreError::Format { path: path.to_owned(), found, known: FORMAT, copy: None });
    }
    // `prepare` sets the version last. If a process was killed within `prepare`, the version is still 0, and the file must
    // be prepared again.
    Ok(found > 0)
}
