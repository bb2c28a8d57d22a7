//! ACCEPT: takes offers, checks the tasks in the call, and launches or rejects each task.

use super::Master;
use super::allocator::Offer;
use super::framework::{Framework, Task};
use super::state_json::totals;
use crate::messages::{Now, ToAgent, id_fault, state_for, status};
use mesos::resources::Resources;
use mesos::v1::offer::{Operation, operation};
use mesos::v1::resource::AllocationInfo;
use mesos::v1::scheduler::call;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{ExecutorInfo, FrameworkId, OfferId, Resource, TaskInfo, TaskState, TaskStatus};
use tracing::warn;

/// The state, reason and message of an update that rejects a task.
type Rejection = (TaskState, Reason, String);

impl Master {
    pub(super) fn accept(&mut self, framework_id: &FrameworkId, accept: call::Accept, now: Now) {
        let offer = match self.take_offers(framework_id, &accept.offer_ids) {
            Ok(offer) => offer,
            Err(fault) => {
                let message = format!("Task launched with invalid offers: {fault}");
                for task in accept.operations.into_iter().flat_map(tasks_of) {
                    let rejection = (TaskState::TaskDropped, Reason::InvalidOffers, message.clone());
                    self.reject(framework_id, &task, rejection, now);
                }
                return;
            }
        };
        let mut remaining = offer.resources.clone();
        for operation in accept.operations {
            let kind = operation.r#type();
            if !matches!(kind, operation::Type::Launch | operation::Type::LaunchGroup) {
                warn!(?kind, "the embedded cluster does not support this operation");
            }
            for task in tasks_of(operation) {
                if kind == operation::Type::Launch {
                    self.launch(framework_id, &offer, &mut remaining, task, now);
                } else {
                    let message = "Task groups are not supported by the embedded cluster".into();
                    let rejection = (TaskState::TaskError, Reason::TaskGroupInvalid, message);
                    self.reject(framework_id, &task, rejection, now);
                }
            }
        }
        self.refuse(&offer, remaining, accept.filters.as_ref(), now);
    }

    /// Removes the offers and merges them into one. All must belong to this framework, and to one agent and role.
    fn take_offers(&mut self, framework_id: &FrameworkId, ids: &[OfferId]) -> Result<Offer, String> {
        let mut fault = ids.is_empty().then(|| "No offers specified".to_owned());
        let mut sum: Option<Offer> = None;
        for id in ids {
            match (self.take_offer(framework_id, id), &mut sum) {
                (None, _) => fault = fault.or(Some(format!("Offer {id} is no longer valid"))),
                (Some(offer), None) => sum = Some(offer),
                (Some(offer), Some(first)) if offer.message.agent_id != first.message.agent_id => {
                    fault = Some(format!("Aggregated offers must belong to one single agent: {id}"));
                }
                (Some(offer), Some(first)) if offer.role != first.role => {
                    fault = Some(format!("Aggregated offers must be allocated to the same role: {id}"));
                }
                (Some(offer), Some(first)) => first.resources.extend(offer.resources),
            }
        }
        // All of the offers are removed, even if one of them is invalid. The master can offer their resources again.
        match (fault, sum) {
            (None, Some(offer)) => Ok(offer),
            (fault, _) => Err(fault.unwrap_or_default()),
        }
    }

    fn launch(
        &mut self,
        framework_id: &FrameworkId,
        offer: &Offer,
        remaining: &mut Resources,
        mut task: TaskInfo,
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        allocate(&mut task.resources, &offer.role);
        if let Some(executor) = &mut task.executor {
            allocate(&mut executor.resources, &offer.role);
            executor.framework_id.get_or_insert_with(|| framework_id.clone());
        }
        if let Err(fault) = check(framework, offer, remaining, &task) {
            let rejection = (TaskState::TaskError, Reason::TaskInvalid, fault);
            return self.reject(framework_id, &task, rejection, now);
        }
        if let Some(executor) = &task.executor {
            let key = (task.agent_id.clone(), executor.executor_id.clone());
            framework.executors.entry(key).or_insert_with(|| executor.clone());
        }
        framework.tasks.insert(task.task_id.clone(), Task::new(task.clone()));
        let framework = Box::new(framework.info.clone());
        let agent_id = task.agent_id.clone();
        self.send_to_agent(&agent_id, ToAgent::RunTask { framework, task: Box::new(task) });
    }

