//! What the pool tells its operator without being asked: miners that join and leave, found blocks, and its figures once a minute.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use command_line::Hashrate;
use logging::LineLimit;
use task::Totals;
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::handle::{PoolHandle, PoolSummary};
use crate::job::ExtranonceLayout;
use crate::share::FoundBlock;

/// The worker name of health checks. A check is no miner: it submits no share, so it has no account, and it gets no lines.
pub const HEALTH_CHECK_USER: &str = "health-check";
/// The time between two lines with the pool's figures.
const FIGURES_EVERY: Duration = Duration::from_secs(60);
/// How often events without a line of their own are summed up, if there are any.
const SUM_UP_EVERY: Duration = Duration::from_secs(1);

/// Writes the lines, unless the operator wants none.
#[derive(Debug)]
pub struct OperatorLog {
    quiet: bool,
    limits: Mutex<Limits>,
}

#[derive(Debug)]
struct Limits {
    miners: LineLimit,
    blocks: LineLimit,
    refused_blocks: LineLimit,
    sources: LineLimit,
    /// How many of the omitted lines on miners are on miners that left.
    omitted_left: u64,
    /// When the operator was last told that every extranonce1 is in use.
    told_no_extranonce1: Option<Instant>,
}

/// The numbers of events that got no line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Omitted {
    joined: u64,
    left: u64,
    blocks: u64,
    refused_blocks: u64,
    sources: u64,
}

impl OperatorLog {
    /// A log that writes nothing if `quiet`.
    pub fn new(quiet: bool, now: Instant) -> Self {
        let [miners, blocks, refused_blocks, sources] = [0; 4].map(|_| LineLimit::new(now));
        let (omitted_left, told_no_extranonce1) = (0, None);
        let limits = Limits { miners, blocks, refused_blocks, sources, omitted_left, told_no_extranonce1 };
        OperatorLog { quiet, limits: Mutex::new(limits) }
    }

    /// A connection has authorized its first worker. `miners` is the number of such connections now.
    pub fn joined(&self, worker: &str, address: SocketAddr, miners: u32) {
        if self.admits_miner(false) {
            tracing::info!(worker, %address, miners, "miner joined");
        }
    }

    /// A connection with an authorized worker has ended.
    pub fn left(&self, worker: &str, address: SocketAddr, miners: u32, reason: &str) {
        if self.admits_miner(true) {
            tracing::info!(worker, %address, miners, reason, "miner left");
        }
    }

    /// Whether a block that was found and accepted gets a line.
    pub fn admits_block(&self) -> bool {
        self.lock().blocks.admit(Instant::now()) && !self.quiet
    }

    /// A miner was refused, because every extranonce1 of `size` bytes is in use. Warns once a minute, even if the operator wants
    /// few lines.
    pub fn no_extranonce1(&self, size: usize) {
        let now = Instant::now();
        let mut limits = self.lock();
        let told = limits.told_no_extranonce1;
        if told.is_none_or(|at| now.saturating_duration_since(at) >= FIGURES_EVERY) {
            limits.told_no_extranonce1 = Some(now);
            tracing::warn!(
                "no room for more miners: all {} extranonce1 of {size} byte(s) are in use, and the upstream pool leaves no room for more; \
                 start another pool server for the same upstream pool",
                ExtranonceLayout::prefixes(size)
            );
        }
    }

    /// Whether a block that was refused, or has left the chain, gets a line. A quiet log has such lines, too.
    pub fn admits_refused_block(&self) -> bool {
        self.lock().refused_blocks.admit(Instant::now())
    }

    /// A node has accepted a block.
    pub fn accepted(&self, found: &FoundBlock) {
        if self.admits_block() {
            let (height, hash, worker) = (found.height, found.block.block_hash(), &*found.worker);
            let (transactions, pays) = (found.block.txdata.len(), found.value());
            tracing::info!(height, %hash, worker, transactions, %pays, "block found, and accepted by the node");
        }
    }

    /// Work comes from another place than before. A quiet log says so, too.
    pub fn work_from(&self, source: &str) {
        let admitted = self.lock().sources.admit(Instant::now());
        if admitted {
            tracing::info!("work comes from {source}");
        }
    }

