//! The master as a scheduler and an agent see it, without either.

mod orders;

use super::*;
use crate::link::KnownTask;
use mesos::v1::framework_info::{Capability, capability};
use mesos::v1::scheduler::{Call, call, event::Type};
use mesos::v1::task_status::Reason;
use mesos::v1::{AgentInfo, ExecutorInfo, Resource, TaskInfo, TaskState};
use proptest::prelude::*;

/// A master with one agent of 2 CPUs, and a clock.
struct World {
    master: Master,
    now: Now,
    stream_ids: BTreeMap<RequestId, String>,
}

impl World {
    fn new() -> Self {
        let config = Config {
            address: "127.0.0.1:5050".parse().unwrap(),
            allocation_interval: Duration::from_secs(1),
            offer_timeout: None,
            agent_timeout: Duration::from_secs(5),
        };
        let now = Now::read();
        let mut world =
            Self { master: Master::new(config, BTreeMap::new(), now), now, stream_ids: BTreeMap::new() };
        world.register(None, Vec::new());
        world
    }

    fn register(&mut self, id: Option<&str>, tasks: Vec<KnownTask>) -> Vec<Effect> {
        let id = id.map(|id| v1::AgentId { value: id.to_owned() });
        let info = AgentInfo { hostname: "127.0.0.1".into(), id, ..Default::default() };
        self.handle(Input::Agent(
            0,
            ToMaster::Register {
                info: Box::new(info),
                total: Bundle::of_agent(2.0, 2048.0, 1024.0, (31000, 31099)),
                tasks,
                executors: Vec::new(),
                frameworks: Vec::new(),
            },
        ))
    }

    fn handle(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.master.handle(input, self.now);
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
        self.handle(Input::Tick)
    }

