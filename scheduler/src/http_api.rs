//! The scheduler's HTTP API. It queries the driver for each request, so that nothing is computed without a request.
//!
//! Lists are searched, sorted and cut here, of rows that the driver gives slice by slice.
//!
//! `/healthz` answers 200 while a worker mines, or while another scheduler leads; otherwise 503.

mod agents;
mod blocks;
mod control;
mod failures;
mod lists;
mod summary;
mod tasks;
mod totals;

use std::sync::Arc;

use api::{JsonText, Metrics, Program, QueryParameters, RequestError, Resources};
use axum::extract::State;
use problem::{Problem, ProblemKind};
use series::SeriesHandle;
use tokio::sync::{Mutex, watch};

use self::summary::SummaryJson;
use crate::core::{Overview, TaskPage};
use crate::query::{QueryClient, QueryError, SchedulerPhase, Standby};

mod metrics;

pub(crate) use self::metrics::MetricsInputs;

/// The number of tasks in the summary.
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
    series: SeriesHandle,
    inputs: MetricsInputs,
}

/// An answer, and the data from which it was made.
#[derive(Debug)]
struct CachedJson {
    overview: Arc<Overview>,
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
    /// `phase` is the scheduler's current phase, `series` its figures over time, and `inputs` are for the metrics.
    pub fn new(phase: watch::Receiver<SchedulerPhase>, series: SeriesHandle, inputs: MetricsInputs) -> Self {
        HttpApi { phase, summary: Arc::default(), series, inputs }
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

    /// The answer to `/api/v1/summary`.
    async fn summary(&self) -> Result<JsonText, RequestError> {
        let client = match self.leader()? {
            Leader::This(client) => client,
            Leader::Waits(problem) => {
                return Ok(JsonText::new(&SummaryJson::other(true, &[problem])));
            }
            Leader::Other(standby) => {
                return Ok(JsonText::new(&SummaryJson::other(false, standby.problem.as_slice())));
            }
        };
        let overview = client.overview().await?;
        let page = client.tasks(None, PAGE).await?;
        Ok(json_of(&self.summary, overview, page).await)
    }
}

/// The JSON of the summary. It is made once for all clients that ask at the same time.
async fn json_of(last: &Mutex<Option<CachedJson>>, overview: Arc<Overview>, page: Arc<TaskPage>) -> JsonText {
    let mut last = last.lock().await;
    if let Some(cached) = &*last
        && Arc::ptr_eq(&cached.overview, &overview)
        && Arc::ptr_eq(&cached.page, &page)
    {
        return cached.json.clone();
    }
    let json = JsonText::new(&SummaryJson::framework(&overview, &page));
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

    fn series(&self) -> Option<SeriesHandle> {
        Some(self.series.clone())
    }

    fn resources(&self) -> Resources {
        lists::resources().merge(control::resources()).with_state(self.clone())
    }
}

/// The framework's figures, and the first tasks.
#[utoipa::path(
    get,
    path = "/api/v1/summary",
    tag = "scheduler",
    responses((status = 200, description = "The figures.", body = SummaryJson<'static>), RequestError)
)]
async fn get_summary(
    State(api): State<HttpApi>,
    parameters: QueryParameters,
) -> Result<JsonText, RequestError> {
    parameters.allow(&[])?;
    api.summary().await
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

#[cfg(test)]
mod tests;
