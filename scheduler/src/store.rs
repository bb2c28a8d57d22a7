//! What outlives the scheduler: the framework's id, launch intents and the ledger.
//!
//! ```text
//! persist ─▶ state folder ─▶ ZooKeeper ─▶ ticket          (without --zk: state folder ─▶ ticket)
//! ```
//!
//! The state folder keeps everything that its own scheduler has seen. ZooKeeper, shared by several schedulers, keeps
//! what the next leader needs, and says who is right where they differ: what it never got was never acknowledged and
//! never launched.

mod adopt;
mod books;
mod local;
mod outsiders;
mod read;
mod schema;
mod shared;
mod sum;
mod values;
mod write;

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use self::adopt::Adopted;
pub use self::books::{Books, books, rows_since};
use self::local::{Local, Said};
use self::shared::{Leader, Shared};
pub use self::shared::{SharedError, shared_books};
use crate::election::Leadership;
use crate::record::{Change, Recovered, Ticket};

/// The database's name in the state folder.
pub const DATABASE: &str = "scheduler.sqlite";

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

/// What the store says.
#[derive(Debug)]
pub enum Notice {
    /// These changes are where they have to be, oldest first.
    Persisted(Vec<Ticket>),
    /// Disk or ZooKeeper refuses, as told; it is tried again and again.
    Refused(String),
}

type Notify = Arc<dyn Fn(Notice) + Send + Sync>;
type Batch = Vec<(Ticket, Change)>;

/// The state folder and, with several schedulers, ZooKeeper.
pub struct Store {
    local: Local,
    retention: Duration,
    notify: Notify,
    /// Where what the state folder has goes next.
    next: Arc<OnceLock<UnboundedSender<Batch>>>,
    shared: Option<Shared>,
    adopted: Option<Adopted>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the state folder, if there is one, and reads what is in it. Nothing is written before
    /// [`start`](Store::start). Rows of single shares will be removed when they are older than `retention`; totals stay
    /// for ever. `notify` is called from other threads.
    ///
    /// # Errors
    /// If the folder can't be used or made, another scheduler uses it, or a later version wrote it.
    pub fn open(
        folder: &Path,
        retention: Duration,
        notify: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Result<(Store, Recovered), StoreError> {
        let (local, recovered) = Local::open(folder)?;
        let (next, shared, adopted) = Default::default();
        Ok((Store { local, retention, notify: Arc::new(notify), next, shared, adopted }, recovered))
    }

    /// Takes the leadership over: reads what the leader before has left in ZooKeeper. `own` is what the state folder
    /// had, to go on with if nobody has ever led.
    ///
    /// # Errors
    /// If ZooKeeper holds what is not understood, or the leadership is lost meanwhile.
    pub(crate) async fn share(
        &mut self,
        leadership: &Leadership,
        own: Recovered,
    ) -> Result<Recovered, SharedError> {
        let leader = Leader::new(self.local.name(), leadership.host());
        let notify = Arc::clone(&self.notify);
        let (shared, queue, adopted) = Shared::take_over(leadership, leader, own, notify).await?;
        // It was never set: this is called once.
        let _ = self.next.set(queue);
        self.shared = Some(shared);
        let recovered = adopted.recovered.clone();
        self.adopted = Some(adopted);
        Ok(recovered)
    }

    /// Makes the folder if there is none yet, and begins to write. Does nothing the second time.
    ///
    /// # Errors
    /// As [`open`](Store::open).
    pub fn start(&mut self) -> Result<(), StoreError> {
        let (next, notify) = (Arc::clone(&self.next), Arc::clone(&self.notify));
        let folder = self.local.folder().to_owned();
        let said = move |said| match (said, next.get()) {
            (Said::Written(batch), None) => {
                notify(Notice::Persisted(batch.into_iter().map(|(ticket, _)| ticket).collect()));
            }
            (Said::Written(batch), Some(next)) => {
                // Nobody takes it when the leadership is lost: it is for the next leader then.
                let _ = next.send(batch);
            }
            (Said::Refused(error), _) => {
                let folder = folder.display();
                notify(Notice::Refused(format!(
                    "cannot write to state folder {folder}, trying again: {error}"
                )));
            }
        };
        self.local.start(self.adopted.take().as_ref(), self.retention, said)
    }

    /// Queues a change.
    pub fn persist(&self, ticket: Ticket, change: Change) {
        self.local.persist(ticket, change);
    }

    /// Waits until all that was queued is in the state folder. What was never started has nothing to wait for.
    ///
    /// # Errors
    /// If the disk keeps refusing.
    pub fn close(self) -> Result<(), StoreError> {
        self.local.close()
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
        let Store { local, next, shared, .. } = self;
        tokio::task::spawn_blocking(|| local.close()).await??;
        drop(next);
        match shared {
            Some(shared) => Ok(shared.finish().await?),
            None => Ok(()),
        }
    }
}
