//! The state folder: an SQLite database, written by a thread of its own.
//!
//! Changes are queued with a ticket; the thread writes all that have gathered in one transaction, waits until the
//! disk has them, and hands the tickets back. A write that fails is tried again until it works: nothing is
//! acknowledged to Mesos meanwhile, so nothing is lost. One scheduler at a time: the folder is locked. A folder that
//! is not there is made only when there is something to keep.

mod failed_launches;
mod migration;
pub(super) mod read;
pub(super) mod records;
pub(super) mod retention;
pub(super) mod schema;
mod share_columns;
mod snapshot;
mod stored_shares;
pub(super) mod sync_folder;
mod tables;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::fs::{Access, access};

use self::retention::ShareRetention;
pub use self::snapshot::{ledger_snapshot, rows_since, stored_shares};
pub use self::stored_shares::StoredShare;
use self::sync_folder::{Handover, sync_folder};
use super::{DATABASE, ShareLimits, StoreError};
use crate::journal::{Change, RecoveredState, SpecificationKey, Ticket};

/// Changes in the order in which they are to be written.
type Changes = Vec<(Ticket, Change)>;

/// So many changes at most are queued as one piece.
const PIECE: usize = 250;
/// Once a transaction has so many changes, it takes no further piece.
const BATCH: usize = 1000;
/// Transactions that are not full begin so far apart. Each costs several times what a change costs, and one for each of some
/// hundred updates a second was most of the scheduler's work; a wait of this length is nothing to an acknowledgement.
const APART: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_secs(1);
/// While nothing is written, shares are looked at for their age at this interval.
const IDLE: Duration = Duration::from_secs(60);
/// Between two pieces of what is to be removed.
const PAUSE: Duration = Duration::from_millis(10);
/// A disk that does not let anything be removed is mentioned once in this time.
const WARN_EVERY: Duration = Duration::from_secs(3600);
/// How long [`StateFolder::close`] waits for a disk that refuses.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// What became of a batch.
#[derive(Debug)]
pub(super) enum FolderEvent {
    /// These changes are on disk, oldest first.
    Written(Vec<(Ticket, Change)>),
    /// The disk refuses; the thread keeps trying.
    WriteFailed(rusqlite::Error),
    /// What the user should hear.
    Info(String),
}

/// The way to the writing thread. Dropping it without [`close`](StateFolder::close) leaves queued changes to the
/// thread, which still writes them if the process lives long enough.
pub(super) struct StateFolder {
    /// Changes gather in it until the thread is started.
    queue: mpsc::Sender<Changes>,
    receiver: Option<mpsc::Receiver<Changes>>,
    opened: Option<Opened>,
    thread: Option<(JoinHandle<usize>, File)>,
    folder: PathBuf,
    identity: FolderIdentity,
    closing: Arc<AtomicBool>,
}

/// What a folder has from its beginning.
#[derive(Clone, Debug)]
struct FolderIdentity {
    /// Its own name for itself.
    name: String,
    specification_key: SpecificationKey,
}

impl FolderIdentity {
    fn random() -> Self {
        let name = format!("{:032x}", rand::random::<u128>());
        FolderIdentity { name, specification_key: SpecificationKey::random() }
    }
}

/// A database, and the lock on its folder for as long as the file is open.
struct Opened {
    connection: Connection,
    lock: File,
}

