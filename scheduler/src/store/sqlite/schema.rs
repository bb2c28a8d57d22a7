//! The schema of the database.

use rusqlite::Connection;

/// The format that this program writes, stored as SQLite's `user_version`. [`migration`](super::migration) describes the earlier ones.
pub(super) const FORMAT: i64 = 3;

/// The table where formats 1 and 2 store single shares, one row each. The rows stay until they exceed the limits of age and size;
/// then the table is dropped.
pub(super) const SHARES_2: &str = "share";

/// The value of the column `retired` for a task that retired while this scheduler led. The column is 0 for a task that has not
/// retired.
pub(super) const RETIRED_HERE: i64 = 1;
/// The value of the column `retired` for a task that had retired when this scheduler began to lead.
pub(super) const RETIRED_ELSEWHERE: i64 = 2;

/// The tables. The 128-bit sums are decimal text, because SQLite's integers have 64 bits. A row of `earlier` describes the work
/// of a framework under other leaders. Shares from before `earlier.rows_since_ms` may be missing in this folder. `earlier.sum` is
/// the total of the work that other leaders recorded and this folder lacks. `earlier.past` lists the tasks that had retired when
/// this scheduler began to lead. `task.retired` is 0, [`RETIRED_HERE`] or [`RETIRED_ELSEWHERE`]. `task.attributes` are those of
/// the task's agent, as a JSON object; NULL if there are none. If the master has removed a framework, `removed_ms` is the time
/// when the scheduler learned of this. By then, it had had no contact with the master for the time `silent_ms`. `failover_ms` is
/// the failover timeout that the master knows. `tearing_down` is 1 if the scheduler was about to send TEARDOWN. New columns come
/// last, where ALTER TABLE adds them.
///
/// A row of `reported_shares` has the shares of one worker in one report; the rows are in the order of their arrival. `worker` is
/// NULL if the reporting task is this worker. The module [`share_columns`](super::share_columns) encodes `shares`.
/// `shares_sequence` is the number of the last report whose shares were stored, so that a repeated report does not store them
/// twice.
///
/// The only row of `controls` has what holds because operators have said so, as the JSON of [`Controls`](crate::journal::Controls).
///
/// A row of `failed_launches` stands for tasks with consecutive numbers whose launches failed in the same way. `first` and `last`
/// are the first and the last of these numbers. `reason` is empty if there was none.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS framework (
    id         TEXT PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER,
    peak       INTEGER NOT NULL DEFAULT 0,
    removed_ms INTEGER,
    silent_ms  INTEGER,
    failover_ms INTEGER,
    tearing_down INTEGER NOT NULL DEFAULT 0
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
    retired       INTEGER NOT NULL DEFAULT 0,
    attributes    TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS task_framework ON task (framework);

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

CREATE TABLE IF NOT EXISTS controls (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    json TEXT NOT NULL
);

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
    shares_sequence INTEGER NOT NULL DEFAULT 0,
    candidates    INTEGER NOT NULL DEFAULT 0,
    orphaned      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, worker)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS reported_shares (
    id          INTEGER PRIMARY KEY,
    task        TEXT NOT NULL,
    worker      TEXT,
    sequence    INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    shares      BLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS failed_launches (
    framework TEXT NOT NULL,
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL,
    state     TEXT NOT NULL,
    reason    TEXT NOT NULL,
    closed    INTEGER NOT NULL,
    PRIMARY KEY (framework, first)
) WITHOUT ROWID;
";

/// Whether the database has any table.
pub(super) fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get(0))
}

/// Whether the database has a table of this name.
pub(super) fn has_table(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)";
    connection.query_row(sql, [table], |row| row.get(0))
}
