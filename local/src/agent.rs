//! An agent as a pure state machine: [`Input`] in, [`Effect`]s out.
//!
//! It owns executors (as the agent sees them) and the updates that the scheduler has not acknowledged.
//! Processes, files and connections are somebody else's: see the crate's `cluster`.

mod calls;
mod executor;
mod recovery;
mod tasks;
mod updates;
pub mod view;

#[cfg(test)]
mod tests;

use crate::link::{Answer, Now, RequestId, ToAgent, ToMaster};
use crate::resources::Bundle;
use executor::Executor;
use mesos::v1::{self, AgentInfo, CommandInfo, FrameworkInfo, TaskStatus, executor as api};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use updates::UpdateStream;
use uuid::Uuid;

pub use recovery::Durable;

/// How an agent behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name under which frameworks see it.
    pub hostname: String,
    /// Where it listens.
    pub port: u16,
    /// What it has.
    pub total: Bundle,
    /// Sandboxes are below this folder.
    pub work_dir: PathBuf,
    /// How long an executor may take to subscribe.
    pub registration_timeout: Duration,
    /// How long an executor may take to come back after a restart of the agent.
    pub reregistration_timeout: Duration,
    /// From SHUTDOWN to SIGKILL, unless the executor says otherwise.
    pub shutdown_grace: Duration,
    /// How long an executor waits for a lost agent if its framework checkpoints.
    pub recovery_timeout: Duration,
}

/// What happens to an agent.
#[derive(Debug)]
pub enum Input {
    /// From the master.
    Master(ToAgent),
    /// The master is new, or has forgotten the agent.
    Reconnect,
    /// An executor's call.
    Call(RequestId, Box<api::Call>),
    /// An executor's event stream has ended.
    Closed(RequestId),
    /// A process has been started.
    Started(Uuid, u32),
    /// A process could not be started; why.
    Failed(Uuid, String),
    /// A process has ended; as wait(2) gives it.
    Exited(Uuid, i32),
    /// Take revocable resources back.
    Revoke,
    /// End all executors, for good.
    Stop,
    /// Time has passed.
    Tick,
}

/// What an agent wants done.
#[derive(Debug)]
pub enum Effect {
    /// Tell the master.
    Master(ToMaster),
    /// Answer a call.
    Answer(RequestId, Answer),
    /// Send an event.
    Event(RequestId, Box<api::Event>),
    /// End an event stream.
    Close(RequestId),
    /// Fetch files and start a process; the answer is [`Input::Started`] or [`Input::Failed`].
    Start(Box<Start>),
    /// SIGKILL a process with its whole group; the answer is [`Input::Exited`].
    Kill(Uuid),
}

/// A process to start.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its container.
    pub container: Uuid,
    /// Its working folder, to be made.
    pub sandbox: PathBuf,
    /// Command, files to fetch, variables of its own.
    pub command: CommandInfo,
    /// Variables from the agent.
    pub environment: BTreeMap<String, String>,
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    /// Given by the master.
    id: Option<String>,
    frameworks: BTreeMap<String, Framework>,
    /// Executors of a former life may come back until then; only then the agent registers.
    recovering: Option<Instant>,
    stopping: bool,
    /// The master wants it empty.
    draining: bool,
    effects: Vec<Effect>,
}

/// What an agent knows of one framework.
#[derive(Clone, Debug)]
struct Framework {
    info: FrameworkInfo,
    executors: BTreeMap<String, Executor>,
    /// By task.
    updates: BTreeMap<String, UpdateStream>,
    /// The master has removed it: nobody listens any more.
    terminating: bool,
}

