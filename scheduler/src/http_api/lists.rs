//! The lists, and the totals. Each reads rows that the driver has given slice by slice, and sorts, searches and cuts them on a
//! thread of its own.

use std::sync::Arc;

use api::list::{self, Row, Rows};
use api::{JsonText, Page, PageQuery, PlacedProblem, QueryParameters, Reason, RequestError, Resources};
use axum::extract::State;

use super::agents::AgentJson;
use super::blocks::BlocksJson;
use super::failures::FailureJson;
use super::tasks::{TaskJson, TasksJson};
use super::totals::TotalsJson;
use super::{HttpApi, Leader, get_summary};
use crate::core::{AgentRow, BlockFinder, TaskOverview};
use crate::history::TaskFailure;

/// The summary, the totals and the lists.
pub(super) fn resources() -> Resources<HttpApi> {
    Resources::new(include_str!("../../openapi/lists.json"))
        .get("/api/v1/summary", get_summary)
        .get("/api/v1/totals", get_totals)
        .get("/api/v1/tasks", get_tasks)
        .get("/api/v1/workers", get_workers)
        .get("/api/v1/servers", get_servers)
        .get("/api/v1/agents", get_agents)
        .get("/api/v1/failures", get_failures)
        .get("/api/v1/blocks", get_blocks)
        .get("/api/v1/reasons", get_reasons)
}

