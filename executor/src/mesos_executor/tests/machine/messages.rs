//! The content of updates, instructions and live messages.

use problem::{Problem, ProblemKind};
use task::Message;

use super::*;

#[test]
fn updates_have_the_fields_that_agents_require() {
    let mut machine = Machine::subscribed(true);
    let effects = machine.agent(launch("t"));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    let uuid = status.uuid.clone().expect("a UUID");
    assert_eq!((uuid.len(), uuid[6] >> 4, uuid[8] >> 6), (16, 4, 2), "version 4, RFC 4122");
    assert_eq!(status.source(), mesos::v1::task_status::Source::Executor);
}

#[test]
fn updates_of_a_running_task_carry_its_health() {
    let mut machine = Machine::running(true);
    let health = |machine: &mut Machine, health: Result<(), &str>| {
        let effects = machine.on(Event::Task(TaskEvent::Health(health.map_err(str::to_owned))));
        let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
        (status.state(), status.healthy, status.message.clone(), status.data.clone())
    };
    let healthy = (TaskState::TaskRunning, Some(true), None, None);
    assert_eq!(health(&mut machine, Ok(())), healthy);
    let unhealthy = (TaskState::TaskRunning, Some(false), Some("no work".to_owned()), None);
    assert_eq!(health(&mut machine, Err("no work")), unhealthy);
    let effects = machine.on(Event::Task(TaskEvent::Report(report(2))));
    assert_eq!(statuses(&effects)[0].healthy, Some(false), "the last result");
    let effects = machine.on(Event::TaskEnded(Ok(report(3))));
    assert_eq!(statuses(&effects)[0].healthy, None);
}

#[test]
fn instructions_are_passed_on_only_to_a_running_task() {
    let intervals = Intervals::new(Duration::from_secs(20), Duration::from_secs(60));
    for instruction in [
        Instruction::MineAt { pool: "pool:3333".into(), alternatives: vec![] },
        Instruction::SetIntervals(intervals),
        Instruction::Pause(true),
    ] {
        let message = || AgentEvent::Message(instruction.encode());
        let mut machine = Machine::subscribed(true);
        assert_eq!(machine.agent(message()), []);
        let mut machine = Machine::running(true);
        assert_eq!(machine.agent(message()), [Effect::Instruct(instruction.clone())]);
        assert_eq!(machine.agent(AgentEvent::Message(b"something else".to_vec())), []);
        machine.on(Event::TaskEnded(Ok(report(2))));
        assert_eq!(machine.agent(message()), []);
    }
}

#[test]
fn live_messages_are_sent_or_dropped_but_never_stored() {
    let mut machine = Machine::running(true);
    let live = || Event::Task(TaskEvent::Live(Live::Worker(WorkerLive::default()).into()));
    let effects = machine.on(live());
    assert!(matches!(&effects[..], [Effect::Send(call)] if call.message.is_some()));
    machine.on(Event::Disconnected("gone".into()));
    assert_eq!(machine.on(live()), []);
    assert!(machine.unacknowledged().is_empty());
}

#[test]
fn a_task_that_waits_says_why_and_a_failed_one_says_it_before_its_last_update() {
    let problem = Problem::new(ProblemKind::NodeCredentials, "node a refuses access");
    let message = Message::Waiting(problem.clone()).encode();
    let sends = |effect: &Effect| matches!(effect, Effect::Send(call) if call.message.as_ref().is_some_and(|it| it.data == message));
    let mut machine = Machine::running(true);
    let effects = machine.on(Event::Task(TaskEvent::Waiting(problem.clone())));
    assert!(effects.len() == 1 && sends(&effects[0]), "{effects:?}");
    let effects = machine.on(Event::TaskEnded(Err(problem.into())));
    assert!(sends(&effects[0]), "{effects:?}");
    let Effect::Send(update) = &effects[1] else { panic!("{effects:?}") };
    let status = &update.update.as_ref().unwrap().status;
    assert_eq!(status.state(), TaskState::TaskFailed);
    assert!(status.message().contains("refuses access. Compare --rpc-user"), "{}", status.message());
}
