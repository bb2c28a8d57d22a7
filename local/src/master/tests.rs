//! Tests of the master. They play a scheduler and an agent.

use super::*;
use crate::cluster::AgentSize;
use crate::messages::allocated_to;
use mesos::resources::{Quantity, scalar};
use mesos::v1::framework_info::{Capability, capability};
use mesos::v1::scheduler::{call, event::Type};
use mesos::v1::task_status::Reason;
use mesos::v1::{self, ExecutorInfo, Offer, Resource, TaskInfo, TaskState};
use proptest::prelude::*;

/// A master with one agent of 2 CPUs, and a clock.
struct Harness {
    master: Master,
    now: Now,
    stream_ids: BTreeMap<RequestId, String>,
}

fn total() -> Resources {
    AgentSize::new(0, 2.0, 2048.0).resources()
}

impl Harness {
    fn new() -> Self {
        let config = Config {
            id: "M".into(),
            address: "127.0.0.1:5050".parse().unwrap(),
            allocation_interval: Duration::from_secs(1),
            offer_timeout: None,
        };
        let agent = AgentInfo {
            hostname: "127.0.0.1".into(),
            id: Some("M-S0".into()),
            resources: total().into(),
            ..Default::default()
        };
        let now = Now::read();
        Self { master: Master::new(config, vec![agent], now), now, stream_ids: BTreeMap::new() }
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.master.on_event(event, self.now);
        for effect in &effects {
            if let Effect::Answer(request, Answer::Stream(Some(id))) = effect {
                self.stream_ids.insert(*request, id.clone());
            }
        }
        effects
    }

    fn wait(&mut self, seconds: f64) -> Vec<Effect> {
        let time = Duration::from_secs_f64(seconds);
        self.now = Now { instant: self.now.instant + time, unix: self.now.unix + time };
        self.handle(Event::Tick)
    }

