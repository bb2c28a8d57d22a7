//! What is wrong with the pool.

use api::{JsonText, Page, PageQuery, PlacedProblem, Reason, RequestError};
use axum::extract::State;

use crate::handle::PoolHandle;

/// What is wrong at present, the first in rank first unless asked otherwise.
#[utoipa::path(
    get,
    path = "/api/v1/reasons",
    tag = "pool",
    params(PageQuery<PlacedProblem>),
    responses((status = 200, description = "A page of the problems.", body = Page<Reason>), RequestError)
)]
pub async fn reasons(
    State(pool): State<PoolHandle>,
    query: PageQuery<PlacedProblem>,
) -> Result<JsonText, RequestError> {
    api::reasons(&pool.problems(), 0, &query)
}
