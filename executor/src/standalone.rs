//! `mesos-miner mine`: the terminal front end, similar to that of cpuminer, and the HTTP API.

mod hashrates;
mod http_api;
mod lines;
mod observers;
mod own_server;
pub mod record;
mod status;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use command_line::{ConnectionArgs, Hashrate, HttpSettings, Reread, RunEnd, Summary, pluralize};
use logging::{Level, LineLimit, Repeats};
use net::{DialOptions, Dialer};
use stratum::PoolUrl;
use text::InWords;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::MineArgs;
use crate::miner::{self, ClientError, Event};
use crate::report_builder::MinedShare;
use crate::started_engine::{StartedEngine, difficulty_for};
use crate::worker::every;

use self::lines::{admit, line_limit, share_line, sum_up};
pub use self::observers::Observers;
pub use self::own_server::{OwnBlocks, OwnServer};
pub use self::status::{MiningStatus, Snapshot, ThreadFigures};

/// Capacity of the queue of events from the miner.
const EVENTS: usize = 256;
/// The time between two lines with the hashrate.
const HASHRATE_LINES: Duration = Duration::from_secs(10);

/// Mines until Ctrl-C, SIGTERM or the end of `--duration`.
///
/// # Errors
/// If the engine cannot be started, or an option is invalid.
pub fn run(args: &MineArgs) -> anyhow::Result<RunEnd> {
    // Reports invalid options before mining starts.
    args.pools()?;
    command_line::block_on(1, async {
        let (status, stop) = (MiningStatus::new(None), stop_after(args.duration)?);
        let observers = Observers::start(args, &status).await?;
        let mined = mine(args, &status, &observers, stop).await;
        observers.end().await;
        Ok(mined?.end())
    })
}

/// The result of mining.
#[derive(Debug)]
pub struct MiningResult {
    /// The summary to print at the end.
    pub summary: Summary,
    /// The error that ended mining, if any.
    pub ended: Result<(), ClientError>,
}

impl MiningResult {
    /// How the run ended.
    pub fn end(self) -> RunEnd {
        let with_remedy = |error: ClientError| match error.problem() {
            Some(problem) if problem.kind.is_permanent() => anyhow::Error::msg(problem.with_remedy()),
            _ => error.into(),
        };
        let result = self.ended.map_err(with_remedy).context("giving up");
        RunEnd { summary: self.summary, notes: Vec::new(), result }
    }
}

/// Mines until `stop` is cancelled, and tells `status` of it, which `observers` see.
///
/// # Errors
/// If the engine cannot be started.
pub async fn mine(
    args: &MineArgs,
    status: &MiningStatus,
    observers: &Observers,
    stop: CancellationToken,
) -> anyhow::Result<MiningResult> {
    let started = Instant::now();
    let dial_options = args.connection.dial_options(|name| std::env::var(name).ok())?;
    let pools = args.pools()?;
    status.set_pools(&pools);
    let dialer = Dialer::new(&dial_options, pools.iter().any(|pool| pool.url.scheme.is_secure()))?;
    if status.server().is_none()
        && let Some(pool) = pools.first()
    {
        logging::notice(Level::INFO, format_args!("connecting to {}", pool.url));
    }
    let engine = StartedEngine::start_in_background(args.backend(), args.cpus()).await?;
    status.set_engine(&engine);
    let mut terminal = Terminal {
        status: status.clone(),
        started,
        last: (0, started),
        shares: !args.quiet,
        share_lines: line_limit(),
        block_lines: line_limit(),
        // Whoever runs the server looks after the output, too, since that begins before the miner.
        unread: status.server().is_none().then(|| stop.clone()),
        mining_on: None,
        repeats: Repeats::default(),
        retry_pause: args.retry_pause,
        threads: engine.threads,
        mined: false,
    };
    let threads = pluralize(engine.threads, "miner thread");
    terminal.log(format_args!("{threads} started, using {}", engine.backends));
    let mut config = miner::Config {
        suggest_difficulty: Some(difficulty_for(engine.hashrate, args.share_interval)),
        minimum_difficulty: args.minimum_difficulty,
        dialer,
        retries: args.retries(),
        // Whoever gives a number of retries wants them.
        refusals: miner::Config::FEW_REFUSALS.filter(|_| args.retries().is_none()),
        retry_pause: args.retry_pause,
        silence_timeout: args.timeout,
        ..miner::Config::new(pools)
    };
    config.set_rules(&args.connection.rules());
    let (sender, events) = mpsc::channel(EVENTS);
    let (changes, configs) = watch::channel(config);
    let (connection, mut options) = (args.connection.clone(), dial_options);
    let http = observers.http().cloned();
    let reread = move || {
        let http = http.iter().flat_map(HttpSettings::reread);
        reread(&connection, &mut options, &changes).into_iter().chain(http).collect()
    };
    command_line::reread_on_hangup(reread).context("cannot listen for signals")?;
    // `mine` has no way to pause.
    let (_, pauses) = watch::channel(false);
    let mining = miner::run(configs, pauses, engine.engine, engine.found, sender, stop);
    let (mined, ()) = tokio::join!(mining, terminal.show(events));
    Ok(MiningResult { summary: terminal.summary(), ended: mined })
}

