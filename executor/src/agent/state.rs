//! What the executor does when something happens. No socket, no timer, no thread; the only thing that is not
//! decided by the input is the stamp of an update (its UUID and time), on which nothing depends.
//!
//! One task per executor. What must not be lost is kept in the outbox beside it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesos::executor::Event;
use mesos::v1::executor::{Call, event};
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::{KillPolicy, TaskId, TaskInfo, TaskState};
use task::{Instruction, Report, TaskSpec};
use tracing::{debug, info, warn};

use super::outbox::Outbox;
use super::task::{DEFAULT_GRACE, End, Phase, Task, grace, without_rows};
use super::terms::{Effect, Input, Profile};
use crate::runner::{TaskError, TaskEvent};

/// How long the end waits for the agent's acknowledgement, which usually takes 2 ms.
const ACKNOWLEDGE_DEADLINE: Duration = Duration::from_secs(5);
/// How long the very first subscription may be tried: an agent that is not there any more by then is dead.
const FIRST_SUBSCRIPTION: Duration = Duration::from_secs(3);
/// Share of the executor's grace period that its task may use; the rest is for the last update.
const TASK_SHARE_OF_GRACE: f64 = 0.6;

/// The executor.
#[derive(Debug)]
pub struct State {
    profile: Profile,
    outbox: Outbox,
    /// When the connection was lost, or the executor started.
    since: Instant,
    subscribed_before: bool,
    reports_killing: bool,
    task: Option<Task>,
    /// Tasks that were to be killed before they came.
    killed_early: BTreeSet<TaskId>,
    /// Set when there is nothing left to do but to wait for acknowledgements.
    leaving: bool,
    /// Until when they are waited for, as long as there is an agent to give them.
    leave_by: Option<Instant>,
    /// Until when the process is to end, whatever it waits for.
    end_by: Option<Instant>,
    failure: Option<String>,
}

impl State {
    /// An executor that has not subscribed yet.
    pub fn new(profile: Profile, now: Instant) -> State {
        State {
            outbox: Outbox::new(profile.identity.clone()),
            profile,
            since: now,
            subscribed_before: false,
            reports_killing: false,
            task: None,
            killed_early: BTreeSet::new(),
            leaving: false,
            leave_by: None,
            end_by: None,
            failure: None,
        }
    }

    /// The SUBSCRIBE call with all that is not acknowledged.
    pub fn subscription(&mut self) -> Call {
        self.outbox.subscription()
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let stop = match self.task.as_ref().map(|task| &task.phase) {
            Some(Phase::Stopping { until, .. }) => Some(*until),
            _ => None,
        };
        let leave = [self.leave_by, self.end_by].map(|by| by.filter(|_| !self.is_busy()));
        leave.into_iter().chain([stop, self.recovery_deadline()]).flatten().min()
    }

    /// Decides.
    pub fn on(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        let mut effects = match input {
            Input::Mesos(event) => self.on_event(*event, now),
            Input::Disconnected(why) => self.on_disconnected(&why, now),
            Input::Disowned(why) => self.give_up(format!("the agent refuses this executor: {why}")),
            Input::Signal => self.shut_down(None, now),
            Input::Task(event) => self.on_task_event(event, now),
            Input::Ended(result) => self.on_ended(result),
            Input::Tick => Vec::new(),
        };
        effects.extend(self.on_time(now));
        effects
    }

    fn on_event(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        match event {
            Event::Subscribed(subscribed) => self.on_subscribed(&subscribed),
            Event::Launch(task) => self.launch(*task),
            Event::LaunchGroup(group) => self.launch_group(group.tasks, now),
            Event::Kill(kill) => self.kill(kill.task_id, kill.kill_policy.as_ref(), now),
            Event::Acknowledged(acknowledged) => {
                self.outbox.acknowledged(&acknowledged);
                Vec::new()
            }
            Event::Shutdown => self.shut_down(None, now),
            Event::Error(message) => {
                self.shut_down(Some(format!("the agent reported an error: {message}")), now)
            }
            Event::Message(data) => self.on_message(&data),
            Event::Heartbeat => Vec::new(),
            Event::Unknown(event) => {
                debug!(?event, "an event of a later Mesos");
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
                debug!(?instruction, "no task to obey it");
                Vec::new()
            }
            Err(error) => {
                warn!(%error, "a message that can't be read");
                Vec::new()
            }
        }
    }

