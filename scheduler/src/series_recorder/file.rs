//! The points of the series on disk, written by a thread of their own: a slow disk must not hold up anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use database::{FolderKind, StoreError, integer, unsigned, user_version};
use rusqlite::{Connection, Row, params};
use series::{Counters, Figures, Point, Series, SeriesHandle, Step};
use tokio::sync::oneshot;

/// The state folder, and the database of the series in it.
static SERIES_FILE: FolderKind = FolderKind {
    database: "series.sqlite",
    name: "state folder",
    program: "scheduler",
    option: "--state-dir",
    missing: "is no series",
};

/// The format that this program writes, stored as SQLite's `user_version`.
const FORMAT: i64 = 1;

/// A row for each point. `step` and `at` are in seconds; `hashrate` is the mean of `samples` samples.
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS point (
    step       INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    hashrate   REAL NOT NULL,
    workers    INTEGER NOT NULL,
    accepted   INTEGER NOT NULL,
    rejected   INTEGER NOT NULL,
    stale      INTEGER NOT NULL,
    unanswered INTEGER NOT NULL,
    blocks     INTEGER NOT NULL,
    samples    INTEGER NOT NULL,
    PRIMARY KEY (step, at)
) WITHOUT ROWID;
";

/// A point to write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StoredPoint {
    step: Step,
    at: u64,
    figures: Figures,
}

impl StoredPoint {
    /// The point, unless it is a gap.
    pub fn of(step: Step, point: &Point) -> Option<Self> {
        Some(Self { step, at: point.at, figures: point.figures? })
    }
}

/// The thread that writes. It ends when this is dropped, after it has written what it has got.
pub(super) struct FileWriter(mpsc::Sender<Vec<StoredPoint>>);

impl FileWriter {
    /// Puts the stored points back into `series`, and starts the thread. The receiver ends with the thread.
    pub fn open(
        folder: &Path,
        series: &SeriesHandle,
        warn: impl Fn(String) + Send + 'static,
    ) -> (Self, oneshot::Receiver<()>) {
        if let Err(error) = load(folder, series) {
            warn(format!("the figures over time begin anew: {error}"));
        }
        let (sender, receiver) = mpsc::channel();
        let (ended, end) = oneshot::channel::<()>();
        let folder = folder.to_owned();
        let write = move || {
            let mut file = File { folder, connection: None, unwritten: BTreeMap::new(), failed: false };
            for points in receiver {
                file.write(points, &warn);
            }
            drop(ended);
        };
        // Without the thread, the figures are only not kept.
        if let Err(error) = thread::Builder::new().name("series".to_owned()).spawn(write) {
            tracing::warn!(%error, "cannot start the thread that keeps the figures over time");
        }
        (Self(sender), end)
    }

    /// Writes points soon.
    pub fn write(&self, points: Vec<StoredPoint>) {
        // The thread has ended if it could not be started.
        let _ = self.0.send(points);
    }
}

/// The thread's state.
struct File {
    folder: PathBuf,
    connection: Option<Connection>,
    /// What is to be written: step in seconds and time → figures. Bounded like the rings, since older points are dropped.
    unwritten: BTreeMap<(u64, u64), StoredPoint>,
    failed: bool,
}

impl File {
    fn write(&mut self, points: Vec<StoredPoint>, warn: &impl Fn(String)) {
        for point in points {
            let step = point.step.seconds();
            self.unwritten.insert((step, point.at), point);
            let outdated = move |(of, at): &(u64, u64)| {
                *of == step && (*at > point.at || *at + point.step.kept_seconds() <= point.at)
            };
            self.unwritten.retain(|key, _| !outdated(key));
        }
        // The scheduler creates its folder when it has something to record.
        if !self.folder.is_dir() || self.unwritten.is_empty() {
            return;
        }
        match self.try_write() {
            Ok(()) => {
                self.unwritten.clear();
                self.failed = false;
            }
            Err(error) => {
                // The disk is tried again from the beginning.
                self.connection = None;
                if !std::mem::replace(&mut self.failed, true) {
                    warn(format!("the figures over time are not kept on disk for now: {error}"));
                }
            }
        }
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        let error = SERIES_FILE.database_error(&SERIES_FILE.database_path(&self.folder));
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(create(&self.folder)?),
        };
        put(connection, self.unwritten.values()).map_err(error)
    }
}

