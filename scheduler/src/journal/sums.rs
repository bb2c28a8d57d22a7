//! Sums from which everything can be taken out again, whatever was put in.
//!
//! Peers choose the numbers that they report. A sum that stops at the highest number could not be corrected by the next
//! report, so these have room for all that comes, and stop only where they are shown.

use std::ops::{AddAssign, SubAssign};

use task::Totals;

use super::ledger::Line;

/// A sum of numbers of 128 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct WideSum {
    low: u128,
    /// How often `low` has gone over its end.
    high: u64,
}

impl WideSum {
    fn add(&mut self, number: u128) {
        let (low, over) = self.low.overflowing_add(number);
        self.low = low;
        self.high = self.high.wrapping_add(over.into());
    }

    fn subtract(&mut self, number: u128) {
        let (low, over) = self.low.overflowing_sub(number);
        self.low = low;
        self.high = self.high.wrapping_sub(over.into());
    }

    fn shown(self) -> u128 {
        if self.high == 0 { self.low } else { u128::MAX }
    }
}

/// A sum of [`Totals`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TotalsSum {
    hashes: WideSum,
    accepted_work: WideSum,
    accepted: u128,
    rejected: u128,
    stale: u128,
    unanswered: u128,
    blocks: u128,
}

impl TotalsSum {
    /// As it is shown.
    pub fn totals(&self) -> Totals {
        Totals {
            hashes: self.hashes.shown(),
            accepted_work: self.accepted_work.shown(),
            accepted: shown(self.accepted),
            rejected: shown(self.rejected),
            stale: shown(self.stale),
            unanswered: shown(self.unanswered),
            blocks: shown(self.blocks),
        }
    }
}

impl AddAssign<&Totals> for TotalsSum {
    fn add_assign(&mut self, totals: &Totals) {
        self.hashes.add(totals.hashes);
        self.accepted_work.add(totals.accepted_work);
        self.accepted += u128::from(totals.accepted);
        self.rejected += u128::from(totals.rejected);
        self.stale += u128::from(totals.stale);
        self.unanswered += u128::from(totals.unanswered);
        self.blocks += u128::from(totals.blocks);
    }
}

impl SubAssign<&Totals> for TotalsSum {
    fn sub_assign(&mut self, totals: &Totals) {
        self.hashes.subtract(totals.hashes);
        self.accepted_work.subtract(totals.accepted_work);
        self.accepted -= u128::from(totals.accepted);
        self.rejected -= u128::from(totals.rejected);
        self.stale -= u128::from(totals.stale);
        self.unanswered -= u128::from(totals.unanswered);
        self.blocks -= u128::from(totals.blocks);
    }
}

impl AddAssign<&TotalsSum> for TotalsSum {
    fn add_assign(&mut self, other: &TotalsSum) {
        self.hashes.add(other.hashes.low);
        self.hashes.high = self.hashes.high.wrapping_add(other.hashes.high);
        self.accepted_work.add(other.accepted_work.low);
        self.accepted_work.high = self.accepted_work.high.wrapping_add(other.accepted_work.high);
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.stale += other.stale;
        self.unanswered += other.unanswered;
        self.blocks += other.blocks;
    }
}

/// Both columns of a line, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LineSum {
    pub worker: TotalsSum,
    pub pool: TotalsSum,
}

impl LineSum {
    /// As it is shown.
    pub fn line(&self) -> Line {
        Line { worker: self.worker.totals(), pool: self.pool.totals() }
    }
}

impl AddAssign<&LineSum> for LineSum {
    fn add_assign(&mut self, other: &LineSum) {
        self.worker += &other.worker;
        self.pool += &other.pool;
    }
}

/// A sum of counts as it is shown.
pub(super) fn shown(sum: u128) -> u64 {
    sum.try_into().unwrap_or(u64::MAX)
}
