//! The pool seen from outside: what reports and displays need.

use std::sync::Arc;
use std::time::Instant;

use task::{Account, PoolLive, Totals};
use tokio::sync::watch;

pub use crate::accounts::WorkerSummary;
use crate::share::UpstreamSummary;
use crate::shared::{PoolCounters, PoolState};

/// The pool at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSummary {
    /// Connections, height and network difficulty.
    pub live: PoolLive,
    /// H/s of all connections, as their difficulties follow it.
    pub hashrate: f64,
    /// Blocks that were found, but have not become part of the chain.
    pub rejected_blocks: u64,
    /// Addresses that are banned at present.
    pub banned: usize,
    /// Bans since the pool started.
    pub bans: u64,
    /// The upstream pool, if there is one.
    pub upstream: Option<UpstreamSummary>,
    /// Sums over all workers since the accounts began: with a data folder, also over earlier lives of the pool.
    pub totals: Totals,
    /// All workers with an account, by name.
    pub workers: Vec<WorkerSummary>,
}

/// Reads a pool's accounts and state; outlives the pool.
#[derive(Clone, Debug)]
pub struct PoolHandle(Arc<PoolState>);

impl PoolHandle {
    pub(crate) fn new(shared: Arc<PoolState>) -> PoolHandle {
        PoolHandle(shared)
    }

    /// Takes the accounts that changed since they were last taken, with their shares since then, by worker name.
    ///
    /// Rows are handed out once: whoever reports them must be the only one to call this.
    pub fn take_changed(&self) -> Vec<Account> {
        self.0.accounts().take_changed()
    }

    /// Takes all accounts, otherwise like [`PoolHandle::take_changed`]: for a last report.
    pub fn take_all(&self) -> Vec<Account> {
        self.0.accounts().take_all()
    }

    /// Tells of shares and blocks as they are counted.
    pub fn changes(&self) -> watch::Receiver<PoolCounters> {
        self.0.changes()
    }

    /// What the pool does now.
    pub fn live(&self) -> PoolLive {
        self.0.live()
    }

    /// Whether it has as many connections as it admits, so that others are turned away.
    pub fn is_full(&self) -> bool {
        self.0.places.available_permits() == 0
    }

    /// Whether there is work for miners.
    pub fn has_work(&self) -> bool {
        self.0.present.borrow().job().is_some()
    }

    /// What is wrong with the work, in one sentence: miners may have some all the same.
    pub fn trouble(&self) -> Option<String> {
        if let Some((since, what)) = self.0.trouble.get() {
            return Some(format!("{what} (for {} s now)", since.elapsed().as_secs()));
        }
        if let Some((since, what)) = self.0.disk_trouble.get() {
            return Some(format!("{what} (for {} s now)", since.elapsed().as_secs()));
        }
        (!self.has_work()).then(|| "there is no work".to_owned())
    }

    /// The pool at a glance; takes nothing.
    pub fn summary(&self) -> PoolSummary {
        let workers = self.0.accounts().summary(Instant::now());
        let mut totals = Totals::default();
        workers.iter().for_each(|worker| totals += worker.totals);
        PoolSummary {
            live: self.live(),
            hashrate: self.0.hashrate.total(),
            banned: self.0.bans.present(Instant::now()),
            bans: self.0.bans.total(),
            rejected_blocks: self.0.rejected_blocks(),
            upstream: self.0.upstream(),
            totals,
            workers,
        }
    }
}