/// Reads the files of the connection options again. If any has changed, the miner connects again.
fn reread(
    connection: &ConnectionArgs,
    options: &mut DialOptions,
    changes: &watch::Sender<miner::Config>,
) -> Vec<Reread> {
    let mut read = connection.reread(options);
    if read.iter().any(|file| file.outcome == Ok(true)) {
        let secure = changes.borrow().pools.iter().any(|pool| pool.url.scheme.is_secure());
        match Dialer::new(options, secure) {
            Ok(dialer) => changes.send_modify(|config| config.dialer = dialer),
            Err(error) => read.iter_mut().for_each(|file| file.outcome = Err(error.to_string())),
        }
    }
    read
}

/// Cancels the token when nobody reads the output of this process any more, as in `… 2>&1 | head`.
pub fn stop_when_unread(stop: CancellationToken) {
    tokio::spawn(async move {
        command_line::output_closed().await;
        stop.cancel();
    });
}

/// A token that is cancelled when the process receives a signal, or after `duration`.
///
/// # Errors
/// If signal handlers cannot be installed.
pub fn stop_after(duration: Option<Duration>) -> anyhow::Result<CancellationToken> {
    let stop = command_line::stop_token().context("cannot listen for signals")?;
    if let Some(duration) = duration {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            stop.cancel();
        });
    }
    Ok(stop)
}

/// The terminal output, with the counts that it shows.
struct Terminal {
    /// What the miner has done so far.
    status: MiningStatus,
    started: Instant,
    /// The number of hashes when the last line with the hashrate was printed, and the time of that line.
    last: (u128, Instant),
    /// Whether to print a line for each share.
    shares: bool,
    share_lines: LineLimit,
    block_lines: LineLimit,
    /// The line that says what the miner works for, as it was last printed.
    mining_on: Option<String>,
    repeats: Repeats,
    /// The longest pause between two tries.
    retry_pause: Duration,
    threads: u32,
    /// Whether any hash was computed.
    mined: bool,
    /// To be cancelled when nobody reads the output any more. Taken with the first event, so that a pool that cannot be used at all
    /// is a failure even without a reader. `None` with a server in this process.
    unread: Option<CancellationToken>,
}

