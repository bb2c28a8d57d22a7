//! The events that do not come from the master: from the store, the artifact server, the clock and the user.

use std::time::{Duration, Instant};

use problem::{Problem, ProblemKind};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::artifact::DownloadStats;
use crate::display::Display;
use crate::event::Event;
use crate::history::Topic;
use crate::store::{StoreEvent, StorePlace};

/// The minimum time between two messages that tell the user that the store cannot write. The store retries more often than this.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// The sources of internal events.
pub(crate) struct InternalEvents {
    store_events: mpsc::UnboundedReceiver<StoreEvent>,
    /// The statistics of the agents' downloads of the executor; `None` if this scheduler does not serve the executor.
    downloads: Option<watch::Receiver<DownloadStats>>,
    /// The answers to the driver's own questions: to the master, and to agents.
    answers: mpsc::UnboundedReceiver<Event>,
    stop: CancellationToken,
    stopped: bool,
    warned: Option<Instant>,
    /// Why the state folder cannot be written, as the state machine was told; `None` if it can be written.
    folder_failure: Option<String>,
}

impl InternalEvents {
    pub fn new(
        store_events: mpsc::UnboundedReceiver<StoreEvent>,
        downloads: Option<watch::Receiver<DownloadStats>>,
        answers: mpsc::UnboundedReceiver<Event>,
        stop: CancellationToken,
    ) -> Self {
        let (warned, folder_failure) = (None, None);
        Self { store_events, downloads, answers, stop, stopped: false, warned, folder_failure }
    }

    /// Waits for the next events, or until the tick that is due at `deadline`. Cancelling this future loses no events.
    pub async fn next(&mut self, deadline: Instant, display: &Display) -> Vec<Event> {
        tokio::select! {
            Some(event) = self.store_events.recv() => match event {
                StoreEvent::Persisted(change_ids) => vec![Event::Persisted(change_ids)],
                StoreEvent::WriteFailed { place, why } => self.on_write_failed(place, why, display),
                StoreEvent::WritesAgain(StorePlace::ZooKeeper) => Vec::new(),
                StoreEvent::WritesAgain(StorePlace::Folder) => {
                    self.folder_failure = None;
                    self.warned = None;
                    display.log("the state folder can be written again");
                    vec![Event::Problem { topic: Topic::Store, problem: None }]
                }
                StoreEvent::Info(text) => {
                    display.log(text);
                    Vec::new()
                }
            },
            Some(answer) = self.answers.recv() => vec![answer],
            () = self.stop.cancelled(), if !self.stopped => {
                self.stopped = true;
                vec![Event::Stop]
            }
            stats = next_of(&mut self.downloads) => vec![Event::Fetching(stats)],
            () = sleep_until(deadline.into()) => vec![Event::Tick],
        }
    }
}

impl InternalEvents {
    /// Tells the user from time to time that the store cannot write, and the state machine when the reason changes. A failure of
    /// ZooKeeper is no problem of its own: it ends soon, or with it the leadership.
    fn on_write_failed(&mut self, place: StorePlace, why: String, display: &Display) -> Vec<Event> {
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            display.warn(format!("{why}; trying again"));
        }
        if place == StorePlace::ZooKeeper || self.folder_failure.as_ref() == Some(&why) {
            return Vec::new();
        }
        self.folder_failure = Some(why.clone());
        let problem = Some(Problem::new(ProblemKind::StateFolderFull, why));
        vec![Event::Problem { topic: Topic::Store, problem }]
    }
}

/// Waits for the next statistics, or for ever if there is no artifact server.
async fn next_of(downloads: &mut Option<watch::Receiver<DownloadStats>>) -> DownloadStats {
    if let Some(receiver) = downloads
        && receiver.changed().await.is_ok()
    {
        return *receiver.borrow_and_update();
    }
    std::future::pending().await
}
