//! How one connection behaves: its accepted and rejected shares.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A connection is healthy for this long after an accepted share.
pub(super) const HEALTHY_FOR: Duration = Duration::from_secs(600);
/// While its address is banned, a connection that has no accepted share ends after this number of rejected shares. A healthy miner
/// that reconnects may have a few, such as duplicates.
pub(super) const PROBATION: u32 = 10;

/// The shares of one connection, as far as they matter for bans.
#[derive(Debug)]
pub struct Conduct {
    /// Distinguishes the connections of one address.
    pub(super) connection: u64,
    accepted: u32,
    rejected: u32,
    last_accepted: Option<Instant>,
}

impl Default for Conduct {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let connection = NEXT.fetch_add(1, Ordering::Relaxed);
        Conduct { connection, accepted: 0, rejected: 0, last_accepted: None }
    }
}

impl Conduct {
    /// Counts a share. Returns whether the connection is bad: of its last `shares` shares, at least `percent` percent were rejected.
    pub(super) fn count(&mut self, accepted: bool, shares: u32, percent: u32, now: Instant) -> bool {
        match accepted {
            true => (self.accepted, self.last_accepted) = (self.accepted + 1, Some(now)),
            false => self.rejected += 1,
        }
        if self.accepted + self.rejected < shares {
            return false;
        }
        let bad = mostly_rejected(self.rejected, shares, percent);
        (self.accepted, self.rejected) = (0, 0);
        if bad {
            self.last_accepted = None;
        }
        bad
    }

    /// Whether the connection had an accepted share lately, and is not on its way to become bad.
    pub(super) fn is_healthy(&self, now: Instant) -> bool {
        self.accepted >= self.rejected && self.last_accepted.is_some_and(|at| now < at + HEALTHY_FOR)
    }

    /// Whether a connection of a banned address has used up its patience.
    pub(super) fn failed_probation(&self, now: Instant) -> bool {
        self.rejected >= PROBATION && !self.is_healthy(now)
    }
}

/// Whether at least `percent` percent of `shares` shares were rejected.
pub(super) fn mostly_rejected(rejected: u32, shares: u32, percent: u32) -> bool {
    u64::from(rejected) * 100 >= u64::from(shares) * u64::from(percent)
}
