//! Runs worker tasks: mines and sends reports at the intervals of the task.

use std::sync::Arc;
use std::time::Duration;

use command_line::dial_options;
use net::Dialer;
use problem::{Problem, ProblemKind};
use stratum::{PoolUrl, PoolUrlError};
use task::{Instruction, Intervals, Live, ProgramSpec, Report, Verdict, WorkerLive, WorkerSpec};
use text::InWords;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::engine::Counters;
use crate::engine::cpus::CpuRequest;
use crate::miner::{self, ClientError, Event};
use crate::report_builder::ReportBuilder;
use crate::runner::{BLOCK_REPORT_INTERVAL, Runner, TaskContext, TaskError, TaskEvent};
use crate::started_engine::{StartedEngine, difficulty_for};
use crate::timers::Timers;
use crate::waiting::Waiting;

/// The desired time between two shares of a worker.
const SHARE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause between two attempts to connect. It is short because a lost pool server is soon replaced by a new task.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How often a worker that mines at an alternative URL of its pool checks whether it can use the preferred URL again. The checks
/// are rare, because both URLs lead to the same pool.
const PROBE_INTERVAL: Duration = Duration::from_secs(600);
/// If the pool has alternative URLs, an attempt to connect to one of them may take this long. Then the worker tries the next URL.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A pool that sends nothing for this long counts as lost.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);
/// After this time of silence the worker says what its pool owes it.
const WAITING_AFTER: Duration = Duration::from_secs(5);
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
    let config = config(&spec, engine.hashrate)?;
    let waiting = Waiting::new(silence(&spec.pool), config.pools.len(), Instant::now());
    let (config_sender, configs) = watch::channel(config);
    let intervals = context.spec.intervals;
    let mut report = ReportBuilder::new(&spec.user);
    report.set_interval(intervals.report());
    let worker = Worker {
        context,
        configs: config_sender,
        report,
        timers: Timers::new(intervals, rand::random(), Instant::now()),
        counters: engine.engine.counters(),
        live: WorkerLive {
            hashrate: 0.0,
            threads: engine.threads,
            backend: engine.backends.to_string(),
            difficulty: 0.0,
            pool: spec.pool.clone(),
            intervals: Some(intervals),
            problem: None,
            totals: None,
        },
        waiting,
        unfit: None,
        running: false,
        last_live: (0, Instant::now()),
        candidate_reported: None,
        new_candidate: false,
    };
    let (sender, events) = mpsc::channel(EVENTS);
    let stop = worker.context.stop.child_token();
    let mining = miner::run(configs, engine.engine, engine.found, sender, stop.clone());
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

fn config(spec: &WorkerSpec, hashrate: f64) -> Result<miner::Config, TaskError> {
    let urls = pool_urls(&spec.pool, &spec.alternatives)
        .map_err(|error| TaskError::new(format!("bad pool address: {error}")))?;
    let secure = urls.iter().any(|url| url.scheme.is_secure());
    let mut dialer = Dialer::new(&dial_options(&spec.access), secure).map_err(|error| {
        TaskError::new(format!("cannot connect to {}: {}", spec.pool, logging::error_chain(&error)))
    })?;
    if urls.len() > 1 {
        dialer.timeout = DIAL_TIMEOUT;
    }
    let pool = |url| miner::Pool { url, user: spec.user.clone(), password: spec.password.clone() };
    let mut config = miner::Config {
        suggest_difficulty: Some(difficulty_for(hashrate, SHARE_INTERVAL)),
        dialer,
        retry_pause: RETRY_PAUSE,
        silence_timeout: SILENCE_TIMEOUT,
        waiting_after: WAITING_AFTER,
        refusals: miner::Config::FEW_REFUSALS,
        probe_interval: PROBE_INTERVAL,
        ..miner::Config::new(urls.into_iter().map(pool).collect())
    };
    config.set_rules(&spec.access.rules);
    Ok(config)
}

