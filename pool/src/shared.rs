//! What the pool's tasks share. Each part has one lock or none, and no lock is held across an await.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::Network;
use task::PoolLive;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::accounts::{Accounts, BlockRecord, JudgedShare, RecoveredAccounts};
use crate::admission::{Bans, Extranonces, Lease};
use crate::clock::Now;
use crate::config::{Config, Settings};
use crate::job::{Content, Job, Layout};
use crate::session::Parking;
use crate::share::{ForwardRequest, FoundBlock, Reply, UpstreamShareCounts, UpstreamSummary};
use crate::store::PendingBlocks;

/// Blocks that wait for the chain. There is one per tip, so more than one hardly ever does.
const FOUND_QUEUE: usize = 16;

/// Counts of what happened since the pool started; each change wakes those who wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Shares judged, whatever the verdict.
    pub shares: u64,
    /// Blocks found that have become part of the chain.
    pub blocks: u64,
}

/// What there is for miners to do.
#[derive(Clone, Debug)]
pub enum CurrentJob {
    /// Nothing: miners do better elsewhere, so connections end.
    Nothing,
    /// Nothing, but there will be something soon: connections are kept, and shares are stale.
    Idle(Layout),
    /// A job.
    Job(Arc<Job>),
}

impl CurrentJob {
    /// The job, if there is one.
    pub fn job(&self) -> Option<&Arc<Job>> {
        match self {
            CurrentJob::Job(job) => Some(job),
            CurrentJob::Nothing | CurrentJob::Idle(_) => None,
        }
    }

    /// What a new connection may choose in the coinbase; none if there shall be no connection.
    pub fn layout(&self) -> Option<Layout> {
        match self {
            CurrentJob::Nothing => None,
            CurrentJob::Idle(layout) => Some(*layout),
            CurrentJob::Job(job) => Some(job.layout),
        }
    }
}

/// The pool as its connections see it.
#[derive(Debug)]
pub struct PoolState {
    /// What the pool was told.
    pub config: Config,
    /// The network of the addresses in the miners' names, if these are what blocks pay to.
    pub pays_users: Option<Network>,
    /// The present work; nothing before the first, and where work was withdrawn.
    pub present: watch::Sender<CurrentJob>,
    /// Where found blocks go.
    pub found: mpsc::Sender<FoundBlock>,
    /// Where shares go that an upstream pool wants, if there is one.
    pub forward: Option<mpsc::Sender<ForwardRequest>>,
    /// The upstream pool, if there is one.
    upstream: Mutex<UpstreamSummary>,
    /// Extranonce1 of every connection.
    pub extranonces: Arc<Extranonces>,
    /// Sessions that may go on over another connection.
    pub parking: Parking,
    /// Who is sent away.
    pub bans: Bans,
    /// Hashrate of all connections.
    pub hashrate: Hashrate,
    /// Places for connections.
    pub places: Arc<Semaphore>,
    /// Connections with an authorized worker.
    pub authorized: AtomicU32,
    /// What is wrong with the pool's work, if anything.
    pub trouble: HealthStatus,
    /// What is wrong with the disk that the accounts are on, if anything.
    pub disk_trouble: HealthStatus,
    /// Where found blocks are kept until a node has judged them, if there is a data folder.
    pub pending_blocks: Option<PendingBlocks>,
    changes: watch::Sender<PoolCounters>,
    accounts: Mutex<Accounts>,
    rejected_blocks: AtomicU64,
    last_serial: AtomicU32,
}

impl PoolState {
    /// A pool without work, and the end of its queue of found blocks.
    pub fn new(
        config: Config,
        pays_users: Option<Network>,
        forward: Option<mpsc::Sender<ForwardRequest>>,
    ) -> (PoolState, mpsc::Receiver<FoundBlock>) {
        let (found, blocks) = mpsc::channel(FOUND_QUEUE);
        let shared = PoolState {
            config,
            pays_users,
            present: watch::Sender::new(CurrentJob::Nothing),
            found,
            forward,
            upstream: Mutex::default(),
            extranonces: Arc::default(),
            parking: Parking::new(config.limits.connections),
            bans: Bans::new(config.bans),
            hashrate: Hashrate::default(),
            places: Arc::new(Semaphore::new(config.limits.connections)),
            authorized: AtomicU32::new(0),
            trouble: HealthStatus::default(),
            disk_trouble: HealthStatus::default(),
            pending_blocks: None,
            changes: watch::Sender::new(PoolCounters::default()),
            accounts: Mutex::default(),
            rejected_blocks: AtomicU64::new(0),
            last_serial: AtomicU32::new(0),
        };
        (shared, blocks)
    }

    /// An extranonce1 of `size` bytes; those of miners that have left are given up when there is no other.
    pub fn lease(&self, size: usize) -> Option<Lease> {
        loop {
            match self.extranonces.take(size) {
                None if self.parking.give_up_oldest() => {}
                lease => return lease,
            }
        }
    }

    /// Goes on from what an earlier life of the pool left in its data folder.
    pub fn restore(&mut self, recovered: RecoveredAccounts, pending_blocks: PendingBlocks) {
        self.accounts().restore(recovered.workers, Instant::now());
        self.rejected_blocks = AtomicU64::new(recovered.refused_blocks);
        self.pending_blocks = Some(pending_blocks);
    }

    /// Counts a share and tells those who wait for news.
    pub fn count(&self, judged: JudgedShare) {
        self.accounts().count(judged, Now::read());
        self.changes.send_modify(|changes| changes.shares += 1);
    }

