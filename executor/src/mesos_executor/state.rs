//! The decisions of the executor: a state machine without sockets, timers or threads. Its effects depend only on its events. The
//! only exceptions are the UUID and the time of each status update, and no decision depends on them.
//!
//! An executor runs one task. The outbox holds the unacknowledged updates.

mod end;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesos::env::ExecutorEnv;
use mesos::executor::Event as AgentEvent;
use mesos::v1::executor::{Call, event};
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::{KillPolicy, TaskId, TaskInfo, TaskState};
use task::{Instruction, Message, Report, TaskSpec};
use tracing::{debug, info, warn};

use super::events::{Effect, Event};
use super::outbox::Outbox;
use super::task::{DEFAULT_GRACE, End, Phase, Task, grace, without_rows};
use crate::runner::{TaskError, TaskEvent};

/// How long the executor tries to subscribe for the first time before it gives up. The agent has just started this process, so an
/// agent that cannot be reached is dead.
const FIRST_SUBSCRIPTION: Duration = Duration::from_secs(3);
/// The fraction of the executor's grace period that its task may use. The rest is left for sending the last update.
const TASK_SHARE_OF_GRACE: f64 = 0.6;

/// The state of the executor.
#[derive(Debug)]
pub struct State {
    env: ExecutorEnv,
    outbox: Outbox,
    /// When the connection to the agent was lost. Before the first connection, this is the time when the executor started.
    disconnected_since: Instant,
    subscribed_before: bool,
    /// Whether the framework has the capability TASK_KILLING_STATE.
    reports_killing: bool,
    task: Option<Task>,
    /// Tasks that the agent asked to kill before it launched them. When they are launched, they end as TASK_KILLED without
    /// starting.
    killed_early: BTreeSet<TaskId>,
    /// Whether the executor ends once its task has ended and all updates are acknowledged.
    ending: bool,
    /// The time limit for the agent's acknowledgements of the last updates. After it, the executor exits without them, but not
    /// before its task has ended. `None` if no limit is set.
    acknowledge_by: Option<Instant>,
    /// After this time, an executor that is shutting down exits even if updates are unacknowledged, whether it is connected or
    /// not. `None` unless it is shutting down.
    end_by: Option<Instant>,
    /// The error with which the process is to exit; `None` if the executor has not failed.
    failure: Option<String>,
}

impl State {
    /// An executor that has not subscribed yet.
    pub fn new(env: ExecutorEnv, now: Instant) -> Self {
        State {
            outbox: Outbox::new(env.identity.clone()),
            env,
            disconnected_since: now,
            subscribed_before: false,
            reports_killing: false,
            task: None,
            killed_early: BTreeSet::new(),
            ending: false,
            acknowledge_by: None,
            end_by: None,
            failure: None,
        }
    }

    /// The SUBSCRIBE call, with the unacknowledged updates and tasks.
    pub fn subscription(&mut self) -> Call {
        self.outbox.subscription()
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let stop = match self.task.as_ref().map(|task| &task.phase) {
            Some(Phase::Stopping { until, .. }) => Some(*until),
            _ => None,
        };
        let end = [self.acknowledge_by, self.end_by].map(|by| by.filter(|_| !self.is_busy()));
        end.into_iter().chain([stop, self.recovery_deadline()]).flatten().min()
    }

    /// Handles an event.
    pub fn on_event(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = match event {
            Event::Agent(event) => self.on_agent_event(*event, now),
            Event::Disconnected(reason) => self.on_disconnected(&reason, now),
            Event::Refused(reason) => self.give_up(format!("the agent refuses this executor: {reason}")),
            Event::Signal => self.shut_down(None, now),
            Event::Task(event) => self.on_task_event(event, now),
            Event::TaskEnded(result) => self.on_task_ended(result),
            Event::Tick => Vec::new(),
        };
        effects.extend(self.on_time(now));
        effects
    }