impl Terminal {
    async fn show(&mut self, mut events: mpsc::Receiver<Event>) {
        let mut lines = every(HASHRATE_LINES);
        let mut blocks = self.status.server().map(|server| server.blocks.clone());
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => return self.sum_up(),
                },
                Some(found) = next_block(&mut blocks) => self.on_block(&found),
                _ = lines.tick(), if self.mined => self.show_hashrate(),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        if let Some(stop) = self.unread.take() {
            stop_when_unread(stop);
        }
        self.status.on_event(&event);
        match event {
            Event::Authorized { pool, .. } => self.show_pool(&pool),
            Event::Lost { error, retry_in, .. } => self.on_lost(error, retry_in),
            Event::Waiting { pool, awaited } => {
                self.on_silence(format!("{pool} is silent: still waiting for {awaited}"))
            }
            Event::Unfit { error, problem } if self.status.server().is_none() => {
                self.warn(format_args!("{error}; {}", problem.kind.remedy()));
            }
            Event::Unfit { .. } | Event::Fit => {}
            Event::Job { job, .. } => {
                let difficulty = job.target.difficulty();
                tracing::debug!(id = job.id, difficulty, clean = job.clean, "new job");
                self.repeats.clear();
                self.show_work();
                if job.clean {
                    tracing::info!(difficulty, "new block, or the pool's first job");
                }
            }
            Event::Working => {
                self.mined = true;
                self.last = (self.status.hashes(), Instant::now());
            }
            Event::Message(text) => self.log(format_args!("the pool says: {text}")),
            Event::FirstHash { .. } | Event::Paused(_) => {}
            Event::Share { share, reason, .. } => {
                let text = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                self.on_share(&share, &text);
            }
        }
    }

    /// Says which pool the miner works for, whenever it has connected.
    fn show_pool(&mut self, pool: &PoolUrl) {
        if self.status.server().is_none() {
            self.log(format_args!("mining for {pool}"));
        }
    }

    /// Says where the work of the server in this process comes from, whenever that changes.
    fn show_work(&mut self) {
        let Some(server) = self.status.server() else { return };
        let line = format!("mining on {}", (server.work)());
        if self.mining_on.as_ref() != Some(&line) {
            self.warn(format_args!("{line}"));
            self.mining_on = Some(line);
        }
    }

    fn on_lost(&mut self, error: String, retry_in: Duration) {
        let error = match self.status.server().map(|server| (server.trouble)()) {
            None => error,
            Some(Some(trouble)) => trouble,
            // The server has work again, so the miner will have some in a moment.
            Some(None) => return,
        };
        let Some(omitted) = self.repeats.print(&error, std::time::Instant::now()) else { return };
        let tries =
            if omitted == 0 { String::new() } else { format!(" ({})", pluralize(omitted, "more time")) };
        if self.status.server().is_some() {
            self.warn(format_args!("{error}"));
        } else if retry_in.is_zero() {
            self.warn(format_args!("{error}{tries}; trying the next pool"));
        } else {
            let most = InWords(self.retry_pause);
            self.warn(format_args!("{error}{tries}; trying again, after pauses of up to {most}"));
        }
    }

    fn on_silence(&mut self, line: String) {
        if self.status.server().is_none() && self.repeats.print(&line, std::time::Instant::now()).is_some() {
            self.warn(format_args!("{line}"));
        }
    }

    fn on_share(&mut self, share: &MinedShare, reason: &str) {
        let (verdict, candidate) = (share.row.verdict, share.candidate);
        if self.shares
            && let Some(omitted) = admit(&mut self.share_lines)
        {
            let totals = self.status.totals();
            let rate = Hashrate(self.hashrate_since_start());
            self.log(format_args!("{}{reason}{omitted}", share_line(verdict, candidate, totals, rate)));
        }
    }

    /// The nodes of the server in this process have accepted a block.
    fn on_block(&mut self, OwnBlocks { count, last, .. }: &OwnBlocks) {
        if let Some(omitted) = admit(&mut self.block_lines) {
            self.log(format_args!("block found, and accepted by the node: {last}; blocks: {count}{omitted}"));
        }
    }

    /// Says at the end how many shares and blocks got no line.
    fn sum_up(&mut self) {
        let shares = sum_up(&mut self.share_lines, "more share");
        let blocks = sum_up(&mut self.block_lines, "more block");
        shares.into_iter().chain(blocks).for_each(|line| self.log(format_args!("{line}")));
    }

    fn show_hashrate(&mut self) {
        let (hashes, now) = (self.status.hashes(), Instant::now());
        let (before, since) = std::mem::replace(&mut self.last, (hashes, now));
        let rate = Hashrate((hashes - before) as f64 / (now - since).as_secs_f64().max(1e-9));
        self.log(format_args!("{}: {rate}", pluralize(self.threads, "thread")));
    }

    fn hashrate_since_start(&self) -> f64 {
        self.status.hashes() as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// Prints progress to stderr. Results go to stdout.
    fn log(&self, line: std::fmt::Arguments<'_>) {
        logging::notice(Level::INFO, line);
    }

    /// Like [`log`](Self::log), for what is wrong.
    fn warn(&self, line: std::fmt::Arguments<'_>) {
        logging::notice(Level::WARN, line);
    }

    fn summary(&self) -> Summary {
        let totals = self.status.totals();
        let workers = u64::from(self.mined);
        let seconds = self.started.elapsed().as_secs_f64();
        // Which candidates became blocks, only the pool knows.
        Summary { blocks: None, ..Summary::new(totals, seconds, workers, BTreeMap::new()) }
    }
}

/// Waits for the next block of the server in this process; `None` without a server, or if it has ended.
async fn next_block(blocks: &mut Option<watch::Receiver<OwnBlocks>>) -> Option<OwnBlocks> {
    let blocks = blocks.as_mut()?;
    blocks.changed().await.ok()?;
    Some(blocks.borrow_and_update().clone())
}
