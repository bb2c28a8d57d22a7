//! The state of this run of the scheduler: its subscription, and whether it is shutting down.

use std::time::{Duration, Instant};

/// If the time between two ticks is at least this long, this process was suspended or delayed meanwhile.
const STOPPED: Duration = Duration::from_secs(5);

/// The master sends a heartbeat every 15 s. A master that has sent no event for this time is stuck or unreachable.
const MASTER_SILENT: Duration = Duration::from_secs(18);

/// The state of this run of the scheduler.
#[derive(Clone, Copy, Debug)]
pub struct RunState {
    /// Whether the scheduler is subscribed to a master.
    pub connected: bool,
    /// Whether the scheduler is shutting down.
    pub ending: bool,
    /// Whether the end of this run, which may have begun, ends the tasks and the framework.
    pub teardown: bool,
    /// When this process began to run the framework.
    pub started: Instant,
    /// Updates of tasks could be received without interruption since this time. An interruption is a lost subscription, or a stop
    /// of the master or of this process. Updates from before this time may still be on their way.
    pub resumed: Instant,
    ticked: Instant,
    /// When the last event from the master was received, or when this run began.
    heard: Instant,
    hearer: Hearer,
}

/// The run of the scheduler that received the master's last event.
#[derive(Clone, Copy, Debug)]
enum Hearer {
    /// This run.
    ThisRun,
    /// An earlier run. The duration is the time from the master's last event until the present run began.
    EarlierRun(Duration),
    /// This run has received no event from the master, and no earlier run is known to have received one.
    Unknown,
}

impl RunState {
    /// A run without a subscription.
    pub fn new(now: Instant) -> Self {
        Self {
            connected: false,
            ending: false,
            teardown: false,
            started: now,
            resumed: now,
            ticked: now,
            heard: now,
            hearer: Hearer::Unknown,
        }
    }

    /// Records that an earlier run received the master's last event. `before` is the time from that event until the present run
    /// began.
    pub(super) fn heard_before(&mut self, before: Duration) {
        self.hearer = Hearer::EarlierRun(before);
    }

    /// Handles a tick. Returns whether this process was suspended or delayed since the previous tick.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        now.duration_since(std::mem::replace(&mut self.ticked, now)) >= STOPPED
    }

    /// Call this when an event of the master was received. Returns whether the master was silent before.
    pub(crate) fn hear_master(&mut self, now: Instant) -> bool {
        let was_silent = self.master_is_silent(now);
        self.heard = now;
        self.hearer = Hearer::ThisRun;
        was_silent
    }

    /// The time since the last event of the master, which an earlier run may have received; `None` if that is not known.
    pub(super) fn silence(&self, now: Instant) -> Option<Duration> {
        let here = now.duration_since(self.heard);
        match self.hearer {
            Hearer::ThisRun => Some(here),
            Hearer::EarlierRun(before) => Some(before + here),
            Hearer::Unknown => None,
        }
    }

    /// Whether the master is silent. While the master is silent, no messages of tasks are received either, because they come
    /// through the master.
    pub fn master_is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.heard) >= MASTER_SILENT
    }

    /// When the last event of the master was received.
    #[cfg(test)]
    pub fn heard(&self) -> Instant {
        self.heard
    }
}