    /// Sums up events, and writes the pool's figures once a minute, until `stop`.
    pub async fn run(&self, pool: &PoolHandle, stop: CancellationToken) {
        let start = tokio::time::Instant::now();
        let mut sums = interval_at(start + SUM_UP_EVERY, SUM_UP_EVERY);
        let mut minutes = interval_at(start + FIGURES_EVERY, FIGURES_EVERY);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sums.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut figures = Figures::of(&pool.summary());
        let mut written = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.sum_up(None),
                _ = sums.tick() => self.sum_up(Some(Instant::now())),
                _ = minutes.tick(), if !self.quiet => {
                    let before = std::mem::replace(&mut figures, Figures::of(&pool.summary()));
                    let line = figures.since(&before);
                    // An idle pool does not repeat itself.
                    if line.totals != Totals::default() || written.as_ref() != Some(&line) {
                        line.write();
                        written = Some(line);
                    }
                }
            }
        }
    }

    fn admits_miner(&self, left: bool) -> bool {
        let mut limits = self.lock();
        let admitted = limits.miners.admit(Instant::now());
        limits.omitted_left += u64::from(left && !admitted);
        admitted && !self.quiet
    }

    /// Writes how many events got no line. Without a time, it does not wait for the end of the period.
    fn sum_up(&self, now: Option<Instant>) {
        let Omitted { joined, left, blocks, refused_blocks, sources } = self.lock().take_omitted(now);
        if refused_blocks > 0 {
            tracing::warn!(blocks = refused_blocks, "and more blocks refused or orphaned");
        }
        if sources > 0 {
            tracing::info!(changes = sources, "and more changes of the place where work comes from");
        }
        if self.quiet {
            return;
        }
        if joined + left > 0 {
            tracing::info!(joined, left, "and more miners");
        }
        if blocks > 0 {
            tracing::info!(blocks, "and more blocks found");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limits {
    /// Takes the numbers of the periods that are over; without a time, all.
    fn take_omitted(&mut self, now: Option<Instant>) -> Omitted {
        let take = |limit: &mut LineLimit| {
            let is_over = now.is_none_or(|now| limit.is_over(now));
            if is_over { limit.take_omitted() } else { 0 }
        };
        let miners = take(&mut self.miners);
        let left = if miners > 0 { std::mem::take(&mut self.omitted_left) } else { 0 };
        Omitted {
            joined: miners - left,
            left,
            blocks: take(&mut self.blocks),
            refused_blocks: take(&mut self.refused_blocks),
            sources: take(&mut self.sources),
        }
    }
}

/// The pool's figures. The totals are sums since the accounts began, or, in a line, of the last minute.
#[derive(Clone, Debug, PartialEq)]
struct Figures {
    miners: u32,
    hashrate: String,
    totals: Totals,
    best_share: String,
}

impl Figures {
    fn of(summary: &PoolSummary) -> Self {
        Figures {
            miners: summary.live.connections,
            hashrate: Hashrate(summary.hashrate).to_string(),
            totals: summary.totals,
            best_share: difficulty(summary.best_share),
        }
    }

    /// The same with the shares and blocks since `before`.
    fn since(&self, before: &Figures) -> Figures {
        let (now, before) = (&self.totals, &before.totals);
        let totals = Totals {
            accepted: now.accepted.saturating_sub(before.accepted),
            rejected: now.rejected.saturating_sub(before.rejected),
            stale: now.stale.saturating_sub(before.stale),
            blocks: now.blocks.saturating_sub(before.blocks),
            candidates: now.candidates.saturating_sub(before.candidates),
            orphaned: now.orphaned.saturating_sub(before.orphaned),
            ..Totals::default()
        };
        Figures { totals, ..self.clone() }
    }

    fn write(&self) {
        let Figures {
            miners,
            hashrate,
            totals: Totals { accepted, rejected, stale, blocks, candidates, orphaned, .. },
            best_share,
        } = self;
        tracing::info!(
            miners,
            %hashrate,
            accepted,
            rejected,
            stale,
            blocks,
            candidates,
            orphaned,
            %best_share,
            "the last minute"
        );
    }
}

/// A difficulty with about four digits.
fn difficulty(difficulty: f64) -> String {
    match difficulty {
        0.0 => "none".to_owned(),
        small if small < 0.001 => format!("{small:.3e}"),
        middle if middle < 1_000.0 => format!("{middle:.3}"),
        large => format!("{large:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_without_a_line_are_counted_and_summed_up_once() {
        let log = OperatorLog::new(false, Instant::now());
        let admitted = (0..123).filter(|_| log.admits_miner(false)).count();
        log.admits_miner(true);
        let blocks = (0..10).filter(|_| log.admits_block()).count();
        let taken = log.lock().take_omitted(None);
        let all = (admitted as u64 + taken.joined, taken.left <= 1, blocks as u64 + taken.blocks);
        assert_eq!(all, (123, true, 10));
        assert!(admitted <= 6, "{admitted} lines");
        assert_eq!(log.lock().take_omitted(None), Omitted::default());
    }

    #[test]
    fn sums_wait_for_the_end_of_their_period() {
        let log = OperatorLog::new(false, Instant::now());
        while log.admits_block() {}
        let ends = log.lock().blocks.ends();
        assert_eq!(log.lock().take_omitted(Some(ends - Duration::from_millis(1))), Omitted::default());
        assert!(log.lock().take_omitted(Some(ends)).blocks > 0);
    }

    #[test]
    fn sources_that_change_all_the_time_get_a_few_lines() {
        let log = OperatorLog::new(false, Instant::now());
        (0..100).for_each(|change| log.work_from(&format!("node {}", change % 2)));
        assert!(log.lock().take_omitted(None).sources >= 90);
    }

    #[test]
    fn a_quiet_log_admits_nothing() {
        let log = OperatorLog::new(true, Instant::now());
        assert!(!log.admits_block() && !log.admits_miner(false));
    }

    #[test]
    fn a_line_has_the_shares_since_the_line_before() {
        let figures = |accepted, best| Figures {
            miners: 2,
            hashrate: Hashrate(2.5e6).to_string(),
            totals: Totals { accepted, stale: 1, ..Totals::default() },
            best_share: difficulty(best),
        };
        let line = figures(100, 7.0).since(&figures(40, 5.0));
        assert_eq!((line.totals.accepted, line.totals.stale), (60, 0));
        assert_eq!(
            (line.miners, line.hashrate.as_str(), line.best_share.as_str()),
            (2, "2.50 MH/s", "7.000")
        );
        assert_eq!(line, figures(160, 7.0).since(&figures(100, 7.0)), "an idle pool writes no new line");
    }

    #[test]
    fn difficulties_are_short() {
        let texts = [0.0, 0.000_012_345, 0.5, 12.345_67, 123_456_789.0].map(difficulty);
        assert_eq!(texts, ["none", "1.234e-5", "0.500", "12.346", "123456789"]);
    }
}
