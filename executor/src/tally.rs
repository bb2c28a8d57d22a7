//! What a worker has done: from shares and hash counts to [`Report`]s.

use std::collections::VecDeque;
use std::time::Duration;

use task::{Account, Report, ShareRow, Totals, Verdict};

/// Rows that one report carries at most, if reports come at least each minute; a row takes some 60 bytes.
pub const MAX_ROWS: usize = 128;
/// Rows that one report carries at most, however seldom reports come.
const MOST_ROWS: usize = 1024;

/// A share whose fate is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The share.
    pub row: ShareRow,
    /// Its expected number of hashes, by the target in force for its job.
    pub work: u128,
    /// Whether its digest also met the network's target.
    pub block: bool,
}

/// The account of one worker since the start of its task.
#[derive(Clone, Debug)]
pub struct Tally {
    worker: String,
    totals: Totals,
    rows: VecDeque<ShareRow>,
    max_rows: usize,
    rows_omitted: u64,
    sequence: u64,
    reported: Option<Totals>,
}

impl Tally {
    /// An empty account.
    pub fn new(worker: impl Into<String>) -> Tally {
        Tally {
            worker: worker.into(),
            totals: Totals::default(),
            rows: VecDeque::new(),
            max_rows: MAX_ROWS,
            rows_omitted: 0,
            sequence: 0,
            reported: None,
        }
    }

    /// Reports come at this interval from now on: where they are few, each one has more rows, so that no fewer are told.
    pub fn set_interval(&mut self, interval: Duration) {
        let minutes = interval.as_secs_f64() / 60.0;
        self.max_rows = ((MAX_ROWS as f64 * minutes) as usize).clamp(MAX_ROWS, MOST_ROWS);
        let excess = self.rows.len().saturating_sub(self.max_rows);
        self.rows.drain(..excess);
        self.rows_omitted += excess as u64;
    }

    /// Counts a share. A block counts when the pool took it.
    pub fn count(&mut self, outcome: Outcome) {
        let verdict = outcome.row.verdict;
        self.totals.count(verdict, outcome.work);
        if outcome.block && verdict == Verdict::Accepted {
            self.totals.blocks += 1;
        }
        if self.rows.len() == self.max_rows {
            self.rows.pop_front();
            self.rows_omitted += 1;
        }
        self.rows.push_back(outcome.row);
    }

    /// Sums so far, with the engine's count of hashes.
    pub fn totals(&self, hashes: u128) -> Totals {
        Totals { hashes, ..self.totals }
    }

    /// Whether a report would say anything that the last one did not.
    pub fn changed(&self, hashes: u128) -> bool {
        self.reported != Some(self.totals(hashes))
    }

    /// The next report. Its rows are not told again.
    pub fn report(&mut self, hashes: u128) -> Report {
        let totals = self.totals(hashes);
        self.sequence += 1;
        self.reported = Some(totals);
        let account = Account {
            worker: self.worker.clone(),
            totals,
            rows: self.rows.drain(..).collect(),
            rows_omitted: self.rows_omitted,
        };
        Report { sequence: self.sequence, accounts: vec![account], server: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(nonce: u32, verdict: Verdict, block: bool) -> Outcome {
        let row = ShareRow {
            job: "1".into(),
            extranonce2: vec![0; 4],
            ntime: 1,
            version: 2,
            nonce,
            difficulty: 1.0,
            verdict,
            round_trip: Duration::ZERO,
        };
        Outcome { row, work: 1 << 32, block }
    }

    #[test]
    fn totals_are_exact_whatever_is_reported() {
        let mut tally = Tally::new("w");
        tally.count(outcome(1, Verdict::Accepted, false));
        tally.count(outcome(2, Verdict::Accepted, true));
        let first = tally.report(100);
        tally.count(outcome(3, Verdict::Rejected(23), false));
        tally.count(outcome(4, Verdict::Stale, true));
        tally.count(outcome(5, Verdict::Unanswered, false));
        let second = tally.report(300);
        assert_eq!((first.sequence, second.sequence), (1, 2));
        let [account] = &second.accounts[..] else { panic!("one account") };
        let expected = Totals {
            hashes: 300,
            accepted_work: 2 << 32,
            accepted: 2,
            rejected: 1,
            stale: 1,
            unanswered: 1,
            blocks: 1,
        };
        assert_eq!(account.totals, expected);
        assert_eq!(account.rows.iter().map(|row| row.nonce).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(account.rows_omitted, 0);
    }

    #[test]
    fn a_block_that_is_not_accepted_is_none() {
        let mut tally = Tally::new("w");
        tally.count(outcome(1, Verdict::Rejected(20), true));
        assert_eq!(tally.totals(0).blocks, 0);
    }

    #[test]
    fn rows_are_bounded_and_omissions_counted() {
        let mut tally = Tally::new("w");
        for nonce in 0..MAX_ROWS as u32 + 5 {
            tally.count(outcome(nonce, Verdict::Accepted, false));
        }
        let report = tally.report(0);
        let [account] = &report.accounts[..] else { panic!("one account") };
        assert_eq!(account.rows.len(), MAX_ROWS);
        assert_eq!(account.rows.first().map(|row| row.nonce), Some(5));
        assert_eq!(account.rows_omitted, 5);
        assert_eq!(account.totals.accepted, MAX_ROWS as u64 + 5);
    }

    #[test]
    fn reports_that_come_seldom_have_more_rows() {
        let mut tally = Tally::new("w");
        let mut next = 0;
        let mut count = |tally: &mut Tally, shares: u32| {
            (next..next + shares).for_each(|nonce| tally.count(outcome(nonce, Verdict::Accepted, false)));
            next += shares;
        };
        tally.set_interval(Duration::from_secs(250));
        count(&mut tally, 250);
        let account = tally.report(0).accounts.remove(0);
        assert_eq!((account.rows.len(), account.rows_omitted), (250, 0), "a share a second");
        // A shorter interval, with more rows than one report has then: the newest are told, the others counted.
        count(&mut tally, 250);
        tally.set_interval(Duration::from_secs(1));
        count(&mut tally, 1);
        let account = tally.report(0).accounts.remove(0);
        assert_eq!((account.rows.len(), account.rows_omitted), (MAX_ROWS, 251 - MAX_ROWS as u64));
        assert_eq!(account.rows.last().map(|row| row.nonce), Some(500));
        assert_eq!(account.totals.accepted, 501);
        // Whatever is asked for, a report stays small enough for an update.
        tally.set_interval(Duration::from_secs(1_000_000));
        count(&mut tally, 2000);
        assert_eq!(tally.report(0).accounts[0].rows.len(), MOST_ROWS);
    }

    #[test]
    fn nothing_new_needs_no_report() {
        let mut tally = Tally::new("w");
        assert!(tally.changed(0), "the first report says that there is a task");
        tally.report(0);
        assert!(!tally.changed(0));
        assert!(tally.changed(1));
        tally.report(1);
        tally.count(outcome(1, Verdict::Stale, false));
        assert!(tally.changed(1));
    }
}
