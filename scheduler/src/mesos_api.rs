//! Conversions between the state machine's types and those of Mesos' API.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesos::scheduler::{self, operation};
use mesos::v1::{FrameworkId, FrameworkInfo, Offer, TaskStatus, Unavailability, framework_info};

use crate::config::Config;
use crate::event::{self, Call, Event, InverseOffer};

/// After the scheduler has accepted an inverse offer, Mesos does not repeat it for this time. Without this filter, Mesos would
/// repeat inverse offers every 5 s for each agent.
const INVERSE_OFFER_FILTER: Duration = Duration::from_secs(60);

/// Start times (since 1970) and durations in the master's maintenance schedule are capped at this value, so that their sums do
/// not overflow.
const LONGEST: Duration = Duration::from_secs(200 * 365 * 24 * 3600);

/// Converts an event from the master to events for the state machine. The driver handles ERROR.
pub(crate) fn events(event: scheduler::Event) -> Vec<Event> {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match event {
        scheduler::Event::Offers(offers) => {
            let plan = |offer: &Offer| {
                (
                    offer.agent_id.value.clone(),
                    offer.unavailability.as_ref().and_then(|it| relative(it, unix)),
                )
            };
            let plans = offers.iter().map(plan).collect();
            vec![Event::Unavailabilities(plans), Event::Offers(offers)]
        }
        event => convert(event, unix).into_iter().collect(),
    }
}

/// The unavailability relative to `unix` (time since the Unix epoch); `None` if the unavailability has ended.
fn relative(unavailability: &Unavailability, unix: Duration) -> Option<event::Unavailability> {
    let nanoseconds =
        |nanoseconds: i64| Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0)).min(LONGEST);
    let start = nanoseconds(unavailability.start.nanoseconds);
    let end = unavailability.duration.as_ref().map(|lasts| start + nanoseconds(lasts.nanoseconds));
    if end.is_some_and(|end| end <= unix) {
        return None;
    }
    let begins_in = start.saturating_sub(unix);
    Some(event::Unavailability { begins_in, lasts: end.map(|end| end - start.max(unix)) })
}

fn convert(event: scheduler::Event, unix: Duration) -> Option<Event> {
    match event {
        scheduler::Event::Subscribed(subscribed) => Some(Event::Subscribed(subscribed.framework_id.value)),
        scheduler::Event::Rescind(offer) => Some(Event::Rescinded(offer.value)),
        scheduler::Event::Update(status) => Some(Event::Update(status)),
        scheduler::Event::Message(message) => {
            Some(Event::Message { executor: message.executor_id.value, data: message.data })
        }
        scheduler::Event::Failure(failure) => match (failure.executor_id, failure.agent_id) {
            (Some(executor), agent) => Some(Event::ExecutorTerminated {
                agent: agent.map(|agent| agent.value),
                executor: executor.value,
                status: failure.status,
            }),
            (None, agent) => agent.map(|agent| Event::AgentRemoved(agent.value)),
        },
        scheduler::Event::InverseOffers(offers) => {
            let inverse = |offer: mesos::v1::InverseOffer| {
                let unavailability = relative(&offer.unavailability, unix)?;
                let agent = offer.agent_id.map(|agent| agent.value);
                Some(InverseOffer { id: offer.id.value, agent, unavailability })
            };
            Some(Event::InverseOffers(offers.into_iter().filter_map(inverse).collect()))
        }
        scheduler::Event::RescindInverseOffer(offer) => Some(Event::InverseRescinded(offer.value)),
        scheduler::Event::Heartbeat => Some(Event::Heartbeat),
        scheduler::Event::UpdateOperationStatus(_) | scheduler::Event::Error(_) => None,
        other => {
            tracing::debug!(?other, "unknown event");
            None
        }
    }
}

