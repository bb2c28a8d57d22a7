//! Executor calls.

use super::executor::{Phase, Task};
use super::{Agent, Effect, api};
use crate::messages::{Answer, Now, RequestId, ToMaster, is_valid_uuid, state_for, status};
use mesos::v1::executor::{Call, call, call::Type, event};
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{ContainerId, ExecutorId, FrameworkId, TaskId, TaskInfo, TaskState, TaskStatus};

impl Agent {
    pub(super) fn on_call(&mut self, request: RequestId, call: Call, now: Now) {
        if let Err(refusal) = self.check_call(&call) {
            self.effects.push(Effect::Answer(request, refusal));
            return;
        }
        let (kind, framework_id, executor_id) = (call.r#type(), call.framework_id, call.executor_id);
        if kind == Type::Subscribe {
            let subscribe = call.subscribe.unwrap_or_default();
            return self.subscribe(request, &framework_id, &executor_id, subscribe, now);
        }
        self.effects.push(Effect::Answer(request, Answer::Accepted));
        match (kind, call.update, call.message) {
            (Type::Update, Some(update), _) => {
                self.on_update(&framework_id, &executor_id, update.status, now);
            }
            (Type::Message, _, Some(message)) => {
                let data = message.data;
                self.effects.push(Effect::Master(ToMaster::Message { framework_id, executor_id, data }));
            }
            // HEARTBEAT: nothing to do except the answer above.
            _ => {}
        }
    }

    fn check_call(&mut self, call: &Call) -> Result<(), Answer> {
        if let Err(fault) = validate(call) {
            return Err(Answer::bad_request(format!("Failed to validate Executor::Call: {fault}")));
        }
        if !self.frameworks.contains_key(&call.framework_id) {
            return Err(Answer::bad_request("Framework cannot be found"));
        }
        match self.executor(&call.framework_id, &call.executor_id) {
            None => Err(Answer::bad_request("Executor cannot be found")),
            Some(executor) if call.r#type() != Type::Subscribe && executor.phase == Phase::Registering => {
                Err(Answer::Refused(403, "Executor is not subscribed".into()))
            }
            Some(_) => Ok(()),
        }
    }

    fn subscribe(
        &mut self,
        request: RequestId,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        subscribe: call::Subscribe,
        now: Now,
    ) {
        self.effects.push(Effect::Answer(request, Answer::Stream(None)));
        let agent_info = self.config.info();
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let framework_info = framework.info.clone();
        let Some(executor) = framework.executors.get_mut(executor_id) else { return };
        let old_stream = executor.stream.replace(request);
        let is_first = executor.phase == Phase::Registering;
        let is_terminating = executor.phase == Phase::Terminating;
        let subscribed = event::Subscribed {
            executor_info: executor.info.clone(),
            framework_info,
            agent_info,
            container_id: Some(ContainerId { value: executor.container.to_string(), parent: None }),
        };
        if !is_terminating {
            executor.phase = Phase::Running;
            executor.deadline = None;
        }
        self.effects.extend(old_stream.map(Effect::Close));
        self.effects.push(Effect::Send(request, api::Event::Subscribed(Box::new(subscribed))));
        for update in subscribe.unacknowledged_updates {
            self.on_update(framework_id, executor_id, update.status, now);
        }
        if !is_first {
            self.drop_missed_launches(framework_id, executor_id, &subscribe.unacknowledged_tasks, now);
        }
        if is_terminating {
            self.effects.push(Effect::Send(request, api::Event::Shutdown));
        } else {
            self.launch_queued(framework_id, executor_id, now);
        }
    }

    /// Launches the tasks that waited for the subscription. Shuts the executor down if all these tasks were killed meanwhile
    /// and nothing was launched before.
    fn launch_queued(&mut self, framework_id: &FrameworkId, executor_id: &ExecutorId, now: Now) {
        let Some(executor) = self.executor(framework_id, executor_id) else { return };
        let Some(stream) = executor.stream else { return };
        let mut events = Vec::new();
        for task in executor.tasks.values_mut().filter(|task| !task.launched) {
            task.launched = true;
            executor.ever_launched = true;
            events.push(Effect::Send(stream, api::Event::Launch(Box::new(task.info.clone()))));
        }
        let is_unused = !executor.ever_launched;
        self.effects.extend(events);
        if is_unused {
            self.shut_down(framework_id, executor_id, now);
        }
    }

    /// Drops the launched tasks that the executor does not know. Their LAUNCH was lost when an earlier connection broke.
    fn drop_missed_launches(
        &mut self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        known: &[TaskInfo],
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let state = state_for(&framework.info, TaskState::TaskDropped);
        let Some(executor) = framework.executors.get_mut(executor_id) else { return };
        let is_missed = |(id, task): &(&TaskId, &Task)| {
            let is_known = known.iter().any(|known| known.task_id == **id);
            task.launched && task.state == TaskState::TaskStaging && !is_known
        };
        let missed: Vec<TaskId> = executor.tasks.iter().filter(is_missed).map(|(id, _)| id.clone()).collect();
        executor.tasks.retain(|id, _| !missed.contains(id));
        for id in missed {
            let message = "Task launched during agent restart";
            let update = status(&id, state, Source::Agent, Reason::AgentRestarted, message, now);
            let executor_id = Some(executor_id.clone());
            self.update(framework_id, TaskStatus { executor_id, ..update }, now);
        }
    }

    /// Stores an executor's update, and acknowledges it to the executor immediately.
    fn on_update(
        &mut self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        status: TaskStatus,
        now: Now,
    ) {
        let (task_id, uuid) = (status.task_id.clone(), status.uuid.clone().unwrap_or_default());
        self.store_update(framework_id, executor_id, status, now);
        let acknowledged = event::Acknowledged { task_id, uuid };
        self.send(framework_id, executor_id, api::Event::Acknowledged(acknowledged));
    }
}

fn validate(call: &Call) -> Result<(), String> {
    let missing = |field: &str| Err(format!("Expecting '{field}' to be present"));
    match call.r#type() {
        Type::Unknown => missing("type"),
        Type::Subscribe if call.subscribe.is_none() => missing("subscribe"),
        Type::Message if call.message.is_none() => missing("message"),
        Type::Update => match &call.update {
            None => missing("update"),
            Some(update) => validate_status(call, &update.status),
        },
        Type::Subscribe | Type::Message | Type::Heartbeat => Ok(()),
    }
}

fn validate_status(call: &Call, status: &TaskStatus) -> Result<(), String> {
    let Some(uuid) = &status.uuid else { return Err("Expecting 'uuid' to be present".into()) };
    if !is_valid_uuid(uuid) {
        return Err("Not a valid UUID".into());
    }
    if status.executor_id.as_ref().is_some_and(|id| *id != call.executor_id) {
        return Err("ExecutorID in Call does not match ExecutorID in TaskStatus".into());
    }
    let from = format!("from executor {} of framework {}", call.executor_id, call.framework_id);
    if status.source != Some(Source::Executor.into()) {
        return Err(format!("Received Call {from} with invalid source, expecting 'SOURCE_EXECUTOR'"));
    }
    match status.state() {
        TaskState::TaskStaging => Err(format!("Received TASK_STAGING {from} which is not allowed")),
        TaskState::TaskUnknown => Err(format!("Received TASK_UNKNOWN {from} which is not allowed")),
        _ => Ok(()),
    }
}
