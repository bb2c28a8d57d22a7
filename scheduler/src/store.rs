//! The state folder: an SQLite database, written by a thread of its own.
//!
//! Changes are queued with a ticket; the thread writes all that have gathered in one transaction, waits until the
//! disk has them, and hands the tickets back. A write that fails is tried again until it works: nothing is
//! acknowledged to Mesos meanwhile, so nothing is lost. One scheduler at a time: the folder is locked.

mod books;
mod outsiders;
mod read;
mod schema;
mod write;

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

pub use self::books::{Books, books};
use crate::record::{Change, Recovered, Ticket};

/// The database's name in the state folder.
pub const DATABASE: &str = "scheduler.sqlite";
/// So many changes at most go into one transaction.
const BATCH: usize = 1000;
const RETRY: Duration = Duration::from_secs(1);
/// How long [`Store::close`] waits for a disk that refuses.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Why the state folder is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder or a file in it can't be made or opened.
    #[error("cannot use state folder {}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// The system's finding.
        #[source]
        source: io::Error,
    },
    /// Another scheduler has it.
    #[error("state folder {} is in use by another scheduler; give this one its own with --state-dir", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Written by a later version of this program.
    #[error("{} has format {found}; this program knows formats up to {known}", path.display())]
    Format {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest known one.
        known: i64,
    },
    /// The database can't be opened or read.
    #[error("cannot read {}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// SQLite's finding.
        #[source]
        source: rusqlite::Error,
    },
    /// No scheduler has written there.
    #[error("there is no ledger in {}; name the scheduler's state folder with --state-dir", path.display())]
    NoLedger {
        /// The folder.
        path: PathBuf,
    },
    /// The last changes could not be written.
    #[error("{lost} changes could not be written to {}", path.display())]
    Unwritten {
        /// The database.
        path: PathBuf,
        /// How many.
        lost: usize,
    },
}

/// What the writing thread says.
#[derive(Debug)]
pub enum Notice {
    /// These changes are on disk, oldest first.
    Persisted(Vec<Ticket>),
    /// The disk refuses; the thread keeps trying.
    Refused(rusqlite::Error),
}

/// The way to the writing thread. Dropping it without [`close`](Store::close) leaves queued changes to the
/// thread, which still writes them if the process lives long enough.
#[derive(Debug)]
pub struct Store {
    queue: mpsc::Sender<(Ticket, Change)>,
    thread: JoinHandle<usize>,
    path: PathBuf,
    closing: Arc<AtomicBool>,
    /// Held open for the lock on it.
    _lock: File,
}

impl Store {
    /// Opens or makes the state folder, and reads what is in it. Rows of single shares are removed when they are
    /// older than `retention`; totals stay for ever. `notify` is called from the writing thread.
    ///
    /// # Errors
    /// If the folder can't be used, another scheduler uses it, or a later version wrote it.
    pub fn open(
        folder: &Path,
        retention: Duration,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> Result<(Store, Recovered), StoreError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(io(folder))?;
        let lock = lock(folder)?;
        let path = folder.join(DATABASE);
        let database = |source| StoreError::Database { path: path.clone(), source };
        let connection = Connection::open(&path).map_err(database)?;
        schema::prepare(&connection, &path)?;
        let recovered = read::recover(&connection).map_err(database)?;
        let framework = recovered.framework.as_ref().map(|framework| framework.id.clone());
        let (queue, receiver) = mpsc::channel();
        let closing = Arc::new(AtomicBool::new(false));
        let writer = Writer { connection, framework, retention, notify, closing: Arc::clone(&closing) };
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(io(&path))?;
        Ok((Store { queue, thread, path, closing, _lock: lock }, recovered))
    }

    /// Queues a change.
    pub fn persist(&self, ticket: Ticket, change: Change) {
        // The thread ends only after this sender is dropped, unless it panicked; `close` tells then.
        let _ = self.queue.send((ticket, change));
    }

    /// Waits until all that was queued is written.
    ///
    /// # Errors
    /// If the disk keeps refusing.
    pub fn close(self) -> Result<(), StoreError> {
        self.closing.store(true, Ordering::Relaxed);
        drop(self.queue);
        match self.thread.join() {
            Ok(0) => Ok(()),
            Ok(lost) => Err(StoreError::Unwritten { path: self.path, lost }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Locks the folder for as long as the file is open.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|source| StoreError::Io { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { path, source }),
    }
}

struct Writer<N> {
    connection: Connection,
    framework: Option<String>,
    retention: Duration,
    notify: N,
    closing: Arc<AtomicBool>,
}

impl<N: FnMut(Notice)> Writer<N> {
    /// Writes until the queue is closed; how many changes could not be written.
    fn run(mut self, queue: &mpsc::Receiver<(Ticket, Change)>) -> usize {
        let mut cleaned: Option<Instant> = None;
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            batch.extend(queue.try_iter().take(BATCH - 1));
            if !self.write_until_done(&batch) {
                return batch.len() + queue.try_iter().count();
            }
            (self.notify)(Notice::Persisted(batch.into_iter().map(|(ticket, _)| ticket).collect()));
            if cleaned.is_none_or(|at| at.elapsed() > Duration::from_secs(3600)) {
                cleaned = Some(Instant::now());
                if let Err(error) = write::expire_rows(&self.connection, self.retention) {
                    tracing::warn!(%error, "cannot remove old share rows");
                }
            }
        }
        0
    }

    /// Tries again and again; gives up only when the scheduler has been waiting to end for a while.
    fn write_until_done(&mut self, batch: &[(Ticket, Change)]) -> bool {
        let mut closing_since: Option<Instant> = None;
        loop {
            match write::write(&mut self.connection, &mut self.framework, batch) {
                Ok(()) => return true,
                Err(error) => (self.notify)(Notice::Refused(error)),
            }
            if self.closing.load(Ordering::Relaxed)
                && closing_since.get_or_insert_with(Instant::now).elapsed() > CLOSE_DEADLINE
            {
                return false;
            }
            thread::sleep(RETRY);
        }
    }
}
