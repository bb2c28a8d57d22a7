//! Between the state machine's words and those of the `mesos` crate.

use mesos::scheduler::{self, operation};
use mesos::v1::{FrameworkId, FrameworkInfo, TaskStatus, framework_info};

use crate::config::Config;
use crate::framework::{Call, Event};

/// What the master said, if it concerns the state machine. ERROR and HEARTBEAT are the driver's business.
pub(crate) fn event(event: scheduler::Event) -> Option<Event> {
    match event {
        scheduler::Event::Subscribed(subscribed) => {
            Some(Event::Subscribed { framework: subscribed.framework_id.value })
        }
        scheduler::Event::Offers(offers) => Some(Event::Offers(offers)),
        scheduler::Event::Rescind(offer) => Some(Event::Rescinded { offer: offer.value }),
        scheduler::Event::Update(status) => Some(Event::Update(status)),
        scheduler::Event::Message(message) => {
            Some(Event::Message { executor: message.executor_id.value, data: message.data })
        }
        scheduler::Event::Failure(failure) => Some(Event::Failure {
            agent: failure.agent_id.map(|agent| agent.value),
            executor: failure.executor_id.map(|executor| executor.value),
            status: failure.status,
        }),
        scheduler::Event::InverseOffers(_)
        | scheduler::Event::RescindInverseOffer(_)
        | scheduler::Event::UpdateOperationStatus(_)
        | scheduler::Event::Error(_)
        | scheduler::Event::Heartbeat => None,
        other => {
            tracing::debug!(?other, "unknown event");
            None
        }
    }
}

/// The call as the master reads it; `None` for one that must not be made.
pub(crate) fn call(framework: &FrameworkId, call: Call) -> Option<mesos::v1::scheduler::Call> {
    let ids = |ids: Vec<String>| ids.into_iter().map(Into::into).collect();
    Some(match call {
        Call::Accept { offers, task, refuse } => {
            scheduler::accept(framework, ids(offers), vec![operation::launch(vec![*task])], Some(refuse))
        }
        Call::Decline { offers, refuse } => scheduler::decline(framework, ids(offers), Some(refuse)),
        Call::Suppress => scheduler::suppress(framework, Vec::new()),
        Call::Revive => scheduler::revive(framework, Vec::new()),
        Call::Kill { task, agent } => {
            let agent = Some(agent).filter(|agent| !agent.is_empty()).map(Into::into);
            scheduler::kill(framework, task.into(), agent, None)
        }
        Call::Acknowledge { task, agent, uuid } => {
            let (task_id, agent_id) = (task.into(), Some(agent.into()));
            let update = TaskStatus { task_id, agent_id, uuid: Some(uuid), ..TaskStatus::default() };
            return scheduler::acknowledge(framework, &update);
        }
        Call::Reconcile(tasks) => {
            let tasks = tasks.into_iter().map(|(task, agent)| (task.into(), Some(agent.into())));
            scheduler::reconcile(framework, tasks.collect())
        }
        Call::Teardown => scheduler::teardown(framework),
    })
}

/// The framework as it introduces itself.
pub(crate) fn framework_info(config: &Config, id: Option<&str>) -> FrameworkInfo {
    use framework_info::Capability;
    use framework_info::capability::Type;
    let capability = |kind: Type| {
        let mut capability = Capability::default();
        capability.set_type(kind);
        capability
    };
    let mut capabilities = vec![Type::PartitionAware, Type::TaskKillingState, Type::MultiRole];
    if config.placement.revocable {
        capabilities.push(Type::RevocableResources);
    }
    FrameworkInfo {
        user: config.user.clone(),
        name: config.name.clone(),
        id: id.map(Into::into),
        failover_timeout: Some(config.failover_timeout().as_secs_f64()),
        checkpoint: Some(true),
        roles: vec![config.role.clone()],
        hostname: rustix::system::uname().nodename().to_str().ok().map(str::to_owned),
        principal: config.credential.as_ref().map(|credential| credential.principal.clone()),
        capabilities: capabilities.into_iter().map(capability).collect(),
        ..FrameworkInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use mesos::masters::Masters;

    use super::*;

    #[test]
    fn revocable_cpu_is_offered_only_to_those_who_ask_for_it() {
        let masters: Masters = "127.0.0.1:5050".parse().unwrap();
        let mut config = Config::new(masters, "/x");
        let wanted = framework_info::capability::Type::RevocableResources;
        let asks = |config: &Config| {
            framework_info(config, None).capabilities.iter().any(|capability| capability.r#type() == wanted)
        };
        assert!(!asks(&config));
        config.placement.revocable = true;
        assert!(asks(&config));
    }
}
