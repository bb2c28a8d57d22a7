//! What the master does about agents: registration, their messages, their loss.

use super::framework::{Framework, Task};
use super::{Effect, Master, Standing, event};
use crate::link::{KnownTask, Now, ToAgent, ToMaster, is_terminal, status};
use crate::resources::Bundle;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{self, AgentInfo, ExecutorInfo, FrameworkInfo, TaskState, TaskStatus, TimeInfo};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// An agent that the master knows.
#[derive(Debug)]
pub(super) struct Agent {
    /// How the outside names it.
    pub place: usize,
    pub info: AgentInfo,
    pub total: Bundle,
    /// Since when it does not answer.
    pub lost_at: Option<Instant>,
    /// Its tasks count as unreachable.
    pub unreachable: bool,
    /// It has left for good.
    pub removed: bool,
    /// Tasks (with their frameworks) to be killed when it is back.
    pub kill_later: BTreeSet<(String, String)>,
    /// What operators want of it.
    pub standing: Standing,
    pub registered: Duration,
    pub reregistered: Option<Duration>,
}

impl Agent {
    /// Whether its resources are offered.
    pub fn is_active(&self) -> bool {
        self.is_connected() && !self.is_deactivated()
    }

    /// Whether an operator wants nothing to be launched there.
    pub fn is_deactivated(&self) -> bool {
        !matches!(self.standing, Standing::Active)
    }

    /// Whether it can be spoken to.
    pub fn is_connected(&self) -> bool {
        self.lost_at.is_none() && !self.unreachable && !self.removed
    }

    /// Whether it counts as part of the cluster.
    pub fn is_registered(&self) -> bool {
        !self.unreachable
    }
}

impl Master {
    pub(super) fn on_agent(&mut self, place: usize, message: ToMaster, now: Now) {
        if let ToMaster::Register { info, total, tasks, executors, frameworks } = message {
            return self.register(place, *info, total, tasks, executors, frameworks, now);
        }
        let Some(agent_id) = self.agent_at(place) else { return };
        match message {
            ToMaster::Register { .. } => {}
            ToMaster::Update { framework_id, status, latest } => {
                self.on_update(&framework_id, *status, latest, now);
            }
            ToMaster::Message { framework_id, executor_id, data } => {
                self.send(&framework_id, event::message(&agent_id, executor_id, data));
            }
            ToMaster::Exited { framework_id, executor_id, status } => {
                if let Some(framework) = self.frameworks.get_mut(&framework_id) {
                    framework.executors.remove(&(agent_id.clone(), executor_id.clone()));
                }
                self.send(&framework_id, event::failure(&agent_id, Some((executor_id, status))));
            }
            ToMaster::Unregister => self.unregister(&agent_id, now),
        }
    }

    fn agent_at(&self, place: usize) -> Option<String> {
        self.agents
            .iter()
            .find(|(_, agent)| agent.place == place && agent.is_connected())
            .map(|(id, _)| id.clone())
    }

    #[allow(clippy::too_many_arguments)] // the parts of one message
    fn register(
        &mut self,
        place: usize,
        mut info: AgentInfo,
        total: Bundle,
        tasks: Vec<KnownTask>,
        executors: Vec<(String, ExecutorInfo)>,
        frameworks: Vec<FrameworkInfo>,
        now: Now,
    ) {
        let id = info.id.clone().map(|id| id.value).unwrap_or_else(|| {
            let number = self.numbers.agents;
            self.numbers.agents += 1;
            format!("{}-S{number}", self.id)
        });
        info.id = Some(v1::AgentId { value: id.clone() });
        let awaited = self.awaited.remove(&id);
        let before = self.agents.remove(&id);
        let is_back = awaited.is_some() || before.is_some();
        let standing = before.as_ref().map(|agent| agent.standing.clone()).or(awaited).unwrap_or_default();
        let registered = before.as_ref().map_or(now.unix, |agent| agent.registered);
        let agent = Agent {
            place,
            info,
            total,
            lost_at: None,
            unreachable: false,
            removed: false,
            kill_later: BTreeSet::new(),
            standing,
            registered,
            reregistered: is_back.then_some(now.unix),
        };
        self.agents.insert(id.clone(), agent);
        self.effects.push(Effect::Agent(place, ToAgent::Registered(id.clone())));
        self.adopt(place, &id, tasks, executors, frameworks, now);
        for (framework_id, task_id) in before.map(|agent| agent.kill_later).unwrap_or_default() {
            self.effects.push(Effect::Agent(place, ToAgent::Kill { framework_id, task_id, policy: None }));
        }
        self.drain(&id);
        self.next_allocation = now.instant;
    }

