//! What the pool shows of itself: `/healthz` is about the work, whether miners can rely on it. It reads snapshots only and
//! decides nothing.

use monitor::{JsonText, MetricType, Metrics, Monitored, RequestError};
use serde_json::{Value, json};
use task::Totals;

use crate::handle::{PoolHandle, PoolSummary};
use crate::share::UpstreamSummary;

impl Monitored for PoolHandle {
    async fn problem(&self) -> Option<String> {
        PoolHandle::trouble(self)
    }

    async fn summary(&self) -> Result<JsonText, RequestError> {
        Ok(JsonText::from(&json(&PoolHandle::summary(self))))
    }

    async fn metrics(&self) -> Result<Metrics, RequestError> {
        let summary = PoolHandle::summary(self);
        let mut metrics = Metrics::default();
        work(&summary, &mut metrics);
        people(&summary, &mut metrics);
        if let Some(upstream) = &summary.upstream {
            upstream_work(upstream, &mut metrics);
        }
        Ok(metrics)
    }
}

/// An account as JSON. `accepted_work` may exceed what a JSON reader's numbers hold, so it is a string.
pub(crate) fn account(totals: &Totals) -> Value {
    json!({
        "shares": {"accepted": totals.accepted, "rejected": totals.rejected, "stale": totals.stale},
        "accepted_work": totals.accepted_work.to_string(),
        "blocks": totals.blocks,
    })
}

fn json(summary: &PoolSummary) -> Value {
    let workers: Vec<Value> = summary
        .workers
        .iter()
        .map(|worker| json!({"worker": &*worker.worker, "hashrate": worker.hashrate, "totals": account(&worker.totals)}))
        .collect();
    let upstream = summary.upstream.as_ref().map(|UpstreamSummary { pool, counts }| {
        json!({
            "pool": pool,
            "shares": {
                "forwarded": counts.forwarded,
                "accepted": counts.accepted,
                "rejected": counts.rejected,
                "stale": counts.stale,
                "unanswered": counts.unanswered,
            },
            "blocks": counts.blocks,
        })
    });
    let mut answer = json!({
        "connections": summary.live.connections,
        "height": summary.live.height,
        "difficulty": summary.live.difficulty,
        "hashrate": summary.hashrate,
        "rejected_blocks": summary.rejected_blocks,
        "bans": {"present": summary.banned, "total": summary.bans},
        "totals": account(&summary.totals),
        "workers": workers,
    });
    if let Some(upstream) = upstream {
        answer["upstream"] = upstream;
    }
    answer
}

/// Shares, blocks and what they are for.
fn work(summary: &PoolSummary, metrics: &mut Metrics) {
    let PoolSummary { live, totals, .. } = summary;
    let shares = [
        ("accepted", totals.accepted as f64),
        ("rejected", totals.rejected as f64),
        ("stale", totals.stale as f64),
    ];
    metrics.add_labelled("pool_shares_total", MetricType::Counter, "Shares judged.", "verdict", shares);
    metrics.add(
        "pool_accepted_hashes_total",
        MetricType::Counter,
        "Expected hashes of the accepted shares.",
        totals.accepted_work as f64,
    );
    metrics.add(
        "pool_blocks_total",
        MetricType::Counter,
        "Blocks found that the chain has taken.",
        totals.blocks as f64,
    );
    metrics.add(
        "pool_rejected_blocks_total",
        MetricType::Counter,
        "Blocks found that the chain has not taken.",
        summary.rejected_blocks as f64,
    );
    metrics.add("pool_height", MetricType::Gauge, "Height of the block in work.", live.height as f64);
    metrics.add(
        "pool_network_difficulty",
        MetricType::Gauge,
        "Difficulty of the block in work.",
        live.difficulty,
    );
}

/// Who mines, and who may not.
fn people(summary: &PoolSummary, metrics: &mut Metrics) {
    metrics.add(
        "pool_connections",
        MetricType::Gauge,
        "Connections with an authorized worker.",
        summary.live.connections.into(),
    );
    metrics.add("pool_bans_total", MetricType::Counter, "Addresses banned.", summary.bans as f64);
    metrics.add(
        "pool_banned_addresses",
        MetricType::Gauge,
        "Addresses banned at present.",
        summary.banned as f64,
    );
    metrics.add("pool_workers", MetricType::Gauge, "Workers with an account.", summary.workers.len() as f64);
    metrics.add(
        "pool_hashrate_hashes_per_second",
        MetricType::Gauge,
        "Estimated hashrate of all connections.",
        summary.hashrate,
    );
}

fn upstream_work(UpstreamSummary { pool, counts }: &UpstreamSummary, metrics: &mut Metrics) {
    metrics.add(
        "pool_upstream_connected",
        MetricType::Gauge,
        "Whether an upstream pool takes our shares.",
        u8::from(pool.is_some()).into(),
    );
    metrics.add(
        "pool_upstream_forwarded_total",
        MetricType::Counter,
        "Shares that an upstream pool wanted.",
        counts.forwarded as f64,
    );
    let shares = [
        ("accepted", counts.accepted as f64),
        ("rejected", counts.rejected as f64),
        ("stale", counts.stale as f64),
        ("unanswered", counts.unanswered as f64),
    ];
    metrics.add_labelled(
        "pool_upstream_shares_total",
        MetricType::Counter,
        "What became of them.",
        "verdict",
        shares,
    );
    metrics.add(
        "pool_upstream_blocks_total",
        MetricType::Counter,
        "Accepted shares that met the network's target, at most one per tip.",
        counts.blocks as f64,
    );
}
