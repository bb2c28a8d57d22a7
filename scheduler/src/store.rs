//! What outlives the scheduler: the framework's id, launch intents and the ledger.
//!
//! ```text
//! persist ─▶ state folder ─▶ ZooKeeper ─▶ ticket          (without --zk: state folder ─▶ ticket)
//! ```
//!
//! The state folder keeps everything that its own scheduler has seen. ZooKeeper, shared by several schedulers, keeps
//! what the next leader needs, and says who is right where they differ: what it never got was never acknowledged and
//! never launched.

mod sqlite;
mod totals_json;
mod zookeeper;

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use self::sqlite::catch_up::Handover;
use self::sqlite::{FolderEvent, StateFolder};
pub use self::sqlite::{KeptShare, kept_shares, ledger_snapshot, rows_since};
use self::zookeeper::{Leader, SharedTree};
pub use self::zookeeper::{SharedError, shared_ledger_snapshot};
use crate::election::Leadership;
use crate::journal::{Change, Ledger, RecoveredState, TaskRecord, Ticket};

/// The database's name in the state folder.
pub const DATABASE: &str = "scheduler.sqlite";

/// Why the state folder is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder or a file in it cannot be made or opened.
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
    #[error(
        "{} has format {found}; this program knows formats up to {known}: start the newer program that wrote it{}",
        path.display(),
        restore(copy.as_deref(), path)
    )]
    Format {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest known one.
        known: i64,
        /// The copy in that format that the newer program left.
        copy: Option<PathBuf>,
    },
    /// The database cannot be opened or read.
    #[error("cannot use {}; correct it with sqlite3, put a backup back, or begin anew with another --state-dir", path.display())]
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

fn restore(copy: Option<&Path>, path: &Path) -> String {
    let name = path.display();
    copy.map(|copy| {
        format!(", or go back: move {} to {name}, without the -wal and -shm of the latter", copy.display())
    })
    .unwrap_or_default()
}

/// What became of changes.
#[derive(Debug)]
pub enum StoreEvent {
    /// These changes are where they have to be, oldest first.
    Persisted(Vec<Ticket>),
    /// Disk or ZooKeeper refuses, as told; it is tried again and again.
    Refused(String),
    /// What the user should hear: nothing is wrong.
    Told(String),
}

/// What bounds the single shares in the state folder; the oldest ones go first. Totals are not bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareLimits {
    /// No share is kept longer.
    pub age: Duration,
    /// The largest size of the database, with totals, in bytes; `None` for no limit. It may be exceeded by what is
    /// written within a second, some megabytes.
    pub size: Option<u64>,
}

/// The ledger at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerSnapshot {
    /// The frameworks' ids, oldest first.
    pub frameworks: Vec<String>,
    /// Their tasks, in the order of their launch.
    pub tasks: Vec<TaskRecord>,
    /// Their accounts.
    pub ledger: Ledger,
    /// Time of the oldest single share kept, milliseconds since the Unix epoch.
    pub shares_since_ms: Option<u64>,
    /// Since when all of the last framework's single shares were kept here, milliseconds since the Unix epoch, if
    /// schedulers elsewhere have led before.
    pub rows_since_ms: Option<u64>,
    /// Launches that failed without anything mined, and whose rows are kept no more.
    pub failed_launches: Vec<FailedLaunches>,
}

/// Launches that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedLaunches {
    /// How many.
    pub launches: u64,
    /// Mesos' name of the state.
    pub state: String,
    /// Mesos' name of the reason, if there was one.
    pub reason: Option<String>,
}

type Notify = Arc<dyn Fn(StoreEvent) + Send + Sync>;
type Batch = Vec<(Ticket, Change)>;