/// Opens the database for writing; creates it if it is missing.
fn create(folder: &Path) -> Result<Connection, StoreError> {
    let error = SERIES_FILE.database_error(&SERIES_FILE.database_path(folder));
    let connection = SERIES_FILE.open(folder)?;
    check_format(&connection, folder)?;
    let prepare = |connection: &Connection| {
        // If the machine crashes, the last minutes may be lost.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(TABLE)?;
        connection.pragma_update(None, "user_version", FORMAT)
    };
    prepare(&connection).map_err(error)?;
    Ok(connection)
}

/// Checks that no newer version of this program has written the database.
fn check_format(connection: &Connection, folder: &Path) -> Result<(), StoreError> {
    let path = SERIES_FILE.database_path(folder);
    let found = user_version(connection).map_err(SERIES_FILE.database_error(&path))?;
    if found > FORMAT {
        return Err(StoreError::Format { path, found, known: FORMAT, copy: None });
    }
    Ok(())
}

/// Writes points, and removes those that are too old, or still to come since the clock was set back.
fn put<'a>(
    connection: &mut Connection,
    points: impl Iterator<Item = &'a StoredPoint>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for StoredPoint { step, at, figures } in points {
        let Counters { accepted, rejected, stale, unanswered, blocks } = figures.counters;
        let counts = [accepted, rejected, stale, unanswered, blocks].map(integer);
        let (seconds, at) = (integer(step.seconds()), integer(*at));
        transaction
            .prepare_cached("DELETE FROM point WHERE step = ?1 AND (at > ?2 OR at <= ?3)")?
            .execute(params![seconds, at, at - integer(step.kept_seconds())])?;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO point VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
            .execute(params![
                seconds,
                at,
                figures.hashrate,
                integer(figures.workers),
                counts[0],
                counts[1],
                counts[2],
                counts[3],
                counts[4],
                figures.samples,
            ])?;
    }
    transaction.commit()
}

/// Puts the stored points into `series`; nothing if there are none.
fn load(folder: &Path, series: &SeriesHandle) -> Result<(), StoreError> {
    let path = SERIES_FILE.database_path(folder);
    if !path.is_file() {
        return Ok(());
    }
    let connection = SERIES_FILE.open_read_only(folder)?;
    check_format(&connection, folder)?;
    series.with(|series| restore(&connection, series)).map_err(SERIES_FILE.database_error(&path))
}

fn restore(connection: &Connection, series: &mut Series) -> rusqlite::Result<()> {
    for step in super::STORED {
        let mut rows = connection.prepare(
            "SELECT at, hashrate, workers, accepted, rejected, stale, unanswered, blocks, samples FROM point
             WHERE step = ?1 ORDER BY at",
        )?;
        let rows = rows.query_map([integer(step.seconds())], |row| Ok((count(row, 0)?, figures(row)?)))?;
        for row in rows {
            let (at, figures) = row?;
            series.restore(step, at, figures);
        }
    }
    Ok(())
}

fn figures(row: &Row<'_>) -> rusqlite::Result<Figures> {
    let counters = Counters {
        accepted: count(row, 3)?,
        rejected: count(row, 4)?,
        stale: count(row, 5)?,
        unanswered: count(row, 6)?,
        blocks: count(row, 7)?,
    };
    Ok(Figures { hashrate: row.get(1)?, workers: count(row, 2)?, counters, samples: row.get(8)? })
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(unsigned)
}