    fn on_agent_event(&mut self, event: AgentEvent, now: Instant) -> Vec<Effect> {
        match event {
            AgentEvent::Subscribed(subscribed) => self.on_subscribed(&subscribed),
            AgentEvent::Launch(task) => self.launch(*task),
            AgentEvent::LaunchGroup(group) => self.launch_group(group.tasks, now),
            AgentEvent::Kill(kill) => self.kill(kill.task_id, kill.kill_policy.as_ref(), now),
            AgentEvent::Acknowledged(acknowledged) => {
                self.outbox.acknowledged(&acknowledged);
                Vec::new()
            }
            AgentEvent::Shutdown => self.shut_down(None, now),
            AgentEvent::Error(message) => {
                self.shut_down(Some(format!("the agent reported an error: {message}")), now)
            }
            AgentEvent::Message(data) => self.on_message(&data),
            AgentEvent::Heartbeat => Vec::new(),
            AgentEvent::Unknown(event) => {
                debug!(?event, "ignored an unknown event");
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn on_subscribed(&mut self, subscribed: &event::Subscribed) -> Vec<Effect> {
        let capabilities = &subscribed.framework_info.capabilities;
        self.reports_killing = capabilities.iter().any(|c| c.r#type() == Capability::TaskKillingState);
        info!(agent = subscribed.agent_info.hostname, again = self.subscribed_before, "subscribed");
        self.subscribed_before = true;
        self.outbox.connected().into_iter().map(|call| Effect::Send(Box::new(call))).collect()
    }

    fn on_message(&mut self, data: &[u8]) -> Vec<Effect> {
        match Instruction::decode(data) {
            Ok(instruction) if self.is_busy() => vec![Effect::Instruct(instruction)],
            Ok(instruction) => {
                debug!(?instruction, "ignored an instruction, because no task runs");
                Vec::new()
            }
            Err(error) => {
                warn!(%error, "ignored a message that cannot be decoded");
                Vec::new()
            }
        }
    }

    fn launch(&mut self, info: TaskInfo) -> Vec<Effect> {
        let id = info.task_id.clone();
        if self.task.as_ref().is_some_and(|task| task.info.task_id == id) {
            debug!(task = id.value, "ignored a repeated launch");
            return Vec::new();
        }
        self.outbox.launched(info.clone());
        if let Some(task) = &self.task {
            let text = format!("this executor runs only one task, {}", task.info.task_id.value);
            return self.fail(id, text);
        }
        if self.ending {
            return self.fail(id, "this executor is ending".into());
        }
        let spec = TaskSpec::decode(info.data.as_deref().unwrap_or_default());
        let killed = self.killed_early.remove(&id);
        let grace = grace(info.kill_policy.as_ref()).unwrap_or(DEFAULT_GRACE);
        self.task = Some(Task::new(info, spec.as_ref().ok().and_then(|spec| spec.max_updates)));
        match spec {
            _ if killed => self.finish(TaskState::TaskKilled, Some("killed before it started".into()), None),
            Err(error) => {
                let text = format!("cannot read the task's data: {error}");
                self.finish(TaskState::TaskFailed, Some(text), None)
            }
            Ok(spec) => {
                let mut effects = self.update(id.clone(), TaskState::TaskStarting, None, None);
                effects.push(Effect::Launch { task_id: id.value, spec: Box::new(spec), grace });
                effects
            }
        }
    }

    /// Launches a group of one task. Fails all tasks of a larger group: a group must start completely or not at all, and this
    /// executor runs only one task.
    fn launch_group(&mut self, tasks: Vec<TaskInfo>, now: Instant) -> Vec<Effect> {
        let count = tasks.len();
        if let [_] = tasks[..] {
            return tasks.into_iter().flat_map(|task| self.launch(task)).collect();
        }
        let text = format!("this executor runs only one task, not a group of {count}");
        let mut effects = Vec::new();
        for task in tasks {
            let id = task.task_id.clone();
            self.outbox.launched(task);
            effects.extend(self.fail(id, text.clone()));
        }
        if self.task.is_none() {
            self.end(now);
        }
        effects
    }

    fn kill(&mut self, id: TaskId, policy: Option<&KillPolicy>, now: Instant) -> Vec<Effect> {
        let Some(task) = &mut self.task else {
            self.killed_early.insert(id);
            return Vec::new();
        };
        if task.info.task_id != id {
            warn!(task = id.value, "ignored a kill of an unknown task");
            return Vec::new();
        }
        let until = now + grace(policy).unwrap_or(task.grace());
        if !task.stop(until, End::Killed) {
            return Vec::new();
        }
        let mut effects = vec![Effect::Stop];
        if self.reports_killing {
            effects.extend(self.update(id, TaskState::TaskKilling, None, None));
        }
        effects
    }

    /// Ends the task and then the executor, within the executor's grace period.
    fn shut_down(&mut self, failure: Option<String>, now: Instant) -> Vec<Effect> {
        let grace = self.env.shutdown_grace_period;
        self.ending = true;
        self.end_by.get_or_insert(now + grace.mul_f64(0.9));
        if self.failure.is_none() {
            self.failure.clone_from(&failure);
        }
        let until = now + grace.mul_f64(TASK_SHARE_OF_GRACE);
        let end = failure.map_or(End::Killed, End::Failed);
        let stops = self.task.as_mut().is_some_and(|task| task.stop(until, end));
        if stops { vec![Effect::Stop] } else { Vec::new() }
    }

    fn on_disconnected(&mut self, reason: &str, now: Instant) -> Vec<Effect> {
        if self.outbox.is_connected() {
            warn!(reason, "lost the connection to the agent");
            self.outbox.disconnected();
            // Clear the time limit for the agent's acknowledgements. The agent may be restarting, and can acknowledge the
            // remaining updates only after that.
            self.acknowledge_by = None;
            self.disconnected_since = now;
        } else {
            debug!(reason, "not subscribed yet");
        }
        // The time limit is checked only when an attempt fails, because an agent that answers slowly is not dead.
        if !self.subscribed_before && self.disconnected_since + FIRST_SUBSCRIPTION <= now {
            return self.give_up(format!("cannot subscribe with the agent: {reason}"));
        }
        if self.subscribed_before && !self.env.checkpoint {
            let text = "the agent is gone, and without checkpointing it does not accept this executor again";
            return self.give_up(text.into());
        }
        vec![Effect::Subscribe]
    }

    fn is_busy(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.phase != Phase::Ended)
    }

    /// When the executor stops waiting for a lost agent and exits; `None` while it is connected, and before its first connection.
    fn recovery_deadline(&self) -> Option<Instant> {
        (self.subscribed_before && !self.outbox.is_connected())
            .then(|| self.disconnected_since + self.env.recovery_timeout)
    }

    fn give_up(&mut self, reason: String) -> Vec<Effect> {
        vec![Effect::Abort, Effect::Exit(Err(reason))]
    }

    fn on_task_event(&mut self, event: TaskEvent, now: Instant) -> Vec<Effect> {
        let Some(task) = self.task.as_mut() else { return Vec::new() };
        let mut text = None;
        let report = match event {
            TaskEvent::Health(health) => {
                task.healthy = Some(health.is_ok());
                text = health.err();
                None
            }
            TaskEvent::Live(live) => return self.message(Message::Live(live)),
            TaskEvent::Waiting(problem) => return self.message(Message::Waiting(problem)),
            TaskEvent::Running(report) | TaskEvent::Report(report) => Some(report),
        };
        let state = match task.phase {
            Phase::Ended => return Vec::new(),
            Phase::Stopping { end: End::Killed, .. } if self.reports_killing => TaskState::TaskKilling,
            Phase::Stopping { .. } => TaskState::TaskRunning,
            Phase::Starting | Phase::Running => {
                task.phase = Phase::Running;
                TaskState::TaskRunning
            }
        };
        if let Some(report) = &report {
            task.last_report = Some(without_rows(report));
        }
        let id = task.info.task_id.clone();
        let mut effects = self.update(id, state, text, report.as_ref());
        effects.extend(self.renew_if_due(now));
        effects
    }

    /// Ends a task that has reached its limit of updates, so that a new task replaces it. The limit exists because an agent
    /// stores all updates of a live task.
    fn renew_if_due(&mut self, now: Instant) -> Option<Effect> {
        let task = self.task.as_mut().filter(|task| task.is_used_up())?;
        let until = now + task.grace();
        task.stop(until, End::Renewed).then_some(Effect::Stop)
    }

    fn on_task_ended(&mut self, result: Result<Report, TaskError>) -> Vec<Effect> {
        let Some(task) = self.task.as_mut() else { return Vec::new() };
        let (text, problem, report) = match result {
            Ok(report) => (None, None, Some(report)),
            Err(TaskError { message, problem, last_report }) => {
                let report = last_report.map(|report| *report).or_else(|| task.last_report.take());
                (Some(message), problem, report)
            }
        };
        let (state, text) = match &task.phase {
            Phase::Ended => return Vec::new(),
            Phase::Stopping { end: End::Failed(failure), .. } => {
                (TaskState::TaskFailed, Some(failure.clone()))
            }
            Phase::Stopping { end: End::Killed, .. } => (TaskState::TaskKilled, text),
            Phase::Stopping { end: End::Renewed, .. } => {
                (TaskState::TaskFinished, Some(task.renewal_message(text.as_deref())))
            }
            Phase::Starting | Phase::Running if text.is_some() => (TaskState::TaskFailed, text),
            Phase::Starting | Phase::Running => (TaskState::TaskFinished, text),
        };
        // The message comes first: the scheduler keeps the last problem of a task that has failed.
        let mut effects = problem.map(|problem| self.message(Message::Waiting(problem))).unwrap_or_default();
        effects.extend(self.finish(state, text, report.as_ref()));
        effects
    }

    fn message(&self, message: Message) -> Vec<Effect> {
        self.outbox.message(&message).map(Effect::Send).into_iter().collect()
    }

    /// Sends the terminal update.
    fn finish(&mut self, state: TaskState, text: Option<String>, report: Option<&Report>) -> Vec<Effect> {
        let Some(task) = self.task.as_mut() else { return Vec::new() };
        task.phase = Phase::Ended;
        let id = task.info.task_id.clone();
        self.ending = true;
        self.update(id, state, text, report)
    }

    fn fail(&mut self, id: TaskId, text: String) -> Vec<Effect> {
        self.update(id, TaskState::TaskFailed, Some(text), None)
    }

    fn update(
        &mut self,
        task_id: TaskId,
        state: TaskState,
        text: Option<String>,
        report: Option<&Report>,
    ) -> Vec<Effect> {
        let data = report.map(Report::encode);
        let mut healthy = None;
        if let Some(task) = self.task.as_mut().filter(|task| task.info.task_id == task_id) {
            task.count_update(data.as_deref());
            healthy = task.healthy.filter(|_| !state.is_terminal());
        }
        self.outbox.update(task_id, state, text, data, healthy).map(Effect::Send).into_iter().collect()
    }
}
