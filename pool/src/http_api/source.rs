//! Where work comes from, and how old it is.

use std::time::Instant;

use api::{Json, QueryParameters, RequestError};
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::handle::PoolHandle;
use crate::source_status::{NodeStatus, SourceKind, SourceSummary};

/// Where work comes from. Ages are in seconds.
#[derive(Serialize, ToSchema)]
pub struct Source {
    kind: Kind,
    /// The node or the upstream pool that gives the work, in words; null before there is any.
    name: Option<String>,
    /// Whether there is work for miners.
    has_work: bool,
    /// Height of the block in work; 0 if it is unknown.
    height: u64,
    /// The network's difficulty of this block.
    difficulty: f64,
    /// How long ago the tip has changed on which miners work; null before there is any work.
    tip_age: Option<f64>,
    /// How long ago miners got their job; null before there is any.
    job_age: Option<f64>,
    /// How long ago the node was asked for the template in work, or the upstream pool has sent the job; null if there is neither.
    work_age: Option<f64>,
    /// How long ago a node has answered anything, or the upstream pool has sent anything; null if none has.
    answer_age: Option<f64>,
    /// The nodes, in order of preference.
    nodes: Vec<Node>,
    /// The upstream pool that takes our shares; null if there is none.
    upstream: Option<String>,
}

/// What kind of source it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Builtin,
    Node,
    Upstream,
}

/// A node.
#[derive(Serialize, ToSchema)]
struct Node {
    /// The node's address.
    url: String,
    /// How long ago it has answered a call; null if it never has.
    answer_age: Option<f64>,
}

/// Where work comes from, how old it is, and when its source has last answered.
#[utoipa::path(
    get,
    path = "/api/v1/source",
    tag = "pool",
    responses((status = 200, description = "The source of work.", body = Source), RequestError)
)]
pub async fn source(
    State(pool): State<PoolHandle>,
    parameters: QueryParameters,
) -> Result<Json<Source>, RequestError> {
    parameters.allow(&[])?;
    let now = Instant::now();
    let age = |at: Instant| now.saturating_duration_since(at).as_secs_f64();
    let (live, upstream) = (pool.live(), pool.upstream());
    let SourceSummary { kind, tip_since, published, given, answered, nodes } = pool.source();
    let node = |NodeStatus { url, answered }| Node { url, answer_age: answered.map(age) };
    Ok(Json(Source {
        kind: match kind {
            SourceKind::Builtin => Kind::Builtin,
            SourceKind::Node => Kind::Node,
            SourceKind::Upstream => Kind::Upstream,
        },
        name: pool.work_from(),
        has_work: pool.has_work(),
        height: live.height,
        difficulty: live.difficulty,
        tip_age: tip_since.map(age),
        job_age: published.map(age),
        work_age: given.map(age),
        answer_age: answered.map(age),
        nodes: nodes.into_iter().map(node).collect(),
        upstream: upstream.and_then(|upstream| upstream.pool),
    }))
}
