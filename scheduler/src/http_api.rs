//! The scheduler's HTTP API. It queries the driver for each request, so that nothing is computed without a request.
//!
//! `/healthz` answers 200 while a worker mines, or while another scheduler leads; otherwise 503.

mod control;

use std::sync::Arc;

use api::{JsonText, Metrics, Program, QueryParameters, RequestError, Resources};
use axum::extract::State;
use command_line::ShareCounts;
use problem::{Problem, ProblemKind};
use serde_json::{Value, json};
use task::{Intervals, Live, Totals};
use tokio::sync::{Mutex, watch};

use crate::core::{MAX_PAGE, Overview, TaskOverview, TaskPage};
use crate::history::TaskFailure;
use crate::query::{QueryClient, QueryError, SchedulerPhase, Standby};

mod metrics;

pub(crate) use self::metrics::MetricsInputs;

/// The number of tasks in the summary, and in an answer to `/api/v1/tasks` without the parameter `limit`.
const PAGE: usize = 100;
/// Maximum length of a task id in a request. Mesos has the same limit, because it uses ids as file names.
const LONGEST_ID: usize = 255;

const STARTING: &str = "the scheduler is starting: it has not subscribed to a master yet";
const ENDING: &str = "the scheduler is ending";
const UNSUBSCRIBED: &str = "not subscribed to a master";

/// Answers HTTP requests. Clones share the cached answers.
#[derive(Clone, Debug)]
pub(crate) struct HttpApi {
    phase: watch::Receiver<SchedulerPhase>,
    /// The last JSON of the summary. It is reused while the data are the same, because many clients may ask.
    summary: Arc<Mutex<Option<CachedJson>>>,
    /// The last JSON of a page of tasks, which is reused in the same way as `summary`.
    tasks: Arc<Mutex<Option<CachedJson>>>,
    inputs: MetricsInputs,
}

/// An answer, and the data from which it was made.
#[derive(Debug)]
struct CachedJson {
    overview: Option<Arc<Overview>>,
    page: Arc<TaskPage>,
    json: JsonText,
}

/// Which scheduler runs the framework.
enum Leader {
    /// This one, whose driver answers queries.
    This(QueryClient),
    /// This one, but this problem keeps it from going on, so that nobody can answer queries yet.
    Waits(Problem),
    /// Another one.
    Other(Standby),
}

impl From<QueryError> for RequestError {
    fn from(error: QueryError) -> Self {
        RequestError::Unavailable(error.to_string())
    }
}

impl HttpApi {
    /// `phase` is the scheduler's current phase, and `inputs` are for the metrics.
    pub fn new(phase: watch::Receiver<SchedulerPhase>, inputs: MetricsInputs) -> Self {
        HttpApi { phase, summary: Arc::default(), tasks: Arc::default(), inputs }
    }

    /// Who can answer queries now.
    ///
    /// # Errors
    /// While this scheduler starts without a problem, or ends.
    fn leader(&self) -> Result<Leader, RequestError> {
        match &*self.phase.borrow() {
            SchedulerPhase::Standby(standby) => Ok(Leader::Other(standby.clone())),
            SchedulerPhase::Leading(client, _) => Ok(Leader::This(client.clone())),
            SchedulerPhase::Starting(Some(problem)) => Ok(Leader::Waits(problem.clone())),
            SchedulerPhase::Starting(None) => Err(RequestError::Unavailable(STARTING.to_owned())),
            SchedulerPhase::Ending => Err(RequestError::Unavailable(ENDING.to_owned())),
        }
    }

    /// The driver's client, if this scheduler leads.
    fn leading(&self) -> Result<QueryClient, RequestError> {
        match self.leader()? {
            Leader::This(client) => Ok(client),
            Leader::Waits(problem) => Err(RequestError::Unavailable(problem.text)),
            Leader::Other(standby) => Err(RequestError::Unavailable(standby.text())),
        }
    }

    async fn page_of_tasks(&self, after: Option<&str>, limit: usize) -> Result<Arc<TaskPage>, RequestError> {
        Ok(self.leading()?.tasks(after.map(str::to_owned), limit).await?)
    }

    /// The answer to `/api/v1/summary`.
    async fn summary(&self) -> Result<JsonText, RequestError> {
        let client = match self.leader()? {
            Leader::This(client) => client,
            Leader::Waits(problem) => {
                return Ok(JsonText::from(&without_framework(true, std::slice::from_ref(&problem))));
            }
            Leader::Other(standby) => {
                return Ok(JsonText::from(&without_framework(false, standby.problem.as_slice())));
            }
        };
        let overview = client.overview().await?;
        let page = client.tasks(None, PAGE).await?;
        Ok(json_of(&self.summary, Some(overview), page).await)
    }

