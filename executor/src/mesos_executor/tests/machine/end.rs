//! The end of tasks and of the executor: kills, shutdown, failures.

use super::*;

#[test]
fn a_kill_ends_the_task_with_its_last_report() {
    let mut machine = Machine::running(true);
    let effects = machine.agent(kill("t", None));
    assert!(effects.contains(&Effect::Stop));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilling)]);
    let effects = machine.on(Event::TaskEnded(Ok(report(9))));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(status.state(), TaskState::TaskKilled);
    assert_eq!(data(status), report(9));
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())));
}

#[test]
fn task_killing_is_sent_only_to_frameworks_with_the_capability() {
    let mut machine = Machine::new(true);
    machine.state.subscription();
    machine.agent(subscribed(false));
    machine.agent(launch("t"));
    assert_eq!(machine.agent(kill("t", None)), [Effect::Stop]);
}

#[test]
fn a_task_that_exceeds_its_grace_period_is_aborted() {
    let mut machine = Machine::running(true);
    machine.on(Event::Task(TaskEvent::Report(report(4))));
    machine.agent(kill("t", Some(Duration::from_secs(2))));
    assert_eq!(machine.state.next_deadline(), Some(machine.now + Duration::from_secs(2)));
    assert_eq!(machine.after(Duration::from_millis(1999)), []);
    let effects = machine.after(Duration::from_millis(1));
    assert_eq!(effects.first(), Some(&Effect::Abort));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(status.state(), TaskState::TaskKilled);
    assert_eq!(data(status), report(4), "the last known report");
    assert_eq!(machine.on(Event::TaskEnded(Ok(report(5)))), [], "too late, the task was aborted");
}

#[test]
fn a_second_kill_only_shortens_the_grace_period() {
    let mut machine = Machine::running(true);
    machine.agent(kill("t", Some(Duration::from_secs(2))));
    machine.agent(kill("t", Some(Duration::from_secs(60))));
    assert_eq!(machine.state.next_deadline(), Some(machine.now + Duration::from_secs(2)));
    let effects = machine.agent(kill("t", Some(Duration::ZERO)));
    assert_eq!(effects.first(), Some(&Effect::Abort));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilled)]);
}

#[test]
fn a_kill_of_an_unknown_task_changes_nothing() {
    let mut machine = Machine::running(true);
    assert_eq!(machine.agent(kill("other", None)), []);
}

#[test]
fn a_failed_task_sends_its_error_and_last_report() {
    let mut machine = Machine::running(true);
    let error = TaskError { last_report: Some(Box::new(report(7))), ..TaskError::new("port in use") };
    let effects = machine.on(Event::TaskEnded(Err(error)));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!((status.state(), status.message.as_deref()), (TaskState::TaskFailed, Some("port in use")));
    assert_eq!(data(status), report(7));
}

#[test]
fn shutdown_ends_task_and_executor_within_the_grace_period() {
    let mut machine = Machine::running(true);
    assert_eq!(machine.agent(AgentEvent::Shutdown), [Effect::Stop]);
    let stop_by = machine.state.next_deadline().expect("a deadline");
    assert!(stop_by < machine.now + GRACE);
    let effects = machine.after(stop_by - machine.now);
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilled)]);
    let leave_by = machine.state.next_deadline().expect("a deadline");
    assert!(leave_by < machine.now + GRACE, "before the agent sends SIGKILL");
    assert_eq!(exits(&machine.after(leave_by - machine.now)), Some(&Ok(())), "acknowledged or not");
}

#[test]
fn later_events_do_not_extend_the_grace_period_of_a_shutdown() {
    let mut machine = Machine::running(true);
    let start = machine.now;
    machine.agent(AgentEvent::Shutdown);
    machine.after(Duration::from_secs(2));
    machine.on(Event::Signal);
    machine.on(Event::TaskEnded(Ok(report(2))));
    machine.on(Event::Disconnected("gone".into()));
    let leave_by = machine.state.next_deadline().expect("a deadline");
    assert!(leave_by > machine.now && leave_by < start + GRACE);
    assert_eq!(exits(&machine.after(leave_by - machine.now)), Some(&Ok(())));
}

#[test]
fn a_task_that_was_killed_does_not_fail_when_the_agent_reports_an_error() {
    let mut machine = Machine::running(true);
    machine.agent(kill("t", None));
    machine.agent(AgentEvent::Error("bad call".into()));
    assert_eq!(updates(&machine.on(Event::TaskEnded(Ok(report(2))))), [("t".into(), TaskState::TaskKilled)]);
}

#[test]
fn reports_of_a_task_being_killed_have_the_state_that_the_framework_knows() {
    for (knows, state) in [(true, TaskState::TaskKilling), (false, TaskState::TaskRunning)] {
        let mut machine = Machine::new(true);
        machine.state.subscription();
        machine.agent(subscribed(knows));
        machine.agent(launch("t"));
        machine.agent(kill("t", None));
        let effects = machine.on(Event::Task(TaskEvent::Report(report(2))));
        assert_eq!(updates(&effects), [("t".into(), state)]);
    }
}

#[test]
fn a_crashed_task_repeats_its_last_totals_without_rows() {
    let mut machine = Machine::running(true);
    let row = task::ShareRow {
        job: "1".into(),
        extranonce2: vec![],
        ntime: 1,
        version: 2,
        nonce: 3,
        difficulty: 1.0,
        verdict: task::Verdict::Accepted,
        round_trip: Duration::ZERO,
    };
    let totals = task::Totals { accepted: 1, ..Default::default() };
    let account = task::Account { totals, rows: vec![row], ..Default::default() };
    let sent = Report { sequence: 2, accounts: vec![account], server: None };
    machine.on(Event::Task(TaskEvent::Report(sent)));
    let effects = machine.on(Event::TaskEnded(Err(TaskError::new("crashed"))));
    let last = data(&statuses(&effects)[0]);
    assert_eq!((last.accounts[0].totals, last.accounts[0].rows.len()), (totals, 0));
}

#[test]
fn shutdown_without_a_task_ends_the_executor() {
    let mut machine = Machine::subscribed(true);
    assert_eq!(machine.agent(AgentEvent::Shutdown), [Effect::Exit(Ok(()))]);
    let mut machine = Machine::subscribed(true);
    assert_eq!(machine.on(Event::Signal), [Effect::Exit(Ok(()))]);
}

#[test]
fn an_error_event_fails_the_task_and_the_executor() {
    let mut machine = Machine::running(true);
    assert_eq!(machine.agent(AgentEvent::Error("bad call".into())), [Effect::Stop]);
    let effects = machine.on(Event::TaskEnded(Ok(report(2))));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(status.state(), TaskState::TaskFailed);
    assert!(status.message.as_deref().is_some_and(|text| text.contains("bad call")));
    assert!(matches!(exits(&machine.acknowledge_all()), Some(Err(text)) if text.contains("bad call")));
}

#[test]
fn the_process_ends_even_if_the_agent_never_acknowledges() {
    let mut machine = Machine::running(true);
    machine.on(Event::TaskEnded(Ok(report(2))));
    let deadline = machine.state.next_deadline().expect("a deadline");
    assert_eq!(exits(&machine.after(deadline - machine.now)), Some(&Ok(())));
}

#[test]
fn a_refused_executor_ends_at_once() {
    let mut machine = Machine::running(true);
    let effects = machine.on(Event::Refused("Framework cannot be found".into()));
    assert_eq!(effects.first(), Some(&Effect::Abort));
    assert!(matches!(exits(&effects), Some(Err(text)) if text.contains("cannot be found")));
}