    fn subscribe(&mut self, stream: RequestId, id: Option<&FrameworkId>, checkpoint: bool) -> Vec<Effect> {
        let capability = |kind: capability::Type| Capability { r#type: Some(kind.into()) };
        let framework_info = FrameworkInfo {
            id: id.cloned(),
            roles: vec!["*".into()],
            checkpoint: Some(checkpoint),
            failover_timeout: Some(60.0),
            capabilities: vec![
                capability(capability::Type::MultiRole),
                capability(capability::Type::PartitionAware),
            ],
            ..Default::default()
        };
        let subscribe = Some(call::Subscribe { framework_info, ..Default::default() });
        let kind = Some(call::Type::Subscribe.into());
        let call = Call { r#type: kind, framework_id: id.cloned(), subscribe, ..Default::default() };
        self.handle(Event::Call { request: stream, stream_id: None, call: Box::new(call) })
    }

    fn call(&mut self, stream: RequestId, call: Call) -> Vec<Effect> {
        let stream_id = self.stream_ids.get(&stream).cloned();
        self.handle(Event::Call { request: 1000, stream_id, call: Box::new(call) })
    }

    fn framework(&self) -> FrameworkId {
        self.master.frameworks.keys().next().cloned().unwrap()
    }

    fn agent(&self) -> AgentId {
        self.master.agents[0].id.clone()
    }

    fn launch(&mut self, stream: RequestId, offer: &Offer, task: &str, cpus: f64) -> Vec<Effect> {
        let executor = ExecutorInfo {
            executor_id: "worker".into(),
            resources: resources(0.1, 32),
            ..Default::default()
        };
        let info = TaskInfo {
            task_id: task.into(),
            agent_id: offer.agent_id.clone(),
            resources: resources(cpus, 64),
            executor: Some(executor),
            ..Default::default()
        };
        let operations = vec![scheduler::operation::launch(vec![info])];
        let accept = call::Accept { offer_ids: vec![offer.id.clone()], operations, filters: None };
        let framework = &offer.framework_id;
        self.call(stream, Call { accept: Some(accept), ..call_of(call::Type::Accept, framework) })
    }

    /// The agent reports that a task has finished.
    fn finish(&mut self, framework_id: FrameworkId, task: &str, uuid: &[u8]) -> Vec<Effect> {
        let latest = TaskState::TaskFinished;
        let (task_id, uuid) = (task.into(), Some(uuid.to_vec()));
        let status = Box::new(TaskStatus { task_id, state: latest.into(), uuid, ..Default::default() });
        self.handle(Event::Agent(0, ToMaster::Update { framework_id, status, latest }))
    }
}

fn resources(cpus: f64, mem: u64) -> Vec<Resource> {
    let pieces = vec![scalar("cpus", Quantity::new(cpus)), scalar("mem", Quantity::whole(mem))];
    allocated_to(Some("*"), &pieces.into()).into()
}

fn call_of(kind: call::Type, framework: &FrameworkId) -> Call {
    Call { r#type: Some(kind.into()), framework_id: Some(framework.clone()), ..Default::default() }
}

fn kinds(effects: &[Effect]) -> Vec<Type> {
    let events = effects.iter().filter_map(|effect| match effect {
        Effect::Send(_, event) => Some(v1::scheduler::Event::from(event.clone()).r#type()),
        _ => None,
    });
    events.collect()
}

fn offer(effects: &[Effect]) -> Offer {
    let offers = effects.iter().find_map(|effect| match effect {
        Effect::Send(_, scheduler::Event::Offers(offers)) => offers.first().cloned(),
        _ => None,
    });
    offers.expect("an offer")
}

fn update(effects: &[Effect]) -> TaskStatus {
    let update = effects.iter().find_map(|effect| match effect {
        Effect::Send(_, scheduler::Event::Update(status)) => Some(*status.clone()),
        _ => None,
    });
    update.expect("an update")
}

#[test]
fn a_subscription_begins_with_its_id_a_heartbeat_and_offers() {
    let mut harness = Harness::new();
    let effects = harness.subscribe(1, None, true);
    assert!(matches!(effects[0], Effect::Answer(1, Answer::Stream(Some(_)))));
    assert_eq!(kinds(&effects), [Type::Subscribed, Type::Heartbeat, Type::Offers]);
    assert_eq!(kinds(&harness.wait(14.9)), []);
    assert_eq!(kinds(&harness.wait(0.1)), [Type::Heartbeat]);
}

#[test]
fn calls_need_the_right_stream() {
    let mut harness = Harness::new();
    harness.subscribe(1, None, true);
    let framework = harness.framework();
    let revive = || Box::new(call_of(call::Type::Revive, &framework));
    for stream_id in [None, Some("other".to_owned())] {
        let effects = harness.handle(Event::Call { request: 2, stream_id, call: revive() });
        assert!(matches!(effects[..], [Effect::Answer(2, Answer::Refused(400, _))]), "{effects:?}");
    }
    harness.handle(Event::Closed(1));
    let stream_id = harness.stream_ids.get(&1).cloned();
    let effects = harness.handle(Event::Call { request: 3, stream_id, call: revive() });
    assert!(matches!(effects[..], [Effect::Answer(3, Answer::Refused(403, _))]));
}

#[test]
fn declined_resources_come_back_after_their_filter() {
    let mut harness = Harness::new();
    let offer = offer(&harness.subscribe(1, None, true));
    let framework = harness.framework();
    let decline = Some(call::Decline { offer_ids: vec![offer.id], filters: None });
    harness.call(1, Call { decline, ..call_of(call::Type::Decline, &framework) });
    assert_eq!(kinds(&harness.wait(4.9)), []);
    assert_eq!(kinds(&harness.wait(1.1)), [Type::Offers]);
}

#[test]
fn revive_lifts_filters_and_suppress_stops_offers() {
    let mut harness = Harness::new();
    let first = offer(&harness.subscribe(1, None, true));
    let framework = harness.framework();
    harness.call(1, call_of(call::Type::Suppress, &framework));
    let filters = Some(v1::Filters { refuse_seconds: Some(3600.0) });
    let decline = Some(call::Decline { offer_ids: vec![first.id], filters });
    harness.call(1, Call { decline, ..call_of(call::Type::Decline, &framework) });
    assert_eq!(kinds(&harness.wait(10.0)), []);
    assert_eq!(kinds(&harness.call(1, call_of(call::Type::Revive, &framework))), [Type::Offers]);
}

#[test]
fn what_is_launched_is_not_offered() {
    let mut harness = Harness::new();
    let first = offer(&harness.subscribe(1, None, true));
    let effects = harness.launch(1, &first, "t1", 0.5);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Agent(0, ToAgent::RunTask { .. }))));
    let rest = Resources::from(offer(&harness.wait(6.0)).resources);
    assert_eq!((rest.sum("cpus").value(), rest.sum("mem").value()), (1.4, 1952.0));
    // The offer cannot be used a second time.
    assert_eq!(update(&harness.launch(1, &first, "t2", 0.5)).state(), TaskState::TaskDropped);
}

#[test]
fn bad_launches_are_answered_by_updates_without_uuid() {
    let mut harness = Harness::new();
    let first = offer(&harness.subscribe(1, None, true));
    let status = update(&harness.launch(1, &first, "t1", 64.0));
    assert_eq!((status.state(), status.reason()), (TaskState::TaskError, Reason::TaskInvalid));
    assert_eq!(status.uuid, None);
    let second = offer(&harness.wait(6.0));
    harness.launch(1, &second, "t1", 0.5);
    let third = offer(&harness.wait(6.0));
    assert!(update(&harness.launch(1, &third, "t1", 0.5)).message().contains("duplicate"));
    let fourth = offer(&harness.wait(6.0));
    assert_eq!(update(&harness.launch(1, &fourth, "../t", 0.5)).state(), TaskState::TaskError);
}

#[test]
fn a_second_subscription_takes_over() {
    let mut harness = Harness::new();
    harness.subscribe(1, None, true);
    let framework = harness.framework();
    let effects = harness.subscribe(2, Some(&framework), true);
    assert_eq!(kinds(&effects), [Type::Error, Type::Subscribed, Type::Heartbeat, Type::Offers]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Close(1))));
    harness.handle(Event::Closed(1));
    assert!(
        harness.master.frameworks[&framework].stream == Some(2),
        "the end of the old stream does not concern the new one"
    );
}