/// The URLs of a pool, best first. Those that are invalid are left out, because an agent's host name may be any text.
///
/// # Errors
/// If no URL is valid: the error of the first one.
fn pool_urls(pool: &str, alternatives: &[String]) -> Result<Vec<PoolUrl>, PoolUrlError> {
    let parse = |text: &str| text.parse().inspect_err(|error| debug!(text, %error, "not a pool's address"));
    let first = parse(pool);
    let others = alternatives.iter().filter_map(|text| parse(text).ok());
    match first {
        Ok(first) => Ok(std::iter::once(first).chain(others).collect()),
        Err(error) => Some(others.collect::<Vec<_>>()).filter(|others| !others.is_empty()).ok_or(error),
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
    report: ReportBuilder,
    timers: Timers,
    counters: Counters,
    live: WorkerLive,
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
            Event::Hashing => {
                self.running = true;
                self.timers.restart(Instant::now());
                let report = self.report.report(self.counters.hashes());
                self.send(TaskEvent::Running(report)).await;
            }
            Event::Job { id, difficulty, clean } => {
                debug!(job = id, difficulty, clean, "new job");
                self.live.difficulty = difficulty;
                if self.problem_is(ProblemKind::PoolJobOutdated) {
                    self.unfit = None;
                }
                if self.waiting.works() && self.running {
                    self.send_live().await;
                }
            }
            Event::Share { share, reason } => {
                if share.row.verdict == Verdict::Accepted && self.problem_is(ProblemKind::PoolRejectsShares) {
                    self.unfit = None;
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
            Event::Authorized { pool } => info!(%pool, "mining"),
            Event::Message(text) => info!(text, "the pool says"),
            Event::Lost { error, problem, .. } => {
                self.unfit = None;
                warn!(error, "lost the pool; trying again");
                if let Some(problem) = problem {
                    self.waiting.met(problem, Instant::now());
                }
            }
        }
    }

    /// Whether the pool is of no use for a reason of this kind.
    fn problem_is(&self, kind: ProblemKind) -> bool {
        self.unfit.as_ref().is_some_and(|problem| problem.kind == kind)
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
        self.live.hashrate = if seconds > 0.0 { (hashes - before) as f64 / seconds } else { 0.0 };
        self.send(TaskEvent::Live(Live::Worker(self.live.clone()))).await;
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

#[cfg(test)]
mod tests {
    use task::PoolAccess;

    use super::*;

    fn spec(pool: &str, alternatives: &[&str]) -> WorkerSpec {
        WorkerSpec {
            pool: pool.into(),
            alternatives: alternatives.iter().map(|text| (*text).to_owned()).collect(),
            user: "miner-worker-7".into(),
            password: "x".into(),
            access: PoolAccess::default(),
            cpus: 1.0,
            backend: None,
        }
    }

    #[test]
    fn the_urls_of_a_pool_are_tried_in_order_and_invalid_ones_are_left_out() {
        for (pool, alternatives, expected) in [
            ("stratum+tcp://a:1", &["stratum+tcp://10.0.0.1:1"][..], &["a:1", "10.0.0.1:1"][..]),
            ("stratum+tcp://a:1", &[], &["a:1"]),
            ("stratum+tcp://a b:1", &["stratum+tcp://[fd00::1]:1"], &["[fd00::1]:1"]),
            ("stratum+tcp://a:1", &["stratum+tcp://c d:1", ""], &["a:1"]),
        ] {
            let config = config(&spec(pool, alternatives), 1e6).unwrap();
            let urls: Vec<_> = config.pools.iter().map(|pool| pool.url.to_string()).collect();
            let expected: Vec<_> = expected.iter().map(|url| format!("stratum+tcp://{url}")).collect();
            assert_eq!(urls, expected);
            assert!(config.pools.iter().all(|pool| pool.user == "miner-worker-7"));
            let limit = if urls.len() > 1 { DIAL_TIMEOUT } else { Dialer::default().timeout };
            assert_eq!(config.dialer.timeout, limit, "{urls:?}");
        }
        let error = config(&spec("a b:1", &["c d:1"]), 1e6).unwrap_err();
        assert!(error.message.contains("bad pool address") && error.message.contains("a b"), "{error:?}");
    }
}
