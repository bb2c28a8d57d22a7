//! RECONCILE: what the master believes about tasks.

use super::Master;
use super::framework::{Framework, Task};
use crate::link::{Now, status};
use mesos::v1::scheduler::call;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{self, TaskState, TaskStatus};

impl Master {
    pub(super) fn reconcile(&mut self, framework_id: &str, reconcile: &call::Reconcile, now: Now) {
        if !reconcile.tasks.is_empty() {
            return reconcile.tasks.iter().for_each(|task| self.reconcile_one(framework_id, task, now));
        }
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        // Unreachable ones are left out of an implicit reconciliation, as in Mesos.
        let tasks = framework.tasks.values().filter(|task| task.unreachable.is_none());
        let updates: Vec<TaskStatus> = tasks.map(|task| latest(framework, task, now)).collect();
        updates.into_iter().for_each(|update| self.send_update(framework_id, update));
    }

    pub(super) fn reconcile_one(&mut self, framework_id: &str, asked: &call::reconcile::Task, now: Now) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let id = &asked.task_id.value;
        let agent = asked.agent_id.as_ref().map(|agent| agent.value.as_str());
        let answer = |state: TaskState, what: &str| {
            let message = format!("Reconciliation: {what}");
            let state = framework.state_for(state);
            let mut update = status(id, state, Source::Master, Reason::Reconciliation, message, now);
            update.agent_id.clone_from(&asked.agent_id);
            update
        };
        let update = match (framework.tasks.get(id), agent) {
            (Some(task), _) => latest(framework, task, now),
            // It may still come back with the task.
            (None, Some(agent)) if self.awaited.contains_key(agent) => return,
            (None, Some(agent)) if self.agents.get(agent).is_some_and(|a| a.is_registered()) => {
                answer(TaskState::TaskGone, "Task is unknown to the agent")
            }
            (None, Some(agent)) if self.agents.contains_key(agent) => {
                answer(TaskState::TaskUnreachable, "Task is unreachable")
            }
            (None, _) => answer(TaskState::TaskUnknown, "Task is unknown"),
        };
        self.send_update(framework_id, update);
    }
}

/// The newest state of a known task.
fn latest(framework: &Framework, task: &Task, now: Now) -> TaskStatus {
    let (state, what) = match task.unreachable {
        None => (task.state, "Latest task state"),
        Some(_) => (framework.state_for(TaskState::TaskUnreachable), "Task is unreachable"),
    };
    let message = format!("Reconciliation: {what}");
    let mut update = status(task.id(), state, Source::Master, Reason::Reconciliation, message, now);
    update.agent_id = Some(task.info.agent_id.clone());
    update.executor_id = task.executor_id().map(|id| v1::ExecutorId { value: id.to_owned() });
    let last = task.statuses.last();
    update.container_status = last.and_then(|last| last.container_status.clone());
    update.healthy = last.and_then(|last| last.healthy);
    update.unreachable_time = task.unreachable.map(super::agents::time_info);
    update
}
