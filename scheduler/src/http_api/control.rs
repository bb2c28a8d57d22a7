//! What operators tell the scheduler, which needs a token, and the list of what they have told it.

mod changes;

use api::{Caller, Json, QueryParameters, RequestError, Resources};
use axum::extract::{FromRequest, Path, Request, State};
use database::now_ms;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

pub(super) use self::changes::SteeringJson;
use self::changes::{Change, Done};
use super::{ENDING, HttpApi, LONGEST_ID};
use crate::control::{ControlClient, ControlError, Obeyed, Order, OrderRequest, Refusal, ScaleOrder};
use crate::journal::{Operator, Said};
use crate::query::SchedulerPhase;

/// The highest limit of workers, and of CPUs, that can be set.
const HIGHEST: u64 = 1_000_000_000;

/// The resources of operators.
pub(super) fn resources() -> Resources<HttpApi> {
    Resources::new(include_str!("../../openapi/control.json"))
        .put("/api/v1/scale", put_scale)
        .post("/api/v1/pause", post_pause)
        .post("/api/v1/resume", post_resume)
        .post("/api/v1/tasks/{id}/kill", post_kill)
        .post("/api/v1/agents/{id}/avoid", post_avoid)
        .delete("/api/v1/agents/{id}/avoid", delete_avoid)
        .post("/api/v1/teardown", post_teardown)
        .get("/api/v1/changes", changes::get_changes)
}

/// Limits of workers. What is not given stays as it is; `null` clears a limit. The scheduler's options bound both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ScaleBody {
    /// Maximum number of workers.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 1_000_000_000)]
    max_workers: Option<Option<u64>>,
    /// Maximum CPUs of all tasks together, including the server, in thousandths at the finest.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1_000_000_000)]
    max_cpus: Option<Option<f64>>,
}

/// How to pause.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    /// Whether the workers end, so that their resources are free. Otherwise they stop searching, and keep their tasks.
    #[serde(default)]
    release: bool,
}

/// A value that is given, perhaps as `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// JSON as the body of a request, which may be left out.
struct OptionalJson<T>(T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &S) -> Result<Self, RequestError> {
        if request.body().is_end_stream() {
            return Ok(OptionalJson(T::default()));
        }
        Json::from_request(request, state).await.map(|Json(value)| OptionalJson(value))
    }
}

impl HttpApi {
    /// Gives an order to the driver, and waits until it is recorded.
    async fn give(&self, caller: Caller, order: Order) -> Result<Json<Done>, RequestError> {
        let by = Operator { name: caller.name, address: Some(caller.address.ip().to_string()) };
        let request = OrderRequest { order, said: Said { by, at_ms: now_ms() } };
        let Obeyed { command, tasks, limits } = self.control()?.give(request).await?;
        Ok(Json(Done { change: Change::of(&command), tasks, limits: limits.into() }))
    }

    fn control(&self) -> Result<ControlClient, RequestError> {
        let unavailable = |why: String| Err(RequestError::Unavailable(why));
        match &*self.phase.borrow() {
            SchedulerPhase::Leading(_, control) => Ok(control.clone()),
            SchedulerPhase::Standby(standby) => unavailable(standby.text()),
            SchedulerPhase::Starting(Some(problem)) => unavailable(problem.text.clone()),
            SchedulerPhase::Starting(None) => Err(ControlError::NotSubscribed.into()),
            SchedulerPhase::Ending => unavailable(ENDING.to_owned()),
        }
    }
}

impl From<ControlError> for RequestError {
    fn from(error: ControlError) -> Self {
        let text = error.to_string();
        match error {
            ControlError::Refused(Refusal::Unknown(_)) => RequestError::NotFound(text),
            ControlError::Refused(Refusal::Conflict(_)) => RequestError::Conflict(text),
            ControlError::NotSubscribed | ControlError::Unanswered | ControlError::Ended => {
                RequestError::Unavailable(text)
            }
        }
    }
}

/// Limits the workers.
///
/// Workers beyond the limits end with their last reports, the youngest first. The limits hold over restarts of the scheduler and for
/// the next leader, until they are cleared, or until the scheduler starts with other options --max-workers or --max-cpus.
#[utoipa::path(
    put,
    path = "/api/v1/scale",
    tag = "control",
    request_body = ScaleBody,
    responses(
        (status = 200, description = "The limits are recorded.", body = Done),
        (status = 401, description = "There is no token."),
        (status = 403, description = "The token is wrong, or there are no tokens."),
        (status = 409, description = "The scheduler is ending."),
        (status = 413, description = "The body is too large."),
        (status = 422, description = "A value is invalid."),
        RequestError,
    )
)]
async fn put_scale(
    caller: Caller,
    State(api): State<HttpApi>,
    Json(body): Json<ScaleBody>,
) -> Result<Json<Done>, RequestError> {
    let max_workers = body.max_workers.map(|most| most.map(checked_workers).transpose()).transpose()?;
    let max_cpus_milli = body.max_cpus.map(|most| most.map(checked_cpus).transpose()).transpose()?;
    api.give(caller, Order::Scale(ScaleOrder { max_workers, max_cpus_milli })).await
}

fn checked_workers(most: u64) -> Result<u64, RequestError> {
    if most <= HIGHEST {
        return Ok(most);
    }
    Err(RequestError::Unprocessable(format!(
        "max_workers {most}: give at most {HIGHEST}, or null for no limit"
    )))
}

/// The CPUs in thousandths.
fn checked_cpus(most: f64) -> Result<u64, RequestError> {
    if (0.0..=HIGHEST as f64).contains(&most) {
        return Ok((most * 1000.0).round() as u64);
    }
    Err(RequestError::Unprocessable(format!(
        "max_cpus {most}: give a number from 0 to {HIGHEST}, or null for no limit"
    )))
}

