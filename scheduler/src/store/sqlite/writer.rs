//! The writing thread. It writes all queued changes in one transaction, waits until they are on disk, and returns the change ids.
//! A failed write is repeated until it succeeds. A status update is not acknowledged to Mesos before its changes are on disk, so
//! no update is lost.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use database::write_until_closed;
use rusqlite::Connection;

use super::records;
use super::retention::ShareRetention;
use crate::journal::{Change, ChangeId};
use crate::store::STATE_FOLDER;

/// Changes in the order in which they are written.
pub(super) type Changes = Vec<(ChangeId, Change)>;

/// When a transaction has at least this number of changes, further changes wait for the next transaction.
const BATCH: usize = 1000;
/// The minimum time from the start of one transaction to the start of the next, unless [`BATCH`] changes are waiting. A
/// transaction costs several times as much as a change: if some hundred updates per second had a transaction each, transactions
/// would be most of the scheduler's work. It does no harm if an acknowledgement waits for this time.
const INTERVAL: Duration = Duration::from_millis(20);
/// While nothing is written, the writer checks at this interval whether single shares have become too old.
const IDLE: Duration = Duration::from_secs(60);
/// While no changes arrive, old shares are removed in steps. This is the pause between two steps.
const PAUSE: Duration = Duration::from_millis(10);
/// The minimum time between two log messages about failures to remove shares.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// An event that the writing thread reports.
#[derive(Debug)]
pub(in crate::store) enum FolderEvent {
    /// These changes are on disk, oldest first.
    Written(Changes),
    /// A write failed, for this reason. The thread tries again until it succeeds, which [`FolderEvent::Written`] says.
    WriteFailed(String),
    /// A message for the user that is not about an error.
    Info(String),
}

/// Changes that could not be written before the writer had to end.
#[derive(Debug)]
pub(super) struct UnwrittenChanges {
    /// The number of changes.
    pub lost: usize,
    /// The last error.
    pub error: rusqlite::Error,
}

pub(super) struct Writer<N> {
    folder: PathBuf,
    connection: Connection,
    framework: Option<String>,
    retention: ShareRetention,
    /// Whether there are more shares to remove. If so, the next step of the removal follows after [`PAUSE`] instead of [`IDLE`].
    more: bool,
    warned: Option<Instant>,
    /// When the last transaction started. The next one starts [`INTERVAL`] later, or as soon as [`BATCH`] changes are waiting.
    started: Option<Instant>,
    notify: N,
    closing: Arc<AtomicBool>,
}

impl<N: FnMut(FolderEvent)> Writer<N> {
    /// A writer to the database in `folder`. `framework` is the id of the current framework, if there is one.
    pub fn new(
        folder: PathBuf,
        connection: Connection,
        framework: Option<String>,
        retention: ShareRetention,
        notify: N,
        closing: Arc<AtomicBool>,
    ) -> Self {
        Self {
            folder,
            connection,
            framework,
            retention,
            more: false,
            warned: None,
            started: None,
            notify,
            closing,
        }
    }

    /// Writes until the queue is closed. The error has the changes that could not be written.
    pub fn run(mut self, queue: &mpsc::Receiver<Changes>) -> Result<(), UnwrittenChanges> {
        while let Some(batch) = self.next_batch(queue) {
            self.write(&batch).map_err(|error| UnwrittenChanges {
                lost: batch.len() + queue.try_iter().map(|changes| changes.len()).sum::<usize>(),
                error,
            })?;
            let written = batch.len();
            (self.notify)(FolderEvent::Written(batch));
            self.prune(written);
        }
        Ok(())
    }

    /// Waits for changes and returns them; `None` if the queue is closed. While no changes come, removes shares that exceed the
    /// limits.
    fn next_batch(&mut self, queue: &mpsc::Receiver<Changes>) -> Option<Changes> {
        loop {
            match queue.recv_timeout(if self.more { PAUSE } else { IDLE }) {
                Ok(first) => {
                    let batch = self.gather(first, queue);
                    self.started = Some(Instant::now());
                    return Some(batch);
                }
                Err(RecvTimeoutError::Timeout) => self.prune(0),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Takes all queued changes, and those that arrive until the next transaction may start.
    fn gather(&self, mut batch: Changes, queue: &mpsc::Receiver<Changes>) -> Changes {
        let next = self.started.map(|started| started + INTERVAL);
        while batch.len() < BATCH {
            let rest = next.map(|next| next.saturating_duration_since(Instant::now()));
            match queue.recv_timeout(rest.unwrap_or_default()) {
                Ok(changes) => batch.extend(changes),
                // The next transaction may start, or the queue is closed.
                Err(_) => break,
            }
        }
        batch
    }

    /// Removes some shares that exceed the limits, after `written` changes were written.
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

    /// Writes a batch. Fails if the time limit for closing is over.
    fn write(&mut self, batch: &[(ChangeId, Change)]) -> rusqlite::Result<()> {
        let Self { folder, connection, framework, notify, closing, .. } = self;
        write_until_closed(
            || records::write(connection, framework, batch),
            || closing.load(Ordering::Relaxed),
            |error, _| notify(FolderEvent::WriteFailed(STATE_FOLDER.write_failure(folder, error))),
        )
    }
}
