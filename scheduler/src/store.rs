//! The durable records: the framework's id, launch intents and the ledger.
//!
//! ```text
//! persist ─▶ state folder ─▶ ZooKeeper ─▶ change id          (without --zk: state folder ─▶ change id)
//! ```
//!
//! The state folder has everything that its own scheduler has seen. ZooKeeper, which several schedulers share, has what the next
//! leader needs. Where the two differ, ZooKeeper is right: a change that did not reach ZooKeeper was never acknowledged, and a
//! task that is not in ZooKeeper was never launched.

mod sqlite;
mod totals_json;
mod zookeeper;

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use database::FolderKind;
pub use database::StoreError;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use self::sqlite::sync_folder::Handover;
use self::sqlite::{FolderEvent, StateFolder};
pub use self::sqlite::{StoredShare, ledger_snapshot, rows_since, stored_shares};
use self::zookeeper::{Leader, SharedTree};
pub use self::zookeeper::{SharedError, shared_ledger_snapshot};
use crate::election::Leadership;
use crate::journal::{Change, ChangeId, FrameworkRecord, Ledger, RecoveredState, TaskRecord};

/// The state folder.
pub static STATE_FOLDER: FolderKind = FolderKind {
    database: "scheduler.sqlite",
    name: "state folder",
    program: "scheduler",
    option: "--state-dir",
    missing: "is no ledger",
};

/// An event that the store reports.
#[derive(Debug)]
pub enum StoreEvent {
    /// These changes are durable, oldest first.
    Persisted(Vec<ChangeId>),
    /// The disk or ZooKeeper failed. The store tries again until it succeeds, which [`StoreEvent::WritesAgain`] says.
    WriteFailed {
        /// What failed.
        place: StorePlace,
        /// Why, with the folder's path, as a phrase without a full stop.
        why: String,
    },
    /// After failures, a write to this place has succeeded.
    WritesAgain(StorePlace),
    /// A message for the user that is not about an error.
    Info(String),
}

/// A place to which the store writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// The state folder.
    Folder,
    /// ZooKeeper.
    ZooKeeper,
}

/// How long single shares stay in the state folder, and how large the database may become. The oldest shares are removed first;
/// totals are kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareLimits {
    /// Single shares that were received longer ago than this are removed.
    pub age: Duration,
    /// The largest size of the database in bytes, including totals; beyond it, the oldest single shares are removed. `None` for
    /// no limit. The database may exceed the limit by the writes of one second, which are some megabytes.
    pub size: Option<u64>,
}

/// The ledger at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerSnapshot {
    /// The frameworks' ids, oldest first.
    pub frameworks: Vec<String>,
    /// The frameworks' tasks, in the order of their launch.
    pub tasks: Vec<TaskRecord>,
    /// The frameworks' accounts.
    pub ledger: Ledger,
    /// When the oldest of the stored shares was received, in milliseconds since the Unix epoch; `None` if no share is stored.
    pub shares_since_ms: Option<u64>,
    /// Shares of the last framework that were received before this time may be missing in the folder, because another scheduler
    /// led then. Totals still include them. The time is in milliseconds since the Unix epoch; `None` if no other scheduler has
    /// ever led.
    pub rows_since_ms: Option<u64>,
    /// Launches that failed before they mined anything, and whose rows have been removed: the number for each state and reason.
    pub failed_launches: Vec<FailedLaunches>,
}

/// Launches that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedLaunches {
    /// The number of launches that failed with this state and reason.
    pub launches: u64,
    /// Mesos' name for the state in which these launches failed.
    pub state: String,
    /// Mesos' name for the reason of the failure, if Mesos gave one.
    pub reason: Option<String>,
}

type OnStoreEvent = Arc<dyn Fn(StoreEvent) + Send + Sync>;
type Batch = Vec<(ChangeId, Change)>;

/// The state folder and, with several schedulers, ZooKeeper.
pub struct Store {
    folder: StateFolder,
    limits: ShareLimits,
    notify: OnStoreEvent,
    /// The queue of changes that are in the state folder and are to be written to ZooKeeper next. It is not set without `--zk`,
    /// nor before this scheduler leads.
    next: Arc<OnceLock<UnboundedSender<Batch>>>,
    shared: Option<SharedTree>,
    handover: Option<Handover>,
    folder_failure: FolderFailure,
}

/// Why the state folder cannot be written now; `None` if it can be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct FolderFailure(Arc<Mutex<Option<String>>>);

