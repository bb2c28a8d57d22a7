//! Executor calls.

use super::executor::Phase;
use super::{Agent, Effect, event};
use crate::link::{Answer, Now, RequestId, ToMaster, is_terminal, status, valid_uuid};
use mesos::v1::executor::{Call, call, call::Type, event::Subscribed};
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{self, TaskState, TaskStatus};

impl Agent {
    pub(super) fn on_call(&mut self, request: RequestId, call: Call, now: Now) {
        let framework_id = call.framework_id.value.clone();
        let executor_id = call.executor_id.value.clone();
        if let Err(refusal) = self.admit(&call) {
            self.effects.push(Effect::Answer(request, refusal));
            return;
        }
        if call.r#type() == Type::Subscribe {
            return self.subscribe(
                request,
                &framework_id,
                &executor_id,
                call.subscribe.unwrap_or_default(),
                now,
            );
        }
        self.effects.push(Effect::Answer(request, Answer::Accepted));
        match (call.r#type(), call.update, call.message) {
            (Type::Update, Some(update), _) => {
                self.on_update(&framework_id, &executor_id, update.status, now)
            }
            (Type::Message, _, Some(message)) => {
                let data = message.data;
                self.effects.push(Effect::Master(ToMaster::Message { framework_id, executor_id, data }));
            }
            // A heartbeat says nothing.
            _ => {}
        }
    }

    fn admit(&self, call: &Call) -> Result<(), Answer> {
        if let Err(fault) = validate(call) {
            return Err(Answer::bad(format!("Failed to validate Executor::Call: {fault}")));
        }
        let Some(framework) = self.frameworks.get(&call.framework_id.value) else {
            return Err(Answer::bad("Framework cannot be found"));
        };
        let Some(executor) = framework.executors.get(&call.executor_id.value) else {
            return Err(Answer::bad("Executor cannot be found"));
        };
        match call.r#type() {
            Type::Subscribe => Ok(()),
            _ if executor.phase == Phase::Registering => {
                Err(Answer::Refused(403, "Executor is not subscribed".into()))
            }
            _ if self.recovering.is_some() => {
                Err(Answer::Refused(503, "Agent has not finished recovery".into()))
            }
            _ => Ok(()),
        }
    }

    fn subscribe(
        &mut self,
        request: RequestId,
        framework_id: &str,
        executor_id: &str,
        subscribe: call::Subscribe,
        now: Now,
    ) {
        self.effects.push(Effect::Answer(request, Answer::Stream(None)));
        let agent_info = self.info();
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let framework_info = framework.info.clone();
        let Some(executor) = framework.executors.get_mut(executor_id) else { return };
        let old = executor.stream.replace(request);
        let again = executor.phase == Phase::Running || executor.tasks.values().any(|task| task.launched);
        let subscribed = Subscribed {
            executor_info: executor.info.clone(),
            framework_info,
            agent_info,
            container_id: Some(v1::ContainerId { value: executor.container.to_string(), parent: None }),
        };
        let leaving = executor.phase == Phase::Terminating;
        if !leaving {
            executor.phase = Phase::Running;
            executor.deadline = None;
        }
        self.effects.extend(old.map(Effect::Close));
        self.effects.push(Effect::Event(request, Box::new(event::subscribed(subscribed))));
        for update in subscribe.unacknowledged_updates {
            self.on_update(framework_id, executor_id, update.status, now);
        }
        if again {
            self.drop_unheard(framework_id, executor_id, &subscribe.unacknowledged_tasks, now);
        }
        if leaving {
            self.effects.push(Effect::Event(request, Box::new(event::shutdown())));
        } else {
            self.launch_queued(framework_id, executor_id, now);
        }
    }

    /// Tells a subscribed executor what it is there for. One whose tasks were all killed meanwhile may go.
    fn launch_queued(&mut self, framework_id: &str, executor_id: &str, now: Now) {
        let Some(executor) = self.executor_mut(framework_id, executor_id) else { return };
        let Some(stream) = executor.stream else { return };
        let mut events = Vec::new();
        for task in executor.tasks.values_mut().filter(|task| !task.launched) {
            task.launched = true;
            executor.used = true;
            events.push(Effect::Event(stream, Box::new(event::launch(task.info.clone()))));
        }
        let never_used = !executor.used;
        self.effects.extend(events);
        if never_used {
            self.shut_down(framework_id, executor_id, now);
        }
    }

    /// Ends tasks that were sent to the executor but that it does not know: the LAUNCH was lost.
    fn drop_unheard(&mut self, framework_id: &str, executor_id: &str, heard: &[v1::TaskInfo], now: Now) {
        let aware = self.partition_aware(framework_id);
        let Some(executor) = self.executor_mut(framework_id, executor_id) else { return };
        let unheard: Vec<String> = executor
            .tasks
            .iter()
            .filter(|(_, task)| task.launched && task.state == TaskState::TaskStaging)
            .filter(|(id, _)| !heard.iter().any(|known| known.task_id.value == **id))
            .map(|(id, _)| id.clone())
            .collect();
        let id = executor.info.executor_id.clone();
        unheard.iter().for_each(|task| drop(executor.tasks.remove(task)));
        for task in unheard {
            let state = if aware { TaskState::TaskDropped } else { TaskState::TaskLost };
            let message = "Task launched during agent restart";
            let mut update = status(&task, state, Source::Agent, Reason::AgentRestarted, message, now);
            update.executor_id = Some(id.clone());
            self.update(framework_id, update, now);
        }
    }

    /// Stores an update, and says so to the executor at once.
    fn on_update(&mut self, framework_id: &str, executor_id: &str, status: TaskStatus, now: Now) {
        let acknowledged =
            event::acknowledged(status.task_id.clone(), status.uuid.clone().unwrap_or_default());
        self.executor_update(framework_id, executor_id, status, now);
        if let Some(stream) = self.executor(framework_id, executor_id).and_then(|executor| executor.stream) {
            self.effects.push(Effect::Event(stream, Box::new(acknowledged)));
        }
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
            Some(update) => check_status(call, &update.status),
        },
        Type::Subscribe | Type::Message | Type::Heartbeat => Ok(()),
    }
}

fn check_status(call: &Call, status: &TaskStatus) -> Result<(), String> {
    let Some(uuid) = &status.uuid else { return Err("Expecting 'uuid' to be present".into()) };
    if valid_uuid(uuid).is_none() {
        return Err("Not a valid UUID".into());
    }
    let who = || {
        format!(
            "Received Call from executor {} of framework {}",
            call.executor_id.value, call.framework_id.value
        )
    };
    if status.executor_id.as_ref().is_some_and(|id| *id != call.executor_id) {
        return Err("ExecutorID in Call does not match ExecutorID in TaskStatus".into());
    }
    if status.source != Some(Source::Executor as i32) {
        return Err(format!("{} with invalid source, expecting 'SOURCE_EXECUTOR'", who()));
    }
    match status.state() {
        TaskState::TaskStaging => Err(format!(
            "Received TASK_STAGING from executor {} of framework {} which is not allowed",
            call.executor_id.value, call.framework_id.value
        )),
        state if is_terminal(state) || state != TaskState::TaskUnknown => Ok(()),
        _ => Err(format!("{} with a state that is none of a task's", who())),
    }
}
