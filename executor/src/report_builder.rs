//! Builds a worker's [`Report`]s from its shares and hash counts.

use std::collections::VecDeque;
use std::time::Duration;

use stratum::Reason;
use task::{Account, Report, ShareRow, Totals, Verdict};

/// Maximum number of shares that one report lists if reports are sent at least once a minute. At longer intervals, the maximum is
/// proportionally larger. A row takes some 60 bytes.
pub const MAX_ROWS: usize = 128;
/// Maximum number of shares that one report lists, however long the interval between reports is.
const ROWS_LIMIT: usize = 1024;

/// A share of this miner, with its verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct MinedShare {
    /// The share and its verdict.
    pub row: ShareRow,
    /// The expected number of hashes for a share, computed from the target of the job.
    pub work: u128,
    /// Whether the hash also met the network's target.
    pub candidate: bool,
}

impl MinedShare {
    /// Whether the pool has answered the share. `reason` is its reason if it rejected the share.
    pub fn is_answered(&self, reason: Option<&Reason>) -> bool {
        self.row.verdict == Verdict::Accepted || reason.is_some()
    }
}

/// The account of one worker since the start of its task.
#[derive(Clone, Debug)]
pub struct ReportBuilder {
    worker: String,
    totals: Totals,
    rows: VecDeque<ShareRow>,
    max_rows: usize,
    rows_omitted: u64,
    sequence: u64,
    reported: Option<Totals>,
}

impl ReportBuilder {
    /// An empty account of this worker.
    pub fn new(worker: impl Into<String>) -> Self {
        ReportBuilder {
            worker: worker.into(),
            totals: Totals::default(),
            rows: VecDeque::new(),
            max_rows: MAX_ROWS,
            rows_omitted: 0,
            sequence: 0,
            reported: None,
        }
    }

    /// Sets the interval of the reports. With a longer interval, each report may have more rows.
    pub fn set_interval(&mut self, interval: Duration) {
        let minutes = interval.as_secs_f64() / 60.0;
        self.max_rows = ((MAX_ROWS as f64 * minutes) as usize).clamp(MAX_ROWS, ROWS_LIMIT);
        let excess = self.rows.len().saturating_sub(self.max_rows);
        self.rows.drain(..excess);
        self.rows_omitted += excess as u64;
    }

    /// Counts a share. A candidate counts only if the pool accepted the share. Whether it became a block, the pool does not say.
    pub fn count(&mut self, share: MinedShare) {
        let verdict = share.row.verdict;
        self.totals.count(verdict, share.work);
        if share.candidate && verdict == Verdict::Accepted {
            self.totals.candidates += 1;
        }
        if self.rows.len() == self.max_rows {
            self.rows.pop_front();
            self.rows_omitted += 1;
        }
        self.rows.push_back(share.row);
    }

    /// The totals so far. `hashes` is the number of hashes that the engine has computed.
    pub fn totals(&self, hashes: u128) -> Totals {
        Totals { hashes, ..self.totals }
    }

    /// Whether the totals have changed since the last report.
    pub fn changed(&self, hashes: u128) -> bool {
        self.reported != Some(self.totals(hashes))
    }

    /// Builds the next report, with the rows since the last report.
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

    fn share(nonce: u32, verdict: Verdict, candidate: bool) -> MinedShare {
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
        MinedShare { row, work: 1 << 32, candidate }
    }

    #[test]
    fn totals_are_exact_whatever_is_reported() {
        let mut builder = ReportBuilder::new("w");
        builder.count(share(1, Verdict::Accepted, false));
        builder.count(share(2, Verdict::Accepted, true));
        let first = builder.report(100);
        builder.count(share(3, Verdict::Rejected(23), false));
        builder.count(share(4, Verdict::Stale, true));
        builder.count(share(5, Verdict::Unanswered, false));
        let second = builder.report(300);
        assert_eq!((first.sequence, second.sequence), (1, 2));
        let [account] = &second.accounts[..] else { panic!("one account") };
        let expected = Totals {
            hashes: 300,
            accepted_work: 2 << 32,
            accepted: 2,
            rejected: 1,
            stale: 1,
            unanswered: 1,
            blocks: 0,
            candidates: 1,
            orphaned: 0,
        };
        assert_eq!(account.totals, expected);
        assert_eq!(account.rows.iter().map(|row| row.nonce).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(account.rows_omitted, 0);
    }

    #[test]
    fn a_candidate_counts_only_if_its_share_is_accepted() {
        let mut builder = ReportBuilder::new("w");
        builder.count(share(1, Verdict::Rejected(20), true));
        assert_eq!(builder.totals(0).candidates, 0);
    }

    #[test]
    fn rows_are_bounded_and_omissions_pluralize() {
        let mut builder = ReportBuilder::new("w");
        for nonce in 0..MAX_ROWS as u32 + 5 {
            builder.count(share(nonce, Verdict::Accepted, false));
        }
        let report = builder.report(0);
        let [account] = &report.accounts[..] else { panic!("one account") };
        assert_eq!(account.rows.len(), MAX_ROWS);
        assert_eq!(account.rows.first().map(|row| row.nonce), Some(5));
        assert_eq!(account.rows_omitted, 5);
        assert_eq!(account.totals.accepted, MAX_ROWS as u64 + 5);
    }

    #[test]
    fn reports_at_long_intervals_have_more_rows() {
        let mut builder = ReportBuilder::new("w");
        let mut next = 0;
        let mut count = |builder: &mut ReportBuilder, shares: u32| {
            (next..next + shares).for_each(|nonce| builder.count(share(nonce, Verdict::Accepted, false)));
            next += shares;
        };
        builder.set_interval(Duration::from_secs(250));
        count(&mut builder, 250);
        let account = builder.report(0).accounts.remove(0);
        assert_eq!((account.rows.len(), account.rows_omitted), (250, 0), "a share a second");
        // After a change to a shorter interval, the builder holds more rows than a report may have: the newest rows stay, and
        // the others are counted as omitted.
        count(&mut builder, 250);
        builder.set_interval(Duration::from_secs(1));
        count(&mut builder, 1);
        let account = builder.report(0).accounts.remove(0);
        assert_eq!((account.rows.len(), account.rows_omitted), (MAX_ROWS, 251 - MAX_ROWS as u64));
        assert_eq!(account.rows.last().map(|row| row.nonce), Some(500));
        assert_eq!(account.totals.accepted, 501);
        // However long the interval is, a report is small enough for a status update.
        builder.set_interval(Duration::from_secs(1_000_000));
        count(&mut builder, 2000);
        assert_eq!(builder.report(0).accounts[0].rows.len(), ROWS_LIMIT);
    }

    #[test]
    fn an_unchanged_account_needs_no_report() {
        let mut builder = ReportBuilder::new("w");
        assert!(builder.changed(0), "the first report says that there is a task");
        builder.report(0);
        assert!(!builder.changed(0));
        assert!(builder.changed(1));
        builder.report(1);
        builder.count(share(1, Verdict::Stale, false));
        assert!(builder.changed(1));
    }
}
