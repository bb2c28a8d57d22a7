//! Messages from agents: status updates, executors' messages, and the end of executors.

use super::Master;
use crate::messages::{Now, ToMaster};
use mesos::scheduler::Event;
use mesos::v1::scheduler::event;
use mesos::v1::{FrameworkId, TaskState, TaskStatus};

impl Master {
    pub(super) fn on_agent_message(&mut self, index: usize, message: ToMaster, now: Now) {
        let Some(agent_id) = self.agents.get(index).map(|agent| agent.id.clone()) else { return };
        match message {
            ToMaster::Update { framework_id, status, latest } => {
                self.on_update(&framework_id, *status, latest, now);
            }
            ToMaster::Message { framework_id, executor_id, data } => {
                self.send(&framework_id, Event::Message(event::Message { agent_id, executor_id, data }));
            }
            ToMaster::ExitedExecutor { framework_id, executor_id, status } => {
                if let Some(framework) = self.frameworks.get_mut(&framework_id) {
                    framework.executors.remove(&(agent_id.clone(), executor_id.clone()));
                }
                let (agent_id, executor_id) = (Some(agent_id), Some(executor_id));
                let failure = event::Failure { agent_id, executor_id, status: Some(status) };
                self.send(&framework_id, Event::Failure(failure));
            }
        }
    }

    fn on_update(&mut self, framework_id: &FrameworkId, status: TaskStatus, latest: TaskState, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        if let Some(task) = framework.tasks.get_mut(&status.task_id) {
            let ended = latest.is_terminal() && !task.state.is_terminal();
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
}
