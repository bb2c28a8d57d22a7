//! ACCEPT: what becomes of the tasks in it.

use super::allocator::Offer;
use super::framework::{Framework, Task};
use super::{Effect, Master};
use crate::link::{Now, ToAgent, id_fault, status};
use crate::resources::Bundle;
use mesos::v1::offer::operation;
use mesos::v1::resource::AllocationInfo;
use mesos::v1::scheduler::call;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{self, ExecutorInfo, Resource, TaskInfo, TaskState};
use tracing::warn;

impl Master {
    pub(super) fn accept(&mut self, framework_id: &str, accept: call::Accept, now: Now) {
        let offer = match self.take_offers(framework_id, &accept.offer_ids) {
            Ok(offer) => offer,
            Err(fault) => {
                for task in accept.operations.into_iter().flat_map(tasks_of) {
                    let message = format!("Task launched with invalid offers: {fault}");
                    let refused = (TaskState::TaskDropped, Reason::InvalidOffers, message);
                    self.reject(framework_id, &task, refused, now);
                }
                return;
            }
        };
        let mut remaining = offer.resources.clone();
        for operation in accept.operations {
            match operation.r#type() {
                operation::Type::Launch => {
                    for task in tasks_of(operation) {
                        self.launch(framework_id, &offer, &mut remaining, task, now);
                    }
                }
                operation::Type::LaunchGroup => {
                    for task in tasks_of(operation) {
                        let message = "Task groups are not supported by the embedded cluster".into();
                        let refused = (TaskState::TaskError, Reason::TaskGroupInvalid, message);
                        self.reject(framework_id, &task, refused, now);
                    }
                }
                other => warn!(?other, "the embedded cluster does not do this operation"),
            }
        }
        self.refuse(&offer, remaining, accept.filters.as_ref(), now);
    }

    /// Takes the offers as one. They must be this framework's and of one agent and role.
    fn take_offers(&mut self, framework_id: &str, ids: &[v1::OfferId]) -> Result<Offer, String> {
        let mut fault = ids.is_empty().then(|| "No offers specified".to_owned());
        let mut sum: Option<Offer> = None;
        for id in ids {
            let ours = self.offers.get(&id.value).is_some_and(|offer| offer.framework_id == framework_id);
            match (ours.then(|| self.offers.remove(&id.value)).flatten(), &mut sum) {
                (None, _) => fault = fault.or(Some(format!("Offer {} is no longer valid", id.value))),
                (Some(offer), None) => sum = Some(offer),
                (Some(offer), Some(first)) if offer.agent_id != first.agent_id => {
                    fault = Some(format!("Aggregated offers must belong to one single agent: {}", id.value));
                }
                (Some(offer), Some(first)) if offer.role != first.role => {
                    fault =
                        Some(format!("Aggregated offers must be allocated to the same role: {}", id.value));
                }
                (Some(offer), Some(first)) => first.resources.add(&offer.resources),
            }
        }
        // With a fault, what was taken is simply free again.
        match (fault, sum) {
            (None, Some(offer)) => Ok(offer),
            (fault, _) => Err(fault.unwrap_or_default()),
        }
    }

    fn launch(
        &mut self,
        framework_id: &str,
        offer: &Offer,
        remaining: &mut Bundle,
        mut task: TaskInfo,
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        allocate_to(&mut task.resources, &offer.role);
        if let Some(executor) = &mut task.executor {
            allocate_to(&mut executor.resources, &offer.role);
            executor.framework_id.get_or_insert_with(|| v1::FrameworkId { value: framework_id.to_owned() });
        }
        match check(framework, offer, remaining, &task) {
            Err(fault) => {
                self.reject(framework_id, &task, (TaskState::TaskError, Reason::TaskInvalid, fault), now);
            }
            Ok(needed) => {
                remaining.subtract(&needed);
                self.start(framework_id, task);
            }
        }
    }

    fn start(&mut self, framework_id: &str, task: TaskInfo) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        if let Some(executor) = &task.executor {
            let key = (task.agent_id.value.clone(), executor.executor_id.value.clone());
            framework.executors.entry(key).or_insert_with(|| executor.clone());
        }
        let run = ToAgent::Run { framework: Box::new(framework.info.clone()), task: Box::new(task.clone()) };
        framework.tasks.insert(task.task_id.value.clone(), Task::new(task.clone()));
        if let Some(agent) = self.agents.get(&task.agent_id.value) {
            self.effects.push(Effect::Agent(agent.place, run));
        }
    }

    /// Says that a task was not launched. The update has no uuid.
    fn reject(
        &mut self,
        framework_id: &str,
        task: &TaskInfo,
        refused: (TaskState, Reason, String),
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let (state, reason, message) = refused;
        let state = if state == TaskState::TaskDropped { framework.state_for(state) } else { state };
        let mut update = status(&task.task_id.value, state, Source::Master, reason, message, now);
        update.agent_id = Some(task.agent_id.clone());
        update.executor_id = task.executor.as_ref().map(|executor| executor.executor_id.clone());
        self.send_update(framework_id, update);
    }
}

