//! A simulated task: a worker that finds shares, or the pool server that counts the workers' shares.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mesos::v1::{TaskInfo, TaskState};
use task::{Live, PoolLive, ProgramSpec, ShareRow, TaskSpec, Totals, Verdict, WorkerLive};

use super::agent::Amount;
use super::updates::Update;

/// The hashrate of a thousandth of a CPU, in H/s.
const HASHRATE: f64 = 10_000.0;
/// The expected number of hashes for each share.
const WORK: u128 = 40_000_000;
/// Maximum number of rows in a report; each row describes one share. Real workers have the same limit.
const MAX_ROWS: u32 = 128;
/// The messages that a task sends periodically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Live,
    Report,
}

/// Sums of all workers' totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// The sum over the workers' last reports.
    pub workers: Totals,
    /// The sum of the workers' totals in the pool server's last reports.
    pub pool: Totals,
}

/// A task and its executor.
pub(super) struct Task {
    pub id: String,
    pub agent: usize,
    pub amount: Amount,
    pub spec: TaskSpec,
    /// The state in the task's newest update.
    pub state: TaskState,
    /// The task's unacknowledged updates. Only the first one has been sent.
    pub updates: VecDeque<Update>,
    /// Whether the task is a worker whose TASK_RUNNING was acknowledged.
    pub has_run: bool,
    /// Whether the task's state was sent to the scheduler since the last subscription.
    pub is_reconciled: bool,
    pub sequence: u64,
    pub totals: Totals,
    pub rows_omitted: u64,
    pub reported: Instant,
    /// The totals of this worker in the pool server's last report.
    pub counted: Totals,
}

impl Task {
    /// Creates a task that has not started yet.
    pub fn new(info: &TaskInfo, agent: usize, spec: TaskSpec, now: Instant) -> Self {
        Self {
            id: info.task_id.value.clone(),
            agent,
            amount: Amount::of(info),
            spec,
            state: TaskState::TaskStaging,
            updates: VecDeque::new(),
            has_run: false,
            is_reconciled: false,
            sequence: 0,
            totals: Totals::default(),
            rows_omitted: 0,
            reported: now,
            counted: Totals::default(),
        }
    }

    pub fn is_worker(&self) -> bool {
        matches!(self.spec.kind, ProgramSpec::Worker(_))
    }

    pub fn not_reconciled(&mut self) {
        self.is_reconciled = false;
    }

    pub fn interval(&self, timer: Timer) -> Duration {
        match timer {
            Timer::Live => self.spec.intervals.live(),
            Timer::Report => self.spec.intervals.report(),
        }
    }

    /// The hashrate of a worker, in H/s.
    pub fn hashrate(&self) -> f64 {
        self.amount.cpus_milli as f64 * HASHRATE
    }

    pub fn live_message(&self) -> Live {
        let intervals = Some(self.spec.intervals);
        match &self.spec.kind {
            ProgramSpec::Worker(worker) => Live::Worker(WorkerLive {
                hashrate: self.hashrate(),
                threads: 4,
                backend: "avx512".to_owned(),
                difficulty: 0.01,
                pool: worker.pool.clone(),
                intervals,
                paused: Some(false),
                cpu_model: "AMD EPYC 9B14 96-Core Processor".to_owned(),
                ..WorkerLive::default()
            }),
            ProgramSpec::Server(_) => Live::Pool(PoolLive {
                connections: 1,
                height: 1,
                difficulty: 1.0,
                intervals,
                ..PoolLive::default()
            }),
        }
    }

    /// Finds this many shares. Returns rows for the shares that fit into a report.
    pub fn find_shares(&mut self, shares: u32) -> Vec<ShareRow> {
        let mut rows = Vec::with_capacity(shares.min(MAX_ROWS) as usize);
        self.totals.hashes += u128::from(shares) * WORK;
        for _ in 0..shares {
            let Totals { accepted, rejected, stale, .. } = self.totals;
            let number = accepted + rejected + stale;
            let verdict = match number {
                _ if number % 50 == 49 => Verdict::Stale,
                _ if number % 200 == 100 => Verdict::Rejected(23),
                _ => Verdict::Accepted,
            };
            self.totals.count(verdict, WORK);
            self.totals.blocks += u64::from(number % 1000 == 7);
            if rows.len() == MAX_ROWS as usize {
                self.rows_omitted += 1;
                continue;
            }
            rows.push(ShareRow {
                job: "1f".to_owned(),
                extranonce2: number.to_be_bytes().to_vec(),
                ntime: 1_700_000_000,
                version: 0x2000_0000,
                nonce: number as u32,
                difficulty: 0.01,
                verdict,
                round_trip: Duration::from_micros(900),
            });
        }
        rows
    }
}
