//! The accounts: what every worker did, as it counts itself and as the pool server counts it.
//!
//! Reports carry totals since the start of the reporting task and a sequence number. An account keeps the totals
//! of the highest sequence number seen, so that repeating, reordering or skipping reports changes no sum.

use std::collections::{BTreeMap, BTreeSet};

use task::{Report, Totals};

use crate::kind::Kind;

/// So many workers that are no tasks keep an account of their own with a server that has ended: whoever reaches the
/// Stratum port chooses names at will.
pub const OUTSIDERS: usize = 100;
/// Under this name all others are booked; the pool server, whose names are bounded too, calls them the same.
pub const OTHERS: &str = "(others)";

/// One reporter's account of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Sequence number of the report that the totals come from.
    pub sequence: u64,
    /// Sums since the start of the reporting task.
    pub totals: Totals,
    /// Rows of single shares that the reporter left out.
    pub rows_omitted: u64,
}

/// One worker's line: both accounts side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// As the worker counts.
    pub worker: Totals,
    /// As the pool servers count, all that it has worked for added up.
    pub pool: Totals,
}

impl Line {
    /// Blocks found. The pool alone knows what became of them: on a real chain, not every share that is good enough
    /// for a block becomes part of it. Only of a worker of whom it says nothing, as at a pool that is not ours, the own
    /// count stands in.
    pub fn blocks(&self) -> u64 {
        if self.pool == Totals::default() { self.worker.blocks } else { self.pool.blocks }
    }
}

/// All accounts of one framework.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// By reporting task, then by worker. A worker reports under its own task id.
    entries: BTreeMap<(String, String), (Kind, Entry)>,
    /// The sum of what is no longer kept apart.
    folded: Line,
    folded_blocks: u64,
}

impl Ledger {
    /// Takes a report in; whether it told anything new.
    pub fn record(&mut self, task: &str, kind: Kind, report: &Report) -> bool {
        let mut news = false;
        for (worker, entry) in entries(task, kind, report) {
            news |= self.insert(task, worker, kind, entry);
        }
        news
    }

    /// Sets one account unless a later report is already in; whether it was set.
    pub fn insert(&mut self, task: &str, worker: &str, kind: Kind, entry: Entry) -> bool {
        let key = (task.to_owned(), worker.to_owned());
        match self.entries.get_mut(&key) {
            Some((_, known)) if known.sequence >= entry.sequence => false,
            Some((_, known)) => {
                *known = entry;
                true
            }
            None => {
                self.entries.insert(key, (kind, entry));
                true
            }
        }
    }

    /// One reporter's account of one worker.
    pub fn entry(&self, task: &str, worker: &str) -> Option<&Entry> {
        self.entries.get(&(task.to_owned(), worker.to_owned())).map(|(_, entry)| entry)
    }

    /// All accounts: reporting task, worker, the reporter's kind, account.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Kind, &Entry)> {
        self.entries
            .iter()
            .map(|((task, worker), (kind, entry))| (task.as_str(), worker.as_str(), *kind, entry))
    }

    /// The workers of whom this task has an account.
    pub fn workers_of(&self, task: &str) -> impl Iterator<Item = &str> {
        let all = self.entries.range((task.to_owned(), String::new())..);
        all.take_while(move |((reporter, _), _)| reporter == task).map(|((_, worker), _)| worker.as_str())
    }

    /// What is no longer kept apart: both columns, and the blocks.
    pub fn folded(&self) -> (Line, u64) {
        (self.folded, self.folded_blocks)
    }

    /// Adds to what is no longer kept apart.
    pub fn add_folded(&mut self, line: Line, blocks: u64) {
        self.folded.worker += line.worker;
        self.folded.pool += line.pool;
        self.folded_blocks = self.folded_blocks.saturating_add(blocks);
    }

    /// Keeps only sums of workers that neither are tasks of interest nor have accounts with one.
    pub fn fold(&mut self, of_interest: impl Fn(&str) -> bool) {
        let kept = self.entries.keys().filter(|(task, worker)| of_interest(task) || of_interest(worker));
        let kept: BTreeSet<String> = kept.map(|(_, worker)| worker.clone()).collect();
        let (entries, gone) =
            std::mem::take(&mut self.entries).into_iter().partition(|((_, worker), _)| kept.contains(worker));
        let gone = Ledger { entries: gone, ..Ledger::default() };
        self.entries = entries;
        let (sum, blocks) = gone.sum();
        self.add_folded(sum, blocks);
    }

    /// Both columns of every worker that is kept apart, by its name.
    pub fn lines(&self) -> BTreeMap<&str, Line> {
        let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
        for ((_, worker), (kind, entry)) in &self.entries {
            let line = lines.entry(worker).or_default();
            match kind {
                Kind::Worker => line.worker += entry.totals,
                Kind::Server => line.pool += entry.totals,
            }
        }
        lines
    }

    /// The sum of all lines, and the blocks of all of them.
    pub fn sum(&self) -> (Line, u64) {
        let mut sum = self.folded;
        let mut blocks = self.folded_blocks;
        for line in self.lines().values() {
            sum.worker += line.worker;
            sum.pool += line.pool;
            blocks = blocks.saturating_add(line.blocks());
        }
        (sum, blocks)
    }
}

