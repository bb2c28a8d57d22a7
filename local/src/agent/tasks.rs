//! Tasks on their way to an executor, and their killing.

use super::executor::{Phase, Task};
use super::{Agent, Effect, Framework, event};
use crate::link::{Now, status};
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{DurationInfo, FrameworkInfo, KillPolicy, TaskInfo, TaskState};
use std::collections::BTreeMap;

impl Agent {
    /// Hands a task to its executor, which is started if need be.
    pub(super) fn run(&mut self, info: FrameworkInfo, task: TaskInfo, now: Now) {
        let Some(framework_id) = info.id.as_ref().map(|id| id.value.clone()) else { return };
        let Some(wanted) = task.executor.clone() else { return };
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
        let executor_id = wanted.executor_id.value.clone();
        if !framework.executors.contains_key(&executor_id) {
            self.start(&framework_id, wanted, now);
        }
        let partition_aware = self.partition_aware(&framework_id);
        let Some(executor) = self.executor_mut(&framework_id, &executor_id) else { return };
        let id = task.task_id.value.clone();
        if executor.phase == Phase::Terminating {
            let state = if partition_aware { TaskState::TaskDropped } else { TaskState::TaskLost };
            let message = "Executor terminating";
            let mut update = status(&id, state, Source::Agent, Reason::ExecutorTerminated, message, now);
            update.executor_id = task.executor.map(|executor| executor.executor_id);
            return self.update(&framework_id, update, now);
        }
        let launched = executor.phase == Phase::Running;
        if let Some(stream) = executor.stream.filter(|_| launched) {
            self.effects.push(Effect::Event(stream, Box::new(event::launch(task.clone()))));
        }
        if let Some(executor) = self.executor_mut(&framework_id, &executor_id) {
            executor.used |= launched;
            executor
                .tasks
                .insert(id, Task { info: task, state: TaskState::TaskStaging, launched, last: None });
        }
    }

    pub(super) fn partition_aware(&self, framework_id: &str) -> bool {
        use mesos::v1::framework_info::capability::Type;
        self.frameworks.get(framework_id).is_some_and(|framework| {
            framework.info.capabilities.iter().any(|c| c.r#type == Some(Type::PartitionAware as i32))
        })
    }

    /// Has a task killed by its executor, or ends it here if the executor was never told of it.
    pub(super) fn kill(&mut self, framework_id: &str, task_id: &str, policy: Option<KillPolicy>, now: Now) {
        let Some((_, executor_id)) = self.find_task(framework_id, task_id) else { return };
        let Some(executor) = self.executor_mut(framework_id, &executor_id) else { return };
        let launched = executor.tasks.get(task_id).is_some_and(|task| task.launched);
        if launched {
            if let Some(stream) = executor.stream {
                self.effects.push(Effect::Event(stream, Box::new(event::kill(task_id, policy))));
            }
            return;
        }
        executor.tasks.remove(task_id);
        let abandoned = executor.tasks.is_empty();
        let message = "Killed before delivery to the executor";
        let (state, reason) = (TaskState::TaskKilled, Reason::TaskKilledDuringLaunch);
        let mut update = status(task_id, state, Source::Agent, reason, message, now);
        update.executor_id = Some(executor.info.executor_id.clone());
        self.update(framework_id, update, now);
        if abandoned {
            self.shut_down(framework_id, &executor_id, now);
        }
    }

    /// Has all tasks killed, in so much time at most; the master wants it so.
    pub(super) fn drain(&mut self, longest: Option<&DurationInfo>, now: Now) {
        self.draining = true;
        let tasks = self.frameworks.iter().flat_map(|(framework_id, framework)| {
            let tasks = framework.executors.values().flat_map(|executor| executor.tasks.values());
            tasks.map(|task| {
                let own = task.info.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
                let shorter =
                    longest.filter(|longest| own.is_none_or(|own| longest.nanoseconds < own.nanoseconds));
                let policy = shorter.map(|period| KillPolicy { grace_period: Some(*period) });
                (framework_id.clone(), task.info.task_id.value.clone(), policy)
            })
        });
        for (framework_id, task_id, policy) in tasks.collect::<Vec<_>>() {
            self.kill(&framework_id, &task_id, policy, now);
        }
    }

    fn find_task(&self, framework_id: &str, task_id: &str) -> Option<(String, String)> {
        let framework = self.frameworks.get(framework_id)?;
        let found = framework.executors.iter().find(|(_, executor)| executor.tasks.contains_key(task_id))?;
        Some((framework_id.to_owned(), found.0.clone()))
    }
}
