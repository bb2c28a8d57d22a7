//! The ledger: the work of each worker, as the worker itself reports it and as its pool server reports it.
//!
//! A report carries a sequence number and the totals since its task started. An account keeps the totals of the highest
//! sequence number, so that repeated, reordered or lost reports change no sum. All sums are kept up to date with each
//! change, so that reading them costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use task::{Report, Totals};

use super::sums::{LedgerLine, LedgerSum, TotalsSum, capped};
use crate::task_id::TaskKind;

/// When a server task has ended, at most this many of its miners that are not our tasks keep an account of their own. A limit is
/// needed, since anyone who can reach the Stratum port can choose any number of names.
pub const UNTRACKED_MINERS: usize = 100;
/// The name of the account with the sum of all miners that get no account of their own because of [`UNTRACKED_MINERS`]. The
/// pool server uses the same name.
pub const OTHERS: &str = "(others)";

/// The work that one task has counted for one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The sequence number of the report from which this entry comes.
    pub sequence: u64,
    /// What the reporting task has counted for the worker since the reporting task started.
    pub totals: Totals,
    /// The number of the worker's shares that the reports only counted and did not list one by one. These shares have no rows in
    /// the ledger.
    pub rows_omitted: u64,
}

impl Entry {
    /// Whether this entry comes from a later report than the known one.
    pub fn supersedes(&self, known: Option<&Entry>) -> bool {
        known.is_none_or(|known| known.sequence < self.sequence)
    }
}

/// An account with the names of the reporting task and of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// The id of the task that reports.
    pub reporter: &'a str,
    /// Whether the reporting task is a server or a worker.
    pub kind: TaskKind,
    /// The name of the worker whose work is counted.
    pub worker: &'a str,
    /// What the reporting task has counted for this worker.
    pub entry: Entry,
}

/// The work that the task `reporter` has counted for a worker.
#[derive(Clone, Debug)]
struct ReporterAccount {
    reporter: Arc<str>,
    kind: TaskKind,
    entry: Entry,
}

/// The accounts of one worker, sorted by the reporters' names. Most workers have two: their own and their server's. A vector
/// saves memory: with tens of thousands of workers, a map for each would take several times as much.
#[derive(Clone, Debug, Default)]
struct WorkerAccounts(Vec<ReporterAccount>);

impl WorkerAccounts {
    fn position(&self, reporter: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|account| (*account.reporter).cmp(reporter))
    }

    fn get(&self, reporter: &str) -> Option<&ReporterAccount> {
        self.position(reporter).ok().map(|at| &self.0[at])
    }

    fn insert(&mut self, at: usize, account: ReporterAccount) {
        self.0.reserve_exact(1);
        self.0.insert(at, account);
    }

    fn sum(&self) -> LedgerSum {
        let mut sum = LedgerSum::default();
        self.0.iter().for_each(|account| *column(&mut sum, account.kind) += &account.entry.totals);
        sum
    }

    fn blocks(&self) -> u128 {
        self.sum().line().blocks().into()
    }
}

/// A worker whose accounts were replaced by their sum.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregatedWorker {
    /// The worker's name.
    pub worker: String,
    /// The sums of the worker's accounts.
    pub line: LedgerLine,
    /// The worker's former accounts: id of the reporting task → the task's kind, and its account of this worker.
    pub by_reporter: BTreeMap<String, (TaskKind, Entry)>,
}

/// All accounts of one framework.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Worker name → its accounts. If the worker is a task of this framework, its name is its task id.
    workers: BTreeMap<Arc<str>, WorkerAccounts>,
    /// The names of the workers whose accounts have blocks.
    with_blocks: BTreeSet<Arc<str>>,
    /// Id of a reporting task → the workers that it reports about, other than itself.
    reported: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// The sums of the accounts that are no longer kept one by one, and the number of blocks in these accounts.
    aggregated: LedgerSum,
    aggregated_blocks: u128,
    /// The sums of all accounts, aggregated or not, and the number of blocks in them.
    sum: LedgerSum,
    blocks: u128,
}

/// Compares all accounts and sums. Sums that are too high to be stored are capped first.
impl PartialEq for Ledger {
    fn eq(&self, other: &Ledger) -> bool {
        self.iter().eq(other.iter()) && self.aggregated() == other.aggregated() && self.sum() == other.sum()
    }
}

impl Ledger {
    /// Stores those accounts of a report that supersede the known ones. Returns whether any account was set.
    #[cfg(test)]
    pub fn record(&mut self, task: &str, kind: TaskKind, report: &Report) -> bool {
        let mut changed = false;
        for account in accounts(task, kind, report) {
            changed |= self.insert(account);
        }
        changed
    }