/// The accounts of a report, each with the name it is booked under: a worker can speak for itself alone.
pub(crate) fn entries<'a>(
    task: &'a str,
    kind: Kind,
    report: &'a Report,
) -> impl Iterator<Item = (&'a str, Entry)> {
    report.accounts.iter().map(move |account| {
        let worker = match kind {
            Kind::Worker => task,
            Kind::Server => account.worker.as_str(),
        };
        let (totals, rows_omitted) = (account.totals, account.rows_omitted);
        (worker, Entry { sequence: report.sequence, totals, rows_omitted })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use task::Account;

    use super::*;

    fn report(sequence: u64, accounts: &[(&str, u64, u64)]) -> Report {
        let account = |&(worker, accepted, blocks): &(&str, u64, u64)| Account {
            worker: worker.into(),
            totals: Totals { accepted, blocks, ..Totals::default() },
            ..Account::default()
        };
        Report { sequence, accounts: accounts.iter().map(account).collect(), server: None }
    }

    #[test]
    fn repeated_and_late_reports_change_nothing() {
        let mut ledger = Ledger::default();
        assert!(ledger.record("w", Kind::Worker, &report(1, &[("w", 3, 0)])));
        assert!(ledger.record("w", Kind::Worker, &report(4, &[("w", 9, 1)])));
        assert!(!ledger.record("w", Kind::Worker, &report(4, &[("w", 9, 1)])));
        assert!(!ledger.record("w", Kind::Worker, &report(2, &[("w", 5, 0)])));
        assert_eq!(ledger.sum().0.worker.accepted, 9);
    }

    #[test]
    fn a_late_report_still_brings_accounts_that_later_ones_left_out() {
        let mut ledger = Ledger::default();
        ledger.record("s", Kind::Server, &report(3, &[("a", 5, 0)]));
        assert!(ledger.record("s", Kind::Server, &report(2, &[("a", 4, 0), ("b", 7, 0)])));
        assert_eq!(ledger.sum().0.pool.accepted, 12);
    }

    #[test]
    fn a_block_that_both_report_counts_once() {
        let mut ledger = Ledger::default();
        ledger.record("w", Kind::Worker, &report(1, &[("w", 9, 2)]));
        ledger.record("s", Kind::Server, &report(1, &[("w", 9, 2)]));
        ledger.record("s2", Kind::Server, &report(1, &[("w", 1, 1)]));
        ledger.record("v", Kind::Worker, &report(1, &[("v", 1, 1)]));
        assert_eq!(ledger.sum().1, 4);
    }

    #[test]
    fn a_worker_speaks_for_itself_alone() {
        let mut ledger = Ledger::default();
        ledger.record("w", Kind::Worker, &report(1, &[("somebody else", 9, 0)]));
        assert_eq!(ledger.lines().keys().copied().collect::<Vec<_>>(), ["w"]);
    }

    proptest! {
        /// Folding changes no sum, and forgets nobody of interest.
        #[test]
        fn folding_keeps_the_sums(
            reports in prop::collection::vec((0..4usize, 0..4usize, 1..4u64, 0..50u64, 0..3u64), 0..30),
            living in prop::collection::btree_set(0..4usize, 0..4),
        ) {
            let names = ["s1", "s2", "w1", "w2"];
            let mut ledger = Ledger::default();
            for (reporter, worker, sequence, accepted, blocks) in reports {
                let kind = if reporter < 2 { Kind::Server } else { Kind::Worker };
                ledger.record(names[reporter], kind, &report(sequence, &[(names[worker], accepted, blocks)]));
            }
            let (before, lives) = (ledger.clone(), |task: &str| living.iter().any(|i| names[*i] == task));
            ledger.fold(lives);
            prop_assert_eq!(ledger.sum(), before.sum());
            for (task, worker, _, entry) in before.iter().filter(|(task, worker, ..)| lives(task) || lives(worker)) {
                prop_assert_eq!(ledger.entry(task, worker), Some(entry));
            }
            ledger.fold(|_| false);
            prop_assert_eq!(ledger.sum(), before.sum());
            prop_assert_eq!(ledger.iter().count(), 0);
        }

        /// Whatever order reports come in and however often, the sums are those of the last one.
        #[test]
        fn sums_are_exact(steps in prop::collection::vec((0u64..5, 0u64..3), 1..20), order in prop::collection::vec(any::<prop::sample::Index>(), 0..60)) {
            let mut reports = Vec::new();
            let (mut accepted, mut blocks) = (0, 0);
            for (i, (shares, found)) in steps.iter().enumerate() {
                accepted += shares;
                blocks += found;
                reports.push(report(i as u64 + 1, &[("w", accepted, blocks)]));
            }
            let mut ledger = Ledger::default();
            for index in order {
                ledger.record("w", Kind::Worker, index.get(&reports));
            }
            ledger.record("w", Kind::Worker, reports.last().unwrap());
            prop_assert_eq!(ledger.sum().0.worker.accepted, accepted);
            prop_assert_eq!(ledger.sum().1, blocks);
        }
    }
}
