//! RECONCILE: the master sends the latest states of tasks.

use super::Master;
use super::framework::Task;
use crate::messages::{Now, state_for, status};
use mesos::v1::scheduler::call;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{FrameworkId, TaskState, TaskStatus};

impl Master {
    pub(super) fn reconcile(&mut self, framework_id: &FrameworkId, reconcile: &call::Reconcile, now: Now) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        if reconcile.tasks.is_empty() {
            let updates: Vec<TaskStatus> =
                framework.tasks.values().map(|task| latest_status(task, now)).collect();
            updates.into_iter().for_each(|update| self.send_update(framework_id, update));
        }
        reconcile.tasks.iter().for_each(|task| self.reconcile_task(framework_id, task, now));
    }

    pub(super) fn reconcile_task(
        &mut self,
        framework_id: &FrameworkId,
        asked: &call::reconcile::Task,
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let update = if let Some(task) = framework.tasks.get(&asked.task_id) {
            latest_status(task, now)
        } else {
            let known_agent = asked.agent_id.as_ref().is_some_and(|id| self.agent_index(id).is_some());
            let (state, message) = if known_agent {
                (TaskState::TaskGone, "Reconciliation: Task is unknown to the agent")
            } else {
                (TaskState::TaskUnknown, "Reconciliation: Task is unknown")
            };
            let state = state_for(&framework.info, state);
            let mut update =
                status(&asked.task_id, state, Source::Master, Reason::Reconciliation, message, now);
            update.agent_id.clone_from(&asked.agent_id);
            update
        };
        self.send_update(framework_id, update);
    }
}

/// The answer for a task that the master knows.
fn latest_status(task: &Task, now: Now) -> TaskStatus {
    let message = "Reconciliation: Latest task state";
    let last = task.statuses.last();
    TaskStatus {
        agent_id: Some(task.info.agent_id.clone()),
        executor_id: task.executor_id(),
        container_status: last.and_then(|last| last.container_status.clone()),
        healthy: last.and_then(|last| last.healthy),
        ..status(&task.info.task_id, task.state, Source::Master, Reason::Reconciliation, message, now)
    }
}
