//! The state that the pool's tasks share. Each part has at most one lock, and no lock is held across an await.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::Network;
use client::Outcome;
use series::SeriesHandle;
use task::PoolLive;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::accounts::{Accounts, BlockRecord, RecoveredAccounts};
use crate::bans::Bans;
use crate::clock::Now;
use crate::config::Config;
use crate::current_job::JobPublisher;
use crate::extranonce_lease::{ExtranonceLease, Extranonces};
use crate::health::{HealthStatus, Warnings};
use crate::miner_sessions::MinerSessions;
use crate::operator_log::OperatorLog;
use crate::session::SuspendedSessions;
use crate::share::{
    ForwardRequest, FoundBlock, JudgedShare, UpstreamShare, UpstreamShareCounts, UpstreamSummary,
};
use crate::source_status::SourceStatus;
use crate::stats::{ConnectionStats, PoolCounters};
use crate::store::PendingBlocks;

/// Maximum number of found blocks that wait until the source takes them. There is about one block per tip, so hardly ever more
/// than one waits.
const FOUND_QUEUE: usize = 16;
/// Maximum number of shares that wait to be submitted to the upstream pool.
const FORWARD_QUEUE: usize = 256;

/// The receiving ends of the pool's queues, for the source of work.
#[derive(Debug)]
pub struct SourceQueues {
    /// Found blocks, for the source to submit or to add to its chain.
    pub found: mpsc::Receiver<FoundBlock>,
    /// Shares for the upstream pool; `None` if work comes from elsewhere.
    pub forward: Option<mpsc::Receiver<ForwardRequest>>,
}

/// The state that the pool's tasks share.
#[derive(Debug)]
pub struct PoolState {
    /// How the pool treats its miners.
    pub config: Config,
    /// The network of the addresses in worker names, if each block pays the address of its finder; otherwise empty. It is known
    /// once a node has answered, so before the first connection is served.
    pub pays_users: OnceLock<Network>,
    /// The job that miners work on now.
    pub jobs: JobPublisher,
    /// Takes found blocks to the source, which submits them or adds them to its chain.
    pub found: mpsc::Sender<FoundBlock>,
    /// The queue of shares for the upstream pool, if there is one.
    pub forward: Option<mpsc::Sender<ForwardRequest>>,
    /// Gives each connection its extranonce1, which no other connection has.
    pub extranonces: Arc<Extranonces>,
    /// Sessions that may be resumed over another connection.
    pub suspended: SuspendedSessions,
    /// What the operator is told.
    pub operator_log: OperatorLog,
    /// The banned addresses.
    pub bans: Bans,
    /// The permits to serve a connection: one for each connection that can still be admitted.
    pub places: Arc<Semaphore>,
    /// The number of connections with an authorized worker, and the sum of all hashrates.
    pub connections: Arc<ConnectionStats>,
    /// The connected miners.
    pub miners: Arc<MinerSessions>,
    /// What the source of work has given last.
    pub source: SourceStatus,
    /// The pool's figures over time.
    pub series: SeriesHandle,
    /// A fault of the source of work, if there is one.
    pub work_health: HealthStatus,
    /// What makes the work of an upstream pool useless, although it gives work: it accepts no shares, or its job is too old.
    pub upstream_health: HealthStatus,
    /// A block that a node has rejected, until the next one is accepted.
    pub block_health: HealthStatus,
    /// A fault of the disk, if the accounts cannot be written.
    pub disk_health: HealthStatus,
    /// What is wrong although there is work.
    pub warnings: Warnings,
    /// The last accepted blocks of earlier runs, oldest first.
    pub last_blocks: Vec<BlockRecord>,
    /// The found blocks that no node has judged yet, if there is a data folder.
    pub pending_blocks: Option<PendingBlocks>,
    /// Where work comes from, as the user is told: `node http://127.0.0.1:8332 (main)`. Empty before there is any.
    work_from: watch::Sender<String>,
    counters: watch::Sender<PoolCounters>,
    accounts: Mutex<Accounts>,
    upstream: Mutex<UpstreamSummary>,
}

impl PoolState {
    /// The state of a pool without work, and the queues for its source of work. `has_upstream` is whether this source is an
    /// upstream pool.
    pub fn new(config: Config, has_upstream: bool) -> (Self, SourceQueues) {
        let (found, found_blocks) = mpsc::channel(FOUND_QUEUE);
        let (forward, shares) = has_upstream.then(|| mpsc::channel(FORWARD_QUEUE)).unzip();
        let state = Self {
            config,
            pays_users: OnceLock::new(),
            jobs: JobPublisher::default(),
            found,
            forward,
            extranonces: Arc::default(),
            suspended: SuspendedSessions::new(config.limits.connections),
            operator_log: OperatorLog::new(config.quiet, Instant::now()),
            bans: Bans::new(config.bans),
            places: Arc::new(Semaphore::new(config.limits.connections)),
            connections: Arc::default(),
            miners: Arc::default(),
            source: SourceStatus::default(),
            series: SeriesHandle::default(),
            work_health: HealthStatus::default(),
            upstream_health: HealthStatus::default(),
            disk_health: HealthStatus::default(),
            warnings: Warnings::default(),
            block_health: HealthStatus::default(),
            last_blocks: Vec::new(),
            pending_blocks: None,
            work_from: watch::Sender::default(),
            counters: watch::Sender::default(),
            accounts: Mutex::new(Accounts::new(config.vardiff.share_interval)),
            upstream: Mutex::default(),
        };
        (state, SourceQueues { found: found_blocks, forward: shares })
    }

