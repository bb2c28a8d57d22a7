//! What is told of a worker.

use std::sync::Arc;

use task::Totals;

use super::work_windows::Hashrates;
use crate::share::RejectionCounts;

/// A summary of a worker's account.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSummary {
    /// The worker's name.
    pub worker: Arc<str>,
    /// Sums since the accounts began: with a data folder, also over earlier runs of the pool.
    pub totals: Totals,
    /// The hashrate in H/s, estimated from the accepted shares of about the last `HASHRATE_MEMORY`.
    pub hashrate: f64,
    /// The hashrates over three windows of time, from the accepted shares of this run of the pool.
    pub hashrates: Hashrates,
    /// The highest difficulty of an accepted share's hash since the accounts began; 0 without any.
    pub best_share: f64,
    /// When the last share was accepted, in milliseconds since the Unix epoch; `None` without any.
    pub last_share_ms: Option<u64>,
    /// Why its rejected shares were rejected.
    pub rejections: RejectionCounts,
}

impl WorkerSummary {
    /// The summary of a worker without any share.
    pub fn new(worker: Arc<str>) -> Self {
        WorkerSummary {
            worker,
            totals: Totals::default(),
            hashrate: 0.0,
            hashrates: Hashrates::default(),
            best_share: 0.0,
            last_share_ms: None,
            rejections: RejectionCounts::default(),
        }
    }
}
