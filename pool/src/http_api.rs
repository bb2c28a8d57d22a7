//! The pool's HTTP API: health, a summary, metrics, and its lists. It only reads snapshots.

mod blocks;
mod figures;
mod miners;
mod reasons;
mod source;

use api::{JsonText, Metrics, Page, Program, QueryParameters, RequestError, Resources, off_runtime};
use axum::extract::State;
use problem::Problem;
use serde::Serialize;
use serde_json::{Value, json};
use series::SeriesHandle;
use task::Totals;

use crate::handle::{PoolHandle, PoolSummary};
use crate::share::UpstreamSummary;

mod metrics;

impl Program for PoolHandle {
    async fn problem(&self) -> Option<String> {
        PoolHandle::trouble(self)
    }

    async fn warning(&self) -> Option<String> {
        PoolHandle::warning(self)
    }

    async fn not_ready(&self) -> Option<String> {
        let why = || PoolHandle::trouble(self).unwrap_or_else(|| "there is no work yet".to_owned());
        (!self.has_work()).then(why)
    }

    async fn metrics(&self) -> Result<Metrics, RequestError> {
        let pool = self.clone();
        off_runtime(Box::new(move || Ok(metrics::of(&PoolHandle::summary(&pool))))).await
    }

    fn series(&self) -> Option<SeriesHandle> {
        Some(PoolHandle::series(self).clone())
    }

    fn resources(&self) -> Resources {
        resources().merge(block_resources()).with_state(self.clone())
    }
}

impl PoolHandle {
    /// The list of blocks alone, for a program with a pool server inside.
    pub fn block_resources(&self) -> Resources {
        block_resources().with_state(self.clone())
    }
}

fn resources() -> Resources<PoolHandle> {
    Resources::new(include_str!("../openapi/pool.json"))
        .get("/api/v1/summary", summary)
        .get("/api/v1/miners", miners::miners)
        .get("/api/v1/addresses", miners::addresses)
        .get("/api/v1/reasons", reasons::reasons)
        .get("/api/v1/source", source::source)
}

fn block_resources() -> Resources<PoolHandle> {
    Resources::new(include_str!("../openapi/blocks.json")).get("/api/v1/blocks", blocks::blocks)
}

/// A page as JSON, made where it does not keep miners waiting.
async fn page<T: Serialize>(
    make: impl FnOnce() -> Result<Page<T>, RequestError> + Send + 'static,
) -> Result<JsonText, RequestError> {
    off_runtime(Box::new(move || make().map(|page| JsonText::new(&page)))).await
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
    off_runtime(Box::new(move || Ok(JsonText::from(&json(&pool.summary()))))).await
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
        "effort": summary.effort,
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

#[cfg(test)]
mod tests {
    use api::describe;
    use utoipa::OpenApi;

    use super::*;

    #[derive(OpenApi)]
    #[openapi(paths(summary, miners::miners, miners::addresses, reasons::reasons, source::source))]
    struct Described;

    #[derive(OpenApi)]
    #[openapi(paths(blocks::blocks))]
    struct DescribedBlocks;

    #[test]
    fn openapi_describes_the_resources() {
        for (file, resources, described) in [
            ("pool/openapi/pool.json", resources(), Described::openapi()),
            ("pool/openapi/blocks.json", block_resources(), DescribedBlocks::openapi()),
        ] {
            testing::openapi::is_current(file, &resources.operations(), &describe(described).unwrap());
        }
    }
}
