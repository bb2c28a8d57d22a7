//! What the master knows of one framework.

use crate::link::{Now, is_terminal};
use crate::resources::Bundle;
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::{ExecutorInfo, FrameworkInfo, TaskInfo, TaskState, TaskStatus};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// More than a task needs that goes through its states once.
const MAX_STATUSES: usize = 20;

/// One task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub info: TaskInfo,
    /// The newest that is known.
    pub state: TaskState,
    /// The last status of each run of equal states, without data.
    pub statuses: Vec<TaskStatus>,
    /// Of the update that was forwarded last.
    pub forwarded: Option<(TaskState, Vec<u8>)>,
    /// Since when its agent does not answer.
    pub unreachable: Option<Duration>,
}

impl Task {
    pub fn new(info: TaskInfo) -> Self {
        Self { info, state: TaskState::TaskStaging, statuses: Vec::new(), forwarded: None, unreachable: None }
    }

    pub fn id(&self) -> &str {
        &self.info.task_id.value
    }

    pub fn agent_id(&self) -> &str {
        &self.info.agent_id.value
    }

    pub fn executor_id(&self) -> Option<&str> {
        self.info.executor.as_ref().map(|executor| executor.executor_id.value.as_str())
    }

    /// Keeps a status for the operator's eyes; a task may have very many of the same state.
    pub fn remember(&mut self, status: &TaskStatus) {
        let kept = TaskStatus { data: None, ..status.clone() };
        match self.statuses.last_mut() {
            Some(last) if last.state == status.state => *last = kept,
            _ => self.statuses.push(kept),
        }
        if self.statuses.len() > MAX_STATUSES {
            self.statuses.remove(0);
        }
    }

    /// Whether it holds resources.
    pub fn is_active(&self) -> bool {
        !is_terminal(self.state) && self.unreachable.is_none()
    }
}

/// Resources that a framework does not want for a while.
#[derive(Debug)]
pub(super) struct Filter {
    pub agent_id: String,
    pub role: String,
    pub resources: Bundle,
    pub until: Instant,
}

/// One framework.
#[derive(Debug)]
pub(super) struct Framework {
    pub id: String,
    pub info: FrameworkInfo,
    /// Its event stream while it is connected.
    pub stream: Option<u64>,
    /// The Mesos-Stream-Id of its last subscription.
    pub stream_id: String,
    /// Known from its tasks on agents only.
    pub recovered: bool,
    pub suppressed: BTreeSet<String>,
    pub filters: Vec<Filter>,
    pub tasks: BTreeMap<String, Task>,
    pub completed_tasks: VecDeque<Task>,
    /// By agent and executor id.
    pub executors: BTreeMap<(String, String), ExecutorInfo>,
    /// When it is removed unless it comes back.
    pub removal: Option<Instant>,
    pub next_heartbeat: Instant,
    pub registered: Duration,
    pub reregistered: Duration,
    pub unregistered: Option<Duration>,
}

impl Framework {
    pub fn new(id: String, mut info: FrameworkInfo, now: Now) -> Self {
        info.id = Some(mesos::v1::FrameworkId { value: id.clone() });
        Self {
            id,
            info,
            stream: None,
            stream_id: String::new(),
            recovered: false,
            suppressed: BTreeSet::new(),
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

    /// Whether it understands the finer task states.
    pub fn partition_aware(&self) -> bool {
        has_capability(&self.info, Capability::PartitionAware)
    }

    /// `state`, or TASK_LOST where the framework does not understand it.
    pub fn state_for(&self, state: TaskState) -> TaskState {
        if self.partition_aware() { state } else { TaskState::TaskLost }
    }

    /// How long it may be away. Absurd values are cut to what a clock can bear.
    pub fn failover_timeout(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
        let seconds = self.info.failover_timeout.unwrap_or(0.0);
        if seconds > LONGEST.as_secs_f64() {
            return LONGEST;
        }
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// When something is due.
    pub fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let beat = self.stream.map(|_| self.next_heartbeat);
        beat.into_iter().chain(self.removal)
    }

    /// What its tasks and executors hold, on one agent or on all.
    pub fn allocated(&self, agent_id: Option<&str>) -> Bundle {
        let here = |agent: &str| agent_id.is_none_or(|id| id == agent);
        let mut sum = Bundle::default();
        for task in self.tasks.values().filter(|task| task.is_active() && here(task.agent_id())) {
            sum.add(&Bundle::from_resources(&task.info.resources));
        }
        for ((_, _), executor) in self.executors.iter().filter(|((agent, _), _)| here(agent)) {
            sum.add(&Bundle::from_resources(&executor.resources));
        }
        sum
    }

    /// Moves an ended task to the completed ones.
    pub fn complete(&mut self, task_id: &str) {
        if let Some(task) = self.tasks.remove(task_id) {
            self.completed_tasks.push_back(task);
            if self.completed_tasks.len() > super::REMEMBERED {
                self.completed_tasks.pop_front();
            }
        }
    }
}

/// Whether the framework says it can do something.
pub(super) fn has_capability(info: &FrameworkInfo, capability: Capability) -> bool {
    info.capabilities.iter().any(|c| c.r#type == Some(capability as i32))
}