impl fmt::Debug for StateFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateFolder").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl StateFolder {
    /// Opens the state folder, if there is one, brings it to this program's format, and reads what is in it.
    ///
    /// # Errors
    /// If the folder cannot be used or made, another scheduler uses it, or a later version wrote it.
    pub fn open(folder: &Path) -> Result<(StateFolder, RecoveredState), StoreError> {
        let mut identity = FolderIdentity::random();
        let mut recovered = RecoveredState { next_number: 1, ..RecoveredState::default() };
        let mut opened = None;
        if folder.exists() {
            if !folder.is_dir() {
                return Err(io(folder)(io::ErrorKind::NotADirectory.into()));
            }
            let there = open(folder)?;
            let database = |source| StoreError::Database { path: folder.join(DATABASE), source };
            identity = identify(&there.connection, &identity).map_err(database)?;
            recovered = read::recover(&there.connection).map_err(database)?;
            recovered.aggregate_retired();
            opened = Some(there);
        } else {
            can_be_made(folder)?;
        }
        recovered.specification_key = Some(identity.specification_key.clone());
        let (queue, receiver) = mpsc::channel();
        let (receiver, folder, closing) = (Some(receiver), folder.to_owned(), Arc::default());
        Ok((StateFolder { queue, receiver, opened, thread: None, folder, identity, closing }, recovered))
    }

    /// The folder's own name for itself.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder if there is none yet, takes in what another scheduler has left, and begins to write. Single
    /// shares are kept within `limits`; totals stay for ever. `notify` is called from the writing thread. Does nothing the second time.
    ///
    /// # Errors
    /// As [`open`](StateFolder::open).
    pub fn start(
        &mut self,
        handover: Option<&Handover>,
        limits: ShareLimits,
        notify: impl FnMut(FolderEvent) + Send + 'static,
    ) -> Result<(), StoreError> {
        let Some(queue) = self.receiver.take() else { return Ok(()) };
        let Opened { mut connection, lock } = match self.opened.take() {
            Some(opened) => opened,
            None => open(&self.folder)?,
        };
        let path = self.folder.join(DATABASE);
        let database = |source| StoreError::Database { path: path.clone(), source };
        self.identity = identify(&connection, &self.identity).map_err(database)?;
        if let Some(handover) = handover {
            sync_folder(&mut connection, handover).map_err(database)?;
        }
        let framework = read::framework(&connection).map_err(database)?.map(|(framework, _)| framework.id);
        let retention = ShareRetention::new(limits, &connection).map_err(database)?;
        let closing = Arc::clone(&self.closing);
        let (more, warned, begun) = Default::default();
        let writer = Writer { connection, framework, retention, more, warned, begun, notify, closing };
        let thread = thread::Builder::new().name("store".to_owned());
        let handle = thread.spawn(move || writer.run(&queue)).map_err(io(&path))?;
        self.thread = Some((handle, lock));
        Ok(())
    }

    /// Queues changes.
    pub fn persist_all(&self, changes: Vec<(Ticket, Change)>) {
        let mut changes = changes.into_iter();
        loop {
            let piece: Vec<_> = changes.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                return;
            }
            // The thread ends only after this sender is dropped, unless it panicked; `close` tells then.
            let _ = self.queue.send(piece);
        }
    }

    /// Waits until all that was queued is written. What was never started has nothing to wait for.
    ///
    /// # Errors
    /// If the disk keeps refusing.
    pub fn close(self) -> Result<(), StoreError> {
        self.closing.store(true, Ordering::Relaxed);
        drop(self.queue);
        let Some((handle, _lock)) = self.thread else { return Ok(()) };
        match handle.join() {
            Ok(0) => Ok(()),
            Ok(lost) => Err(StoreError::Unwritten { path: self.folder.join(DATABASE), lost }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Makes and opens what is missing.
fn open(folder: &Path) -> Result<Opened, StoreError> {
    fs::create_dir_all(folder).map_err(io(folder))?;
    let lock = lock(folder)?;
    let path = folder.join(DATABASE);
    let connection = Connection::open(&path);
    let mut connection = connection.map_err(|source| StoreError::Database { path: path.clone(), source })?;
    schema::prepare(&mut connection, &path)?;
    Ok(Opened { connection, lock })
}

/// What the folder has from its beginning; from `new` what it lacks.
fn identify(connection: &Connection, new: &FolderIdentity) -> rusqlite::Result<FolderIdentity> {
    let key = new.specification_key.to_hex();
    connection.execute(
        "INSERT INTO folder (name, specification_key) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM folder)",
        [&new.name, &key],
    )?;
    connection.execute("UPDATE folder SET specification_key = ?1 WHERE specification_key IS NULL", [&key])?;
    let name = connection.query_row("SELECT name FROM folder", [], |row| row.get(0))?;
    // It is there, and a broken one is an error.
    let specification_key = read::specification_key(connection)?.unwrap_or(new.specification_key.clone());
    Ok(FolderIdentity { name, specification_key })
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
    retention: ShareRetention,
    /// There is more to be removed.
    more: bool,
    warned: Option<Instant>,
    /// When the last transaction began.
    begun: Option<Instant>,
    notify: N,
    closing: Arc<AtomicBool>,
}

impl<N: FnMut(FolderEvent)> Writer<N> {
    /// Writes until the queue is closed; how many changes could not be written.
    fn run(mut self, queue: &mpsc::Receiver<Changes>) -> usize {
        while let Some(batch) = self.next_batch(queue) {
            if !self.write_until_done(&batch) {
                return batch.len() + queue.try_iter().map(|changes| changes.len()).sum::<usize>();
            }
            let written = batch.len();
            (self.notify)(FolderEvent::Written(batch));
            self.prune(written);
        }
        0
    }

    /// Waits for changes, and tidies up meanwhile; `None` if the queue is closed.
    fn next_batch(&mut self, queue: &mpsc::Receiver<Changes>) -> Option<Changes> {
        loop {
            match queue.recv_timeout(if self.more { PAUSE } else { IDLE }) {
                Ok(first) => {
                    let batch = self.gather(first, queue);
                    self.begun = Some(Instant::now());
                    return Some(batch);
                }
                Err(RecvTimeoutError::Timeout) => self.prune(0),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Takes what waits, and what comes until the next transaction may begin.
    fn gather(&self, mut batch: Changes, queue: &mpsc::Receiver<Changes>) -> Changes {
        let next = self.begun.map(|begun| begun + APART);
        while batch.len() < BATCH {
            let rest = next.map(|next| next.saturating_duration_since(Instant::now()));
            match queue.recv_timeout(rest.unwrap_or_default()) {
                Ok(changes) => batch.extend(changes),
                // It is time, or nothing more will come.
                Err(_) => break,
            }
        }
        batch
    }

    /// Removes a piece of what is beyond the limits, after so many changes were written.
    fn prune(&mut self, written: usize) {
        self.more = false;
        match self.retention.prune(&mut self.connection, written) {
            Ok(step) => {
                self.more = step.more;
                if let Some(text) = step.message {
                    (self.notify)(FolderEvent::Info(text));
                }
            }
            Err(error) if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) => {
                self.warned = Some(Instant::now());
                tracing::warn!(%error, "cannot remove old single shares");
            }
            Err(_) => {}
        }
    }

    /// Tries again and again; gives up only when the scheduler has been waiting to end for a while.
    fn write_until_done(&mut self, batch: &[(Ticket, Change)]) -> bool {
        let mut closing_since: Option<Instant> = None;
        loop {
            match records::write(&mut self.connection, &mut self.framework, batch) {
                Ok(()) => return true,
                Err(error) => (self.notify)(FolderEvent::WriteFailed(error)),
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
