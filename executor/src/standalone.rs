//! `mesos-miner mine`: the terminal front end, with cpuminer's habits.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use command_line::{Hashrate, Summary, pluralize, print_error_line};
use net::Dialer;
use task::{Totals, Verdict};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli::MineArgs;
use crate::engine::Counters;
use crate::miner::{self, ClientError, Event};
use crate::rig::{Rig, difficulty_for};
use crate::tally::{Outcome, Tally};
use crate::worker::every;

/// Events that the miner may be ahead of the terminal.
const EVENTS: usize = 256;
/// Time between two lines with the hashrate.
const HASHRATE_LINES: Duration = Duration::from_secs(10);

/// Mines until Ctrl-C, SIGTERM or `--duration`, then prints a summary.
///
/// # Errors
/// If nothing can mine here, or the pools are out of reach and no more tries are left.
pub fn run(args: &MineArgs) -> anyhow::Result<ExitCode> {
    // What is wrong with the options comes before everything else.
    args.pools()?;
    let mine = async { mine(args, end_by(args.duration)?).await?.show(args.json) };
    command_line::block_on(1, mine).map(|()| ExitCode::SUCCESS)
}

/// What came of mining.
#[derive(Debug)]
pub struct Mined {
    /// To be shown at the end.
    pub summary: Summary,
    /// Whether it ended as it should.
    pub ended: Result<(), ClientError>,
}

impl Mined {
    /// Prints the summary.
    ///
    /// # Errors
    /// If mining did not end as it should.
    pub fn show(self, json: bool) -> anyhow::Result<()> {
        // Who closed our stdout does not want to know.
        let _ = self.summary.print(json);
        self.ended.context("giving up")
    }
}

/// Mines until `stop` is cancelled.
///
/// # Errors
/// If nothing can mine here.
pub async fn mine(args: &MineArgs, stop: CancellationToken) -> anyhow::Result<Mined> {
    let started = Instant::now();
    let dial_options = args.connection.dial_options(|name| std::env::var(name).ok())?;
    let pools = args.pools()?;
    let dialer = Dialer::new(&dial_options, pools.iter().any(|pool| pool.url.scheme.is_secure()))?;
    let rig = Rig::assemble_in_background(args.backend(), args.cpus()).await?;
    let user = pools.first().map(|pool| pool.user.as_str()).unwrap_or_default();
    let mut terminal = Terminal {
        tally: Tally::new(user),
        counters: rig.engine.counters(),
        started,
        last: (0, started),
        shares: !args.quiet,
        threads: rig.threads,
        mined: false,
    };
    let threads = pluralize(rig.threads, "miner thread");
    terminal.log(format_args!("{threads} started, using {}", rig.backends));
    let config = miner::Config {
        suggest_difficulty: Some(difficulty_for(rig.hashrate, args.share_interval)),
        minimum_difficulty: args.minimum_difficulty,
        dialer,
        retries: args.retries(),
        retry_pause: args.retry_pause(),
        silence: args.silence(),
        ..miner::Config::new(pools)
    };
    let (sender, events) = mpsc::channel(EVENTS);
    let mining = miner::run(config, rig.engine, rig.found, sender, stop);
    let (mined, ()) = tokio::join!(mining, terminal.show(events));
    Ok(Mined { summary: terminal.summary(), ended: mined })
}

/// Arranges for the end: at a signal, or after `--duration`.
///
/// # Errors
/// If signals can't be listened for.
pub fn end_by(duration: Option<Duration>) -> anyhow::Result<CancellationToken> {
    let stop = command_line::stop_token().context("can't listen for signals")?;
    if let Some(duration) = duration {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            stop.cancel();
        });
    }
    Ok(stop)
}

/// What the user sees, and the account behind it.
struct Terminal {
    tally: Tally,
    counters: Counters,
    started: Instant,
    /// Hashes and time of the last line with a hashrate.
    last: (u128, Instant),
    /// Whether to print a line per share.
    shares: bool,
    threads: u32,
    /// Whether there were hashes at all.
    mined: bool,
}

impl Terminal {
    async fn show(&mut self, mut events: mpsc::Receiver<Event>) {
        let mut lines = every(HASHRATE_LINES);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => return,
                },
                _ = lines.tick(), if self.mined => self.show_hashrate(),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Authorized { pool } => self.log(format_args!("mining for {pool}")),
            Event::Lost { error, retry_in } => {
                if retry_in.is_zero() {
                    self.log(format_args!("{error}; trying the next pool"));
                } else {
                    self.log(format_args!("{error}; trying again in {:.1} s", retry_in.as_secs_f64()));
                }
            }
            Event::Job { id, difficulty, clean } => {
                tracing::debug!(id, difficulty, clean, "new job");
                if clean {
                    tracing::info!(difficulty, "new block, or the pool's first job");
                }
            }
            Event::Hashing => {
                self.mined = true;
                self.last = (self.counters.hashes(), Instant::now());
            }
            Event::Message(text) => self.log(format_args!("the pool says: {text}")),
            Event::Share { outcome, reason } => {
                let text = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                self.on_share(*outcome, &text);
            }
        }
    }

    fn on_share(&mut self, outcome: Outcome, reason: &str) {
        let verdict = match outcome.row.verdict {
            Verdict::Accepted if outcome.block => "yay!!! a block",
            Verdict::Accepted => "yay!!!",
            Verdict::Rejected(_) => "booooo",
            Verdict::Stale => "stale",
            Verdict::Unanswered => "unanswered",
        };
        self.tally.count(outcome);
        if self.shares {
            let hashes = self.counters.hashes();
            let Totals { accepted, rejected, stale, unanswered, .. } = self.tally.totals(hashes);
            let all = accepted + rejected + stale + unanswered;
            let percent = accepted as f64 / all.max(1) as f64 * 100.0;
            let rate = Hashrate(self.hashrate_since_start());
            self.log(format_args!("accepted: {accepted}/{all} ({percent:.2}%), {rate} ({verdict}){reason}"));
        }
    }

    fn show_hashrate(&mut self) {
        let (hashes, now) = (self.counters.hashes(), Instant::now());
        let (before, since) = std::mem::replace(&mut self.last, (hashes, now));
        let rate = Hashrate((hashes - before) as f64 / (now - since).as_secs_f64().max(1e-9));
        self.log(format_args!("{}: {rate}", pluralize(self.threads, "thread")));
    }

    fn hashrate_since_start(&self) -> f64 {
        self.counters.hashes() as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// Progress goes to stderr, where it does not mix with results.
    fn log(&self, line: std::fmt::Arguments<'_>) {
        print_error_line(line);
    }

    fn summary(&self) -> Summary {
        let totals = self.tally.totals(self.counters.hashes());
        let workers = u64::from(self.mined);
        Summary::new(totals, self.started.elapsed().as_secs_f64(), workers, BTreeMap::new())
    }
}
