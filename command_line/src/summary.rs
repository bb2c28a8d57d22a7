//! The summary that `mine`, `scheduler` and `local` print when they end.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use task::Totals;
use text::escape_json;

use crate::output::print_result;

/// The figures of a whole run; with `--json` printed as one line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Seconds since the start; for a framework, since its first start, including restarts of the scheduler.
    pub seconds: f64,
    /// Hashes searched.
    pub hashes: u128,
    /// `hashes / seconds`.
    pub hashrate: f64,
    /// The number of shares with each verdict, from the workers' accounts.
    pub shares: ShareCounts,
    /// Hashes that workers have told of in live messages and not reported yet; not in `hashes`.
    #[serde(skip_serializing_if = "is_zero")]
    pub live_hashes: u128,
    /// Shares that workers have told of in live messages and not reported yet; not in `shares`.
    #[serde(skip_serializing_if = "ShareCounts::is_empty")]
    pub live_shares: ShareCounts,
    /// Blocks that a node (or the built-in chain) has accepted. `None`, in JSON null, for a miner at a pool, which is not told.
    pub blocks: Option<u64>,
    /// Candidates: accepted shares that met the network's target, so that a block could be made of them.
    pub candidates: u64,
    /// How many of `blocks` have left the node's chain since.
    pub orphaned: u64,
    /// The largest number of workers that mined at the same time.
    pub workers: u64,
    /// The number of Mesos tasks that ended in each state, such as `TASK_FAILED`; empty without Mesos.
    pub tasks: BTreeMap<String, u64>,
    /// Why the run failed. Only the JSON has it; on a terminal it is the last line on stderr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The number of shares with each verdict. Each share counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShareCounts {
    /// Accepted by the pool.
    pub accepted: u64,
    /// Rejected by the pool for any reason except staleness.
    pub rejected: u64,
    /// Stale: rejected with code 21, or dropped before they were sent.
    pub stale: u64,
    /// Submitted, but never answered.
    pub unanswered: u64,
}

impl ShareCounts {
    /// Whether all counts are zero.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_zero(number: &u128) -> bool {
    *number == 0
}

/// The shares that are accounted, and those that are not accounted yet. Displayed as their sums, with the latter in parentheses:
/// `12 accepted (9 not yet accounted), 0 rejected, 1 stale, 0 unanswered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharesSoFar {
    /// What the ledger has.
    pub accounted: ShareCounts,
    /// What only live messages tell of.
    pub live: ShareCounts,
}

impl fmt::Display for SharesSoFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SharesSoFar { accounted, live } = self;
        let counts = [
            ("accepted", accounted.accepted, live.accepted),
            ("rejected", accounted.rejected, live.rejected),
            ("stale", accounted.stale, live.stale),
            ("unanswered", accounted.unanswered, live.unanswered),
        ];
        for (i, (verdict, accounted, live)) in counts.into_iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{} {verdict}{}", accounted.saturating_add(live), NotYetAccounted(live.into()))?;
        }
        Ok(())
    }
}

/// Marks a figure that contains this much that is not accounted yet. Empty if it contains nothing of the kind.
struct NotYetAccounted(u128);

impl fmt::Display for NotYetAccounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " ({} not yet accounted)", self.0) }
    }
}

impl From<Totals> for ShareCounts {
    fn from(totals: Totals) -> Self {
        let Totals { accepted, rejected, stale, unanswered, .. } = totals;
        Self { accepted, rejected, stale, unanswered }
    }
}

impl Summary {
    /// Builds a summary from the workers' totals. [`Summary`] describes `workers` and `tasks`.
    pub fn new(totals: Totals, seconds: f64, workers: u64, tasks: BTreeMap<String, u64>) -> Self {
        let hashes = totals.hashes;
        let hashrate = if seconds > 0.0 { hashes as f64 / seconds } else { 0.0 };
        let shares = totals.into();
        let Totals { blocks, candidates, orphaned, .. } = totals;
        let blocks = Some(blocks);
        Self {
            seconds,
            hashes,
            hashrate,
            shares,
            blocks,
            candidates,
            orphaned,
            workers,
            tasks,
            ..Self::default()
        }
    }

    /// The summary with what workers have told of in live messages and not reported yet.
    pub fn with_live(self, live: Totals) -> Self {
        Self { live_hashes: live.hashes, live_shares: live.into(), ..self }
    }

