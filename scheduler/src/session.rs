//! The subscription, and what can be heard through it.

use std::time::{Duration, Instant};

/// Without a tick for so long, the scheduler itself was stopped or held up.
const AWAY: Duration = Duration::from_secs(5);

/// A master that says nothing for so long, though it sends a heartbeat every 15 s, is stuck or out of reach itself.
const MASTER_SILENT: Duration = Duration::from_secs(18);

/// Whether there is a subscription, and whether the framework is to go on.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Whether there is a subscription.
    pub connected: bool,
    /// Whether the end has begun.
    pub ending: bool,
    /// When this run of the scheduler began.
    pub started: Instant,
    ticked: Instant,
    heard: Instant,
}

impl Session {
    /// Before the first subscription.
    pub fn new(now: Instant) -> Self {
        Self { connected: false, ending: false, started: now, ticked: now, heard: now }
    }

    /// Time passes; whether this process was stopped meanwhile.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        now.duration_since(std::mem::replace(&mut self.ticked, now)) >= AWAY
    }

    /// The master says something; whether it had fallen silent.
    pub(crate) fn hear_master(&mut self, now: Instant) -> bool {
        let was_silent = self.master_is_silent(now);
        self.heard = now;
        was_silent
    }

    /// Whether the master is silent. All that tasks say comes through it, so they cannot be heard either.
    pub fn master_is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.heard) >= MASTER_SILENT
    }

    /// When the master last said something.
    #[cfg(test)]
    pub fn heard(&self) -> Instant {
        self.heard
    }
}