    /// Sets one account, unless the ledger has a newer version of it. Returns whether the account was set.
    #[cfg(test)]
    pub fn insert(&mut self, account: Account<'_>) -> bool {
        let supersedes = account.entry.supersedes(self.entry(account.reporter, account.worker));
        if supersedes {
            self.put(account);
        }
        supersedes
    }

    /// Adds an account. It replaces any account of the same reporter and worker, even if that account is newer.
    pub fn put(&mut self, account: Account<'_>) {
        let Account { reporter, kind, worker, entry } = account;
        if !self.workers.contains_key(worker) {
            self.workers.insert(worker.into(), WorkerAccounts::default());
        }
        let Some(accounts) = self.workers.get_mut(worker) else { return };
        let before = accounts.blocks();
        self.blocks -= before;
        *column(&mut self.sum, kind) += &entry.totals;
        let after = match accounts.position(reporter) {
            Ok(at) => {
                let known = &mut accounts.0[at];
                *column(&mut self.sum, known.kind) -= &known.entry.totals;
                (known.kind, known.entry) = (kind, entry);
                accounts.blocks()
            }
            Err(at) => {
                let reporter = self.note_reporter(reporter, worker);
                let Some(accounts) = self.workers.get_mut(worker) else { return };
                accounts.insert(at, ReporterAccount { reporter, kind, entry });
                accounts.blocks()
            }
        };
        self.blocks += after;
        self.note_blocks(worker, before, after);
    }

    /// Keeps the list of workers with blocks, after the number of blocks in a worker's accounts has changed.
    fn note_blocks(&mut self, worker: &str, before: u128, after: u128) {
        match (before, after) {
            (0, 1..) => {
                let name = self.workers.get_key_value(worker).map(|(name, _)| Arc::clone(name));
                self.with_blocks.extend(name);
            }
            (1.., 0) => drop(self.with_blocks.remove(worker)),
            _ => {}
        }
    }

    /// Records that the task `reporter` reports about this worker. Returns the reporter's id. If an `Arc` with this id exists, it
    /// is reused.
    fn note_reporter(&mut self, reporter: &str, worker: &str) -> Arc<str> {
        let kept = |name: &str| self.workers.get_key_value(name).map(|(name, _)| Arc::clone(name));
        let worker = kept(worker).unwrap_or_else(|| worker.into());
        if reporter == &*worker {
            return worker;
        }
        let known = self.reported.get_key_value(reporter).map(|(name, _)| Arc::clone(name));
        let reporter = known.or_else(|| kept(reporter)).unwrap_or_else(|| reporter.into());
        self.reported.entry(Arc::clone(&reporter)).or_default().insert(worker);
        reporter
    }

    /// The work that the task `reporter` has counted for `worker`.
    pub fn entry(&self, reporter: &str, worker: &str) -> Option<&Entry> {
        self.workers.get(worker)?.get(reporter).map(|account| &account.entry)
    }

