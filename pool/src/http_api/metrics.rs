//! The pool's figures for Prometheus.

use api::Metrics;

use crate::handle::PoolSummary;
use crate::share::UpstreamSummary;

pub(super) fn of(summary: &PoolSummary) -> Metrics {
    let mut metrics = Metrics::new("pool");
    metrics.add_problems(summary.problems.iter().map(|problem| problem.kind.code()));
    add_work(summary, &mut metrics);
    add_miners(summary, &mut metrics);
    if let Some(upstream) = &summary.upstream {
        add_upstream(upstream, &mut metrics);
    }
    metrics
}

fn add_work(summary: &PoolSummary, metrics: &mut Metrics) {
    let PoolSummary { live, totals, .. } = summary;
    let shares = [
        ("accepted", totals.accepted as f64),
        ("rejected", totals.rejected as f64),
        ("stale", totals.stale as f64),
    ];
    metrics
        .add_labelled("shares_total", "Shares by verdict.", "verdict", shares)
        .formerly("pool_shares_total");
    let help = "Expected hashes of the accepted shares.";
    metrics.add("accepted_hashes_total", help, totals.accepted_work as f64);
    metrics.formerly("pool_accepted_hashes_total");
    let help = "Blocks that the chain has accepted.";
    metrics.add("blocks_total", help, totals.blocks as f64).formerly("pool_blocks_total");
    let help = "Accepted blocks that have left the node's chain.";
    metrics.add("orphaned_blocks_total", help, totals.orphaned as f64).formerly("pool_orphaned_blocks_total");
    let help = "Accepted shares that met the network's target; not each becomes a block.";
    metrics.add("candidates_total", help, totals.candidates as f64).formerly("pool_candidates_total");
    let help = "Blocks found that the chain has not taken.";
    metrics.add("rejected_blocks_total", help, summary.rejected_blocks as f64);
    metrics.formerly("pool_rejected_blocks_total");
    metrics.add("network_height", "Height of the block in work.", live.height as f64).formerly("pool_height");
    metrics.add("network_difficulty", "Difficulty of the block in work.", live.difficulty);
    metrics.formerly("pool_network_difficulty");
}

fn add_miners(summary: &PoolSummary, metrics: &mut Metrics) {
    let PoolSummary { live, hashrate, best_share, bans, banned, workers, .. } = summary;
    let help = "Connections with an authorized worker.";
    metrics.add("connections", help, live.connections.into()).formerly("pool_connections");
    metrics.add("bans_total", "Addresses banned.", *bans as f64).formerly("pool_bans_total");
    let help = "Addresses banned at present.";
    metrics.add("banned_addresses", help, *banned as f64).formerly("pool_banned_addresses");
    let mining = workers.iter().filter(|worker| worker.hashrate > 0.0).count();
    metrics.add("workers", "Workers that mine: shares of theirs came lately.", mining as f64);
    metrics.add_former("pool_workers", "Workers with an account.", workers.len() as f64);
    let help = "Hashrate of all workers, estimated from the shares of about two minutes.";
    metrics.add("hashrate_hashes_per_second", help, *hashrate).formerly("pool_hashrate_hashes_per_second");
    let help = "Highest difficulty of an accepted share.";
    metrics.add("best_share_difficulty", help, *best_share).formerly("pool_best_share_difficulty");
}

fn add_upstream(UpstreamSummary { pool, counts }: &UpstreamSummary, metrics: &mut Metrics) {
    let shares = [
        ("accepted", counts.accepted as f64),
        ("rejected", counts.rejected as f64),
        ("stale", counts.stale as f64),
        ("unanswered", counts.unanswered as f64),
    ];
    let help = "Forwarded shares by verdict.";
    metrics.add_labelled("upstream_shares_total", help, "verdict", shares);
    metrics.formerly("pool_upstream_shares_total");
    let connected = u8::from(pool.is_some()).into();
    let help = "Whether an upstream pool takes our shares.";
    metrics.add("upstream_connected", help, connected).formerly("pool_upstream_connected");
    let help = "Shares that an upstream pool wanted.";
    metrics.add("upstream_forwarded_total", help, counts.forwarded as f64);
    metrics.formerly("pool_upstream_forwarded_total");
    let help =
        "Accepted shares that met the network's target. The upstream pool does not say which became blocks.";
    metrics.add("upstream_candidates_total", help, counts.candidates as f64);
    metrics.formerly("pool_upstream_candidates_total");
}