    /// Tells the framework by a status update that a task was not launched. The update has no uuid, so it needs no
    /// acknowledgement.
    fn reject(&mut self, framework_id: &FrameworkId, task: &TaskInfo, rejection: Rejection, now: Now) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let (state, reason, message) = rejection;
        let state = if state == TaskState::TaskDropped { state_for(&framework.info, state) } else { state };
        let update = TaskStatus {
            agent_id: Some(task.agent_id.clone()),
            executor_id: task.executor.as_ref().map(|executor| executor.executor_id.clone()),
            ..status(&task.task_id, state, Source::Master, reason, message, now)
        };
        self.send_update(framework_id, update);
    }
}

fn tasks_of(operation: Operation) -> Vec<TaskInfo> {
    match (operation.launch, operation.launch_group) {
        (Some(launch), _) => launch.task_infos,
        (None, Some(group)) => group.task_group.tasks,
        (None, None) => Vec::new(),
    }
}

/// Fills in roles that the framework has left out. The role of an allocation is `role`, and the role of a reservation is `*`.
fn allocate(resources: &mut [Resource], role: &str) {
    for resource in resources {
        resource.allocation_info.get_or_insert_with(|| AllocationInfo { role: Some(role.to_owned()) });
        resource.role.get_or_insert_with(|| "*".to_owned());
    }
}

/// Subtracts the task's resources from `remaining`. Fails with the reason if the task is invalid.
fn check(
    framework: &Framework,
    offer: &Offer,
    remaining: &mut Resources,
    task: &TaskInfo,
) -> Result<(), String> {
    let id = &task.task_id.value;
    if let Some(fault) = id_fault(id) {
        return Err(format!("TaskID {fault}"));
    }
    if framework.tasks.contains_key(&task.task_id) {
        return Err(format!("Task has duplicate ID: {id}"));
    }
    let (given, expected) = (&task.agent_id, &offer.message.agent_id);
    if given != expected {
        return Err(format!("Task uses invalid agent {given} while agent {expected} is expected"));
    }
    let Some(executor) = &task.executor else {
        return Err("Tasks without an ExecutorInfo are not supported by the embedded cluster".into());
    };
    if task.command.is_some() && executor.command.is_none() {
        return Err("'ExecutorInfo.command' is not set".into());
    }
    let is_new = check_executor(framework, offer, executor)?;
    let mut needed = Resources::from(task.resources.clone());
    if needed.is_empty() {
        return Err("Task uses no resources".into());
    }
    if is_new {
        needed.extend(executor.resources.clone());
    }
    if !remaining.subtract(&needed) {
        return Err(format!(
            "Total resources {} required by task and its executor is more than available {}",
            totals(needed.as_slice()),
            totals(remaining.as_slice())
        ));
    }
    Ok(())
}

/// Returns whether the executor must be started. Fails with the reason if the executor is invalid.
fn check_executor(framework: &Framework, offer: &Offer, executor: &ExecutorInfo) -> Result<bool, String> {
    if let Some(fault) = id_fault(&executor.executor_id.value) {
        return Err(format!("ExecutorID {fault}"));
    }
    let actual = executor.framework_id.clone().unwrap_or_default();
    if actual != framework.id {
        let expected = &framework.id;
        return Err(format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {actual} vs Expected: {expected})"
        ));
    }
    match framework.executors.get(&(offer.message.agent_id.clone(), executor.executor_id.clone())) {
        Some(running) if running != executor => Err(format!(
            "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n\
             ------------------------------------------------------------\nExisting ExecutorInfo:\n{running:?}\n\
             ------------------------------------------------------------\nTask's ExecutorInfo:\n{executor:?}\n"
        )),
        running => Ok(running.is_none()),
    }
}
