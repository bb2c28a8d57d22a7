//! The simulated faults.

use super::*;

impl Cluster {
    pub fn leave(&mut self, which: usize) {
        let (count, now) = (self.agents.len(), self.script.now);
        let agent = &mut self.agents[which % count];
        agent.away.get_or_insert((now, false));
        let id = agent.id.clone();
        self.withdraw(&id);
    }

    /// An operator tears the framework down, and the scheduler begins a new one.
    pub fn remove_framework(&mut self) {
        self.deaf = false;
        self.tasks.clear();
        self.history.clear();
        self.unanswered.clear();
        self.next += 1;
        self.script.framework = format!("f{}", self.next);
        self.event(Event::Disconnected);
        self.event(Event::Removed { now_ms: 1 });
        self.subscribed();
    }

    pub fn come_back(&mut self, which: usize) {
        let count = self.agents.len();
        let agent = &mut self.agents[which % count];
        let id = agent.id.clone();
        let Some((_, noticed)) = agent.away.take() else { return };
        let known: Vec<(String, TaskState)> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.agent == id)
            .map(|(id, it)| (id.clone(), it.state))
            .collect();
        for (task, state) in known.into_iter().filter(|_| noticed) {
            self.tell(&task, &id, state, Some(Reason::AgentReregistered));
        }
    }

    /// SIGUSR1 ends the agent and its tasks. The agent is started again immediately.
    pub fn say_goodbye(&mut self, which: usize) {
        let id = self.agents[which % self.agents.len()].id.clone();
        if !self.here(&id) {
            return;
        }
        self.withdraw(&id);
        self.drop_tasks(&id, TaskState::TaskLost);
    }

    /// The agent has lost its checkpoints: it gets a new id, and the old one never returns.
    pub fn rename(&mut self, which: usize) {
        let count = self.agents.len();
        let agent = &mut self.agents[which % count];
        let old = agent.id.clone();
        agent.id.push('\'');
        agent.away = None;
        self.withdraw(&old);
        self.drop_tasks(&old, TaskState::TaskUnreachable);
    }

    pub(super) fn drop_tasks(&mut self, agent: &str, state: TaskState) {
        let lost: Vec<String> =
            self.tasks.iter().filter(|(_, task)| task.agent == agent).map(|(id, _)| id.clone()).collect();
        for task in lost {
            self.tasks.remove(&task);
            self.tell(&task, agent, state, None);
        }
    }

    pub fn crash(&mut self, task: &str) {
        let agent =
            self.tasks.get(task).filter(|task| task.lives() && !self.deaf).map(|task| task.agent.clone());
        if let Some(agent) = agent.filter(|agent| self.here(agent)) {
            let (agent, executor) = (Some(agent), task.to_owned());
            self.event(Event::ExecutorTerminated { agent, executor, status: Some(9) });
        }
        self.end(task, TaskState::TaskFailed);
    }

    /// Makes a task hang. Does nothing if the task is in TASK_RUNNING but has not sent a live message yet.
    pub fn hang(&mut self, task: &str) {
        let heard = self.script.state.fleet.get(task).is_some_and(|task| task.silent_since.is_some());
        let hangs = |task: &&mut Real| task.lives() && (heard || task.state != TaskState::TaskRunning);
        if let Some(task) = self.tasks.get_mut(task).filter(hangs) {
            task.hung = true;
        }
    }

    pub fn gone_by_operator(&mut self, task: &str) {
        let Some(agent) = self.tasks.get(task).map(|task| task.agent.clone()) else { return };
        let Some(which) = self.agents.iter().position(|it| it.id == agent) else { return };
        self.agents[which].id.push('"');
        self.agents[which].away = None;
        self.withdraw(&agent);
        self.drop_tasks(&agent, TaskState::TaskGoneByOperator);
    }

    /// Mesos wrongly says that a task is gone.
    pub fn mistake(&mut self, task: &str, which: usize) {
        let states =
            [TaskState::TaskLost, TaskState::TaskGone, TaskState::TaskUnknown, TaskState::TaskUnreachable];
        let Some(agent) = self.tasks.get(task).map(|task| task.agent.clone()) else { return };
        self.tell(task, &agent, states[which % states.len()], None);
    }

    /// A server becomes unhealthy or healthy.
    pub fn fall_ill(&mut self, task: &str, healthy: bool) {
        if self.tasks.get(task).is_some_and(|real| real.state == TaskState::TaskRunning && !real.hung) {
            self.update(task, TaskState::TaskRunning);
            if let Some(update) = self.tasks.get_mut(task).and_then(|real| real.updates.last_mut()) {
                update.healthy = Some(healthy);
            }
        }
    }

    pub fn rescind(&mut self, which: usize) {
        let Some(id) = self.offers.keys().nth(which % self.offers.len().max(1)).cloned() else { return };
        self.offers.remove(&id);
        self.event(Event::Rescinded(id));
    }

    /// The connection breaks, or another master becomes the leader. The last calls may be lost.
    pub fn reconnect(&mut self, deaf: bool) {
        self.deaf = deaf;
        self.pass(Duration::from_secs(2));
        self.deaf = false;
        self.offers.clear();
        self.event(Event::Disconnected);
        self.pass_alone(Duration::from_secs(3));
        self.subscribed();
    }

    pub fn restart(&mut self) {
        self.offers.clear();
        self.script.restart();
        self.subscribed();
    }

    /// Repeats an earlier update.
    pub fn repeat(&mut self, which: usize) {
        if !self.history.is_empty() {
            let old = self.history[which % self.history.len()].clone();
            self.event(Event::Update(Box::new(old)));
        }
    }
}
