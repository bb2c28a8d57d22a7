//! The state folder: an SQLite database, written by a separate thread.
//!
//! A scheduler locks the folder, so that no other scheduler can use it at the same time. A missing folder is created when there
//! is something to write.

pub(super) mod failed_launches;
pub(super) mod migration;
pub(super) mod read;
pub(super) mod records;
pub(super) mod retention;
mod schema;
mod share_columns;
mod snapshot;
mod stored_shares;
pub(super) mod sync_folder;
mod tables;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use command_line::pluralize;
use database::FolderLock;
use rusqlite::Connection;

use self::retention::ShareRetention;
pub use self::snapshot::{ledger_snapshot, rows_since, stored_shares};
pub use self::stored_shares::StoredShare;
use self::sync_folder::{Handover, sync_folder};
pub(super) use self::writer::FolderEvent;
use self::writer::{Changes, UnwrittenChanges, Writer};
use super::{STATE_FOLDER, ShareLimits, StoreError};
use crate::journal::{Change, ChangeId, RecoveredState, SpecificationKey};

/// Maximum number of changes in one message to the writing thread. More changes are queued as several messages.
const CHUNK: usize = 250;

/// The handle of the writing thread. If it is dropped without [`close`](StateFolder::close), the thread still writes the queued
/// changes, unless the process ends first.
pub(super) struct StateFolder {
    /// Sends changes to the writing thread. Changes that are sent before the thread is started wait in the queue.
    queue: mpsc::Sender<Changes>,
    receiver: Option<mpsc::Receiver<Changes>>,
    opened: Option<OpenFolder>,
    thread: Option<(JoinHandle<Result<(), UnwrittenChanges>>, FolderLock)>,
    folder: PathBuf,
    identity: FolderIdentity,
    /// When the last launch or report was recorded, milliseconds since the Unix epoch; `None` if there was no framework.
    last_recorded_ms: Option<u64>,
    launch_times: HashMap<String, u64>,
    closing: Arc<AtomicBool>,
}

/// The properties of a folder that never change after its creation.
#[derive(Clone, Debug)]
struct FolderIdentity {
    /// A random name that distinguishes this folder from those of other schedulers.
    name: String,
    specification_key: SpecificationKey,
}

impl FolderIdentity {
    fn random() -> Self {
        let name = format!("{:032x}", rand::random::<u128>());
        Self { name, specification_key: SpecificationKey::random() }
    }

    /// Returns the identity that is stored in a folder. If none is stored, `self` is stored and returned.
    fn read_or_write(self, connection: &Connection) -> rusqlite::Result<Self> {
        let key = self.specification_key.to_hex();
        connection.execute(
            "INSERT INTO folder (name, specification_key) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM folder)",
            [&self.name, &key],
        )?;
        connection
            .execute("UPDATE folder SET specification_key = ?1 WHERE specification_key IS NULL", [&key])?;
        let name = connection.query_row("SELECT name FROM folder", [], |row| row.get(0))?;
        let specification_key = read::specification_key(connection)?.unwrap_or(self.specification_key);
        Ok(Self { name, specification_key })
    }
}

/// A database, and the lock of its folder.
struct OpenFolder {
    connection: Connection,
    lock: FolderLock,
}

impl OpenFolder {
    /// Creates the folder and the database if they are missing, and converts the database to the current format.
    fn open(folder: &Path) -> Result<Self, StoreError> {
        let lock = STATE_FOLDER.lock(folder)?;
        let mut connection = STATE_FOLDER.open(folder)?;
        migration::prepare(&mut connection, &STATE_FOLDER.database_path(folder))?;
        Ok(Self { connection, lock })
    }
}

