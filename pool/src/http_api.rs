//! The pool's HTTP API: health, a summary and metrics. It only reads snapshots.

use api::{JsonText, Metrics, OpenApiRouter, Program, QueryParameters, RequestError, routes};
use axum::extract::State;
use problem::Problem;
use serde_json::{Value, json};
use task::Totals;

use crate::handle::{PoolHandle, PoolSummary};
use crate::share::UpstreamSummary;

impl Program for PoolHandle {
    async fn problem(&self) -> Option<String> {
        PoolHandle::trouble(self)
    }

    async fn warning(&self) -> Option<String> {
        PoolHandle::warning(self)
    }

    async fn not_ready(&self) -> Option<String> {
        PoolHandle::trouble(self)
    }

    async fn metrics(&self) -> Result<Metrics, RequestError> {
        let summary = PoolHandle::summary(self);
        let mut metrics = Metrics::default();
        add_work(&summary, &mut metrics);
        add_miners(&summary, &mut metrics);
        if let Some(upstream) = &summary.upstream {
            add_upstream(upstream, &mut metrics);
        }
        Ok(metrics)
    }

    fn resources(&self) -> OpenApiRouter<()> {
        OpenApiRouter::new().routes(routes!(summary)).with_state(self.clone())
    }
}

/// The pool's figures.
#[utoipa::path(
    get,
    path = "/api/v1/summary",
    tag = "pool",
    responses((status = 200, description = "The figures.", body = serde_json::Value), RequestError)
)]
async fn summary(
    State(pool): State<PoolHandle>,
    parameters: QueryParameters,
) -> Result<JsonText, RequestError> {
    parameters.allow(&[])?;
    Ok(JsonText::from(&json(&pool.summary())))
}

/// An account as JSON. `accepted_work` is a string, because many JSON readers cannot represent such large numbers.
pub(crate) fn account(totals: &Totals) -> Value {
    json!({
        "shares": {"accepted": totals.accepted, "rejected": totals.rejected, "stale": totals.stale},
        "accepted_work": totals.accepted_work.to_string(),
        "blocks": totals.blocks,
        "candidates": totals.candidates,
        "orphaned": totals.orphaned,
    })
}

/// A problem, as in the scheduler's summary.
fn reason(problem: &Problem) -> Value {
    let Problem { kind, text } = problem;
    json!({"rank": kind.rank(), "code": kind.code(), "text": text, "remedy": kind.remedy()})
}

fn json(summary: &PoolSummary) -> Value {
    let workers: Vec<Value> = summary
        .workers
        .iter()
        .map(|worker| json!({"worker": &*worker.worker, "hashrate": worker.hashrate, "totals": account(&worker.totals)}))
        .collect();
    let mut answer = json!({
        "connections": summary.live.connections,
        "work_from": summary.work_from,
        "reasons": summary.problems.iter().map(reason).collect::<Vec<_>>(),
        "height": summary.live.height,
        "difficulty": summary.live.difficulty,
        "hashrate": summary.hashrate,
        "best_share": summary.best_share,
        "rejected_blocks": summary.rejected_blocks,
        "bans": {"present": summary.banned, "total": summary.bans},
        "totals": account(&summary.totals),
        "workers": workers,
    });
    if let Some(UpstreamSummary { pool, counts }) = &summary.upstream {
        answer["upstream"] = json!({
            "pool": pool,
            "shares": {
                "forwarded": counts.forwarded,
                "accepted": counts.accepted,
                "rejected": counts.rejected,
                "stale": counts.stale,
                "unanswered": counts.unanswered,
            },
            "candidates": counts.candidates,
        });
    }
    answer
}

fn add_work(summary: &PoolSummary, metrics: &mut Metrics) {
    let PoolSummary { live, totals, .. } = summary;
    let shares = [
        ("accepted", totals.accepted as f64),
        ("rejected", totals.rejected as f64),
        ("stale", totals.stale as f64),
    ];
    metrics.add_labelled("pool_shares_total", "Shares judged.", "verdict", shares);
    let (accepted, rejected_blocks) = (totals.accepted_work as f64, summary.rejected_blocks as f64);
    metrics.add("pool_accepted_hashes_total", "Expected hashes of the accepted shares.", accepted);
    metrics.add(
        "pool_blocks_total",
        "Blocks found that the node, or the built-in chain, has accepted.",
        totals.blocks as f64,
    );
    metrics.add(
        "pool_orphaned_blocks_total",
        "Accepted blocks that have left the node's chain.",
        totals.orphaned as f64,
    );
    let candidates_help = "Accepted shares that met the network's target; not each becomes a block.";
    metrics.add("pool_candidates_total", candidates_help, totals.candidates as f64);
    metrics.add("pool_rejected_blocks_total", "Blocks found that the chain has not taken.", rejected_blocks);
    metrics.add("pool_height", "Height of the block in work.", live.height as f64);
    metrics.add("pool_network_difficulty", "Difficulty of the block in work.", live.difficulty);
}

fn add_miners(summary: &PoolSummary, metrics: &mut Metrics) {
    let PoolSummary { live, hashrate, best_share, bans, banned, workers, .. } = summary;
    metrics.add("pool_connections", "Connections with an authorized worker.", live.connections.into());
    metrics.add("pool_bans_total", "Addresses banned.", *bans as f64);
    metrics.add("pool_banned_addresses", "Addresses banned at present.", *banned as f64);
    metrics.add("pool_workers", "Workers with an account.", workers.len() as f64);
    let hashrate_help = "Sum of the workers' hashrates, estimated from the shares of about two minutes.";
    metrics.add("pool_hashrate_hashes_per_second", hashrate_help, *hashrate);
    metrics.add("pool_best_share_difficulty", "Highest difficulty of an accepted share.", *best_share);
}

fn add_upstream(UpstreamSummary { pool, counts }: &UpstreamSummary, metrics: &mut Metrics) {
    let shares = [
        ("accepted", counts.accepted as f64),
        ("rejected", counts.rejected as f64),
        ("stale", counts.stale as f64),
        ("unanswered", counts.unanswered as f64),
    ];
    metrics.add_labelled("pool_upstream_shares_total", "Forwarded shares, by verdict.", "verdict", shares);
    let connected = u8::from(pool.is_some()).into();
    let candidates_help =
        "Accepted shares that met the network's target. The upstream pool does not say which became blocks.";
    metrics.add("pool_upstream_connected", "Whether an upstream pool takes our shares.", connected);
    metrics.add(
        "pool_upstream_forwarded_total",
        "Shares that an upstream pool wanted.",
        counts.forwarded as f64,
    );
    metrics.add("pool_upstream_candidates_total", candidates_help, counts.candidates as f64);
}
