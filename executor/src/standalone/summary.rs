//! What `mine` did, in the same form as the scheduler's summary.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use task::Totals;

/// The last line on stdout with `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    seconds: f64,
    hashes: u128,
    hashrate: f64,
    shares: Shares,
    blocks: u64,
    workers: u64,
    /// Always empty: there are no Mesos tasks here.
    tasks: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Shares {
    accepted: u64,
    rejected: u64,
    stale: u64,
    unanswered: u64,
}

impl Summary {
    /// Of one miner; `workers` is 1 if it mined at all.
    pub fn new(totals: &Totals, time: Duration, workers: u64) -> Summary {
        let Totals { hashes, accepted, rejected, stale, unanswered, blocks, .. } = *totals;
        let seconds = time.as_secs_f64();
        Summary {
            seconds,
            hashes,
            hashrate: if seconds > 0.0 { hashes as f64 / seconds } else { 0.0 },
            shares: Shares { accepted, rejected, stale, unanswered },
            blocks,
            workers,
            tasks: BTreeMap::new(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shares { accepted, rejected, stale, unanswered } = self.shares;
        writeln!(f, "{:.1} s, {} hashes, {}", self.seconds, self.hashes, Hashrate(self.hashrate))?;
        write!(
            f,
            "shares: {accepted} accepted, {rejected} rejected, {stale} stale, {unanswered} unanswered; blocks: {}",
            self.blocks
        )
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
        let totals = Totals {
            hashes: 61,
            accepted: 4,
            rejected: 3,
            stale: 2,
            unanswered: 1,
            blocks: 1,
            ..Totals::default()
        };
        let summary = Summary::new(&totals, Duration::from_millis(30_500), 1);
        assert_eq!(
            serde_json::to_string(&summary).expect("plain data"),
            r#"{"seconds":30.5,"hashes":61,"hashrate":2.0,"shares":{"accepted":4,"rejected":3,"stale":2,"unanswered":1},"blocks":1,"workers":1,"tasks":{}}"#
        );
    }

    #[test]
    fn hashrates_have_a_prefix() {
        assert_eq!(Hashrate(999.0).to_string(), "999.00 H/s");
        assert_eq!(Hashrate(2.5e6).to_string(), "2.50 MH/s");
        assert_eq!(Hashrate(3e18).to_string(), "3.00 EH/s");
    }
}
