//! What updates carry, and what is passed on besides.

use super::*;

#[test]
fn updates_have_what_an_agent_demands() {
    let mut machine = Machine::subscribed(true);
    let effects = machine.agent(launch("t"));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    let uuid = status.uuid.clone().expect("a uuid");
    assert_eq!((uuid.len(), uuid[6] >> 4, uuid[8] >> 6), (16, 4, 2), "version 4, RFC 4122");
    assert_eq!(status.source(), mesos::v1::task_status::Source::Executor);
}

#[test]
fn updates_say_whether_the_task_is_well_while_it_runs() {
    let mut machine = Machine::running(true);
    let health = |machine: &mut Machine, health: Result<(), &str>| {
        let effects = machine.on(Event::Task(TaskEvent::Health(health.map_err(str::to_owned))));
        let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
        (status.state(), status.healthy, status.message.clone(), status.data.clone())
    };
    let well = (TaskState::TaskRunning, Some(true), None, None);
    assert_eq!(health(&mut machine, Ok(())), well);
    let ill = (TaskState::TaskRunning, Some(false), Some("no work".to_owned()), None);
    assert_eq!(health(&mut machine, Err("no work")), ill);
    let effects = machine.on(Event::Task(TaskEvent::Report(report(2))));
    assert_eq!(statuses(&effects)[0].healthy, Some(false), "still so");
    let effects = machine.on(Event::TaskEnded(Ok(report(3))));
    assert_eq!(statuses(&effects)[0].healthy, None);
}

#[test]
fn instructions_are_passed_on_to_a_live_task_only() {
    let intervals = Intervals::new(Duration::from_secs(20), Duration::from_secs(60));
    for instruction in
        [Instruction::MineAt { pool: "pool:3333".into() }, Instruction::SetIntervals(intervals)]
    {
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
fn live_messages_are_sent_or_lost_but_never_kept() {
    let mut machine = Machine::running(true);
    let live = || Event::Task(TaskEvent::Live(Live::Worker(WorkerLive::default())));
    let effects = machine.on(live());
    assert!(matches!(&effects[..], [Effect::Send(call)] if call.message.is_some()));
    machine.on(Event::Disconnected("gone".into()));
    assert_eq!(machine.on(live()), []);
    assert!(machine.unacknowledged().is_empty());
}