    /// Leases an extranonce1 of `size` bytes; drops suspended sessions if none is free.
    pub fn lease(&self, size: usize) -> Option<ExtranonceLease> {
        loop {
            match self.extranonces.take(size) {
                None if self.suspended.remove_oldest() => {}
                None => {
                    self.operator_log.no_extranonce1(size);
                    return None;
                }
                lease => return lease,
            }
        }
    }

    /// Continues with the accounts and pending blocks of earlier runs of the pool.
    pub fn restore(&mut self, mut recovered: RecoveredAccounts, pending_blocks: PendingBlocks) {
        self.last_blocks = std::mem::take(&mut recovered.last_blocks);
        self.accounts().restore(recovered, Instant::now());
        self.pending_blocks = Some(pending_blocks);
    }

    /// Counts a share.
    pub fn count(&self, judged: JudgedShare) {
        self.accounts().count(judged, Now::read());
        self.counters.send_modify(|counters| counters.shares += 1);
    }

    /// Keeps a found block, and hands it to the source of work. The share that solved it has already been counted; what becomes of
    /// the block is counted later.
    pub async fn block_found(&self, found: FoundBlock) {
        self.accounts().found(&found);
        // Sending fails only when the pool ends.
        let _ = self.found.send(found).await;
    }

    /// Counts a block that the chain has accepted or refused. The share that solved it has already been counted.
    pub fn count_block(&self, record: BlockRecord) {
        let (accepted, last_block) = (record.refused.is_none(), Some((record.height, record.hash)));
        self.accounts().count_block(record, Instant::now());
        if accepted {
            self.counters.send_modify(|counters| {
                counters.blocks += 1;
                counters.last_block = last_block;
            });
        }
    }

    /// Counts a block as refused that was counted as accepted; `reason` says why no node has it.
    pub fn uncount_block(&self, record: BlockRecord, reason: String) {
        if !record.restored {
            self.counters.send_modify(|counters| counters.blocks = counters.blocks.saturating_sub(1));
        }
        self.accounts().uncount_block(record, reason, Instant::now());
    }

    /// Counts a block as accepted that was counted as refused, because another one was faster.
    pub fn count_won(&self, record: BlockRecord) {
        if !record.restored {
            self.counters.send_modify(|counters| counters.blocks += 1);
        }
        self.accounts().count_won(record, Instant::now());
    }

    /// Counts an accepted block as orphaned, or as back in the chain, as its record says.
    pub fn count_place(&self, record: BlockRecord) {
        let change = |orphaned: u64| match record.orphaned {
            true => orphaned + 1,
            false => orphaned.saturating_sub(1),
        };
        if !record.restored {
            self.counters.send_modify(|counters| counters.orphaned = change(counters.orphaned));
        }
        self.accounts().count_place(record, Instant::now());
    }

    /// Counts a share that was forwarded to an upstream pool, and passes its outcome on to the miner's connection, which waits for it
    /// unless the share was counted before.
    pub fn settle(&self, (request, outcome): (ForwardRequest, Outcome), round_trip: Duration) {
        let ForwardRequest { share: UpstreamShare { mut judged, .. }, reply } = request;
        let Some(reply) = reply else { return };
        judged.settle(&outcome, round_trip);
        self.count(judged);
        // Sending fails if the connection has ended; then nobody needs the outcome.
        let _ = reply.send(outcome);
    }

    /// The accounts, locked.
    pub fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // A poisoned lock is used like any other: counting does not panic, and if it did, the counts so far would still
        // be right.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets where work comes from, and logs it if it has changed.
    pub fn set_work_from(&self, source: &str) {
        let changed = self.work_from.send_if_modified(|before| {
            let changed = before != source;
            source.clone_into(before);
            changed
        });
        if changed {
            self.operator_log.work_from(source);
        }
    }

    /// Where work comes from; `None` before there is any.
    pub fn work_from(&self) -> Option<String> {
        Some(self.work_from.borrow().clone()).filter(|source| !source.is_empty())
    }

    /// Counters that change with each share and block.
    pub fn counters(&self) -> watch::Receiver<PoolCounters> {
        self.counters.subscribe()
    }

    /// Sets the address of the upstream pool that takes our shares, and the counts of all shares so far.
    pub fn set_upstream(&self, pool: Option<&str>, counts: UpstreamShareCounts) {
        *self.lock_upstream() = UpstreamSummary { pool: pool.map(str::to_owned), counts };
    }

    /// The summary of the upstream pool, if there is one.
    pub fn upstream(&self) -> Option<UpstreamSummary> {
        self.forward.is_some().then(|| self.lock_upstream().clone())
    }

    fn lock_upstream(&self) -> MutexGuard<'_, UpstreamSummary> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current state of the pool: its connections, the height of the block being mined, and the network's difficulty.
    pub fn live(&self) -> PoolLive {
        let current = self.jobs.current();
        let job = current.job();
        PoolLive {
            connections: self.connections.authorized(),
            height: job.map_or(0, |job| job.height.into()),
            difficulty: job.map_or(0.0, |job| job.network_difficulty),
            intervals: None,
            max_connections: u32::try_from(self.config.limits.connections).ok(),
            problem: None,
            credentials: None,
        }
    }
}

#[cfg(test)]
mod tests;