    fn subscribe(&mut self, stream: RequestId, id: Option<&str>, checkpoint: bool) -> Vec<Effect> {
        let aware = |kind: capability::Type| Capability { r#type: Some(kind as i32) };
        let framework_id = id.map(|id| v1::FrameworkId { value: id.to_owned() });
        let framework_info = FrameworkInfo {
            id: framework_id.clone(),
            roles: vec!["*".into()],
            checkpoint: Some(checkpoint),
            failover_timeout: Some(60.0),
            capabilities: vec![aware(capability::Type::MultiRole), aware(capability::Type::PartitionAware)],
            ..Default::default()
        };
        let subscribe = Some(call::Subscribe { framework_info, ..Default::default() });
        let call = Call { subscribe, ..call_of(call::Type::Subscribe, id.unwrap_or("")) };
        let call = Box::new(Call { framework_id, ..call });
        self.handle(Input::Call { request: stream, stream_id: None, call })
    }

    fn call(&mut self, stream: RequestId, call: Call) -> Vec<Effect> {
        let stream_id = self.stream_ids.get(&stream).cloned();
        self.handle(Input::Call { request: 1000, stream_id, call: Box::new(call) })
    }

    fn framework(&self) -> String {
        self.master.frameworks.keys().next().cloned().unwrap()
    }

    fn agent(&self) -> String {
        self.master.agents.keys().next().cloned().unwrap()
    }

    fn launch(&mut self, stream: RequestId, offer: &v1::Offer, task: &str, cpus: f64) -> Vec<Effect> {
        let executor = ExecutorInfo {
            executor_id: v1::ExecutorId { value: "worker".into() },
            resources: resources(0.1, 32.0),
            ..Default::default()
        };
        let info = TaskInfo {
            task_id: v1::TaskId { value: task.into() },
            agent_id: offer.agent_id.clone(),
            resources: resources(cpus, 64.0),
            executor: Some(executor),
            ..Default::default()
        };
        let launch = v1::offer::operation::Launch { task_infos: vec![info] };
        let kind = Some(v1::offer::operation::Type::Launch as i32);
        let operation = v1::offer::Operation { r#type: kind, launch: Some(launch), ..Default::default() };
        let accept =
            call::Accept { offer_ids: vec![offer.id.clone()], operations: vec![operation], filters: None };
        let framework = offer.framework_id.value.clone();
        self.call(stream, Call { accept: Some(accept), ..call_of(call::Type::Accept, &framework) })
    }
}

fn resources(cpus: f64, mem: f64) -> Vec<Resource> {
    let mut sum = Bundle::of_agent(cpus, mem, 0.0, (1, 1)).allocated_to("*").to_resources();
    sum.retain(|resource| resource.name != "ports");
    sum
}

fn call_of(kind: call::Type, framework: &str) -> Call {
    let framework_id = Some(v1::FrameworkId { value: framework.to_owned() });
    Call { r#type: Some(kind as i32), framework_id, ..Default::default() }
}

fn kinds(effects: &[Effect]) -> Vec<Type> {
    let events = effects.iter().filter_map(|effect| match effect {
        Effect::Event(_, event) => Some(event.r#type()),
        _ => None,
    });
    events.collect()
}

fn offer(effects: &[Effect]) -> v1::Offer {
    let offers = effects.iter().find_map(|effect| match effect {
        Effect::Event(_, event) => event.offers.clone(),
        _ => None,
    });
    offers.expect("an offer").offers.remove(0)
}

fn update(effects: &[Effect]) -> TaskStatus {
    let update = effects.iter().find_map(|effect| match effect {
        Effect::Event(_, event) => event.update.clone(),
        _ => None,
    });
    update.expect("an update").status
}

#[test]
fn a_subscription_begins_with_its_id_a_heartbeat_and_offers() {
    let mut world = World::new();
    let effects = world.subscribe(1, None, true);
    assert!(matches!(effects[0], Effect::Answer(1, Answer::Stream(Some(_)))));
    assert_eq!(kinds(&effects), [Type::Subscribed, Type::Heartbeat, Type::Offers]);
    assert_eq!(kinds(&world.wait(14.9)), []);
    assert_eq!(kinds(&world.wait(0.1)), [Type::Heartbeat]);
}

#[test]
fn calls_need_the_right_stream() {
    let mut world = World::new();
    world.subscribe(1, None, true);
    let framework = world.framework();
    let revive = || Box::new(call_of(call::Type::Revive, &framework));
    for stream_id in [None, Some("other".to_owned())] {
        let effects = world.handle(Input::Call { request: 2, stream_id, call: revive() });
        assert!(matches!(effects[..], [Effect::Answer(2, Answer::Refused(400, _))]), "{effects:?}");
    }
    world.handle(Input::Closed(1));
    let stream_id = world.stream_ids.get(&1).cloned();
    let effects = world.handle(Input::Call { request: 3, stream_id, call: revive() });
    assert!(matches!(effects[..], [Effect::Answer(3, Answer::Refused(403, _))]));
}

#[test]
fn declined_resources_come_back_after_their_filter() {
    let mut world = World::new();
    let offer = offer(&world.subscribe(1, None, true));
    let framework = world.framework();
    let decline = Some(call::Decline { offer_ids: vec![offer.id], filters: None });
    world.call(1, Call { decline, ..call_of(call::Type::Decline, &framework) });
    assert_eq!(kinds(&world.wait(4.9)), []);
    assert_eq!(kinds(&world.wait(1.1)), [Type::Offers]);
}

#[test]
fn revive_lifts_filters_and_suppress_stops_offers() {
    let mut world = World::new();
    let first = offer(&world.subscribe(1, None, true));
    let framework = world.framework();
    world.call(1, call_of(call::Type::Suppress, &framework));
    let filters = Some(v1::Filters { refuse_seconds: Some(3600.0) });
    let decline = Some(call::Decline { offer_ids: vec![first.id], filters });
    world.call(1, Call { decline, ..call_of(call::Type::Decline, &framework) });
    assert_eq!(kinds(&world.wait(10.0)), []);
    assert_eq!(kinds(&world.call(1, call_of(call::Type::Revive, &framework))), [Type::Offers]);
}

#[test]
fn what_is_launched_is_not_offered() {
    let mut world = World::new();
    let first = offer(&world.subscribe(1, None, true));
    let effects = world.launch(1, &first, "t1", 0.5);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Agent(0, ToAgent::Run { .. }))));
    let rest = Bundle::from_resources(&offer(&world.wait(6.0)).resources);
    assert_eq!((rest.scalar("cpus"), rest.scalar("mem")), (1.4, 1952.0));
    // The same offer again, too much, and an id that is in use.
    assert_eq!(update(&world.launch(1, &first, "t2", 0.5)).state(), TaskState::TaskDropped);
}

#[test]
fn bad_launches_are_answered_by_updates_without_uuid() {
    let mut world = World::new();
    let first = offer(&world.subscribe(1, None, true));
    let status = update(&world.launch(1, &first, "t1", 64.0));
    assert_eq!((status.state(), status.reason()), (TaskState::TaskError, Reason::TaskInvalid));
    assert_eq!(status.uuid, None);
    let second = offer(&world.wait(6.0));
    world.launch(1, &second, "t1", 0.5);
    let third = offer(&world.wait(6.0));
    assert!(update(&world.launch(1, &third, "t1", 0.5)).message().contains("duplicate"));
    let fourth = offer(&world.wait(6.0));
    assert_eq!(update(&world.launch(1, &fourth, "../t", 0.5)).state(), TaskState::TaskError);
}

#[test]
fn a_second_subscription_takes_over() {
    let mut world = World::new();
    world.subscribe(1, None, true);
    let framework = world.framework();
    let effects = world.subscribe(2, Some(&framework), true);
    assert_eq!(kinds(&effects), [Type::Error, Type::Subscribed, Type::Heartbeat, Type::Offers]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Close(1))));
    world.handle(Input::Closed(1));
    assert!(
        world.master.frameworks[&framework].stream == Some(2),
        "the old stream's end is not the new one's"
    );
}