    /// The answer to `/api/v1/tasks`.
    async fn tasks(&self, parameters: &QueryParameters) -> Result<JsonText, RequestError> {
        parameters.allow(&["after", "limit"])?;
        let limit = parameters.number("limit", 1..=MAX_PAGE, PAGE)?;
        let after = parameters.get("after");
        if let Some(after) = after
            && !(1..=LONGEST_ID).contains(&after.chars().count())
        {
            let text = format!("after={after:?}: give the id of a task, such as miner-worker-7");
            return Err(RequestError::BadRequest(text));
        }
        let page = self.page_of_tasks(after, limit).await?;
        Ok(json_of(&self.tasks, None, page).await)
    }
}

/// The JSON of a page of tasks, with or without the overview. It is made once for all clients that ask at the same time, because
/// writing the JSON of 1000 tasks takes longer than collecting them.
async fn json_of(
    last: &Mutex<Option<CachedJson>>,
    overview: Option<Arc<Overview>>,
    page: Arc<TaskPage>,
) -> JsonText {
    let mut last = last.lock().await;
    if let Some(cached) = &*last
        && cached.overview.as_ref().map(Arc::as_ptr) == overview.as_ref().map(Arc::as_ptr)
        && Arc::ptr_eq(&cached.page, &page)
    {
        return cached.json.clone();
    }
    let json = JsonText::from(&match &overview {
        Some(overview) => summary(overview, &page),
        None => json!({"tasks": tasks(&page), "next": page.next}),
    });
    *last = Some(CachedJson { overview, page, json: json.clone() });
    json
}

impl Program for HttpApi {
    async fn problem(&self) -> Option<String> {
        let overview = match self.leader() {
            Ok(Leader::Other(standby)) => return unhealthy(standby.problem.as_slice()),
            Ok(Leader::Waits(problem)) => return Some(problem.with_remedy()),
            Ok(Leader::This(client)) => client.overview().await.map_err(RequestError::from),
            Err(error) => Err(error),
        };
        match overview {
            Ok(overview) => trouble(&overview),
            Err(error) => Some(error.detail().to_owned()),
        }
    }

    /// Whether an operator has paused mining.
    async fn warning(&self) -> Option<String> {
        let overview = self.leading().ok()?.overview().await.ok()?;
        let paused =
            overview.problems.first.iter().find(|problem| problem.kind == ProblemKind::MiningPaused)?;
        Some(paused.text.clone())
    }

    /// A scheduler is ready when it leads and is subscribed, and when it stands by.
    async fn not_ready(&self) -> Option<String> {
        let overview = match self.leader() {
            Ok(Leader::Other(standby)) => return standby.problem.map(|problem| problem.with_remedy()),
            Ok(Leader::Waits(problem)) => return Some(problem.with_remedy()),
            Ok(Leader::This(client)) => client.overview().await.map_err(RequestError::from),
            Err(error) => Err(error),
        };
        match overview {
            Ok(overview) if overview.connected => None,
            Ok(_) => Some(UNSUBSCRIBED.to_owned()),
            Err(error) => Some(error.detail().to_owned()),
        }
    }

    async fn metrics(&self) -> Result<Metrics, RequestError> {
        Ok(match self.leader() {
            Ok(Leader::This(client)) => {
                let sums = client.worker_sums(self.inputs.per_worker).await?;
                metrics::leading(client.overview().await?.as_ref(), &sums, &self.inputs)
            }
            Ok(Leader::Waits(problem)) => metrics::without_framework(true, Some(&problem)),
            Ok(Leader::Other(standby)) => metrics::without_framework(false, standby.problem.as_ref()),
            Err(_) => metrics::without_framework(true, None),
        })
    }

    fn resources(&self) -> Resources {
        resources().merge(control::resources()).with_state(self.clone())
    }
}

fn resources() -> Resources<HttpApi> {
    Resources::new(include_str!("../openapi/lists.json"))
        .get("/api/v1/summary", get_summary)
        .get("/api/v1/tasks", get_tasks)
}

/// The framework's figures, and the first tasks.
#[utoipa::path(
    get,
    path = "/api/v1/summary",
    tag = "scheduler",
    responses((status = 200, description = "The figures.", body = Value), RequestError)
)]
async fn get_summary(
    State(api): State<HttpApi>,
    parameters: QueryParameters,
) -> Result<JsonText, RequestError> {
    parameters.allow(&[])?;
    api.summary().await
}

/// All tasks, page by page.
#[utoipa::path(
    get,
    path = "/api/v1/tasks",
    tag = "scheduler",
    params(
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "The maximum number of tasks."),
        ("after" = Option<String>, Query, min_length = 1, max_length = 255, description = "The last task's id of the page before."),
    ),
    responses((status = 200, description = "The tasks.", body = Value), RequestError)
)]
async fn get_tasks(
    State(api): State<HttpApi>,
    parameters: QueryParameters,
) -> Result<JsonText, RequestError> {
    api.tasks(&parameters).await
}