/// Converts a call to Mesos' API; `None` for an acknowledgement without a uuid.
pub(crate) fn call(framework: &FrameworkId, call: Call) -> Option<mesos::v1::scheduler::Call> {
    let ids = |ids: Vec<String>| ids.into_iter().map(Into::into).collect();
    Some(match call {
        Call::Accept { offers, tasks, refuse } => {
            scheduler::accept(framework, ids(offers), vec![operation::launch(tasks)], Some(refuse))
        }
        Call::Decline { offers, refuse } => scheduler::decline(framework, ids(offers), Some(refuse)),
        Call::AcceptInverse(offers) => {
            scheduler::accept_inverse_offers(framework, ids(offers), Some(INVERSE_OFFER_FILTER))
        }
        Call::DeclineInverse(offers) => scheduler::decline_inverse_offers(framework, ids(offers), None),
        Call::Suppress => scheduler::suppress(framework, Vec::new()),
        Call::Revive => scheduler::revive(framework, Vec::new()),
        Call::Kill { task, agent } => {
            let agent = Some(agent).filter(|agent| !agent.is_empty()).map(Into::into);
            scheduler::kill(framework, task.into(), agent, None)
        }
        Call::Shutdown { executor, agent } => scheduler::shutdown(framework, executor.into(), agent.into()),
        Call::Message { executor, agent, data } => {
            scheduler::message(framework, executor.into(), agent.into(), data)
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

/// The `FrameworkInfo` to subscribe with.
pub(crate) fn framework_info(config: &Config, id: Option<&str>) -> FrameworkInfo {
    use framework_info::Capability;
    use framework_info::capability::Type;
    let capability = |kind: Type| {
        let mut capability = Capability::default();
        capability.set_type(kind);
        capability
    };
    let mut capabilities =
        vec![Type::PartitionAware, Type::TaskKillingState, Type::MultiRole, Type::ReservationRefinement];
    let chosen = [
        (config.placement.revocable, Type::RevocableResources),
        (config.placement.gpu_agents, Type::GpuResources),
        (config.placement.remote_regions, Type::RegionAware),
    ];
    capabilities.extend(chosen.into_iter().filter(|(wanted, _)| *wanted).map(|(_, kind)| kind));
    FrameworkInfo {
        user: config.user.clone(),
        name: config.name.clone(),
        id: id.map(Into::into),
        failover_timeout: Some(config.framework.failover_timeout.as_secs_f64()),
        checkpoint: Some(true),
        roles: vec![config.role.clone()],
        hostname: rustix::system::uname().nodename().to_str().ok().map(str::to_owned),
        webui_url: config.webui_url.clone(),
        principal: config.master_access.principal().map(str::to_owned),
        capabilities: capabilities.into_iter().map(capability).collect(),
        ..FrameworkInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use mesos::masters::Masters;

    use mesos::v1::{DurationInfo, TimeInfo};

    use super::*;
    use crate::offers::Placement;

    #[test]
    fn times_of_maintenance_are_told_from_now_on() {
        let unix = Duration::from_secs(1000);
        let away = |start: i64, lasts: Option<i64>| {
            let start = TimeInfo { nanoseconds: start.saturating_mul(1_000_000_000) };
            let duration =
                lasts.map(|lasts| DurationInfo { nanoseconds: lasts.saturating_mul(1_000_000_000) });
            super::relative(&Unavailability { start, duration }, unix)
                .map(|away| (away.begins_in.as_secs(), away.lasts.map(|lasts| lasts.as_secs())))
        };
        assert_eq!(away(1060, Some(30)), Some((60, Some(30))));
        assert_eq!(away(1060, None), Some((60, None)));
        assert_eq!(away(900, Some(130)), Some((0, Some(30))), "it has begun");
        assert_eq!(away(900, None), Some((0, None)));
        assert_eq!(away(900, Some(100)), None, "it is over");
        assert_eq!(away(-5, None), Some((0, None)));
        assert!(away(i64::MAX, Some(i64::MAX)).is_some());
    }

    #[test]
    fn a_framework_introduces_itself() {
        use framework_info::capability::Type;
        let masters: Masters = "127.0.0.1:5050".parse().unwrap();
        let master_access = crate::master_access::MasterAccess::read(Some("p".into()), None, None).unwrap();
        let config = Config {
            name: "n".into(),
            user: "u".into(),
            role: "r".into(),
            master_access,
            ..Config::new(masters, "/x")
        };
        let info = framework_info(&config, Some("f"));
        let named = (info.name.as_str(), info.user.as_str(), info.principal.as_deref(), &info.roles[..]);
        assert_eq!(named, ("n", "u", Some("p"), &["r".to_owned()][..]));
        assert_eq!(
            (info.id, info.checkpoint, info.failover_timeout),
            (Some("f".into()), Some(true), Some(604_800.0))
        );
        let capabilities: Vec<_> = info.capabilities.iter().map(|capability| capability.r#type()).collect();
        let always =
            [Type::PartitionAware, Type::TaskKillingState, Type::MultiRole, Type::ReservationRefinement];
        assert_eq!(capabilities, always);
    }

    #[test]
    fn revocable_cpu_and_special_agents_are_offered_only_to_those_who_ask_for_them() {
        use framework_info::capability::Type;
        let masters: Masters = "127.0.0.1:5050".parse().unwrap();
        let default = Config::new(masters, "/x");
        let asks = |config: &Config, wanted: Type| {
            framework_info(config, None).capabilities.iter().any(|capability| capability.r#type() == wanted)
        };
        type Choice = fn(&mut Placement) -> &mut bool;
        let choices: [(Type, Choice); 3] = [
            (Type::RevocableResources, |placement| &mut placement.revocable),
            (Type::GpuResources, |placement| &mut placement.gpu_agents),
            (Type::RegionAware, |placement| &mut placement.remote_regions),
        ];
        for (wanted, choice) in choices {
            let mut config = default.clone();
            *choice(&mut config.placement) = true;
            assert!(asks(&config, wanted) && !asks(&default, wanted), "{wanted:?}");
        }
    }
}