    /// Brings what the master believes into line with what an agent has.
    fn adopt(
        &mut self,
        place: usize,
        agent_id: &str,
        tasks: Vec<KnownTask>,
        executors: Vec<(String, ExecutorInfo)>,
        frameworks: Vec<FrameworkInfo>,
        now: Now,
    ) {
        for info in frameworks {
            let Some(id) = info.id.as_ref().map(|id| id.value.clone()) else { continue };
            if self.completed.iter().any(|framework| framework.id == id) {
                self.effects.push(Effect::Agent(place, ToAgent::RemoveFramework(id)));
            } else {
                self.frameworks.entry(id.clone()).or_insert_with(|| {
                    let recovered = true;
                    Framework { recovered, ..Framework::new(id, info, now) }
                });
            }
        }
        let reported: BTreeSet<(String, String)> =
            tasks.iter().map(|t| (t.framework_id.clone(), t.info.task_id.value.clone())).collect();
        for framework in self.frameworks.values_mut() {
            framework.executors.retain(|(agent, _), _| agent != agent_id);
        }
        for (framework_id, executor) in executors {
            if let Some(framework) = self.frameworks.get_mut(&framework_id) {
                let key = (agent_id.to_owned(), executor.executor_id.value.clone());
                framework.executors.insert(key, executor);
            }
        }
        tasks.into_iter().for_each(|task| self.adopt_task(task, now));
        let lost = self.tasks_on(agent_id).into_iter().filter(|key| !reported.contains(key));
        for (framework_id, task_id) in lost.collect::<Vec<_>>() {
            let message = "Task is unknown to the agent that has reregistered";
            self.lose(&framework_id, &task_id, TaskState::TaskGone, Reason::AgentReregistered, message, now);
        }
    }

    fn adopt_task(&mut self, known: KnownTask, now: Now) {
        let Some(framework) = self.frameworks.get_mut(&known.framework_id) else { return };
        let id = known.info.task_id.value.clone();
        let task = framework.tasks.entry(id.clone()).or_insert_with(|| Task::new(known.info));
        if let Some(status) = &known.status {
            task.remember(status);
            task.state = status.state();
        }
        if task.unreachable.take().is_none() {
            return;
        }
        let message = "Unreachable agent re-reregistered";
        let mut update = status(&id, task.state, Source::Master, Reason::AgentReregistered, message, now);
        update.agent_id = Some(task.info.agent_id.clone());
        update.executor_id = task.executor_id().map(|id| v1::ExecutorId { value: id.to_owned() });
        update.container_status = known.status.and_then(|status| status.container_status);
        self.send_update(&known.framework_id, update);
    }

    fn on_update(&mut self, framework_id: &str, status: TaskStatus, latest: TaskState, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        if let Some(task) = framework.tasks.get_mut(&status.task_id.value) {
            let ended = is_terminal(latest) && !is_terminal(task.state);
            task.state = latest;
            task.remember(&status);
            task.forwarded = Some((status.state(), status.uuid.clone().unwrap_or_default()));
            if ended {
                self.next_allocation =
                    self.next_allocation.min(now.instant + self.config.allocation_interval);
            }
        }
        self.send_update(framework_id, status);
    }

    /// All tasks on an agent that have not ended: framework and task.
    fn tasks_on(&self, agent_id: &str) -> Vec<(String, String)> {
        let on = |task: &&Task| task.agent_id() == agent_id && !is_terminal(task.state);
        let of = |f: &Framework| {
            let tasks = f.tasks.values().filter(on);
            tasks.map(|task| (f.id.clone(), task.id().to_owned())).collect::<Vec<_>>()
        };
        self.frameworks.values().flat_map(of).collect()
    }

