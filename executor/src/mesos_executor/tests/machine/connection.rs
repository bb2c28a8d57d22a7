//! Losing and regaining the connection to the agent.

use super::*;

#[test]
fn the_next_subscription_carries_unacknowledged_tasks_and_updates() {
    let mut machine = Machine::subscribed(true);
    machine.agent(launch("t"));
    machine.on(Event::Task(TaskEvent::Running(report(1))));
    assert_eq!(machine.on(Event::Disconnected("gone".into())), [Effect::Subscribe]);
    assert_eq!(machine.on(Event::Task(TaskEvent::Report(report(2)))), [], "there is no connection");
    let (call, effects) = machine.subscribe();
    let subscribe = call.subscribe.expect("a SUBSCRIBE call");
    assert_eq!(call.r#type, Some(call::Type::Subscribe.into()));
    assert_eq!(subscribe.unacknowledged_tasks.len(), 1);
    assert_eq!(subscribe.unacknowledged_updates.len(), 3);
    assert_eq!(effects, [], "the subscription carried them");
    machine.acknowledge_all();
    let subscribe = machine.state.subscription().subscribe.expect("a SUBSCRIBE call");
    assert!(subscribe.unacknowledged_tasks.is_empty() && subscribe.unacknowledged_updates.is_empty());
}

#[test]
fn updates_made_while_subscribing_are_sent_afterwards() {
    let mut machine = Machine::running(true);
    machine.on(Event::Disconnected("gone".into()));
    machine.state.subscription();
    machine.on(Event::Task(TaskEvent::Report(report(2))));
    let effects = machine.agent(subscribed(true));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskRunning)]);
}

#[test]
fn without_checkpointing_a_lost_agent_ends_the_executor() {
    let mut machine = Machine::running(false);
    let effects = machine.on(Event::Disconnected("gone".into()));
    assert_eq!(effects.first(), Some(&Effect::Abort));
    assert!(matches!(exits(&effects), Some(Err(_))));
}

#[test]
fn with_checkpointing_the_task_runs_until_the_recovery_timeout() {
    let mut machine = Machine::running(true);
    assert_eq!(machine.after(2 * RECOVERY), [], "the agent was connected all the time");
    assert_eq!(machine.on(Event::Disconnected("gone".into())), [Effect::Subscribe]);
    machine.now += RECOVERY - Duration::from_millis(1);
    assert_eq!(machine.on(Event::Disconnected("still gone".into())), [Effect::Subscribe]);
    let effects = machine.after(Duration::from_millis(1));
    assert!(effects.contains(&Effect::Abort) && matches!(exits(&effects), Some(Err(_))));
}

#[test]
fn an_ended_task_waits_for_the_agent_to_come_back() {
    let mut machine = Machine::running(true);
    machine.on(Event::Disconnected("gone".into()));
    assert_eq!(machine.on(Event::TaskEnded(Ok(report(2)))), []);
    assert_eq!(machine.after(Duration::from_secs(60)), []);
    machine.subscribe();
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())));
}

#[test]
fn the_last_update_waits_for_an_agent_that_restarts_before_acknowledging() {
    let mut machine = Machine::running(true);
    machine.on(Event::TaskEnded(Ok(report(2))));
    assert_eq!(machine.after(Duration::from_secs(1)), []);
    assert_eq!(machine.on(Event::Disconnected("gone".into())), [Effect::Subscribe]);
    assert_eq!(machine.after(Duration::from_secs(60)), []);
    let (call, effects) = machine.subscribe();
    assert_eq!(call.subscribe.expect("a SUBSCRIBE call").unacknowledged_updates.len(), 1);
    assert_eq!(effects, []);
    assert_eq!(machine.after(Duration::from_secs(4)), [], "the time to acknowledge starts again");
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())));
}

#[test]
fn an_acknowledgement_covers_one_update() {
    let mut machine = Machine::subscribed(true);
    machine.agent(launch("t"));
    machine.on(Event::Task(TaskEvent::Running(report(1))));
    let waiting = machine.unacknowledged();
    assert_eq!(waiting.len(), 2);
    machine.agent(acknowledged(&waiting[0]));
    let left: Vec<_> = machine.unacknowledged().iter().map(TaskStatus::state).collect();
    assert_eq!(left, [TaskState::TaskRunning]);
}

#[test]
fn an_acknowledgement_covers_one_task() {
    let mut machine = Machine::subscribed(true);
    let tasks = ["a", "b"].map(task).into();
    machine.agent(AgentEvent::LaunchGroup(TaskGroupInfo { tasks }));
    let waiting = machine.unacknowledged();
    machine.agent(acknowledged(&waiting[0]));
    let subscribe = machine.state.subscription().subscribe.expect("a SUBSCRIBE call");
    let tasks = subscribe.unacknowledged_tasks.iter().map(|task| task.task_id.value.as_str());
    assert!(tasks.eq(["b"]));
}

#[test]
fn the_first_subscription_is_tried_only_for_a_short_time() {
    for checkpoint in [true, false] {
        let mut machine = Machine::new(checkpoint);
        assert_eq!(machine.on(Event::Disconnected("refused".into())), [Effect::Subscribe]);
        assert_eq!(machine.after(Duration::from_secs(60)), [], "the agent may only be slow");
        let effects = machine.on(Event::Disconnected("refused".into()));
        assert!(matches!(exits(&effects), Some(Err(text)) if text.contains("refused")));
    }
}