    /// Counts a block that the chain has judged. Its share has been counted before.
    pub fn count_block(&self, record: BlockRecord) {
        let taken = record.refused.is_none();
        if !taken {
            self.rejected_blocks.fetch_add(1, Ordering::Relaxed);
        }
        self.accounts().count_block(record, Instant::now());
        if taken {
            self.changes.send_modify(|changes| changes.blocks += 1);
        }
    }

    /// Counts a share that an upstream pool wanted, and tells its miner what became of it after this time.
    pub fn settle(&self, (forward, reply): (ForwardRequest, Reply), round_trip: Duration) {
        let ForwardRequest { wanted, reply: miner } = forward;
        let mut judged = wanted.judged;
        let accepted = reply == Reply::Verdict(Ok(()));
        judged.row.verdict = reply.verdict();
        judged.row.round_trip = round_trip;
        if !accepted {
            judged.work = 0;
        }
        self.count(judged);
        // The miner may be gone.
        let _ = miner.send(reply);
    }

    /// The upstream pool that takes our shares now, by its address, and what has become of all shares so far.
    pub fn set_upstream(&self, pool: Option<&str>, counts: UpstreamShareCounts) {
        *self.lock_upstream() = UpstreamSummary { pool: pool.map(str::to_owned), counts };
    }

    /// The upstream pool at a glance, if there is one.
    pub fn upstream(&self) -> Option<UpstreamSummary> {
        self.forward.is_some().then(|| self.lock_upstream().clone())
    }

    fn lock_upstream(&self) -> MutexGuard<'_, UpstreamSummary> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks that have not become part of the chain.
    pub fn rejected_blocks(&self) -> u64 {
        self.rejected_blocks.load(Ordering::Relaxed)
    }

    /// The accounts, locked.
    pub fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // Counting does not panic; if it did, the counts so far would still be right.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// News of shares and blocks.
    pub fn changes(&self) -> watch::Receiver<PoolCounters> {
        self.changes.subscribe()
    }

    /// Makes work the present job.
    pub fn publish(&self, content: impl Into<Content>) {
        let serial = self.last_serial.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.present.send_replace(CurrentJob::Job(Arc::new(Job::new(serial, content))));
    }

    /// Takes the present job back: connections end, and new ones are refused.
    pub fn withdraw(&self) {
        self.present.send_replace(CurrentJob::Nothing);
    }

    /// Takes the present job back, but keeps connections for the next one.
    pub fn idle(&self) {
        self.present.send_if_modified(|present| {
            let CurrentJob::Job(job) = present else { return false };
            *present = CurrentJob::Idle(job.layout);
            true
        });
    }

    /// What a session needs to know of all this.
    pub fn settings(&self) -> Settings {
        self.config.settings(self.pays_users)
    }

    /// What the pool does now.
    pub fn live(&self) -> PoolLive {
        let present = self.present.borrow();
        let job = present.job();
        PoolLive {
            connections: self.authorized.load(Ordering::Relaxed),
            height: job.map_or(0, |job| job.height.into()),
            difficulty: job.map_or(0.0, |job| job.network),
            intervals: None,
            max_connections: u32::try_from(self.config.limits.connections).ok(),
        }
    }
}

/// What is wrong with the pool's work, in one sentence.
#[derive(Debug, Default)]
pub struct HealthStatus(Mutex<Option<(Instant, &'static str)>>);

impl HealthStatus {
    /// Something is wrong; it began with the first call since the last [`HealthStatus::clear`].
    pub fn set(&self, what: &'static str) {
        let mut trouble = self.lock();
        let since = trouble.map_or_else(Instant::now, |(since, _)| since);
        *trouble = Some((since, what));
    }

    /// All is well; says whether it was not.
    pub fn clear(&self) -> bool {
        self.lock().take().is_some()
    }

    /// What is wrong, and since when.
    pub fn get(&self) -> Option<(Instant, &'static str)> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, &'static str)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sum of what the connections estimate of their miners.
#[derive(Debug, Default)]
pub struct Hashrate {
    /// Wide enough for any number of connections that claim anything.
    total: Mutex<u128>,
    changed: Notify,
}

impl Hashrate {
    /// H/s of all connections.
    pub fn total(&self) -> f64 {
        *self.lock() as f64
    }

    fn replace(&self, old: u64, new: u64) {
        {
            let mut total = self.lock();
            *total = *total + u128::from(new) - u128::from(old);
        }
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, u128> {
        self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a connection's estimate changes.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// One connection's part in the pool's numbers; gone when it is dropped.
#[derive(Debug)]
pub struct ConnectionStatsGuard {
    shared: Arc<PoolState>,
    hashrate: u64,
    authorized: bool,
}

impl ConnectionStatsGuard {
    /// A connection of which nothing is known.
    pub fn new(shared: Arc<PoolState>) -> ConnectionStatsGuard {
        ConnectionStatsGuard { shared, hashrate: 0, authorized: false }
    }

    /// The connection has an authorized worker.
    pub fn authorize(&mut self) {
        if !std::mem::replace(&mut self.authorized, true) {
            self.shared.authorized.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The connection's miner is estimated anew, in H/s.
    pub fn set_hashrate(&mut self, hashrate: u64) {
        let old = std::mem::replace(&mut self.hashrate, hashrate);
        self.shared.hashrate.replace(old, hashrate);
    }
}

impl Drop for ConnectionStatsGuard {
    fn drop(&mut self) {
        self.set_hashrate(0);
        if self.authorized {
            self.shared.authorized.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