impl FolderFailure {
    /// The reason.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the reason, and returns the one before.
    fn set(&self, why: Option<String>) -> Option<String> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), why)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Store {
    /// If the state folder exists, opens it, converts it to the current format, and reads it. Nothing else is written before
    /// [`start`](Store::start). `notify` is called from other threads.
    ///
    /// # Errors
    /// If the folder cannot be used or created, another scheduler uses it, or a later version wrote it.
    pub fn open(
        folder: &Path,
        limits: ShareLimits,
        notify: impl Fn(StoreEvent) + Send + Sync + 'static,
    ) -> Result<(Store, RecoveredState), StoreError> {
        let (folder, recovered) = StateFolder::open(folder)?;
        let (next, shared, handover, folder_failure) = Default::default();
        let notify = Arc::new(notify);
        Ok((Store { folder, limits, notify, next, shared, handover, folder_failure }, recovered))
    }

    /// The framework to continue with. It comes from ZooKeeper or, if ZooKeeper has no record, from `own`, the state of this
    /// folder.
    ///
    /// # Errors
    /// If the framework's record in ZooKeeper cannot be read.
    pub(crate) async fn current_framework(
        leadership: Option<&Leadership>,
        own: &RecoveredState,
    ) -> Result<Option<FrameworkRecord>, SharedError> {
        let shared = match leadership {
            Some(leadership) => zookeeper::shared_framework(leadership).await?,
            None => None,
        };
        Ok(shared.unwrap_or_else(|| own.framework.clone()))
    }

    /// When an earlier run of a scheduler last recorded a launch or a report of the framework, in milliseconds since the Unix
    /// epoch. `None` if that is not known.
    pub(crate) fn last_recorded_ms(&self) -> Option<u64> {
        match &self.shared {
            Some(shared) => shared.last_written_ms,
            None => self.folder.last_recorded_ms(),
        }
    }

    /// Task id → launch time in milliseconds since the Unix epoch, for each task that had not reached TASK_RUNNING when the state
    /// folder was opened. The folder does not know launches of other leaders.
    pub(crate) fn launch_times(&self) -> &HashMap<String, u64> {
        self.folder.launch_times()
    }

    /// Takes over from the previous leader: reads the tree in ZooKeeper. `own` are the state folder's records, with which the
    /// tree starts if no scheduler has ever led.
    ///
    /// # Errors
    /// If the tree has unknown content, or the leadership is lost meanwhile.
    pub(crate) async fn take_over(
        &mut self,
        leadership: &Leadership,
        own: RecoveredState,
    ) -> Result<RecoveredState, SharedError> {
        let leader = Leader::new(self.folder.name(), leadership.host());
        let notify = Arc::clone(&self.notify);
        let (shared, queue, handover) = SharedTree::take_over(leadership, leader, own, notify).await?;
        // `next` was not set before, because this function is called only once.
        let _ = self.next.set(queue);
        self.shared = Some(shared);
        let recovered = handover.recovered.clone();
        self.handover = Some(handover);
        Ok(recovered)
    }

    /// Creates the folder if it does not exist, and starts to write. The second call does nothing.
    ///
    /// # Errors
    /// Under the same conditions as [`open`](Store::open), or if the writing thread cannot be started.
    pub fn start(&mut self) -> Result<(), StoreError> {
        let (next, notify) = (Arc::clone(&self.next), Arc::clone(&self.notify));
        let failure = self.folder_failure.clone();
        let on_event = move |event| match event {
            FolderEvent::Written(batch) => {
                if failure.set(None).is_some() {
                    notify(StoreEvent::WritesAgain(StorePlace::Folder));
                }
                match next.get() {
                    None => {
                        let change_ids = batch.into_iter().map(|(change_id, _)| change_id);
                        notify(StoreEvent::Persisted(change_ids.collect()));
                    }
                    Some(next) => {
                        // If the leadership is lost, the receiver is dropped. Dropping these changes does no harm, because none
                        // of them was acknowledged.
                        let _ = next.send(batch);
                    }
                }
            }
            FolderEvent::Info(text) => notify(StoreEvent::Info(text)),
            FolderEvent::WriteFailed(why) => {
                failure.set(Some(why.clone()));
                notify(StoreEvent::WriteFailed { place: StorePlace::Folder, why });
            }
        };
        self.folder.start(self.handover.take().as_ref(), self.limits, on_event)
    }

    /// Whether changes are being written.
    pub fn is_started(&self) -> bool {
        self.folder.is_started()
    }

    /// Queues a change.
    pub fn persist(&self, change_id: ChangeId, change: Change) {
        self.folder.persist_all(vec![(change_id, change)]);
    }

    /// Queues changes in their order.
    pub fn persist_all(&self, changes: Vec<(ChangeId, Change)>) {
        self.folder.persist_all(changes);
    }

    /// Waits until all queued changes are in the state folder. If the store was never started, this function returns immediately.
    ///
    /// # Errors
    /// If the disk keeps failing.
    pub fn close(self) -> Result<(), StoreError> {
        self.folder.close()
    }

    /// Waits until all queued changes are in the state folder, but does not wait for ZooKeeper, to which another leader writes
    /// now.
    ///
    /// # Errors
    /// If the disk keeps failing.
    pub async fn abandon(self) -> anyhow::Result<()> {
        Ok(tokio::task::spawn_blocking(|| self.close()).await??)
    }

    /// Why the state folder cannot be written, now and while [`finish`](Store::finish) waits.
    pub(crate) fn folder_failure(&self) -> FolderFailure {
        self.folder_failure.clone()
    }

    /// Waits until all queued changes are durable.
    ///
    /// # Errors
    /// If the disk or ZooKeeper keeps failing.
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