/// The page of those of these rows that `keep` keeps.
async fn page<R: Row + Send + Sync>(
    rows: Arc<Vec<R>>,
    keep: fn(&R) -> bool,
    query: PageQuery<R>,
    write: fn(Rows<'_, R>) -> JsonText,
) -> Result<JsonText, RequestError> {
    let make = move || Ok(write(list::page(rows.iter().filter(|row| keep(row)), &query)?));
    api::off_runtime(Box::new(make)).await
}

fn all<R>(_: &R) -> bool {
    true
}

/// The figures of the framework as a whole.
#[utoipa::path(
    get,
    path = "/api/v1/totals",
    tag = "scheduler",
    responses((status = 200, description = "The figures.", body = TotalsJson<'static>), RequestError)
)]
async fn get_totals(
    State(api): State<HttpApi>,
    parameters: QueryParameters,
) -> Result<JsonText, RequestError> {
    parameters.allow(&[])?;
    let overview = api.leading()?.overview().await?;
    Ok(JsonText::new(&TotalsJson::from(&*overview)))
}

/// The tasks that have not ended, in the order of their launch. `search` looks at id, host and CPU.
#[utoipa::path(
    get,
    path = "/api/v1/tasks",
    tag = "scheduler",
    params(PageQuery<TaskOverview>),
    responses((status = 200, description = "The tasks.", body = TasksJson<'static>), RequestError)
)]
pub(super) async fn get_tasks(
    State(api): State<HttpApi>,
    query: PageQuery<TaskOverview>,
) -> Result<JsonText, RequestError> {
    let client = api.leading()?;
    if query.sort.is_some() || query.search.is_some() {
        return page(client.all_tasks().await?, all, query, |rows| {
            let tasks = rows.rows.into_iter().map(TaskJson::from).collect();
            JsonText::new(&TasksJson { tasks, next: rows.next, total: rows.total })
        })
        .await;
    }
    // Only the tasks of this page are read.
    let page = client.tasks(query.after, query.limit).await?;
    let make = move || {
        let tasks = page.tasks.iter().map(TaskJson::from).collect();
        Ok(JsonText::new(&TasksJson { tasks, next: page.next.clone(), total: page.total }))
    };
    api::off_runtime(Box::new(make)).await
}

fn task_items(rows: Rows<'_, TaskOverview>) -> JsonText {
    JsonText::new(&rows.into_page(TaskJson::from))
}

/// The workers that have not ended, in the order of their launch. `search` looks at id, host and CPU.
#[utoipa::path(
    get,
    path = "/api/v1/workers",
    tag = "scheduler",
    params(PageQuery<TaskOverview>),
    responses((status = 200, description = "The workers.", body = Page<TaskJson<'static>>), RequestError)
)]
async fn get_workers(
    State(api): State<HttpApi>,
    query: PageQuery<TaskOverview>,
) -> Result<JsonText, RequestError> {
    page(api.leading()?.all_tasks().await?, TaskOverview::is_worker, query, task_items).await
}

/// The servers that have not ended, in the order of their launch. `search` looks at id and host.
#[utoipa::path(
    get,
    path = "/api/v1/servers",
    tag = "scheduler",
    params(PageQuery<TaskOverview>),
    responses((status = 200, description = "The servers.", body = Page<TaskJson<'static>>), RequestError)
)]
async fn get_servers(
    State(api): State<HttpApi>,
    query: PageQuery<TaskOverview>,
) -> Result<JsonText, RequestError> {
    page(api.leading()?.all_tasks().await?, |task| !task.is_worker(), query, task_items).await
}

/// The agents that have our tasks, or about which something is known, by id. `search` looks at id, host and CPU.
#[utoipa::path(
    get,
    path = "/api/v1/agents",
    tag = "scheduler",
    params(PageQuery<AgentRow>),
    responses((status = 200, description = "The agents.", body = Page<AgentJson<'static>>), RequestError)
)]
async fn get_agents(
    State(api): State<HttpApi>,
    query: PageQuery<AgentRow>,
) -> Result<JsonText, RequestError> {
    let agents = api.leading()?.agents().await?;
    page(agents, all, query, |rows| JsonText::new(&rows.into_page(AgentJson::from))).await
}

/// The tasks that failed most recently, the newest first. `search` looks at id, host and text.
#[utoipa::path(
    get,
    path = "/api/v1/failures",
    tag = "scheduler",
    params(PageQuery<TaskFailure>),
    responses((status = 200, description = "The failures.", body = Page<FailureJson<'static>>), RequestError)
)]
async fn get_failures(
    State(api): State<HttpApi>,
    query: PageQuery<TaskFailure>,
) -> Result<JsonText, RequestError> {
    let failures = api.leading()?.failures().await?;
    page(failures, all, query, |rows| JsonText::new(&rows.into_page(FailureJson::from))).await
}

/// The workers that have found blocks, by name. `search` looks at name and host.
#[utoipa::path(
    get,
    path = "/api/v1/blocks",
    tag = "scheduler",
    params(PageQuery<BlockFinder>),
    responses((status = 200, description = "Their blocks.", body = Page<BlocksJson<'static>>), RequestError)
)]
async fn get_blocks(
    State(api): State<HttpApi>,
    query: PageQuery<BlockFinder>,
) -> Result<JsonText, RequestError> {
    let blocks = api.leading()?.blocks().await?;
    page(blocks, all, query, |rows| JsonText::new(&rows.into_page(BlocksJson::from))).await
}

/// What is wrong, the first problem to care for first. There may be more problems than are listed: `total` counts them, too.
#[utoipa::path(
    get,
    path = "/api/v1/reasons",
    tag = "scheduler",
    params(PageQuery<PlacedProblem>),
    responses((status = 200, description = "The problems.", body = Page<Reason>), RequestError)
)]
async fn get_reasons(
    State(api): State<HttpApi>,
    query: PageQuery<PlacedProblem>,
) -> Result<JsonText, RequestError> {
    // A scheduler that does not run the framework can say so, too.
    match api.leader()? {
        Leader::This(client) => {
            let problems = &client.overview().await?.problems;
            api::reasons(&problems.first, problems.more as usize, &query)
        }
        Leader::Waits(problem) => api::reasons(&[problem], 0, &query),
        Leader::Other(standby) => api::reasons(standby.problem.as_slice(), 0, &query),
    }
}

#[cfg(test)]
mod tests {
    use utoipa::OpenApi;

    use super::*;
    use crate::http_api::__path_get_summary;

    #[derive(OpenApi)]
    #[openapi(paths(
        get_summary,
        get_totals,
        get_tasks,
        get_workers,
        get_servers,
        get_agents,
        get_failures,
        get_blocks,
        get_reasons
    ))]
    struct Described;

    #[test]
    fn openapi_describes_the_lists() {
        let description = api::describe(Described::openapi()).unwrap();
        testing::openapi::is_current("scheduler/openapi/lists.json", &resources().operations(), &description);
    }
}