#[test]
fn a_framework_that_stays_away_is_removed() {
    let mut harness = Harness::new();
    let first = offer(&harness.subscribe(1, None, true));
    let framework = harness.framework();
    harness.launch(1, &first, "t1", 0.5);
    harness.handle(Event::Closed(1));
    assert!(harness.wait(59.0).is_empty());
    let effects = harness.wait(1.0);
    assert!(matches!(&effects[..], [Effect::Agent(0, ToAgent::ShutdownFramework(id))] if *id == framework));
    let effects = harness.subscribe(2, Some(&framework), true);
    assert_eq!(kinds(&effects), [Type::Error]);
}

#[test]
fn reconcile_answers_the_latest_state() {
    let mut harness = Harness::new();
    let first = offer(&harness.subscribe(1, None, true));
    harness.launch(1, &first, "t1", 0.5);
    let (framework, agent) = (harness.framework(), harness.agent());
    let mut ask = |task: &str, agent: Option<&AgentId>| {
        let task = call::reconcile::Task { task_id: task.into(), agent_id: agent.cloned() };
        let reconcile = Some(call::Reconcile { tasks: vec![task] });
        update(&harness.call(1, Call { reconcile, ..call_of(call::Type::Reconcile, &framework) })).state()
    };
    assert_eq!(ask("t1", Some(&agent)), TaskState::TaskStaging);
    assert_eq!(ask("other", Some(&agent)), TaskState::TaskGone);
    assert_eq!(ask("other", None), TaskState::TaskUnknown);
}

#[test]
fn a_task_is_completed_when_its_end_is_acknowledged() {
    let mut harness = Harness::new();
    let first = offer(&harness.subscribe(1, None, true));
    harness.launch(1, &first, "t1", 0.5);
    let (framework, agent_id) = (harness.framework(), harness.agent());
    let uuid = uuid::Uuid::new_v4().as_bytes().to_vec();
    assert_eq!(kinds(&harness.finish(framework.clone(), "t1", &uuid)), [Type::Update]);
    let tasks = |harness: &Harness| {
        let framework = &harness.master.frameworks[&framework];
        (framework.tasks.len(), framework.completed_tasks.len())
    };
    assert_eq!(tasks(&harness), (1, 0), "the framework may not know of the end yet");
    let acknowledge = Some(call::Acknowledge { agent_id, task_id: "t1".into(), uuid });
    let call = Call { acknowledge, ..call_of(call::Type::Acknowledge, &framework) };
    let effects = harness.call(1, call);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Agent(0, ToAgent::Acknowledge { .. }))));
    assert_eq!(tasks(&harness), (0, 1));
}

proptest! {
    /// With random events, the resources in use and on offer never exceed the agent's total, and nothing panics.
    #[test]
    fn no_resource_is_given_twice(steps in proptest::collection::vec((0u8..9, 0u64..4, 0.0..2.5f64), 1..60)) {
        let mut harness = Harness::new();
        let mut offers: Vec<Offer> = Vec::new();
        let mut number = 0;
        for (step, stream, amount) in steps {
            let framework = harness.master.frameworks.values().find(|f| f.stream == Some(stream));
            let framework = framework.map(|f| f.id.clone()).unwrap_or_default();
            let effects = match step {
                0 => harness.subscribe(stream, None, amount > 1.0),
                1 => harness.handle(Event::Closed(stream)),
                2 | 3 => match offers.pop() {
                    Some(offer) => {
                        number += 1;
                        let stream = harness.master.frameworks.get(&offer.framework_id).and_then(|f| f.stream);
                        harness.launch(stream.unwrap_or_default(), &offer, &format!("t{number}"), amount)
                    }
                    None => Vec::new(),
                },
                4 => harness.call(stream, call_of(call::Type::Teardown, &framework)),
                5 => harness.call(stream, call_of(call::Type::Revive, &framework)),
                6 => harness.finish(framework, &format!("t{number}"), &[1]),
                7 => harness.handle(Event::RescindOffers),
                _ => harness.wait(amount * 10.0),
            };
            for effect in effects {
                if let Effect::Send(_, scheduler::Event::Offers(new)) = effect {
                    offers.extend(new);
                }
            }
            let mut given = harness.master.allocated(&harness.agent());
            given.extend(harness.master.offered(|_| true));
            let given = allocated_to(None, &given);
            prop_assert!(total().contains(&given), "{given:?}");
        }
    }
}
