//! The state folder: an SQLite database, written by a thread of its own.
//!
//! Changes are queued with a ticket; the thread writes all that have gathered in one transaction, waits until the
//! disk has them, and hands the tickets back. A write that fails is tried again until it works: nothing is
//! acknowledged to Mesos meanwhile, so nothing is lost. One scheduler at a time: the folder is locked. A folder that
//! is not there is made only when there is something to keep.

mod books;
mod outsiders;
mod read;
mod schema;
mod write;

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::fs::{Access, access};

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
pub struct Store {
    queue: mpsc::Sender<(Ticket, Change)>,
    /// As long as there is no folder; changes gather in the queue.
    plan: Option<Plan>,
    thread: Option<Thread>,
    path: PathBuf,
    closing: Arc<AtomicBool>,
}

type Plan = Box<dyn FnOnce() -> Result<(Thread, Recovered), StoreError> + Send>;

struct Thread {
    handle: JoinHandle<usize>,
    /// Held open for the lock on it.
    _lock: File,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the state folder and reads what is in it; if there is none, it is made by [`make`](Store::make). Rows
    /// of single shares are removed when they are older than `retention`; totals stay for ever. `notify` is called
    /// from the writing thread.
    ///
    /// # Errors
    /// If the folder can't be used, another scheduler uses it, or a later version wrote it.
    pub fn open(
        folder: &Path,
        retention: Duration,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> Result<(Store, Recovered), StoreError> {
        let (queue, receiver) = mpsc::channel();
        let closing = Arc::new(AtomicBool::new(false));
        let start = {
            let (folder, closing) = (folder.to_owned(), Arc::clone(&closing));
            move || start(&folder, retention, notify, receiver, closing)
        };
        let mut store =
            Store { queue, plan: Some(Box::new(start)), thread: None, path: folder.join(DATABASE), closing };
        let recovered = if folder.exists() {
            store.make()?
        } else {
            can_be_made(folder)?;
            None
        };
        Ok((store, recovered.unwrap_or_else(|| Recovered { next_number: 1, ..Recovered::default() })))
    }

    /// Makes the folder if there is none yet, and gives what is in it.
    ///
    /// # Errors
    /// As [`open`](Store::open).
    pub fn make(&mut self) -> Result<Option<Recovered>, StoreError> {
        let Some(start) = self.plan.take() else { return Ok(None) };
        let (thread, recovered) = start()?;
        self.thread = Some(thread);
        Ok(Some(recovered))
    }

    /// Queues a change.
    pub fn persist(&self, ticket: Ticket, change: Change) {
        // The thread ends only after this sender is dropped, unless it panicked; `close` tells then.
        let _ = self.queue.send((ticket, change));
    }

    /// Waits until all that was queued is written. A folder that was never made has nothing to wait for.
    ///
    /// # Errors
    /// If the disk keeps refusing.
    pub fn close(self) -> Result<(), StoreError> {
        self.closing.store(true, Ordering::Relaxed);
        drop(self.queue);
        let Some(Thread { handle, _lock }) = self.thread else { return Ok(()) };
        match handle.join() {
            Ok(0) => Ok(()),
            Ok(lost) => Err(StoreError::Unwritten { path: self.path, lost }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Makes and opens what is missing, and starts the writing thread.
fn start(
    folder: &Path,
    retention: Duration,
    notify: impl FnMut(Notice) + Send + 'static,
    queue: mpsc::Receiver<(Ticket, Change)>,
    closing: Arc<AtomicBool>,
) -> Result<(Thread, Recovered), StoreError> {
    fs::create_dir_all(folder).map_err(io(folder))?;
    let lock = lock(folder)?;
    let path = folder.join(DATABASE);
    let database = |source| StoreError::Database { path: path.clone(), source };
    let connection = Connection::open(&path).map_err(database)?;
    schema::prepare(&connection, &path)?;
    let recovered = read::recover(&connection).map_err(database)?;
    let framework = recovered.framework.as_ref().map(|framework| framework.id.clone());
    let writer = Writer { connection, framework, retention, notify, closing };
    let thread = thread::Builder::new().name("store".to_owned());
    let handle = thread.spawn(move || writer.run(&queue)).map_err(io(&path))?;
    Ok((Thread { handle, _lock: lock }, recovered))
}

/// Better said now than when there is something to keep.
fn can_be_made(folder: &Path) -> Result<(), StoreError> {
    let absolute = std::path::absolute(folder).map_err(io(folder))?;
    let there = absolute.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    if !there.is_dir() {
        return Err(io(there)(io::ErrorKind::NotADirectory.into()));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| io(there)(error.into()))
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
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
