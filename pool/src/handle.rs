//! The handle through which reports and displays read the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hasher::Target;
use problem::Problem;
use series::SeriesHandle;
use task::{Account, PoolLive, Totals};
use text::InWords;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::accounts::BlockSummary;
pub use crate::accounts::WorkerSummary;
use crate::health::HealthStatus;
use crate::miners::{self, AddressSummary, MinerSummary};
use crate::pool_state::PoolState;
use crate::share::UpstreamSummary;
use crate::source_status::SourceSummary;
use crate::stats::PoolCounters;

/// Number of accounts that are read at once.
const SLICE: usize = 1_000;

/// A summary of the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSummary {
    /// Connections, height and network difficulty.
    pub live: PoolLive,
    /// Where work comes from; `None` before there is any.
    pub work_from: Option<String>,
    /// What is wrong with the source of work or the disk, the first in rank first.
    pub problems: Vec<Problem>,
    /// The pool's hashrate in H/s: the sum of the workers' hashrates ([`WorkerSummary::hashrate`]).
    pub hashrate: f64,
    /// The highest difficulty of an accepted share's hash since the pool started; 0 without any.
    pub best_share: f64,
    /// The accepted work since the last block was found, in percent of what a block takes on average. `None` if it is unknown, or if
    /// an upstream pool makes the blocks.
    pub effort: Option<f64>,
    /// Number of found blocks that the chain refused.
    pub rejected_blocks: u64,
    /// Number of addresses that are banned now.
    pub banned: usize,
    /// Number of bans since the pool started.
    pub bans: u64,
    /// The upstream pool, if there is one.
    pub upstream: Option<UpstreamSummary>,
    /// Sums over all workers since the accounts began: with a data folder, also over earlier runs of the pool.
    pub totals: Totals,
    /// All workers with an account, sorted by name.
    pub workers: Vec<WorkerSummary>,
}

/// A handle to read a pool's accounts and state; it outlives the pool.
#[derive(Clone, Debug)]
pub struct PoolHandle(Arc<PoolState>);

impl PoolHandle {
    pub(crate) fn new(state: Arc<PoolState>) -> Self {
        Self(state)
    }

    /// Returns the accounts that have changed since the last call, sorted by worker name. Their rows are the shares since
    /// the last call.
    ///
    /// Each share's row is returned once, so only one reporter may call this.
    pub fn take_changed(&self) -> Vec<Account> {
        self.0.accounts().take_changed()
    }

    /// Like [`PoolHandle::take_changed`], but takes all accounts, for a last report.
    pub fn take_all(&self) -> Vec<Account> {
        self.0.accounts().take_all()
    }

    /// Counters that change with each share and block.
    pub fn counters(&self) -> watch::Receiver<PoolCounters> {
        self.0.counters()
    }

    /// Cancels the token once this many blocks have been accepted in this run of the pool. Needs a tokio runtime.
    pub fn stop_at_blocks(&self, count: u64, stop: CancellationToken) {
        let mut counters = self.counters();
        tokio::spawn(async move {
            // Fails only when the pool is gone.
            let _ = counters.wait_for(|counters| counters.blocks >= count).await;
            stop.cancel();
        });
    }

    /// The current state of the pool: its connections, the height of the block being mined, and the network's difficulty.
    pub fn live(&self) -> PoolLive {
        self.0.live()
    }

    /// Whether the pool has its maximum number of connections, so that further ones are refused.
    pub fn is_full(&self) -> bool {
        self.0.places.available_permits() == 0
    }

    /// Where work comes from, such as `node http://127.0.0.1:8332 (main)`; `None` before there is any.
    pub fn work_from(&self) -> Option<String> {
        self.0.work_from()
    }

    /// What kind of source work comes from, and how old the work is.
    pub fn source(&self) -> SourceSummary {
        self.0.source.summary(self.0.jobs.times())
    }

    /// The upstream pool, if there is one.
    pub fn upstream(&self) -> Option<UpstreamSummary> {
        self.0.upstream()
    }

    /// Whether there is work for miners.
    pub fn has_work(&self) -> bool {
        self.0.jobs.current().job().is_some()
    }

    /// A problem of the source of work or of the disk that has lasted for at least this long. Miners may have a job nevertheless.
    pub fn problem(&self, least: Duration) -> Option<Problem> {
        self.since_and_problem(least).map(|(_, problem)| problem)
    }