impl fmt::Debug for StateFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateFolder").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl StateFolder {
    /// If the state folder exists, opens it, converts it to the current format, and reads it. Otherwise checks that it can be
    /// created.
    ///
    /// # Errors
    /// If the folder cannot be used or created, another scheduler uses it, or a later version wrote it.
    pub fn open(folder: &Path) -> Result<(Self, RecoveredState), StoreError> {
        let mut identity = FolderIdentity::random();
        let mut recovered = RecoveredState { next_number: 1, ..RecoveredState::default() };
        let (mut opened, mut launch_times, mut last_recorded_ms) = (None, HashMap::new(), None);
        if folder.exists() {
            let open = OpenFolder::open(folder)?;
            let error = STATE_FOLDER.database_error(&STATE_FOLDER.database_path(folder));
            identity = identity.read_or_write(&open.connection).map_err(&error)?;
            recovered = read::recover(&open.connection).map_err(&error)?;
            recovered.aggregate_retired();
            let last = recovered.framework.as_ref().map(|it| read::last_recorded_ms(&open.connection, it));
            last_recorded_ms = last.transpose().map_err(&error)?;
            launch_times = read::launch_times(&open.connection).map_err(&error)?;
            opened = Some(open);
        } else {
            check_creatable(folder)?;
        }
        recovered.specification_key = Some(identity.specification_key.clone());
        let (queue, receiver) = mpsc::channel();
        let (receiver, folder, closing) = (Some(receiver), folder.to_owned(), Arc::default());
        let thread = None;
        let folder = Self {
            queue,
            receiver,
            opened,
            thread,
            folder,
            identity,
            launch_times,
            last_recorded_ms,
            closing,
        };
        Ok((folder, recovered))
    }

    /// The name that distinguishes the folder from those of other schedulers.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// When an earlier run of the scheduler last recorded a launch or a report of the framework, in milliseconds since the Unix
    /// epoch. `None` if there was no framework.
    pub fn last_recorded_ms(&self) -> Option<u64> {
        self.last_recorded_ms
    }

    /// Task id → launch time in milliseconds since the Unix epoch, for each task that had not reached TASK_RUNNING when the
    /// folder was opened.
    pub fn launch_times(&self) -> &HashMap<String, u64> {
        &self.launch_times
    }

    /// Creates the folder if it does not exist, brings it up to date with `handover`, and starts to write. `notify` is called
    /// from the writing thread. A second call of `start` does nothing.
    ///
    /// # Errors
    /// Under the same conditions as [`open`](StateFolder::open), or if the thread cannot be started.
    pub fn start(
        &mut self,
        handover: Option<&Handover>,
        limits: ShareLimits,
        notify: impl FnMut(FolderEvent) + Send + 'static,
    ) -> Result<(), StoreError> {
        let Some(queue) = self.receiver.take() else { return Ok(()) };
        let OpenFolder { mut connection, lock } = match self.opened.take() {
            Some(opened) => opened,
            None => OpenFolder::open(&self.folder)?,
        };
        let path = STATE_FOLDER.database_path(&self.folder);
        let error = STATE_FOLDER.database_error(&path);
        self.identity = self.identity.clone().read_or_write(&connection).map_err(&error)?;
        if let Some(handover) = handover {
            sync_folder(&mut connection, handover).map_err(&error)?;
        }
        let framework = read::framework(&connection).map_err(&error)?.map(|(framework, _)| framework.id);
        let retention = ShareRetention::new(limits, &connection).map_err(&error)?;
        let writer = Writer::new(
            self.folder.clone(),
            connection,
            framework,
            retention,
            notify,
            Arc::clone(&self.closing),
        );
        let thread = thread::Builder::new().name("store".to_owned());
        let handle = thread.spawn(move || writer.run(&queue)).map_err(STATE_FOLDER.io_error(&path))?;
        self.thread = Some((handle, lock));
        Ok(())
    }

    /// Whether the writing thread was started.
    pub fn is_started(&self) -> bool {
        self.thread.is_some()
    }

    /// Queues changes.
    pub fn persist_all(&self, changes: Vec<(ChangeId, Change)>) {
        let mut changes = changes.into_iter();
        loop {
            let chunk: Vec<_> = changes.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                return;
            }
            // Sending fails only if the writing thread has panicked. `close` reports the panic.
            let _ = self.queue.send(chunk);
        }
    }

    /// Waits until all queued changes are written. If the writing thread was never started, this function returns immediately.
    ///
    /// # Errors
    /// If the disk keeps failing.
    pub fn close(self) -> Result<(), StoreError> {
        self.closing.store(true, Ordering::Relaxed);
        drop(self.queue);
        let Some((handle, _lock)) = self.thread else { return Ok(()) };
        match handle.join() {
            Ok(written) => written.map_err(|UnwrittenChanges { lost, error }| StoreError::Unwritten {
                lost: pluralize(lost, "change"),
                why: STATE_FOLDER.write_failure(&self.folder, &error),
            }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Checks that the folder can be created later, so that an error is reported at the start.
fn check_creatable(folder: &Path) -> Result<(), StoreError> {
    let absolute = std::path::absolute(folder).map_err(STATE_FOLDER.io_error(folder))?;
    let existing = absolute.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    if !existing.is_dir() {
        return Err(STATE_FOLDER.io_error(existing)(io::ErrorKind::NotADirectory.into()));
    }
    STATE_FOLDER.check_writable(existing)
}
