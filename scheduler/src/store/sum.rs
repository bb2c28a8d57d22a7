//! Totals as JSON, for ZooKeeper and for what a state folder takes over from it.

use serde::{Deserialize, Serialize};
use task::Totals;

use crate::ledger::Line;

/// Totals. The 128-bit sums are text: not every reader of JSON has such numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    hashes: String,
    accepted_work: String,
    accepted: u64,
    rejected: u64,
    stale: u64,
    unanswered: u64,
    blocks: u64,
}

impl From<Totals> for Figures {
    fn from(totals: Totals) -> Figures {
        let Totals { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks } = totals;
        let (hashes, accepted_work) = (hashes.to_string(), accepted_work.to_string());
        Figures { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks }
    }
}

impl From<Figures> for Totals {
    fn from(figures: Figures) -> Totals {
        let Figures { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks } = figures;
        let sum = |text: String| text.parse().unwrap_or(0);
        let (hashes, accepted_work) = (sum(hashes), sum(accepted_work));
        Totals { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks }
    }
}

/// Both columns of what is no longer kept apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    worker: Figures,
    pool: Figures,
    blocks: u64,
}

impl From<(Line, u64)> for Sum {
    fn from((line, blocks): (Line, u64)) -> Sum {
        Sum { worker: line.worker.into(), pool: line.pool.into(), blocks }
    }
}

impl From<Sum> for (Line, u64) {
    fn from(sum: Sum) -> (Line, u64) {
        (Line { worker: sum.worker.into(), pool: sum.pool.into() }, sum.blocks)
    }
}
