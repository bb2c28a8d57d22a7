//! What each worker has done: exact totals, and a bounded number of single shares.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use task::{Account, ShareRow, Totals, Verdict};

use crate::meter::Meter;

/// Rows kept per worker between two reports.
const MAX_ROWS_PER_WORKER: usize = 128;
/// Rows kept in all between two reports.
const MAX_ROWS: usize = 8_192;
/// Workers with an account of their own.
const MAX_WORKERS: usize = 65_536;
/// The account of all further workers: names come from peers, and may not take all memory.
const OVERFLOW: &str = "(others)";
/// Seconds after which a share weighs 1/e in a worker's hashrate.
const METER_MEMORY: f64 = 120.0;

/// A judged share on its way into an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The worker's name.
    pub worker: Arc<str>,
    /// The share and its verdict.
    pub row: ShareRow,
    /// Its expected hashes, if it was accepted.
    pub work: u128,
    /// Whether it makes a block, so that its row is kept. The block itself is counted when the chain has it.
    pub block: bool,
}

#[derive(Debug)]
struct Entry {
    meter: Meter,
    totals: Totals,
    rows: Vec<ShareRow>,
    rows_omitted: u64,
    changed: bool,
}

impl Entry {
    fn new(now: Instant) -> Entry {
        let meter = Meter::new(METER_MEMORY, now);
        Entry { meter, totals: Totals::default(), rows: Vec::new(), rows_omitted: 0, changed: false }
    }
}

/// A worker at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSummary {
    /// The worker's name.
    pub worker: Arc<str>,
    /// Sums since the pool started.
    pub totals: Totals,
    /// H/s, estimated from its shares of the last minutes.
    pub hashrate: f64,
}

/// The accounts of all workers since the pool started. They outlive connections.
#[derive(Debug)]
pub struct Accounts {
    entries: HashMap<Arc<str>, Entry>,
    overflow: Arc<str>,
    rows: usize,
}

impl Default for Accounts {
    fn default() -> Accounts {
        Accounts { entries: HashMap::new(), overflow: OVERFLOW.into(), rows: 0 }
    }
}

impl Accounts {
    /// Counts a share, whatever its verdict.
    pub fn count(&mut self, judged: Judged, now: Instant) {
        let Judged { worker, row, work, block } = judged;
        let full = self.entries.len() >= MAX_WORKERS && !self.entries.contains_key(&worker);
        let entry = self.entries.entry(if full { self.overflow.clone() } else { worker });
        let entry = entry.or_insert_with(|| Entry::new(now));
        entry.changed = true;
        if row.verdict == Verdict::Accepted {
            entry.meter.add(work as f64, now);
        }
        entry.totals.count(row.verdict, work);
        if entry.rows.len() < MAX_ROWS_PER_WORKER && self.rows < MAX_ROWS {
            entry.rows.push(row);
            self.rows += 1;
        } else {
            entry.rows_omitted += 1;
            // A block's row is worth more than any other.
            if block && let Some(last) = entry.rows.last_mut() {
                *last = row;
            }
        }
    }

    /// Counts a block of a worker.
    pub fn count_block(&mut self, worker: &Arc<str>, now: Instant) {
        let name = if self.entries.contains_key(worker) { worker } else { &self.overflow };
        let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry::new(now));
        entry.changed = true;
        entry.totals.blocks += 1;
    }

    /// Takes the accounts that changed since they were last taken, with the rows since then, by name.
    pub fn take_changed(&mut self) -> Vec<Account> {
        self.take(|entry| entry.changed)
    }

    /// Takes all accounts, with the rows since they were last taken, by name.
    pub fn take_all(&mut self) -> Vec<Account> {
        self.take(|_| true)
    }

    fn take(&mut self, wanted: fn(&Entry) -> bool) -> Vec<Account> {
        self.rows = 0;
        let mut accounts: Vec<Account> = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| wanted(entry))
            .map(|(worker, entry)| {
                entry.changed = false;
                Account {
                    worker: worker.to_string(),
                    totals: entry.totals,
                    rows: std::mem::take(&mut entry.rows),
                    rows_omitted: entry.rows_omitted,
                }
            })
            .collect();
        accounts.sort_by(|a, b| a.worker.cmp(&b.worker));
        accounts
    }

    /// All workers, by name.
    pub fn summary(&self, now: Instant) -> Vec<WorkerSummary> {
        let mut workers: Vec<_> = self
            .entries
            .iter()
            .map(|(worker, entry)| WorkerSummary {
                worker: worker.clone(),
                totals: entry.totals,
                hashrate: entry.meter.hashrate(now),
            })
            .collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        workers
    }
}

