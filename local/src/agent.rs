//! An agent as a pure state machine: an [`Event`] and the time go in, [`Effect`]s come out.
//!
//! The agent owns the state of its executors and the updates that the scheduler has not acknowledged. The executors' processes,
//! files and connections belong to the module `cluster`.

mod calls;
mod executor;
mod state_json;
mod tasks;
mod updates;

#[cfg(test)]
mod tests;

use crate::messages::{Answer, Now, RequestId, ToAgent, ToMaster};
use executor::Executor;
use mesos::executor as api;
use mesos::resources::Resources;
use mesos::v1::executor::{Call, event};
use mesos::v1::{
    AgentId, AgentInfo, CommandInfo, ExecutorId, FrameworkId, FrameworkInfo, TaskId, TaskStatus,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use updates::UpdateStream;
use uuid::Uuid;

/// The settings of an agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// The agent's id.
    pub id: AgentId,
    /// The host name that frameworks see.
    pub hostname: String,
    /// The port that the agent listens on.
    pub port: u16,
    /// All resources of the agent.
    pub total: Resources,
    /// Sandboxes are below this folder.
    pub work_dir: PathBuf,
    /// Time for a started executor to subscribe. The agent kills an executor that has not subscribed by then.
    pub registration_timeout: Duration,
    /// Time for an executor to end after SHUTDOWN, unless its `ExecutorInfo` sets another. The agent then kills it by SIGKILL.
    pub shutdown_grace: Duration,
    /// How long an executor waits for a lost agent if the executor's framework checkpoints.
    pub recovery_timeout: Duration,
}

impl Config {
    /// The agent as frameworks and executors see it.
    pub fn info(&self) -> AgentInfo {
        AgentInfo {
            hostname: self.hostname.clone(),
            port: Some(i32::from(self.port)),
            resources: self.total.clone().into(),
            id: Some(self.id.clone()),
            ..Default::default()
        }
    }
}

/// An event for an agent.
#[derive(Debug)]
pub enum Event {
    /// A message from the master.
    Master(ToAgent),
    /// An executor's call.
    Call(RequestId, Box<Call>),
    /// An executor's event stream has ended.
    Closed(RequestId),
    /// Something happened to a container.
    Container(Uuid, ContainerEvent),
    /// A test requests that revocable resources are taken back.
    Revoke,
    /// The cluster ends: all executors are shut down.
    Stop,
    /// Time has passed: the agent does what has become due.
    Tick,
}

/// An event of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerEvent {
    /// The process has been started, with this process id.
    Started(u32),
    /// The process cannot be started, for this reason.
    Failed(String),
    /// The process has ended with this wait status (wait(2)), and its whole process group is gone.
    Exited(i32),
}

/// An action that an agent requests.
#[derive(Debug)]
pub enum Effect {
    /// Send a message to the master.
    Master(ToMaster),
    /// Answer a call.
    Answer(RequestId, Answer),
    /// Send an event to an executor.
    Send(RequestId, api::Event),
    /// End an event stream.
    Close(RequestId),
    /// Fetch files and start a process. [`ContainerEvent::Started`] or [`ContainerEvent::Failed`] follows.
    Start(Box<ContainerSpec>),
    /// Kill a container's process group by SIGKILL. [`ContainerEvent::Exited`] follows.
    Kill(Uuid),
}

/// A container to be started.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// The container's id.
    pub id: Uuid,
    /// The working folder of the process. The folder does not exist yet.
    pub sandbox: PathBuf,
    /// The executor's command, with its files to fetch and its own environment variables.
    pub command: CommandInfo,
    /// Environment variables that the agent adds.
    pub environment: BTreeMap<String, String>,
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    frameworks: BTreeMap<FrameworkId, Framework>,
    /// Set by [`Event::Stop`]: nothing is launched any more.
    stopping: bool,
    effects: Vec<Effect>,
}

/// What an agent knows about one framework.
#[derive(Clone, Debug)]
struct Framework {
    info: FrameworkInfo,
    executors: BTreeMap<ExecutorId, Executor>,
    updates: BTreeMap<TaskId, UpdateStream>,
    /// Whether the master has removed the framework. Updates of its tasks are then dropped.
    terminating: bool,
}

impl Agent {
    /// An agent without executors.
    pub fn new(config: Config) -> Self {
        Self { config, frameworks: BTreeMap::new(), stopping: false, effects: Vec::new() }
    }

