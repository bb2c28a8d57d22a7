//! The summary that `--json` prints as the last line.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::process::Ended;

/// The summary. As documented, it must have exactly these members.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub seconds: f64,
    pub hashes: u128,
    pub hashrate: f64,
    pub shares: Shares,
    /// Zero for a miner at a pool, which is not told of blocks.
    #[serde(deserialize_with = "number_or_null")]
    pub blocks: u64,
    pub candidates: u64,
    pub orphaned: u64,
    pub workers: u64,
    pub tasks: BTreeMap<String, u64>,
}

fn number_or_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(0))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    pub accepted: u64,
    pub rejected: u64,
    pub stale: u64,
    pub unanswered: u64,
}

impl Summary {
    /// Parses the last line of standard output, and checks conditions that hold for every run.
    pub fn of(ended: &Ended) -> Self {
        let line = ended.stdout.last().unwrap_or_else(|| panic!("no output: {ended:#?}"));
        let summary: Summary =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}\n{ended:#?}"));
        let rate = summary.hashes as f64 / summary.seconds;
        assert!(summary.seconds > 0.0, "{line}");
        assert!(
            (summary.hashrate - rate).abs() <= rate * 0.01 + 1.0,
            "hashrate is hashes per second: {line}"
        );
        let Shares { accepted, rejected, stale, unanswered } = summary.shares;
        // The pool counts a block immediately, but a worker may end before it gets the response.
        assert!(summary.blocks <= accepted + unanswered, "each block is a share: {line}");
        assert!(
            u128::from(accepted + rejected + stale + unanswered) <= summary.hashes,
            "each share is a hash: {line}"
        );
        summary
    }
}