#[test]
fn a_framework_that_stays_away_is_removed() {
    let mut world = World::new();
    let first = offer(&world.subscribe(1, None, true));
    let framework = world.framework();
    world.launch(1, &first, "t1", 0.5);
    world.handle(Input::Closed(1));
    assert!(world.wait(59.0).is_empty());
    let effects = world.wait(1.0);
    assert!(matches!(&effects[..], [Effect::Agent(0, ToAgent::RemoveFramework(id))] if *id == framework));
    let effects = world.subscribe(2, Some(&framework), true);
    assert_eq!(kinds(&effects), [Type::Error]);
}

#[test]
fn a_lost_agent_and_its_return() {
    let mut world = World::new();
    let first = offer(&world.subscribe(1, None, true));
    world.launch(1, &first, "t1", 0.5);
    world.wait(6.0);
    assert_eq!(kinds(&world.handle(Input::AgentLost(0))), [Type::Rescind]);
    let effects = world.wait(5.0);
    assert_eq!(update(&effects).state(), TaskState::TaskUnreachable);
    assert_eq!(kinds(&effects)[..2], [Type::Update, Type::Failure]);
    let (agent, framework_id) = (world.agent(), world.framework());
    let info = world.master.frameworks[&framework_id].tasks["t1"].info.clone();
    let effects = world.register(Some(&agent), vec![KnownTask { framework_id, info, status: None }]);
    assert_eq!(update(&effects).reason(), Reason::AgentReregistered);
}

#[test]
fn without_checkpoints_tasks_die_with_the_connection() {
    let mut world = World::new();
    let first = offer(&world.subscribe(1, None, false));
    world.launch(1, &first, "t1", 0.5);
    assert_eq!(update(&world.handle(Input::AgentLost(0))).state(), TaskState::TaskLost);
}

#[test]
fn reconciliation_tells_what_is_known() {
    let mut world = World::new();
    let first = offer(&world.subscribe(1, None, true));
    world.launch(1, &first, "t1", 0.5);
    let (framework, agent) = (world.framework(), world.agent());
    let mut ask = |task: &str, agent: Option<&str>| {
        let agent_id = agent.map(|value| v1::AgentId { value: value.to_owned() });
        let task = call::reconcile::Task { task_id: v1::TaskId { value: task.into() }, agent_id };
        let reconcile = Some(call::Reconcile { tasks: vec![task] });
        update(&world.call(1, Call { reconcile, ..call_of(call::Type::Reconcile, &framework) })).state()
    };
    assert_eq!(ask("t1", Some(&agent)), TaskState::TaskStaging);
    assert_eq!(ask("other", Some(&agent)), TaskState::TaskGone);
    assert_eq!(ask("other", None), TaskState::TaskUnknown);
}

proptest! {
    /// Whatever happens, nothing is given twice, and nothing panics.
    #[test]
    fn no_resource_is_given_twice(steps in proptest::collection::vec((0u8..9, 0u64..4, 0.0..2.5f64), 1..60)) {
        let mut world = World::new();
        let mut offers: Vec<v1::Offer> = Vec::new();
        let mut number = 0;
        for (step, stream, amount) in steps {
            let framework = world.master.frameworks.values().find(|f| f.stream == Some(stream));
            let framework = framework.map(|f| f.id.clone()).unwrap_or_default();
            let effects = match step {
                0 => world.subscribe(stream, None, amount > 1.0),
                1 => world.handle(Input::Closed(stream)),
                2 | 3 => match offers.pop() {
                    Some(offer) => {
                        number += 1;
                        let stream = world.master.frameworks.get(&offer.framework_id.value).and_then(|f| f.stream);
                        world.launch(stream.unwrap_or_default(), &offer, &format!("t{number}"), amount)
                    }
                    None => Vec::new(),
                },
                4 => world.call(stream, call_of(call::Type::Teardown, &framework)),
                5 => world.call(stream, call_of(call::Type::Revive, &framework)),
                6 => world.handle(Input::AgentLost(0)),
                7 => { let agent = world.agent(); world.register(Some(&agent), Vec::new()) }
                _ => world.wait(amount * 10.0),
            };
            for effect in effects {
                if let Effect::Event(_, event) = effect {
                    offers.extend(event.offers.map(|offers| offers.offers).unwrap_or_default());
                }
            }
            let mut given = world.master.allocated(&world.agent());
            for offer in world.master.offers.values() {
                given.add(&offer.resources);
            }
            let total = Bundle::of_agent(2.0, 2048.0, 1024.0, (31000, 31099));
            prop_assert!(total.contains(&given.unallocated()), "{} of {}", given, total);
        }
    }
}
