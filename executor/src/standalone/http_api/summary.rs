//! The summary.

use api::{Json, QueryParameters, RequestError};
use axum::extract::State;
use command_line::ShareCounts;
use serde::Serialize;
use task::{DelayQuantiles, Totals};
use utoipa::ToSchema;

use crate::standalone::status::{MiningStatus, Snapshot};

/// The figures of a miner. Numbers that many JSON readers cannot represent are strings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MinerSummary)]
pub struct Summary {
    /// Seconds since the miner started.
    seconds: f64,
    /// The name of the CPU; empty if it has none.
    cpu_model: String,
    /// The hash backends in use; null before the threads have started.
    backend: Option<String>,
    /// The number of mining threads.
    threads: usize,
    /// Hashes per second over about 10 s; null before anything was measured.
    hashrate: Option<f64>,
    /// Hashes per second over about a minute.
    hashrate_1m: Option<f64>,
    /// Hashes per second over about a quarter of an hour.
    hashrate_15m: Option<f64>,
    /// Hashes since the start.
    hashes: String,
    /// Shares by verdict.
    shares: Shares,
    /// Expected hashes of the accepted shares.
    accepted_work: String,
    /// Accepted shares that met the network's target.
    candidates: u64,
    /// The highest difficulty of an accepted share's hash; 0 without any.
    best_share: f64,
    /// The URL of the pool that gives work; null if none does.
    pool: Option<String>,
    /// The pool's id of the present job.
    job: Option<String>,
    /// The height of the block that is searched for, if the job tells it.
    height: Option<u32>,
    /// The share difficulty.
    difficulty: Option<f64>,
    /// The network's difficulty.
    network_difficulty: Option<f64>,
    /// The time from the line with a job to the first hash of it; null if there was no new job in the last minute.
    notify_to_first_hash: Option<Delay>,
    /// The time from the submission of a share to the answer; null if there was no answer in the last minute.
    share_round_trip: Option<Delay>,
    /// Blocks that the node has accepted; null for a pool, which tells no miner.
    blocks: Option<u64>,
    /// How many of them have left the node's chain.
    orphaned: Option<u64>,
    /// The node that gives work, and whom it pays; null for a pool.
    work_from: Option<String>,
}

/// Shares by verdict.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MinerShares)]
pub struct Shares {
    /// Accepted by the pool.
    accepted: u64,
    /// Rejected for any reason except staleness.
    rejected: u64,
    /// Stale: rejected as such, or dropped before they were sent.
    stale: u64,
    /// Sent, but never answered.
    unanswered: u64,
}

impl From<Totals> for Shares {
    fn from(totals: Totals) -> Self {
        let ShareCounts { accepted, rejected, stale, unanswered } = totals.into();
        Shares { accepted, rejected, stale, unanswered }
    }
}

/// A distribution of delays in the last minute, in microseconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MinerDelay)]
struct Delay {
    /// Half of the delays are not longer.
    median_us: u32,
    /// 99 of 100 delays are not longer.
    p99_us: u32,
}

impl From<DelayQuantiles> for Delay {
    fn from(DelayQuantiles { median, p99 }: DelayQuantiles) -> Self {
        Delay { median_us: median, p99_us: p99 }
    }
}

impl From<&Snapshot> for Summary {
    fn from(snapshot: &Snapshot) -> Self {
        let [hashrate, hashrate_1m, hashrate_15m] = snapshot.hashrates();
        let (totals, job) = (snapshot.totals, snapshot.job.as_ref());
        Summary {
            seconds: snapshot.uptime.as_secs_f64(),
            cpu_model: snapshot.cpu_model.clone(),
            backend: snapshot.backend.clone(),
            threads: snapshot.threads.len(),
            hashrate,
            hashrate_1m,
            hashrate_15m,
            hashes: totals.hashes.to_string(),
            shares: totals.into(),
            accepted_work: totals.accepted_work.to_string(),
            candidates: totals.candidates,
            best_share: snapshot.best_share,
            pool: snapshot.pool().map(|pool| pool.url.clone()),
            job: job.map(|job| job.id.clone()),
            height: job.and_then(|job| job.height),
            difficulty: job.map(|job| job.difficulty),
            network_difficulty: job.map(|job| job.network_difficulty),
            notify_to_first_hash: snapshot.delays.notify_to_first_hash.map(Into::into),
            share_round_trip: snapshot.delays.share_round_trip.map(Into::into),
            blocks: snapshot.blocks.as_ref().map(|blocks| blocks.count),
            orphaned: snapshot.blocks.as_ref().map(|blocks| blocks.orphaned),
            work_from: snapshot.work_from.clone(),
        }
    }
}

/// The miner's figures.
#[utoipa::path(
    get,
    path = "/api/v1/summary",
    tag = "miner",
    responses((status = 200, description = "The figures.", body = Summary), RequestError)
)]
pub async fn summary(
    State(status): State<MiningStatus>,
    parameters: QueryParameters,
) -> Result<Json<Summary>, RequestError> {
    parameters.allow(&[])?;
    Ok(Json(Summary::from(&status.snapshot())))
}
