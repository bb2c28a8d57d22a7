//! The runner of a worker task: mines, and reports as the task's specification says.

use std::sync::Arc;
use std::time::Duration;

use command_line::dial_options;
use net::Dialer;
use stratum::{PoolUrl, PoolUrlError};
use task::{Instruction, Intervals, Live, Report, TaskKind, WorkerLive, WorkerSpec};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::engine::Counters;
use crate::engine::cpus::CpuRequest;
use crate::miner::{self, Event};
use crate::rig::{Rig, difficulty_for};
use crate::runner::{Runner, TaskContext, TaskError, TaskEvent};
use crate::tally::Tally;
use crate::timers::Timers;

/// Wanted time between two shares.
const SHARE_INTERVAL: Duration = Duration::from_secs(1);
/// A pool that went away comes back soon, as a new server task; this is the longest pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Silence after which a pool counts as lost.
const SILENCE: Duration = Duration::from_secs(120);
/// A worker that has not hashed by then fails, and says what was in its way.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Least time between two reports of blocks.
const BLOCKS_APART: Duration = Duration::from_secs(1);
/// Events that the miner may be ahead of the reports.
const EVENTS: usize = 256;

/// The runner for worker tasks.
pub fn runner() -> Runner {
    Arc::new(|context| Box::pin(run(context)))
}

async fn run(context: TaskContext) -> Result<Report, TaskError> {
    let TaskKind::Worker(spec) = context.spec.kind.clone() else {
        return Err(TaskError::new("a worker can't run a server's task"));
    };
    let request = CpuRequest { cpus: Some(spec.cpus), ..CpuRequest::default() };
    let rig = Rig::assemble_in_background(spec.backend.clone(), request)
        .await
        .map_err(|error| TaskError::new(format!("can't mine here: {error:#}")))?;
    let (pools, configs) = watch::channel(config(&spec, rig.hashrate)?);
    let intervals = Intervals::new(context.spec.live_interval, context.spec.report_interval);
    let mut tally = Tally::new(&spec.user);
    tally.set_interval(intervals.report());
    let worker = Worker {
        context,
        pools,
        tally,
        timers: Timers::new(intervals, rand::random(), Instant::now()),
        counters: rig.engine.counters(),
        live: WorkerLive {
            hashrate: 0.0,
            threads: rig.threads,
            backend: rig.backends.to_string(),
            difficulty: 0.0,
            pool: spec.pool.clone(),
            intervals: Some(intervals),
        },
        running: false,
        shown: (0, Instant::now()),
        blocks: (None, false),
    };
    let (sender, events) = mpsc::channel(EVENTS);
    let stop = worker.context.stop.child_token();
    let mining = miner::run_movable(configs, rig.engine, rig.found, sender, stop.clone());
    // Joined, not spawned: when this future is dropped, the miner and its threads end with it.
    let (mined, (report, failure)) = tokio::join!(mining, worker.report(events, stop));
    match failure.or(mined.err().map(|error| logging::error_chain(&error))) {
        None => Ok(report),
        Some(message) => Err(TaskError { message, last: Some(Box::new(report)) }),
    }
}

fn config(spec: &WorkerSpec, hashrate: f64) -> Result<miner::Config, TaskError> {
    let bad = |error: &dyn std::error::Error| TaskError::new(format!("bad pool address: {error}"));
    let pool: PoolUrl = spec.pool.parse().map_err(|error: PoolUrlError| bad(&error))?;
    let dialer = Dialer::new(&dial_options(&spec.access), pool.scheme.is_secure()).map_err(|error| {
        TaskError::new(format!("can't connect to {pool}: {}", logging::error_chain(&error)))
    })?;
    let pool = miner::Pool { url: pool, user: spec.user.clone(), password: spec.password.clone() };
    Ok(miner::Config {
        suggest_difficulty: Some(difficulty_for(hashrate, SHARE_INTERVAL)),
        dialer,
        retry_pause: RETRY_PAUSE,
        silence: SILENCE,
        ..miner::Config::new(vec![pool])
    })
}

struct Worker {
    context: TaskContext,
    /// Where the miner mines.
    pools: watch::Sender<miner::Config>,
    tally: Tally,
    timers: Timers,
    counters: Counters,
    live: WorkerLive,
    /// Whether Running was told.
    running: bool,
    /// Hashes at the last live message.
    shown: (u128, Instant),
    /// When the last report of a block was sent, and whether there is one to be sent.
    blocks: (Option<Instant>, bool),
}