    fn launch(&mut self, info: TaskInfo) -> Vec<Effect> {
        let id = info.task_id.clone();
        if self.task.as_ref().is_some_and(|task| task.info.task_id == id) {
            debug!(task = id.value, "launched already");
            return Vec::new();
        }
        self.outbox.launched(info.clone());
        if let Some(task) = &self.task {
            let text = format!("this executor runs only one task, {}", task.info.task_id.value);
            return self.update(id, TaskState::TaskFailed, Some(text), None);
        }
        if self.leaving {
            return self.update(id, TaskState::TaskFailed, Some("this executor is ending".into()), None);
        }
        let spec = TaskSpec::decode(info.data.as_deref().unwrap_or_default());
        let killed = self.killed_early.remove(&id);
        let grace = grace(info.kill_policy.as_ref()).unwrap_or(DEFAULT_GRACE);
        self.task = Some(Task::new(info, spec.as_ref().ok().and_then(|spec| spec.max_updates)));
        match spec {
            _ if killed => self.finish(TaskState::TaskKilled, Some("killed before it started".into()), None),
            Err(error) => {
                let text = format!("can't read the task's data: {error}");
                self.finish(TaskState::TaskFailed, Some(text), None)
            }
            Ok(spec) => {
                let mut effects = self.update(id.clone(), TaskState::TaskStarting, None, None);
                effects.push(Effect::Launch { task_id: id.value, spec: Box::new(spec), grace });
                effects
            }
        }
    }