fn tasks_of(operation: v1::offer::Operation) -> Vec<TaskInfo> {
    match (operation.launch, operation.launch_group) {
        (Some(launch), _) => launch.task_infos,
        (None, Some(group)) => group.task_group.tasks,
        (None, None) => Vec::new(),
    }
}

/// Fills in the role where the framework (without MULTI_ROLE) did not name one.
fn allocate_to(resources: &mut [Resource], role: &str) {
    for resource in resources {
        resource.allocation_info.get_or_insert_with(|| AllocationInfo { role: Some(role.to_owned()) });
    }
}

/// The resources that the task takes, or what is wrong with it.
fn check(
    framework: &Framework,
    offer: &Offer,
    remaining: &Bundle,
    task: &TaskInfo,
) -> Result<Bundle, String> {
    let id = &task.task_id.value;
    if let Some(fault) = id_fault(id) {
        return Err(format!("TaskID {fault}"));
    }
    if framework.knows(id) {
        return Err(format!("Task has duplicate ID: {id}"));
    }
    if task.agent_id.value != offer.agent_id {
        let (given, wanted) = (&task.agent_id.value, &offer.agent_id);
        return Err(format!("Task uses invalid agent {given} while agent {wanted} is expected"));
    }
    let Some(executor) = &task.executor else {
        return Err("Tasks without an ExecutorInfo are not supported by the embedded cluster".into());
    };
    if task.command.is_some() && executor.command.is_none() {
        return Err("'ExecutorInfo.command' is not set".into());
    }
    let new_executor = check_executor(framework, offer, executor)?;
    let mut needed = Bundle::from_resources(&task.resources);
    if needed.is_empty() {
        return Err("Task uses no resources".into());
    }
    if new_executor {
        needed.add(&Bundle::from_resources(&executor.resources));
    }
    if !remaining.contains(&needed) {
        return Err(format!(
            "Total resources {needed} required by task and its executor is more than available {remaining}"
        ));
    }
    Ok(needed)
}

/// Whether the executor has to be started, or what is wrong with it.
fn check_executor(framework: &Framework, offer: &Offer, executor: &ExecutorInfo) -> Result<bool, String> {
    let id = &executor.executor_id.value;
    if let Some(fault) = id_fault(id) {
        return Err(format!("ExecutorID {fault}"));
    }
    let owner = executor.framework_id.as_ref().map_or("", |id| id.value.as_str());
    if owner != framework.id {
        return Err(format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {owner} vs Expected: {})",
            framework.id
        ));
    }
    match framework.executors.get(&(offer.agent_id.clone(), id.clone())) {
        Some(running) if running != executor => Err(format!(
            "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n\
             ------------------------------------------------------------\nExisting ExecutorInfo:\n{running:?}\n\
             ------------------------------------------------------------\nTask's ExecutorInfo:\n{executor:?}\n"
        )),
        running => Ok(running.is_none()),
    }
}
