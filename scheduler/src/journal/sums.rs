//! The totals of workers and those of the pool, and sums of totals from which each part can be subtracted again.
//!
//! Peers can report any numbers. A saturated sum could not be corrected by the next report. So these sums are wide enough for any
//! reports, and are capped only when they are read.

use std::ops::{AddAssign, SubAssign};

use task::Totals;

/// The totals of one worker or of several, counted twice: by the workers themselves and by the pool servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerLine {
    /// The totals as counted by the workers themselves.
    pub worker: Totals,
    /// The totals as counted by the pool servers. If several servers have counted shares of a worker, their counts are added.
    pub pool: Totals,
}

impl LedgerLine {
    /// Blocks that a node has accepted, as the pool server counts them. Of a worker at an external pool only its candidates are
    /// known, so they are returned instead, because nobody tells which of them became blocks.
    pub fn blocks(&self) -> u64 {
        if self.pool == Totals::default() { worker_candidates(&self.worker) } else { self.pool.blocks }
    }

    /// Candidates: accepted shares that met the network's target. Pool servers of earlier versions do not count them.
    pub fn candidates(&self) -> u64 {
        self.pool.candidates.max(worker_candidates(&self.worker))
    }
}

/// The candidates in totals that a worker has counted. Workers of earlier versions called them blocks, and workers of this
/// version count no blocks.
pub fn worker_candidates(totals: &Totals) -> u64 {
    totals.candidates.saturating_add(totals.blocks)
}

/// A sum of 128-bit numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct WideSum {
    low: u128,
    /// How many times `low` has overflowed: the sum is `high` × 2^128 + `low`.
    high: u64,
}

impl WideSum {
    fn add(&mut self, other: WideSum) {
        let (low, overflow) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high = self.high.wrapping_add(other.high).wrapping_add(overflow.into());
    }

    fn subtract(&mut self, other: WideSum) {
        let (low, overflow) = self.low.overflowing_sub(other.low);
        self.low = low;
        self.high = self.high.wrapping_sub(other.high).wrapping_sub(overflow.into());
    }

    /// The sum, or the highest number that fits.
    fn capped(self) -> u128 {
        if self.high == 0 { self.low } else { u128::MAX }
    }
}

/// The number, capped at the highest 64-bit number.
pub(super) fn capped(number: u128) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

/// A sum of [`Totals`], field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TotalsSum([WideSum; 9]);

impl TotalsSum {
    /// The totals, each capped at the highest number of its type.
    pub fn totals(&self) -> Totals {
        let [hashes, accepted_work, counts @ ..] = self.0.map(WideSum::capped);
        let [accepted, rejected, stale, unanswered, blocks, candidates, orphaned] = counts.map(capped);
        Totals { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks, candidates, orphaned }
    }
}

impl From<&Totals> for TotalsSum {
    fn from(totals: &Totals) -> Self {
        let Totals {
            hashes,
            accepted_work,
            accepted,
            rejected,
            stale,
            unanswered,
            blocks,
            candidates,
            orphaned,
        } = *totals;
        let counts = [accepted, rejected, stale, unanswered, blocks, candidates, orphaned];
        let [a, b, c, d, e, f, g] = counts.map(u128::from);
        let numbers = [hashes, accepted_work, a, b, c, d, e, f, g];
        Self(numbers.map(|low| WideSum { low, high: 0 }))
    }
}

impl AddAssign<&Totals> for TotalsSum {
    fn add_assign(&mut self, totals: &Totals) {
        *self += &TotalsSum::from(totals);
    }
}

impl SubAssign<&Totals> for TotalsSum {
    fn sub_assign(&mut self, totals: &Totals) {
        let other = TotalsSum::from(totals);
        self.0.iter_mut().zip(other.0).for_each(|(sum, number)| sum.subtract(number));
    }
}

impl AddAssign<&TotalsSum> for TotalsSum {
    fn add_assign(&mut self, other: &TotalsSum) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, number)| sum.add(number));
    }
}

/// The sums of the workers' totals and of the pool servers'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LedgerSum {
    pub worker: TotalsSum,
    pub pool: TotalsSum,
}

impl LedgerSum {
    /// The sums, each capped at the highest number that can be stored.
    pub fn line(&self) -> LedgerLine {
        LedgerLine { worker: self.worker.totals(), pool: self.pool.totals() }
    }
}

impl AddAssign<&LedgerSum> for LedgerSum {
    fn add_assign(&mut self, other: &LedgerSum) {
        self.worker += &other.worker;
        self.pool += &other.pool;
    }
}
