//! What is told of a worker, and of all workers of an address.

use serde::Serialize;
use task::Totals;
use utoipa::ToSchema;

use crate::accounts::WorkerSummary;
use crate::share::RejectionCounts;

/// Hashrates, shares and blocks.
#[derive(Serialize, ToSchema)]
pub struct MiningFigures {
    /// The hashrate in H/s, estimated from the accepted shares of about two minutes. The pool's hashrate is the sum of those of
    /// its workers.
    hashrate: f64,
    /// The average hashrate over the last minute, in H/s; of a worker that is new, since its first share.
    hashrate_1m: f64,
    /// The average hashrate over the last hour, in H/s; since the first share in this run of the pool, if that is less.
    hashrate_1h: f64,
    /// The average hashrate over the last day, in H/s; since the first share in this run of the pool, if that is less.
    hashrate_1d: f64,
    /// The highest difficulty of an accepted share's hash; 0 without any.
    best_share: f64,
    /// When the last share was accepted, in seconds since the Unix epoch; null without any.
    last_share: Option<u64>,
    totals: AccountTotals,
    rejections: Rejections,
}

/// Sums since the accounts began.
#[derive(Serialize, ToSchema)]
pub struct AccountTotals {
    shares: ShareTotals,
    /// The expected hashes of the accepted shares, as a decimal number: many readers of JSON cannot represent such large ones.
    #[schema(pattern = "^[0-9]+$")]
    accepted_work: String,
    /// Blocks that the node, or the built-in chain, has accepted.
    blocks: u64,
    /// Accepted shares that met the network's target.
    candidates: u64,
    /// Accepted blocks that have left the chain.
    orphaned: u64,
}

/// Shares by verdict.
#[derive(Serialize, ToSchema)]
pub struct ShareTotals {
    accepted: u64,
    rejected: u64,
    stale: u64,
    /// Shares of which the upstream pool has never said what became of them.
    unanswered: u64,
}

/// Rejected shares by reason.
#[derive(Serialize, ToSchema)]
pub struct Rejections {
    /// The hash is above the target of the share's difficulty.
    low_difficulty: u64,
    /// The share was submitted before.
    duplicate: u64,
    /// The header's time is too early or too late.
    time: u64,
    /// Version bits were rolled that may not be.
    version: u64,
    /// The extranonce2 has another size than the pool gave.
    extranonce: u64,
    /// The upstream pool has rejected it.
    upstream: u64,
    /// Any other reason, or one that an earlier version has not recorded.
    other: u64,
}

impl From<&WorkerSummary> for MiningFigures {
    fn from(it: &WorkerSummary) -> Self {
        MiningFigures {
            hashrate: it.hashrate,
            hashrate_1m: it.hashrates.minute,
            hashrate_1h: it.hashrates.hour,
            hashrate_1d: it.hashrates.day,
            best_share: it.best_share,
            last_share: it.last_share_ms.map(|ms| ms / 1000),
            totals: (&it.totals).into(),
            rejections: it.rejections.into(),
        }
    }
}

impl From<&Totals> for AccountTotals {
    fn from(totals: &Totals) -> Self {
        let Totals { accepted, rejected, stale, unanswered, .. } = *totals;
        AccountTotals {
            shares: ShareTotals { accepted, rejected, stale, unanswered },
            accepted_work: totals.accepted_work.to_string(),
            blocks: totals.blocks,
            candidates: totals.candidates,
            orphaned: totals.orphaned,
        }
    }
}

impl From<RejectionCounts> for Rejections {
    fn from(counts: RejectionCounts) -> Self {
        let RejectionCounts { low_difficulty, duplicate, time, version, extranonce, upstream, other } =
            counts;
        Rejections { low_difficulty, duplicate, time, version, extranonce, upstream, other }
    }
}
