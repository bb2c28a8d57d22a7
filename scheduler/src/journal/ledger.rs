//! The accounts: what every worker did, as it counts itself and as the pool server counts it.
//!
//! Reports carry totals since the start of the reporting task and a sequence number. An account keeps the totals
//! of the highest sequence number seen, so that repeating, reordering or skipping reports changes no sum. Sums are kept,
//! not made when they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use task::{Report, Totals};

use super::sums::{LineSum, TotalsSum, shown};
use crate::kind::Kind;

/// So many miners that are no tasks keep an account of their own with a server that has ended: whoever reaches the
/// Stratum port chooses names at will.
pub const UNTRACKED_MINERS: usize = 100;
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

impl Entry {
    /// Whether it is later than what is known.
    pub fn supersedes(&self, known: Option<&Entry>) -> bool {
        known.is_none_or(|known| known.sequence < self.sequence)
    }
}

/// An account with its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// The task that reports.
    pub reporter: &'a str,
    /// What that task is.
    pub kind: Kind,
    /// Of whom.
    pub worker: &'a str,
    /// What it reports.
    pub entry: Entry,
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

/// One task's account of a worker.
#[derive(Clone, Debug)]
struct ReporterAccount {
    reporter: Arc<str>,
    kind: Kind,
    entry: Entry,
}

/// The accounts of one worker, in the order of the reporters' names. Most have two, its own and its server's: there are
/// tens of thousands of workers, and a map or a sum for each would take several times as much memory.
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

    fn sum(&self) -> LineSum {
        let mut sum = LineSum::default();
        self.0.iter().for_each(|account| *column(&mut sum, account.kind) += &account.entry.totals);
        sum
    }

    fn blocks(&self) -> u128 {
        self.sum().line().blocks().into()
    }
}

/// A worker whose accounts are no longer kept apart.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregatedWorker {
    /// Its name.
    pub worker: String,
    /// Both columns.
    pub line: Line,
    /// The accounts, by reporting task.
    pub by_reporter: BTreeMap<String, (Kind, Entry)>,
}

/// All accounts of one framework.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By worker. A worker reports under its own task id.
    workers: BTreeMap<Arc<str>, WorkerAccounts>,
    /// Of whom each task reports, beside itself.
    reported: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// The sum of accounts that are no longer kept apart, and of their blocks.
    aggregated: LineSum,
    aggregated_blocks: u128,
    /// The sum of all accounts, aggregated or not, and of the blocks of all lines.
    sum: LineSum,
    blocks: u128,
}

/// As they are shown and stored: a sum beyond all numbers is the highest one.
impl PartialEq for Ledger {
    fn eq(&self, other: &Ledger) -> bool {
        self.iter().eq(other.iter()) && self.aggregated() == other.aggregated() && self.sum() == other.sum()
    }
}

impl Ledger {
    /// Takes a report in; whether it told anything new.
    pub fn record(&mut self, task: &str, kind: Kind, report: &Report) -> bool {
        let mut news = false;
        for account in accounts(task, kind, report) {
            news |= self.insert(account);
        }
        news
    }

    /// Sets one account unless a later report is already in; whether it was set.
    pub fn insert(&mut self, account: Account<'_>) -> bool {
        let supersedes = account.entry.supersedes(self.entry(account.reporter, account.worker));
        if supersedes {
            self.put(account);
        }
        supersedes
    }

    /// Sets one account, whatever is there.
    pub fn put(&mut self, account: Account<'_>) {
        let Account { reporter, kind, worker, entry } = account;
        if !self.workers.contains_key(worker) {
            self.workers.insert(worker.into(), WorkerAccounts::default());
        }
        let Some(accounts) = self.workers.get_mut(worker) else { return };
        self.blocks -= accounts.blocks();
        *column(&mut self.sum, kind) += &entry.totals;
        match accounts.position(reporter) {
            Ok(at) => {
                let known = &mut accounts.0[at];
                *column(&mut self.sum, known.kind) -= &known.entry.totals;
                (known.kind, known.entry) = (kind, entry);
                self.blocks += accounts.blocks();
            }
            Err(at) => {
                let reporter = self.note_reporter(reporter, worker);
                let Some(accounts) = self.workers.get_mut(worker) else { return };
                accounts.insert(at, ReporterAccount { reporter, kind, entry });
                self.blocks += accounts.blocks();
            }
        }
    }

