//! The miner's figures for Prometheus.

use std::time::SystemTime;

use api::Metrics;

use crate::standalone::record::PoolState;
use crate::standalone::status::Snapshot;

pub(super) fn of(snapshot: &Snapshot) -> Metrics {
    let mut metrics = Metrics::new("mine");
    metrics.add_problems(snapshot.problems.iter().map(|kind| kind.code()));
    add_shares(snapshot, &mut metrics);
    add_hashrates(snapshot, &mut metrics);
    add_pool(snapshot, &mut metrics);
    let help = "From the line with a job to the first hash of the job.";
    metrics.add_histogram("notify_to_first_hash_seconds", help, &snapshot.histograms.notify_to_first_hash);
    let help = "From the submission of a share to the answer.";
    metrics.add_histogram("share_round_trip_seconds", help, &snapshot.histograms.share_round_trip);
    metrics
}

fn add_shares(snapshot: &Snapshot, metrics: &mut Metrics) {
    let totals = &snapshot.totals;
    let shares = [
        ("accepted", totals.accepted as f64),
        ("rejected", totals.rejected as f64),
        ("stale", totals.stale as f64),
        ("unanswered", totals.unanswered as f64),
    ];
    metrics.add_labelled("shares_total", "Shares by verdict.", "verdict", shares);
    let help = "Expected hashes of the accepted shares.";
    metrics.add("accepted_hashes_total", help, totals.accepted_work as f64);
    let help = "Accepted shares that met the network's target; not each becomes a block.";
    metrics.add("candidates_total", help, totals.candidates as f64);
    let help = "Highest difficulty of an accepted share.";
    metrics.add("best_share_difficulty", help, snapshot.best_share);
    if let Some(blocks) = &snapshot.blocks {
        metrics.add("blocks_total", "Blocks that the chain has accepted.", blocks.count as f64);
        let help = "Accepted blocks that have left the node's chain.";
        metrics.add("orphaned_blocks_total", help, blocks.orphaned as f64);
    }
    if let Some(rejected) = snapshot.rejected_blocks {
        let help = "Blocks found that the chain has not taken.";
        metrics.add("rejected_blocks_total", help, rejected as f64);
    }
}

fn add_hashrates(snapshot: &Snapshot, metrics: &mut Metrics) {
    metrics.add("hashes_total", "Hashes computed.", snapshot.totals.hashes as f64);
    let [hashrate, ..] = snapshot.hashrates();
    metrics.add("hashrate_hashes_per_second", "Hashrate over about 10 s.", hashrate.unwrap_or_default());
    let threads = snapshot.threads.iter();
    let rates = threads.map(|row| (row.thread.to_string(), row.hashrates[0].unwrap_or_default()));
    let help = "Hashrate of each mining thread over about 10 s.";
    metrics.add_labelled("thread_hashrate_hashes_per_second", help, "thread", rates);
}

fn add_pool(snapshot: &Snapshot, metrics: &mut Metrics) {
    let works = |state| matches!(state, PoolState::Connected | PoolState::Mining);
    let connected = snapshot.pools.iter().any(|pool| works(pool.state));
    metrics.add("pool_connected", "Whether a pool has authorized the miner.", u8::from(connected).into());
    let job = snapshot.job.as_ref();
    metrics.add("workers", "Workers that mine: 1 while there is a job.", u8::from(job.is_some()).into());
    let Some(job) = job else { return };
    let age = SystemTime::now().duration_since(job.received).unwrap_or_default();
    metrics.add("job_age_seconds", "Since the job was received.", age.as_secs_f64());
    if let Some(height) = job.height {
        metrics.add("network_height", "Height of the block in work.", height.into());
    }
    metrics.add("network_difficulty", "Difficulty of the block in work.", job.network_difficulty);
}