    /// A group starts whole or not at all.
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
            effects.extend(self.update(id, TaskState::TaskFailed, Some(text.clone()), None));
        }
        if self.task.is_none() {
            self.leave(now);
        }
        effects
    }

    fn kill(&mut self, id: TaskId, policy: Option<&KillPolicy>, now: Instant) -> Vec<Effect> {
        let Some(task) = &mut self.task else {
            self.killed_early.insert(id);
            return Vec::new();
        };
        if task.info.task_id != id {
            warn!(task = id.value, "asked to kill a task that is not ours");
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

    /// Ends the task and then the executor, within its grace period.
    fn shut_down(&mut self, failure: Option<String>, now: Instant) -> Vec<Effect> {
        let grace = self.profile.shutdown_grace;
        self.leaving = true;
        self.end_by.get_or_insert(now + grace.mul_f64(0.9));
        if self.failure.is_none() {
            self.failure.clone_from(&failure);
        }
        let until = now + grace.mul_f64(TASK_SHARE_OF_GRACE);
        let end = failure.map_or(End::Killed, End::Failed);
        let stops = self.task.as_mut().is_some_and(|task| task.stop(until, end));
        if stops { vec![Effect::Stop] } else { Vec::new() }
    }

    fn on_disconnected(&mut self, why: &str, now: Instant) -> Vec<Effect> {
        if self.outbox.is_connected() {
            warn!(why, "the agent is gone");
            self.outbox.disconnected();
            // What it did not acknowledge, its next life will.
            self.leave_by = None;
            self.since = now;
        } else {
            debug!(why, "no subscription yet");
        }
        // Not by a timer: an agent that is only slow to answer is not dead.
        if !self.subscribed_before && self.since + FIRST_SUBSCRIPTION <= now {
            return self.give_up(format!("can't subscribe with the agent: {why}"));
        }
        if self.subscribed_before && !self.profile.checkpoint {
            let text = "the agent is gone, and without checkpointing it will not take this executor back";
            return self.give_up(text.into());
        }
        vec![Effect::Subscribe]
    }

    fn is_busy(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.phase != Phase::Ended)
    }

    /// Until when an agent that was there is waited for.
    fn recovery_deadline(&self) -> Option<Instant> {
        (self.subscribed_before && !self.outbox.is_connected())
            .then(|| self.since + self.profile.recovery_timeout)
    }

    fn give_up(&mut self, why: String) -> Vec<Effect> {
        vec![Effect::Abort, Effect::Exit(Err(why))]
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
            TaskEvent::Live(live) => {
                return self.outbox.message(&live).map(Effect::Send).into_iter().collect();
            }
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
            task.last = Some(without_rows(report));
        }
        let id = task.info.task_id.clone();
        let mut effects = self.update(id, state, text, report.as_ref());
        effects.extend(self.renew_if_due(now));
        effects
    }

    /// An agent never forgets the updates of a live task, so after so many a fresh one is to take its place.
    fn renew_if_due(&mut self, now: Instant) -> Option<Effect> {
        let task = self.task.as_mut().filter(|task| task.is_used_up())?;
        let until = now + task.grace();
        task.stop(until, End::Renewed).then_some(Effect::Stop)
    }

    fn on_ended(&mut self, result: Result<Report, TaskError>) -> Vec<Effect> {
        let Some(task) = self.task.as_mut() else { return Vec::new() };
        let (text, report) = match result {
            Ok(report) => (None, Some(report)),
            Err(error) => {
                (Some(error.message), error.last.map(|report| *report).or_else(|| task.last.take()))
            }
        };
        let (state, text) = match &task.phase {
            Phase::Ended => return Vec::new(),
            Phase::Stopping { end: End::Failed(failure), .. } => {
                (TaskState::TaskFailed, Some(failure.clone()))
            }
            Phase::Stopping { end: End::Killed, .. } => (TaskState::TaskKilled, text),
            Phase::Stopping { end: End::Renewed, .. } => {
                (TaskState::TaskFinished, Some(task.why_renewed(text.as_deref())))
            }
            Phase::Starting | Phase::Running if text.is_some() => (TaskState::TaskFailed, text),
            Phase::Starting | Phase::Running => (TaskState::TaskFinished, text),
        };
        self.finish(state, text, report.as_ref())
    }

    /// Sends the terminal update.
    fn finish(&mut self, state: TaskState, text: Option<String>, report: Option<&Report>) -> Vec<Effect> {
        let Some(task) = self.task.as_mut() else { return Vec::new() };
        task.phase = Phase::Ended;
        let id = task.info.task_id.clone();
        self.leaving = true;
        self.update(id, state, text, report)
    }

    fn leave(&mut self, now: Instant) {
        self.leaving = true;
        self.leave_by.get_or_insert(now + ACKNOWLEDGE_DEADLINE);
    }

    /// What is due because of the time, and whether the end has come.
    fn on_time(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(Phase::Stopping { until, .. }) = self.task.as_ref().map(|task| &task.phase)
            && *until <= now
        {
            effects.push(Effect::Abort);
            effects.extend(self.on_ended(Err(TaskError::new("did not end within its grace period"))));
        }
        if self.recovery_deadline().is_some_and(|by| by <= now) {
            let seconds = self.profile.recovery_timeout.as_secs();
            effects.extend(self.give_up(format!("the agent has been away for {seconds} s")));
        } else if self.leaving && !self.is_busy() {
            effects.extend(self.try_to_leave(now));
        }
        effects
    }

    fn try_to_leave(&mut self, now: Instant) -> Option<Effect> {
        if self.outbox.is_connected() {
            self.leave(now);
        }
        let late = [self.leave_by, self.end_by].into_iter().flatten().any(|by| by <= now);
        if late && self.outbox.waiting() > 0 {
            warn!(updates = self.outbox.waiting(), "leaving without the agent's acknowledgement");
        }
        let done = late || self.outbox.waiting() == 0;
        done.then(|| Effect::Exit(self.failure.clone().map_or(Ok(()), Err)))
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
