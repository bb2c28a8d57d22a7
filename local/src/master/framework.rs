//! The master's state of one framework and of its tasks.

use crate::messages::Now;
use mesos::resources::Resources;
use mesos::v1::{
    AgentId, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, TaskId, TaskInfo, TaskState, TaskStatus,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Maximum number of statuses that the master stores of a task. A task that passes through each state once has fewer statuses
/// than this.
const MAX_STATUSES: usize = 20;

/// One task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub info: TaskInfo,
    /// The latest state that the master knows.
    pub state: TaskState,
    /// The task's statuses, without data. Of successive statuses with the same state, only the last one is kept.
    pub statuses: Vec<TaskStatus>,
    /// State and uuid of the task's last update that the master forwarded to the framework.
    pub forwarded: Option<(TaskState, Vec<u8>)>,
}

impl Task {
    pub fn new(info: TaskInfo) -> Self {
        Self { info, state: TaskState::TaskStaging, statuses: Vec::new(), forwarded: None }
    }

    pub fn executor_id(&self) -> Option<ExecutorId> {
        self.info.executor.as_ref().map(|executor| executor.executor_id.clone())
    }

    /// Stores a status for `/state`. Of successive statuses with the same state, only the last one is kept.
    pub fn remember(&mut self, status: &TaskStatus) {
        let without_data = TaskStatus { data: None, ..status.clone() };
        match self.statuses.last_mut() {
            Some(last) if last.state == status.state => *last = without_data,
            _ => self.statuses.push(without_data),
        }
        if self.statuses.len() > MAX_STATUSES {
            self.statuses.remove(0);
        }
    }
}

/// Resources that a framework has refused for a while.
#[derive(Debug)]
pub(super) struct Filter {
    pub agent_id: AgentId,
    pub role: String,
    pub resources: Resources,
    pub until: Instant,
}

/// One framework.
#[derive(Debug)]
pub(super) struct Framework {
    pub id: FrameworkId,
    pub info: FrameworkInfo,
    /// The id of the framework's event stream; `None` while the framework is disconnected.
    pub stream: Option<u64>,
    /// The Mesos-Stream-Id of the last subscription.
    pub stream_id: String,
    pub suppressed_roles: BTreeSet<String>,
    pub filters: Vec<Filter>,
    pub tasks: BTreeMap<TaskId, Task>,
    pub completed_tasks: VecDeque<Task>,
    pub executors: BTreeMap<(AgentId, ExecutorId), ExecutorInfo>,
    /// The time at which the master removes a disconnected framework; `None` while the framework is subscribed.
    pub removal: Option<Instant>,
    pub next_heartbeat: Instant,
    pub registered: Duration,
    pub reregistered: Duration,
    pub unregistered: Option<Duration>,
}

impl Framework {
    pub fn new(id: FrameworkId, info: FrameworkInfo, now: Now) -> Self {
        Self {
            info: FrameworkInfo { id: Some(id.clone()), ..info },
            id,
            stream: None,
            stream_id: String::new(),
            suppressed_roles: BTreeSet::new(),
            filters: Vec::new(),
            tasks: BTreeMap::new(),
            completed_tasks: VecDeque::new(),
            executors: BTreeMap::new(),
            removal: None,
            next_heartbeat: now.instant,
            registered: now.unix,
            reregistered: now.unix,
            unregistered: None,
        }
    }

    /// How long the framework may be disconnected: at most ten years, so that adding this duration to a time cannot overflow.
    pub fn failover_timeout(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
        let seconds = self.info.failover_timeout.unwrap_or(0.0);
        if seconds > LONGEST.as_secs_f64() {
            return LONGEST;
        }
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// When the next heartbeat and the framework's removal are due.
    pub fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let heartbeat = self.stream.map(|_| self.next_heartbeat);
        heartbeat.into_iter().chain(self.removal)
    }

    /// The resources that the framework's tasks and executors use, on one agent or on all.
    pub fn allocated(&self, agent_id: Option<&AgentId>) -> Resources {
        let here = |agent: &AgentId| agent_id.is_none_or(|id| id == agent);
        let tasks = self.tasks.values().filter(|t| !t.state.is_terminal() && here(&t.info.agent_id));
        let executors = self.executors.iter().filter(|((agent, _), _)| here(agent));
        let mut sum = Resources::default();
        tasks.for_each(|task| sum.extend(task.info.resources.clone()));
        executors.for_each(|(_, executor)| sum.extend(executor.resources.clone()));
        sum
    }

    /// Moves a task to the completed ones.
    pub fn complete(&mut self, task_id: &TaskId) {
        if let Some(task) = self.tasks.remove(task_id) {
            self.completed_tasks.push_back(task);
            if self.completed_tasks.len() > super::MAX_COMPLETED {
                self.completed_tasks.pop_front();
            }
        }
    }
}
