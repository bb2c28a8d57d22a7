//! Runs worker tasks: mines and sends reports at the intervals of the task.

mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use net::Dialer;
use problem::{Problem, ProblemKind};
use task::{Instruction, Intervals, Live, ProgramSpec, Report, WorkerLive, WorkerSpec};
use text::InWords;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::cpu_model::cpu_model;
use crate::delays::Delays;
use crate::engine::Counters;
use crate::engine::cpus::CpuRequest;
use crate::miner::{self, ClientError, Event};
use crate::report_builder::ReportBuilder;
use crate::runner::{BLOCK_REPORT_INTERVAL, Runner, TaskContext, TaskError, TaskEvent};
use crate::started_engine::StartedEngine;
use crate::timers::Timers;
use crate::waiting::Waiting;

use self::settings::{DIAL_TIMEOUT, config, pool_urls};

/// A worker that computes no hash within this time fails.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Capacity of the queue of events from the miner.
const EVENTS: usize = 256;

/// The runner for worker tasks.
pub fn runner() -> Runner {
    Arc::new(|context| Box::pin(run(context)))
}

async fn run(context: TaskContext) -> Result<Report, TaskError> {
    let ProgramSpec::Worker(spec) = context.spec.kind.clone() else {
        return Err(TaskError::new("a worker cannot run a server's task"));
    };
    let request = CpuRequest { cpus: Some(spec.cpus), ..CpuRequest::default() };
    let engine = StartedEngine::start_in_background(spec.backend.clone(), request)
        .await
        .map_err(|error| TaskError::new(format!("cannot mine: {error:#}")))?;
    let (config_sender, configs) = watch::channel(config(&spec, engine.hashrate)?);
    let (pauses, paused) = watch::channel(false);
    let worker = Worker::new(context, spec, config_sender, pauses, &engine);
    let (sender, events) = mpsc::channel(EVENTS);
    let stop = worker.context.stop.child_token();
    let mining = miner::run(configs, paused, engine.engine, engine.found, sender, stop.clone());
    // The miner is not spawned as a task of its own, because dropping this future must end the miner and its threads.
    let (mined, (report, failure)) = tokio::join!(mining, worker.run(events, stop));
    let refused = |error: ClientError| match error.problem() {
        Some(problem) => problem.into(),
        None => TaskError::new(logging::error_chain(&error)),
    };
    match failure.or(mined.err().map(refused)) {
        None => Ok(report),
        Some(error) => Err(TaskError { last_report: Some(Box::new(report)), ..error }),
    }
}

/// What a worker says as long as its pool has neither given a job nor failed.
fn silence(pool: &str) -> Problem {
    Problem::new(ProblemKind::PoolUnreachable, format!("{pool} has given no job yet"))
}

struct Worker {
    context: TaskContext,
    /// The settings of the miner, which name its pool.
    configs: watch::Sender<miner::Config>,
    /// Whether the miner is to search nothing.
    pauses: watch::Sender<bool>,
    report: ReportBuilder,
    timers: Timers,
    counters: Counters,
    live: WorkerLive,
    delays: Delays,
    waiting: Waiting,
    /// Why the pool that gives work is of no use, if it is of none.
    unfit: Option<Problem>,
    /// Whether [`TaskEvent::Running`] was sent.
    running: bool,
    /// The number of hashes when the last live message was sent, and the time of that message. The next live message reports the
    /// hashrate since then.
    last_live: (u128, Instant),
    /// When the last report of a candidate was sent; `None` if none was sent.
    candidate_reported: Option<Instant>,
    /// Whether the pool has accepted a candidate since `candidate_reported`.
    new_candidate: bool,
}

impl Worker {
    fn new(
        context: TaskContext,
        spec: WorkerSpec,
        configs: watch::Sender<miner::Config>,
        pauses: watch::Sender<bool>,
        engine: &StartedEngine,
    ) -> Self {
        let (intervals, now) = (context.spec.intervals, Instant::now());
        let mut report = ReportBuilder::new(&spec.user);
        report.set_interval(intervals.report());
        let waiting = Waiting::new(silence(&spec.pool), configs.borrow().pools.len(), now);
        Worker {
            context,
            configs,
            pauses,
            report,
            timers: Timers::new(intervals, rand::random(), now),
            counters: engine.engine.counters(),
            live: WorkerLive {
                hashrate: 0.0,
                threads: engine.threads,
                backend: engine.backends.to_string(),
                difficulty: 0.0,
                pool: spec.pool,
                intervals: Some(intervals),
                paused: Some(false),
                cpu_model: cpu_model(),
                ..WorkerLive::default()
            },
            delays: Delays::new(now.into_std()),
            waiting,
            unfit: None,
            running: false,
            last_live: (0, now),
            candidate_reported: None,
            new_candidate: false,
        }
    }