    /// Notes that a task reports of a worker. Returns the task's name as it is kept: each name is kept once.
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

    /// One reporter's account of one worker.
    pub fn entry(&self, reporter: &str, worker: &str) -> Option<&Entry> {
        self.workers.get(worker)?.get(reporter).map(|account| &account.entry)
    }

    /// All accounts, worker by worker.
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

    /// One reporter's account of one worker, with its names.
    pub fn account<'a>(&'a self, reporter: &'a str, worker: &'a str) -> Option<Account<'a>> {
        let account = self.workers.get(worker)?.get(reporter)?;
        Some(Account { reporter, kind: account.kind, worker, entry: account.entry })
    }

    /// The workers of whom this task has an account.
    pub fn workers_of<'a>(&'a self, task: &'a str) -> impl Iterator<Item = &'a str> {
        let others = self.reported.get(task).into_iter().flatten().map(|worker| &**worker);
        self.entry(task, task).map(|_| task).into_iter().chain(others)
    }

    /// What is no longer kept apart: both columns, and the blocks.
    pub fn aggregated(&self) -> (Line, u64) {
        (self.aggregated.line(), shown(self.aggregated_blocks))
    }

    /// Adds to the aggregated sum.
    pub fn add_aggregated(&mut self, line: Line, blocks: u64) {
        for sum in [&mut self.aggregated, &mut self.sum] {
            sum.worker += &line.worker;
            sum.pool += &line.pool;
        }
        self.aggregated_blocks += u128::from(blocks);
        self.blocks += u128::from(blocks);
    }

    /// These tasks are of interest no more: keeps only sums of the workers they had to do with, except of those that
    /// are of interest themselves or have an account with a task that is. Returns the workers whose accounts became part
    /// of the sum. Costs what these tasks reported, however many other accounts there are.
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

    /// The same for all tasks but those of interest; looks at each account.
    pub fn aggregate_all_but(&mut self, of_interest: impl Fn(&str) -> bool) -> Vec<AggregatedWorker> {
        let themselves = self.workers.keys().filter(|worker| self.entry(worker, worker).is_some());
        let reporters: BTreeSet<&Arc<str>> = self.reported.keys().chain(themselves).collect();
        let retired = reporters.into_iter().filter(|reporter| !of_interest(reporter));
        let retired: Vec<String> = retired.map(|reporter| reporter.to_string()).collect();
        self.aggregate(&retired, of_interest)
    }

    fn aggregate_worker(&mut self, worker: String) -> Option<AggregatedWorker> {
        let accounts = self.workers.remove(&*worker)?;
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

    /// Both columns of a worker that is kept apart.
    pub fn line(&self, worker: &str) -> Option<Line> {
        self.workers.get(worker).map(|accounts| accounts.sum().line())
    }

    /// Both columns of every worker that is kept apart, by its name.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = (&str, Line)> {
        self.workers.iter().map(|(worker, accounts)| (&**worker, accounts.sum().line()))
    }

    /// The sum of all lines, and the blocks of all of them.
    pub fn sum(&self) -> (Line, u64) {
        (self.sum.line(), shown(self.blocks))
    }
}

fn column(sum: &mut LineSum, kind: Kind) -> &mut TotalsSum {
    match kind {
        Kind::Worker => &mut sum.worker,
        Kind::Server => &mut sum.pool,
    }
}

/// The accounts of a report, each with the name it is booked under: a worker can speak for itself alone.
pub fn accounts<'a>(reporter: &'a str, kind: Kind, report: &'a Report) -> impl Iterator<Item = Account<'a>> {
    report.accounts.iter().map(move |account| {
        let worker = match kind {
            Kind::Worker => reporter,
            Kind::Server => account.worker.as_str(),
        };
        let (totals, rows_omitted) = (account.totals, account.rows_omitted);
        Account { reporter, kind, worker, entry: Entry { sequence: report.sequence, totals, rows_omitted } }
    })
}

#[cfg(test)]
mod tests;
