//! What operators want of agents, and what becomes of it.

use super::*;
use crate::operator::master::Call as Order;
use crate::operator::master::call::{DeactivateAgent, DrainAgent, Period, ReactivateAgent, Type as Kind};

fn order(world: &mut World, kind: Kind, agent: &str) -> Vec<Effect> {
    let agent_id = || v1::AgentId { value: agent.to_owned() };
    let max_grace_period = Some(Period { seconds: Some(3), nanos: Some(5) });
    let drain_agent = DrainAgent { agent_id: agent_id(), max_grace_period, mark_gone: None };
    let call = Order {
        r#type: Some(kind as i32),
        drain_agent: Some(drain_agent),
        deactivate_agent: Some(DeactivateAgent { agent_id: agent_id() }),
        reactivate_agent: Some(ReactivateAgent { agent_id: agent_id() }),
    };
    assert!(is_change(&call));
    world.handle(Input::Operate { request: 9, call: Box::new(call) })
}

fn answer(effects: &[Effect]) -> Answer {
    let answers = effects.iter().filter_map(|effect| match effect {
        Effect::Answer(9, answer) => Some(answer.clone()),
        _ => None,
    });
    let [answer] = answers.collect::<Vec<_>>().try_into().expect("one answer");
    answer
}

fn shown(world: &World) -> serde_json::Value {
    let agent = world.master.slaves_json().remove(0);
    serde_json::json!([agent["active"], agent["deactivated"], agent["drain_info"]["state"]])
}

/// The longest time, in nanoseconds, of the order to an agent to end its tasks.
fn drained(effects: &[Effect]) -> Option<i64> {
    effects.iter().find_map(|effect| match effect {
        Effect::Agent(0, ToAgent::Drain(longest)) => longest.as_ref().map(|period| period.nanoseconds),
        _ => None,
    })
}

#[test]
fn nothing_of_a_deactivated_agent_is_offered() {
    let mut world = World::new();
    world.subscribe(1, None, true);
    let agent = world.agent();
    let effects = order(&mut world, Kind::DeactivateAgent, &agent);
    assert_eq!((answer(&effects), kinds(&effects)), (Answer::Done, vec![Type::Rescind]));
    assert_eq!(kinds(&world.wait(10.0)), []);
    assert_eq!(shown(&world), serde_json::json!([false, true, null]));
    world.register(Some(&agent), Vec::new());
    assert_eq!(kinds(&world.wait(4.0)), [], "also once it has registered anew");
    let effects = order(&mut world, Kind::ReactivateAgent, &agent);
    assert_eq!((answer(&effects), kinds(&effects)), (Answer::Done, vec![Type::Offers]));
    assert_eq!(shown(&world), serde_json::json!([true, false, null]));
}

#[test]
fn a_drained_agent_is_emptied_and_waits_for_its_reactivation() {
    let mut world = World::new();
    let first = offer(&world.subscribe(1, None, true));
    world.launch(1, &first, "t1", 0.5);
    let (agent, framework) = (world.agent(), world.framework());
    let effects = order(&mut world, Kind::DrainAgent, &agent);
    assert_eq!((answer(&effects), drained(&effects)), (Answer::Done, Some(3_000_000_005)));
    assert_eq!(shown(&world), serde_json::json!([false, true, "DRAINING"]));
    let early = order(&mut world, Kind::ReactivateAgent, &agent);
    assert_eq!(answer(&early), Answer::bad("Agent is still in the DRAINING state"));

    let uuid = Uuid::new_v4().as_bytes().to_vec();
    let mut status = TaskStatus { uuid: Some(uuid.clone()), ..Default::default() };
    status.task_id.value = "t1".into();
    status.agent_id = Some(v1::AgentId { value: agent.clone() });
    status.set_state(TaskState::TaskKilled);
    let latest = TaskState::TaskKilled;
    let message = ToMaster::Update { framework_id: framework.clone(), status: Box::new(status), latest };
    world.handle(Input::Agent(0, message));
    assert_eq!(shown(&world)[2], "DRAINING", "the framework may not know of the end yet");
    let (agent_id, task_id) = (v1::AgentId { value: agent.clone() }, v1::TaskId { value: "t1".into() });
    let acknowledge = Some(call::Acknowledge { agent_id, task_id, uuid });
    world.call(1, Call { acknowledge, ..call_of(call::Type::Acknowledge, &framework) });
    assert_eq!(shown(&world), serde_json::json!([false, true, "DRAINED"]));
    assert_eq!(kinds(&world.wait(10.0)), []);
    let effects = order(&mut world, Kind::ReactivateAgent, &agent);
    assert_eq!((answer(&effects), kinds(&effects)), (Answer::Done, vec![Type::Offers]));
}

#[test]
fn orders_outlive_the_master_that_got_them() {
    let mut world = World::new();
    let first = offer(&world.subscribe(1, None, true));
    world.launch(1, &first, "t1", 0.5);
    let agent = world.agent();
    order(&mut world, Kind::DrainAgent, &agent);
    let task = |world: &World| {
        let framework = &world.master.frameworks[&world.framework()];
        let info = framework.tasks["t1"].info.clone();
        KnownTask { framework_id: framework.id.clone(), info, status: None }
    };
    let (known, framework) = (task(&world), world.framework());
    world.master = Master::new(world.master.config.clone(), world.master.registry(), world.now);
    world.subscribe(2, Some(&framework), true);
    let effects = world.register(Some(&agent), vec![known]);
    assert_eq!(drained(&effects), Some(3_000_000_005), "told again: it may not have heard");
    assert_eq!(shown(&world), serde_json::json!([false, true, "DRAINING"]));
}

#[test]
fn bad_orders_say_why() {
    let mut world = World::new();
    for (kind, why) in [
        (Kind::DrainAgent, "Unknown agent"),
        (Kind::DeactivateAgent, "Unknown agent"),
        (Kind::ReactivateAgent, "Agent is not deactivated"),
    ] {
        assert_eq!(answer(&order(&mut world, kind, "nobody")), Answer::bad(why));
    }
    let agent = world.agent();
    assert_eq!(
        answer(&order(&mut world, Kind::ReactivateAgent, &agent)),
        Answer::bad("Agent is not deactivated")
    );
    let empty = Box::new(Order { r#type: Some(Kind::DrainAgent as i32), ..Default::default() });
    let effects = world.handle(Input::Operate { request: 9, call: empty });
    let why = "Failed to validate master::Call: Expecting 'drain_agent' to be present";
    assert_eq!(answer(&effects), Answer::bad(why));
}