impl Worker {
    /// Turns the miner's events into the task's, until the miner ends; returns the last report, and why the worker
    /// failed if it never got to work.
    async fn report(
        mut self,
        mut events: mpsc::Receiver<Event>,
        stop: CancellationToken,
    ) -> (Report, Option<String>) {
        let mut start_by = Instant::now() + START_DEADLINE;
        let (mut trouble, mut failure) = ("the pool gives no job".to_owned(), None);
        loop {
            let (block_due, report_due) = (self.block_due(), self.timers.report_due());
            let live_due = self.timers.live_due();
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Lost { error, .. }) => {
                        warn!(error, "the pool is lost; trying again");
                        trouble = error;
                    }
                    Some(event) => self.on_event(event).await,
                    None => return (self.tally.report(self.counters.hashes()), failure),
                },
                Some(instruction) = self.context.instructions.recv() => {
                    if self.obey(instruction).await {
                        start_by = Instant::now() + START_DEADLINE;
                    }
                }
                () = sleep_until(report_due), if self.running => {
                    self.timers.report_sent(Instant::now());
                    self.tell_changes().await;
                }
                () = sleep_until(block_due), if self.blocks.1 => {
                    self.blocks = (Some(Instant::now()), false);
                    self.tell_changes().await;
                }
                () = sleep_until(live_due), if self.running => {
                    self.timers.live_sent(Instant::now());
                    self.tell_live().await;
                }
                () = sleep_until(start_by), if !self.running && failure.is_none() => {
                    let seconds = START_DEADLINE.as_secs();
                    failure = Some(format!("no work within {seconds} s: {trouble}"));
                    stop.cancel();
                }
            }
        }
    }

    /// Does what the scheduler wants; whether it mines at another pool from now on.
    async fn obey(&mut self, instruction: Instruction) -> bool {
        match instruction {
            Instruction::MineAt { pool } => return self.mine_at(pool).await,
            // It is confirmed by the next live message, which comes soon.
            Instruction::SetIntervals(intervals) => self.set_intervals(intervals),
            other => debug!(?other, "an instruction of a later version"),
        }
        false
    }

    fn set_intervals(&mut self, intervals: Intervals) {
        if intervals != self.timers.intervals() {
            let (live, report) = (intervals.live(), intervals.report());
            info!(?live, ?report, "told to send live messages and reports at these intervals");
        }
        self.timers.set(intervals, Instant::now());
        self.tally.set_interval(intervals.report());
        self.live.intervals = Some(intervals);
    }

    /// Goes to another pool and says so; whether it is another one.
    async fn mine_at(&mut self, pool: String) -> bool {
        let other = pool != self.live.pool;
        if other {
            let url: PoolUrl = match pool.parse() {
                Ok(url) => url,
                Err(error) => {
                    warn!(pool, %error, "told to mine at a pool that has no good address");
                    return false;
                }
            };
            info!(%url, "told to mine here from now on");
            self.pools.send_modify(|config| {
                for pool in &mut config.pools {
                    pool.url = url.clone();
                }
            });
            self.live.pool = pool;
        }
        // Whoever asks again has not heard it.
        self.tell_live().await;
        other
    }

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Hashing => {
                self.running = true;
                self.timers.restart(Instant::now());
                let report = self.tally.report(self.counters.hashes());
                self.tell(TaskEvent::Running(report)).await;
            }
            Event::Job { id, difficulty, clean } => {
                debug!(job = id, difficulty, clean, "new job");
                self.live.difficulty = difficulty;
            }
            Event::Share { outcome, reason } => {
                if let Some(reason) = reason {
                    warn!(job = outcome.row.job, %reason, "the pool rejected a share");
                }
                let blocks = self.tally.totals(0).blocks;
                self.tally.count(*outcome);
                if self.tally.totals(0).blocks > blocks {
                    info!("a block");
                    self.blocks.1 = true;
                }
            }
            Event::Authorized { pool } => info!(%pool, "mining"),
            Event::Message(text) => info!(text, "the pool says"),
            Event::Lost { .. } => {}
        }
    }

    /// A block is told at once, those that follow it together: on a network of the lowest difficulty there may be
    /// hundreds a second.
    fn block_due(&self) -> Instant {
        self.blocks.0.map_or_else(Instant::now, |last| last + BLOCKS_APART)
    }

    async fn tell_changes(&mut self) {
        let hashes = self.counters.hashes();
        // After the stop, everything goes into the last report.
        if self.running && !self.context.stop.is_cancelled() && self.tally.changed(hashes) {
            let report = self.tally.report(hashes);
            self.tell(TaskEvent::Report(report)).await;
        }
    }

    async fn tell_live(&mut self) {
        let (hashes, now) = (self.counters.hashes(), Instant::now());
        let (before, since) = std::mem::replace(&mut self.shown, (hashes, now));
        let seconds = (now - since).as_secs_f64();
        self.live.hashrate = if seconds > 0.0 { (hashes - before) as f64 / seconds } else { 0.0 };
        self.tell(TaskEvent::Live(Live::Worker(self.live.clone()))).await;
    }

    async fn tell(&self, event: TaskEvent) {
        // Nobody listens only when the executor is ending.
        let _ = self.context.events.send(event).await;
    }
}

/// Ticks after each period; a period of zero counts as a millisecond.
pub(crate) fn every(period: Duration) -> tokio::time::Interval {
    let period = period.max(Duration::from_millis(1));
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