    /// Turns events of the miner into events of the task until the miner ends. Returns the last report, and an error if the
    /// worker never began to work.
    async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        stop: CancellationToken,
    ) -> (Report, Option<TaskError>) {
        let mut start_by = Instant::now() + START_DEADLINE;
        let mut failure = None;
        loop {
            let (candidate_due, report_due) = (self.candidate_due(), self.timers.report_due());
            let live_due = self.timers.live_due();
            // The live messages of a running worker repeat the problem.
            let again = (!self.running).then(|| self.timers.intervals().live());
            let tell_at = self.waiting.tell_at(again);
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on_event(event).await,
                    None => return (self.report.report(self.counters.hashes()), failure),
                },
                Some(instruction) = self.context.instructions.recv() => {
                    if self.obey(instruction).await {
                        start_by = Instant::now() + START_DEADLINE;
                    }
                }
                () = sleep_until(report_due), if self.running => {
                    self.timers.report_sent(Instant::now());
                    self.send_report().await;
                }
                () = sleep_until(candidate_due), if self.new_candidate => {
                    (self.candidate_reported, self.new_candidate) = (Some(Instant::now()), false);
                    self.send_report().await;
                }
                () = sleep_until(live_due), if self.running => {
                    self.timers.live_sent(Instant::now());
                    self.send_live().await;
                }
                () = sleep_until(tell_at.unwrap_or_else(Instant::now)), if tell_at.is_some() => self.tell().await,
                () = sleep_until(start_by), if !self.running && failure.is_none() => {
                    failure = Some(self.no_work());
                    stop.cancel();
                }
            }
        }
    }

    /// Tells the scheduler why the worker has no work.
    async fn tell(&mut self) {
        match self.waiting.tell(Instant::now()) {
            Some(problem) if !self.running => self.send(TaskEvent::Waiting(problem)).await,
            _ => self.send_live().await,
        }
    }

    /// The error of a worker that never began to work.
    fn no_work(&self) -> TaskError {
        let problem = self.waiting.problem();
        let why = problem.as_ref().map_or("the engine computes no hash", |problem| &problem.text);
        TaskError {
            problem: problem.clone(),
            ..TaskError::new(format!("no work within {}: {why}", InWords(START_DEADLINE)))
        }
    }

    /// Obeys an instruction. Returns whether the worker has switched to another pool.
    async fn obey(&mut self, instruction: Instruction) -> bool {
        match instruction {
            Instruction::MineAt { pool, alternatives } => return self.mine_at(pool, &alternatives).await,
            // The next live message, which is sent soon, confirms the new intervals.
            Instruction::SetIntervals(intervals) => self.set_intervals(intervals),
            Instruction::Pause(pause) => self.pause(pause).await,
            other => debug!(?other, "ignored an unknown instruction"),
        }
        false
    }

    fn set_intervals(&mut self, intervals: Intervals) {
        if intervals != self.timers.intervals() {
            let (live, report) = (intervals.live(), intervals.report());
            info!(?live, ?report, "new intervals of live messages and reports");
        }
        self.timers.set_intervals(intervals, Instant::now());
        self.report.set_interval(intervals.report());
        self.live.intervals = Some(intervals);
    }

    /// Makes the miner pause or go on. The live message that confirms it is sent when the miner has done so, or at once if it has
    /// done so before: a repeated instruction means that the scheduler has not received the confirmation.
    async fn pause(&mut self, pause: bool) {
        self.pauses.send_if_modified(|paused| std::mem::replace(paused, pause) != pause);
        if self.live.paused == Some(pause) {
            self.send_live().await;
        }
    }

    /// Switches to this pool and confirms the switch. Returns whether the pool is a different one.
    async fn mine_at(&mut self, pool: String, alternatives: &[String]) -> bool {
        let other = pool != self.live.pool;
        if other {
            let urls = match pool_urls(&pool, alternatives) {
                Ok(urls) => urls,
                Err(error) => {
                    warn!(pool, %error, "ignored an instruction to mine at a pool with an invalid address");
                    return false;
                }
            };
            info!(pool, ?alternatives, "switching to another pool");
            self.configs.send_modify(|config| {
                let Some(account) = config.pools.first().cloned() else { return };
                config.dialer.timeout = if urls.len() > 1 { DIAL_TIMEOUT } else { Dialer::default().timeout };
                config.pools = urls.into_iter().map(|url| miner::Pool { url, ..account.clone() }).collect();
            });
            let peers = self.configs.borrow().pools.len();
            self.waiting.restart(silence(&pool), peers, Instant::now());
            self.live.pool = pool;
        }
        // Sends the confirmation even if the pool is the same, because a repeated instruction means that the scheduler has not
        // received the confirmation.
        self.send_live().await;
        other
    }

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Working => {
                self.running = true;
                self.timers.restart(Instant::now());
                let report = self.report.report(self.counters.hashes());
                self.send(TaskEvent::Running(report)).await;
            }
            Event::FirstHash { delay } => {
                self.delays.notify_to_first_hash.record(delay, std::time::Instant::now());
            }
            Event::Paused(paused) => {
                info!(
                    "{}",
                    if paused { "paused: searching nothing until told to go on" } else { "searching again" }
                );
                self.live.paused = Some(paused);
                self.send_live().await;
            }
            Event::Job { job, .. } => {
                self.live.difficulty = job.target.difficulty();
                debug!(job = job.id, difficulty = self.live.difficulty, clean = job.clean, "new job");
                if self.waiting.works() && self.running {
                    self.send_live().await;
                }
            }
            Event::Share { share, reason, .. } => {
                if share.is_answered(reason.as_ref()) {
                    self.delays.share_round_trip.record(share.row.round_trip, std::time::Instant::now());
                }
                if let Some(reason) = reason {
                    warn!(job = share.row.job, %reason, "the pool rejected a share");
                }
                let candidates = self.report.totals(0).candidates;
                self.report.count(*share);
                if self.report.totals(0).candidates > candidates {
                    debug!("the pool has accepted a candidate for a block");
                    self.new_candidate = true;
                }
            }
            Event::Waiting { pool, awaited } => {
                warn!(%pool, %awaited, "the pool is silent");
                let text = format!("{pool} is silent: still waiting for {awaited}");
                // A running worker has the last job, which may be hours old on a quiet network.
                if !self.running {
                    self.waiting.met(Problem::new(ProblemKind::PoolUnreachable, text), Instant::now());
                }
            }
            Event::Unfit { error, problem } => {
                warn!(error, "the pool is of no use");
                self.unfit = Some(problem);
                if self.running {
                    self.send_live().await;
                }
            }
            Event::Fit => {
                if self.unfit.take().is_some() {
                    info!("the pool is of use again, or was left");
                    if self.running {
                        self.send_live().await;
                    }
                }
            }
            Event::Authorized { pool, .. } => info!(%pool, "mining"),
            Event::Message(text) => info!(text, "the pool says"),
            Event::Lost { error, problem, .. } => {
                warn!(error, "lost the pool; trying again");
                if let Some(problem) = problem {
                    self.waiting.met(problem, Instant::now());
                }
            }
        }
    }

    /// When to report a candidate: immediately, unless another was reported within [`BLOCK_REPORT_INTERVAL`]. On a network
    /// with minimum difficulty there may be hundreds of blocks per second.
    fn candidate_due(&self) -> Instant {
        self.candidate_reported.map_or_else(Instant::now, |last| last + BLOCK_REPORT_INTERVAL)
    }

    async fn send_report(&mut self) {
        let hashes = self.counters.hashes();
        // After the stop, no more reports are needed, because the last report contains everything.
        if self.running && !self.context.stop.is_cancelled() && self.report.changed(hashes) {
            let report = self.report.report(hashes);
            self.send(TaskEvent::Report(report)).await;
        }
    }

    async fn send_live(&mut self) {
        let (hashes, now) = (self.counters.hashes(), Instant::now());
        let (before, since) = std::mem::replace(&mut self.last_live, (hashes, now));
        let seconds = (now - since).as_secs_f64();
        self.live.totals = Some(self.report.totals(hashes));
        self.live.problem = self.waiting.told().or_else(|| self.unfit.clone());
        let searches = self.live.paused != Some(true) && seconds > 0.0;
        self.live.hashrate = if searches { (hashes - before) as f64 / seconds } else { 0.0 };
        self.live.delays = Some(self.delays.last_minute(now.into_std()));
        self.send(TaskEvent::Live(Live::Worker(self.live.clone()).into())).await;
    }

    async fn send(&self, event: TaskEvent) {
        // Sending fails only when the executor is ending and has dropped the receiver. The event is then not needed.
        let _ = self.context.events.send(event).await;
    }
}

/// An interval whose first tick comes after one period. A period of zero counts as a millisecond.
pub fn every(period: Duration) -> tokio::time::Interval {
    let period = period.max(Duration::from_millis(1));
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
