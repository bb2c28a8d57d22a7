//! How one connection behaves: its accepted and rejected shares.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::BanRules;

/// A connection is healthy for this long after an accepted share.
pub(super) const HEALTHY_FOR: Duration = Duration::from_secs(600);
/// While its address is banned, a connection that has no accepted share ends after this number of rejected shares. A healthy miner
/// that reconnects may have a few, such as duplicates.
pub(super) const PROBATION: u32 = 10;

/// The shares since the last judgement.
#[derive(Debug, Default)]
pub(super) struct ShareWindow {
    accepted: u32,
    rejected: u32,
}

impl ShareWindow {
    /// Counts a share. Once there are as many as the rules want to judge, returns whether too many were rejected, and begins anew.
    pub fn count(&mut self, accepted: bool, rules: &BanRules) -> bool {
        match accepted {
            true => self.accepted += 1,
            false => self.rejected += 1,
        }
        if self.accepted + self.rejected < rules.shares {
            return false;
        }
        let ShareWindow { rejected, .. } = std::mem::take(self);
        u64::from(rejected) * 100 >= u64::from(rules.shares) * u64::from(rules.percent)
    }
}

/// The shares of one connection, as far as they matter for bans.
#[derive(Debug)]
pub struct Conduct {
    /// Distinguishes the connections of one address.
    pub(super) connection: u64,
    shares: ShareWindow,
    last_accepted: Option<Instant>,
}

impl Default for Conduct {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let connection = NEXT.fetch_add(1, Ordering::Relaxed);
        Conduct { connection, shares: ShareWindow::default(), last_accepted: None }
    }
}

impl Conduct {
    /// Counts a share. Returns whether the connection is bad.
    pub(super) fn count(&mut self, accepted: bool, rules: &BanRules, now: Instant) -> bool {
        if accepted {
            self.last_accepted = Some(now);
        }
        let bad = self.shares.count(accepted, rules);
        if bad {
            self.last_accepted = None;
        }
        bad
    }

    /// Whether the connection had an accepted share lately, and is not on its way to become bad.
    pub(super) fn is_healthy(&self, now: Instant) -> bool {
        self.shares.accepted >= self.shares.rejected
            && self.last_accepted.is_some_and(|at| now < at + HEALTHY_FOR)
    }

    /// Whether a connection of a banned address has used up its patience.
    pub(super) fn failed_probation(&self, now: Instant) -> bool {
        self.shares.rejected >= PROBATION && !self.is_healthy(now)
    }
}
