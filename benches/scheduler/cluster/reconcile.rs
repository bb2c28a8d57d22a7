//! Responses to RECONCILE.

use mesos::v1::scheduler::call;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{TaskState, TaskStatus};

use super::agent::Agent;
use super::{Cluster, events, updates};

impl Cluster {
    /// Sends the latest state of each task that the call names. If the call names no task, sends the state of all tasks that are
    /// not unreachable.
    pub(super) fn reconcile(&mut self, reconcile: call::Reconcile) {
        if reconcile.tasks.is_empty() {
            for index in 0..self.tasks.len() {
                let task = &self.tasks[index];
                if self.is_live(index) && !self.agents[task.agent].is_lost {
                    self.answer(index);
                }
            }
            return;
        }
        for asked in &reconcile.tasks {
            let known = self.by_id.get(&asked.task_id.value).copied();
            match known.filter(|index| self.is_live(*index)) {
                Some(index) => self.answer(index),
                None => self.answer_unknown(asked),
            }
        }
    }

    /// Whether the master still knows a task. It knows an ended task until the task's last update is acknowledged.
    fn is_live(&self, index: usize) -> bool {
        let task = &self.tasks[index];
        !task.state.is_terminal() || !task.updates.is_empty()
    }

    fn answer(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        self.reconciled += usize::from(!std::mem::replace(&mut task.is_reconciled, true));
        let agent = &self.agents[task.agent];
        let (state, text) = match agent.is_lost {
            true => (TaskState::TaskUnreachable, "Reconciliation: Task is unreachable"),
            false => (task.state, "Reconciliation: Latest task state"),
        };
        let status = updates::status(&task.id, &agent.id, state);
        self.send_reconciliation(status, text);
    }

    fn answer_unknown(&mut self, asked: &call::reconcile::Task) {
        let agent = asked.agent_id.as_ref().map(|agent| agent.value.as_str());
        let known = agent.and_then(Agent::number).is_some_and(|number| number < self.agents.len());
        let (state, text) = match known {
            true => (TaskState::TaskGone, "Reconciliation: Task is unknown to the agent"),
            false => (TaskState::TaskUnknown, "Reconciliation: Task is unknown"),
        };
        let mut status = updates::status(&asked.task_id.value, agent.unwrap_or_default(), state);
        status.executor_id = None;
        status.agent_id.clone_from(&asked.agent_id);
        self.send_reconciliation(status, text);
    }

    fn send_reconciliation(&mut self, status: TaskStatus, text: &str) {
        let status = updates::because(status, Source::Master, Reason::Reconciliation, text);
        self.send(events::update(status));
    }

    /// Whether the state of each task was sent to the scheduler since the last subscription.
    pub fn all_reconciled(&self) -> bool {
        self.reconciled >= self.live
    }
}
