//! What a miner does just now, for those who ask.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use problem::ProblemKind;
use series::{Sample, SeriesHandle};
use task::{Totals, WorkerDelays};

use crate::cpu_model::cpu_model;
use crate::engine::Counters;
use crate::miner::{Event, Pool};
use crate::started_engine::StartedEngine;
use crate::worker::every;

use super::hashrates::{Hashrates, SAMPLE_EVERY, ThreadHashes, WINDOWS};
use super::record::{DelayHistograms, JobRecord, PoolRecord, Record};
use super::{OwnBlocks, OwnServer};

/// The state of a miner. Clones share it: the miner tells it what happens, and others ask for a [`Snapshot`].
#[derive(Clone, Debug)]
pub struct MiningStatus(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    cpu_model: String,
    record: Mutex<Record>,
    hashrates: Mutex<Hashrates>,
    /// Set once the threads have started.
    engine: OnceLock<EngineStatus>,
    /// The pool server, if it is in this process.
    server: Option<OwnServer>,
    series: SeriesHandle,
}

#[derive(Debug)]
struct EngineStatus {
    counters: Counters,
    backend: String,
    /// The core of each thread; empty if the threads are not pinned.
    pins: Vec<usize>,
}

/// The figures of a miner at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The time since the miner started.
    pub uptime: Duration,
    /// The name of the CPU; empty if it has none.
    pub cpu_model: String,
    /// The hash backends in use; `None` before the threads have started.
    pub backend: Option<String>,
    /// The mining threads.
    pub threads: Vec<ThreadFigures>,
    /// Totals since the start.
    pub totals: Totals,
    /// The highest difficulty of an accepted share's hash; 0 without any.
    pub best_share: f64,
    /// The pools in order of preference.
    pub pools: Vec<PoolRecord>,
    /// The last jobs, the newest first.
    pub jobs: Vec<JobRecord>,
    /// The job that is searched; `None` if no pool gives work.
    pub job: Option<JobRecord>,
    /// The delays of the last minute.
    pub delays: WorkerDelays,
    /// All delays since the start.
    pub histograms: DelayHistograms,
    /// What is wrong.
    pub problems: Vec<ProblemKind>,
    /// The blocks of the pool server in this process, if there is one.
    pub blocks: Option<OwnBlocks>,
    /// The number of blocks found by that server that no node has taken.
    pub rejected_blocks: Option<u64>,
    /// Where the work of that server comes from, and whom it pays.
    pub work_from: Option<String>,
}

/// The figures of one mining thread.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadFigures {
    /// The number of the thread, from 0.
    pub thread: usize,
    /// The core to which it is pinned, if it is.
    pub core: Option<usize>,
    /// Hashes since the start.
    pub hashes: u64,
    /// Hashes per second over about 10 s, a minute and a quarter of an hour; `None` as long as nothing was measured.
    pub hashrates: [Option<f64>; 3],
}

impl Snapshot {
    /// The hashrates of all threads together.
    pub fn hashrates(&self) -> [Option<f64>; 3] {
        let sum = |window: usize| {
            let rates = self.threads.iter().map(|thread| thread.hashrates[window]);
            rates.sum::<Option<f64>>().filter(|_| !self.threads.is_empty())
        };
        [0, 1, 2].map(sum)
    }

    /// The pool that gave the present job.
    pub fn pool(&self) -> Option<&PoolRecord> {
        self.pools.get(self.job.as_ref()?.pool)
    }
}

impl MiningStatus {
    /// The status of a miner that begins. `server` is the pool if it is in this process.
    pub fn new(server: Option<OwnServer>) -> Self {
        let started = Instant::now();
        MiningStatus(Arc::new(Shared {
            started,
            cpu_model: cpu_model(),
            record: Mutex::new(Record::new(started)),
            hashrates: Mutex::default(),
            engine: OnceLock::new(),
            server,
            series: SeriesHandle::default(),
        }))
    }

    /// The pool server in this process, if there is one.
    pub fn server(&self) -> Option<&OwnServer> {
        self.0.server.as_ref()
    }

    /// The figures over time. They are recorded while [`sample`](Self::sample) runs.
    pub fn series(&self) -> &SeriesHandle {
        &self.0.series
    }

    /// The miner mines for these pools.
    pub fn set_pools(&self, pools: &[Pool]) {
        self.record().set_pools(pools);
    }