    /// All accounts, grouped by worker.
    pub fn iter(&self) -> impl Iterator<Item = Account<'_>> {
        self.workers.keys().flat_map(|worker| self.accounts_of(worker))
    }

    /// All accounts of one worker.
    pub fn accounts_of<'a>(&'a self, worker: &'a str) -> impl Iterator<Item = Account<'a>> {
        let accounts = self.workers.get(worker).into_iter().flat_map(|accounts| &accounts.0);
        accounts.map(move |account| Account {
            reporter: &account.reporter,
            kind: account.kind,
            worker,
            entry: account.entry,
        })
    }

    /// The work that the task `reporter` has counted for `worker`, with the names of both.
    pub fn account<'a>(&'a self, reporter: &'a str, worker: &'a str) -> Option<Account<'a>> {
        let account = self.workers.get(worker)?.get(reporter)?;
        Some(Account { reporter, kind: account.kind, worker, entry: account.entry })
    }

    /// The workers that this task reports about, itself included.
    pub fn workers_of<'a>(&'a self, task: &'a str) -> impl Iterator<Item = &'a str> {
        let others = self.reported.get(task).into_iter().flatten().map(|worker| &**worker);
        self.entry(task, task).map(|_| task).into_iter().chain(others)
    }

    /// The sums of the aggregated accounts, and the number of blocks in them.
    pub fn aggregated(&self) -> (LedgerLine, u64) {
        (self.aggregated.line(), capped(self.aggregated_blocks))
    }

    /// Adds to the sums of the aggregated accounts.
    pub fn add_aggregated(&mut self, line: LedgerLine, blocks: u64) {
        for sum in [&mut self.aggregated, &mut self.sum] {
            sum.worker += &line.worker;
            sum.pool += &line.pool;
        }
        self.aggregated_blocks += u128::from(blocks);
        self.blocks += u128::from(blocks);
    }

    /// Replaces accounts of workers by their sum. The workers are the `retired` tasks themselves, and those that the `retired`
    /// tasks report about. A worker keeps its accounts if `of_interest` is true for it or for a task that reports about it.
    /// Returns the workers whose accounts were replaced. The cost depends only on the number of accounts of these workers.
    pub fn aggregate(
        &mut self,
        retired: &[String],
        of_interest: impl Fn(&str) -> bool,
    ) -> Vec<AggregatedWorker> {
        let mut workers: BTreeSet<String> = BTreeSet::new();
        for task in retired {
            workers.extend(self.reported.get(&**task).into_iter().flatten().map(ToString::to_string));
            workers.extend(self.workers.contains_key(&**task).then(|| task.clone()));
        }
        let can_be_aggregated = |ledger: &Ledger, worker: &str| {
            let mut accounts = ledger.accounts_of(worker);
            !of_interest(worker) && !accounts.any(|account| of_interest(account.reporter))
        };
        let mut aggregated = Vec::new();
        for worker in workers {
            if can_be_aggregated(self, &worker) {
                aggregated.extend(self.aggregate_worker(worker));
            }
        }
        aggregated
    }

    /// Like [`Self::aggregate`], for all tasks for which `of_interest` is false. Visits each account.
    pub fn aggregate_all_but(&mut self, of_interest: impl Fn(&str) -> bool) -> Vec<AggregatedWorker> {
        let themselves = self.workers.keys().filter(|worker| self.entry(worker, worker).is_some());
        let reporters: BTreeSet<&Arc<str>> = self.reported.keys().chain(themselves).collect();
        let retired = reporters.into_iter().filter(|reporter| !of_interest(reporter));
        let retired: Vec<String> = retired.map(|reporter| reporter.to_string()).collect();
        self.aggregate(&retired, of_interest)
    }

    fn aggregate_worker(&mut self, worker: String) -> Option<AggregatedWorker> {
        let accounts = self.workers.remove(&*worker)?;
        self.with_blocks.remove(&*worker);
        let sum = accounts.sum();
        let line = sum.line();
        self.aggregated += &sum;
        self.aggregated_blocks += u128::from(line.blocks());
        let mut by_reporter = BTreeMap::new();
        for ReporterAccount { reporter, kind, entry } in accounts.0 {
            if let Some(workers) = self.reported.get_mut(&reporter) {
                workers.remove(&*worker);
                if workers.is_empty() {
                    self.reported.remove(&reporter);
                }
            }
            by_reporter.insert(reporter.to_string(), (kind, entry));
        }
        Some(AggregatedWorker { worker, line, by_reporter })
    }

    /// The sums of a worker's accounts; `None` if the ledger has no accounts of this worker.
    pub fn line(&self, worker: &str) -> Option<LedgerLine> {
        self.workers.get(worker).map(|accounts| accounts.sum().line())
    }

    /// All workers that have accounts of their own: their names, and the sums of their accounts.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = (&str, LedgerLine)> {
        self.workers.iter().map(|(worker, accounts)| (&**worker, accounts.sum().line()))
    }

    /// The workers that have found blocks and have accounts of their own, by name, and the sums of their accounts. The list begins
    /// after the name `after`, which need not exist.
    pub fn with_blocks(&self, after: Option<&str>) -> impl Iterator<Item = (&str, LedgerLine)> {
        let from = after.map_or(Unbounded, Excluded);
        let names = self.with_blocks.range::<str, _>((from, Unbounded));
        names.filter_map(|name| Some((&**name, self.line(name)?)))
    }

    /// The number of blocks in all accounts, aggregated or not.
    pub fn blocks(&self) -> u64 {
        capped(self.blocks)
    }

    /// The sums of all accounts, aggregated or not, and the number of blocks in them.
    pub fn sum(&self) -> (LedgerLine, u64) {
        (self.sum.line(), capped(self.blocks))
    }
}

fn column(sum: &mut LedgerSum, kind: TaskKind) -> &mut TotalsSum {
    match kind {
        TaskKind::Worker => &mut sum.worker,
        TaskKind::Server => &mut sum.pool,
    }
}

/// The accounts of a report. A worker can report only about itself, whatever name its report contains.
pub fn accounts<'a>(
    reporter: &'a str,
    kind: TaskKind,
    report: &'a Report,
) -> impl Iterator<Item = Account<'a>> {
    report.accounts.iter().map(move |account| {
        let worker = match kind {
            TaskKind::Worker => reporter,
            TaskKind::Server => account.worker.as_str(),
        };
        let (totals, rows_omitted) = (account.totals, account.rows_omitted);
        Account { reporter, kind, worker, entry: Entry { sequence: report.sequence, totals, rows_omitted } }
    })
}

#[cfg(test)]
mod tests;
