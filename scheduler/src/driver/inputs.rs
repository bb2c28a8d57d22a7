//! What the state machine is told by others than the master: disk, clock, user.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::core::Event;
use crate::display::Display;
use crate::store::StoreEvent;

const TICK: Duration = Duration::from_millis(500);
/// The disk is tried every second; the user need not hear of each.
const COMPLAIN: Duration = Duration::from_secs(30);

/// Disk, clock and user.
pub(crate) struct Inputs {
    notices: mpsc::UnboundedReceiver<StoreEvent>,
    tick: Interval,
    stop: CancellationToken,
    stopped: bool,
    complained: Option<Instant>,
}

impl Inputs {
    pub fn new(notices: mpsc::UnboundedReceiver<StoreEvent>, stop: CancellationToken) -> Inputs {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Inputs { notices, tick, stop, stopped: false, complained: None }
    }

    /// Waits for the next of them. Cancelling loses nothing.
    pub async fn next(&mut self, display: &Display) -> Vec<Event> {
        tokio::select! {
            Some(notice) = self.notices.recv() => match notice {
                StoreEvent::Persisted(tickets) => tickets.into_iter().map(Event::Persisted).collect(),
                StoreEvent::Refused(why) => {
                    if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
                        self.complained = Some(Instant::now());
                        display.say(why);
                    }
                    Vec::new()
                }
            },
            () = self.stop.cancelled(), if !self.stopped => {
                self.stopped = true;
                vec![Event::Stop]
            }
            _ = self.tick.tick() => vec![Event::Tick],
        }
    }
}