/// The state folder and, with several schedulers, ZooKeeper.
pub struct Store {
    folder: StateFolder,
    limits: ShareLimits,
    notify: Notify,
    /// Where what the state folder has goes next.
    next: Arc<OnceLock<UnboundedSender<Batch>>>,
    shared: Option<SharedTree>,
    handover: Option<Handover>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the state folder, if there is one, brings it to this program's format, and reads what is in it. Nothing else
    /// is written before [`start`](Store::start). Single shares will be kept within `limits`; totals stay for ever.
    /// `notify` is called from other threads.
    ///
    /// # Errors
    /// If the folder cannot be used or made, another scheduler uses it, or a later version wrote it.
    pub fn open(
        folder: &Path,
        limits: ShareLimits,
        notify: impl Fn(StoreEvent) + Send + Sync + 'static,
    ) -> Result<(Store, RecoveredState), StoreError> {
        let (folder, recovered) = StateFolder::open(folder)?;
        let (next, shared, handover) = Default::default();
        Ok((Store { folder, limits, notify: Arc::new(notify), next, shared, handover }, recovered))
    }

    /// Takes the leadership over: reads what the leader before has left in ZooKeeper. `own` is what the state folder
    /// had, to go on with if nobody has ever led.
    ///
    /// # Errors
    /// If ZooKeeper holds what is not understood, or the leadership is lost meanwhile.
    pub(crate) async fn share(
        &mut self,
        leadership: &Leadership,
        own: RecoveredState,
    ) -> Result<RecoveredState, SharedError> {
        let leader = Leader::new(self.folder.name(), leadership.host());
        let notify = Arc::clone(&self.notify);
        let (shared, queue, handover) = SharedTree::take_over(leadership, leader, own, notify).await?;
        // It was never set: this is called once.
        let _ = self.next.set(queue);
        self.shared = Some(shared);
        let recovered = handover.recovered.clone();
        self.handover = Some(handover);
        Ok(recovered)
    }

    /// Makes the folder if there is none yet, and begins to write. Does nothing the second time.
    ///
    /// # Errors
    /// As [`open`](Store::open).
    pub fn start(&mut self) -> Result<(), StoreError> {
        let (next, notify) = (Arc::clone(&self.next), Arc::clone(&self.notify));
        let folder = self.folder.path().to_owned();
        let on_event = move |event| match (event, next.get()) {
            (FolderEvent::Written(batch), None) => {
                notify(StoreEvent::Persisted(batch.into_iter().map(|(ticket, _)| ticket).collect()));
            }
            (FolderEvent::Written(batch), Some(next)) => {
                // Nobody takes it when the leadership is lost: it is for the next leader then.
                let _ = next.send(batch);
            }
            (FolderEvent::Told(text), _) => notify(StoreEvent::Told(text)),
            (FolderEvent::Refused(error), _) => {
                let folder = folder.display();
                notify(StoreEvent::Refused(format!(
                    "cannot write to state folder {folder}, trying again: {error}"
                )));
            }
        };
        self.folder.start(self.handover.take().as_ref(), self.limits, on_event)
    }

    /// Queues a change.
    pub fn persist(&self, ticket: Ticket, change: Change) {
        self.folder.persist_all(vec![(ticket, change)]);
    }

    /// Queues changes, the first one first.
    pub fn persist_all(&self, changes: Vec<(Ticket, Change)>) {
        self.folder.persist_all(changes);
    }

    /// Waits until all that was queued is in the state folder. What was never started has nothing to wait for.
    ///
    /// # Errors
    /// If the disk keeps refusing.
    pub fn close(self) -> Result<(), StoreError> {
        self.folder.close()
    }

    /// Waits until all that was queued is in the state folder; ZooKeeper is another scheduler's now.
    ///
    /// # Errors
    /// If the disk keeps refusing.
    pub async fn abandon(self) -> anyhow::Result<()> {
        Ok(tokio::task::spawn_blocking(|| self.close()).await??)
    }

    /// Waits until all that was queued is where it has to be.
    ///
    /// # Errors
    /// If disk or ZooKeeper keep refusing.
    pub async fn finish(self) -> anyhow::Result<()> {
        let Store { folder, next, shared, .. } = self;
        tokio::task::spawn_blocking(|| folder.close()).await??;
        drop(next);
        match shared {
            Some(shared) => Ok(shared.finish().await?),
            None => Ok(()),
        }
    }
}