/// Why the scheduler is unhealthy; `None` if it is not.
fn trouble(overview: &Overview) -> Option<String> {
    let problems = &overview.problems.first;
    if let Some(text) = unhealthy(problems) {
        return Some(text);
    }
    if !overview.connected {
        return Some(UNSUBSCRIBED.to_owned());
    }
    if overview.steering.pause.is_some() {
        return None;
    }
    let what = match (overview.mines(), overview.lacks_work()) {
        (false, _) => "no worker mines",
        (true, true) => "the server has no work for its workers",
        (true, false) => return None,
    };
    let why = problems.first().map(|problem| format!(": {}", problem.with_remedy())).unwrap_or_default();
    Some(format!("{what}{why}"))
}

/// The first problem that makes the scheduler unhealthy even while workers mine.
fn unhealthy(problems: &[Problem]) -> Option<String> {
    let problem = problems.iter().find(|problem| problem.kind.is_unhealthy());
    problem.map(Problem::with_remedy)
}

/// The summary of a scheduler that does not run the framework: because another one leads, or because it cannot go on yet.
fn without_framework(leads: bool, problems: &[Problem]) -> Value {
    json!({
        "leads": leads,
        "reasons": problems.iter().map(reason).collect::<Vec<_>>(),
        "remarks": problems.iter().map(|problem| &problem.text).collect::<Vec<_>>(),
    })
}

/// The summary. Numbers that many JSON readers cannot represent are strings.
fn summary(overview: &Overview, page: &TaskPage) -> Value {
    let account = |totals: Totals| {
        json!({
            "shares": ShareCounts::from(totals),
            "accepted_work": totals.accepted_work.to_string(),
            "blocks": totals.blocks,
            "candidates": totals.candidates,
            "orphaned": totals.orphaned,
        })
    };
    json!({
        "leads": true,
        "connected": overview.connected,
        "framework": overview.framework,
        "steering": control::SteeringJson::from(&overview.steering),
        "running_workers": overview.running_workers,
        "hashrate": overview.hashrate,
        "hashes": overview.totals.worker.hashes.to_string(),
        "live_hashes": overview.unaccounted.hashes.to_string(),
        "live_shares": ShareCounts::from(overview.unaccounted),
        "accounts": {"pool": account(overview.totals.pool), "workers": account(overview.totals.worker)},
        "blocks": overview.blocks,
        "candidates": overview.totals.candidates(),
        "orphaned": overview.totals.pool.orphaned,
        "workers": overview.peak,
        "states": overview.states,
        "tasks": tasks(page),
        "tasks_next": page.next,
        "reasons": overview.problems.first.iter().map(reason).collect::<Vec<_>>(),
        "remarks": overview.problems.texts().collect::<Vec<_>>(),
        "remarks_more": overview.problems.more,
        "failures": overview.failures.iter().map(failure).collect::<Vec<_>>(),
    })
}

fn reason(problem: &Problem) -> Value {
    let Problem { kind, text } = problem;
    json!({"rank": kind.rank(), "code": kind.code(), "text": text, "remedy": kind.remedy()})
}

fn failure(failure: &TaskFailure) -> Value {
    let TaskFailure { ago, task, host, text, stderr, sandbox, .. } = failure;
    json!({
        "seconds_ago": ago.as_secs(),
        "task": task,
        "host": host,
        "text": text,
        "stderr": stderr,
        "sandbox": sandbox,
    })
}

fn tasks(page: &TaskPage) -> Vec<Value> {
    page.tasks.iter().map(task).collect()
}

fn task(task: &TaskOverview) -> Value {
    let live_interval = |it: Option<Intervals>| it.map(|intervals| intervals.live().as_secs_f64());
    let report_interval = |it: Option<Intervals>| it.map(|intervals| intervals.report().as_secs_f64());
    let live = task.live.as_ref().map(|live| match live {
        Live::Worker(live) => json!({
            "hashrate": live.hashrate,
            "threads": live.threads,
            "backend": live.backend,
            "difficulty": live.difficulty,
            "shares": live.totals.map(ShareCounts::from),
            "live_interval": live_interval(live.intervals),
            "report_interval": report_interval(live.intervals),
        }),
        Live::Pool(live) => json!({
            "connections": live.connections,
            "height": live.height,
            "difficulty": live.difficulty,
            "live_interval": live_interval(live.intervals),
            "report_interval": report_interval(live.intervals),
        }),
    });
    json!({
        "id": task.id,
        "kind": task.kind.name(),
        "host": task.host,
        "state": task.state,
        "healthy": task.healthy,
        "cpus": task.cpus_milli as f64 / 1000.0,
        "live": live,
        "shares": ShareCounts::from(task.totals),
    })
}

#[cfg(test)]
mod tests;