/// The verdict as accounts know it.
pub fn ledger_verdict(verdict: &stratum::Verdict) -> Verdict {
    match verdict {
        stratum::Verdict::Accepted => Verdict::Accepted,
        // By the code alone, as the worker's own account has it.
        stratum::Verdict::Rejected(reason) if reason.is_stale() => Verdict::Stale,
        stratum::Verdict::Rejected(reason) => Verdict::Rejected(reason.code),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn judged(worker: &str, nonce: u32, verdict: Verdict) -> Judged {
        let row = ShareRow {
            job: "1".into(),
            extranonce2: vec![0; 8],
            ntime: 1,
            version: 0x2000_0000,
            nonce,
            difficulty: 1.0,
            verdict,
            round_trip: Duration::ZERO,
        };
        Judged { worker: worker.into(), row, work: 1_000, block: false }
    }

    #[test]
    fn totals_are_exact_and_rows_bounded() {
        let mut accounts = Accounts::default();
        let many = 3 * MAX_ROWS_PER_WORKER as u32;
        for nonce in 0..many {
            accounts.count(judged("a", nonce, Verdict::Accepted), Instant::now());
        }
        accounts.count(judged("b", 0, Verdict::Rejected(23)), Instant::now());
        accounts.count(judged("b", 0, Verdict::Stale), Instant::now());
        let taken = accounts.take_changed();
        assert_eq!(taken.iter().map(|a| a.worker.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            (taken[0].totals.accepted, taken[0].totals.accepted_work),
            (many.into(), u128::from(many) * 1_000)
        );
        assert_eq!(taken[0].rows.len(), MAX_ROWS_PER_WORKER);
        assert_eq!(taken[0].rows_omitted, u64::from(many) - MAX_ROWS_PER_WORKER as u64);
        assert_eq!(
            (taken[1].totals.rejected, taken[1].totals.stale, taken[1].totals.accepted_work),
            (1, 1, 0)
        );

        assert_eq!(accounts.take_changed(), []);
        accounts.count(judged("a", 0, Verdict::Accepted), Instant::now());
        let taken = accounts.take_changed();
        assert_eq!((taken.len(), taken[0].rows.len(), taken[0].totals.accepted), (1, 1, u64::from(many) + 1));
        assert_eq!(taken[0].rows_omitted, u64::from(many) - MAX_ROWS_PER_WORKER as u64);
        assert_eq!(accounts.take_all().len(), 2);
    }

    #[test]
    fn rows_are_bounded_over_all_workers() {
        let mut accounts = Accounts::default();
        let workers = MAX_ROWS / MAX_ROWS_PER_WORKER + 10;
        for worker in 0..workers {
            for nonce in 0..MAX_ROWS_PER_WORKER as u32 {
                accounts.count(judged(&worker.to_string(), nonce, Verdict::Accepted), Instant::now());
            }
        }
        let taken = accounts.take_changed();
        assert_eq!(taken.iter().map(|a| a.rows.len()).sum::<usize>(), MAX_ROWS);
        assert_eq!(taken.iter().map(|a| a.rows_omitted).sum::<u64>() as usize, 10 * MAX_ROWS_PER_WORKER);
        assert_eq!(
            taken.iter().map(|a| a.totals.accepted).sum::<u64>() as usize,
            workers * MAX_ROWS_PER_WORKER
        );
    }

    #[test]
    fn a_block_keeps_its_row() {
        let mut accounts = Accounts::default();
        for nonce in 0..MAX_ROWS_PER_WORKER as u32 {
            accounts.count(judged("a", nonce, Verdict::Accepted), Instant::now());
        }
        accounts.count(Judged { block: true, ..judged("a", 777_777, Verdict::Accepted) }, Instant::now());
        accounts.count_block(&"a".into(), Instant::now());
        let account = accounts.take_changed().remove(0);
        assert_eq!(account.rows.last().map(|row| row.nonce), Some(777_777));
        assert_eq!((account.rows_omitted, account.totals.blocks), (1, 1));
    }

    #[test]
    fn names_without_end_share_an_account() {
        let mut accounts = Accounts::default();
        for name in 0..MAX_WORKERS + 5 {
            accounts.count(judged(&name.to_string(), 0, Verdict::Accepted), Instant::now());
        }
        let workers = accounts.summary(Instant::now());
        assert_eq!(workers.len(), MAX_WORKERS + 1);
        assert_eq!(workers.iter().find(|w| &*w.worker == OVERFLOW).map(|w| w.totals.accepted), Some(5));
        // Those that came first go on as before.
        accounts.count(judged("0", 1, Verdict::Accepted), Instant::now());
        assert_eq!(accounts.summary(Instant::now())[1].totals.accepted, 2);
    }
}
