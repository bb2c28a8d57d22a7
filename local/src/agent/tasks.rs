//! Tasks of executors: launch, kill, updates.

use super::executor::{Phase, Task};
use super::{Agent, Framework, api};
use crate::messages::{Now, state_for, status};
use mesos::v1::executor::event;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{ExecutorId, FrameworkId, FrameworkInfo, TaskInfo, TaskState, TaskStatus};
use std::collections::BTreeMap;

impl Agent {
    /// Passes a task to its executor. Starts the executor first if it is not running.
    pub(super) fn run_task(&mut self, info: FrameworkInfo, task: TaskInfo, now: Now) {
        let (Some(framework_id), Some(executor_info)) = (info.id.clone(), task.executor.clone()) else {
            return;
        };
        let framework = self.frameworks.entry(framework_id.clone()).or_insert_with(|| Framework {
            info: info.clone(),
            executors: BTreeMap::new(),
            updates: BTreeMap::new(),
            terminating: false,
        });
        if framework.terminating || self.stopping {
            return;
        }
        framework.info = info;
        let dropped = state_for(&framework.info, TaskState::TaskDropped);
        let executor_id = executor_info.executor_id.clone();
        if !framework.executors.contains_key(&executor_id) {
            self.start_executor(&framework_id, executor_info, now);
        }
        let Some(executor) = self.executor(&framework_id, &executor_id) else { return };
        let id = task.task_id.clone();
        if executor.phase == Phase::Terminating {
            let message = "Executor terminating";
            let update = status(&id, dropped, Source::Agent, Reason::ExecutorTerminated, message, now);
            let update = TaskStatus { executor_id: Some(executor_id), ..update };
            return self.update(&framework_id, update, now);
        }
        let launched = executor.phase == Phase::Running;
        executor.ever_launched |= launched;
        executor.tasks.insert(id, Task { info: task.clone(), state: TaskState::TaskStaging, launched });
        if launched {
            self.send(&framework_id, &executor_id, api::Event::Launch(Box::new(task)));
        }
    }

    /// Tells the executor to kill a task. A task that was not launched yet is removed here.
    pub(super) fn kill_task(&mut self, framework_id: &FrameworkId, kill: event::Kill, now: Now) {
        let task_id = kill.task_id.clone();
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let mut executors = framework.executors.iter_mut();
        let found = executors.find(|(_, executor)| executor.tasks.contains_key(&task_id));
        let Some((executor_id, executor)) = found.map(|(id, executor)| (id.clone(), executor)) else {
            return;
        };
        if executor.tasks.get(&task_id).is_some_and(|task| task.launched) {
            return self.send(framework_id, &executor_id, api::Event::Kill(kill));
        }
        executor.tasks.remove(&task_id);
        let is_abandoned = executor.tasks.is_empty();
        let message = "Killed before delivery to the executor";
        let (state, reason) = (TaskState::TaskKilled, Reason::TaskKilledDuringLaunch);
        let update = status(&task_id, state, Source::Agent, reason, message, now);
        let update = TaskStatus { executor_id: Some(executor_id.clone()), ..update };
        self.update(framework_id, update, now);
        if is_abandoned {
            self.shut_down(framework_id, &executor_id, now);
        }
    }

    /// Stores and forwards an executor's update. Ignores repetitions and updates of unknown tasks.
    pub(super) fn store_update(
        &mut self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        mut status: TaskStatus,
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        if framework.updates.get(&status.task_id).is_some_and(|stream| stream.has_seen(&status)) {
            return;
        }
        let Some(executor) = framework.executors.get_mut(executor_id) else { return };
        status.executor_id = Some(executor_id.clone());
        status.container_status = Some(executor.container_status(&self.config.hostname));
        status.timestamp.get_or_insert(now.unix.as_secs_f64());
        let Some(task) = executor.tasks.get_mut(&status.task_id) else { return };
        task.state = status.state();
        if task.state.is_terminal() {
            executor.tasks.remove(&status.task_id);
        }
        self.update(framework_id, status, now);
    }
}