    pub(super) fn on_agent_lost(&mut self, place: usize, now: Now) {
        let Some(agent_id) = self.agent_at(place) else { return };
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            agent.lost_at = Some(now.instant);
        }
        self.rescind_all_of(&agent_id);
        let hostname = self.hostname(&agent_id);
        for (framework_id, task_id) in self.tasks_on(&agent_id) {
            let checkpoints =
                self.frameworks.get(&framework_id).is_some_and(|f| f.info.checkpoint.unwrap_or(false));
            if !checkpoints {
                let message = format!("Agent {hostname} disconnected");
                self.lose(
                    &framework_id,
                    &task_id,
                    TaskState::TaskLost,
                    Reason::AgentDisconnected,
                    &message,
                    now,
                );
            }
        }
        for framework in self.frameworks.values_mut().filter(|f| !f.info.checkpoint.unwrap_or(false)) {
            framework.executors.retain(|(agent, _), _| *agent != agent_id);
        }
    }

    pub(super) fn expire_agents(&mut self, now: Now) {
        let timeout = self.config.agent_timeout;
        let due = |agent: &Agent| agent.lost_at.is_some_and(|at| at + timeout <= now.instant);
        let expired: Vec<String> =
            self.agents.iter().filter(|(_, agent)| due(agent)).map(|(id, _)| id.clone()).collect();
        for agent_id in expired {
            if let Some(agent) = self.agents.get_mut(&agent_id) {
                (agent.lost_at, agent.unreachable) = (None, true);
            }
            for (framework_id, task_id) in self.tasks_on(&agent_id) {
                self.mark_unreachable(&framework_id, &task_id, now);
            }
            self.agent_failure(&agent_id);
        }
    }

    fn mark_unreachable(&mut self, framework_id: &str, task_id: &str, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let state = framework.state_for(TaskState::TaskUnreachable);
        let Some(task) = framework.tasks.get_mut(task_id) else { return };
        task.unreachable = Some(now.unix);
        let message = "health check timed out";
        let mut update = status(task_id, state, Source::Master, Reason::AgentRemoved, message, now);
        update.agent_id = Some(task.info.agent_id.clone());
        update.executor_id = task.executor_id().map(|id| v1::ExecutorId { value: id.to_owned() });
        update.unreachable_time = Some(time_info(now.unix));
        self.send_update(framework_id, update);
    }

    fn unregister(&mut self, agent_id: &str, now: Now) {
        self.rescind_all_of(agent_id);
        let message = format!("Agent {} removed: the agent unregistered", self.hostname(agent_id));
        for (framework_id, task_id) in self.tasks_on(agent_id) {
            self.lose(&framework_id, &task_id, TaskState::TaskLost, Reason::AgentRemoved, &message, now);
        }
        self.agent_failure(agent_id);
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.removed = true;
        }
    }

    /// An agent is gone: its executors are, too, and every connected framework hears of it.
    fn agent_failure(&mut self, agent_id: &str) {
        let ids: Vec<String> = self.frameworks.keys().cloned().collect();
        for id in ids {
            if let Some(framework) = self.frameworks.get_mut(&id) {
                framework.executors.retain(|(agent, _), _| agent != agent_id);
            }
            self.send(&id, event::failure(agent_id, None));
        }
    }

    /// Ends a task in the master's own books, and says so.
    fn lose(
        &mut self,
        framework_id: &str,
        task_id: &str,
        state: TaskState,
        reason: Reason,
        message: &str,
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let state = framework.state_for(state);
        let Some(task) = framework.tasks.get_mut(task_id) else { return };
        task.state = state;
        let mut update = status(task_id, state, Source::Master, reason, message, now);
        update.agent_id = Some(task.info.agent_id.clone());
        update.executor_id = task.executor_id().map(|id| v1::ExecutorId { value: id.to_owned() });
        task.remember(&update);
        framework.complete(task_id);
        self.send_update(framework_id, update);
    }

    pub(super) fn rescind_all_of(&mut self, agent_id: &str) {
        let ids: Vec<String> =
            self.offers.iter().filter(|(_, o)| o.agent_id == agent_id).map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| self.rescind(id));
    }

    fn hostname(&self, agent_id: &str) -> String {
        self.agents.get(agent_id).map_or_else(String::new, |agent| agent.info.hostname.clone())
    }
}

/// A moment as messages carry it.
pub(super) fn time_info(unix: Duration) -> TimeInfo {
    TimeInfo { nanoseconds: i64::try_from(unix.as_nanos()).unwrap_or(i64::MAX) }
}