    /// The threads have started. Only the first call counts.
    pub fn set_engine(&self, engine: &StartedEngine) {
        let (counters, backend) = (engine.engine.counters(), engine.backends.to_string());
        let status = EngineStatus { counters, backend, pins: engine.pins.clone() };
        if self.0.engine.set(status).is_ok() {
            self.take_sample();
        }
    }

    /// Takes in an event of the miner.
    pub fn on_event(&self, event: &Event) {
        self.record().on_event(event, Instant::now(), SystemTime::now());
    }

    /// The totals so far.
    pub fn totals(&self) -> Totals {
        self.record().totals(self.hashes())
    }

    /// The number of hashes so far.
    pub fn hashes(&self) -> u128 {
        self.0.engine.get().map_or(0, |engine| engine.counters.hashes())
    }

    /// What is wrong, in one sentence; `None` if nothing is, or if nothing has failed yet.
    pub fn problem(&self) -> Option<String> {
        match self.server() {
            Some(server) => (server.trouble)(),
            None => self.record().trouble().map(str::to_owned),
        }
    }

    /// What is wrong although there is a job.
    pub fn warning(&self) -> Option<String> {
        self.record().unfit().filter(|_| self.server().is_none()).map(|problem| problem.with_remedy())
    }

    /// Why there is no job; `None` if there is one.
    pub fn not_ready(&self) -> Option<String> {
        let has_job = self.record().job().is_some();
        (!has_job).then(|| self.problem().unwrap_or_else(|| "no pool has given a job yet".to_owned()))
    }

    /// The figures of this moment.
    pub fn snapshot(&self) -> Snapshot {
        let (now, threads) = (Instant::now(), self.threads());
        let server = self.server();
        let mut record = self.record();
        Snapshot {
            uptime: now - self.0.started,
            cpu_model: self.0.cpu_model.clone(),
            backend: self.0.engine.get().map(|engine| engine.backend.clone()),
            totals: record.totals(threads.iter().map(|thread| u128::from(thread.hashes)).sum()),
            threads,
            best_share: record.best_share(),
            pools: record.pools().to_vec(),
            jobs: record.jobs().cloned().collect(),
            job: record.job().cloned(),
            delays: record.delays.last_minute(now),
            histograms: record.histograms.clone(),
            problems: match server {
                Some(server) => (server.problems)().iter().map(|problem| problem.kind).collect(),
                None => record.problem_kind().into_iter().collect(),
            },
            blocks: server.map(|server| server.blocks.borrow().clone()),
            rejected_blocks: server.map(|server| (server.rejected_blocks)()),
            work_from: server.map(|server| (server.work)()),
        }
    }

    fn threads(&self) -> Vec<ThreadFigures> {
        let (Some(engine), Some(now)) = (self.0.engine.get(), self.thread_hashes()) else {
            return Vec::new();
        };
        let hashrates = lock(&self.0.hashrates);
        let windows = WINDOWS.map(|window| hashrates.over(window, &now));
        let figures = |(thread, hashes): (usize, &u64)| ThreadFigures {
            thread,
            core: engine.pins.get(thread).copied(),
            hashes: *hashes,
            hashrates: windows.each_ref().map(|rates| rates.as_ref()?.get(thread).copied()),
        };
        now.hashes.iter().enumerate().map(figures).collect()
    }

    /// Records the figures every ten seconds until the returned future is dropped. Without it there are no hashrates.
    pub async fn sample(self) {
        let mut ticks = every(SAMPLE_EVERY);
        loop {
            ticks.tick().await;
            self.take_sample();
        }
    }

    fn take_sample(&self) {
        let Some(now) = self.thread_hashes() else { return };
        let hashrate = self.snapshot().hashrates()[0];
        lock(&self.0.hashrates).record(now);
        // The first sample has nothing to compare with.
        let Some(hashrate) = hashrate else { return };
        let Totals { accepted, rejected, stale, unanswered, .. } = self.totals();
        let blocks = self.server().map_or(0, |server| server.blocks.borrow().count);
        let counters = series::Counters { accepted, rejected, stale, unanswered, blocks };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.0.series.with(|series| series.record(time, Sample { hashrate, workers: 1, counters }));
    }

    fn thread_hashes(&self) -> Option<ThreadHashes> {
        let engine = self.0.engine.get()?;
        Some(ThreadHashes { at: Instant::now(), hashes: engine.counters.by_thread().collect() })
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.0.record)
    }
}

/// A panic elsewhere does not make figures unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
