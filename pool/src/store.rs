//! The data folder: accounts in an SQLite database, and found blocks that no node has judged yet.
//!
//! Shares are counted in memory. Every 100 ms a thread takes the changes and writes them in one transaction, so that a
//! share never waits for the disk. The totals and the rows of a transaction are from the same moment, so a share is in the
//! database completely or not at all. A process that is killed loses at most the changes since the last transaction, but not the
//! share of a found block, which is counted with the block; one that ends normally writes all changes. A failed write is repeated
//! until it succeeds.
//!
//! A lock keeps a second pool from using the folder.

mod pending;
mod read;
mod schema;
mod snapshot;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use command_line::pluralize;
pub use database::StoreError;
use database::{FolderKind, FolderLock, write_until_closed};
use rusqlite::Connection;

pub use self::pending::PendingBlocks;
pub use self::snapshot::{AccountsSnapshot, WorkerAccount, read_accounts};
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
/// How long changes of the accounts are collected before they are written to disk in one transaction.
const PERIOD: Duration = Duration::from_millis(100);
/// Time between two removals of rows that are older than [`StoreOptions::retention`].
const EXPIRE_EVERY: Duration = Duration::from_secs(600);

/// The time between two log messages that say what a closing pool waits for.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// Where a pool keeps its accounts and found blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The data folder; created if it is missing.
    pub folder: PathBuf,
    /// How long rows of individual shares are kept; totals are kept forever.
    pub retention: Duration,
}

impl StoreOptions {
    /// How long rows of individual shares are kept by default.
    pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
}

/// An open data folder, before anything is written to it.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    ids: WorkerIds,
    folder: PathBuf,
    path: PathBuf,
    retention: Duration,
    pending: PendingBlocks,
    _lock: FolderLock,
}

impl Store {
    /// Opens or creates the data folder, and reads its accounts.
    ///
    /// # Errors
    /// If the folder cannot be used, another pool uses it, or another program or a later version wrote the database.
    pub fn open(options: &StoreOptions) -> Result<(Store, RecoveredAccounts), StoreError> {
        let StoreOptions { folder, retention } = options;
        let io = DATA_FOLDER.io_error(folder);
        let lock = DATA_FOLDER.lock(folder)?;
        let path = DATA_FOLDER.database_path(folder);
        let database = DATA_FOLDER.database_error(&path);
        let connection = DATA_FOLDER.open(folder)?;
        schema::prepare(&connection, &path)?;
        let (mut recovered, ids) = read::recover(&connection).map_err(&database)?;
        let pending = PendingBlocks::open(folder).map_err(&io)?;
        // An earlier process may have been killed after it wrote a verdict and before it renamed the block's file.
        for hash in pending.hashes().map_err(&io)? {
            if read::has_block(&connection, &hash).map_err(&database)? {
                pending.keep(&hash).map_err(&io)?;
            }
        }
        // It may also have been killed before it wrote the share of a found block.
        for found in pending.read_all().map_err(&io)? {
            if !read::has_share(&connection, &found, *retention).map_err(&database)? {
                recovered.uncounted.push(found.block.block_hash());
            }
        }
        let (folder, retention) = (folder.clone(), *retention);
        Ok((Store { connection, ids, folder, path, retention, pending, _lock: lock }, recovered))
    }

    /// The found blocks that no node has judged yet.
    pub fn pending_blocks(&self) -> PendingBlocks {
        self.pending.clone()
    }

    /// Starts the thread that writes the changes that `take` returns. Calls `report_failure` with the reason when writes begin
    /// to fail, and with `None` when they succeed again.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        self,
        take: impl FnMut() -> UnsavedChanges + Send + 'static,
        report_failure: impl FnMut(Option<String>) + Send + 'static,
    ) -> Result<StoreWriter, StoreError> {
        let (stop, stopped) = mpsc::channel();
        let path = self.path.clone();
        let writer = WriterThread { store: self, take, report_failure, expired: None };
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(&stopped));
        let thread = thread.map_err(DATA_FOLDER.io_error(&path))?;
        Ok(StoreWriter { stop, thread })
    }
}

/// The handle of the writing thread. Dropping it ends the thread once the remaining changes are written.
#[derive(Debug)]
pub struct StoreWriter {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl StoreWriter {
    /// Blocks until all changes are written, or until writes have failed for a while.
    ///
    /// # Errors
    /// [`StoreError::Unwritten`] if writes still fail when the pool has been closing for a while.
    pub fn close(self) -> Result<(), StoreError> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Names changes for the user.
fn what(unsaved: &UnsavedChanges) -> String {
    let accounts = format!("the last changes of {}", pluralize(unsaved.workers.len(), "account"));
    match unsaved.blocks.len() {
        0 => accounts,
        blocks => format!("{accounts} and the verdicts on {}", pluralize(blocks, "block")),
    }
}

struct WriterThread<T, R> {
    store: Store,
    take: T,
    report_failure: R,
    expired: Option<Instant>,
}

impl<T: FnMut() -> UnsavedChanges, R: FnMut(Option<String>)> WriterThread<T, R> {
    fn run(mut self, stopped: &mpsc::Receiver<()>) -> Result<(), StoreError> {
        loop {
            let stop = stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Disconnected);
            let unsaved = (self.take)();
            // Fails only when the pool is closing.
            if !unsaved.is_empty()
                && let Err(error) = self.write_until_done(&unsaved, stopped)
            {
                return Err(StoreError::Unwritten {
                    lost: what(&unsaved),
                    why: DATA_FOLDER.write_failure(&self.store.folder, &error),
                });
            }
            if stop {
                return Ok(());
            }
            self.expire();
        }
    }

    /// Repeats the write until it succeeds; stops trying only when the pool has been closing for a while.
    fn write_until_done(
        &mut self,
        unsaved: &UnsavedChanges,
        stopped: &mpsc::Receiver<()>,
    ) -> rusqlite::Result<()> {
        let Store { connection, ids, folder, path, pending, .. } = &mut self.store;
        let (mut failed, mut said) = (false, None::<Instant>);
        write_until_closed(
            || write::write(connection, ids, unsaved),
            || stopped.try_recv() == Err(TryRecvError::Disconnected),
            |error, closing| {
                let why = DATA_FOLDER.write_failure(folder, error);
                if !std::mem::replace(&mut failed, true) {
                    tracing::error!("{why}: the accounts cannot be written; trying again");
                    (self.report_failure)(Some(why.clone()));
                }
                if let Some(left) = closing.filter(|_| said.is_none_or(|at| at.elapsed() >= SAY_EVERY)) {
                    said = Some(Instant::now());
                    let left = left.as_secs_f64();
                    tracing::warn!("{why}: waiting up to {left:.0} s to write {}", what(unsaved));
                }
            },
        )?;
        if failed {
            tracing::info!(path = %path.display(), "writing the accounts works again");
            (self.report_failure)(None);
        }
        if unsaved.shares_omitted > 0 {
            tracing::warn!(
                shares = unsaved.shares_omitted,
                "shares are in the totals, but have no rows of their own"
            );
        }
        for block in &unsaved.blocks {
            if let Err(error) = pending.judged(block) {
                let folder = pending.folder().display();
                tracing::error!(hash = %block.hash, %folder, %error, "cannot rename the file of a block whose verdict is known");
            }
        }
        Ok(())
    }

    /// Removes some of the share rows that are older than the retention. When none is left, looks again only after
    /// [`EXPIRE_EVERY`].
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
