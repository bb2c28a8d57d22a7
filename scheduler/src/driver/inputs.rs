//! What the state machine is told by others than the master: disk, clock, user.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::artifact::DownloadStats;
use crate::display::Display;
use crate::event::Event;
use crate::store::StoreEvent;

/// Between two looks at the time. The terminal is drawn as often.
pub(super) const TICK: Duration = Duration::from_millis(500);
/// The disk is tried every second; the user need not hear of each failure.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// Disk, clock and user.
pub(crate) struct Inputs {
    notices: mpsc::UnboundedReceiver<StoreEvent>,
    /// `None`: nothing is fetched from this scheduler.
    fetching: Option<watch::Receiver<DownloadStats>>,
    tick: Interval,
    stop: CancellationToken,
    stopped: bool,
    warned: Option<Instant>,
}

impl Inputs {
    pub fn new(
        notices: mpsc::UnboundedReceiver<StoreEvent>,
        fetching: Option<watch::Receiver<DownloadStats>>,
        stop: CancellationToken,
    ) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Inputs { notices, fetching, tick, stop, stopped: false, warned: None }
    }

    /// Waits for the next of them. Cancelling loses nothing.
    pub async fn next(&mut self, display: &Display) -> Vec<Event> {
        tokio::select! {
            Some(notice) = self.notices.recv() => match notice {
                StoreEvent::Persisted(tickets) => vec![Event::Persisted(tickets)],
                StoreEvent::WriteFailed(why) => {
                    if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        self.warned = Some(Instant::now());
                        display.log(why);
                    }
                    Vec::new()
                }
                StoreEvent::Info(text) => {
                    display.log(text);
                    Vec::new()
                }
            },
            () = self.stop.cancelled(), if !self.stopped => {
                self.stopped = true;
                vec![Event::Stop]
            }
            fetching = next_of(&mut self.fetching) => vec![Event::Fetching(fetching)],
            _ = self.tick.tick() => vec![Event::Tick],
        }
    }
}

/// What is told next, if anything ever is.
async fn next_of(fetching: &mut Option<watch::Receiver<DownloadStats>>) -> DownloadStats {
    if let Some(receiver) = fetching
        && receiver.changed().await.is_ok()
    {
        return *receiver.borrow_and_update();
    }
    std::future::pending().await
}