    /// All problems that exist now, the first in rank first.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.faults().map(|(_, problem)| problem).collect();
        problems.extend(self.0.warnings.get());
        problems.sort_unstable();
        problems
    }

    /// What makes the pool unhealthy, and since when.
    fn faults(&self) -> impl Iterator<Item = (Instant, Problem)> {
        let state = &self.0;
        let all = [&state.work_health, &state.block_health, &state.upstream_health, &state.disk_health];
        all.map(HealthStatus::get).into_iter().flatten()
    }

    /// Of the problems that have lasted for at least this long, the one that a user should know first, and since when it exists.
    fn since_and_problem(&self, least: Duration) -> Option<(Instant, Problem)> {
        self.faults().filter(|(since, _)| since.elapsed() >= least).min_by_key(|(_, problem)| problem.kind)
    }

    /// A problem of the source of work or of the disk, in one sentence. Miners may have a job nevertheless.
    pub fn trouble(&self) -> Option<String> {
        if let Some((since, problem)) = self.since_and_problem(Duration::ZERO) {
            return Some(format!("{problem} (for {} now)", InWords(since.elapsed())));
        }
        (!self.has_work()).then(|| "there is no work yet".to_owned())
    }

    /// What is wrong although there is work, in one line; `None` if nothing is.
    pub fn warning(&self) -> Option<String> {
        let texts: Vec<_> = self.0.warnings.get().into_iter().map(|problem| problem.text).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// Calls `each` for all workers with an account, in the order in which the accounts were made.
    pub(crate) fn each_worker(&self, mut each: impl FnMut(WorkerSummary)) {
        let now = Instant::now();
        for from in (0..).step_by(SLICE) {
            let mut count = 0;
            // Shares wait for the accounts, so these are never locked for long.
            for worker in self.0.accounts().summaries(from..from + SLICE, now) {
                count += 1;
                each(worker);
            }
            if count < SLICE {
                break;
            }
        }
    }

    /// Summaries of all workers with an account, sorted by name.
    pub fn workers(&self) -> Vec<WorkerSummary> {
        let mut workers = Vec::new();
        self.each_worker(|worker| workers.push(worker));
        workers.sort_unstable_by(|a, b| a.worker.cmp(&b.worker));
        workers
    }

    /// Number of workers that are connected.
    pub fn connected_workers(&self) -> usize {
        self.0.miners.workers()
    }

    /// The figures over time, in memory only; recorded while there is an HTTP server.
    pub fn series(&self) -> &SeriesHandle {
        &self.0.series
    }

    /// All workers that have an account or are connected, sorted by name.
    pub fn miners(&self) -> Vec<MinerSummary> {
        miners::join(self.workers(), self.0.miners.by_worker())
    }

    /// All addresses of workers, sorted.
    pub fn addresses(&self) -> Vec<AddressSummary> {
        miners::by_address(&self.miners(), self.pays_users())
    }

    /// The address in the name of a worker: its payout address if blocks pay the miners, otherwise what stands before the first dot.
    pub fn address_of<'a>(&self, worker: &'a str) -> &'a str {
        miners::address_of(worker, self.pays_users())
    }

    fn pays_users(&self) -> bool {
        self.0.pays_users.get().is_some()
    }

    /// The last found blocks, at most 1,000, oldest first.
    pub fn blocks(&self) -> Vec<BlockSummary> {
        self.0.accounts().blocks()
    }

    /// Number of found blocks that the chain refused.
    pub fn rejected_blocks(&self) -> u64 {
        self.0.accounts().rejected_blocks()
    }

    /// A summary of the pool.
    pub fn summary(&self) -> PoolSummary {
        let live = self.live();
        let accounts = self.0.accounts();
        let (rejected_blocks, best_share) = (accounts.rejected_blocks(), accounts.best_share());
        let has_blocks = self.0.forward.is_none();
        let expected = live.difficulty * Target::HASHES_PER_DIFFICULTY;
        let effort = has_blocks.then(|| accounts.effort(expected)).flatten();
        drop(accounts);
        let workers = self.workers();
        let mut totals = Totals::default();
        workers.iter().for_each(|worker| totals += worker.totals);
        PoolSummary {
            live,
            work_from: self.work_from(),
            problems: self.problems(),
            hashrate: workers.iter().fold(0.0, |sum, worker| sum + worker.hashrate),
            best_share,
            effort,
            banned: self.0.bans.active(Instant::now()),
            bans: self.0.bans.total(),
            rejected_blocks,
            upstream: self.0.upstream(),
            totals,
            workers,
        }
    }
}
