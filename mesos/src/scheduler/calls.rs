//! A function for each type of call. All calls except [`subscribe`] carry the framework's id.

use std::time::Duration;

use crate::v1::scheduler::call::{self, Type};
use crate::v1::scheduler::{Call, OfferConstraints};
use crate::v1::{
    AgentId, ExecutorId, Filters, FrameworkId, FrameworkInfo, KillPolicy, OfferId, OperationId,
    OperationStatus, Request, TaskId, TaskStatus, offer::Operation,
};

fn call(framework: &FrameworkId, kind: Type) -> Call {
    Call { framework_id: Some(framework.clone()), r#type: Some(kind.into()), ..Call::default() }
}

fn filters(refuse: Option<Duration>) -> Option<Filters> {
    refuse.map(|refuse| Filters { refuse_seconds: Some(refuse.as_secs_f64()) })
}

/// SUBSCRIBE as a new framework, or as the framework with `info.id`.
pub fn subscribe(info: FrameworkInfo) -> Call {
    subscribe_with(info, Vec::new(), None)
}

/// SUBSCRIBE without offers for `suppressed_roles`, and with constraints on agents.
pub fn subscribe_with(
    info: FrameworkInfo,
    suppressed_roles: Vec<String>,
    offer_constraints: Option<OfferConstraints>,
) -> Call {
    Call {
        framework_id: info.id.clone(),
        r#type: Some(Type::Subscribe.into()),
        subscribe: Some(call::Subscribe { framework_info: info, suppressed_roles, offer_constraints }),
        ..Call::default()
    }
}

/// TEARDOWN: ends the framework with all its tasks and executors. The stream ends, too.
pub fn teardown(framework: &FrameworkId) -> Call {
    call(framework, Type::Teardown)
}

/// ACCEPT: performs `operations` in order on offers of one agent. The remaining resources are declined for `refuse`
/// (`None`: for Mesos' default, 5 s). See [`operation`](super::operation) for the operations.
pub fn accept(
    framework: &FrameworkId,
    offer_ids: Vec<OfferId>,
    operations: Vec<Operation>,
    refuse: Option<Duration>,
) -> Call {
    let accept = call::Accept { offer_ids, operations, filters: filters(refuse) };
    Call { accept: Some(accept), ..call(framework, Type::Accept) }
}

/// DECLINE: refuses these offers, and the same resources for `refuse` (`None`: for Mesos' default, 5 s).
pub fn decline(framework: &FrameworkId, offer_ids: Vec<OfferId>, refuse: Option<Duration>) -> Call {
    let decline = call::Decline { offer_ids, filters: filters(refuse) };
    Call { decline: Some(decline), ..call(framework, Type::Decline) }
}

/// ACCEPT_INVERSE_OFFERS: the framework promises to return the resources in time. Until they are returned, Mesos repeats the
/// inverse offers every `refuse` (`None`: Mesos' default, 5 s).
pub fn accept_inverse_offers(
    framework: &FrameworkId,
    inverse_offer_ids: Vec<OfferId>,
    refuse: Option<Duration>,
) -> Call {
    let accept = call::AcceptInverseOffers { inverse_offer_ids, filters: filters(refuse) };
    Call { accept_inverse_offers: Some(accept), ..call(framework, Type::AcceptInverseOffers) }
}

/// DECLINE_INVERSE_OFFERS: the framework does not promise to return the resources in time. Mesos repeats the inverse offers after
/// `refuse` (`None`: Mesos' default, 5 s).
pub fn decline_inverse_offers(
    framework: &FrameworkId,
    inverse_offer_ids: Vec<OfferId>,
    refuse: Option<Duration>,
) -> Call {
    let decline = call::DeclineInverseOffers { inverse_offer_ids, filters: filters(refuse) };
    Call { decline_inverse_offers: Some(decline), ..call(framework, Type::DeclineInverseOffers) }
}

/// REVIVE: removes all filters of these roles and asks for offers; without roles, for all roles of the framework.
pub fn revive(framework: &FrameworkId, roles: Vec<String>) -> Call {
    Call { revive: Some(call::Revive { roles }), ..call(framework, Type::Revive) }
}

/// SUPPRESS: stops offers for these roles until REVIVE; without roles, for all roles of the framework.
pub fn suppress(framework: &FrameworkId, roles: Vec<String>) -> Call {
    Call { suppress: Some(call::Suppress { roles }), ..call(framework, Type::Suppress) }
}

/// KILL: ends a task. If the master does not know the task, the call has the effect of a RECONCILE of this task and agent.
/// `policy` overrides the task's own kill policy.
pub fn kill(
    framework: &FrameworkId,
    task: TaskId,
    agent: Option<AgentId>,
    policy: Option<KillPolicy>,
) -> Call {
    let kill = call::Kill { task_id: task, agent_id: agent, kill_policy: policy };
    Call { kill: Some(kill), ..call(framework, Type::Kill) }
}

/// SHUTDOWN: ends an executor with all its tasks.
pub fn shutdown(framework: &FrameworkId, executor: ExecutorId, agent: AgentId) -> Call {
    let shutdown = call::Shutdown { executor_id: executor, agent_id: agent };
    Call { shutdown: Some(shutdown), ..call(framework, Type::Shutdown) }
}

/// ACKNOWLEDGE of an update, after which the next update of its task is sent. `None` for an update that must not be
/// acknowledged, because it has no uuid or agent: the master itself generated it, for instance in answer to RECONCILE.
pub fn acknowledge(framework: &FrameworkId, update: &TaskStatus) -> Option<Call> {
    let acknowledge = call::Acknowledge {
        agent_id: update.agent_id.clone()?,
        task_id: update.task_id.clone(),
        uuid: update.uuid.clone().filter(|_| update.needs_acknowledgement())?,
    };
    Some(Call { acknowledge: Some(acknowledge), ..call(framework, Type::Acknowledge) })
}

/// ACKNOWLEDGE_OPERATION_STATUS of an update; `None` if it has no uuid or no operation id and so must not be
/// acknowledged.
pub fn acknowledge_operation_status(framework: &FrameworkId, update: &OperationStatus) -> Option<Call> {
    let acknowledge = call::AcknowledgeOperationStatus {
        agent_id: update.agent_id.clone(),
        resource_provider_id: update.resource_provider_id.clone(),
        uuid: update.uuid.clone()?.value,
        operation_id: update.operation_id.clone()?,
    };
    let kind = Type::AcknowledgeOperationStatus;
    Some(Call { acknowledge_operation_status: Some(acknowledge), ..call(framework, kind) })
}

/// RECONCILE: asks for the state of these tasks; without tasks, of all tasks that the master knows. The answers are updates
/// without uuid. No update comes for a task whose agent has not yet reregistered.
pub fn reconcile(framework: &FrameworkId, tasks: Vec<(TaskId, Option<AgentId>)>) -> Call {
    let tasks = tasks.into_iter().map(|(task_id, agent_id)| call::reconcile::Task { task_id, agent_id });
    Call { reconcile: Some(call::Reconcile { tasks: tasks.collect() }), ..call(framework, Type::Reconcile) }
}

/// RECONCILE_OPERATIONS: asks for the state of these operations.
pub fn reconcile_operations(
    framework: &FrameworkId,
    operations: Vec<(OperationId, Option<AgentId>)>,
) -> Call {
    let operations = operations.into_iter().map(|(operation_id, agent_id)| {
        call::reconcile_operations::Operation { operation_id, agent_id, resource_provider_id: None }
    });
    let reconcile = call::ReconcileOperations { operations: operations.collect() };
    Call { reconcile_operations: Some(reconcile), ..call(framework, Type::ReconcileOperations) }
}

/// MESSAGE to an executor. The message may be lost without notice.
pub fn message(framework: &FrameworkId, executor: ExecutorId, agent: AgentId, data: Vec<u8>) -> Call {
    let message = call::Message { agent_id: agent, executor_id: executor, data };
    Call { message: Some(message), ..call(framework, Type::Message) }
}

/// REQUEST: asks for resources. Mesos' built-in allocator ignores this call.
pub fn request(framework: &FrameworkId, requests: Vec<Request>) -> Call {
    Call { request: Some(call::Request { requests }), ..call(framework, Type::Request) }
}

/// UPDATE_FRAMEWORK: changes the description of the framework that `info.id` names (not its user, principal or
/// checkpointing), and replaces its suppressed roles and constraints on agents.
pub fn update_framework(
    info: FrameworkInfo,
    suppressed_roles: Vec<String>,
    offer_constraints: Option<OfferConstraints>,
) -> Call {
    Call {
        framework_id: info.id.clone(),
        r#type: Some(Type::UpdateFramework.into()),
        update_framework: Some(call::UpdateFramework {
            framework_info: info,
            suppressed_roles,
            offer_constraints,
        }),
        ..Call::default()
    }
}
