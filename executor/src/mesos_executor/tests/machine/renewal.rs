//! Renewal: a task that reaches its limit of updates ends, so that a new task replaces it.

use super::*;

/// An executor whose running task may send `limit` updates and has sent `made` of them.
fn limited(limit: u64, made: u64) -> Machine {
    let mut machine = Machine::subscribed(true);
    machine.agent(AgentEvent::Launch(Box::new(limited_task("t", Some(limit)))));
    machine.on(Event::Task(TaskEvent::Running(report(1))));
    for n in 2..made {
        assert_eq!(updates(&machine.on(Event::Task(TaskEvent::Report(report(n))))).len(), 1);
    }
    machine
}

#[test]
fn a_task_is_renewed_when_only_its_last_update_is_left() {
    let mut machine = limited(100, 98);
    let effects = machine.on(Event::Task(TaskEvent::Report(report(98))));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskRunning)]);
    assert_eq!(effects.last(), Some(&Effect::Stop));
    let effects = machine.on(Event::TaskEnded(Ok(report(99))));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!((status.state(), data(status)), (TaskState::TaskFinished, report(99)));
    let text = status.message.as_deref().unwrap_or_default();
    assert!(text.starts_with("renewed: ") && text.ends_with("after 100 updates"), "{text}");
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())), "the new task has its own executor");
}

#[test]
fn a_task_that_does_not_end_is_aborted_and_renewed() {
    let mut machine = limited(10, 9);
    let until = machine.state.next_deadline().expect("the task is stopping");
    let effects = machine.after(until - machine.now);
    assert_eq!(effects.first(), Some(&Effect::Abort));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!((status.state(), data(status)), (TaskState::TaskFinished, report(8)));
    assert!(status.message.as_deref().is_some_and(|text| text.contains("grace period")));
}

#[test]
fn a_kill_replaces_a_renewal() {
    let mut machine = limited(10, 9);
    machine.agent(kill("t", None));
    let effects = machine.on(Event::TaskEnded(Ok(report(9))));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilled)]);
}

#[test]
fn without_a_limit_a_task_is_never_renewed() {
    let mut machine = Machine::running(true);
    for n in 2..2_000 {
        let effects = machine.on(Event::Task(TaskEvent::Report(report(n))));
        assert!(!effects.contains(&Effect::Stop));
        machine.acknowledge_all();
    }
}
