//! The data folder: accounts in an SQLite database, and found blocks that no node has judged yet.
//!
//! Shares are counted in memory. Every 100 ms a thread of its own takes what has changed and writes it in one transaction,
//! so the way of a share never waits for a disk. What the thread takes are totals and the rows that belong to them, of
//! one moment: each share is in the database once, whole, or not yet. A process that is killed loses at most what came
//! since the last transaction; one that ends writes all of it. A write that fails is tried again until it works.
//!
//! One pool at a time: the folder is locked.

mod pending;
mod read;
mod schema;
mod snapshot;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use database::StoreError;
use database::{FolderKind, FolderLock, write_until_closed};
use rusqlite::Connection;

pub use self::pending::PendingBlocks;
pub use self::snapshot::{AccountsSnapshot, BlockRow, WorkerAccount, read_accounts};
use self::write::WorkerIds;
use crate::accounts::{RecoveredAccounts, UnsavedChanges};

/// The pool's folder: accounts and found blocks.
pub static DATA_FOLDER: FolderKind = FolderKind {
    database: "pool.sqlite",
    name: "data folder",
    program: "pool",
    option: "--data-dir",
    missing: "are no accounts",
};
/// Time between two transactions.
const PERIOD: Duration = Duration::from_millis(100);
/// Time between two looks for rows that are too old.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);

/// Where a pool keeps what it must not lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The data folder; made where it is missing.
    pub folder: PathBuf,
    /// How long rows of single shares are kept; totals stay for ever.
    pub retention: Duration,
}

impl StoreOptions {
    /// How long rows of single shares are kept unless told otherwise.
    pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
}

/// An open data folder to which nothing is written yet.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    ids: WorkerIds,
    path: PathBuf,
    retention: Duration,
    waiting: PendingBlocks,
    _lock: FolderLock,
}

impl Store {
    /// Opens or makes the data folder, and reads what is in it.
    ///
    /// # Errors
    /// If the folder can't be used, another pool uses it, or somebody else or a later version wrote the database.
    pub fn open(options: &StoreOptions) -> Result<(Store, RecoveredAccounts), StoreError> {
        let StoreOptions { folder, retention } = options;
        let io = DATA_FOLDER.io_error(folder);
        let lock = DATA_FOLDER.lock(folder)?;
        let path = DATA_FOLDER.database_path(folder);
        let database = DATA_FOLDER.database_error(&path);
        let connection = DATA_FOLDER.open(folder)?;
        schema::prepare(&connection, &path)?;
        let (recovered, ids) = read::recover(&connection).map_err(&database)?;
        let waiting = PendingBlocks::open(folder).map_err(&io)?;
        // Those of a process that was killed between writing a verdict down and removing the file.
        for hash in waiting.hashes().map_err(&io)? {
            if read::has_block(&connection, &hash).map_err(&database)? {
                waiting.forget(&hash).map_err(&io)?;
            }
        }
        Ok((Store { connection, ids, path, retention: *retention, waiting, _lock: lock }, recovered))
    }

    /// Where found blocks wait for their verdict.
    pub fn waiting(&self) -> PendingBlocks {
        self.waiting.clone()
    }

    /// Begins to write what `take` gives. `refused` is told when the disk refuses, and when it no longer does.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        self,
        take: impl FnMut() -> UnsavedChanges + Send + 'static,
        refused: impl FnMut(bool) + Send + 'static,
    ) -> io::Result<Writing> {
        let (stop, stopped) = mpsc::channel();
        let writer = Writer { store: self, take, refused, expired: None };
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(&stopped))?;
        Ok(Writing { stop, thread })
    }
}

/// A thread that writes. Dropping this lets it write what is left, without waiting for that.
#[derive(Debug)]
pub struct Writing {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Writing {
    /// Waits until everything is written, or the disk has refused for a while. Blocks.
    pub fn close(self) {
        drop(self.stop);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

struct Writer<T, R> {
    store: Store,
    take: T,
    refused: R,
    expired: Option<Instant>,
}

impl<T: FnMut() -> UnsavedChanges, R: FnMut(bool)> Writer<T, R> {
    fn run(mut self, stopped: &mpsc::Receiver<()>) {
        loop {
            let stop = stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Disconnected);
            let unsaved = (self.take)();
            if !unsaved.is_empty() && !self.write_until_done(&unsaved, stopped) {
                tracing::error!(
                    path = %self.store.path.display(), workers = unsaved.workers.len(), blocks = unsaved.blocks.len(),
                    "the disk refused to the end: these accounts' last changes are lost"
                );
            }
            if stop {
                return;
            }
            self.expire();
        }
    }

    /// Writes until it succeeds; gives up only when the pool has been closing for a while.
    fn write_until_done(&mut self, unsaved: &UnsavedChanges, stopped: &mpsc::Receiver<()>) -> bool {
        let Store { connection, ids, path, waiting, .. } = &mut self.store;
        let mut failed = false;
        let written = write_until_closed(
            || write::write(connection, ids, unsaved),
            || stopped.try_recv() == Err(TryRecvError::Disconnected),
            |error| {
                if !std::mem::replace(&mut failed, true) {
                    tracing::error!(path = %path.display(), %error, "the accounts cannot be written; trying again");
                    (self.refused)(true);
                }
            },
        );
        if !written {
            return false;
        }
        if failed {
            tracing::info!(path = %path.display(), "the accounts are written again");
            (self.refused)(false);
        }
        if unsaved.shares_omitted > 0 {
            tracing::warn!(
                shares = unsaved.shares_omitted,
                "shares have no rows of their own, but are in the totals"
            );
        }
        for block in &unsaved.blocks {
            if let Err(error) = waiting.settle(block) {
                let folder = waiting.folder().display();
                tracing::error!(hash = %block.hash, %folder, %error, "a judged block's file can't be removed");
            }
        }
        true
    }

    /// Removes old rows, some at a time.
    fn expire(&mut self) {
        if self.expired.is_some_and(|at| at.elapsed() < EXPIRE_EVERY) {
            return;
        }
        match write::expire(&self.store.connection, self.store.retention) {
            Ok(true) => {}
            Ok(false) => self.expired = Some(Instant::now()),
            Err(error) => {
                self.expired = Some(Instant::now());
                tracing::warn!(%error, "cannot remove old rows of shares");
            }
        }
    }
}
