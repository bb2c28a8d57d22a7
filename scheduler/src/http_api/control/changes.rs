//! What operators have told the scheduler, as JSON, and the list of it.

use api::{Listing, Page, PageQuery, RequestError};
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::Steering;
use crate::http_api::HttpApi;
use crate::journal::{Command, RecordedCommand, Said, ScaleLimits};
use crate::unix_time::date;

/// Who has told the scheduler something.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http_api) struct By {
    /// The name of the token.
    name: String,
    /// The IP address from which it came; `null` if it was the scheduler itself.
    address: Option<String>,
}

/// Something that an operator has told the scheduler.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http_api) struct Change {
    /// When, as text.
    time: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who.
    by: By,
    /// What, as a code: `scale`, `pause`, `resume`, `avoid`, `allow`, `kill` or `teardown`.
    command: &'static str,
    /// What, as text.
    text: String,
    /// Of `pause`: whether the workers end.
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<bool>,
    /// Of `scale`: the limits that were set.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    /// Of `avoid` and `allow`: the agent's id or host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// Of `kill`: the task's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
}

/// Limits of workers; `null` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::http_api) struct Limits {
    /// Maximum number of workers.
    max_workers: Option<u64>,
    /// Maximum CPUs of all tasks together, including the server.
    max_cpus: Option<f64>,
}

/// The answer to an order that is recorded.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http_api) struct Done {
    /// What is recorded.
    pub change: Change,
    /// The number of tasks that it ends, as far as it names them: a limit does not.
    pub tasks: u64,
    /// The limits that hold now, of the options and of operators together.
    pub limits: Limits,
}

/// What operators have said that holds now.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http_api) struct SteeringJson {
    /// The pause; `null` while workers mine.
    pause: Option<Change>,
    /// The limits that an operator has set; `null` if the options alone limit the workers.
    scale: Option<Change>,
    /// The limits that hold now, of the options and of operators together.
    limits: Limits,
    /// The number of agents to avoid.
    avoided_agents: u64,
    /// Whether an operator has told the scheduler to tear the framework down.
    tearing_down: bool,
}

impl Change {
    pub(in crate::http_api) fn of(command: &RecordedCommand) -> Self {
        let RecordedCommand { said, what } = command;
        let mut change = Change {
            time: date(said.at_ms),
            at_ms: said.at_ms,
            by: By { name: said.by.name.clone(), address: said.by.address.clone() },
            command: "",
            text: what.to_string(),
            release: None,
            limits: None,
            agent: None,
            task: None,
        };
        change.command = match what {
            Command::Scale { limits, .. } => {
                change.limits = Some((*limits).into());
                "scale"
            }
            Command::Pause { release } => {
                change.release = Some(*release);
                "pause"
            }
            Command::Resume => "resume",
            Command::Avoid { agent } => {
                change.agent = Some(agent.clone());
                "avoid"
            }
            Command::Allow { agent } => {
                change.agent = Some(agent.clone());
                "allow"
            }
            Command::Kill { task } => {
                change.task = Some(task.clone());
                "kill"
            }
            Command::Teardown => "teardown",
            Command::Unknown => "unknown",
        };
        change
    }

    /// Whether the change is what a client looks for.
    fn has(&self, text: &str) -> bool {
        self.text.contains(text) || self.by.name.contains(text)
    }
}

impl From<ScaleLimits> for Limits {
    fn from(limits: ScaleLimits) -> Self {
        let cpus = |milli: u64| milli as f64 / 1000.0;
        Limits { max_workers: limits.max_workers, max_cpus: limits.max_cpus_milli.map(cpus) }
    }
}

impl From<&Steering> for SteeringJson {
    fn from(steering: &Steering) -> Self {
        let change = |said: &Said, what: Command| Change::of(&RecordedCommand { said: said.clone(), what });
        let pause = steering.pause.as_ref();
        let scale = steering.scale.as_ref();
        SteeringJson {
            pause: pause.map(|pause| change(&pause.said, Command::Pause { release: pause.release })),
            scale: scale.map(|scale| {
                change(&scale.said, Command::Scale { limits: scale.limits, options: scale.options })
            }),
            limits: steering.limits.into(),
            avoided_agents: steering.avoided,
            tearing_down: steering.teardown.is_some(),
        }
    }
}

/// The list of changes, which has an order of its own.
pub(super) struct Changes;

impl Listing for Changes {
    type Key = ();
    const KEYS: &'static [(&'static str, ())] = &[];
}

/// The last 100 things that operators have told the scheduler, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/changes",
    tag = "control",
    params(PageQuery<Changes>),
    responses((status = 200, description = "The changes.", body = Page<Change>), RequestError)
)]
pub(super) async fn get_changes(
    State(api): State<HttpApi>,
    query: PageQuery<Changes>,
) -> Result<Page<Change>, RequestError> {
    let after = query.after.as_deref().map(|after| after.parse::<usize>());
    let after = after.transpose().map_err(|_| {
        RequestError::NotFound("after: give the \"next\" of the page before, or leave it out".to_owned())
    })?;
    let commands = api.leading()?.commands().await?;
    let changes = commands.0.iter().rev().map(Change::of);
    let is_wanted = |change: &Change| query.search.as_ref().is_none_or(|text| change.has(text));
    Ok(page(changes.filter(is_wanted).collect(), after, query.limit))
}

/// A page of the changes: `after` and the page's `next` are the number of changes that follow. What is added meanwhile comes before the
/// first page, so these numbers stay.
pub(super) fn page(mut items: Vec<Change>, after: Option<usize>, limit: usize) -> Page<Change> {
    let total = items.len();
    let left = after.unwrap_or(total).min(total);
    items.drain(..total - left);
    items.truncate(limit);
    let left = left - items.len();
    Page { items, next: (left > 0).then(|| left.to_string()), total }
}