/// Pauses mining: nothing is launched, and nothing is searched.
///
/// Workers keep their tasks and resources, unless `release` is true: then they end with their last reports.
#[utoipa::path(
    post,
    path = "/api/v1/pause",
    tag = "control",
    params(("release" = Option<bool>, Query, description = "The same as in the body.")),
    request_body(content = Option<PauseBody>, description = "How to pause; may be left out."),
    responses(
        (status = 200, description = "The pause is recorded.", body = Done),
        (status = 401, description = "There is no token."),
        (status = 403, description = "The token is wrong, or there are no tokens."),
        (status = 409, description = "Mining is paused already, or the scheduler is ending."),
        (status = 413, description = "The body is too large."),
        (status = 422, description = "A value is invalid."),
        RequestError,
    )
)]
async fn post_pause(
    caller: Caller,
    State(api): State<HttpApi>,
    parameters: QueryParameters,
    OptionalJson(body): OptionalJson<Option<PauseBody>>,
) -> Result<Json<Done>, RequestError> {
    parameters.allow(&["release"])?;
    let release = match parameters.get("release") {
        None => body.unwrap_or_default().release,
        Some("true") => true,
        Some("false") => false,
        Some(other) => {
            return Err(RequestError::BadRequest(format!("release={other:?}: give true or false")));
        }
    };
    api.give(caller, Order::Pause { release }).await
}

/// Ends the pause.
#[utoipa::path(
    post,
    path = "/api/v1/resume",
    tag = "control",
    responses(
        (status = 200, description = "It is recorded that workers mine again.", body = Done),
        (status = 401, description = "There is no token."),
        (status = 403, description = "The token is wrong, or there are no tokens."),
        (status = 409, description = "Mining is not paused, or the scheduler is ending."),
        RequestError,
    )
)]
async fn post_resume(caller: Caller, State(api): State<HttpApi>) -> Result<Json<Done>, RequestError> {
    api.give(caller, Order::Resume).await
}

/// Ends a task. Another one may be launched in its place.
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/kill",
    tag = "control",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "The task's id.")),
    responses(
        (status = 200, description = "It is recorded that the task ends.", body = Done),
        (status = 401, description = "There is no token."),
        (status = 403, description = "The token is wrong, or there are no tokens."),
        (status = 409, description = "The task has ended, or is being ended; or the scheduler is ending."),
        (status = 422, description = "This cannot be the id of a task."),
        RequestError,
    )
)]
async fn post_kill(
    caller: Caller,
    State(api): State<HttpApi>,
    Path(id): Path<String>,
) -> Result<Json<Done>, RequestError> {
    api.give(caller, Order::Kill(checked_id(id, "a task")?)).await
}

/// Launches nothing on an agent, given by its id or host name, until it is allowed again, and ends its tasks with their last reports.
#[utoipa::path(
    post,
    path = "/api/v1/agents/{id}/avoid",
    tag = "control",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "The agent's id or host name.")),
    responses(
        (status = 200, description = "It is recorded that the agent is avoided.", body = Done),
        (status = 401, description = "There is no token."),
        (status = 403, description = "The token is wrong, or there are no tokens."),
        (status = 409, description = "The agent is avoided already, or the scheduler is ending."),
        (status = 422, description = "This cannot be the id or host name of an agent."),
        RequestError,
    )
)]
async fn post_avoid(
    caller: Caller,
    State(api): State<HttpApi>,
    Path(id): Path<String>,
) -> Result<Json<Done>, RequestError> {
    api.give(caller, Order::Avoid(checked_id(id, "an agent")?)).await
}

/// Launches tasks again on an agent that is avoided under this id or host name.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/{id}/avoid",
    tag = "control",
    params(("id" = String, Path, min_length = 1, max_length = 255, pattern = "^[!-~]+$", description = "The agent's id or host name.")),
    responses(
        (status = 200, description = "It is recorded that the agent is allowed.", body = Done),
        (status = 401, description = "There is no token."),
        (status = 403, description = "The token is wrong, or there are no tokens."),
        (status = 409, description = "The scheduler is ending."),
        (status = 422, description = "This cannot be the id or host name of an agent."),
        RequestError,
    )
)]
async fn delete_avoid(
    caller: Caller,
    State(api): State<HttpApi>,
    Path(id): Path<String>,
) -> Result<Json<Done>, RequestError> {
    api.give(caller, Order::Allow(checked_id(id, "an agent")?)).await
}

/// Ends all tasks and the framework, as the option --teardown-on-exit does; then the scheduler ends.
#[utoipa::path(
    post,
    path = "/api/v1/teardown",
    tag = "control",
    responses(
        (status = 200, description = "It is recorded that the framework ends.", body = Done),
        (status = 401, description = "There is no token."),
        (status = 403, description = "The token is wrong, or there are no tokens."),
        (status = 409, description = "The scheduler is ending already."),
        RequestError,
    )
)]
async fn post_teardown(caller: Caller, State(api): State<HttpApi>) -> Result<Json<Done>, RequestError> {
    api.give(caller, Order::Teardown).await
}

/// Ids and host names are ASCII without spaces, and Mesos limits ids to 255 bytes.
fn checked_id(id: String, of_what: &str) -> Result<String, RequestError> {
    let is_visible = id.bytes().all(|byte| byte.is_ascii_graphic());
    if !id.is_empty() && id.len() <= LONGEST_ID && is_visible {
        return Ok(id);
    }
    let text =
        format!("{id:?} cannot be the id of {of_what}: give 1 to {LONGEST_ID} visible ASCII characters");
    Err(RequestError::Unprocessable(text))
}

#[cfg(test)]
mod tests;
