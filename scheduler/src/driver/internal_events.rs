//! The events that do not come from the master: from the store, the artifact server, the clock and the user.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::artifact::DownloadStats;
use crate::display::Display;
use crate::event::Event;
use crate::sandbox::StderrRead;
use crate::store::StoreEvent;

/// The minimum time between two messages that tell the user that the store cannot write. The store retries more often than this.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// The sources of internal events.
pub(crate) struct InternalEvents {
    store_events: mpsc::UnboundedReceiver<StoreEvent>,
    /// The statistics of the agents' downloads of the executor; `None` if this scheduler does not serve the executor.
    downloads: Option<watch::Receiver<DownloadStats>>,
    stderr: mpsc::UnboundedReceiver<StderrRead>,
    /// The answers of the driver's own questions.
    answers: mpsc::UnboundedReceiver<Event>,
    stop: CancellationToken,
    stopped: bool,
    warned: Option<Instant>,
}

impl InternalEvents {
    pub fn new(
        store_events: mpsc::UnboundedReceiver<StoreEvent>,
        downloads: Option<watch::Receiver<DownloadStats>>,
        stderr: mpsc::UnboundedReceiver<StderrRead>,
        answers: mpsc::UnboundedReceiver<Event>,
        stop: CancellationToken,
    ) -> Self {
        Self { store_events, downloads, stderr, answers, stop, stopped: false, warned: None }
    }

    /// Waits for the next events, or until the tick that is due at `deadline`. Cancelling this future loses no events.
    pub async fn next(&mut self, deadline: Instant, display: &Display) -> Vec<Event> {
        tokio::select! {
            Some(event) = self.store_events.recv() => match event {
                StoreEvent::Persisted(change_ids) => vec![Event::Persisted(change_ids)],
                StoreEvent::WriteFailed(why) => {
                    if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        self.warned = Some(Instant::now());
                        display.warn(why);
                    }
                    Vec::new()
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
            Some(read) = self.stderr.recv() => vec![Event::StderrRead(Box::new(read))],
            stats = next_of(&mut self.downloads) => vec![Event::Fetching(stats)],
            () = sleep_until(deadline.into()) => vec![Event::Tick],
        }
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