impl Agent {
    /// An agent that runs nothing. Its first effect (of any input) registers it.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            id: None,
            frameworks: BTreeMap::new(),
            recovering: None,
            stopping: false,
            draining: false,
            effects: Vec::new(),
        }
    }

    /// Handles one input.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::Master(message) => self.on_master(message, now),
            Input::Reconnect => self.register(),
            Input::Call(request, call) => self.on_call(request, *call, now),
            Input::Closed(stream) => self.on_closed(stream),
            Input::Started(container, pid) => self.on_started(container, pid),
            Input::Failed(container, why) => self.on_failed(container, &why, now),
            Input::Exited(container, status) => self.on_exited(container, status, now),
            Input::Revoke => self.revoke(),
            Input::Stop => self.stop(now),
            Input::Tick => {}
        }
        self.on_time(now);
        let is_busy = self.executors().any(|executor| !executor.tasks.is_empty());
        self.draining &= is_busy;
        std::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let executors = self.executors().filter_map(|executor| executor.deadline);
        let updates = self.frameworks.values().flat_map(|f| f.updates.values()).filter_map(|u| u.retry_at);
        executors.chain(updates).chain(self.recovering).min()
    }

    /// Whether no executor is left.
    pub fn is_idle(&self) -> bool {
        self.executors().next().is_none()
    }

    fn executors(&self) -> impl Iterator<Item = &Executor> {
        self.frameworks.values().flat_map(|framework| framework.executors.values())
    }

    fn on_master(&mut self, message: ToAgent, now: Now) {
        match message {
            ToAgent::Registered(id) => {
                self.id = Some(id);
                self.resend_all(now);
            }
            ToAgent::Run { framework, task } => self.run(*framework, *task, now),
            ToAgent::Kill { framework_id, task_id, policy } => {
                self.kill(&framework_id, &task_id, policy, now)
            }
            ToAgent::Drain(longest) => self.drain(longest.as_ref(), now),
            ToAgent::Shutdown { framework_id, executor_id } => {
                self.shut_down(&framework_id, &executor_id, now);
            }
            ToAgent::Resend(framework_id) => self.resend(&framework_id, now),
            ToAgent::RemoveFramework(framework_id) => self.remove_framework(&framework_id, now),
            ToAgent::Message { framework_id, executor_id, data } => {
                let stream = self.executor(&framework_id, &executor_id).and_then(|executor| executor.stream);
                if let Some(stream) = stream {
                    self.effects.push(Effect::Event(stream, Box::new(event::message(data))));
                }
            }
            ToAgent::Acknowledge { framework_id, task_id, uuid } => {
                self.on_acknowledged(&framework_id, &task_id, &uuid, now);
            }
        }
    }

    fn executor(&self, framework_id: &str, executor_id: &str) -> Option<&Executor> {
        self.frameworks.get(framework_id)?.executors.get(executor_id)
    }

    fn executor_mut(&mut self, framework_id: &str, executor_id: &str) -> Option<&mut Executor> {
        self.frameworks.get_mut(framework_id)?.executors.get_mut(executor_id)
    }

    /// Framework and executor of a container.
    fn find(&self, which: impl Fn(&Executor) -> bool) -> Option<(String, String)> {
        self.frameworks.iter().find_map(|(framework_id, framework)| {
            let found = framework.executors.iter().find(|(_, executor)| which(executor))?;
            Some((framework_id.clone(), found.0.clone()))
        })
    }

    fn stop(&mut self, now: Now) {
        self.stopping = true;
        let ids: Vec<String> = self.frameworks.keys().cloned().collect();
        ids.iter().for_each(|id| self.remove_framework(id, now));
    }

    fn remove_framework(&mut self, framework_id: &str, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        framework.terminating = true;
        framework.updates.clear();
        let executors: Vec<String> = framework.executors.keys().cloned().collect();
        executors.iter().for_each(|executor| self.shut_down(framework_id, executor, now));
        self.forget_if_empty(framework_id);
    }

    fn forget_if_empty(&mut self, framework_id: &str) {
        let empty = |f: &Framework| f.executors.is_empty() && f.updates.is_empty();
        if self.frameworks.get(framework_id).is_some_and(empty) {
            self.frameworks.remove(framework_id);
        }
    }

    fn info(&self) -> AgentInfo {
        AgentInfo {
            hostname: self.config.hostname.clone(),
            port: Some(i32::from(self.config.port)),
            resources: self.config.total.to_resources(),
            id: self.id.clone().map(|value| v1::AgentId { value }),
            ..Default::default()
        }
    }

    fn agent_id(&self) -> v1::AgentId {
        v1::AgentId { value: self.id.clone().unwrap_or_default() }
    }

    /// Hands an update of an executor or of the agent itself to the update manager.
    fn update(&mut self, framework_id: &str, mut status: TaskStatus, now: Now) {
        let agent_id = self.agent_id();
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        if framework.terminating {
            return;
        }
        status.agent_id = Some(agent_id);
        status.uuid.get_or_insert_with(|| Uuid::new_v4().as_bytes().to_vec());
        let stream = framework.updates.entry(status.task_id.value.clone()).or_default();
        if stream.push(status) {
            self.forward(framework_id, now);
        }
    }
}

/// Events by their parts.
mod event {
    use super::v1;
    use v1::executor::{Event, event, event::Type};

    fn of(kind: Type) -> Event {
        Event { r#type: Some(kind as i32), ..Default::default() }
    }

    pub fn subscribed(subscribed: event::Subscribed) -> Event {
        Event { subscribed: Some(subscribed), ..of(Type::Subscribed) }
    }

    pub fn launch(task: v1::TaskInfo) -> Event {
        Event { launch: Some(event::Launch { task }), ..of(Type::Launch) }
    }

    pub fn kill(task_id: &str, kill_policy: Option<v1::KillPolicy>) -> Event {
        let task_id = v1::TaskId { value: task_id.to_owned() };
        Event { kill: Some(event::Kill { task_id, kill_policy }), ..of(Type::Kill) }
    }

    pub fn acknowledged(task_id: v1::TaskId, uuid: Vec<u8>) -> Event {
        Event { acknowledged: Some(event::Acknowledged { task_id, uuid }), ..of(Type::Acknowledged) }
    }

    pub fn message(data: Vec<u8>) -> Event {
        Event { message: Some(event::Message { data }), ..of(Type::Message) }
    }

    pub fn shutdown() -> Event {
        of(Type::Shutdown)
    }
}