    /// Prints the summary on stdout, as one line of JSON or as text. A closed pipe is not an error, because its reader wants no
    /// more output.
    ///
    /// # Errors
    /// If stdout cannot be written to.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json { print_result(escape_json(&serde_json::to_string(self)?)) } else { print_result(self) }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = NotYetAccounted(self.live_hashes);
        let hashes = self.hashes.saturating_add(self.live_hashes);
        // The rate of all hashes, since the line has all hashes.
        let rate = if self.live_hashes > 0 && self.seconds > 0.0 {
            hashes as f64 / self.seconds
        } else {
            self.hashrate
        };
        writeln!(f, "{:.1} s, {hashes} hashes{live}, {}", self.seconds, Hashrate(rate))?;
        let shares = SharesSoFar { accounted: self.shares, live: self.live_shares };
        write!(f, "shares: {shares}")?;
        if let Some(blocks) = self.blocks {
            write!(f, "; blocks: {blocks}")?;
            if self.orphaned > 0 {
                write!(f, " ({} orphaned)", self.orphaned)?;
            }
        }
        write!(f, "; candidates: {}", self.candidates)?;
        if self.tasks.is_empty() {
            return Ok(());
        }
        write!(f, "\nworkers at once: {}; tasks:", self.workers)?;
        for (i, (state, count)) in self.tasks.iter().enumerate() {
            write!(f, "{} {count} {state}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A hashrate in H/s; displayed with a prefix, such as `2.50 MH/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hashrate(pub f64);

impl fmt::Display for Hashrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
        let mut rate = self.0;
        let mut prefix = 0;
        while rate >= 1000.0 && prefix + 1 < PREFIXES.len() {
            rate /= 1000.0;
            prefix += 1;
        }
        write!(f, "{rate:.2} {}H/s", PREFIXES[prefix])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let totals = Totals {
            hashes: 61,
            accepted: 4,
            rejected: 3,
            stale: 2,
            unanswered: 1,
            blocks: 1,
            candidates: 2,
            orphaned: 0,
            accepted_work: 9,
        };
        let tasks = BTreeMap::from([("TASK_FAILED".to_owned(), 1), ("TASK_KILLED".to_owned(), 3)]);
        Summary::new(totals, 30.5, 2, tasks)
    }

    #[test]
    fn json_has_every_figure_and_nothing_else() {
        assert_eq!(
            serde_json::to_string(&summary()).expect("plain data"),
            r#"{"seconds":30.5,"hashes":61,"hashrate":2.0,"shares":{"accepted":4,"rejected":3,"stale":2,"unanswered":1},"blocks":1,"candidates":2,"orphaned":0,"workers":2,"tasks":{"TASK_FAILED":1,"TASK_KILLED":3}}"#
        );
    }

    #[test]
    fn json_has_the_error_of_a_failed_run() {
        let failed = Summary { error: Some("the disk is full".to_owned()), ..summary() };
        let json = serde_json::to_string(&failed).expect("plain data");
        assert!(json.ends_with(r#""TASK_KILLED":3},"error":"the disk is full"}"#), "{json}");
        assert_eq!(failed.to_string(), summary().to_string());
    }

    #[test]
    fn text_names_every_figure() {
        assert_eq!(
            Summary { hashrate: 2.5e6, ..summary() }.to_string(),
            "30.5 s, 61 hashes, 2.50 MH/s\n\
             shares: 4 accepted, 3 rejected, 2 stale, 1 unanswered; blocks: 1; candidates: 2\n\
             workers at once: 2; tasks: 1 TASK_FAILED, 3 TASK_KILLED"
        );
    }

    #[test]
    fn orphaned_blocks_are_marked_and_a_miner_at_a_pool_counts_only_candidates() {
        let orphaned = Summary { blocks: Some(5), orphaned: 2, ..summary() }.to_string();
        assert!(orphaned.contains("; blocks: 5 (2 orphaned); candidates: 2"), "{orphaned}");
        let at_a_pool = Summary { blocks: None, ..summary() };
        assert!(at_a_pool.to_string().contains("1 unanswered; candidates: 2"), "{at_a_pool}");
        assert_eq!(serde_json::to_value(&at_a_pool).expect("plain data")["blocks"], serde_json::Value::Null);
    }

    #[test]
    fn what_is_not_yet_accounted_is_shown_in_parentheses_and_apart_in_json() {
        let live = Totals { hashes: 1000, accepted: 9, stale: 1, ..Totals::default() };
        let summary = Summary { seconds: 10.0, ..summary() }.with_live(live);
        let text = summary.to_string();
        assert!(text.starts_with("10.0 s, 1061 hashes (1000 not yet accounted), 106.10 H/s\n"), "{text}");
        let shares = "shares: 13 accepted (9 not yet accounted), 3 rejected, 3 stale (1 not yet accounted), 1 unanswered;";
        assert!(text.contains(shares), "{text}");
        let json = serde_json::to_value(&summary).expect("plain data");
        assert_eq!((&json["hashes"], &json["shares"]["accepted"]), (&61.into(), &4.into()), "exact");
        assert_eq!((&json["live_hashes"], &json["live_shares"]["accepted"]), (&1000.into(), &9.into()));
    }

    #[test]
    fn the_hashrate_of_no_time_is_zero() {
        assert_eq!(Summary::new(Totals::default(), 0.0, 0, BTreeMap::new()).hashrate, 0.0);
    }

    #[test]
    fn hashrates_have_a_prefix() {
        assert_eq!(Hashrate(999.0).to_string(), "999.00 H/s");
        assert_eq!(Hashrate(2.5e6).to_string(), "2.50 MH/s");
        assert_eq!(Hashrate(3e18).to_string(), "3.00 EH/s");
    }
}