    /// Handles one event.
    pub fn on_event(&mut self, event: Event, now: Now) -> Vec<Effect> {
        match event {
            Event::Master(message) => self.on_master_message(message, now),
            Event::Call(request, call) => self.on_call(request, *call, now),
            Event::Closed(stream) => {
                if let Some(executor) = self.executor_where(|executor| executor.stream == Some(stream)) {
                    executor.stream = None;
                }
            }
            Event::Container(id, event) => self.on_container_event(id, event, now),
            Event::Revoke => self.revoke(),
            Event::Stop => {
                self.stopping = true;
                let ids: Vec<FrameworkId> = self.frameworks.keys().cloned().collect();
                ids.iter().for_each(|id| self.shut_down_framework(id, now));
            }
            Event::Tick => {}
        }
        self.kill_overdue_executors(now);
        self.forward_all(now);
        std::mem::take(&mut self.effects)
    }

    /// The time of the next [`Event::Tick`].
    pub fn next_deadline(&self) -> Option<Instant> {
        let frameworks = self.frameworks.values();
        let executors = self.executors().filter_map(|executor| executor.deadline);
        let updates = frameworks.flat_map(|f| f.updates.values()).filter_map(|stream| stream.retry_at);
        executors.chain(updates).min()
    }

    fn executors(&self) -> impl Iterator<Item = &Executor> {
        self.frameworks.values().flat_map(|framework| framework.executors.values())
    }

    fn executor(&mut self, framework_id: &FrameworkId, executor_id: &ExecutorId) -> Option<&mut Executor> {
        self.frameworks.get_mut(framework_id)?.executors.get_mut(executor_id)
    }

    fn executor_where(&mut self, which: impl Fn(&Executor) -> bool) -> Option<&mut Executor> {
        let mut executors = self.frameworks.values_mut().flat_map(|f| f.executors.values_mut());
        executors.find(|executor| which(executor))
    }

    /// Sends an event to an executor if it is connected.
    fn send(&mut self, framework_id: &FrameworkId, executor_id: &ExecutorId, event: api::Event) {
        if let Some(stream) = self.executor(framework_id, executor_id).and_then(|executor| executor.stream) {
            self.effects.push(Effect::Send(stream, event));
        }
    }

    fn on_master_message(&mut self, message: ToAgent, now: Now) {
        match message {
            ToAgent::RunTask { framework, task } => self.run_task(*framework, *task, now),
            ToAgent::KillTask { framework_id, task_id, policy } => {
                self.kill_task(&framework_id, event::Kill { task_id, kill_policy: policy }, now);
            }
            ToAgent::ShutdownExecutor { framework_id, executor_id } => {
                self.shut_down(&framework_id, &executor_id, now);
            }
            ToAgent::ShutdownFramework(framework_id) => self.shut_down_framework(&framework_id, now),
            ToAgent::ResendUpdates(framework_id) => self.resend_updates(&framework_id, now),
            ToAgent::Message { framework_id, executor_id, data } => {
                self.send(&framework_id, &executor_id, api::Event::Message(data));
            }
            ToAgent::Acknowledge { framework_id, task_id, uuid } => {
                self.on_acknowledged(&framework_id, &task_id, &uuid, now);
            }
        }
    }

    fn shut_down_framework(&mut self, framework_id: &FrameworkId, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        framework.terminating = true;
        framework.updates.clear();
        let executors: Vec<ExecutorId> = framework.executors.keys().cloned().collect();
        executors.iter().for_each(|executor| self.shut_down(framework_id, executor, now));
        self.forget_if_empty(framework_id);
    }

    fn forget_if_empty(&mut self, framework_id: &FrameworkId) {
        let is_empty = |f: &Framework| f.executors.is_empty() && f.updates.is_empty();
        if self.frameworks.get(framework_id).is_some_and(is_empty) {
            self.frameworks.remove(framework_id);
        }
    }

    /// Queues an update for the scheduler, and forwards it unless an earlier update of the task is unacknowledged.
    fn update(&mut self, framework_id: &FrameworkId, mut status: TaskStatus, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id).filter(|f| !f.terminating) else {
            return;
        };
        status.agent_id = Some(self.config.id.clone());
        status.uuid.get_or_insert_with(|| Uuid::new_v4().as_bytes().to_vec());
        let stream = framework.updates.entry(status.task_id.clone()).or_default();
        if stream.push(status) {
            self.forward(framework_id, now);
        }
    }
}
