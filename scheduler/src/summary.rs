//! What a framework did in its whole life, restarts of the scheduler included.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use task::Totals;

use crate::ledger::Ledger;

/// The figures printed at the end; with `--json` as one line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Seconds since the framework was started.
    pub seconds: f64,
    /// Hashes that the workers searched.
    pub hashes: u128,
    /// `hashes / seconds`.
    pub hashrate: f64,
    /// Shares by verdict, from the workers' accounts.
    pub shares: Shares,
    /// Blocks, from the pool's account; one that pool and worker both report counts once.
    pub blocks: u64,
    /// The most workers that mined at once.
    pub workers: u64,
    /// How many tasks ended in each state, by Mesos' names.
    pub tasks: BTreeMap<String, u64>,
    /// How many tasks were left running, if they were meant to; not a figure of the summary.
    #[serde(skip)]
    pub left_running: Option<usize>,
    /// What could not be ended as wished; not a figure of the summary.
    #[serde(skip)]
    pub failure: Option<String>,
}

/// Shares by verdict; no share is in two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shares {
    /// The pool accepted them.
    pub accepted: u64,
    /// The pool rejected them for any reason but staleness.
    pub rejected: u64,
    /// Outdated: rejected with code 21, or dropped unsent.
    pub stale: u64,
    /// Submitted, and the answer never came.
    pub unanswered: u64,
}

impl From<Totals> for Shares {
    fn from(totals: Totals) -> Shares {
        let Totals { accepted, rejected, stale, unanswered, .. } = totals;
        Shares { accepted, rejected, stale, unanswered }
    }
}

impl Summary {
    /// Sums the ledger up; `workers` is the most that mined at once, `tasks` counts states.
    pub fn new(ledger: &Ledger, seconds: f64, workers: u64, tasks: BTreeMap<String, u64>) -> Summary {
        let (sum, blocks) = ledger.sum();
        let hashes = sum.worker.hashes;
        let hashrate = if seconds > 0.0 { hashes as f64 / seconds } else { 0.0 };
        let shares = sum.worker.into();
        Summary {
            seconds,
            hashes,
            hashrate,
            shares,
            blocks,
            workers,
            tasks,
            left_running: None,
            failure: None,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shares { accepted, rejected, stale, unanswered } = self.shares;
        writeln!(f, "{:.1} s, {} hashes, {}", self.seconds, self.hashes, Hashrate(self.hashrate))?;
        writeln!(
            f,
            "shares: {accepted} accepted, {rejected} rejected, {stale} stale, {unanswered} unanswered; blocks: {}",
            self.blocks
        )?;
        write!(f, "workers at once: {}; tasks:", self.workers)?;
        for (i, (state, count)) in self.tasks.iter().enumerate() {
            write!(f, "{} {count} {state}", if i == 0 { "" } else { "," })?;
        }
        if self.tasks.is_empty() { f.write_str(" none") } else { Ok(()) }
    }
}

/// H/s, written with a decimal prefix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hashrate(pub f64);

impl fmt::Display for Hashrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0;
        for prefix in ["", "k", "M", "G", "T", "P"] {
            if value < 1000.0 {
                return write!(f, "{value:.2} {prefix}H/s");
            }
            value /= 1000.0;
        }
        write!(f, "{value:.2} EH/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_documented_shape() {
        let summary = Summary {
            seconds: 30.5,
            hashes: 61,
            hashrate: 2.0,
            shares: Shares { accepted: 4, rejected: 3, stale: 2, unanswered: 1 },
            blocks: 1,
            workers: 2,
            tasks: BTreeMap::from([("TASK_KILLED".to_owned(), 3)]),
            left_running: Some(2),
            failure: Some("not shown".to_owned()),
        };
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            r#"{"seconds":30.5,"hashes":61,"hashrate":2.0,"shares":{"accepted":4,"rejected":3,"stale":2,"unanswered":1},"blocks":1,"workers":2,"tasks":{"TASK_KILLED":3}}"#
        );
    }

    #[test]
    fn text_names_every_figure() {
        let tasks = BTreeMap::from([("TASK_FAILED".to_owned(), 1), ("TASK_KILLED".to_owned(), 3)]);
        let text = Summary { hashrate: 2.5e6, tasks, ..Summary::default() }.to_string();
        assert!(text.contains("2.50 MH/s"), "{text}");
        assert!(text.ends_with("tasks: 1 TASK_FAILED, 3 TASK_KILLED"), "{text}");
    }
}
