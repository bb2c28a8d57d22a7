//! Tasks, workers and servers: those that have not ended.

use std::borrow::Cow;

use api::Listing;
use api::list::{Key, KeyOf, Row, Search};
use serde::Serialize;
use task::{Intervals, Live, PoolLive, WorkerLive};
use utoipa::ToSchema;

use super::totals::SharesJson;
use crate::core::TaskOverview;
use crate::task_id::task_number;

/// A page of the tasks.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Tasks)]
pub(crate) struct TasksJson<'a> {
    /// The tasks.
    pub tasks: Vec<TaskJson<'a>>,
    /// What to give as `after` for the next page; null if this is the last one.
    pub next: Option<String>,
    /// The number of tasks on all pages.
    pub total: usize,
}

/// A task that has not ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Task)]
pub(crate) struct TaskJson<'a> {
    /// The task's id.
    id: &'a str,
    /// `server` or `worker`.
    kind: &'static str,
    /// The id of the task's agent.
    agent: &'a str,
    /// The host name of the task's agent.
    host: &'a str,
    /// Mesos' name of the task's state; `writing` or `launched` before Mesos has reported a state.
    state: &'static str,
    /// Whether the task is healthy, if it reports its health.
    healthy: Option<bool>,
    /// The CPUs of executor and task together.
    cpus: f64,
    /// Seconds since the launch, as far as they are known.
    age: Option<u64>,
    /// What the task does just now; null if it has not told lately.
    live: Option<LiveJson<'a>>,
    /// Shares as the task itself has reported them.
    shares: SharesJson,
}

/// What a task does just now.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Live)]
#[serde(untagged)]
enum LiveJson<'a> {
    Worker(WorkerJson<'a>),
    Server(ServerJson),
}

/// What a worker does just now.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
struct WorkerJson<'a> {
    /// Hashes per second.
    hashrate: f64,
    /// The number of mining threads.
    threads: u32,
    /// The name of the hash backend.
    backend: &'a str,
    /// The share difficulty that the pool has set.
    difficulty: f64,
    /// Shares since the start of the task, including those that are not accounted yet.
    shares: Option<SharesJson>,
    /// Whether the worker is paused; null if its executor cannot be paused.
    paused: Option<bool>,
    /// The name of the CPU; empty if it is not known.
    cpu_model: &'a str,
    /// Seconds between live messages.
    live_interval: Option<f64>,
    /// Seconds between reports.
    report_interval: Option<f64>,
}

/// What a server does just now.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Server)]
struct ServerJson {
    /// The number of miners that are connected.
    connections: u32,
    /// The highest number of connections.
    max_connections: Option<u32>,
    /// The height of the block that is being mined.
    height: u64,
    /// The difficulty of the network.
    difficulty: f64,
    /// Seconds between live messages.
    live_interval: Option<f64>,
    /// Seconds between reports.
    report_interval: Option<f64>,
}

/// Seconds between live messages, and between reports.
fn intervals(intervals: Option<Intervals>) -> (Option<f64>, Option<f64>) {
    (intervals.map(|it| it.live().as_secs_f64()), intervals.map(|it| it.report().as_secs_f64()))
}

impl<'a> From<&'a TaskOverview> for TaskJson<'a> {
    fn from(task: &'a TaskOverview) -> Self {
        Self {
            id: &task.id,
            kind: task.kind.name(),
            agent: &task.agent,
            host: &task.host,
            state: task.state,
            healthy: task.healthy,
            cpus: task.cpus_milli as f64 / 1000.0,
            age: task.launched.map(|ago| ago.as_secs()),
            live: task.live.as_ref().map(LiveJson::from),
            shares: task.totals.into(),
        }
    }
}

impl<'a> From<&'a Live> for LiveJson<'a> {
    fn from(live: &'a Live) -> Self {
        match live {
            Live::Worker(live) => LiveJson::Worker(live.into()),
            Live::Pool(live) => LiveJson::Server(live.into()),
        }
    }
}

impl<'a> From<&'a WorkerLive> for WorkerJson<'a> {
    fn from(live: &'a WorkerLive) -> Self {
        let (live_interval, report_interval) = intervals(live.intervals);
        Self {
            hashrate: live.hashrate,
            threads: live.threads,
            backend: &live.backend,
            difficulty: live.difficulty,
            shares: live.totals.map(SharesJson::from),
            paused: live.paused,
            cpu_model: &live.cpu_model,
            live_interval,
            report_interval,
        }
    }
}

impl From<&PoolLive> for ServerJson {
    fn from(live: &PoolLive) -> Self {
        let (live_interval, report_interval) = intervals(live.intervals);
        Self {
            connections: live.connections,
            max_connections: live.max_connections,
            height: live.height,
            difficulty: live.difficulty,
            live_interval,
            report_interval,
        }
    }
}

/// The number in a task's id; tasks whose ids this program did not create come last.
fn launch_number(id: &str) -> u64 {
    task_number(id).unwrap_or(u64::MAX)
}

impl Listing for TaskOverview {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[
        ("launched", |task| Key::Number(launch_number(&task.id) as f64)),
        ("id", |task| task.id.as_str().into()),
        ("host", |task| task.host.as_str().into()),
        ("state", |task| task.state.into()),
        ("cpus", |task| Key::Number(task.cpus_milli as f64)),
        ("hashrate", |task| Key::number(task.hashrate())),
        ("hashrate_per_cpu", |task| Key::number(task.hashrate_per_cpu())),
        ("accepted", |task| Key::Number(task.totals.accepted as f64)),
        ("rejected", |task| Key::Number(task.totals.rejected as f64)),
        ("stale", |task| Key::Number(task.totals.stale as f64)),
    ];
}

impl Row for TaskOverview {
    fn id(&self) -> Cow<'_, str> {
        self.id.as_str().into()
    }

    fn is_after(&self, id: &str) -> bool {
        (launch_number(&self.id), self.id.as_str()) > (launch_number(id), id)
    }

    fn has(&self, search: Search<'_>) -> bool {
        let known = self.cpu_model().is_some_and(|model| search.is_in(model));
        known || search.is_in(&self.id) || search.is_in(&self.host)
    }
}
